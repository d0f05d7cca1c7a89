# SPDX-License-Identifier: MIT
"""What a loop is made to do, so many times, in process. Each case is a coroutine function."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

# How many callbacks, timers or tasks wait at once in the cases that pile them up.
BATCH = 1000

Case = Callable[[int], Awaitable[None]]


async def call_soon_chain(count: int) -> None:
    """One callback a turn: each schedules the next."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def step() -> None:
        nonlocal count
        count -= 1
        if count > 0:
            loop.call_soon(step)
        else:
            done.set_result(None)

    loop.call_soon(step)
    await done


async def call_soon_burst(count: int) -> None:
    """BATCH callbacks a turn."""
    loop = asyncio.get_running_loop()

    def callback() -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(callback)
        await asyncio.sleep(0)


async def call_soon_burst_args(count: int) -> None:
    """BATCH callbacks a turn, with two arguments each."""
    loop = asyncio.get_running_loop()

    def callback(first: int, second: str) -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(callback, 1, "two")
        await asyncio.sleep(0)


async def call_later_cancel(count: int) -> None:
    """A timer made and cancelled at once, as a time-out that does not come to pass."""
    loop = asyncio.get_running_loop()

    def callback() -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_later(10.0, callback).cancel()
        await asyncio.sleep(0)


async def create_task_await(count: int) -> None:
    """A task at a time, awaited."""
    loop = asyncio.get_running_loop()

    async def nothing() -> None:
        pass

    for _ in range(count):
        await loop.create_task(nothing())


async def gather(count: int) -> None:
    """BATCH tasks at a time; the operation counted is one task."""

    async def nothing() -> None:
        pass

    for _ in range(count // BATCH):
        await asyncio.gather(*[nothing() for _ in range(BATCH)])


async def sleep_zero(count: int) -> None:
    """A bare yield to the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def call_soon_threadsafe(count: int) -> None:
    """Callbacks from another thread; CPU of both threads is counted."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def callback() -> None:
        pass

    def other_thread() -> None:
        for _ in range(count - 1):
            loop.call_soon_threadsafe(callback)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=other_thread)
    thread.start()
    await done
    thread.join()


async def getaddrinfo_numeric(count: int) -> None:
    """An address that needs no resolver."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


async def run_in_executor(count: int) -> None:
    """A function run in a thread of the default executor, one at a time."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, int)


CASES: dict[str, Case] = {
    "call_soon-chain": call_soon_chain,
    "call_soon-burst": call_soon_burst,
    "call_soon-burst-args": call_soon_burst_args,
    "call_later-cancel": call_later_cancel,
    "create_task-await": create_task_await,
    "gather": gather,
    "sleep-0": sleep_zero,
    "call_soon_threadsafe": call_soon_threadsafe,
    "run_in_executor": run_in_executor,
    "getaddrinfo-numeric": getaddrinfo_numeric,
}

TITLES = {
    "call_soon-chain": "call_soon chain",
    "call_soon-burst": f"call_soon burst of {BATCH}",
    "call_soon-burst-args": f"call_soon burst of {BATCH}, 2 arguments",
    "call_later-cancel": "call_later + cancel",
    "create_task-await": "create_task + await",
    "gather": f"gather of {BATCH}, per task",
    "sleep-0": "sleep(0)",
    "call_soon_threadsafe": "call_soon_threadsafe",
    "run_in_executor": "run_in_executor",
    "getaddrinfo-numeric": "getaddrinfo of a numeric address",
}
