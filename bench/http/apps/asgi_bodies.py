# SPDX-License-Identifier: MIT
"""Bodies in and out: POST /echo, POST /upload, GET /download."""

from typing import Any

PIECE = bytes(64 * 1024)
PIECES = 160
"""Of a download: 10 MiB."""


async def read(receive: Any) -> list[bytes]:
    pieces = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return pieces
        pieces.append(event.get("body", b""))
        if not event.get("more_body"):
            return pieces


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only HTTP here")
    path = scope["path"]
    kind = (b"content-type", b"application/octet-stream")
    if path == "/download":
        length = (b"content-length", b"%d" % (len(PIECE) * PIECES))
        await send({"type": "http.response.start", "status": 200, "headers": [kind, length]})
        for number in range(PIECES):
            more = number < PIECES - 1
            await send({"type": "http.response.body", "body": PIECE, "more_body": more})
        return
    body = b"".join(await read(receive))
    if path == "/upload":
        body = b"%d" % len(body)
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [kind, length]})
    await send({"type": "http.response.body", "body": body})
