# SPDX-License-Identifier: MIT
"""The serving stack under a FastAPI app: event loop, HTTP parser and ASGI server in C."""
