# SPDX-License-Identifier: MIT
"""Fixtures: the loop under test, closed afterwards, with no unexpected error reported to it."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.loop.support import LOOP_NAME, new_loop


def pytest_report_header() -> str:
    return f"event loop under test: {LOOP_NAME}"


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    """Contexts given to the loop's exception handler; a test that expects some clears them."""
    return []


@pytest.fixture
def loop(reports: list[dict[str, Any]]) -> Iterator[asyncio.AbstractEventLoop]:
    loop = new_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    yield loop
    if not loop.is_closed():
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert reports == []


@pytest.fixture(scope="session")
def authority() -> Any:
    """A certificate authority that exists for this run alone."""
    import trustme

    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: Any) -> ssl.SSLContext:
    """The server's side of TLS, with a certificate for localhost and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: Any) -> ssl.SSLContext:
    """The client's side of TLS, which trusts `authority` and checks names."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
