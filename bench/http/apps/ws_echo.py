# SPDX-License-Identifier: MIT
"""Echoes the messages of a WebSocket connection."""

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send back what is received; refuse the lifespan, as ASGI allows."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
