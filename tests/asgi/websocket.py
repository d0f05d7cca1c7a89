# SPDX-License-Identifier: MIT
"""A WebSocket client that sends exactly what it is told, frames that are wrong included."""

import base64
import hashlib
import struct
import zlib
from typing import Any, NamedTuple

from tests.asgi.harness import Client, Response, Served

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False


def accept_of(key: str) -> str:
    """Return the Sec-WebSocket-Accept for a key."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def handshake(
    target: str = "/", *headers: str, key: str | None = KEY, version: str = "13"
) -> bytes:
    """Return an opening handshake; without the key when it is None."""
    lines = [f"GET {target} HTTP/1.1", "Host: example", "Upgrade: websocket", "Connection: Upgrade"]
    if key is not None:
        lines.append(f"Sec-WebSocket-Key: {key}")
    if version:
        lines.append(f"Sec-WebSocket-Version: {version}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """Return a frame as a client sends it; `rsv` has the three reserved bits."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask_bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    # A key of each payload's own, the same in every run: frames stand in the names of tests.
    key = zlib.crc32(payload, opcode).to_bytes(4, "big")
    mask = (key * (size // 4 + 1))[:size]
    masked_payload = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked_payload.to_bytes(size, "big")


def text(payload: str) -> bytes:
    return frame(TEXT, payload.encode())


def close(code: int | None = 1000, reason: str = "") -> bytes:
    """Return a close frame; without a payload when the code is None."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


class WebSocket:
    """One connection, from its handshake on."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rest = b""  # of what a test could not send yet

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.sock.close()

    def send(self, *frames: bytes) -> None:
        self.client.send(b"".join(frames))

    def read_frame(self) -> Frame:
        first, second = self.client.read_exactly(2)
        assert not second & 0x80, "a server's frame must not be masked"
        assert not first & 0x30, "reserved bits"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.client.read_exactly(2))
            assert size > 125
        elif size == 127:
            (size,) = struct.unpack("!Q", self.client.read_exactly(8))
            assert size > 0xFFFF
        payload = self.client.read_exactly(size)
        return Frame(first & 0xF, payload, bool(first & 0x80), bool(first & 0x40))

    def read_text(self) -> str:
        got = self.read_frame()
        assert got.opcode == TEXT and got.fin and not got.rsv1, got
        return got.payload.decode()

    def read_close(self) -> tuple[int | None, str]:
        """Return code and reason of a close frame, which must come next."""
        got = self.read_frame()
        assert got.opcode == CLOSE and got.fin and not got.rsv1, got
        if not got.payload:
            return None, ""
        return int.from_bytes(got.payload[:2], "big"), got.payload[2:].decode()

    def at_end(self) -> bool:
        return self.client.at_end()

    def finish(self) -> None:
        """Close as a client should, and see the server do the same."""
        self.send(close())
        assert self.read_close() == (1000, "")
        assert self.at_end()


def try_open(served: Served, *headers: str, target: str = "/") -> tuple[Client, Response]:
    """Send a handshake and return what it is answered with."""
    client = served.connect()
    client.send(handshake(target, *headers))
    return client, client.read_head()


def open_websocket(served: Served, *headers: str, target: str = "/") -> WebSocket:
    """Return a connection whose handshake was accepted."""
    client, response = try_open(served, *headers, target=target)
    assert response.status == 101, (response.status, response.headers)
    return WebSocket(client)


async def accept(receive: Any, send: Any, **more: Any) -> None:
    """Take the first event of a WebSocket and accept it."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back each message until the end."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Recorder:
    """An application that keeps its events: it accepts, then receives until the end."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await accept(receive, send)
        while True:
            event = await receive()
            self.events.append(event)
            if event["type"] == "websocket.disconnect":
                return

    @property
    def messages(self) -> list[str | bytes]:
        return [
            event["text"] if "text" in event else event["bytes"]
            for event in self.events
            if event["type"] == "websocket.receive"
        ]

    @property
    def end(self) -> dict[str, Any] | None:
        """The disconnect event without its type, once there is one."""
        if not self.events or self.events[-1]["type"] != "websocket.disconnect":
            return None
        return {key: value for key, value in self.events[-1].items() if key != "type"}
