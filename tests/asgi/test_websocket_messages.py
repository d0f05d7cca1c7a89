# SPDX-License-Identifier: MIT
"""Messages in both directions: their frames, their events, and what is wrong with either."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Recorder,
    accept,
    close,
    echo,
    frame,
    handshake,
    open_websocket,
    text,
)

# Around every boundary of a frame's length, of what is copied, and of a read.
SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 16384, 16385, 262144, 1000003]


@pytest.mark.parametrize("size", SIZES)
def test_binary(start: Serve, size: int) -> None:
    payload = os.urandom(size)
    with open_websocket(start(echo)) as ws:
        ws.send(frame(BINARY, payload))
        assert ws.read_frame() == Frame(BINARY, payload)
        ws.finish()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("letter", ["a", "é", "€", "🎲"])
def test_text(start: Serve, size: int, letter: str) -> None:
    payload = letter * (size // len(letter.encode()))
    with open_websocket(start(echo)) as ws:
        ws.send(text(payload))
        assert ws.read_text() == payload
        ws.finish()


def test_events(start: Serve) -> None:
    app = Recorder()
    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("text"), frame(BINARY, b"bytes"), text(""), frame(BINARY))
        ws.finish()
    served.until(lambda: app.end is not None)
    assert app.events == [
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.receive", "bytes": b"bytes"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
        {"type": "websocket.disconnect", "code": 1000, "reason": ""},
    ]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("sizes", [[1, 1], [0, 5], [5, 0], [0, 0], [3] * 50, [70000, 1, 70000]])
def test_fragments(start: Serve, opcode: int, sizes: list[int]) -> None:
    pieces = [b"ab\xc3\xa9c"[: size % 6] + b"x" * (size - size % 6) for size in sizes]
    if opcode == TEXT:
        pieces = [b"y" * size for size in sizes]
    frames = [
        frame(opcode if i == 0 else CONTINUATION, piece, fin=i == len(pieces) - 1)
        for i, piece in enumerate(pieces)
    ]
    with open_websocket(start(echo)) as ws:
        ws.send(*frames)
        assert ws.read_frame() == Frame(opcode, b"".join(pieces))
        ws.finish()


def test_character_over_fragments(start: Serve) -> None:
    """A fragment may end within a character; the message may not."""
    letter = "🎲".encode()
    with open_websocket(start(echo)) as ws:
        ws.send(
            frame(TEXT, letter[:1], fin=False),
            frame(CONTINUATION, letter[1:3], fin=False),
            frame(CONTINUATION, letter[3:]),
        )
        assert ws.read_text() == "🎲"
        ws.send(frame(TEXT, letter[:2], fin=False), frame(CONTINUATION, b""))
        assert ws.read_close()[0] == 1007


@pytest.mark.parametrize("size", [0, 1, 2, 50, 70_000])
@pytest.mark.parametrize("letter", ["é", "€", "🎲"])
def test_text_that_is_ascii_for_a_while(start: Serve, size: int, letter: str) -> None:
    """Wherever the first other character stands, also cut up."""
    with open_websocket(start(echo)) as ws:
        for place in range(3):
            pieces = [b"a" * size, b"b", b"c" * size]
            pieces.insert(place, letter.encode()[:1])
            pieces.insert(place + 1, letter.encode()[1:])
            ws.send(
                *(
                    frame(CONTINUATION if i else TEXT, piece, fin=i == len(pieces) - 1)
                    for i, piece in enumerate(pieces)
                )
            )
            assert ws.read_text() == b"".join(pieces).decode()
        ws.send(frame(TEXT, b"a" * size, fin=False), frame(CONTINUATION, b"b\xff", fin=False))
        assert ws.read_close()[0] == 1007


def test_control_frames_between_fragments(start: Serve) -> None:
    with open_websocket(start(echo)) as ws:
        ws.send(frame(TEXT, b"a", fin=False), frame(PING, b"1"))
        assert ws.read_frame() == Frame(PONG, b"1")
        ws.send(frame(PONG, b"never asked for"), frame(CONTINUATION, b"b"))
        assert ws.read_text() == "ab"
        ws.finish()


@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 125])
def test_ping(start: Serve, payload: bytes) -> None:
    with open_websocket(start(echo)) as ws:
        ws.send(frame(PING, payload), frame(PING, b"2"))
        assert ws.read_frame() == Frame(PONG, payload)
        assert ws.read_frame() == Frame(PONG, b"2")
        ws.finish()


def test_at_every_split(start: Serve) -> None:
    """What is received does not depend on how the bytes were cut."""
    data = b"".join(
        [
            text("héllo"),
            frame(TEXT, "é".encode()[:1], fin=False),
            frame(PING, b"p"),
            frame(CONTINUATION, "é".encode()[1:]),
            frame(BINARY, bytes(range(200))),
            close(1001, "why"),
        ]
    )
    app = Recorder()
    served = start(app)
    for cut in range(len(data)):
        app.events.clear()
        with open_websocket(served) as ws:
            ws.send(data[:cut])
            ws.send(data[cut:])
            assert ws.read_frame() == Frame(PONG, b"p")
            assert ws.read_close() == (1001, "why")
        served.until(lambda: app.end is not None)
        assert app.messages == ["héllo", "é", bytes(range(200))]
        assert app.end == {"code": 1001, "reason": "why"}


def test_byte_by_byte(start: Serve) -> None:
    with open_websocket(start(echo)) as ws:
        for byte in text("a" * 200) + frame(TEXT, b"b", fin=False) + frame(CONTINUATION, b"c"):
            ws.send(bytes([byte]))
        assert ws.read_text() == "a" * 200
        assert ws.read_text() == "bc"
        ws.finish()


def test_many_in_one_write(start: Serve) -> None:
    messages = [f"message {i}" * (i % 50) for i in range(2000)]
    with open_websocket(start(echo)) as ws:
        for i in range(0, 2000, 100):
            ws.send(*map(text, messages[i : i + 100]))
            for message in messages[i : i + 100]:
                assert ws.read_text() == message
        ws.finish()


# ---- what a peer must not send ----


@pytest.mark.parametrize(
    "data,code",
    [
        (frame(TEXT, b"x", masked=False), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=2), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(3), 1002),
        (frame(7), 1002),
        (frame(11), 1002),
        (frame(15), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(8, b"x" * 126), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + text("y"), 1002),
        (frame(8, b"x"), 1002),
        (close(999), 1002),
        (close(1004), 1002),
        (close(1005), 1002),
        (close(1006), 1002),
        (close(1015), 1002),
        (close(2000), 1002),
        (close(5000), 1002),
        (b"\x81\xff" + b"\xff" * 12, 1002),
        (b"\x81\xfe\x00\x05" + b"\x00" * 9, 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"ok \xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xff", fin=False), 1007),
        (frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\xc0\xaf", fin=False), 1007),
        (frame(8, b"\x03\xe8\xff"), 1007),
    ],
)
def test_wrong(start: Serve, data: bytes, code: int) -> None:
    """Each is answered with a close frame that says why, which the peer gets to read."""
    app = Recorder()
    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("before"), data)
        got, reason = ws.read_close()
        assert got == code
        assert reason
        assert ws.at_end()
        ws.client.sock.close()
    served.until(lambda: app.end is not None and not served.http.connections)
    assert app.messages == ["before"]
    assert app.end == {"code": code, "reason": reason}


def test_wrong_with_more_behind_it(start: Serve) -> None:
    """The close frame is read by a peer that goes on sending for a while."""
    with open_websocket(start(Recorder())) as ws:
        ws.send(frame(3) + os.urandom(100_000))
        assert ws.read_close()[0] == 1002
        assert ws.at_end()


# ---- sizes ----


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_max_size(start: Serve, opcode: int) -> None:
    served = start(echo, ws_max_size=10)
    with open_websocket(served) as ws:
        ws.send(frame(opcode, b"x" * 10))
        assert ws.read_frame().payload == b"x" * 10
        ws.send(frame(opcode, b"x" * 5, fin=False), frame(CONTINUATION, b"x" * 5))
        assert ws.read_frame().payload == b"x" * 10
        ws.send(frame(opcode, b"x" * 11))
        assert ws.read_close()[0] == 1009
        assert ws.at_end()


def test_max_size_of_fragments(start: Serve) -> None:
    """By the frame that goes beyond it, as soon as its head is there."""
    app = Recorder()
    served = start(app, ws_max_size=1000)
    with open_websocket(served) as ws:
        ws.send(frame(BINARY, b"x" * 600, fin=False), frame(CONTINUATION, b"x" * 401)[:8])
        assert ws.read_close()[0] == 1009
    served.until(lambda: app.end is not None)
    assert app.messages == []
    assert app.end is not None and app.end["code"] == 1009


@pytest.mark.parametrize("limit", [None, 20_000_000])
def test_large(start: Serve, limit: int | None) -> None:
    payload = os.urandom(17_000_000)
    with open_websocket(start(echo, ws_max_size=limit)) as ws:
        ws.send(frame(BINARY, payload))
        assert ws.read_frame() == Frame(BINARY, payload)
        ws.finish()


# ---- what the application sends ----


@pytest.mark.parametrize(
    "event,expected",
    [
        ({"bytes": b"x", "text": None}, Frame(BINARY, b"x")),
        ({"bytes": None, "text": "x"}, Frame(TEXT, b"x")),
        ({"bytes": b"", "text": "x"}, Frame(BINARY, b"")),
        ({"bytes": bytearray(b"array")}, Frame(BINARY, b"array")),
        ({"bytes": memoryview(b"view" * 10000)}, Frame(BINARY, b"view" * 10000)),
        ({"text": "é" * 10000}, Frame(TEXT, "é".encode() * 10000)),
        ({"text": "a" * 100000}, Frame(TEXT, b"a" * 100000)),
    ],
)
def test_send(start: Serve, event: dict[str, Any], expected: Frame) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", **event})
        await receive()

    with open_websocket(start(app)) as ws:
        assert ws.read_frame() == expected
        ws.finish()


@pytest.mark.parametrize(
    "event,error",
    [
        ({"type": "websocket.send"}, RuntimeError),
        ({"type": "websocket.send", "bytes": None, "text": None}, RuntimeError),
        ({"type": "websocket.send", "text": b"x"}, TypeError),
        ({"type": "websocket.send", "bytes": "x"}, TypeError),
        ({"type": "websocket.send", "text": "\ud800"}, UnicodeEncodeError),
        ({"type": "websocket.accept"}, RuntimeError),
        ({"type": "websocket.http.response.start", "status": 200}, RuntimeError),
        ({"type": 5}, RuntimeError),
        ({}, KeyError),
        (5, TypeError),
        ({"type": "websocket.close", "code": 1005}, RuntimeError),
        ({"type": "websocket.close", "code": 0}, RuntimeError),
        ({"type": "websocket.close", "code": -1}, RuntimeError),
        ({"type": "websocket.close", "code": 5000}, RuntimeError),
        ({"type": "websocket.close", "code": "x"}, TypeError),
        ({"type": "websocket.close", "reason": b"x"}, TypeError),
        ({"type": "websocket.close", "reason": "\ud800"}, UnicodeEncodeError),
    ],
)
def test_send_what_cannot_be_sent(start: Serve, event: Any, error: type[Exception]) -> None:
    """The application is told, and the connection is as it was."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        with pytest.raises(error):
            await send(event)
        await send({"type": "websocket.send", "text": "still here"})
        await receive()

    with open_websocket(start(app)) as ws:
        assert ws.read_text() == "still here"
        ws.finish()


