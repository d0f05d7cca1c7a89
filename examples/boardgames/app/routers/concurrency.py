# SPDX-License-Identifier: MIT
"""Waiting for several things at once: gather, wait, as_completed, locks, queues, time limits."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query

from ..remote import Gauge, RemoteError, fetch

router = APIRouter(tags=["concurrency"])

Seconds = Annotated[float, Query(ge=0, le=10)]


@router.get("/concurrent")
async def concurrent(seconds: Seconds = 0.5) -> dict[str, Any]:
    """Three fetches in the time of one. Times are seconds."""
    names = ("games", "ratings", "reviews")
    start = time.perf_counter()
    results = await asyncio.gather(*(fetch(name, seconds) for name in names))
    elapsed = time.perf_counter() - start
    return {"results": results, "elapsed": elapsed, "one_by_one": seconds * len(names)}


@router.get("/gather-exceptions")
async def gather_exceptions() -> dict[str, list[str]]:
    """gather with return_exceptions: one failure does not lose the other answers."""
    answers = await asyncio.gather(
        fetch("games", 0.02),
        fetch("ratings", 0.01, fail=True),
        fetch("reviews", 0.0),
        return_exceptions=True,
    )
    return {
        "results": [answer for answer in answers if isinstance(answer, str)],
        "errors": [repr(answer) for answer in answers if isinstance(answer, RemoteError)],
    }


async def cancel_all(tasks: set[asyncio.Task[str]]) -> list[str]:
    """Cancel tasks, wait until they are gone, and return their names."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sorted(task.get_name() for task in tasks if task.cancelled())


@router.get("/wait-first")
async def wait_first() -> dict[str, list[str]]:
    """wait until FIRST_COMPLETED, then cancel the slower ones."""
    tasks = {
        asyncio.create_task(fetch("mirror-1", 30), name="mirror-1"),
        asyncio.create_task(fetch("mirror-2", 0.01), name="mirror-2"),
        asyncio.create_task(fetch("mirror-3", 30), name="mirror-3"),
    }
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return {"done": [task.result() for task in done], "cancelled": await cancel_all(pending)}


@router.get("/wait-timeout")
async def wait_timeout() -> dict[str, list[str]]:
    """wait with a time limit, which raises nothing: what is not done by then is pending."""
    tasks = {
        asyncio.create_task(fetch("quick", 0), name="quick"),
        asyncio.create_task(fetch("slow", 30), name="slow"),
    }
    done, pending = await asyncio.wait(tasks, timeout=0.2)
    return {"done": [task.result() for task in done], "cancelled": await cancel_all(pending)}


@router.get("/as-completed")
async def as_completed() -> dict[str, list[str]]:
    """Answers in the order in which they arrive, not in which they were asked for."""
    # Each fetch starts the one before it in this list on its way, so the order is certain.
    third_done, second_done = asyncio.Event(), asyncio.Event()

    async def first() -> str:
        await second_done.wait()
        return await fetch("first", 0.01)

    async def second() -> str:
        await third_done.wait()
        answer = await fetch("second", 0.01)
        second_done.set()
        return answer

    async def third() -> str:
        answer = await fetch("third", 0.01)
        third_done.set()
        return answer

    arrivals = asyncio.as_completed([first(), second(), third()])
    return {"order": [await arrival for arrival in arrivals]}


@router.get("/wait-for")
async def wait_for(seconds: Seconds = 10, limit: Seconds = 0.1) -> dict[str, str]:
    """wait_for, and a fallback when the answer does not come in time."""
    try:
        answer = await asyncio.wait_for(fetch("recommendations", seconds), timeout=limit)
    except TimeoutError:
        return {"source": "fallback", "answer": "the most popular games"}
    return {"source": "remote", "answer": answer}


@router.get("/timeout")
async def timeout(seconds: Seconds = 10, limit: Seconds = 0.1) -> dict[str, Any]:
    """asyncio.timeout round several awaits, of which only the last is too slow."""
    finished: list[str] = []
    try:
        async with asyncio.timeout(limit) as scope:
            finished.append(await fetch("first", 0))
            finished.append(await fetch("second", seconds))
    except TimeoutError:
        pass
    return {"finished": finished, "expired": scope.expired()}


@router.get("/semaphore")
async def semaphore() -> dict[str, Any]:
    """Ten fetches of which never more than three are on their way."""
    limit = asyncio.Semaphore(3)
    gauge = Gauge()

    async def polite(number: int) -> str:
        async with limit:
            with gauge:
                return await fetch(f"page-{number}", 0.01)

    results = await asyncio.gather(*(polite(number) for number in range(10)))
    return {"results": results, "most_at_once": gauge.most}


@router.get("/queue")
async def queue() -> dict[str, Any]:
    """Two producers, three consumers and a bounded queue between them."""
    items: asyncio.Queue[str] = asyncio.Queue(maxsize=4)
    consumed: list[str] = []
    fullest = 0

    async def produce(producer: int) -> None:
        nonlocal fullest
        for number in range(10):
            await items.put(f"{producer}-{number}")
            fullest = max(fullest, items.qsize())

    async def consume() -> None:
        while True:
            item = await items.get()
            await asyncio.sleep(0.001)
            consumed.append(item)
            items.task_done()

    consumers = [asyncio.create_task(consume()) for _ in range(3)]
    await asyncio.gather(produce(1), produce(2))
    await items.join()
    for task in consumers:
        task.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    return {"consumed": sorted(consumed), "fullest": fullest, "left": items.qsize()}


@router.get("/lock")
async def lock() -> dict[str, int]:
    """A hundred increments, each with an await between read and write.

    With the lock all of them count; without it they overwrite one another.
    """
    guard = asyncio.Lock()
    locked = unlocked = 0

    async def increment() -> None:
        nonlocal locked, unlocked
        seen = unlocked
        await asyncio.sleep(0)
        unlocked = seen + 1
        async with guard:
            seen = locked
            await asyncio.sleep(0)
            locked = seen + 1

    await asyncio.gather(*(increment() for _ in range(100)))
    return {"with_lock": locked, "without_lock": unlocked}
