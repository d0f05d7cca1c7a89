# SPDX-License-Identifier: MIT
"""What there may be of a request, of requests and of connections: at each limit, and one over.

The verdict must not depend on how the bytes were cut: each request is sent whole, in two pieces
at many places, and byte by byte where that is not too much.
"""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Client, Served, answer, echo, get, post

CHUNKED = get("/", "Transfer-Encoding: chunked", method="POST")
EXTENDED = b"5;%s\r\nhello\r\n0\r\n\r\n"


def ways(data: bytes) -> Iterator[list[bytes]]:
    """Whole, cut in two at up to sixteen places, and small pieces."""
    yield [data]
    for cut in range(1, len(data), max(1, len(data) // 16)):
        yield [data[:cut], data[cut:]]
    size = max(1, len(data) // 200)
    yield [data[at : at + size] for at in range(0, len(data), size)]


def feed(served: Served, pieces: list[bytes]) -> tuple[int, bool]:
    """Give a connection each piece as a read of its own; return the answer's status and whether
    the connection was ended."""

    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written = b""
            self.closing = False

        def write(self, data: Any) -> None:
            self.written += bytes(data)

        def get_write_buffer_size(self) -> int:
            return 0

        def is_closing(self) -> bool:
            return self.closing

        def close(self) -> None:
            self.closing = True

        abort = close

        def can_write_eof(self) -> bool:
            return False

        def pause_reading(self) -> None:
            pass

        def resume_reading(self) -> None:
            pass

    async def run() -> tuple[int, bool]:
        transport, protocol = Transport(), served.http()
        protocol.connection_made(transport)
        for piece in pieces:
            protocol.data_received(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while b"\r\n\r\n" not in transport.written:
                await asyncio.sleep(0)
        status = int(transport.written.split(b" ", 2)[1])
        ended = transport.closing
        protocol.connection_lost(None)
        return status, ended

    result: tuple[int, bool] = served.run(run())
    return result


# Options, and requests at the limit (200) and one over it (the status).
LIMITS: dict[str, tuple[dict[str, Any], bytes, bytes, int]] = {
    "request line": (
        {"request_line": 100},
        get("/" + "a" * (100 - len("GET / HTTP/1.1"))),
        get("/" + "a" * (101 - len("GET / HTTP/1.1"))),
        414,
    ),
    "header line": (
        {"header_line": 100},
        get("/", "A: " + "a" * 97),
        get("/", "A: " + "a" * 98),
        431,
    ),
    "header count": (
        {"header_count": 10},
        get("/", *["A: b"] * 9),
        get("/", *["A: b"] * 10),
        431,
    ),
    "more headers than by default": (
        {"header_count": 300},
        get("/", *["A: b"] * 299),
        get("/", *["A: b"] * 300),
        431,
    ),
    "head bytes": (
        {"head_bytes": 1000, "header_line": None},
        get("/", "A: " + "a" * (1000 - len(get("/", "A: ")))),
        get("/", "A: " + "a" * (1001 - len(get("/", "A: ")))),
        431,
    ),
    "body": ({"body_bytes": 5}, post(b"hello"), post(b"hello!"), 413),
    "no body at all": ({"body_bytes": 0}, post(b""), post(b"!"), 413),
    "body in chunks": (
        {"body_bytes": 5},
        CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nhe\r\n4\r\nllo!\r\n0\r\n\r\n",
        413,
    ),
    "body in chunks with worse behind it": (
        {"body_bytes": 5},
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"6\r\nhello!nonsense",
        413,
    ),
    "chunk extensions": (
        {"extension_bytes": 10},
        CHUNKED + EXTENDED % (b"a" * 9),
        CHUNKED + EXTENDED % (b"a" * 10),
        400,
    ),
    "trailers": (
        {"trailer_bytes": 10},
        CHUNKED + b"0\r\nA: bcd\r\n\r\n"[:-2] + b"\r\n",
        CHUNKED + b"0\r\nA: bcdefgh\r\n\r\n",
        431,
    ),
}


@pytest.mark.parametrize("name", list(LIMITS))
def test_limit(start: Serve, name: str) -> None:
    options, at_limit, over, status = LIMITS[name]
    served = start(echo, **options)
    for pieces in ways(at_limit):
        assert feed(served, pieces) == (200, False)
    for pieces in ways(over):
        assert feed(served, pieces) == (status, True)
    # And over a real connection, whose answer arrives and which ends.
    with served.connect() as client:
        client.send(over)
        response = client.read_response()
        assert (response.status, response.get("connection")) == (status, "close")
        assert client.at_end()
    assert served.ask(get()).status == 200


def test_body_too_large_is_refused_before_it_is_sent(start: Serve) -> None:
    """By its length: the application never hears of it, and nobody is told to go on."""
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])
        await answer(send)

    served = start(app, body_bytes=1000)
    for header in ("X: y", "Expect: 100-continue"):
        with served.connect() as client:
            client.send(get("/", "Content-Length: 1001", header, method="POST"))
            response = client.read_response()
            assert (response.status, response.reason) == (413, "Content Too Large")
            assert client.at_end()
    assert called == []
    assert served.log.messages == ["Request refused with 413: the body is too long."] * 2


def test_body_that_becomes_too_large(start: Serve) -> None:
    """In chunks: the application, at work on it, is told of a disconnect."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while events[-1:] != ["http.disconnect"]:
            events.append((await receive())["type"])

    served = start(app, body_bytes=1000)
    with served.connect() as client:
        client.send(CHUNKED + b"3e8\r\n" + bytes(1000) + b"\r\n")
        served.until(lambda: events == ["http.request"])
        client.send(b"1\r\n!\r\n")
        assert client.read_response().status == 413
        assert client.at_end()
    served.until(lambda: served.http.tasks == 0)
    assert events == ["http.request", "http.disconnect"]


def test_requests_on_one_connection(start: Serve) -> None:
    """The last one says that it is, and closes; one pipelined behind it is not begun."""
    served = start(echo, connection_requests=3)
    with served.connect() as client:
        for at in range(3):
            client.send(get(f"/{at}"))
            response = client.read_response()
            assert response.get("connection") == ("close" if at == 2 else None)
        assert client.at_end()
    with served.connect() as client:
        client.send(get("/") * 5)
        assert [client.read_response().get("connection") for _ in range(3)] == [None, None, "close"]
        assert client.at_end()
    assert served.call(lambda: served.http.requests) == 6


# How many at once.


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


class Gate:
    """An application that answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.waiting += 1
        await self.open.wait()
        await answer(send, b"late")


def unavailable(client: Client) -> None:
    response = client.read_response()
    assert (response.status, response.reason) == (503, "Service Unavailable")
    assert response.body == b"Service Unavailable"
    assert response.get("connection") == "close"
    assert response.get("content-type") == "text/plain; charset=utf-8"
    assert client.at_end()


def test_concurrency_of_connections(start: Serve) -> None:
    """As uvicorn counts: with as many connections as the limit, the next request is too many."""
    lines: list[tuple[Any, ...]] = []
    served = start(hello, concurrency=3, access_log=lambda *line: lines.append(line))
    with served.connect() as first, served.connect() as second:
        for client in (first, second):
            client.send(get("/fine"))
            assert client.read_response().body == b"hello"
        with served.connect() as third:
            third.send(get("/many"))
            unavailable(third)
        with served.connect() as third:
            third.send(post(bytes(100), target="/many"))
            unavailable(third)
        served.until(lambda: served.http.connections == 2)
        first.send(get("/again"))
        assert first.read_response().body == b"hello"
    served.until(lambda: len(lines) == 5)
    assert [(line[2], line[4]) for line in lines] == [
        ("/fine", 200),
        ("/fine", 200),
        ("/many", 503),
        ("/many", 503),
        ("/again", 200),
    ]
    assert served.log.messages == ["Exceeded concurrency limit."] * 2


def test_concurrency_of_tasks(start: Serve) -> None:
    """Background work counts, though its connection may be gone."""
    gate = Gate()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun")
        await gate.open.wait()

    served = start(app, concurrency=2)
    for _ in range(2):
        assert served.ask(get("/", "Connection: close")).body == b"begun"
    served.until(lambda: served.http.connections == 0)
    with served.connect() as client:
        client.send(get())
        unavailable(client)
    served.call(gate.open.set)
    served.until(lambda: served.http.tasks == 0)
    assert served.ask(get()).body == b"begun"


def test_concurrency_of_one(start: Serve) -> None:
    """Refuses everything, as with uvicorn: a request's own connection is one."""
    served = start(hello, concurrency=1)
    with served.connect() as client:
        client.send(get(method="HEAD"))
        assert client.read_response(method="HEAD").status == 503
        assert client.at_end()


def test_connections_in_all(start: Serve) -> None:
    """One too many is told so and closed, whatever it sends; as one leaves, one gets in."""
    served = start(hello, connections=2)
    with served.connect() as first, served.connect() as second:
        for client in (first, second):
            client.send(get())
            assert client.read_response().body == b"hello"
        with served.connect() as third:
            assert third.read_response().status == 503
            assert third.at_end()
        served.until(lambda: served.http.connections == 2)
        with served.connect() as third:
            third.send(get() * 3)
            assert third.read_response().status == 503
        second.sock.close()
        served.until(lambda: served.http.connections == 1)
        with served.connect() as third:
            third.send(get())
            assert third.read_response().body == b"hello"
        first.send(get())
        assert first.read_response().body == b"hello"


def test_flood_of_connections(start: Serve) -> None:
    """Beyond some that are told, they are closed without a word, and hold nothing."""
    served = start(hello, connections=4)
    clients = [served.connect() for _ in range(100)]
    told = 0
    for client in clients[4:]:
        try:
            told += client.sock.recv(100).startswith(b"HTTP/1.1 503 ")
        except ConnectionResetError:
            pass
    assert 0 < told < 96
    for client in clients[:4]:
        client.send(get())
        assert client.read_response().body == b"hello"
    for client in clients:
        client.sock.close()
    served.until(lambda: served.http.connections == 0)
    # All of it is one line, or two if it took longer than a second.
    assert len(served.log.messages) < 10


def test_connections_of_one_address(start: Serve) -> None:
    """127.0.0.2 gets in while 127.0.0.1 has as many as it may."""
    served = start(hello, address_connections=2)

    def connect(address: str) -> Client:
        sock = socket.create_connection(("127.0.0.1", served.port), 60, (address, 0))
        return Client(sock)

    with connect("127.0.0.1") as first, connect("127.0.0.1") as second:
        for client in (first, second):
            client.send(get())
            assert client.read_response().body == b"hello"
        with connect("127.0.0.1") as third:
            assert third.read_response().status == 503
            assert third.at_end()
        with connect("127.0.0.2") as other:
            other.send(get())
            assert other.read_response().body == b"hello"
        served.until(lambda: served.http.connections == 2)
        first.sock.close()
        served.until(lambda: served.http.connections == 1)
        with connect("127.0.0.1") as third:
            third.send(get())
            assert third.read_response().body == b"hello"


@pytest.mark.parametrize(
    ("names", "admitted"),
    [
        (["10.0.0.1", "10.0.0.1"], 1),
        (["10.0.0.1", "10.0.0.2"], 2),
        (["::ffff:10.0.0.1", "10.0.0.1"], 1),
        (["2001:db8::1", "2001:db8::2"], 1),
        (["2001:db8::1", "2001:db8:0:1::1"], 2),
        (["fe80::1%eth0", "fe80::2%eth1"], 1),
        ([None, None], 2),
        (["not an address", "not an address"], 2),
    ],
)
def test_what_is_one_address(start: Serve, names: list[str | None], admitted: int) -> None:
    """An IPv6 network of 64 bits is one customer's; who has no address is not counted."""
    served = start(hello, address_connections=1)

    class Transport(asyncio.Transport):
        def __init__(self, name: str | None) -> None:
            super().__init__({"peername": (name, 1) if name else ""})
            self.written = b""

        def write(self, data: Any) -> None:
            self.written += bytes(data)

        def is_closing(self) -> bool:
            return False

        def can_write_eof(self) -> bool:
            return False

        def close(self) -> None:
            pass

    async def run() -> int:
        transports = [Transport(name) for name in names]
        protocols = [served.http() for _ in names]
        for protocol, transport in zip(protocols, transports, strict=True):
            protocol.connection_made(transport)
        for protocol in protocols:
            protocol.connection_lost(None)
            protocol.connection_lost(None)
        return sum(not transport.written for transport in transports)

    assert served.run(run()) == admitted
    assert served.run(run()) == admitted


def test_max_requests(start: Serve) -> None:
    """Who asked for it is told once, when so many are answered."""
    told: list[int] = []
    served = start(hello, max_requests=3, on_max_requests=lambda: told.append(served.http.requests))
    with served.connect() as client:
        for _ in range(5):
            client.send(get())
            assert client.read_response().body == b"hello"
    assert told == [3]
