# SPDX-License-Identifier: MIT
"""The server process: what it logs as it starts and stops, and how it ends."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from boardgames_server import (
    APP_DIR,
    CLEAN_END,
    LOOP,
    REQUEST_LIMIT,
    START_LIMIT,
    Databases,
    ServerProcess,
)


def in_order(log: str, *parts: str) -> None:
    """Check that a log has these parts, one after another."""
    at = 0
    for part in parts:
        found = log.find(part, at)
        assert found >= 0, f"{part!r} is not where it should be in:\n{log}"
        at = found + len(part)


def test_start_and_stop(databases: Databases, tmp_path: Path) -> None:
    server = ServerProcess(databases.new(), tmp_path)
    try:
        in_order(
            server.log,
            f"Started server process [{server.process.pid}]",
            "Waiting for application startup.",
            f"boardgames: event loop: {LOOP}.",
            ", running: True",
            f"boardgames: database: {databases.kind}+",
            "boardgames: 12 games",
            "Application startup complete.",
            f"running on {server.url} (Press CTRL+C to quit)",
        )
        # A connection that stays open and idle must not keep the server.
        with httpx.Client(base_url=server.url, timeout=REQUEST_LIMIT, trust_env=False) as client:
            assert client.get("/health").json()["database"] == databases.kind
            code = server.stop()
    finally:
        server.stop()
    assert code == CLEAN_END, server.log
    in_order(
        server.log,
        "Application startup complete.",
        "Shutting down",
        "Waiting for application shutdown.",
        "boardgames: database closed",
        "Application shutdown complete.",
        f"Finished server process [{server.process.pid}]",
    )
    assert "Traceback" not in server.log, server.log


def test_restart_keeps_the_data(databases: Databases, tmp_path: Path) -> None:
    url = databases.new()
    for games in (12, 11):
        directory = tmp_path / f"with-{games}"
        directory.mkdir()
        server = ServerProcess(url, directory, DB_POOL_SIZE="2", DB_MAX_OVERFLOW="3")
        try:
            assert f"boardgames: {games} games" in server.log
            answer = httpx.delete(f"{server.url}/api/v1/games/{games}", trust_env=False)
            assert answer.status_code == 204
            pool = httpx.get(f"{server.url}/health", trust_env=False).json()["pool"]
            assert (pool["size"], pool["max_overflow"]) == (2, 3)
        finally:
            code = server.stop()
        assert code == CLEAN_END, server.log


START_TOGETHER = """
import asyncio
from app.database import Database, Settings, init_db

async def start(database):
    try:
        return await init_db(database)
    finally:
        await database.close()

async def main():
    databases = [Database(Settings.from_env()) for _ in range(8)]
    print(await asyncio.gather(*map(start, databases)))

asyncio.run(main())
"""


def test_many_start_on_one_empty_database(databases: Databases) -> None:
    # Without the lock on the schema, several find no tables and all but one fail to create them.
    command = [sys.executable, "-c", START_TOGETHER]
    env = os.environ | {"DATABASE_URL": databases.new(), "PYTHONPATH": str(APP_DIR)}
    done = subprocess.run(
        command, check=False, env=env, capture_output=True, text=True, timeout=START_LIMIT
    )
    assert done.stdout.strip() == str([12] * 8), done.stderr
    if databases.kind == "sqlite":
        with closing(sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///"))) as file:
            assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_stopping_finishes_the_request_in_progress(tmp_path: Path) -> None:
    server = ServerProcess(f"sqlite:///{tmp_path / 'games.db'}", tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=REQUEST_LIMIT) as slow:
            slow.sendall(b"GET /concurrent?seconds=1.5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # A later connection that has its answer shows the earlier one to be in progress.
            assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
            server.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: slow.recv(65536), b""))
    finally:
        code = server.stop(signal.SIGCONT)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), server.log
    assert b'"one_by_one":4.5' in answer
    assert code == CLEAN_END, server.log


def test_application_that_cannot_start(tmp_path: Path) -> None:
    unreachable = f"postgresql://nobody@/nothing?host={tmp_path}"
    with pytest.raises(pytest.fail.Exception, match=r"exit code 3") as failure:
        ServerProcess(unreachable, tmp_path)
    assert "Application startup failed. Exiting." in str(failure.value)
