# SPDX-License-Identifier: MIT
"""Whole connections at random: a server in this process, applications and clients of every kind."""
