# SPDX-License-Identifier: MIT
"""A self-check for a FastAPI whose sources are not known: does it answer as the plans do?

An application of our own has an endpoint for each thing that a plan can do. It is asked the same
requests with and without plans, in this process and without a network, and what comes out is
compared: messages, exceptions and the order of what was called. It takes about half a second.
"""

# No postponed annotations: FastAPI would not find the names of functions that are defined inside.

import asyncio
import dataclasses
import functools
import importlib.util
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    UploadFile,
)
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from pydantic import BaseModel, Field

from camshaft._core import FastAPIRouter
from camshaft.fastapi.describe import describe
from camshaft.fastapi.reasons import NotUnderstood
from camshaft.fastapi.trust import Trust

# Milliseconds would do; a machine may be busy.
_PATIENCE = 60.0


class _Item(BaseModel):
    name: str
    price: float = Field(gt=0)
    tags: list[str] = []
    note: str | None = Field(default=None, alias="Note")


class _Filter(BaseModel):
    model_config = {"extra": "forbid"}
    limit: int = Field(10, le=100)
    tags: list[str] = []


class _Entry(BaseModel):
    title: str = Field(min_length=2)
    tags: list[str] = []


@dataclasses.dataclass
class _Point:
    x: int
    y: int = 0


class _Trouble(Exception):
    pass


def _application(log: list[str]) -> FastAPI:
    """Return the application; what it calls writes to `log`."""
    app = FastAPI()

    @app.exception_handler(_Trouble)
    async def trouble(request: Request, error: _Trouble) -> PlainTextResponse:
        log.append("trouble handled")
        return PlainTextResponse("trouble", status_code=418)

    _add_parameters(app)
    _add_bodies(app)
    if importlib.util.find_spec("python_multipart") is not None:
        _add_forms(app, log)
    _add_dependencies(app, log)
    _add_answers(app, log)
    inner, outer = APIRouter(prefix="/inner"), APIRouter()

    @inner.get("/{name:path}")
    async def deep(name: str, request: Request) -> dict[str, Any]:
        return {"name": name, "route": request.scope["route"].path}

    outer.include_router(inner)
    app.include_router(outer, prefix="/outer", dependencies=[Depends(_logging(log, "outer"))])
    return app


def _logging(log: list[str], what: str) -> Any:
    async def dependency() -> str:
        log.append(what)
        return what

    return dependency


def _add_parameters(app: FastAPI) -> None:
    @app.get("/path/{number}/{fraction:float}/{rest:path}")
    async def path(number: Annotated[int, Path(ge=0)], fraction: float, rest: str) -> list[Any]:
        return [number, fraction, rest]

    @app.get("/query")
    async def query(
        needed: int,
        flag: bool = False,
        names: Annotated[list[str], Query(alias="name")] = [],  # noqa: B006
        text: Annotated[str | None, Query(max_length=3)] = None,
        made: Annotated[list[int], Query(default_factory=list)] = ...,  # type: ignore[assignment]
    ) -> list[Any]:
        return [needed, flag, names, text, made]

    @app.get("/filter")
    async def filter(filter: Annotated[_Filter, Query()]) -> Any:
        return filter

    @app.get("/headers")
    async def headers(
        x_token: Annotated[list[str] | None, Header()] = None,
        raw_name: Annotated[str, Header(convert_underscores=False)] = "-",
        session: Annotated[str | None, Cookie()] = None,
    ) -> list[Any]:
        return [x_token, raw_name, session]


def _add_bodies(app: FastAPI) -> None:
    @app.post("/item", response_model_exclude_unset=True)
    async def item(item: _Item) -> _Item:
        return item

    @app.post("/two")
    async def two(item: _Item, count: Annotated[int, Body()] = 1) -> list[Any]:
        return [item, count]

    @app.put("/embedded")
    def embedded(point: Annotated[_Point | None, Body(embed=True)] = None) -> Any:
        return point

    @app.post("/list")
    async def of_list(points: list[_Point]) -> list[_Point]:
        return points

    @app.post("/any")
    async def anything(value: Annotated[Any, Body()] = "nothing") -> Any:
        return {"value": value if not isinstance(value, bytes) else value.decode()}


