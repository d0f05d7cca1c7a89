# SPDX-License-Identifier: MIT
"""Fixtures: one server per kind of database for all tests, and a client for it."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from boardgames_server import (
    REQUEST_LIMIT,
    Databases,
    ServerProcess,
    allow_many_files,
)

from tests.postgresql import start_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """One PostgreSQL server for all tests."""
    try:
        server = start_postgresql()
    except RuntimeError as exc:
        if os.environ.get("CAMSHAFT_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(str(exc))
    yield server
    server.cleanup()
    shutil.rmtree(server.pgdata.parent, ignore_errors=True)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Databases:
    """Databases of each kind in turn."""
    kind: str = request.param
    server = request.getfixturevalue("postgresql") if kind == "postgresql" else None
    return Databases(kind, tmp_path_factory.mktemp(kind), server)


@pytest.fixture(scope="session")
def server(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server per kind of database, shared by all tests that do not stop it."""
    allow_many_files()
    process = ServerProcess(databases.new(), tmp_path_factory.mktemp("server"))
    yield process
    process.stop()
    assert "Traceback" not in process.log, process.log


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client that keeps connections open."""
    with httpx.Client(
        base_url=server.url,
        timeout=REQUEST_LIMIT,
        trust_env=False,
        # The server closes idle connections after five seconds: do not meet it in the act.
        limits=httpx.Limits(keepalive_expiry=2),
    ) as session:
        yield session
