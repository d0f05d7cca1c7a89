# SPDX-License-Identifier: MIT
"""Servers that echo WebSocket messages: messages per second, CPU per message."""