def _add_forms(app: FastAPI, log: list[str]) -> None:
    async def first(upload: UploadFile) -> str:
        log.append("first")
        return repr(await upload.read(2))

    @app.post("/form")
    async def form(
        name: Annotated[str, Form(max_length=3)],
        numbers: Annotated[list[int] | None, Form(alias="number")] = None,
        q: int = 0,
    ) -> list[Any]:
        return [name, numbers, q]

    # Before FastAPI had them it takes no such keyword.
    limits: Any = {"form_limits": {"max_fields": 3}} if hasattr(app.router, "form_limits") else {}

    @app.post("/entry", **limits)
    def entry(entry: Annotated[_Entry, Form()]) -> _Entry:
        return entry

    @app.post("/files")
    async def files(
        first: Annotated[str, Depends(first)],
        upload: Annotated[bytes, File()],
        others: Annotated[list[UploadFile], File(alias="other")] = [],  # noqa: B006
        request: Request = ...,  # type: ignore[assignment]
    ) -> list[Any]:
        form = await request.form()
        return [first, repr(upload), [(each.filename, each.size) for each in others], len(form)]


def _add_dependencies(app: FastAPI, log: list[str]) -> None:
    def shared(q: int = 0) -> int:
        log.append(f"shared {q}")
        return q

    async def left(shared: Annotated[int, Depends(shared)]) -> int:
        log.append("left")
        return shared + 1

    def right(
        shared: Annotated[int, Depends(shared)],
        again: Annotated[int, Depends(shared, use_cache=False)],
    ) -> int:
        log.append("right")
        return shared + again

    @app.get("/tree", dependencies=[Depends(_logging(log, "first"))])
    def tree(left: Annotated[int, Depends(left)], right: Annotated[int, Depends(right)]) -> Any:
        log.append("tree")
        return [left, right]

    async def session() -> AsyncIterator[str]:
        log.append("enter session")
        try:
            yield "session"
        except _Trouble:
            log.append("session sees trouble")
            raise
        finally:
            log.append("leave session")

    def file() -> Iterator[str]:
        log.append("enter file")
        yield "file"
        log.append("leave file")

    @app.get("/generators/{how}")
    async def generators(
        how: str,
        session: Annotated[str, Depends(session)],
        file: Annotated[str, Depends(file, scope="function")],
        tasks: BackgroundTasks,
    ) -> Any:
        tasks.add_task(log.append, "task")
        log.append("generators")
        if how == "trouble":
            raise _Trouble
        return [session, file]

    def scopes(scopes: SecurityScopes) -> list[str]:
        return scopes.scopes

    @app.get("/scopes")
    async def secured(
        scopes: Annotated[list[str], Security(scopes, scopes=["read"])],
        token: Annotated[Any, Depends(HTTPBearer(auto_error=False))],
    ) -> Any:
        return [scopes, token]


def _add_answers(app: FastAPI, log: list[str]) -> None:
    @app.get("/plain")
    async def plain() -> Any:
        return {"a": [1, 2.5, None, True, "ü"], "b": {"c": ()}}

    @app.get("/response", status_code=202)
    def response(response: Response, code: int = 0) -> Any:
        response.headers["X-One"] = "1"
        response.set_cookie("two", "2")
        if code:
            response.status_code = code
        return "x"

    @app.get("/own")
    async def own() -> Response:
        return PlainTextResponse("own", 203, {"X-Own": "1"})

    @app.get("/html", response_class=HTMLResponse)
    async def html() -> str:
        return "<p>ü</p>"

    @app.delete("/nothing", status_code=204)
    async def nothing() -> None:
        return None

    @app.get("/refused/{code}")
    def refused(code: int) -> None:
        raise HTTPException(code, {"code": code}, {"X-Refused": "1"})

    @app.get("/broken")
    async def broken() -> _Item:
        return {"name": 1}  # type: ignore[return-value]

    @app.get("/trouble")
    def trouble() -> None:
        raise _Trouble


