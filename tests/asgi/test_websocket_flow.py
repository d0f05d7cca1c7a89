# SPDX-License-Identifier: MIT
"""What is held for a slow application or a slow peer, and pings."""

import asyncio
import os
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Served
from tests.asgi.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Recorder,
    WebSocket,
    accept,
    close,
    echo,
    frame,
    handshake,
    open_websocket,
    text,
)

# What the kernel may hold of one direction of a loopback connection, and more.
KERNEL = 16 << 20


class Slow:
    """An application that receives nothing until it is told to."""

    def __init__(self, *, send: bytes = b"") -> None:
        self.go = asyncio.Event()
        self.received: list[Any] = []
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await self.go.wait()
        while (event := await receive())["type"] == "websocket.receive":
            self.received.append(event.get("text", event.get("bytes")))
            await asyncio.sleep(0)


def send_until_stuck(ws: WebSocket, data: bytes, most: int) -> int:
    """Send the same again and again until the peer reads no more; how often it went out whole.

    `ws.rest` becomes what is left of the last one.
    """
    sock = ws.client.sock
    sock.settimeout(0.5)
    try:
        for count in range(most):
            view = memoryview(data)
            while view:
                try:
                    view = view[sock.send(view) :]
                except TimeoutError:
                    ws.rest = bytes(view)
                    return count
    finally:
        sock.settimeout(60)
    raise AssertionError("the server takes all that is sent to it")


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_unread_messages_are_bounded(start: Serve, size: int) -> None:
    """Reading stops, and what the client sends stays with the kernel; nothing is lost."""
    app = Slow()
    served = start(app, ws_ping_interval=None)
    with open_websocket(served) as ws:
        message = frame(BINARY, os.urandom(size))
        several = message * (1 + 10_000 // size)
        count = send_until_stuck(ws, several, 2 * KERNEL // len(several))
        served.call(app.go.set)
        ws.send(ws.rest, close())
        assert ws.read_close() == (1000, "")
    served.until(lambda: not served.http.tasks)
    assert len(app.received) == (count + 1) * (1 + 10_000 // size)
    assert len(set(app.received)) == 1


@pytest.mark.parametrize("most", [0, 1, 2, 32, None])
def test_max_queue(start: Serve, most: int | None) -> None:
    app = Slow()
    served = start(app, ws_max_queue=most)
    messages = [str(i) for i in range(500)]
    with open_websocket(served) as ws:
        ws.send(*map(text, messages), frame(PING, b"behind them"))
        if most is None:
            assert ws.read_frame() == Frame(PONG, b"behind them")
            served.call(app.go.set)
        else:
            # The queue is full: what is behind it is not looked at.
            served.until(lambda: served.http.tasks == 1)
            served.call(app.go.set)
            assert ws.read_frame() == Frame(PONG, b"behind them")
        ws.finish()
    served.until(lambda: not served.http.tasks)
    assert app.received == messages


def test_long_message_behind_unread_ones(start: Serve) -> None:
    """One that is longer than all that may wait is received nevertheless."""
    app = Slow()
    served = start(app)
    long = os.urandom(3_000_000)
    with open_websocket(served) as ws:
        for cut in range(0, len(long), 1_000_000):
            first = cut == 0
            ws.client.sock.settimeout(60)
            if first:
                ws.send(text("first"))
                served.call(app.go.set)
            ws.send(
                frame(
                    BINARY if first else CONTINUATION,
                    long[cut : cut + 1_000_000],
                    fin=cut + 1_000_000 >= len(long),
                )
            )
        ws.finish()
    served.until(lambda: not served.http.tasks)
    assert app.received == ["first", long]


def test_slow_client(start: Serve) -> None:
    """send() waits for a client that does not read, with a bound on what is held."""
    payload = os.urandom(100_000)
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await accept(receive, send)
        for _ in range(KERNEL // 50_000):
            await send({"type": "websocket.send", "bytes": payload})
            sent += 1
        await send({"type": "websocket.close"})

    served = start(app)
    with open_websocket(served) as ws:
        before = -1
        while before != sent:
            before = sent
            served.run(asyncio.sleep(0.1))
        assert sent < KERNEL // 50_000
        for _ in range(KERNEL // 50_000):
            assert ws.read_frame() == Frame(BINARY, payload)
        assert ws.read_close() == (1000, "")
        ws.send(close())
        assert ws.at_end()


def test_pings_of_a_client_that_does_not_read(start: Serve) -> None:
    """Are answered when it does, by one pong: the answers are not piled up."""
    payload = b"x" * 1_000_000
    sending = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sending
        await accept(receive, send)
        sending = True
        for _ in range(20):
            await send({"type": "websocket.send", "bytes": payload})
        await receive()

    served = start(app, ws_ping_interval=None)
    with open_websocket(served) as ws:
        # The kernel is full of what is not read.
        served.until(lambda: sending)
        for i in range(20_000):
            ws.send(frame(PING, str(i).encode()))
        pongs: list[bytes] = []
        while not pongs or pongs[-1] != b"19999":
            got = ws.read_frame()
            if got.opcode == PONG:
                pongs.append(got.payload)
        assert len(pongs) < 100


# ---- pings of the server ----


def read_pings(ws: WebSocket, count: int) -> list[bytes]:
    payloads = []
    for _ in range(count):
        got = ws.read_frame()
        assert got.opcode == PING
        payloads.append(got.payload)
        ws.send(frame(PONG, got.payload))
    return payloads


def test_server_pings(start: Serve) -> None:
    served = start(echo, ws_ping_interval=0.02, ws_ping_timeout=60)
    with open_websocket(served) as ws:
        payloads = read_pings(ws, 4)
        assert len(set(payloads)) == 4
        ws.send(text("still"))
        while (got := ws.read_frame()).opcode == PING:
            ws.send(frame(PONG, got.payload))
        assert got == Frame(TEXT, b"still")


def test_ping_that_is_not_answered(start: Serve) -> None:
    app = Recorder()
    served = start(app, ws_ping_interval=0.02, ws_ping_timeout=0.5)
    with open_websocket(served) as ws:
        read_pings(ws, 2)
        assert ws.read_frame().opcode == PING
        ws.send(frame(PONG, b"another"), frame(PONG))
        assert ws.read_close() == (1011, "keepalive ping timeout")
        assert ws.at_end()
    served.until(lambda: not served.http.tasks and not served.http.connections)
    assert app.end == {"code": 1011, "reason": "keepalive ping timeout"}


def test_ping_without_a_timeout(start: Serve) -> None:
    served = start(echo, ws_ping_interval=0.02, ws_ping_timeout=None)
    with open_websocket(served) as ws:
        for _ in range(4):
            assert ws.read_frame().opcode == PING


@pytest.mark.parametrize("interval", [None, 0, 1e9])
def test_no_pings(start: Serve, interval: float | None) -> None:
    served = start(echo, ws_ping_interval=interval, ws_ping_timeout=0.02)
    with open_websocket(served) as ws:
        served.run(asyncio.sleep(0.2))
        ws.send(text("x"))
        assert ws.read_text() == "x"
        ws.finish()


def test_pong_behind_a_long_message(start: Serve) -> None:
    """A client that is in the middle of a frame cannot answer, and is seen to be alive."""
    app = Recorder()
    # The frame takes more than three times as long as an answer may.
    served = start(app, ws_ping_interval=0.02, ws_ping_timeout=0.5)
    with open_websocket(served) as ws:
        data = frame(BINARY, b"x" * 400)
        pings = []
        for byte in data[:-1]:
            ws.send(bytes([byte]))
            served.run(asyncio.sleep(0.004))
        ws.client.sock.settimeout(60)
        got = ws.read_frame()
        assert got.opcode == PING
        pings.append(got.payload)
        ws.send(data[-1:], frame(PONG, got.payload), close())
        while (got := ws.read_frame()).opcode == PING:
            pass
        assert got.payload[:2] == (1000).to_bytes(2, "big")
    served.until(lambda: app.end is not None)
    assert app.messages == [b"x" * 400]


def test_pong_that_is_not_read(start: Serve) -> None:
    """Because the application takes no messages: that is not the client's fault."""
    app = Slow()
    served = start(app, ws_max_queue=1, ws_ping_interval=0.02, ws_ping_timeout=0.02)
    with open_websocket(served) as ws:
        ws.send(text("1"), text("2"), text("3"))
        got = ws.read_frame()
        assert got.opcode == PING
        ws.send(frame(PONG, got.payload))
        served.run(asyncio.sleep(0.5))
        served.call(app.go.set)
        answered = ws.read_frame()
        assert answered.opcode == PING
        ws.send(frame(PONG, answered.payload), text("4"), close())
        while (got := ws.read_frame()).opcode == PING:
            ws.send(frame(PONG, got.payload))
        assert got.payload[:2] == (1000).to_bytes(2, "big")
    served.until(lambda: not served.http.tasks)
    assert app.received == ["1", "2", "3", "4"]


def test_client_that_neither_reads_nor_answers(start: Serve) -> None:
    """Is dropped, as one that does not read its response: no close frame would get through."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 1_000_000})
        except OSError as error:
            errors.append(error)

    served = start(app, write_timeout=0.2)
    with open_websocket(served):
        served.until(lambda: not served.http.tasks and not served.http.connections)
    assert len(errors) == 1


def test_pings_end_with_the_connection(start: Serve) -> None:
    served = start(echo, ws_ping_interval=0.02, ws_ping_timeout=0.02)
    with open_websocket(served) as ws:
        ws.send(close())
        while (got := ws.read_frame()).opcode == PING:
            pass
        assert got.payload == (1000).to_bytes(2, "big")
        assert ws.at_end()
    served.until(lambda: not served.http.connections)
    assert served.loop_errors == []


def test_input_during_the_handshake_is_bounded(start: Serve) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    served: Served = start(app)
    with served.connect() as client:
        client.send(handshake())
        ws = WebSocket(client)
        served.until(lambda: served.http.tasks == 1)
        message = frame(BINARY, b"x" * 10_000)
        count = send_until_stuck(ws, message, 2 * KERNEL // len(message))
        assert count > 0
        served.call(go.set)
        assert client.read_head().status == 101
        assert ws.read_frame() == Frame(BINARY, b"x" * 10_000)
