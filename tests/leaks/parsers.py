# SPDX-License-Identifier: MIT
"""Scenarios of camshaft.http's parsers: messages of every shape, errors, callbacks that fail."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import camshaft.http as http
from tests.leaks.http import hello
from tests.leaks.scenario import Table, coroutine, plain

SCENARIOS: Table = {}

REQUESTS = (
    b"GET http://a/path?q HTTP/1.1\r\nHost: a\r\nX-Own: value\r\nAccept: */*\r\n\r\n"
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n0\r\nTrailer-Own: c\r\nCookie: d\r\n\r\n"
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nrest"
)
RESPONSES = (
    b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Folded: a\r\n  b\r\n\r\nab"
    b"HTTP/1.1 200 Fine\r\nServer: x\r\n\r\nabc"
)


class Protocol:
    """Takes everything; raises where it is told to."""

    def __init__(self, kind: Callable[..., Any], failing: str | None = None) -> None:
        self.failing = failing
        self.parser = kind(self)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: bytes) -> None:
            if name == self.failing:
                raise ZeroDivisionError

        return call


def feed(protocol: Protocol, data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        with contextlib.suppress(http.HttpParserError, http.HttpParserUpgrade):
            protocol.parser.feed_data(data[at : at + step])


@plain(SCENARIOS)
def requests_whole_and_in_pieces(loop: Any) -> None:
    for step in (1, 7, 1000):
        feed(Protocol(http.HttpRequestParser), REQUESTS, step)


@plain(SCENARIOS)
def repeated_header_blocks(loop: Any) -> None:
    protocol = Protocol(http.HttpRequestParser)
    for block in (b"Host: a\r\nX-Own: b\r\n\r\n", b"Host: a\r\nX-Own: c\r\n\r\n"):
        for _ in range(3):
            protocol.parser.feed_data(b"GET / HTTP/1.1\r\n" + block)
    failing = Protocol(http.HttpRequestParser)
    failing.parser.feed_data(b"GET / HTTP/1.1\r\n" + block)
    failing.parser.feed_data(b"GET / HTTP/1.1\r\nHost: a")


@plain(SCENARIOS)
def responses_whole_and_in_pieces(loop: Any) -> None:
    for step in (1, 7, 1000):
        protocol = Protocol(http.HttpResponseParser)
        protocol.parser.set_dangerous_leniencies(lenient_headers=True)
        feed(protocol, RESPONSES, step)


@plain(SCENARIOS)
def callbacks_that_raise(loop: Any) -> None:
    for name in ("message_begin", "url", "header", "headers_complete", "body", "chunk_header",
                 "chunk_complete", "message_complete"):  # fmt: skip
        feed(Protocol(http.HttpRequestParser, f"on_{name}"), REQUESTS, 1000)


@plain(SCENARIOS)
def what_is_not_http(loop: Any) -> None:
    for data in (b"?", b"GET / HTTP/1.1\r\n\r\n", REQUESTS[:70] + b"\n", b"GET /" + b"a" * 20_000):
        for step in (50, 50_000):
            feed(Protocol(http.HttpRequestParser), data, step)


@plain(SCENARIOS)
def initialized_again(loop: Any) -> None:
    protocol = Protocol(http.HttpRequestParser)
    for _ in range(3):
        protocol.parser.feed_data(REQUESTS[:70])
        protocol.parser.__init__(protocol)


@plain(SCENARIOS)
def urls(loop: Any) -> None:
    url = http.parse_url(b"http://user@host:80/path?query#fragment")
    repr((url, url.schema, url.port, url.path))
    for wrong in (b" ", b"/" * 70_000):
        with contextlib.suppress(http.HttpParserInvalidURLError):
            http.parse_url(wrong)


class Config:
    """What camshaft.http.Protocol asks of a uvicorn Config."""

    loaded = True
    root_path = ""
    asgi_version = "3.0"
    limit_concurrency = None
    timeout_keep_alive = 5

    def __init__(self, app: Any, ws_protocol_class: Any) -> None:
        self.loaded_app = app
        self.ws_protocol_class = ws_protocol_class


class State:
    """What it asks of a ServerState."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.total_requests = 0
        self.default_headers = [(b"Server", b"x"), (b"Date", b"now"), (b"X-Own", b"y")]


class Taker(asyncio.Protocol):
    """Takes a connection over and closes it."""

    def __init__(self, **arguments: Any) -> None: ...

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()


async def ask(loop: Any, request: bytes, ws_protocol_class: Any) -> None:
    state = State()
    config = Config(hello, ws_protocol_class)
    server = await loop.create_server(
        lambda: http.Protocol(config, state, {}, _loop=loop), "127.0.0.1", 0
    )
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, request)
        while await loop.sock_recv(client, 65536):
            pass
    while state.connections or state.tasks:
        await asyncio.sleep(0)
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def inside_of_uvicorn(loop: Any) -> None:
    await ask(loop, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", None)
    await ask(loop, b"?\r\n\r\n", None)


@coroutine(SCENARIOS)
async def handed_over_to_another_protocol(loop: Any) -> None:
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n"
    )
    await ask(loop, upgrade, None)
    await ask(loop, upgrade, Taker)
