# SPDX-License-Identifier: MIT
"""What a server must make of a client's frames, as a table of cases over real sockets.

The cases are those of Autobahn's fuzzing client (its sections stand in the names), made
anew from RFC 6455; `python -m tests.autobahn` runs the originals. Each is sent in one write and in
many, against an application that echoes.
"""

import zlib
from typing import NamedTuple

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    echo,
    frame,
    open_websocket,
    text,
)


class Case(NamedTuple):
    name: str
    sent: list[bytes]
    answers: list[Frame]
    """Before the connection's end."""
    code: int | None
    """The server's close frame then; -1 when it has nothing to close and the client does."""


OPEN = -1
HELLO = Frame(TEXT, b"Hello")
PONG_FRAME = Frame(PONG, b"")

CASES: list[Case] = []


def case(name: str, sent: list[bytes], answers: list[Frame], code: int | None = OPEN) -> None:
    CASES.append(Case(name, sent, answers, code))


# ---- 1: framing ----

for size in (0, 125, 126, 127, 128, 65535, 65536):
    payload = b"*" * size
    case(f"1.1 text {size}", [frame(TEXT, payload)], [Frame(TEXT, payload)])
    payload = b"\xfe" * size
    case(f"1.2 binary {size}", [frame(BINARY, payload)], [Frame(BINARY, payload)])

# ---- 2: pings and pongs ----

for payload in (b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125):
    case(f"2 ping {len(payload)}", [frame(PING, payload)], [Frame(PONG, payload)])
case("2.5 ping 126", [frame(PING, b"\xfe" * 126)], [], 1002)
case("2.7 pong unasked", [frame(PONG)], [])
case("2.8 pong unasked with payload", [frame(PONG, b"unsolicited")], [])
case(
    "2.9 pong unasked, then ping",
    [frame(PONG, b"unsolicited"), frame(PING, b"ping")],
    [Frame(PONG, b"ping")],
)
case(
    "2.10 ten pings",
    [frame(PING, b"payload-%d" % i) for i in range(10)],
    [Frame(PONG, b"payload-%d" % i) for i in range(10)],
)

# ---- 3: reserved bits ----

for rsv in range(1, 8):
    case(f"3 rsv {rsv} text", [frame(TEXT, b"Hello", rsv=rsv)], [], 1002)
    case(f"3 rsv {rsv} empty binary", [frame(BINARY, rsv=rsv)], [], 1002)
    case(f"3 rsv {rsv} ping", [frame(PING, b"Hello", rsv=rsv)], [], 1002)
    case(f"3 rsv {rsv} close", [frame(CLOSE, b"\x03\xe8", rsv=rsv)], [], 1002)
    # What came before it is still answered.
    case(
        f"3 rsv {rsv} after a message",
        [text("Hello"), frame(TEXT, b"Hello", rsv=rsv), frame(PING)],
        [HELLO],
        1002,
    )

# ---- 4: opcodes ----

for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"4 opcode {opcode}", [frame(opcode)], [], 1002)
    case(f"4 opcode {opcode} with payload", [frame(opcode, b"reserved")], [], 1002)
    case(
        f"4 opcode {opcode} after a message",
        [text("Hello"), frame(opcode, b"reserved"), frame(PING)],
        [HELLO],
        1002,
    )

# ---- 5: fragmentation ----

