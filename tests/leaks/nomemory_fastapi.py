# SPDX-License-Identifier: MIT
"""Scenarios of FastAPI's plans for `python -m tests.leaks.nomemory`: compiled, matched, answered.

What pydantic does without memory (it panics) is not ours: a panic counts as being noticed. There
is no worker thread in them, which would outlive a loop that stops for want of memory.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Form, Header, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from pydantic import BaseModel

from camshaft._core import FastAPIRouter
from camshaft.fastapi.compiler import Compiler
from camshaft.fastapi.mount import install
from tests.leaks.scenario import http_scope

SCENARIOS: dict[str, Callable[[Any], Iterator[None]]] = {}


class Item(BaseModel):
    name: str
    tags: list[str] = []


async def opened() -> AsyncIterator[str]:
    yield "value"


async def page(limit: int = 10, x_token: Annotated[str | None, Header()] = None) -> Any:
    return [limit, x_token]


def application(*, layers: bool = False) -> FastAPI:
    app = FastAPI(openapi_url=None)
    router = APIRouter()
    if layers:
        app.add_middleware(CORSMiddleware, allow_origins=["http://a.example"])
        app.add_middleware(GZipMiddleware, minimum_size=10)

    @app.get("/")
    async def root() -> Any:
        return {"hello": ["world", 1, 2.5, None]}

    @router.get("/items/{item_id}", response_model=Item)
    async def item(item_id: int, given: Annotated[Any, Depends(page)]) -> Any:
        return {"name": "x", "tags": ["a"]}

    @router.post("/items")
    async def posted(item: Item) -> Any:
        return item

    @app.post("/form")
    async def form(a: Annotated[str, Form()]) -> Any:
        return a

    @app.get("/yield")
    async def yielding(value: Annotated[str, Depends(opened)]) -> Any:
        return value

    @app.get("/yield-error")
    async def yielding_error(value: Annotated[str, Depends(opened)]) -> Any:
        raise HTTPException(404)

    @app.get("/response")
    async def response(request: Request) -> Any:
        return Response(request.url.path)

    @app.get("/error")
    async def error() -> Any:
        raise HTTPException(403)

    app.include_router(router, prefix="/v1")
    return app


async def _awaited(app: Any, *asgi: Any) -> None:
    """As a coroutine, which is what a loop makes a task of."""
    await app(*asgi)


JSON = (b"content-type", b"application/json")
URLENCODED = (b"content-type", b"application/x-www-form-urlencoded")
ORIGIN = (b"origin", b"http://a.example")
GZIP = (b"accept-encoding", b"gzip")


def scenario(
    name: str, method: str, path: str, *fields: Any, body: bytes = b"", **options: Any
) -> None:
    """Enter a request, answered before the middleware, and behind it."""
    app = application(**options)
    entrance = install(app).entrance()

    def ask(loop: Any, called: Any) -> None:
        events = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return events.pop() if events else {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            pass

        scope = http_scope(method, path, *fields)
        try:
            loop.run_until_complete(_awaited(called, scope, receive, send))
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise MemoryError from None

    def before(loop: Any) -> Iterator[None]:
        ask(loop, entrance)
        yield
        ask(loop, entrance)

    def inside(loop: Any) -> Iterator[None]:
        ask(loop, app)
        yield
        ask(loop, app)

    SCENARIOS[f"fastapi_{name}_before"] = before
    SCENARIOS[f"fastapi_{name}_inside"] = inside


def compiling() -> Callable[[Any], Iterator[None]]:
    """The scenario of a table that is made of what is known already of an application."""
    app = application(layers=True)
    original = app.router.middleware_stack
    router = app.router.middleware_stack = FastAPIRouter(original, Compiler(app, "native"), app)
    table = Compiler(app, "native")()

    def run(loop: Any) -> Iterator[None]:
        router = FastAPIRouter(original, lambda: table, app)
        yield
        if not router.prepare():
            raise MemoryError

    assert router.prepare()
    return run


SCENARIOS["fastapi_compiling"] = compiling()
scenario("hello", "GET", "/")
scenario("item", "GET", "/v1/items/5", (b"x-token", b"t"))
scenario("post", "POST", "/v1/items", JSON, body=b'{"name": "n", "tags": ["a"]}')
scenario("replay", "GET", "/v1/items/x")
scenario("form", "POST", "/form", URLENCODED, body=b"a=1")
scenario("yield", "GET", "/yield")
scenario("yield_error", "GET", "/yield-error")
scenario("response", "GET", "/response")
scenario("error", "GET", "/error")
scenario("none", "GET", "/nowhere")
scenario("layers", "GET", "/", ORIGIN, GZIP, layers=True)
scenario("layers_yield", "GET", "/yield", ORIGIN, GZIP, layers=True)
