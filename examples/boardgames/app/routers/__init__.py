# SPDX-License-Identifier: MIT
"""The endpoints, one router per file."""
