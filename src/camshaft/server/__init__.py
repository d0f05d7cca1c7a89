# SPDX-License-Identifier: MIT
"""A server's life: its application's start-up, its listeners, its signals, its end."""
