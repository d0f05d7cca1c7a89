# SPDX-License-Identifier: MIT
"""Scenarios of what comes before HTTP: TLS and the PROXY header, got through, refused, given up."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from camshaft import _core
from camshaft.middleware.proxy_headers import TrustedHosts
from camshaft.server.tls import TlsInfo
from tests.leaks.http import CLOSE, ask, connected, hello, to_the_end
from tests.leaks.scenario import Table, coroutine
from tests.leaks.tls import contexts

SCENARIOS: Table = {}

V1 = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\1\2\3\4\5\6\7\x08\0\1\0\2\4\0\0"


def entered(
    *, tls: bool = False, app: Callable[..., Any] = hello, **settings: Any
) -> Callable[[Callable[..., Any]], None]:
    """Enter `async function(loop, address, entrance)`, an HTTP server being behind the entrance."""

    def enter(function: Callable[..., Any]) -> None:
        async def run(loop):
            context = contexts()[0] if tls else None
            trusted = TrustedHosts("1.2.3.4")
            http = _core.HttpServer(app, loop=loop, tls_info=TlsInfo(), trusted_proxies=trusted)
            entrance = _core.Entrance(loop, http, ssl_context=context, **settings)
            server = await loop.create_server(entrance, "127.0.0.1", 0)
            try:
                await function(loop, server.sockets[0].getsockname(), entrance)
            finally:
                server.close()
                entrance.close()
                http.shutdown()
                http.abort()
                while http.connections or http.tasks:
                    await asyncio.sleep(0)
                await server.wait_closed()

        run.__name__ = function.__name__
        run.__module__ = function.__module__
        coroutine(SCENARIOS)(run)

    return enter


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


@entered(tls=True)
async def requests_over_tls(loop, address, entrance):
    for _ in range(2):
        reader, writer = await asyncio.open_connection(
            *address, ssl=contexts()[1], server_hostname="localhost"
        )
        writer.write(CLOSE)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        entrance.ssl_context = contexts()[0]


@entered(tls=True)
async def handshakes_that_fail(loop, address, entrance):
    for hello_ in (b"\x16\3\1\0\1x", b"\x16\x09\x09\0\5hello", b"\0" * 10):
        async with connected(loop, address) as sock:
            await loop.sock_sendall(sock, hello_)
            await until(lambda: entrance.arrivals == 1)
    await until(lambda: entrance.arrivals == 0)


@entered(tls=True)
async def plain_text(loop, address, entrance):
    await ask(loop, address, CLOSE, expected=b"HTTP/1.1 400")
    await ask(loop, address, b"GET " * 30_000, expected=b"")


@entered(tls=True, limit=2)
async def too_many(loop, address, entrance):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            sock = await stack.enter_async_context(connected(loop, address))
            await loop.sock_sendall(sock, b"\x16\3\1\0\x50")
        await until(lambda: entrance.arrivals == 2)


@entered(tls=True, time_limit=0.01)
async def too_late(loop, address, entrance):
    async with connected(loop, address) as silent, connected(loop, address) as slow:
        await loop.sock_sendall(slow, b"\x16\3\1\0\x50")
        await to_the_end(loop, silent)
        await to_the_end(loop, slow)


@entered(tls=True)
async def closed_under_them(loop, address, entrance):
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, b"\x16\3\1\0\x50")
        await until(lambda: entrance.arrivals == 1)
        entrance.close()
        await to_the_end(loop, sock)


@entered(tls=False, proxies=TrustedHosts("127.0.0.1"))
async def proxy_headers(loop, address, entrance):
    for header in (V1, V2, b"PROXY UNKNOWN\r\n"):
        await ask(loop, address, header + CLOSE, expected=b"HTTP/1.1 200")
        await ask(loop, address, *(bytes([byte]) for byte in header), CLOSE, expected=b"HTTP")


@entered(tls=False, proxies=TrustedHosts("127.0.0.1"))
async def forwarded_behind_them(loop, address, entrance):
    for value in (b"9.9.9.9", b"a, 1.2.3.4:+8", b"\xa0", b""):
        request = CLOSE.replace(b"Host", b"X-Forwarded-For: " + value + b"\r\nHost")
        await ask(loop, address, V1 + request, expected=b"HTTP/1.1 200")


@entered(tls=False, proxies=TrustedHosts("*"))
async def wrong_headers(loop, address, entrance):
    for wrong in (CLOSE, b"PROXY TCP4 x\r\n", V2[:13] + b"\x41", V1[:-2] + b"\n"):
        await ask(loop, address, wrong, expected=b"")
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, b"PROXY ")
        await until(lambda: entrance.arrivals == 1)


@coroutine(SCENARIOS)
async def factories_that_fail(loop):
    def fail():
        raise ZeroDivisionError

    for context in (None, contexts()[0], ssl.SSLContext):
        entrance = _core.Entrance(
            loop, fail, ssl_context=context, proxies=TrustedHosts("127.0.0.1")
        )
        server = await loop.create_server(entrance, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        await ask(loop, address, V1 + b"\x16\3\1\0\x50", expected=b"")
        server.close()
        entrance.close()
        await server.wait_closed()
