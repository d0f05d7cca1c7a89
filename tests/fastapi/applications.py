# SPDX-License-Identifier: MIT
"""An application with one of everything that plans know, its requests, and ways to answer them.

The same requests go to FastAPI's own stack, to one with our router inside the middleware, and to
the router's entrance before it: what comes back, what user code saw and what the server was told
must be the same.
"""

import asyncio
import contextlib
import contextvars
import dataclasses
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
)
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials, SecurityScopes
from pydantic import AfterValidator, BaseModel, Field

from camshaft._core import FastAPIRouter
from camshaft.fastapi.describe import describe

Application = Callable[..., Awaitable[None]]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Marked(Exception):
    """What the handler is told of by the Request that the endpoint had."""


class Item(BaseModel):
    id: int
    name: str = "x"
    price: float = 1.5
    tags: list[str] = []


class Filter(BaseModel):
    model_config = {"extra": "forbid"}
    limit: int = Field(10, le=100)
    tags: list[str] = []


class Refused(Exception):
    pass


def make(log: list[Any]) -> FastAPI:
    """Return the application, whose code notes in `log` what it does."""
    app = FastAPI()

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        log.append(("handler", request.url.path, request.path_params, await request.body()))
        return PlainTextResponse(str(error), 418)

    @app.get("/")
    async def root() -> Any:
        log.append(("root", asyncio.current_task() is not None, variable.get()))
        return {"hello": "world", "n": 1.5, "é": ["a\n\x01", None, True, -7], "_sa_x": 1}

    @app.get("/items/{item_id}", response_model=Item)
    async def item(item_id: int, q: str | None = None) -> Any:
        return {"id": item_id, "name": q or "none"}

    async def token(
        x_token: Annotated[str | None, Header()] = None,
        limit: Annotated[int, Query(le=100)] = 10,
    ) -> Any:
        log.append(("token", x_token, limit))
        variable.set("by a dependency")
        return x_token, limit

    async def nested(inner: Annotated[Any, Depends(token)]) -> Any:
        log.append("nested")
        return {"inner": inner}

    def threaded(inner: Annotated[Any, Depends(nested)]) -> Any:
        log.append(("threaded", variable.get()))
        return inner

    @app.get("/tree")
    async def tree(
        a: Annotated[Any, Depends(nested)],
        b: Annotated[Any, Depends(token)],
        c: Annotated[Any, Depends(token, use_cache=False)],
        d: Annotated[Any, Depends(threaded)],
    ) -> Any:
        return {"a": a, "b": b, "c": c, "d": d, "variable": variable.get()}

    @app.post("/items")
    async def post(item: Item) -> Item:
        return item

    @app.post("/two/{n}")
    async def two(item: Item, other: Item, n: int) -> Any:
        return [item, other, n]

    @app.put("/raw", status_code=202)
    async def raw(body: Any = None) -> Any:
        return {"body": repr(body)}

    @app.get("/thread/{x}")
    def thread(x: int, tags: Annotated[list[str], Query()] = []) -> dict[str, int | list[str]]:  # noqa: B006
        log.append(("thread", x))
        return {"x": x, "tags": tags}

    class Row:
        """As of an ORM: its attributes are looked up when they are asked for."""

        id = 7

        @property
        def name(self) -> str:
            log.append(("loaded in a thread", threading.current_thread() is not main))
            return "row"

    main = threading.current_thread()

    @app.get("/row", response_model=Item)
    def row() -> Any:
        return Row()

    @app.get("/fails/{kind}")
    async def fails(kind: str) -> Any:
        if kind == "http":
            raise HTTPException(404, "not there", headers={"X-Why": "because"})
        if kind == "refused":
            raise Refused("short and stout")
        if kind == "response":
            return None
        raise ValueError(kind)

    @app.get("/invalid", response_model=Item)
    async def invalid() -> Any:
        return {"id": "no number"}

    async def opened() -> AsyncIterator[str]:
        log.append("opened")
        try:
            yield "value"
        except HTTPException:
            log.append("seen")
            raise
        finally:
            log.append("closed")

    def opened_in_thread(outer: Annotated[str, Depends(opened)]) -> Iterator[str]:
        log.append("opened in a thread")
        yield outer + "!"
        log.append("closed in a thread")

    @app.get("/yield")
    async def yielded(
        value: Annotated[str, Depends(opened_in_thread)], request: Request, fail: bool = False
    ) -> Any:
        if fail:
            raise HTTPException(400, "inside")
        return {"value": value, "path": request.url.path}

    async def swallowing(request: Request) -> AsyncIterator[None]:
        request.scope["fastapi_middleware_astack"].callback(log.append, "outermost")
        with contextlib.suppress(ValueError):
            yield
        log.append("swallowed")

    @app.get("/swallowed")
    async def swallowed(_: Annotated[None, Depends(swallowing)]) -> Any:
        raise ValueError("for the dependency")

    @app.get("/swallowed-early")
    async def swallowed_early(
        _: Annotated[None, Depends(swallowing, scope="function")],
    ) -> Any:
        raise ValueError("for the dependency")

    @app.post("/marked")
    async def marked(request: Request) -> Any:
        request.state.mark = "in the state"
        request.mark = "on the request"  # type: ignore[attr-defined]
        log.append(sorted(key for key in request.scope if key != "fastapi"))
        raise Marked

    @app.exception_handler(Marked)
    async def on_marked(request: Request, _: Marked) -> Response:
        marks = request.mark, request.state.mark  # type: ignore[attr-defined]
        return PlainTextResponse(f"{marks} {await request.body()!r}", 409)

    @app.get("/injected")
    async def injected(response: Response, tasks: BackgroundTasks) -> Any:
        response.headers["x-set"] = "yes"
        response.status_code = 201
        tasks.add_task(log.append, "in the background")
        return {"ok": True}

    @app.get("/responses/{kind}")
    async def responses(kind: str) -> Any:
        if kind == "text":
            return PlainTextResponse("text", 203, {"x-own": "1"})
        tasks = BackgroundTasks()
        tasks.add_task(log.append, "behind a response")
        return Response(b"own", background=tasks)

    @app.get("/empty", status_code=204)
    async def empty() -> None:
        log.append("empty")

    @app.get("/cookie")
    async def cookie(session: Annotated[str, Cookie()] = "none") -> Any:
        return session

    @app.get("/model")
    async def model(given: Annotated[Filter, Query()]) -> Any:
        return given

    def even(value: int) -> int:
        log.append(("even", value))
        if value % 2:
            raise ValueError("odd")
        return value

    async def impure(n: Annotated[int, AfterValidator(even)]) -> int:
        log.append(("impure", n))
        return n

    @app.get("/impure")
    async def endpoint(
        n: Annotated[int, Depends(impure)],
        m: Annotated[int, AfterValidator(even)],
        k: Annotated[int, Query()] = 4,
        x: Annotated[int, Header(alias="X-Checked")] = 5,
    ) -> Any:
        return [n, m, k, x]

    def scoped(scopes: SecurityScopes) -> list[str]:
        return scopes.scopes

    @app.get("/basic")
    async def basic(who: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> Any:
        return who.username

    @app.get("/scoped")
    async def with_scopes(scopes: Annotated[Any, Depends(scoped)]) -> Any:
        return scopes

    @app.get("/converted/{f:float}/u/{p:path}")
    async def converted(f: float, p: str) -> Any:
        return {"f": f, "p": p}

    @app.get("/file/{name}.{suffix}")
    async def by_expression(name: str, suffix: str) -> Any:
        return [name, suffix]

    router = APIRouter(prefix="/inner")

    @router.get("/{name}/z")
    async def inner(
        name: str,
        request: Request,
        request_id: Annotated[str | None, Header(alias="X-Request-ID")] = None,
    ) -> Any:
        context = request.scope["fastapi"]["effective_route_context"]
        return [name, request_id, request.scope["route"].path, context.path]

    @router.post("/{name}/quick")
    async def quick(name: str, request_ids: Annotated[list[str], Header()] = []) -> Any:  # noqa: B006
        return [name, request_ids]

    app.include_router(router, prefix="/v1")
    return app


@dataclasses.dataclass
class Call:
    """A request as an ASGI server would have it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    pieces: int = 1

    def scope(self) -> dict[str, Any]:
        from urllib.parse import unquote

        path, _, query = self.target.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.headers],
            "client": ("127.0.0.1", 50000),
            "server": ("localhost", 80),
            "state": {},
        }

    def events(self) -> list[dict[str, Any]]:
        size = max(1, -(-len(self.body) // self.pieces))
        parts = [self.body[at : at + size] for at in range(0, len(self.body), size)] or [b""]
        return [
            {"type": "http.request", "body": part, "more_body": part is not parts[-1]}
            for part in parts
        ] + [{"type": "http.disconnect"}]


JSON = (("Content-Type", "application/json"),)
CALLS = [
    Call("GET", "/"),
    Call("HEAD", "/"),
    Call("DELETE", "/"),
    Call("GET", "/nothing"),
    Call("GET", "/openapi.json"),
    Call("GET", "/items/5"),
    Call("GET", "/items/5/"),
    Call("GET", "/items/5%0a"),
    Call("GET", "/items/5?q=a%20b+c&q=%C3%A9"),
    Call("GET", "/items/5?%71=escaped&&x"),
    Call("GET", "/items/5?q=%ff%e"),
    Call("GET", "/items/5?q=\xe9"),
    Call("GET", "/items/5?q"),
    Call("GET", "/items/x"),
    Call("GET", "/items/" + "9" * 400),
    Call("GET", "/tree"),
    Call("GET", "/tree?limit=7", (("X-Token", "t"), ("X-Token", "u"))),
    Call("GET", "/tree?limit=700"),
    Call("POST", "/items", JSON, b'{"id": 3, "name": "\xc3\xa9", "tags": ["a"]}'),
    Call("POST", "/items", JSON, b'{"id": 3, "name": "\xc3\xa9", "tags": ["a"]}', 3),
    Call("POST", "/items", JSON, b' {"id": 3} '),
    Call("POST", "/items", JSON, b'\xef\xbb\xbf{"id": 3}'),
    Call("POST", "/items", JSON, '{"id": 3}'.encode("utf-16")),
    Call("POST", "/items", JSON, b'{"id": 3, "price": NaN}'),
    Call("POST", "/items", JSON, b'{"id": 3}]'),
    Call("POST", "/items", JSON, b"{bad}"),
    Call("POST", "/items", JSON, b"{\xff}"),
    Call("POST", "/items", JSON, b'{"id": "x"}'),
    Call("POST", "/items", JSON, b"null"),
    Call("POST", "/items", JSON),
    Call("POST", "/items", (), b'{"id": 3}'),
    Call("POST", "/items", (("Content-Type", "application/vnd.x+json; a=b"),), b'{"id": 3}'),
    Call("POST", "/items", (("Content-Type", "text/json"),), b'{"id": 3}'),
    Call("POST", "/items", (("Content-Type", " Application/JSON ;"),), b'{"id": 3}'),
    Call("POST", "/two/4", JSON, b'{"item": {"id": 1}, "other": {"id": 2}}'),
    Call("POST", "/two/4", JSON, b'{"item": {"id": 1}}'),
    Call("POST", "/two/x", JSON, b'{"item": {"id": 1}}'),
    Call("POST", "/two/4", JSON, b"[1]"),
    Call("PUT", "/raw", JSON, b"7"),
    Call("PUT", "/raw?body=x"),
    Call("GET", "/thread/4?tags=a&tags=b"),
    Call("GET", "/thread/4"),
    Call("GET", "/row"),
    Call("GET", "/fails/http"),
    Call("GET", "/fails/refused"),
    Call("GET", "/fails/else"),
    Call("GET", "/fails/response"),
    Call("GET", "/invalid"),
    Call("GET", "/yield"),
    Call("GET", "/yield?fail=1"),
    Call("GET", "/injected"),
    Call("GET", "/swallowed"),
    Call("GET", "/swallowed-early"),
    Call("POST", "/marked", JSON, b"[1]"),
    Call("GET", "/responses/text"),
    Call("GET", "/responses/background"),
    Call("GET", "/empty"),
    Call("GET", "/cookie", (("Cookie", 'session="a\\"b"; other=1'),)),
    Call("GET", "/cookie"),
    Call("GET", "/model?limit=5&tags=a"),
    Call("GET", "/model?limit=500"),
    Call("GET", "/model?unknown=1"),
    Call("GET", "/impure?n=2&m=4"),
    Call("GET", "/impure?n=3&m=5"),
    Call("GET", "/impure?n=3&m=4&k=x"),
    Call("GET", "/impure"),
    Call("GET", "/impure?n=3&m=4", (("X-Checked", "x"),)),
    Call("GET", "/basic"),
    Call("GET", "/basic", (("Authorization", "Basic YTpi"),)),
    Call("GET", "/scoped"),
    Call("GET", "/converted/1.5/u/a/b"),
    Call("GET", "/converted/1.x/u/a/b"),
    Call("GET", "/file/a.b.c"),
    Call("GET", "/v1/inner/bob/z", (("X-Request-Id", "77"),)),
    Call("POST", "/v1/inner/bob/quick", (("Request-Ids", "1"), ("Request-Ids", "2"))),
    Call("GET", "/v1/inner/bob/quick"),
]


async def answer(app: Application, call: Call) -> tuple[list[Any], str]:
    """Return the events that the application sent, and the exception that it raised."""
    events, sent = call.events(), []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    raised = ""
    try:
        await app(call.scope(), receive, send)
    except Exception as error:
        raised = repr(error)
    return sent, raised


def native(app: FastAPI, *, entrance: bool = False) -> tuple[FastAPIRouter, Application]:
    """Put our router into the application: the router, and what is to be called."""

    former = app.router.middleware_stack

    def compile_() -> Any:
        return dataclasses.replace(describe(app), whole=entrance)

    router = FastAPIRouter(former, compile_, app)
    app.router.middleware_stack = router
    return router, router.entrance() if entrance else app
