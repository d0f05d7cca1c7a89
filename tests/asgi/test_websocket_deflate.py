# SPDX-License-Identifier: MIT
"""permessage-deflate (RFC 7692): what is agreed upon, and both directions of it."""

import os
import zlib
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
    WebSocket,
    accept,
    close,
    echo,
    frame,
    open_websocket,
    text,
    try_open,
)

TAIL = b"\x00\x00\xff\xff"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


class Deflate:
    """One direction's compressor."""

    def __init__(self, bits: int = 12) -> None:
        self.stream = zlib.compressobj(wbits=-bits)

    def __call__(self, data: bytes) -> bytes:
        whole = self.stream.compress(data) + self.stream.flush(zlib.Z_SYNC_FLUSH)
        assert whole.endswith(TAIL)
        return whole[:-4]


class Inflate:
    def __init__(self, bits: int = 12) -> None:
        self.stream = zlib.decompressobj(wbits=-bits)

    def __call__(self, data: bytes) -> bytes:
        return self.stream.decompress(data + TAIL)


def read_compressed(ws: WebSocket, inflate: Inflate) -> bytes:
    got = ws.read_frame()
    assert got.rsv1 and got.fin
    return inflate(got.payload)


@pytest.mark.parametrize(
    "offer,response",
    [
        (
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=12",
        ),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("x-webkit-deflate-frame", None),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate; server_max_window_bits=12",
        ),
    ],
)
def test_agreement(start: Serve, offer: str, response: str | None) -> None:
    client, answer = try_open(start(echo), f"Sec-WebSocket-Extensions: {offer}")
    assert answer.status == 101
    assert answer.get("sec-websocket-extensions") == response
    WebSocket(client).finish()
    client.sock.close()


