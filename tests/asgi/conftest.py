# SPDX-License-Identifier: MIT
"""Every test of the ASGI server runs on both loops: on our own the connection is driven by C, on
asyncio's by the Python methods of the same object."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.asgi.harness import LOOPS, App, Served, serve

Serve = Callable[..., Served]


@pytest.fixture(params=list(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(loop_name: str) -> Iterator[Serve]:
    """Serve applications until the test ends: start(app, **options of HttpServer)."""
    with ExitStack() as stack:

        def begin(app: App, **options: Any) -> Served:
            return stack.enter_context(serve(app, LOOPS[loop_name], **options))

        yield begin
