# SPDX-License-Identifier: MIT
"""ASGI middleware of the server's, for applications that want it in a place of their own."""
