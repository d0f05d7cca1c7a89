# SPDX-License-Identifier: MIT
"""An answer of a gigabyte in pieces of 64 KiB, to see what is held for those who do not read it."""

from typing import Any

SIZE = 64 * 1024


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reply to every request; refuse the lifespan, as ASGI allows."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(16 * 1024):
        # Each its own: what is held of one must not be held of all.
        await send({"type": "http.response.body", "body": bytes(SIZE), "more_body": True})
    await send({"type": "http.response.body"})
