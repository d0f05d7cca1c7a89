# SPDX-License-Identifier: MIT
"""What applications may send and what becomes of it: a table, replayed by test_asgi_strict.py.

`section` is where it is written: of RFC 9110 (unless 9112 is named), or "ASGI" for the
specification's HTTP part.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

START = "http.response.start"
BODY = "http.response.body"

Headers = list[tuple[str, str]]


def head(status: Any = 200, *headers: Any, **more: Any) -> dict[str, Any]:
    return {"type": START, "status": status, "headers": list(headers), **more}


def body(data: Any = b"", more: Any = False) -> dict[str, Any]:
    return {"type": BODY, "body": data, "more_body": more}


@dataclass
class Refused:
    """The last event raises `error`; the client gets 500."""

    name: str
    section: str
    events: list[Any]
    error: type[BaseException]
    text: str


@dataclass
class Cut:
    """The last event raises RuntimeError when part of the answer is out: `sent` follows the head,
    and the connection ends."""

    name: str
    section: str
    events: list[Any]
    text: str
    sent: bytes


@dataclass
class Sent:
    """The events make an answer: `headers` are all but Date and Server. `alive`: the connection
    takes another request."""

    name: str
    section: str
    events: list[Any]
    headers: Headers
    body: bytes
    status: int = 200
    method: str = "GET"
    version: str = "1.1"
    ask: tuple[str, ...] = ()
    alive: bool = True
    server: list[str] = field(default_factory=lambda: ["camshaft"])


def length(value: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", value)


REFUSED = [
    # ---- status ----
    *(
        Refused(f"status {status}", "15", [head(status)], RuntimeError, "Invalid HTTP status")
        for status in (-200, -1, 0, 1, 99, 600, 999, 1000, 2**31, 2**63, 10**30, -(10**30))
    ),
    *(
        Refused(f"status {status}", "15.2", [head(status)], RuntimeError, "Invalid HTTP status")
        for status in (100, 101, 102, 103, 199)
    ),
    *(
        Refused(f"status {status!r}", "ASGI", [head(status)], TypeError, "an HTTP status is an int")
        for status in (None, "200", b"200", 200.0, True, False, [200], {}, 1j)
    ),
    Refused("status enum 101", "15.2.2", [head(HTTPStatus(101))], RuntimeError, "Invalid HTTP"),
    Refused("no status", "ASGI", [{"type": START}], KeyError, "has no 'status'"),
    # ---- names ----
    *(
        Refused(
            f"name {bytes((char,))!r}",
            "5.1",
            [head(200, (b"a" + bytes((char,)) + b"b", b"c"))],
            RuntimeError,
            "Invalid HTTP header name",
        )
        for char in (*b'\0\t\n\r \x1b\x7f"(),/:;<=>?@[\\]{}', 0x80, 0xE9, 0xFF)
    ),
    Refused("name empty", "5.1", [head(200, (b"", b"c"))], RuntimeError, "header name"),
    Refused("name starts", "5.1", [head(200, (b" a", b"c"))], RuntimeError, "header name"),
    Refused("name ends", "5.1", [head(200, (b"a ", b"c"))], RuntimeError, "header name"),
    Refused("pseudo", "ASGI", [head(200, (b":status", b"200"))], RuntimeError, "header name"),
    # ---- values ----
    *(
        Refused(
            f"value {bytes((char,))!r}",
            "5.5",
            [head(200, (b"a", b"b" + bytes((char,)) + b"c"))],
            RuntimeError,
            "Invalid HTTP header value",
        )
        for char in (*range(9), *range(10, 32), 127)
    ),
    Refused("value CRLF", "5.5", [head(200, (b"a", b"b\r\nc: d"))], RuntimeError, "value"),
    Refused("value folds", "9112 5.2", [head(200, (b"a", b"b\r\n c"))], RuntimeError, "value"),
    Refused("value ends", "5.5", [head(200, (b"a", b"b\n"))], RuntimeError, "header value"),
    Refused("splits", "5.5", [head(200, (b"a", b"\r\n\r\n<script>"))], RuntimeError, "value"),
    # ---- shapes ----
    Refused("value text", "ASGI", [head(200, (b"a", "b"))], TypeError, "must be bytes, not str"),
    Refused("name text", "ASGI", [head(200, ("a", b"b"))], TypeError, "must be bytes, not str"),
    Refused("value int", "ASGI", [head(200, (b"a", 5))], TypeError, "must be bytes, not int"),
    Refused("value none", "ASGI", [head(200, (b"a", None))], TypeError, "must be bytes"),
    Refused("one", "ASGI", [head(200, (b"a",))], ValueError, "must be a pair"),
    Refused("three", "ASGI", [head(200, (b"a", b"b", b"c"))], ValueError, "must be a pair"),
    Refused("no pair", "ASGI", [head(200, 5)], TypeError, "not iterable"),
    Refused("bytes", "ASGI", [head(200, b"ab")], TypeError, "must be bytes, not int"),
    Refused(
        "headers int", "ASGI", [{"type": START, "status": 200, "headers": 5}], TypeError, "iterable"
    ),
    Refused(
        "headers dict",
        "ASGI",
        [{"type": START, "status": 200, "headers": {b"content-type": b"a"}}],
        ValueError,
        "must be a pair",
    ),
    # ---- Content-Length ----
    *(
        Refused(f"length {value!r}", "8.6", [head(200, length(value))], RuntimeError, "Invalid Con")
        for value in (
            *(b"", b"+5", b"-5", b"5.0", b"0x5", b"5 5", b"5, 5", b"5,", b"five", b"5_0"),
            *(b" 5", b"5 ", b"9" * 19, b"9" * 30, b"\xb2", b"1e3"),
        )
    ),
    Refused("lengths", "8.6", [head(200, length(b"5"), length(b"6"))], RuntimeError, "Conflicting"),
    Refused(
        "lengths, other case",
        "8.6",
        [head(200, length(b"5"), (b"Content-Length", b"6"))],
        RuntimeError,
        "Conflicting",
    ),
    Refused("longer", "8.6", [head(200, length(b"3")), body(b"four")], RuntimeError, "longer"),
    Refused("shorter", "8.6", [head(200, length(b"5")), body(b"four")], RuntimeError, "shorter"),
    Refused("nothing", "8.6", [head(200, length(b"5")), body()], RuntimeError, "shorter"),
    Refused("something", "8.6", [head(200, length(b"0")), body(b"a")], RuntimeError, "longer"),
    Refused("more", "8.6", [head(200, length(b"3")), body(b"four", True)], RuntimeError, "longer"),
    # ---- bodies ----
    *(
        Refused(f"body {data!r}", "ASGI", [head(), body(data)], TypeError, "a response's body is")
        for data in ("text", "", 5, None, [b"a"], (), {})
    ),
    Refused(
        "body gaps", "ASGI", [head(), body(memoryview(b"abcd")[::2])], BufferError, "contiguous"
    ),
    # ---- events ----
    Refused("body first", "ASGI", [body()], RuntimeError, "Expected ASGI message 'http.response.s"),
    Refused("start twice", "ASGI", [head(), head()], RuntimeError, "Expected ASGI message 'http.r"),
    Refused("unknown", "ASGI", [{"type": "http.no"}], RuntimeError, "but got 'http.no'"),
    Refused("unknown later", "ASGI", [head(), {"type": "a"}], RuntimeError, "but got 'a'"),
    Refused("websocket", "ASGI", [{"type": "websocket.accept"}], RuntimeError, "Expected ASGI"),
    Refused("debug", "ASGI", [{"type": "http.response.debug"}], RuntimeError, "Expected ASGI"),
    Refused("push", "ASGI", [head(), {"type": "http.response.push"}], RuntimeError, "Expected ASG"),
    Refused("type int", "ASGI", [{"type": 5}], RuntimeError, "but got '5'"),
    Refused("type none", "ASGI", [{"type": None}], RuntimeError, "but got 'None'"),
    Refused("type bytes", "ASGI", [{"type": START.encode()}], RuntimeError, "Expected ASGI"),
    Refused("no type", "ASGI", [{}], KeyError, "no 'type'"),
    *(
        Refused(f"event {event!r}", "ASGI", [event], TypeError, "send() takes an event")
        for event in (None, 5, "text", b"bytes", [], (START, 200))
    ),
]

CUT = [
    Cut(
        "longer later",
        "8.6",
        [head(200, length(b"3")), body(b"", True), body(b"four")],
        "longer than",
        b"",
    ),
    Cut(
        "longer in the end",
        "8.6",
        [head(200, length(b"3")), body(b"t", True), body(b"hree")],
        "longer than",
        b"t",
    ),
    Cut(
        "shorter later",
        "8.6",
        [head(200, length(b"9")), body(b"four", True), body()],
        "shorter than",
        b"four",
    ),
    Cut("start later", "ASGI", [head(), body(b"a", True), head()], "Expected ASGI", b"1\r\na\r\n"),
    Cut(
        "unknown later",
        "ASGI",
        [head(), body(b"a", True), {"type": "a"}],
        "but got 'a'",
        b"1\r\na\r\n",
    ),
    Cut(
        "unknown after a known length",
        "ASGI",
        [head(200, length(b"5")), body(b"abcd", True), {"type": "a"}],
        "but got 'a'",
        b"abcd",
    ),
]

CHUNKED = ("transfer-encoding", "chunked")


def sized(count: int) -> tuple[str, str]:
    return ("content-length", str(count))


SENT = [
    Sent("one part", "ASGI", [head(), body(b"hello")], [sized(5)], b"hello"),
    Sent("no body", "ASGI", [head(), body()], [sized(0)], b""),
    Sent("no keys", "ASGI", [{"type": START, "status": 201}, {"type": BODY}], [sized(0)], b"", 201),
    Sent("headers none", "ASGI", [head() | {"headers": None}, body()], [sized(0)], b""),
    Sent("extra keys", "ASGI", [head() | {"x": 1}, body(b"a") | {"y": 2}], [sized(1)], b"a"),
    Sent("enum", "15", [head(HTTPStatus.ACCEPTED), body()], [sized(0)], b"", 202),
    Sent("unregistered", "15", [head(299), body()], [sized(0)], b"", 299),
    Sent("last", "15", [head(599), body()], [sized(0)], b"", 599),
    Sent("parts", "9112 7.1", [head(), body(b"a", True), body(b"b")], [CHUNKED], b"ab"),
    Sent("parts end", "9112 7.1", [head(), body(b"a", True), body()], [CHUNKED], b"a"),
    Sent("empty first", "9112 7.1", [head(), body(b"", True), body(b"a")], [CHUNKED], b"a"),
    Sent("empty all", "9112 7.1", [head(), body(b"", True), body()], [CHUNKED], b""),
    Sent(
        "empty between",
        "9112 7.1",
        [head(), body(b"a", True), body(b"", True), body(b"b", True), body()],
        [CHUNKED],
        b"ab",
    ),
    Sent("more is 1", "ASGI", [head(), body(b"a", 1), body(b"b", 0)], [CHUNKED], b"ab"),
    Sent("more is none", "ASGI", [head(), body(b"a", None)], [sized(1)], b"a"),
    Sent("bytearray", "ASGI", [head(), body(bytearray(b"a"))], [sized(1)], b"a"),
    Sent("memoryview", "ASGI", [head(), body(memoryview(b"abc")[1:])], [sized(2)], b"bc"),
    Sent("length", "8.6", [head(200, length(b"5")), body(b"hello")], [sized(5)], b"hello"),
    Sent(
        "length in parts",
        "8.6",
        [head(200, length(b"5")), body(b"he", True), body(b"llo", True), body()],
        [sized(5)],
        b"hello",
    ),
    Sent("length 0", "8.6", [head(200, length(b"0")), body()], [sized(0)], b""),
    Sent(
        "length with zeros",
        "8.6",
        [head(200, length(b"005")), body(b"hello")],
        [("content-length", "005")],
        b"hello",
    ),
    Sent(
        "length twice",
        "8.6",
        [head(200, length(b"1"), length(b"1")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    # ---- no content ----
    Sent("204", "15.3.5", [head(204), body()], [], b"", 204),
    Sent("204 with content", "15.3.5", [head(204), body(b"null")], [], b"", 204),
    Sent("204 with a length", "8.6", [head(204, length(b"0")), body()], [], b"", 204),
    Sent("204 with both", "8.6", [head(204, length(b"4")), body(b"null")], [], b"", 204),
    Sent("204 in parts", "15.3.5", [head(204), body(b"a", True), body(b"b")], [], b"", 204),
    Sent("205", "15.3.6", [head(205), body()], [sized(0)], b"", 205),
    Sent("205 with content", "15.3.6", [head(205), body(b"null")], [sized(0)], b"", 205),
    Sent("205 with both", "15.3.6", [head(205, length(b"4")), body(b"null")], [sized(0)], b"", 205),
    Sent("304", "15.4.5", [head(304), body()], [], b"", 304),
    Sent("304 with content", "15.4.5", [head(304), body(b"null")], [], b"", 304),
    Sent("304 with a length", "8.6", [head(304, length(b"99")), body()], [sized(99)], b"", 304),
    Sent("304 in parts", "15.4.5", [head(304), body(b"a", True), body(b"b")], [], b"", 304),
    Sent("HEAD", "9.3.2", [head(), body()], [], b"", method="HEAD"),
    Sent("HEAD with content", "9.3.2", [head(), body(b"hello")], [], b"", method="HEAD"),
    Sent("HEAD in parts", "9.3.2", [head(), body(b"a", True), body()], [], b"", method="HEAD"),
    Sent(
        "HEAD with a length",
        "8.6",
        [head(200, length(b"9")), body()],
        [sized(9)],
        b"",
        method="HEAD",
    ),
    Sent(
        "HEAD with both",
        "8.6",
        [head(200, length(b"5")), body(b"hello")],
        [sized(5)],
        b"",
        method="HEAD",
    ),
    Sent("HEAD 204", "9.3.2", [head(204), body(b"a")], [], b"", 204, method="HEAD"),
    # ---- framing is the server's ----
    Sent(
        "coding",
        "ASGI",
        [head(200, (b"transfer-encoding", b"chunked")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    Sent(
        "coding in parts",
        "ASGI",
        [head(200, (b"Transfer-Encoding", b"chunked")), body(b"a", True), body()],
        [CHUNKED],
        b"a",
    ),
    Sent(
        "coding unknown",
        "ASGI",
        [head(200, (b"transfer-encoding", b"gzip, identity")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    Sent(
        "coding and length",
        "ASGI",
        [head(200, (b"transfer-encoding", b"chunked"), length(b"1")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    Sent(
        "content coding stays",
        "8.4",
        [head(200, (b"content-encoding", b"gzip")), body(b"a")],
        [("content-encoding", "gzip"), sized(1)],
        b"a",
    ),
    # ---- the connection is, too ----
    Sent(
        "close",
        "9112 9.6",
        [head(200, (b"connection", b"close")), body(b"a")],
        [("connection", "close"), sized(1)],
        b"a",
        alive=False,
    ),
    Sent(
        "Close",
        "7.6.1",
        [head(200, (b"Connection", b"x , CLOSE")), body(b"a")],
        [("connection", "x , CLOSE"), sized(1)],
        b"a",
        alive=False,
    ),
    Sent(
        "keep-alive",
        "9112 9.3",
        [head(200, (b"connection", b"Keep-Alive")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    Sent(
        "keep-alive and more",
        "9112 9.3",
        [head(200, (b"connection", b"keep-alive,, X-a , b")), body(b"a")],
        [("connection", "X-a,b"), sized(1)],
        b"a",
    ),
    Sent(
        "keep-alive and close",
        "9112 9.6",
        [head(200, (b"connection", b"keep-alive, close")), body(b"a")],
        [("connection", "close"), sized(1)],
        b"a",
        alive=False,
    ),
    Sent(
        "keep-alive, but the client does not",
        "9112 9.6",
        [head(200, (b"connection", b"keep-alive")), body(b"a")],
        [sized(1), ("connection", "close")],
        b"a",
        ask=("Connection: close",),
        alive=False,
    ),
    Sent(
        "upgrade",
        "7.8",
        [head(426, (b"upgrade", b"h2c"), (b"connection", b"upgrade")), body(b"a")],
        [("upgrade", "h2c"), ("connection", "upgrade"), sized(1)],
        b"a",
        426,
    ),
    Sent(
        "keep-alive field",
        "9112 C.2.2",
        [head(200, (b"keep-alive", b"timeout=5"), (b"Proxy-Connection", b"close")), body(b"a")],
        [sized(1)],
        b"a",
    ),
    # ---- HTTP/1.0 ----
    Sent(
        "old",
        "9112 9.3",
        [head(), body(b"a")],
        [sized(1), ("connection", "close")],
        b"a",
        version="1.0",
        alive=False,
    ),
    Sent(
        "old in parts",
        "9112 6.1",
        [head(), body(b"a", True), body(b"b")],
        [("connection", "close")],
        b"ab",
        version="1.0",
        alive=False,
    ),
    Sent(
        "old, kept alive",
        "9112 C.2.2",
        [head(200, (b"connection", b"keep-alive")), body(b"a")],
        [sized(1), ("connection", "keep-alive")],
        b"a",
        version="1.0",
        ask=("Connection: keep-alive",),
    ),
    Sent(
        "old, kept alive, in parts",
        "9112 6.1",
        [head(), body(b"a", True), body(b"b")],
        [("connection", "close")],
        b"ab",
        version="1.0",
        ask=("Connection: keep-alive",),
        alive=False,
    ),
    Sent(
        "old coding",
        "9112 6.1",
        [head(200, (b"transfer-encoding", b"chunked")), body(b"a", True), body()],
        [("connection", "close")],
        b"a",
        version="1.0",
        alive=False,
    ),
    # ---- fields ----
    Sent(
        "name in lower case",
        "ASGI",
        [head(200, (b"X-Upper", b"Value")), body()],
        [("x-upper", "Value"), sized(0)],
        b"",
    ),
    Sent(
        "all of a token",
        "5.6.2",
        [head(200, (b"!#$%&'*+-.^_`|~09az", b"")), body()],
        [("!#$%&'*+-.^_`|~09az", ""), sized(0)],
        b"",
    ),
    Sent(
        "order and repetition",
        "5.3",
        [
            head(200, (b"a", b"1"), (b"set-cookie", b"x"), (b"a", b"2"), (b"set-cookie", b"y")),
            body(),
        ],
        [("a", "1"), ("set-cookie", "x"), ("a", "2"), ("set-cookie", "y"), sized(0)],
        b"",
    ),
    Sent(
        "tab and Latin-1",
        "5.5",
        [head(200, (b"a", b"b\tc \xe9\xff")), body()],
        [("a", "b\tc \xe9\xff"), sized(0)],
        b"",
    ),
    Sent("list of lists", "ASGI", [head(200, [b"a", b"b"]), body()], [("a", "b"), sized(0)], b""),
    Sent(
        "server",
        "10.2.4",
        [head(200, (b"Server", b"mine"), (b"server", b"again")), body()],
        [sized(0)],
        b"",
        server=["mine"],
    ),
    Sent(
        "date twice",
        "6.6.1",
        [head(200, (b"Date", b"then"), (b"date", b"now")), body()],
        [sized(0)],
        b"",
    ),
]
