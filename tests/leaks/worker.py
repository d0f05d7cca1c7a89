# SPDX-License-Identifier: MIT
"""Scenarios of a worker in this process: a server with a line to a master, and its table."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from camshaft.config import Config
from camshaft.master.child import Line, WorkerServer
from camshaft.master.table import BEAT, READY, STATE
from camshaft.master.table import Table as Workers
from tests.leaks.counting_master import app as lifespan
from tests.leaks.http import CLOSE, GET, connected, hello, to_the_end
from tests.leaks.scenario import Run, Table, new_loop

SCENARIOS: Table = {}

OFTEN = 0.02
"""Seconds that a loop may be blocked, so that there are 200 beats in a second."""

METRICS = GET.replace(b"/path?query=1", b"/metrics")


async def app(scope: Any, receive: Any, send: Any) -> None:
    await (lifespan if scope["type"] == "lifespan" else hello)(scope, receive, send)


@contextlib.asynccontextmanager
async def working(loop: Any, config: Config) -> Any:
    """A worker that serves: its address, its row and its table. It ends as the master tells it."""
    ours, theirs = socket.socketpair()
    workers = Workers()
    number, other = workers.take(), workers.take()
    assert number is not None and other is not None
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = WorkerServer(config, Line(theirs.detach()), workers, number, OFTEN)
    serving = loop.create_task(server.serve([listener]))
    try:
        with ours:
            ours.setblocking(False)
            said = b""
            while b'"ready"' not in said:
                said += await loop.sock_recv(ours, 4096)
            note = workers.read(number)
            assert note is not None
            # The metrics show what another one has written down as well.
            workers.write(other, note)
            workers.row(other)[STATE] = READY
            yield address, workers.row(number), ours
            server.should_exit = True
            await serving
    finally:
        os.close(workers.descriptor)


async def requests(loop: Any, address: Any) -> None:
    async with connected(loop, address) as sock:
        await loop.sock_sendall(sock, GET + METRICS + CLOSE)
        assert b"camshaft" in await to_the_end(loop, sock)


def configuration() -> Config:
    return Config(app, log_config=None, metrics="/metrics", limit_max_requests=10)


@contextlib.contextmanager
def from_start_to_end() -> Iterator[Run]:
    config = configuration()

    async def life(loop: Any) -> None:
        async with working(loop, config) as (address, _, _):
            await requests(loop, address)

    def run() -> None:
        # A loop of its own, as a worker beats for as long as there is one.
        with contextlib.closing(new_loop()) as loop:
            loop.run_until_complete(life(loop))

    yield run


@contextlib.contextmanager
def beats() -> Iterator[Run]:
    loop, config = new_loop(), configuration()

    async def some(address: Any, row: Any, line: Any) -> None:
        await requests(loop, address)
        for _ in range(5):
            last = row[BEAT]
            while row[BEAT] == last:
                await asyncio.sleep(0.001)
        # What it has said of its limit.
        with contextlib.suppress(BlockingIOError):
            while line.recv(4096):
                pass

    life = working(loop, config)
    try:
        given = loop.run_until_complete(life.__aenter__())
        yield lambda: loop.run_until_complete(some(*given))
        loop.run_until_complete(life.__aexit__(None, None, None))
    finally:
        loop.close()


SCENARIOS["worker: from start to end"] = from_start_to_end
SCENARIOS["worker: beats and requests"] = beats
