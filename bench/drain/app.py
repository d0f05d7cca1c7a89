# SPDX-License-Identifier: MIT
"""The application under load: each answer takes a while and names the worker that gave it."""

import asyncio
import os
import time
from typing import Any

DELAY = 0.05  # seconds, of a plain answer
PIECES = 10  # of a streamed one, which takes twice as long


async def app(scope: Any, receive: Any, send: Any) -> None:
    kind = scope["type"]
    if kind == "lifespan":
        await lifespan(receive, send)
    elif kind == "websocket":
        await talk(receive, send)
    elif scope["path"] == "/stream":
        await stream(send)
    elif scope["path"] == "/endless":
        await endless(receive, send)
    elif scope["path"] == "/block":
        # What no application should do, and some do.
        time.sleep(float(scope["query_string"] or 10))
        await answer(send, b"blocked")
    elif scope["path"] == "/quick":
        await answer(send, worker())
    else:
        await asyncio.sleep(DELAY)
        await answer(send, worker())


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


def worker() -> bytes:
    """This process, which may have been forked since the import."""
    return str(os.getpid()).encode()


async def answer(send: Any, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-length", length), (b"x-worker", worker())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Any) -> None:
    headers = [(b"x-worker", worker())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": b"piece\n", "more_body": True})
        await asyncio.sleep(2 * DELAY / PIECES)
    await send({"type": "http.response.body", "body": b"end\n"})


async def endless(receive: Any, send: Any) -> None:
    """Server-sent events until the client, or the server, has enough."""
    headers = [(b"content-type", b"text/event-stream"), (b"x-worker", worker())]
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(receive())
    while not gone.done():
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await asyncio.wait([gone], timeout=DELAY)
    await send({"type": "http.response.body", "body": b"event: bye\n\n"})


async def talk(receive: Any, send: Any) -> None:
    """Give back each message of a WebSocket, the worker's number before it."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await asyncio.sleep(DELAY)
        await send({"type": "websocket.send", "text": f"{os.getpid()} {event['text']}"})
