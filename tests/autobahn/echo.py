# SPDX-License-Identifier: MIT
"""The application that Autobahn's cases are about: each message comes back as it was sent."""

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo the messages of a WebSocket connection; other scopes are refused."""
    if scope["type"] != "websocket":
        raise RuntimeError(f"only WebSocket is served here, not {scope['type']}")
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
