# SPDX-License-Identifier: MIT
"""Event loops in a process of their own: CPU per operation, and echo over loopback."""
