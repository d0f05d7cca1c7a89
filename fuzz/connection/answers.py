# SPDX-License-Identifier: MIT
"""What a client got, taken apart: HTTP answers, then WebSocket frames if one of them was a 101."""

import zlib
from dataclasses import dataclass, field
from http import HTTPStatus

from fuzz.connection.applications import sent_code
from tests.asgi.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

STATUSES = {status.value for status in HTTPStatus}
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
TAIL = b"\x00\x00\xff\xff"


class Wrong(Exception):
    """Bytes that no server may send."""


class Cut(Exception):
    """The bytes end within something; whether they may is the caller's to know."""


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes = b""
    whole: bool = True


@dataclass
class Conversation:
    """All that a client got."""

    answers: list[Answer] = field(default_factory=list)
    websocket: bool = False
    messages: list[bytes] = field(default_factory=list)
    close_code: int | None = None
    closed: bool = False

    @property
    def final(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status >= 200]


def read_head(data: bytes, at: int) -> tuple[Answer, int]:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        begin = data[at : at + 9]
        if not b"HTTP/1.1 ".startswith(begin[:9]) and not begin.startswith(b"HTTP/1.1 "):
            raise Wrong(f"no status line: {data[at : at + 60]!r}")
        raise Cut
    lines = data[at:end].split(b"\r\n")
    words = lines[0].split(b" ", 2)
    if len(words) != 3 or words[0] != b"HTTP/1.1" or not words[1].isdigit():
        raise Wrong(f"no status line: {lines[0][:80]!r}")
    if int(words[1]) not in STATUSES:
        raise Wrong(f"an unknown status: {lines[0][:80]!r}")
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b": ")
        if not colon or not name or not TOKEN.issuperset(name):
            raise Wrong(f"no header line: {line[:80]!r}")
        if any((byte < 32 and byte != 9) or byte == 127 for byte in value):
            raise Wrong(f"a control character: {line[:80]!r}")
        name = name.lower()
        if name in headers and name in (b"content-length", b"transfer-encoding", b"date"):
            raise Wrong(f"{name!r} twice")
        headers[name] = value
    return Answer(int(words[1]), headers), end + 4


def read_chunks(data: bytes, at: int, answer: Answer) -> int:
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Cut
        try:
            size = int(data[at:end], 16)
        except ValueError:
            raise Wrong(f"no chunk size: {data[at:end][:40]!r}") from None
        at = end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            raise Cut
        answer.body += data[at : at + size]
        if data[at + size : at + size + 2] != b"\r\n":
            raise Wrong("a chunk does not end")
        at += size + 2
    while True:  # trailers
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Cut
        if end == at:
            return end + 2
        if b": " not in data[at:end]:
            raise Wrong(f"no trailer line: {data[at:end][:40]!r}")
        at = end + 2


def read_body(data: bytes, at: int, answer: Answer) -> int:
    """Return the end of an answer's body."""
    length = answer.headers.get(b"content-length")
    if answer.headers.get(b"transfer-encoding") == b"chunked":
        if length is not None:
            raise Wrong("Content-Length and Transfer-Encoding")
        return read_chunks(data, at, answer)
    if length is None:
        if answer.headers.get(b"connection") != b"close":
            raise Wrong("a body that ends with the connection, which is to be kept")
        answer.body = data[at:]
        return len(data)
    if not length.isdigit():
        raise Wrong(f"Content-Length: {length!r}")
    if len(data) < at + int(length):
        raise Cut
    answer.body = data[at : at + int(length)]
    return at + int(length)


def read(data: bytes, head: bool) -> Conversation:
    """Take apart what a client got; `head` says that it may have sent HEAD or CONNECT.

    Which answers have no body for that is not known here: a body is looked for first.
    """
    made = Conversation()
    _read_on(data, 0, head, made)
    return made


def _read_on(data: bytes, at: int, head: bool, made: Conversation) -> None:
    if at == len(data):
        return
    try:
        answer, at = read_head(data, at)
    except Cut:
        return
    made.answers.append(answer)
    if answer.status == 101:
        if answer.headers.get(b"upgrade", b"").lower() != b"websocket":
            raise Wrong("a 101 to something else than WebSocket")
        made.websocket = True
        read_frames(data[at:], answer, made)
        return
    if answer.status < 200 or answer.status in (204, 304):
        _read_on(data, at, head, made)
        return
    before = len(made.answers)
    try:
        end = read_body(data, at, answer)
        _read_on(data, end, head, made)
    except Cut:
        answer.whole = False
    except Wrong:
        if not head:
            raise
        del made.answers[before:]
        answer.body = b""
        _read_on(data, at, head, made)


# ---- WebSocket ----


def read_frames(data: bytes, answer: Answer, made: Conversation) -> None:
    agreed = answer.headers.get(b"sec-websocket-extensions")
    inflater = zlib.decompressobj(-15)
    takeover = b"server_no_context_takeover" not in (agreed or b"")
    at = 0
    message: bytes | None = None
    opcode_of = 0
    compressed = False
    while at < len(data):
        if made.closed:
            raise Wrong(f"after the close frame: {data[at : at + 40]!r}")
        if len(data) < at + 2:
            return
        first, second = data[at], data[at + 1]
        fin, rsv, opcode = bool(first & 0x80), first & 0x70, first & 15
        size = second & 0x7F
        extra = {126: 2, 127: 8}.get(size, 0)
        if second & 0x80:
            raise Wrong("a masked frame")
        at += 2
        if len(data) < at + extra:
            return
        if extra:
            size = int.from_bytes(data[at : at + extra], "big")
            if size < (126 if extra == 2 else 65_536):
                raise Wrong(f"a length of {size} in {extra} bytes")
        at += extra
        if rsv & 0x30 or (rsv and not (agreed and opcode in (TEXT, BINARY))):
            raise Wrong(f"reserved bits {rsv:#x}")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise Wrong(f"opcode {opcode}")
        if opcode >= 8 and (size > 125 or not fin):
            raise Wrong("a control frame too long or in pieces")
        if len(data) < at + size:
            return
        payload = data[at : at + size]
        at += size
        if opcode == CLOSE:
            read_close(payload, made)
        if opcode >= 8:
            continue
        if (opcode == CONTINUATION) != (message is not None):
            raise Wrong("a message within a message, or none to continue")
        if message is None:
            message, opcode_of, compressed = b"", opcode, bool(rsv)
        message += payload
        if fin:
            if compressed:
                if not takeover:
                    inflater = zlib.decompressobj(-15)
                try:
                    message = inflater.decompress(message + TAIL)
                except zlib.error as error:
                    raise Wrong(f"a message that does not inflate: {error}") from None
            if opcode_of == TEXT:
                utf8(message)
            made.messages.append(message)
            message = None


def utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Wrong(f"no UTF-8: {data[:40]!r}") from None


def read_close(payload: bytes, made: Conversation) -> None:
    made.closed = True
    if not payload:
        return
    if len(payload) == 1:
        raise Wrong("a close frame of one byte")
    made.close_code = int.from_bytes(payload[:2], "big")
    if not sent_code(made.close_code):
        raise Wrong(f"a close frame of code {made.close_code}")
    utf8(payload[2:])
