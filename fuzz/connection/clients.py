# SPDX-License-Identifier: MIT
"""What clients send, and how: bytes, cut and mutated, and the ends of connections."""

import random
import socket
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuzz.differential.mutation import change, connection
from tests.asgi.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, handshake

TAIL = b"\x00\x00\xff\xff"
ENDS = ("close", "reset", "eof", "stay")


def _bomb(size: int) -> bytes:
    """A megabyte of zeros again and again, deflated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    zeros = bytes(1 << 20)
    parts = [compressor.compress(zeros) for _ in range(size >> 20)]
    return b"".join([*parts, compressor.flush(zlib.Z_SYNC_FLUSH)])


BOMBS = [_bomb(1 << 20), _bomb(64 << 20)]


@dataclass
class Plan:
    """One connection: what is sent in which pieces, how it is read, how it ends."""

    kind: str
    data: bytes
    pieces: list[int]
    end: str
    reads: str = "all"  # or "slowly", "nothing"
    # Of a connection where everything is as it should be: how many answers it has to get, or the
    # messages that an echoing WebSocket sends back.
    requests: int | None = None
    bodies: Sequence[bytes] = ()
    messages: list[bytes] | None = None
    # What is sent when nothing comes any more.
    last: bytes = b""


def cuts(chance: random.Random, size: int) -> list[int]:
    """Lengths that add up to `size`, of at most a few hundred pieces."""
    way = chance.randrange(5)
    if way == 0 or size == 0:
        return [size]
    if way == 1 and size <= 300:
        return [1] * size
    if way == 2:
        places = sorted(chance.randrange(size + 1) for _ in range(chance.choice((1, 2, 5))))
        return [b - a for a, b in zip([0, *places], [*places, size], strict=True)]
    pieces = []
    while size > 0 and len(pieces) < 200:
        piece = min(size, chance.choice((1, 2, 7, 100, 1000, 20_000)))
        pieces.append(piece)
        size -= piece
    return [*pieces, size] if size else pieces


# ---- HTTP ----


def request(chance: random.Random, *, last: bool) -> tuple[bytes, bytes]:
    """Return a valid request and its body."""
    method = chance.choice((b"GET", b"GET", b"HEAD", b"POST", b"POST", b"PUT", b"OPTIONS"))
    head = method + b" /" + chance.choice((b"", b"path?q=1", b"%e2%82%ac", b"a" * 200))
    head += b" HTTP/1.1\r\nHost: fuzz\r\n"
    if last:
        head += b"Connection: close\r\n"
    if chance.random() < 0.1:
        head += b"Expect: 100-continue\r\n"
    for number in range(chance.choice((0, 1, 1, 3, 10))):
        head += b"X-%d: %s\r\n" % (number, b"v" * chance.choice((0, 1, 30, 150)))
    if method in (b"GET", b"HEAD", b"OPTIONS"):
        return head + b"\r\n", b""
    if chance.random() < 0.5:
        size = chance.choice((0, 1, 10, 1000, 20_000))
        body = chance.randbytes(size)
        return head + b"Content-Length: %d\r\n\r\n" % size + body, body
    sizes = chance.choices((1, 2, 100, 3000), k=chance.choice((0, 1, 3, 8)))
    parts = [chance.randbytes(size) for size in sizes]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    trailers = chance.choice((b"", b"", b"T: 1\r\n"))
    return head + chunks + b"0\r\n" + trailers + b"\r\n", b"".join(parts)


def valid_http(chance: random.Random, seeds: list[bytes]) -> Plan:
    count = chance.choice((1, 1, 1, 2, 3, 8))
    requests = [request(chance, last=i == count - 1) for i in range(count)]
    data = b"".join(whole for whole, _ in requests)
    bodies = [body for _, body in requests]
    return Plan("valid", data, cuts(chance, len(data)), "stay", requests=count, bodies=bodies)


def wrong_http(chance: random.Random, seeds: list[bytes]) -> Plan:
    """Cases of tests/cases/http1 and requests, changed, or with bodies of another length."""
    if chance.random() < 0.5:
        data = connection(seeds, chance)
    else:
        count = chance.choice((1, 2, 4))
        data = b"".join(request(chance, last=False)[0] for _ in range(count))
        way = chance.random()
        if way < 0.4:
            data = data[: chance.randrange(len(data) + 1)]  # the end is missing
        elif way < 0.5:
            data += chance.randbytes(chance.choice((1, 20, 300)))
        if way > 0.3:
            for _ in range(chance.choice((1, 1, 2, 4))):
                data = change(data, seeds, chance)
    if chance.random() < 0.05:
        data += b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + b"l" * 400_000
    return Plan("wrong", data, cuts(chance, len(data)), chance.choice(ENDS))


# ---- WebSocket ----


def frame(
    chance: random.Random, opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0
) -> bytes:
    """A client's frame, masked with the case's dice."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    key = chance.randbytes(4)
    mask = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked.to_bytes(size, "big")


