# SPDX-License-Identifier: MIT
"""Scenarios of requests that are answered before an application's middleware.

None is refused with 422: a ValidationError of pydantic_core keeps references for good, with or
without us. Nor is an application made in them, whose functions FastAPI's caches keep.
"""

import asyncio
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from camshaft.fastapi.mount import install
from tests.leaks.scenario import Table, http_scope, plain

SCENARIOS: Table = {}

ORIGIN = (b"origin", b"http://a.example")
PREFLIGHT = (b"access-control-request-method", b"GET")


def application() -> Any:
    app = FastAPI(openapi_url=None)
    app.add_middleware(CORSMiddleware, allow_origins=["http://a.example"], allow_headers=["x-a"])
    app.add_middleware(GZipMiddleware, minimum_size=100, thread_minimum_size=5000)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["a.example"])

    @app.get("/{size}")
    async def sized(size: int) -> Any:
        if size == 0:
            raise HTTPException(403)
        return Response("x") if size == 1 else "x" * size

    return install(app).entrance()


async def ask(app: Any, method: str, path: str, *fields: tuple[bytes, bytes]) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        if (b"x-refuse", b"") in fields:
            raise OSError("gone")

    try:
        await app(http_scope(method, path, *fields), receive, send)
    except OSError:
        pass


async def requests(app: Any) -> None:
    host = (b"host", b"a.example")
    for fields in ((), (ORIGIN,), (ORIGIN, (b"accept-encoding", b"gzip")), ((b"x-refuse", b""),)):
        for path in ("/0", "/1", "/2", "/2000", "/9000", "/nowhere/else"):
            await ask(app, "GET", path, host, *fields)
        for wanted in (b"x-a", b"x-b", b"\xe9"):
            asked = (PREFLIGHT, (b"access-control-request-headers", wanted))
            await ask(app, "OPTIONS", "/1", host, *fields, *asked)
    await ask(app, "GET", "/2", (b"host", b"b.example"))


APP = application()


@plain(SCENARIOS)
def answers(loop: Any) -> None:
    loop.run_until_complete(asyncio.wait_for(requests(APP), 60))
