# SPDX-License-Identifier: MIT
"""``camshaft.run``: asyncio.run on a camshaft loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from camshaft.loop.event_loop import EventLoop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a new camshaft loop and return its result.

    Behaves as ``asyncio.run`` (asyncio.Runner: cancels what is left, shuts down asynchronous
    generators and the default executor, turns Ctrl-C into a cancellation of the main task).

    Raises RuntimeError when called while an event loop runs in this thread.
    """
    if asyncio._get_running_loop() is not None:
        # Said before a loop is made: the Runner could not even close it again.
        raise RuntimeError("camshaft.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=EventLoop) as runner:
        return runner.run(main)
