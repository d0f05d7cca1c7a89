# SPDX-License-Identifier: MIT
"""Scenarios of functions in worker threads: every end of a call, of a thread, of a loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

import camshaft
from camshaft import _core
from tests.leaks.scenario import Table, plain

SCENARIOS: Table = {}

LIMIT = 60


def in_threads(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Enter `async function()` into the table: each run ends when its threads have ended."""

    def run(loop: Any) -> None:
        loop.run_until_complete(asyncio.wait_for(function(), LIMIT))
        ended()

    run.__name__ = function.__name__
    run.__module__ = function.__module__
    plain(SCENARIOS)(run)


def ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":
            thread.join(LIMIT)


class Gate:
    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        self.may_end.wait(LIMIT)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def print_nothing(*arguments: object, **keywords: object) -> None:
    pass


def fail(error: BaseException) -> None:
    raise error


@in_threads
async def calls() -> None:
    for count in range(6):
        await _core.run_in_thread(print_nothing, *range(count), key=count)
        await _core.run_in_thread(dict, [("a", count)], b=count)
    await asyncio.gather(*(_core.run_in_thread(int, "5") for _ in range(100)))


@in_threads
async def errors() -> None:
    for error in (ValueError("text"), StopIteration(1), asyncio.CancelledError(), GeneratorExit()):
        try:
            await _core.run_in_thread(fail, error)
        except BaseException:
            pass
    try:
        await _core.run_in_thread(5)  # type: ignore[arg-type]
    except TypeError:
        pass


@in_threads
async def cancelled() -> None:
    for turns in range(5):
        gate = Gate()
        task = asyncio.ensure_future(_core.run_in_thread(gate))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns == 4:
            await until(gate.began.is_set)
        task.cancel()
        await asyncio.wait([task])
        gate.may_end.set()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await _core.run_in_thread(int)
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        with anyio.CancelScope():
            await _core.run_in_thread(int)


@in_threads
async def without_a_token() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 1
    gate = Gate()
    tasks = [asyncio.ensure_future(_core.run_in_thread(gate))]
    await until(gate.began.is_set)
    tasks += [asyncio.ensure_future(_core.run_in_thread(int)) for _ in range(5)]
    await asyncio.sleep(0.001)
    tasks[2].cancel()
    gate.may_end.set()
    await asyncio.wait(tasks)
    limiter.total_tokens = 40


@in_threads
async def steps() -> None:
    for count in range(4):
        for end in ("close", "throw", "drop"):
            call = _core.run_in_thread(int)
            for _ in range(count):
                call.send(None)
            if end == "close":
                call.close()
            elif end == "throw":
                try:
                    call.throw(ValueError())
                except ValueError:
                    pass
            del call
    limiter = anyio.to_thread.current_default_thread_limiter()
    await until(lambda: limiter.borrowed_tokens == 0)


@in_threads
async def more_threads() -> None:
    barrier = threading.Barrier(4)
    await asyncio.gather(*(_core.run_in_thread(barrier.wait, LIMIT) for _ in range(8)))


@plain(SCENARIOS)
def loop_closed_under_a_worker(loop: Any) -> None:
    gate = Gate()

    async def main() -> Any:
        task = asyncio.ensure_future(_core.run_in_thread(gate))
        await until(gate.began.is_set)
        return task

    other = camshaft.new_event_loop()
    task = other.run_until_complete(main())
    task._log_destroy_pending = False
    other.close()
    gate.may_end.set()
    ended()
    # Else AnyIO's limiter, which the loop's variables hold, keeps the task for its token.
    task.get_coro().close()


@plain(SCENARIOS)
def asyncio_loop(loop: Any) -> None:
    async def main() -> None:
        await asyncio.gather(*(_core.run_in_thread(int, "5") for _ in range(10)))

    other = asyncio.new_event_loop()
    other.run_until_complete(main())
    other.close()
    ended()


@plain(SCENARIOS)
def through_anyio(loop: Any) -> None:
    run_sync = anyio.to_thread.run_sync

    async def replaced(function: Callable[[], None]) -> None:
        function()

    async def main() -> None:
        await _core.run_in_thread(int, "5")

    anyio.to_thread.run_sync = replaced  # type: ignore[assignment]
    try:
        loop.run_until_complete(main())
    finally:
        anyio.to_thread.run_sync = run_sync
