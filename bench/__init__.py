# SPDX-License-Identifier: MIT
"""camshaft measured beside uvicorn, uvloop, asyncio and rloop. How: method.md."""
