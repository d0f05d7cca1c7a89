# SPDX-License-Identifier: MIT
"""Connections beyond limit_concurrency that wait to be accepted instead of being refused."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

import camshaft
from camshaft.config import Config
from camshaft.server.server import Server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMIT = 60


class Application:
    """Answers when it is told to, and knows how many requests it had at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.now = self.most = self.all = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.now += 1
        self.all += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(app: Any, limit: int, **settings: Any) -> AsyncIterator[tuple[Server, Any]]:
    settings = {"limit_concurrency": limit, "limit_concurrency_mode": "pause", **settings}
    # So that a test that fails ends.
    settings["timeout_graceful_shutdown"] = 5
    server = Server(Config(app, port=0, lifespan="off", log_config=None, **settings))
    serving = asyncio.ensure_future(server.serve())
    async with asyncio.timeout(LIMIT):
        await until(lambda: server.started or serving.done())
        try:
            yield server, server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
        finally:
            server.should_exit = True
            await serving


async def ask(address: Any) -> bytes:
    """A request on a connection of its own, and its answer."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(GET)
    answer = await reader.readuntil(b"\r\n\r\nok")
    writer.close()
    return answer


@pytest.mark.parametrize("trace", [False, True])
def test_all_are_served_and_never_too_many_at_once(trace: bool) -> None:
    async def main() -> None:
        app = Application()
        settings = {"log_level": "trace"} if trace else {}
        async with running(app, 2, **settings) as (server, address):
            asked = [asyncio.ensure_future(ask(address)) for _ in range(10)]
            await until(lambda: app.now >= 2)
            for _ in range(20):
                await asyncio.sleep(0)
            assert app.all == 2 and len(server.server_state.connections) == 2
            app.go.set()
            answers = await asyncio.gather(*asked)
            assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
            # While others wait.
            assert b"\r\nconnection: close\r\n" in answers[0]
            assert app.most == 2 and app.all == 10
            await until(lambda: not server.server_state.connections)

    camshaft.run(main())


def test_idle_connections_make_room() -> None:
    async def main() -> None:
        app = Application()
        app.go.set()
        async with running(app, 2, timeout_keep_alive=LIMIT) as (server, address):
            idle, writer = await asyncio.open_connection(*address)
            writer.write(GET)
            assert (await idle.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            # The second is one too many for both to stay; the first has nothing to do.
            _, second = await asyncio.open_connection(*address)
            assert await idle.read() == b""
            await until(lambda: len(server.server_state.connections) == 1)
            third, other = await asyncio.open_connection(*address)
            other.write(GET)
            assert (await third.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            for each in (writer, second, other):
                each.close()

    camshaft.run(main())


@pytest.mark.parametrize("turns", range(3))
def test_request_that_has_arrived_is_answered(turns: int) -> None:
    """An idle connection is not closed to make room when its next request is there already.

    The request comes in each of the turns of the loop in which the other connection is accepted.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        app = Application()
        app.go.set()
        async with running(app, 2, timeout_keep_alive=LIMIT) as (_, address):
            with socket.create_connection(address) as first:
                first.sendall(GET)
                first.setblocking(False)
                while not (await loop.sock_recv(first, 4096)).endswith(b"ok"):
                    pass
                with socket.create_connection(address):
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    first.sendall(GET)
                    answer = await loop.sock_recv(first, 4096)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer

    camshaft.run(main())


def test_the_server_ends_while_some_wait() -> None:
    async def main() -> None:
        app = Application()
        async with running(app, 1) as (server, address):
            first = asyncio.ensure_future(ask(address))
            await until(lambda: app.now == 1)
            second = socket.create_connection(address[:2])
            server.should_exit = True
            app.go.set()
            assert (await first).endswith(b"ok")
            second.close()

    camshaft.run(main())