case("5.1 ping in fragments", [frame(PING, b"a", fin=False), frame(CONTINUATION, b"b")], [], 1002)
case("5.2 pong in fragments", [frame(PONG, b"a", fin=False), frame(CONTINUATION, b"b")], [], 1002)
case("5.3 text", [frame(TEXT, b"Hel", fin=False), frame(CONTINUATION, b"lo")], [HELLO])
case(
    "5.6 text with a ping between",
    [frame(TEXT, b"Hel", fin=False), frame(PING, b"ping"), frame(CONTINUATION, b"lo")],
    [Frame(PONG, b"ping"), HELLO],
)
case("5.9 continuation of nothing", [frame(CONTINUATION, b"x"), text("Hello")], [], 1002)
case(
    "5.12 continuation of nothing, not the last",
    [frame(CONTINUATION, b"x", fin=False), text("Hello")],
    [],
    1002,
)
case(
    "5.15 continuation after the end",
    [
        frame(TEXT, b"Hel", fin=False),
        frame(CONTINUATION, b"lo"),
        frame(CONTINUATION, b"x", fin=False),
        text("x"),
    ],
    [HELLO],
    1002,
)
case("5.18 text within text", [frame(TEXT, b"Hel", fin=False), text("lo")], [], 1002)
case(
    "5.19 pings between fragments",
    [
        frame(TEXT, b"He", fin=False),
        frame(CONTINUATION, b"l", fin=False),
        frame(PING, b"1"),
        frame(CONTINUATION, b"l", fin=False),
        frame(PING, b"2"),
        frame(CONTINUATION, b"o"),
    ],
    [Frame(PONG, b"1"), Frame(PONG, b"2"), HELLO],
)
case(
    "5 unmasked",
    [frame(TEXT, b"Hello", masked=False)],
    [],
    1002,
)
case("5 long form of a short length", [b"\x81\xfe\x00\x05\0\0\0\0Hello"], [], 1002)
case("5 longest form of a short length", [b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0"], [], 1002)
case("5 length with its top bit", [b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"], [], 1002)

# ---- 6: UTF-8 ----

GOOD = [
    "κόσμε".encode(),
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\x00",
    "Hello-µ@ßöäüàá-UTF-8!!".encode(),
]
BAD = [
    b"\x80",
    b"\xbf\xbf",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xc3(",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
]
CUT = [b"\xce", b"\xe2\x82", b"\xf0\x9f\x98"]

for good in GOOD:
    case(f"6 {good.hex()}", [frame(TEXT, good)], [Frame(TEXT, good)])
    case(
        f"6 {good.hex()} byte by byte",
        [
            frame(TEXT if i == 0 else CONTINUATION, good[i : i + 1], fin=i == len(good) - 1)
            for i in range(len(good))
        ],
        [Frame(TEXT, good)],
    )
for bad in BAD + CUT:
    case(f"6 {bad.hex()}", [frame(TEXT, bad)], [], 1007)
    case(f"6 {bad.hex()} is binary", [frame(BINARY, bad)], [Frame(BINARY, bad)])
    case(
        f"6 {bad.hex()} ends a message",
        [frame(TEXT, b"a" + bad[:1], fin=False), frame(CONTINUATION, bad[1:])],
        [],
        1007,
    )
for bad in BAD:
    # It fails at the first byte that cannot be, though neither message nor frame is at its end.
    case(f"6.4 {bad.hex()} fails at once", [frame(TEXT, b"a" + bad, fin=False)], [], 1007)
    case(
        f"6.4 {bad.hex()} fails within a frame",
        [frame(TEXT, "é".encode(), fin=False), frame(CONTINUATION, bad + b"a" * 500)[:-400]],
        [],
        1007,
    )

# ---- 7: closing ----

case("7.1 message, then close", [text("Hello"), close()], [HELLO], 1000)
case("7.1 two closes", [close(), close()], [], 1000)
case("7.1 ping after close", [close(), frame(PING)], [], 1000)
case("7.1 text after close", [close(), text("late")], [], 1000)
case(
    "7.1 close within a message",
    [frame(TEXT, b"Hel", fin=False), close(), frame(CONTINUATION, b"lo")],
    [],
    1000,
)
case("7.3 no payload", [close(None)], [], None)
case("7.3 one byte", [frame(CLOSE, b"a")], [], 1002)
case("7.3 a reason", [close(1000, "Hello World!")], [], 1000)
case("7.3 the longest reason", [close(1000, "*" * 123)], [], 1000)
case("7.3 too long a reason", [close(1000, "*" * 124)], [], 1002)
case("7.5 a reason that is no UTF-8", [frame(CLOSE, b"\x03\xe8\xce\xba\xe1\xbd\xed\xa0")], [], 1007)
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999):
    case(f"7.7 code {code}", [close(code)], [], code)
for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    case(f"7.9 code {code}", [close(code)], [], 1002)

# ---- 10: many fragments ----

MANY = bytes(range(256)) * 256
case(
    "10 64 KiB in fragments of 1300",
    [
        frame(BINARY if at == 0 else CONTINUATION, MANY[at : at + 1300], fin=at + 1300 >= len(MANY))
        for at in range(0, len(MANY), 1300)
    ],
    [Frame(BINARY, MANY)],
)


@pytest.mark.parametrize("step", ["whole", "chopped"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_frames(start: Serve, case: Case, step: str) -> None:
    """The answers, the close frame and the end are what they must be, however the bytes come."""
    data = b"".join(case.sent)
    size = len(data) if step == "whole" else 1 if len(data) < 200 else 997
    with open_websocket(start(echo)) as ws:
        for at in range(0, len(data), size):
            try:
                ws.client.sock.sendall(data[at : at + size])
            except (BrokenPipeError, ConnectionResetError):
                break  # it has been failed, and what it says to that is still to be read
        assert [ws.read_frame() for _ in case.answers] == case.answers
        if case.code == OPEN:
            ws.finish()
        else:
            code, reason = ws.read_close()
            assert code == case.code, reason
            assert ws.at_end()


# ---- 12 and 13: compression ----

OFFERS = {
    "13.1": ("", "permessage-deflate"),
    "13.2": ("; client_max_window_bits", "permessage-deflate"),
    "13.3": (
        "; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=9",
    ),
    "13.4": (
        "; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    ),
    "13.5": (
        "; server_max_window_bits=8, permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=15",
    ),
}


@pytest.mark.parametrize("parameters, response", OFFERS.values(), ids=OFFERS.keys())
@pytest.mark.parametrize("size", [1, 16, 125, 1024, 65536])
def test_compressed(start: Serve, parameters: str, response: str, size: int) -> None:
    """Compressed messages, in one frame and in several, come back as they were."""
    header = f"Sec-WebSocket-Extensions: permessage-deflate{parameters}"
    served = start(echo)
    with open_websocket(served, header) as ws:
        inflater = zlib.decompressobj(-15)
        for number in range(5):
            deflater = zlib.compressobj(wbits=-15)
            sent = (b"compressible %d " % number * (size // 8 + 1))[:size]
            body = (deflater.compress(sent) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            cut = len(body) // 2
            if number % 2:
                ws.send(frame(BINARY, body, rsv=4))
            else:
                ws.send(
                    frame(BINARY, body[:cut], rsv=4, fin=False),
                    frame(PING, b"between"),
                    frame(CONTINUATION, body[cut:]),
                )
                assert ws.read_frame() == Frame(PONG, b"between")
            got = ws.read_frame()
            assert got.opcode == BINARY and got.fin
            data = got.payload
            if got.rsv1:
                if "server_no_context_takeover" in response:
                    inflater = zlib.decompressobj(-15)
                data = inflater.decompress(got.payload + b"\x00\x00\xff\xff")
            assert data == sent
        ws.finish()
