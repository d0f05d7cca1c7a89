# SPDX-License-Identifier: MIT
"""Limits of the body's size in plans, beside the same requests answered by FastAPI."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware

from camshaft.fastapi.mount import install
from tests.fastapi.applications import Call
from tests.fastapi.test_forms import LARGE, Peer, both, converse, multipart, part, urlencoded


class Item(BaseModel):
    name: str


LIMITS = {"max_body_size": 100}


def make(log: list[Any], *, app_limit: int | None = None, handler: bool = False) -> FastAPI:
    """Return an application with routes that are limited: to 100 bytes, most of them."""
    app = FastAPI(max_body_size=app_limit)

    if handler:

        @app.exception_handler(413)
        async def too_long(request: Request, error: HTTPException) -> Response:
            limit = request.scope.get("starlette.max_body_size")
            log.append(("413", repr(error), repr(error.__cause__), limit, request.path_params))
            return JSONResponse({"too": "long"}, 413, {"x-own": "1"})

    @app.post("/json/{n}", **LIMITS)
    async def as_json(item: Item, n: int) -> Any:
        log.append("json")
        return [item, n]

    @app.post("/thread", response_model=Item, **LIMITS)
    def thread(item: Item) -> Any:
        log.append("thread")
        return item

    @app.post("/form", **LIMITS)
    async def form(a: Annotated[str, Form()]) -> Any:
        log.append("form")
        return a

    @app.post("/upload", max_body_size=1000)
    async def upload(upload: UploadFile) -> Any:
        log.append("upload")
        return [upload.filename, upload.size]

    @app.post("/unread", **LIMITS)
    async def unread(n: int = 1) -> Any:
        log.append("unread")
        return n

    @app.post("/request", **LIMITS)
    async def with_request(request: Request) -> Any:
        log.append(("request", request.scope["starlette.max_body_size"]))
        return len(await request.body())

    @app.post("/pieces", **LIMITS)
    async def pieces(request: Request) -> Any:
        sizes = []
        try:
            async for piece in request.stream():
                sizes.append(len(piece))
        except Exception as error:
            log.append(("pieces", repr(error)))
            raise
        return sizes

    @app.post("/swallowed", **LIMITS)
    async def swallowed(request: Request) -> Any:
        try:
            return repr(await request.body())
        except HTTPException as error:
            return f"{error.status_code}"

    async def reading(request: Request) -> int:
        log.append("reading")
        return len(await request.body())

    @app.post("/depends", **LIMITS)
    async def depends(size: Annotated[int, Depends(reading)], item: Item | None = None) -> Any:
        return [size, item]

    @app.post("/plain", **LIMITS)
    async def plain() -> Any:
        log.append("plain")
        return PlainTextResponse("plain")

    @app.post("/stream", **LIMITS)
    async def stream() -> Any:
        async def lines() -> Any:
            yield b"a"
            yield b"b"

        return StreamingResponse(lines())

    @app.post("/empty", max_body_size=0)
    async def empty(item: Item | None = None) -> Any:
        return item

    @app.post("/free")
    async def free(item: Item) -> Any:
        return item

    router = APIRouter()

    @router.post("/json")
    async def included(item: Item) -> Any:
        return item

    @router.post("/form")
    async def included_form(a: Annotated[str, Form()]) -> Any:
        return a

    app.include_router(router, prefix="/in", max_body_size=50)
    return app


JSON = ("Content-Type", "application/json")


def calls_of(target: str, body: bytes, kind: tuple[str, str] = JSON) -> list[Call]:
    """A body with its length, with none in one piece or many, and with another."""
    chunked = ("Transfer-Encoding", "chunked")
    return [
        Call("POST", target, (kind, ("Content-Length", str(len(body)))), body),
        Call("POST", target, (kind, ("Content-Length", str(len(body)))), body, 7),
        Call("POST", target, (kind, chunked), body),
        Call("POST", target, (kind, chunked), body, 7),
        Call("POST", target, (kind,), body, 3),
        Call("POST", target, (kind, ("Content-Length", "5")), body, 2),
        Call("POST", target, (kind, ("Content-Length", "500")), body),
        Call("POST", target, (kind, ("Content-Length", "x")), body),
        Call("POST", target, (kind, ("Content-Length", " 10_0")), body),
    ]


def text(size: int) -> bytes:
    return b'{"name": "%s"}' % (b"x" * (size - 12))


TARGETS = (
    *("/json/3", "/json/x", "/thread", "/unread", "/request", "/pieces", "/swallowed", "/depends"),
    *("/plain", "/stream", "/empty", "/free", "/in/json"),
)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
CALLS = [
    *(
        call
        for target in TARGETS
        for size in (50, 100, 101, 300)
        for call in calls_of(target, text(size))
    ),
    *(call for target in TARGETS for call in calls_of(target, b"")),
    *(
        call
        for target in ("/form", "/in/form")
        for size in (50, 51, 100, 101)
        for call in calls_of(target, b"a=".ljust(size, b"x"), FORM)
    ),
    multipart("/upload", part("upload", b"x" * 100, "x")),
    multipart("/upload", part("upload", b"x" * 1000, "x")),
    multipart("/upload", part("upload", b"x" * 1000, "x"), pieces=4),
    multipart("/upload", part("upload", LARGE, "x"), pieces=9),
    urlencoded("/upload", "a=1"),
]


def name_of(call: Call) -> str:
    length = dict(call.headers).get("Content-Length", "")
    chunked = "Transfer-Encoding" in dict(call.headers)
    return f"{call.target[1:]}-{len(call.body)}-{length}{'c' * chunked}-{call.pieces}"


settings = pytest.mark.parametrize(
    "settings",
    [{}, {"handler": True}, {"app_limit": 70}, {"app_limit": 400, "handler": True}],
    ids=["routes", "handler", "app", "both"],
)


@both
@settings
@pytest.mark.parametrize("target", [*TARGETS, "/form", "/in/form", "/upload"])
def test_the_same_answer(target: str, settings: dict[str, Any], entrance: bool) -> None:
    expected_log: list[Any] = []
    log: list[Any] = []
    stock, app = make(expected_log, **settings), make(log, **settings)
    router = install(app, "native")
    called = router.entrance() if entrance else app
    calls = [call for call in CALLS if call.target == target]

    async def compare() -> set[int]:
        statuses = set()
        for call in calls:
            expected = await converse(stock, Peer(call, call.events()))
            found = await converse(called, Peer(call, call.events()))
            assert (found, log) == (expected, expected_log), name_of(call)
            statuses.add(expected[0][0]["status"])
            expected_log.clear()
            log.clear()
        return statuses

    statuses = asyncio.run(compare())
    assert 413 in statuses or (target == "/free" and "app_limit" not in settings)
    assert (router.native_count, router.fallback_count) == (len(calls), 0)


@pytest.mark.parametrize("layered", [False, True], ids=["", "cors"])
def test_a_limit_of_the_application_is_passed_over(layered: bool) -> None:
    """By requests that do not say that they are too long; the middleware's answers included."""
    stock, app = make([], app_limit=70), make([], app_limit=70)
    if layered:
        for each in (stock, app):
            each.add_middleware(CORSMiddleware, allow_origins=["http://a"])
    router = install(app, "native")
    called = router.entrance()
    origin = ("Origin", "http://a")
    preflight = (origin, ("Access-Control-Request-Method", "POST"))
    chunked = ("Transfer-Encoding", "chunked")
    passing = [
        Call("POST", "/free", (JSON, origin, ("Content-Length", "70")), text(70)),
        Call("POST", "/free", (JSON, origin, chunked), text(70), 3),
        Call("POST", "/json/1", (JSON, chunked), text(100), 3),
        Call("POST", "/free", (JSON, chunked), text(71), 3),  # given back, then
        Call("POST", "/unread", (origin,)),
    ]
    others = [
        Call("POST", "/json/1", (JSON, ("Content-Length", "71")), text(71)),
        Call("POST", "/free", (JSON, ("Content-Length", "71")), text(71)),
        Call("POST", "/unread", (JSON, origin, ("Content-Length", "71")), text(71)),
        Call("OPTIONS", "/unread", (*preflight, ("Content-Length", "71")), text(71)),
        Call("OPTIONS", "/unread", (*preflight, ("Content-Length", "x")), text(71)),
    ]

    async def compare() -> None:
        for call in (*passing, *others):
            before = router.whole_count
            expected = await converse(stock, Peer(call, call.events()))
            assert await converse(called, Peer(call, call.events())) == expected, call
            assert router.whole_count - before == (call in passing), call
        (start, _), _ = await converse(called, Peer(others[3], []))
        assert start["status"] == 413

    asyncio.run(compare())


def test_a_limit_of_the_application_that_changes() -> None:
    app = make([], app_limit=70)
    router = install(app, "native")
    called = router.entrance()
    call = Call("POST", "/free", (JSON, ("Content-Length", "70")), text(70))

    async def ask() -> tuple[int, int]:
        sent, _ = await converse(called, Peer(call, call.events()))
        return sent[0]["status"], router.whole_count

    assert asyncio.run(ask()) == (200, 1)
    layer: Any = app.middleware_stack
    while not hasattr(layer, "max_body_size"):
        layer = layer.app
    layer.max_body_size = 69
    # The router has another one: what is around it decides no more than it did.
    assert asyncio.run(ask()) == (200, 1)
