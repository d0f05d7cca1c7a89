# SPDX-License-Identifier: MIT
"""Scenarios of the HTTP server: requests of every shape, applications that fail, disconnects.

Client and server are in one loop, the server's side being ours in C. The client's is a raw
socket, so that nothing but the server can leak.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from camshaft import _core
from tests.leaks.scenario import Run, Table, coroutine

SCENARIOS: Table = {}

GET = b"GET /path?query=1 HTTP/1.1\r\nHost: example\r\nUser-Agent: leaks\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n"


async def hello(scope, receive, send):
    """Reads the body, answers with its length."""
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"%d" % length
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def requests(
    *, app: Callable[..., Any] = hello, table: Table = SCENARIOS, **keywords: Any
) -> Callable[[Callable[..., Any]], None]:
    """Enter `async function(loop, address, server)` with an HTTP server made for each run."""

    def enter(function: Callable[..., Any]) -> None:
        async def run(loop):
            http = _core.HttpServer(app, loop=loop, **keywords)
            server = await loop.create_server(http, "127.0.0.1", 0)
            try:
                await function(loop, server.sockets[0].getsockname(), http)
            finally:
                server.close()
                http.shutdown()
                http.abort()
                while http.connections or http.tasks:
                    await asyncio.sleep(0)
                await server.wait_closed()

        run.__name__ = function.__name__
        run.__module__ = function.__module__
        coroutine(table)(run)

    return enter


@contextlib.asynccontextmanager
async def connected(loop, address):
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, address)
        yield sock
    finally:
        sock.close()


async def to_the_end(loop, sock):
    data = b""
    try:
        while piece := await loop.sock_recv(sock, 1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


async def answers(loop, sock, count, start=b"HTTP/1.1 200"):
    """Reads `count` answers of `hello` to requests without a body."""
    data = b""
    while data.count(b"HTTP/1.1 ") < count or not data.endswith(b"\r\n\r\n0"):
        piece = await loop.sock_recv(sock, 1 << 16)
        assert piece, data
        data += piece
    assert data.startswith(start), data


async def ask(loop, address, *pieces, expected):
    """Sends pieces on a new connection, reads to the end; the answer begins with `expected`."""
    async with connected(loop, address) as sock:
        for piece in pieces:
            try:
                await loop.sock_sendall(sock, piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            await asyncio.sleep(0)
        data = await to_the_end(loop, sock)
        assert data.startswith(expected), data


@requests()
async def keep_alive(loop, address, server):
    async with connected(loop, address) as sock:
        for _ in range(5):
            await loop.sock_sendall(sock, GET)
            await answers(loop, sock, 1)


@requests()
async def one_request_a_connection(loop, address, server):
    for _ in range(3):
        await ask(loop, address, CLOSE, expected=b"HTTP/1.1 200")
    await ask(loop, address, b"GET / HTTP/1.0\r\n\r\n", expected=b"HTTP/1.1 200")
    await ask(
        loop,
        address,
        b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        expected=b"HTTP/1.1 200",
    )


@requests()
async def pipelined(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET * 10)
        await answers(loop, sock, 10)


@requests()
async def byte_by_byte(loop, address, server):
    request = (
        b"POST /%41 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )
    pieces = [request[i : i + 1] for i in range(len(request))]
    await ask(loop, address, *pieces, expected=b"HTTP/1.1 200")


@requests()
async def bodies_of_known_length(loop, address, server):
    for size in (0, 5, 5000, 300_000):
        head = (
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
        )
        await ask(loop, address, head + bytes(size), expected=b"HTTP/1.1 200")


@requests()
async def chunked_bodies(loop, address, server):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"5;extension=1\r\nhello\r\n"
    end = b"0\r\nTrailer: x\r\n\r\n"
    await ask(loop, address, head + chunk * 3 + end, expected=b"HTTP/1.1 200")
    await ask(loop, address, head, chunk, chunk, end, expected=b"HTTP/1.1 200")
    await ask(loop, address, head + b"zz\r\n", expected=b"HTTP/1.1 ")


@requests()
async def expect_continue(loop, address, server):
    head = (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, head)
        answer = await loop.sock_recv(sock, 1000)
        assert answer.startswith(b"HTTP/1.1 100"), answer
        await loop.sock_sendall(sock, b"hello")
        await to_the_end(loop, sock)


MALFORMED = (
    b"\0\1\2\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
)


@requests()
async def malformed_requests(loop, address, server):
    for request in MALFORMED:
        await ask(loop, address, request, expected=b"")


@requests()
async def malformed_after_a_good_one(loop, address, server):
    await ask(loop, address, GET + b"nonsense\r\n\r\n", expected=b"HTTP/1.1 200")


async def streaming(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for size in (1, 5000, 0, 200_000):
        await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
    await send({"type": "http.response.body"})


@requests(app=streaming)
async def streamed_answers(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 200")
    await ask(loop, address, b"GET / HTTP/1.0\r\n\r\n", expected=b"HTTP/1.1 200")


@requests(app=streaming)
async def clients_that_leave_in_the_middle(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await loop.sock_recv(sock, 100)


async def waiting(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"to nobody"})


@requests(app=waiting)
async def disconnects_while_the_application_waits(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        while not server.tasks:
            await asyncio.sleep(0)
    while server.tasks:
        await asyncio.sleep(0)


async def sleeping(scope, receive, send):
    await asyncio.sleep(1000)


@requests(app=sleeping)
async def requests_cancelled_by_the_server(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        while not server.tasks:
            await asyncio.sleep(0)
        server.cancel()
        while server.tasks:
            await asyncio.sleep(0)


async def failing(scope, receive, send):
    kind = scope["path"]
    if kind == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    if kind == "/silent":
        return None
    if kind == "/returns":
        return 5
    if kind == "/unfinished":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return None
    raise ValueError("on purpose")


@requests(app=failing)
async def applications_that_fail(loop, address, server):
    for path in (b"/", b"/late", b"/silent", b"/returns", b"/unfinished"):
        request = b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        await ask(loop, address, request, expected=b"")


async def misusing(scope, receive, send):
    for message in (
        {"type": "unknown"},
        {"type": "http.response.body"},
        {"type": "http.response.start"},
        {"type": "http.response.start", "status": "text"},
        {"type": "http.response.start", "status": 200, "headers": [(b"bad\n", b"x")]},
        {"type": "http.response.start", "status": 200, "headers": [("text", b"x")]},
        {"type": "http.response.start", "status": 200, "headers": 5},
        None,
    ):
        try:
            await send(message)
        except Exception:
            pass
    await hello(scope, receive, send)
    for message in ({"type": "http.response.body"}, {"type": "http.response.start"}):
        try:
            await send(message)
        except Exception:
            pass


@requests(app=misusing)
async def messages_that_are_wrong(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 ")


async def never_reads(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def extended(scope, receive, send):
    """Sends files, early hints and trailers, and some that cannot be sent."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    path = {"type": "http.response.pathsend", "path": __file__}
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    if scope["path"] == "/path":
        await send(start)
        for wrong in (None, "/does/not/exist", "/"):
            with contextlib.suppress(Exception):
                await send(path | {"path": wrong})
        await send(path)
        return
    await send(start | {"trailers": True})
    with open(__file__, "rb") as file:
        part = {"type": "http.response.zerocopysend", "file": file, "more_body": True}
        for more in ({"count": 1 << 40}, {"offset": -1}, {"file": None}):
            with contextlib.suppress(Exception):
                await send(part | more)
        await send(part | {"count": 10})
        await send(part | {"offset": 5})
    await send({"type": "http.response.body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


@requests(app=extended)
async def files_hints_and_trailers(loop, address, server):
    for path in (b"/", b"/path"):
        for more in (b"", b"TE: trailers\r\n"):
            request = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n" % (path, more)
            await ask(loop, address, request, expected=b"HTTP/1.1 103")


async def endless(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})


@requests(app=endless)
async def sends_to_clients_that_have_left(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await loop.sock_recv(sock, 100)
    while server.tasks:
        await asyncio.sleep(0)


_NULL = open("/dev/null", "w")


def _plain_log():
    return _NULL.fileno(), True, _NULL.flush, (b"200 OK",) * 600, ((_WATCHED, "key", None),)


_WATCHED = {"key": None}


@requests(access_log=lambda *details: None, plain_log=_plain_log)
async def access_log_lines_made_in_c(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 200")
    server._sweep()


@requests(app=never_reads)
async def bodies_left_unread(loop, address, server):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n"
    await ask(loop, address, head + bytes(200_000), expected=b"")
    await ask(loop, address, head + bytes(10), expected=b"HTTP/1.1 204")


@requests(access_log=lambda *details: None, state={"key": "value"}, root_path="/root")
async def with_access_log_state_and_root_path(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 200")
    await ask(
        loop,
        address,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
        expected=b"HTTP/1.1 ",
    )


@requests()
async def idle_connections_at_shutdown(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await answers(loop, sock, 1)
        server.shutdown()
        assert await to_the_end(loop, sock) == b""


@requests(concurrency=0)
async def requests_too_many(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 503")
    upgrade = b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    await ask(loop, address, GET[:-2] + upgrade + key, expected=b"HTTP/1.1 503")


@requests(connections=1, address_connections=1)
async def connections_too_many(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await answers(loop, sock, 1)
        await ask(loop, address, expected=b"HTTP/1.1 503")


@requests(connection_requests=2, request_line=100, header_count=5, head_bytes=500, body_bytes=10)
async def requests_beyond_their_limits(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET + GET)
        assert b"connection: close" in await to_the_end(loop, sock)
    post = b"POST / HTTP/1.1\r\nHost: a\r\n"
    for request, status in (
        (b"GET /" + b"x" * 200, b"414"),
        (GET[:-2] + b"a: b\r\n" * 6 + b"\r\n", b"431"),
        (GET[:-2] + b"a: " + b"x" * 600, b"431"),
        (post + b"Content-Length: 11\r\n\r\n", b"413"),
        (post + b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n", b"413"),
    ):
        await ask(loop, address, request, expected=b"HTTP/1.1 " + status)


@requests(pause_at=1)
async def accepting_that_pauses(loop, address, server):
    told = []
    server.watch_full(told.append)
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await to_the_end(loop, sock)
    while server.connections:
        await asyncio.sleep(0)
    assert told == [True, False]


@requests(access_log=lambda *details: None, access_details=True)
async def access_log_with_details(loop, address, server):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 200")


@requests(app=endless, access_log=lambda *details: None, access_details=True)
async def access_log_of_clients_that_have_left(loop, address, server):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET)
        await loop.sock_recv(sock, 100)
    while server.tasks:
        await asyncio.sleep(0)


@contextlib.contextmanager
def _refused() -> Iterator[Run]:
    def run() -> None:
        for arguments, keywords in (((), {}), ((hello,), {}), ((hello,), {"loop": 5, "x": 1})):
            try:
                _core.HttpServer(*arguments, **keywords)
            except TypeError:
                pass

    yield run


SCENARIOS["http: servers refused"] = _refused


class Recording:
    """A transport that is not ours, as TLS gives: the protocol's Python face is used."""

    def __init__(self):
        self.closing = False

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data):
        pass

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    abort = close

    def pause_reading(self):
        pass

    resume_reading = pause_reading

    def set_protocol(self, protocol):
        pass


@coroutine(SCENARIOS)
async def on_another_transport(loop):
    http = _core.HttpServer(hello, loop=loop)
    protocol = http()
    protocol.connection_made(Recording())
    protocol.data_received(GET * 3)
    protocol.pause_writing()
    protocol.resume_writing()
    while http.tasks:
        await asyncio.sleep(0)
    protocol.eof_received()
    protocol.connection_lost(None)
    while http.connections:
        await asyncio.sleep(0)