def test_large_texts_that_wait_to_be_sent(start: Serve) -> None:
    """Those in ASCII wait as they are, whoever else has them, or nobody."""

    class Text(str):
        pass

    def texts() -> Iterator[str]:
        for size in (16 * 1024, 16 * 1024 + 1, 100_000, 1_000_000):
            yield "a" * size
            yield Text("b" * size)
            yield "c" * size + "é"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for value in texts():
            event = {"type": "websocket.send", "text": value}
            await send(event)
            event["text"] += "more"
        await receive()

    with open_websocket(start(app)) as ws:
        for value in texts():
            assert ws.read_text() == value
        ws.finish()


def test_one_write_for_head_and_payload(start: Serve) -> None:
    """Of a transport that is not ours as well, where each write is a system call."""

    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__({"peername": ("1.2.3.4", 5), "sockname": ("1.2.3.4", 6)})
            self.writes: list[bytes] = []

        def write(self, data: Any) -> None:
            self.writes.append(bytes(data))

        def is_closing(self) -> bool:
            return False

        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...
        def close(self) -> None: ...
        def abort(self) -> None: ...
        def can_write_eof(self) -> bool:
            return False

    served = start(echo)
    transport = Transport()
    protocol = served.call(served.http)
    served.call(protocol.connection_made, transport)
    served.call(protocol.data_received, handshake())
    served.until(lambda: len(transport.writes) == 1)
    for payload in (b"small", b"x" * 100_000):
        served.call(protocol.data_received, frame(BINARY, payload))
        served.until(lambda: len(transport.writes) == 2)
        head, tail = transport.writes.pop()[:1], payload
        assert head == b"\x82"
        served.call(protocol.data_received, frame(PING, b"ping"))
        assert transport.writes.pop() == b"\x8a\x04ping"
        assert tail
    served.call(protocol.connection_lost, None)
    served.until(lambda: not served.http.tasks)


