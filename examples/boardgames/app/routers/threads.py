# SPDX-License-Identifier: MIT
"""Blocking code: `def` endpoints in the server's thread pool, and executors by hand."""

import asyncio
import functools
import threading
from typing import Annotated, Any

import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, HTTPException, Query, Request, status
from sqlalchemy import select

from ..database import DatabaseDep
from ..models import Game
from ..remote import Gauge, blocking_call, fetch

router = APIRouter(tags=["threads"])

Seconds = Annotated[float, Query(ge=0, le=10)]


@router.get("/sync-games")
def sync_games(database: DatabaseDep, seconds: Seconds = 0.05) -> dict[str, Any]:
    """A `def` endpoint: it blocks a thread of the pool, and the loop serves others meanwhile."""
    call = blocking_call("catalogue", seconds)

    async def names() -> list[str]:
        async with database.session() as session:
            return list(await session.scalars(select(Game.name).order_by(Game.id).limit(5)))

    return {
        "call": call,
        "games": anyio.from_thread.run(names),
        "thread": threading.current_thread().name,
        "in_main_thread": threading.current_thread() is threading.main_thread(),
    }


@router.get("/sync-with-async")
def sync_with_async(request: Request, seconds: Seconds = 0.5) -> dict[str, Any]:
    """A worker thread has no running loop; a coroutine must be handed to the one stored at
    start-up."""
    try:
        asyncio.get_running_loop()
        error = None
    except RuntimeError as exc:
        error = str(exc)
    future = asyncio.run_coroutine_threadsafe(fetch("games", seconds), request.app.state.loop)
    return {"get_running_loop": error, "result": future.result(timeout=seconds + 30)}


@router.get("/blocking")
async def blocking(seconds: Seconds = 0.05) -> dict[str, str]:
    """One blocking call in the loop's default executor."""
    loop = asyncio.get_running_loop()
    call = functools.partial(blocking_call, "report", seconds)
    return {"result": await loop.run_in_executor(None, call)}


@router.get("/multiple-blocking")
async def multiple_blocking(request: Request, seconds: Seconds = 0.05) -> dict[str, Any]:
    """Twenty blocking calls in the application's own pool of ten."""
    loop = asyncio.get_running_loop()
    gauge = Gauge()

    def call(number: int) -> str:
        with gauge:
            return blocking_call(f"report-{number}", seconds)

    executor = request.app.state.executor
    calls = (loop.run_in_executor(executor, call, number) for number in range(20))
    return {"results": await asyncio.gather(*calls), "most_at_once": gauge.most}


class Turnstile:
    """A gate that `def` endpoints wait at, to see how many of them run at once."""

    def __init__(self) -> None:
        self.gauge = Gauge()
        self.opened = threading.Event()


turnstiles: dict[str, Turnstile] = {}
MAX_TURNSTILES = 100


def find_turnstile(name: str) -> Turnstile:
    """The turnstile of that name. Raises a 404 if nobody made it."""
    if name not in turnstiles:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no turnstile {name}")
    return turnstiles[name]


@router.put("/turnstiles/{name}", status_code=status.HTTP_201_CREATED)
async def make_turnstile(name: str) -> dict[str, str]:
    """Set up a closed turnstile."""
    if len(turnstiles) >= MAX_TURNSTILES:
        turnstiles.pop(next(iter(turnstiles))).opened.set()
    turnstiles[name] = Turnstile()
    return {"name": name}


@router.post("/turnstiles/{name}/pass")
def pass_turnstile(name: str) -> dict[str, bool]:
    """Hold a thread until the turnstile opens, at most a minute."""
    turnstile = find_turnstile(name)
    waited = not turnstile.opened.is_set()
    with turnstile.gauge:
        return {"waited": waited, "opened": turnstile.opened.wait(timeout=60)}


@router.post("/turnstiles/{name}/open")
async def open_turnstile(name: str) -> dict[str, str]:
    """Let everybody through from now on."""
    find_turnstile(name).opened.set()
    return {"name": name}


@router.get("/turnstiles/{name}")
async def read_turnstile(name: str) -> dict[str, int]:
    """How many wait here, and how the pool of `def` endpoints stands."""
    turnstile = find_turnstile(name)
    limiter = anyio.to_thread.current_default_thread_limiter().statistics()
    return {
        "inside": turnstile.gauge.inside,
        "most_inside": turnstile.gauge.most,
        "threads": int(limiter.total_tokens),
        "threads_busy": limiter.borrowed_tokens,
        "waiting_for_a_thread": limiter.tasks_waiting,
    }
