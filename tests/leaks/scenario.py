# SPDX-License-Identifier: MIT
"""What scenarios are made of: a loop that lives through all the runs, and a table of names."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any

import camshaft

Run = Callable[[], None]
Table = dict[str, Callable[[], AbstractContextManager[Run]]]


def http_scope(method: str, path: str, *fields: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return the scope of a request with these headers."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(fields),
        "state": {},
    }


def plain(table: Table) -> Callable[[Callable[[Any], None]], None]:
    """Enter `function(loop)` into a table: it is run with a loop that is not running."""

    def enter(function: Callable[[Any], None]) -> None:
        @contextlib.contextmanager
        def scenario() -> Iterator[Run]:
            loop = new_loop()
            try:
                yield lambda: function(loop)
            finally:
                loop.close()

        table[_name(function)] = scenario

    return enter


def coroutine(table: Table) -> Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]:
    """Enter `async function(loop)` into a table: each run is a task of its own."""

    def enter(function: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        @contextlib.contextmanager
        def scenario() -> Iterator[Run]:
            loop = new_loop()
            try:
                yield lambda: loop.run_until_complete(asyncio.wait_for(function(loop), 60))
            finally:
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()

        table[_name(function)] = scenario

    return enter


def _name(function: Callable[..., Any]) -> str:
    return function.__module__.rpartition(".")[2] + ": " + function.__name__.replace("_", " ")


def new_loop() -> camshaft.EventLoop:
    loop = camshaft.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    return loop


def turns(loop: Any, count: int = 1) -> None:
    """Run `count` turns of a loop."""
    for _ in range(count):
        loop.stop()
        loop.run_forever()
