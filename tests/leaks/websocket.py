# SPDX-License-Identifier: MIT
"""Scenarios of WebSockets: messages of every shape, each way to end, denials, compression."""

import asyncio
import zlib

from tests.asgi.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    accept,
    close,
    echo,
    frame,
    handshake,
    text,
)
from tests.leaks.http import connected, requests, to_the_end
from tests.leaks.scenario import Table

SCENARIOS: Table = {}

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def websocket(*, app=echo, **options):
    """Enter `async function(loop, sock)` with a client's socket, its handshake not made."""

    def enter(function):
        async def run(loop, address, http):
            async with connected(loop, address) as sock:
                await function(loop, sock)
            while http.connections or http.tasks:
                await asyncio.sleep(0)

        run.__name__ = function.__name__
        run.__module__ = function.__module__
        requests(app=app, table=SCENARIOS, logger=Silent(), **options)(run)

    return enter


class Silent:
    """A logger that keeps nothing."""

    def info(self, *arguments, **keywords):
        pass

    warning = error = debug = info


@websocket()
async def messages(loop, sock):
    frames = [
        text("text"),
        text("é" * 1000),
        text("a" * 70_000),
        frame(TEXT, b"a" * 1000, fin=False),
        frame(CONTINUATION, "é".encode()),
        frame(BINARY, b"x" * 70_000),
        frame(TEXT, b"a", fin=False),
        frame(PING, b"p"),
        frame(CONTINUATION, b"b"),
    ]
    await loop.sock_sendall(sock, handshake() + b"".join(frames))
    received = 0
    while received < 143_000:
        received += len(await loop.sock_recv(sock, 1 << 16))
    await loop.sock_sendall(sock, close(1000, "reason"))
    assert await to_the_end(loop, sock)


@websocket()
async def compressed_messages(loop, sock):
    stream = zlib.compressobj(wbits=-12)
    await loop.sock_sendall(sock, handshake("/", DEFLATE))
    assert await loop.sock_recv(sock, 1 << 16)
    for _ in range(3):
        message = stream.compress(b"message " * 1000) + stream.flush(zlib.Z_SYNC_FLUSH)
        await loop.sock_sendall(sock, frame(BINARY, message[:-4], rsv=4))
        assert await loop.sock_recv(sock, 1 << 16)
    await loop.sock_sendall(sock, close())
    assert await to_the_end(loop, sock)


@websocket(ws_max_size=1000)
async def bomb(loop, sock):
    stream = zlib.compressobj(wbits=-12)
    message = stream.compress(b"x" * 100_000) + stream.flush(zlib.Z_SYNC_FLUSH)
    await loop.sock_sendall(sock, handshake("/", DEFLATE) + frame(BINARY, message[:-4], rsv=4))
    assert await to_the_end(loop, sock)


@websocket()
async def wrong_frames(loop, sock):
    await loop.sock_sendall(sock, handshake() + frame(TEXT, b"ok", fin=False) + frame(TEXT, b"no"))
    assert await to_the_end(loop, sock)


@websocket()
async def lost_in_a_message(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("first") + frame(BINARY, b"x" * 1000)[:500])
    assert await loop.sock_recv(sock, 1000)


@websocket()
async def bad_handshakes(loop, sock):
    await loop.sock_sendall(sock, handshake(version="8"))
    assert await to_the_end(loop, sock)


async def closes(scope, receive, send):
    await accept(receive, send, subprotocol="one", headers=[(b"x-y", b"z")])
    await send({"type": "websocket.send", "text": "a" * 100_000})
    await send({"type": "websocket.close", "code": 4000, "reason": "reason"})
    await receive()


@websocket(app=closes)
async def closed_by_the_application(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("unread") + close(4000))
    assert await to_the_end(loop, sock)


async def denies(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"b"})
    await receive()


@websocket(app=denies)
async def denied(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("early"))
    assert await to_the_end(loop, sock)


async def forbids(scope, receive, send):
    await send({"type": "websocket.close"})


@websocket(app=forbids)
async def forbidden(loop, sock):
    await loop.sock_sendall(sock, handshake())
    assert await to_the_end(loop, sock)


async def fails(scope, receive, send):
    if scope["path"] == "/accepted":
        await accept(receive, send)
    raise ValueError("mine")


@websocket(app=fails)
async def failed_before_the_answer(loop, sock):
    await loop.sock_sendall(sock, handshake())
    assert await to_the_end(loop, sock)


@websocket(app=fails)
async def failed_after_it(loop, sock):
    await loop.sock_sendall(sock, handshake("/accepted") + close(1011))
    assert await to_the_end(loop, sock)


async def never_receives(scope, receive, send):
    await accept(receive, send)
    await asyncio.sleep(0.01)


@websocket(app=never_receives, ws_max_queue=2)
async def messages_that_nobody_takes(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("x" * 100) * 50 + close(1000))
    assert await to_the_end(loop, sock)


@websocket(app=never_receives)
async def a_close_behind_messages(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("x") * 2 + close(1001, "going"))
    assert await to_the_end(loop, sock)


@websocket()
async def a_wrong_frame_behind_messages(loop, sock):
    await loop.sock_sendall(sock, handshake() + text("x") * 2 + frame(TEXT, b"\xff"))
    assert await to_the_end(loop, sock)
