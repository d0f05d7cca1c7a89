# SPDX-License-Identifier: MIT
"""Scenarios of dependencies with `yield`, which plans enter and leave: every way to their end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.middleware.gzip import GZipMiddleware

from camshaft.fastapi.mount import install
from tests.leaks.scenario import Table, http_scope, plain

SCENARIOS: Table = {}


async def outer() -> AsyncIterator[str]:
    yield "outer"
    await asyncio.sleep(0)


async def inner(value: Annotated[str, Depends(outer)]) -> AsyncIterator[str]:
    try:
        yield value
    finally:
        await asyncio.sleep(0)


async def turning() -> AsyncIterator[None]:
    try:
        yield
    except ValueError:
        raise HTTPException(410) from None


async def swallowing() -> AsyncIterator[None]:
    try:
        yield
    except KeyError:
        pass


async def twice() -> AsyncIterator[None]:
    yield
    yield


async def failing() -> AsyncIterator[None]:
    yield
    raise ValueError


async def grouping() -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0)
        yield


def application(**layers: Any) -> Any:
    app = FastAPI(openapi_url=None)
    for middleware, options in layers.items():
        app.add_middleware({"gzip": GZipMiddleware}[middleware], **options)

    def add(path: str, *dependencies: Any) -> Any:
        return app.get(path, dependencies=[Depends(each) for each in dependencies])

    @add("/value", inner)
    async def value() -> Any:
        return "x" * 2000

    @add("/response", inner)
    async def response() -> Any:
        return Response("x")

    @add("/value-error", inner, turning)
    async def value_error() -> Any:
        raise ValueError

    @add("/key-error", inner, swallowing)
    async def key_error() -> Any:
        raise KeyError

    @add("/forever", inner)
    async def forever() -> Any:
        await asyncio.get_running_loop().create_future()

    async def nothing() -> None:
        pass

    for each in (twice, failing, grouping):
        add("/" + each.__name__, inner, each)(nothing)
    return install(app).entrance()


async def ask(app: Any, path: str, *, refuses: bool = False) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        if refuses:
            raise OSError("gone")

    try:
        await app(http_scope("GET", path, (b"accept-encoding", b"gzip")), receive, send)
    except Exception as error:
        error.__traceback__ = None


PATHS = ("/value", "/response", "/value-error", "/key-error", "/twice", "/failing", "/grouping")


async def requests(app: Any) -> None:
    for path in PATHS:
        await ask(app, path)
        await ask(app, path, refuses=True)
        with anyio.CancelScope():
            await ask(app, path)


async def cancelled(app: Any) -> None:
    for turns in range(6):
        task = asyncio.ensure_future(ask(app, "/forever"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


APPLICATIONS = (application(), application(gzip={"thread_minimum_size": 1000}))


@plain(SCENARIOS)
def generators(loop: Any) -> None:
    for app in APPLICATIONS:
        loop.run_until_complete(asyncio.wait_for(requests(app), 60))


@plain(SCENARIOS)
def cancelled_generators(loop: Any) -> None:
    for app in APPLICATIONS:
        loop.run_until_complete(asyncio.wait_for(cancelled(app), 60))