def control(chance: random.Random) -> bytes:
    return frame(chance, chance.choice((PING, PONG)), b"p" * chance.choice((0, 4, 125)))


def payload_of(chance: random.Random, opcode: int, most: int) -> bytes:
    size = min(most, chance.choice((0, 1, 5, 125, 126, 1000, 4000, 65_535, 65_536)))
    if opcode == TEXT:
        word = chance.choice(("a", "é", "€", "𝄞")).encode()
        return word * (size // len(word))
    return (
        chance.choice((b"\0", b"\xff", chance.randbytes(16))) * size
        if size < 100
        else (chance.randbytes(64) * (size // 64))
    )


class Sender:
    """Makes the frames of messages, deflated if that was agreed on."""

    def __init__(self, chance: random.Random, deflates: bool, takeover: bool = True) -> None:
        self.chance = chance
        self.deflates = deflates
        self.takeover = takeover
        self.compressor = self._new()

    def _new(self) -> "zlib._Compress":
        return zlib.compressobj(self.chance.choice((-1, 0, 9)), zlib.DEFLATED, -12)

    def deflated(self, payload: bytes) -> bytes:
        chance = self.chance
        way = chance.random()
        if way < 0.1:  # ended by a final block, as RFC 7692 section 7.2.3.4 has it
            data = self._new()
            whole = data.compress(payload) + data.flush(zlib.Z_FINISH) + b"\0"
            self.compressor = self._new()
            return whole
        if way < 0.3 or not self.takeover:
            self.compressor = self._new()
        parts = [payload]
        if len(payload) > 2 and chance.random() < 0.3:
            cut = chance.randrange(len(payload))
            parts = [payload[:cut], payload[cut:]]
        data = b"".join(
            self.compressor.compress(part) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
            for part in parts
        )
        return data[: -len(TAIL)]

    def fragments(self, opcode: int, payload: bytes, rsv: int) -> bytes:
        chance = self.chance
        pieces = [payload]
        if chance.random() < 0.35:
            places = sorted(
                chance.randrange(len(payload) + 1) for _ in range(chance.choice((1, 3)))
            )
            ends = zip([0, *places], [*places, len(payload)], strict=True)
            pieces = [payload[a:b] for a, b in ends]
        out = b""
        for number, piece in enumerate(pieces):
            first, last = number == 0, number == len(pieces) - 1
            out += frame(
                chance, opcode if first else CONTINUATION, piece, last, rsv if first else 0
            )
            if chance.random() < 0.1:
                out += control(chance)
        return out

    def message(self, opcode: int, payload: bytes) -> bytes:
        if self.deflates and self.chance.random() < 0.8:
            return self.fragments(opcode, self.deflated(payload), 4)
        return self.fragments(opcode, payload, 0)


def opening(chance: random.Random, deflates: bool) -> bytes:
    lines = []
    if deflates:
        parameters = chance.choice(
            (
                "",
                "; client_max_window_bits",
                "; client_max_window_bits=12",
                "; client_no_context_takeover; server_no_context_takeover",
                "; server_max_window_bits=9",
            )
        )
        lines.append("Sec-WebSocket-Extensions: permessage-deflate" + parameters)
    if chance.random() < 0.2:
        lines.append("Sec-WebSocket-Protocol: chat, superchat")
    return handshake("/ws", *lines)


def valid_websocket(
    chance: random.Random, seeds: list[bytes], most: int, may_deflate: bool
) -> Plan:
    """Whole messages that are not too long, and a close frame when all have come back."""
    offers = chance.random() < 0.6
    data = opening(chance, offers)
    sender = Sender(chance, offers and may_deflate, b"client_no_context_takeover" not in data)
    messages = []
    for _ in range(chance.choice((0, 1, 3, 10, 40))):
        opcode = chance.choice((TEXT, BINARY))
        payload = payload_of(chance, opcode, most)
        messages.append(payload)
        data += sender.message(opcode, payload)
    code = chance.choice((b"", struct.pack("!H", 1000), struct.pack("!H", 4321) + b"bye"))
    made = Plan("websocket", data, cuts(chance, len(data)), "stay", messages=messages)
    made.last = frame(chance, CLOSE, code)
    return made


def wrong_websocket(chance: random.Random, seeds: list[bytes], most: int) -> Plan:
    """Frames that are wrong in some way, or whose handshake is."""
    deflates = chance.random() < 0.5
    sender = Sender(chance, deflates)
    head = opening(chance, deflates)
    if chance.random() < 0.2:
        head = change(head, seeds, chance)
    data = b""
    for _ in range(chance.choice((1, 3, 10))):
        way = chance.randrange(8)
        if way == 0:
            data += frame(
                chance,
                chance.randrange(16),
                chance.randbytes(chance.choice((0, 5, 200))),
                chance.random() < 0.7,
                chance.choice((0, 0, 1, 2, 4, 7)),
            )
        elif way == 1:
            code = chance.choice((0, 999, 1000, 1004, 1005, 1006, 1015, 2000, 3000, 5000))
            reason = chance.choice((b"", b"ok", b"\xff", b"r" * 123))
            data += frame(chance, CLOSE, struct.pack("!H", code) + reason)
        elif way == 2:
            data += sender.message(TEXT, chance.choice((b"\xc3", b"\xed\xa0\x80", b"a\xff" * 50)))
        elif way == 3:
            data += sender.message(BINARY, b"l" * (most + chance.choice((1, 0, 1000))))
        elif way == 4:
            data += b"".join(control(chance) for _ in range(chance.choice((1, 30, 200))))
        else:
            opcode = chance.choice((TEXT, BINARY))
            data += sender.message(opcode, payload_of(chance, opcode, most))
    for _ in range(chance.choice((0, 1, 1, 3))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:
            data = data[:at] + chance.randbytes(1) + data[at + 1 :]
        else:
            data = data[:at] + data[at + chance.choice((1, 2, 10)) :]
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data) + 1)]
    data = head + data
    return Plan("wrong websocket", data, cuts(chance, len(data)), chance.choice(ENDS))


def wrong_deflate(chance: random.Random, seeds: list[bytes], most: int) -> Plan:
    """Whole frames whose payload is no good to inflate: truncated, corrupted, too much of it."""
    sender = Sender(chance, True)
    data = opening(chance, True)
    for _ in range(chance.choice((1, 2, 6))):
        opcode = chance.choice((TEXT, BINARY))
        way = chance.randrange(8)
        if way == 0:
            payload = chance.choice(BOMBS)[: chance.choice((50, 2000, 1 << 20))]
        elif way == 1:
            payload = chance.randbytes(chance.choice((1, 10, 300)))
        elif way == 2:  # stored blocks, empty ones too, and ends of streams
            block = chance.choice((b"\0\0\0\xff\xff", b"\1\0\0\xff\xff", b"\3\0", b"\2\0"))
            payload = block * chance.choice((1, 3, 15, 17, 300))
        elif way == 3:  # as long as may be, give or take
            payload = sender.deflated(b"m" * max(0, most + chance.randrange(-2, 3)))
        else:
            payload = sender.deflated(payload_of(chance, opcode, most * 2))
            at = chance.randrange(len(payload) + 1)
            if way == 4:
                payload = payload[:at]
            elif way == 5:
                payload = payload[:at] + chance.randbytes(1) + payload[at + 1 :]
            elif way == 6:
                payload = payload[:at] + payload[:at]
        data += sender.fragments(opcode, payload, 4)
    if chance.random() < 0.5:
        data += frame(chance, CLOSE, b"\x03\xe8")
    return Plan("deflate", data, cuts(chance, len(data)), chance.choice(ENDS))


KINDS = ("valid", "wrong", "websocket", "wrong websocket", "deflate")


def plan(
    chance: random.Random, seeds: list[bytes], options: dict[str, Any], kind: str | None
) -> Plan:
    """Return what some client does with a server of these options."""
    most = options["ws_max_size"]
    kind = kind or chance.choice(KINDS)
    if kind == "valid":
        made = valid_http(chance, seeds)
    elif kind == "wrong":
        made = wrong_http(chance, seeds)
    elif kind == "websocket":
        made = valid_websocket(chance, seeds, most, options["ws_per_message_deflate"])
    elif kind == "wrong websocket":
        made = wrong_websocket(chance, seeds, most)
    else:
        made = wrong_deflate(chance, seeds, most)
    if chance.random() < 0.2:
        made.reads = chance.choice(("slowly", "nothing"))
    if chance.random() < 0.1:
        made.end = chance.choice(ENDS)
    return made


def pair(chance: random.Random, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """The server's and the client's socket: mostly of a socketpair, else of TCP."""
    if chance.random() < 0.96:
        server, client = socket.socketpair()
        if chance.random() < 0.3:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    else:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.setblocking(False)
    client.setblocking(False)
    return server, client
