# SPDX-License-Identifier: MIT
"""The budget of database connections: what is found, what is said, and what workers really open."""

import asyncio
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from command_process import LIMIT, Serving

sys.path.append(str(Path(__file__).resolve().parents[1] / "example"))

from boardgames_server import APP_DIR, Databases

from camshaft.server.budget import Pools, exceeded
from tests.postgresql import start_postgresql

POOL = 15
"""Connections of the example's pool: 5, and 10 more of them under load."""

WORKERS = 4


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    try:
        server = start_postgresql()
    except RuntimeError as error:
        if os.environ.get("CAMSHAFT_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(str(error))
    yield server
    server.cleanup()
    shutil.rmtree(server.pgdata.parent, ignore_errors=True)


@pytest.mark.parametrize(
    ("pools", "workers", "budget", "said"),
    [
        (Pools(1, 15), 4, 60, None),
        (Pools(0, 0), 4, 1, None),
        (
            Pools(1, 15),
            4,
            50,
            "The database pool of a worker may open 15 connections, 60 of 4 workers; "
            "--database-budget is 50. 12 for each worker keep to it.",
        ),
        (
            Pools(2, 30),
            1,
            20,
            "The 2 database pools of a worker may open 30 connections; "
            "--database-budget is 20. 20 for each worker keep to it.",
        ),
        (
            Pools(1, math.inf),
            2,
            100,
            "The database pool of a worker may open any number of connections; "
            "--database-budget is 100. 50 for each worker keep to it.",
        ),
        (
            Pools(1, 1),
            4,
            3,
            "The database pool of a worker may open 1 connections, 4 of 4 workers; "
            "--database-budget is 3. "
            "There is less than one for each worker: start fewer of them.",
        ),
    ],
)
def test_what_is_said(pools: Pools, workers: int, budget: int, said: str | None) -> None:
    assert exceeded(pools, workers, budget) == said


@pytest.mark.parametrize(
    ("made", "count", "connections"),
    [
        ("pass", 0, 0),
        (
            "from sqlalchemy.ext.asyncio import create_async_engine as make\n"
            "a = make('postgresql+asyncpg://h/d', pool_size=3, max_overflow=4)\n"
            "b = make('postgresql+asyncpg://h/d', pool_size=2, max_overflow=0)\n"
            "c = make('sqlite+aiosqlite:///./games.db')\n",
            2,
            9,
        ),
        (
            "from sqlalchemy.ext.asyncio import create_async_engine as make\n"
            "a = make('postgresql+asyncpg://h/d', max_overflow=-1)\n",
            1,
            "inf",
        ),
        (
            "import asyncio, asyncpg\n"
            "async def main():\n"
            "    global pool\n"
            "    pool = asyncpg.create_pool('postgresql://h/d', min_size=0, max_size=7)\n"
            "asyncio.run(main())\n",
            1,
            7,
        ),
        # What asks an object for its class may be told off.
        (
            "class Proxy:\n"
            "    @property\n"
            "    def __class__(self):\n"
            "        raise RuntimeError('no context')\n"
            "import sqlalchemy.pool\n"
            "proxy = Proxy()\n",
            0,
            0,
        ),
    ],
)
def test_pools_that_are_found(made: str, count: int, connections: float | str) -> None:
    """In a process of their own: other tests leave pools behind."""
    code = (
        f"{made}\nfrom camshaft.server.budget import pools\n"
        "found = pools()\nprint(found.count, float(found.connections))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT
    )
    assert ended.stdout.split() == [str(count), str(float(connections))], ended.stderr


def serving(
    directory: Path, postgresql: Any, *arguments: str, workers: int = WORKERS
) -> tuple[Serving, str]:
    """The example application on a new database, and that database's URL."""
    url = Databases("postgresql", directory, postgresql).new()
    server = Serving(
        directory,
        *("app.main:app", "--app-dir", str(APP_DIR), "--workers", str(workers), *arguments),
        env={"DATABASE_URL": url, "DB_POOL_TIMEOUT": str(LIMIT)},
        cwd=directory,
    )
    try:
        server.wait_until(
            lambda: server.log.count("Application startup complete") >= workers, "every worker"
        )
    except BaseException:
        server.close()
        raise
    return server, url


async def most_connections(url: str, port: int, requests: int, clients: int) -> tuple[int, int]:
    """Ask the application by many clients; return the good answers and the connections seen."""
    import asyncpg

    watcher = await asyncpg.connect(url)
    most = 0
    answered = 0

    async def client() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in range(requests):
                writer.write(b"GET /api/v1/games?limit=5 HTTP/1.1\r\nHost: a\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"http/1.1 200"), head
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                answered += 1
        finally:
            writer.close()

    async def watch() -> None:
        nonlocal most
        while True:
            count = await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            most = max(most, count)
            await asyncio.sleep(0.01)

    watching = asyncio.ensure_future(watch())
    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await watcher.close()
    return answered, most


def test_workers_keep_to_their_pools(tmp_path: Path, postgresql: Any) -> None:
    budget = str(WORKERS * POOL)
    server, url = serving(tmp_path, postgresql, "--database-budget", budget)
    with server:
        answered, most = asyncio.run(most_connections(url, server.port, 6, 120))
        assert answered == 6 * 120
        # More than one worker's, and at most all of them.
        assert POOL < most <= WORKERS * POOL
        assert "--database-budget" not in server.log
        server.stop()
        # Every worker has closed its pool before its loop ended.
        assert server.log.count("boardgames: database closed") == WORKERS
        assert "Traceback" not in server.log


def test_warning_of_workers(tmp_path: Path, postgresql: Any) -> None:
    server, _ = serving(tmp_path, postgresql, "--database-budget", "20", workers=2)
    with server:
        server.wait_for(
            "WARNING:  The database pool of a worker may open 15 connections, 30 of 2 workers; "
            "--database-budget is 20. 10 for each worker keep to it."
        )
        server.stop()
        assert server.log.count("--database-budget is 20") == 1


def test_warning_of_a_single_process(tmp_path: Path, postgresql: Any) -> None:
    server, _ = serving(tmp_path, postgresql, "--database-budget", "14", workers=1)
    with server:
        server.wait_for(
            "WARNING:  The database pool of a worker may open 15 connections; "
            "--database-budget is 14. 14 for each worker keep to it."
        )
        assert server.stop() == -SIGTERM


def test_workers_start_one_after_the_other(tmp_path: Path) -> None:
    """The time between two starts is at least what was asked for, on a machine of any speed."""
    (tmp_path / "staggered.py").write_text(
        "import sys, time\n"
        "async def app(scope, receive, send):\n"
        "    while True:\n"
        "        kind = (await receive())['type']\n"
        "        if kind == 'lifespan.startup':\n"
        "            print('began', time.monotonic(), file=sys.stderr, flush=True)\n"
        "        await send({'type': kind + '.complete'})\n"
        "        if kind == 'lifespan.shutdown':\n"
        "            return\n"
    )
    options = ("--workers", "3", "--lifespan-stagger", "0.5")
    with Serving(tmp_path, "staggered:app", *options, cwd=tmp_path) as server:
        server.wait_until(lambda: server.log.count("began ") >= 3, "three workers")
        began = [line for line in server.lines if line.startswith("began ")]
        begun = sorted(float(line.split()[1]) for line in began)
        server.stop()
    assert begun[2] - begun[0] > 0.5
