# SPDX-License-Identifier: MIT
"""Clients in closed loops, of every kind, and a server that is told to end: nothing is lost.

The short forms of `python -m bench drain`, whose clients and application these are.
"""

import asyncio
import os
import sys
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest

from bench.drain.clients import Count, Load
from bench.drain.servers import HOST, LIMIT, Process, free_port

CLIENTS = {"plain": 20, "stream": 10, "ws": 5}


def camshaft(*arguments: str, log: Path | None = None) -> Process:
    """A running server of this checkout, that answers."""
    port = free_port()
    command = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port), *arguments]
    process = Process(command, port, env=dict(os.environ), log=log)
    try:
        process.wait_until_it_answers()
    except BaseException:
        process.close()
        raise
    return process


def check(count: Count) -> None:
    """Every kind of client was answered, and nothing was lost."""
    assert count.lost == []
    assert set(count.answers) == set(CLIENTS)
    # The service restarts; and the handshakes that were late.
    assert set(count.closes) <= {1012}
    assert set(count.denied) <= {503}


@pytest.mark.parametrize("options", ["", "--loop asyncio"])
def test_term_of_one_process(options: str) -> None:
    async def run(server: Process) -> Count:
        async with Load(HOST, server.port, **CLIENTS) as load:
            await load.answered(100)
            server.send(SIGTERM)
            await server.ended()
        return load.count

    with camshaft(*options.split()) as server:
        count = asyncio.run(run(server))
        assert server.wait() == -SIGTERM
    check(count)
    assert count.refused


def test_term_of_workers() -> None:
    """Nobody waits to be accepted when the last of those who listen closes."""

    async def run(server: Process) -> Count:
        async with Load(HOST, server.port, **CLIENTS) as load:
            await load.answered(100)
            server.send(SIGTERM)
            await server.ended()
        return load.count

    with camshaft("--workers", "2") as server:
        count = asyncio.run(run(server))
        assert server.wait() == 0
    check(count)
    assert count.refused


def test_reloads_of_workers() -> None:
    """The new workers serve before the old ones stop to."""

    async def run(server: Process) -> Count:
        async with Load(HOST, server.port, **CLIENTS) as load:
            for _ in range(3):
                known = set(load.count.workers)
                await load.answered(50)
                server.send(SIGHUP)
                async with asyncio.timeout(LIMIT):
                    while not set(load.count.workers) - known:
                        await asyncio.sleep(0.01)
        return load.count

    with camshaft("--workers", "2") as server:
        count = asyncio.run(run(server))
    check(count)
    assert count.refused == 0