# ---- the awaitables ----


def test_receive_and_send_from_other_tasks(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        async with asyncio.TaskGroup() as group:
            for i in range(10):
                group.create_task(send({"type": "websocket.send", "text": str(i)}))
        first, second = await asyncio.gather(receive(), receive())
        await send({"type": "websocket.send", "text": first["text"] + second["text"]})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await send({"type": "websocket.send", "text": "asked again"})
        assert (await receive())["text"] == "c"
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await send({"type": "websocket.send", "text": "end"})
        await receive()

    served = start(app)
    with open_websocket(served) as ws:
        assert [ws.read_text() for _ in range(10)] == [str(i) for i in range(10)]
        ws.send(text("a"), text("b"))
        assert ws.read_text() == "ab"
        assert ws.read_text() == "asked again"
        ws.send(text("c"))
        assert ws.read_text() == "end"
        ws.finish()
    served.until(lambda: not served.http.tasks)
    assert [level for level, _, _ in served.log.records] == ["info"] * 3


class Future(asyncio.Future[Any]):
    """Not quite asyncio's."""


@pytest.mark.parametrize("kind", [Future, asyncio.futures._PyFuture])  # type: ignore[attr-defined]
def test_receive_waits_on_any_future(start: Serve, kind: Any) -> None:
    served = start(echo)
    made = []

    def create_future() -> Any:
        made.append(kind(loop=served.loop))
        return made[-1]

    served.loop.create_future = create_future  # type: ignore[method-assign]
    with open_websocket(served) as ws:
        for _ in range(3):
            ws.send(text("text"))
            assert ws.read_text() == "text"
        ws.finish()
    served.until(lambda: len(made) >= 3 and all(future.done() for future in made))