_JSON = ("content-type", "application/json")
_FORM = ("content-type", "application/x-www-form-urlencoded")
_PARTS = ("content-type", "multipart/form-data; boundary=b")


def _parts(*parts: tuple[str, str]) -> str:
    """Return the body of a form with files: what is in the head of each, and its content."""
    head = "content-disposition: form-data; name="
    return "".join(f"--b\r\n{head}{more}\r\n\r\n{text}\r\n" for more, text in parts) + "--b--\r\n"


_ITEM = '{"name":"x","price":1.5,"Note":null}'
# (method, path with query, headers, body)
_REQUESTS: tuple[tuple[str, str, tuple[tuple[str, str], ...], str], ...] = (
    *(
        ("GET", path, (), "")
        for path in (
            "/path/3/1.5/a/b%20c",
            "/path/-3/1.5/a",
            "/path/x/2/",
            "/path/3/x/y",
            "/query?needed=1",
            "/query",
            "/query?needed=x&flag=maybe&text=long",
            "/query?needed=1&needed=2&flag=on&name=a&name=b&text=%C3%BC&made=1&made=2",
            "/query?needed=&name=",
            "/filter",
            "/filter?limit=5&tags=a&tags=b",
            "/filter?limit=500&other=1",
            "/tree",
            "/tree?q=4",
            "/tree?q=x",
            "/generators/well",
            "/generators/trouble",
            "/scopes",
            "/plain",
            "/response",
            "/response?code=299",
            "/response?code=204",
            "/own",
            "/html",
            "/refused/404",
            "/refused/204",
            "/broken",
            "/trouble",
            "/outer/inner/a/b",
            "/outer/inner/",
            "/outer/other",
            "/nowhere",
            "/plain/",
        )
    ),
    ("POST", "/plain", (), ""),
    ("HEAD", "/plain", (), ""),
    ("DELETE", "/nothing", (), ""),
    ("GET", "/headers", (), ""),
    ("GET", "/headers", (("x-token", "a"), ("x-token", "b"), ("cookie", "a=b; session=s")), ""),
    ("GET", "/headers", (("x_token", "a"), ("raw_name", "r"), ("cookie", "session=")), ""),
    ("GET", "/scopes", (("authorization", "Bearer token"),), ""),
    ("GET", "/scopes", (("authorization", "Basic token"),), ""),
    *(
        ("POST", "/item", (_JSON,), body)
        for body in (
            _ITEM,
            '{"name":"ü","price":2,"tags":["a"],"other":1}',
            '{"name":1,"price":-1}',
            "{}",
            "[]",
            "null",
            "",
            "{",
            '{"name":"x","price":NaN}',
            '{"name":"x","price":1,"price":2}',
        )
    ),
    ("POST", "/item", (("content-type", "application/vnd.x+json; charset=utf-8"),), _ITEM),
    ("POST", "/item", (("content-type", "text/plain"),), _ITEM),
    ("POST", "/item", (), _ITEM),
    ("POST", "/two", (_JSON,), f'{{"item":{_ITEM},"count":3}}'),
    ("POST", "/two", (_JSON,), f'{{"item":{_ITEM}}}'),
    ("POST", "/two", (_JSON,), "[1]"),
    ("PUT", "/embedded", (_JSON,), '{"point":{"x":1}}'),
    ("PUT", "/embedded", (_JSON,), '{"point":null}'),
    ("PUT", "/embedded", (_JSON,), "{}"),
    ("PUT", "/embedded", (), ""),
    ("POST", "/list", (_JSON,), '[{"x":1,"y":2},{"x":3}]'),
    ("POST", "/list", (_JSON,), '[{"y":2}]'),
    ("POST", "/any", (_JSON,), '{"a":[1,1.5,true,null,"\\u00fc\\ud83d\\ude00"]}'),
    ("POST", "/any", (_JSON,), "null"),
    ("POST", "/any", (), "text"),
    ("POST", "/any", (), ""),
    *(
        ("POST", path, (_FORM,), body)
        for path, body in (
            ("/form?q=2", "name=a+%C3%BC&number=1&number=2"),
            ("/form", "name=&number="),
            ("/form?q=x", "name=long&number=x"),
            ("/form", ""),
            ("/entry", "title=ab&tags=c&tags=d"),
            ("/entry", "title=a&more=1"),
            ("/entry", "title=ab&tags=c&tags=d&tags=e"),
            ("/files", "upload=x"),
        )
    ),
    ("POST", "/form", (), "name=a"),
    ("POST", "/form", (_PARTS,), _parts(("name", "a"), ("number", "1"))),
    ("POST", "/entry", (_PARTS,), _parts(("title", "a"), ("tags", "1"))),
    ("POST", "/entry", (_PARTS,), "--b\r\n\r\nx"),
    *(
        ("POST", "/files", (_PARTS,), _parts(*parts))
        for parts in (
            (("upload; filename=u", "0123"), ("other; filename=o", "o"), ("other; filename=p", "")),
            (("upload; filename=u", "0123"), ("more", "1")),
            (("other; filename=o", "o"),),
        )
    ),
)