def test_option_off(start: Serve) -> None:
    client, answer = try_open(start(echo, ws_per_message_deflate=False), OFFER)
    assert answer.get("sec-websocket-extensions") is None
    ws = WebSocket(client)
    ws.send(frame(TEXT, Deflate()(b"x"), rsv=4))
    assert ws.read_close()[0] == 1002
    client.sock.close()


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
@pytest.mark.parametrize("random", [False, True])
def test_echo(start: Serve, size: int, random: bool) -> None:
    payload = os.urandom(size) if random else b"compressible " * (size // 13)
    deflate, inflate = Deflate(), Inflate()
    with open_websocket(start(echo), OFFER) as ws:
        for _ in range(3):
            ws.send(frame(BINARY, deflate(payload), rsv=4))
            if len(payload) < 128:
                assert ws.read_frame() == Frame(BINARY, payload)
            else:
                assert read_compressed(ws, inflate) == payload
        ws.finish()


def test_context_is_kept(start: Serve) -> None:
    """A message that was sent before costs next to nothing, in either direction."""
    payload = os.urandom(1000)
    deflate = Deflate()
    with open_websocket(start(echo), OFFER) as ws:
        ws.send(frame(BINARY, deflate(payload), rsv=4))
        first = ws.read_frame()
        again = deflate(payload)
        assert len(again) < 50
        ws.send(frame(BINARY, again, rsv=4))
        second = ws.read_frame()
        assert len(second.payload) < 50
        inflate = Inflate()
        assert inflate(first.payload) == inflate(second.payload) == payload
        ws.finish()


def test_no_context_takeover(start: Serve) -> None:
    payload = os.urandom(1000)
    offer = OFFER + "; server_no_context_takeover; client_no_context_takeover"
    with open_websocket(start(echo), offer) as ws:
        for _ in range(3):
            ws.send(frame(BINARY, Deflate(15)(payload), rsv=4))
            assert read_compressed(ws, Inflate()) == payload
        ws.finish()


def test_window_of_a_client_that_offers_none(start: Serve) -> None:
    """It may use 15 bits, whatever we would like."""
    payload = os.urandom(20_000)
    deflate, inflate = Deflate(15), Inflate()
    with open_websocket(start(echo), OFFER) as ws:
        for _ in range(2):
            ws.send(frame(BINARY, deflate(payload), rsv=4))
            assert read_compressed(ws, inflate) == payload
        ws.finish()


def test_uncompressed_messages_in_between(start: Serve) -> None:
    deflate, inflate = Deflate(), Inflate()
    with open_websocket(start(echo), OFFER) as ws:
        ws.send(text("plain"), frame(TEXT, deflate("é".encode() * 500), rsv=4), text("again"))
        assert ws.read_text() == "plain"
        assert read_compressed(ws, inflate).decode() == "é" * 500
        assert ws.read_text() == "again"
        ws.finish()


@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_fragments(start: Serve, cut: int) -> None:
    """Only the first frame of a compressed message says so; control frames never do."""
    data = Deflate()("".join(map(str, range(1000))).encode() + b"\xe2\x82\xac")
    with open_websocket(start(echo), OFFER) as ws:
        ws.send(
            frame(TEXT, data[:cut], fin=False, rsv=4),
            frame(PING, b"p"),
            frame(CONTINUATION, data[cut:-3], fin=False),
            frame(CONTINUATION, data[-3:], fin=False),
            frame(CONTINUATION),
        )
        assert ws.read_frame() == Frame(PONG, b"p")
        assert read_compressed(ws, Inflate()).decode() == "".join(map(str, range(1000))) + "€"
        ws.finish()


def test_byte_by_byte(start: Serve) -> None:
    data = frame(TEXT, Deflate()("héllo".encode() * 20), rsv=4)
    with open_websocket(start(echo), OFFER) as ws:
        for byte in data:
            ws.send(bytes([byte]))
        assert ws.read_text() == "héllo" * 20
        ws.finish()


@pytest.mark.parametrize(
    "data,payload",
    [
        # RFC 7692 section 7.2.3.1: one block; 7.2.3.3: no compression; 7.2.3.4: BFINAL;
        # 7.2.3.5: two blocks.
        (bytes.fromhex("f248cdc9c90700"), "Hello"),
        (bytes.fromhex("000500faff48656c6c6f00"), "Hello"),
        (bytes.fromhex("f348cdc9c9070000"), "Hello"),
        (bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")), "Hello"),
        (b"\x00", ""),
    ],
)
def test_examples_of_the_rfc(start: Serve, data: bytes, payload: str) -> None:
    with open_websocket(start(echo), OFFER) as ws:
        for _ in range(3):
            ws.send(frame(TEXT, data, rsv=4))
            assert ws.read_text() == payload
        ws.finish()


def test_streams_that_end_without_an_end(start: Serve) -> None:
    """Each costs a decompressor: a message of a hundred thousand of them is refused."""
    with open_websocket(start(echo), OFFER) as ws:
        ws.send(frame(BINARY, b"\x03\x00" * 100_000, rsv=4))
        assert ws.read_close()[0] == 1007


@pytest.mark.parametrize(
    "frames,code",
    [
        ([frame(BINARY, b"\xff\xff\xff", rsv=4)], 1007),
        ([frame(TEXT, Deflate()(b"\xff"), rsv=4)], 1007),
        ([frame(TEXT, Deflate()(b"\xc3"), rsv=4)], 1007),
        ([frame(TEXT, Deflate()(b"\xff" * 9), fin=False, rsv=4)], 1007),
        ([frame(PING, b"x", rsv=4)], 1002),
        ([frame(TEXT, b"", fin=False, rsv=4), frame(CONTINUATION, b"x", rsv=4)], 1002),
        ([frame(TEXT, b"x", rsv=2)], 1002),
    ],
)
def test_wrong(start: Serve, frames: list[bytes], code: int) -> None:
    served = start(Recorder())
    with open_websocket(served, OFFER) as ws:
        ws.send(*frames)
        assert ws.read_close()[0] == code
        assert ws.at_end()
    served.until(lambda: not served.http.connections and not served.http.tasks)


@pytest.mark.parametrize("size,fits", [(999, True), (1000, True), (1001, False), (5000, False)])
@pytest.mark.parametrize("pieces", [1, 3])
def test_max_size(start: Serve, size: int, fits: bool, pieces: int) -> None:
    """Is that of the message inflated."""
    data = Deflate()(b"a" * size)
    step = -(-len(data) // pieces)
    frames = [
        frame(
            BINARY if at == 0 else CONTINUATION,
            data[at : at + step],
            fin=at + step >= len(data),
            rsv=4 if at == 0 else 0,
        )
        for at in range(0, len(data), step)
    ]
    with open_websocket(start(echo, ws_max_size=1000), OFFER) as ws:
        ws.send(*frames)
        if fits:
            assert read_compressed(ws, Inflate()) == b"a" * size
            ws.finish()
        else:
            assert ws.read_close()[0] == 1009
            assert ws.at_end()


def test_incompressible_message_of_the_largest_size(start: Serve) -> None:
    """Has more bytes on the wire than it may have inflated, and is taken."""
    payload = os.urandom(100_000)
    data = Deflate()(payload)
    assert len(data) > len(payload)
    with open_websocket(start(echo, ws_max_size=100_000), OFFER) as ws:
        ws.send(frame(BINARY, data, rsv=4))
        assert read_compressed(ws, Inflate()) == payload
        ws.finish()


def test_bomb(start: Serve) -> None:
    """A quarter of a MiB that inflates to 256 is refused for the price of ws_max_size."""

    def measured() -> int:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        raise AssertionError

    stream = zlib.compressobj(level=1, wbits=-15)
    zeros = b"\0" * (1 << 20)
    data = b"".join(stream.compress(zeros) for _ in range(256)) + stream.flush(zlib.Z_SYNC_FLUSH)
    served = start(Recorder(), ws_max_size=1 << 20)
    with open_websocket(served, OFFER) as ws:
        before = measured()
        ws.send(frame(BINARY, data[:-4], rsv=4))
        assert ws.read_close()[0] == 1009
        assert measured() - before < 64 << 10  # KiB


def test_close_frame_is_never_compressed(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4000, "reason": "r" * 123})

    with open_websocket(start(app), OFFER) as ws:
        assert ws.read_close() == (4000, "r" * 123)
        ws.send(close(4000))
        assert ws.at_end()


class Bytes(bytes):
    """Not bytes itself, though an instance of it."""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Bytes])
def test_kinds_of_payload(start: Serve, kind: Any) -> None:
    payload = b"payload " * 1000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "bytes": kind(payload)})
        await receive()

    with open_websocket(start(app), OFFER) as ws:
        assert read_compressed(ws, Inflate()) == payload
        ws.finish()