async def _ask(app: Any, method: str, target: str, headers: Any, body: str = "") -> list[Any]:
    """Return the messages that an application sends to a request, and what it raises."""
    path, _, query = target.partition("?")
    from urllib.parse import unquote

    data = body.encode()
    lines = [(name.encode(), value.encode()) for name, value in headers]
    lines += [(b"host", b"self.check"), (b"content-length", b"%d" % len(data))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": lines,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    waiting = [{"type": "http.request", "body": data, "more_body": False}]
    found: list[Any] = []

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        return await asyncio.Future()  # the client stays

    async def send(message: Any) -> None:
        found.append(dict(message))

    try:
        await app(scope, receive, send)
    except Exception as error:
        # Its text names the endpoint by what FastAPI keeps of functions by their id(), which a
        # function has had before that is gone.
        told = error.errors() if isinstance(error, ResponseValidationError) else str(error)
        found.append((type(error).__name__, told))
    # A body in pieces is the same body.
    bodies = [message for message in found if isinstance(message, dict) and "body" in message]
    whole = b"".join(message["body"] for message in bodies)
    others = [message for message in found if message not in bodies]
    return [
        *(
            {
                key: [tuple(line) for line in value] if key == "headers" else value
                for key, value in message.items()
            }
            if isinstance(message, dict)
            else message
            for message in others
        ),
        whole,
    ]


_LEFT_OUT = NotUnderstood("generators are left out")


async def _compare(generators: bool) -> str | None:
    log: list[str] = []
    stock, planned = _application(log), _application(log)
    table = describe(planned, trust=Trust(generators=None if generators else _LEFT_OUT))
    for entry in table.entries:
        if (
            entry.plan is None
            and isinstance(entry.route, APIRoute)
            and entry.reason != _LEFT_OUT.reason
        ):
            return f"{entry.path} has no plan: {entry.reason}"
    router = FastAPIRouter(planned.router.middleware_stack, lambda: table, planned)
    planned.router.middleware_stack = router  # type: ignore[assignment]
    for request in _REQUESTS:
        answers = []
        for app in (stock, planned):
            answer = await _ask(app, *request)
            answers.append((answer, tuple(log)))
            log.clear()
        if answers[0] != answers[1]:
            return f"{request[0]} {request[1]}"
    if router.native_count < len(_REQUESTS) // 2:
        return f"only {router.native_count} of {len(_REQUESTS)} requests had a plan"
    return None


@functools.cache
def first_difference(*, generators: bool = True) -> str | None:
    """Return the first request that is answered otherwise by plans, in words; None for no such.

    Without `generators` routes that depend on some have no plans, as they will have none. In a
    thread with an event loop of its own, as there may be one running in this. Never raises.
    """
    found: list[str | None] = []

    def run() -> None:
        try:
            found.append(asyncio.run(asyncio.wait_for(_compare(generators), _PATIENCE)))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run, name="camshaft-self-check")
    thread.start()
    thread.join()
    return found[0] if found else "the self-check was interrupted"
