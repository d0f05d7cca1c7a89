# SPDX-License-Identifier: MIT
"""Forms and files read by plans, beside the same requests answered by FastAPI."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Request,
    Response,
    UploadFile,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from tests.fastapi.applications import Application, Call, native

BOUNDARY = "a-boundary"
MULTIPART = (("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),)
URLENCODED = (("Content-Type", "application/x-www-form-urlencoded"),)
LARGE = b"0123456789abcdef" * 200_000  # more than is kept in memory


class Person(BaseModel):
    name: str
    age: int = Field(7, le=100)
    tags: list[str] = []


class Strict(BaseModel):
    model_config = {"extra": "forbid"}
    id: int
    upload: UploadFile | None = None


class Open(BaseModel):
    model_config = {"extra": "allow"}
    id: int | None = None


def make(log: list[Any], **settings: Any) -> FastAPI:
    """Return an application of forms, whose code notes in `log` what it does."""
    app = FastAPI(**settings)
    files = app.state.files = []

    def note(upload: Any) -> Any:
        """What a file is like, which is looked at again when the request is over."""
        if upload is None or isinstance(upload, str | bytes):
            return repr(upload)[:60]
        files.append(upload.file)
        headers = dict(upload.headers)
        return [type(upload).__module__, upload.filename, upload.size, headers, upload.file.closed]

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        body = error.body.multi_items() if hasattr(error.body, "multi_items") else error.body
        log.append(("invalid", repr(body)[:200].partition(" at 0x")[0], error.endpoint_path))
        return JSONResponse({"errors": error.errors()}, 422)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        log.append(("refused", repr(error), repr(error.__cause__), "form" in vars(request)))
        return JSONResponse({"detail": error.detail}, error.status_code)

    @app.post("/login")
    async def login(
        username: Annotated[str, Form()], password: Annotated[str, Form(min_length=2)] = "none"
    ) -> Any:
        return [username, password]

    @app.post("/lists/{n}")
    async def lists(
        n: int,
        items: Annotated[list[int], Form()],
        more: Annotated[set[str], Form(alias="other-name")] = set(),  # noqa: B006
        token: Annotated[str | None, Header()] = None,
    ) -> Any:
        return [n, items, sorted(more), token]

    @app.post("/person")
    def person(person: Annotated[Person, Form()]) -> Person:
        return person

    @app.post("/embedded")
    async def embedded(person: Annotated[str, Body()], other: Annotated[int, Form()]) -> Any:
        return [person, other]

    @app.post("/strict")
    async def strict(data: Annotated[Strict, Form()]) -> Any:
        return [data.id, note(data.upload)]

    @app.post("/open")
    async def open_(data: Annotated[Open | None, Form()] = None) -> Any:
        return data and data.model_dump()

    @app.post("/two")
    async def two(one: Annotated[Person, Form()], other: Annotated[Open, Form()]) -> Any:
        return [one, {**other.model_dump(), "upload": None}]

    @app.post("/bytes")
    async def raw(data: Annotated[bytes, File()], more: Annotated[list[bytes], File()] = []) -> Any:  # noqa: B006
        return [len(data), repr(data[-10:]), [len(each) for each in more]]

    @app.post("/maybe")
    async def maybe(
        data: Annotated[bytes | None, File()] = None, n: Annotated[int, Form()] = 1
    ) -> Any:
        return [repr(data), n]

    @app.post("/upload")
    async def upload(upload: UploadFile, tasks: BackgroundTasks) -> Any:
        def later() -> None:
            log.append(("later", upload.file.closed))

        tasks.add_task(later)
        start = await upload.read(4)
        return [note(upload), repr(start), upload.file.tell()]

    @app.post("/threaded")
    def threaded(upload: UploadFile, note_: Annotated[str, Form(alias="note")] = "") -> Any:
        return [note(upload), len(upload.file.read()), note_]

    @app.post("/uploads")
    async def uploads(
        uploads: list[UploadFile], title: Annotated[str | None, Form()] = None
    ) -> Any:
        return [[note(each) for each in uploads], title]

    async def moved(upload: UploadFile) -> int:
        log.append("moved")
        await upload.read(5)
        return upload.file.tell()

    @app.post("/moved")
    async def after_moved(
        at: Annotated[int, Depends(moved)],
        upload: Annotated[bytes, File()],
        whole: Annotated[UploadFile, File(alias="upload")],
    ) -> Any:
        return [at, repr(upload), whole.file.tell()]

    async def closing(request: Request) -> None:
        log.append("closing")
        await (await request.form()).close()

    @app.post("/closed")
    async def after_closed(
        _: Annotated[None, Depends(closing)], upload: Annotated[bytes, File()]
    ) -> Any:
        return repr(upload)

    def checked(value: int) -> int:
        log.append(("checked", value))
        if value > 5:
            raise ValueError("too many")
        return value

    Checked = Annotated[int, Form(), AfterValidator(checked)]

    async def opened(a: Checked) -> AsyncIterator[int]:
        log.append("opened")
        yield a
        log.append(("closed", [each.closed for each in files]))

    async def unhindered() -> str:
        log.append("unhindered")
        return "x"

    @app.post("/checked/{n}")
    async def after_checks(
        n: int,
        a: Annotated[int, Depends(opened)],
        x: Annotated[str, Depends(unhindered)],
        b: Checked,
        upload: UploadFile | None = None,
    ) -> Any:
        return [n, a, x, b, note(upload)]

    @app.post("/request")
    async def with_request(request: Request, a: Annotated[str, Form()]) -> Any:
        form = await request.form()
        return [a, form.multi_items(), form is await request.form()]

    @app.post("/raises")
    async def raises(upload: UploadFile) -> Any:
        note(upload)
        raise HTTPException(409, f"no {upload.filename}")

    @app.post("/fails")
    async def fails(a: Annotated[str, Form()]) -> Any:
        raise ValueError(a)

    @app.post("/few", form_limits={"max_fields": 2, "max_files": 1, "max_part_size": 50})
    async def few(request: Request, a: Annotated[list[str], Form()]) -> Any:
        return [a, request.scope.get("fastapi")]

    router = APIRouter(prefix="/inner", form_limits={"max_files": 2})

    @router.post("/plain")
    async def plain(a: Annotated[str, Form()]) -> Any:
        return a

    @router.post("/own", form_limits={"max_fields": 1})
    async def own(request: Request, a: Annotated[str, Form()], b: UploadFile | None = None) -> Any:
        return [a, note(b), request.scope["fastapi"]["form_limits"]]

    outer = APIRouter(form_limits={"max_part_size": 100})
    outer.include_router(router, prefix="/outer")
    app.include_router(outer)
    app.include_router(router, prefix="/again", form_limits={"max_fields": 1, "max_files": 1})

    @app.post("/json")
    async def as_json(a: Annotated[int, Body(embed=True)]) -> Any:
        return a

    return app


def part(name: str, value: bytes | str, filename: str | None = None, *more: str) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = [f'Content-Disposition: form-data; name="{name}"{file}', *more]
    data = value.encode() if isinstance(value, str) else value
    return "\r\n".join([f"--{BOUNDARY}", *head, "", ""]).encode() + data + b"\r\n"


def multipart(target: str, *parts: bytes, end: bytes | None = None, pieces: int = 1) -> Call:
    end = f"--{BOUNDARY}--\r\n".encode() if end is None else end
    return Call("POST", target, MULTIPART, b"".join(parts) + end, pieces)


def urlencoded(target: str, body: str, pieces: int = 1) -> Call:
    return Call("POST", target, URLENCODED, body.encode(), pieces)


TEXT = "Content-Type: text/plain"
CALLS = [
    urlencoded("/login", "username=a%20b&password=%C3%A9%C3%A9&unknown=1"),
    urlencoded("/login", "username=a&username=b&password=xyz", 7),
    urlencoded("/login", "username=&password="),
    urlencoded("/login", "username=x&password=y"),
    urlencoded("/login", "username"),
    urlencoded("/login", ""),
    multipart("/login", part("username", "é"), part("password", "xyz")),
    multipart("/login", part("username", "a", "a.txt"), part("password", "xyz")),
    Call("POST", "/login", (), b"username=x"),
    Call("POST", "/login", (("Content-Type", "text/plain"),), b"username=x"),
    Call("POST", "/login", (("Content-Type", "application/json"),), b'{"username": "x"}'),
    Call("POST", "/login", (("Content-Type", "multipart/form-data"),), b"username=x"),
    Call("POST", "/login"),
    Call("GET", "/login"),
    urlencoded("/lists/3", "items=1&items=2&other-name=b&other-name=a"),
    urlencoded("/lists/3", "items=1&items=x"),
    urlencoded("/lists/x", "items=&more=1"),
    urlencoded("/person", "name=n&age=8&tags=a&tags=b&extra=1"),
    urlencoded("/person", "name=&age="),
    urlencoded("/person", "name=n&age=800"),
    multipart("/person", part("name", "n"), part("tags", "x")),
    urlencoded("/embedded", "person=n&other=3"),
    urlencoded("/embedded", "other=x"),
    multipart("/strict", part("id", "1"), part("upload", b"\0\xff", "u.bin", TEXT)),
    multipart("/strict", part("id", "1"), part("more", "1")),
    urlencoded("/strict", "id=1"),
    urlencoded("/open", "a=1&a=2&b=&id=3"),
    urlencoded("/open", ""),
    urlencoded("/open", "id=x"),
    urlencoded("/two", "name=n&id=5"),
    urlencoded("/two", "id=x"),
    multipart("/bytes", part("data", b"\0" * 10, "d"), part("more", "1", "m"), part("more", "22")),
    multipart("/bytes", part("data", "text")),
    multipart("/bytes", part("data", LARGE, "large"), pieces=50),
    multipart("/bytes", part("data", b"", "")),
    multipart("/bytes", part("more", b"m", "m")),
    urlencoded("/bytes", "data=text"),
    multipart("/maybe", part("data", b"d", "d"), part("n", "x")),
    multipart("/maybe", part("data", b"d", "d")),
    urlencoded("/maybe", ""),
    multipart("/upload", part("upload", b"0123456", "é.txt", TEXT, "X-Own: 1")),
    multipart("/upload", part("upload", LARGE, "large"), pieces=40),
    multipart("/upload", part("upload", "no file")),
    multipart("/upload", part("other", b"x", "x")),
    multipart("/threaded", part("upload", LARGE, "large"), part("note", "n"), pieces=3),
    multipart("/threaded", part("upload", b"small", "small"), part("note", "")),
    multipart("/uploads", part("uploads", b"1", "1"), part("uploads", b"2", "2", TEXT)),
    multipart("/uploads", part("uploads", LARGE, "1"), part("title", "t"), pieces=9),
    multipart("/uploads", part("uploads", "text"), part("uploads", b"2", "2")),
    multipart("/uploads", part("title", "t")),
    multipart("/moved", part("upload", b"0123456789", "m")),
    multipart("/moved", part("upload", LARGE, "m"), pieces=20),
    multipart("/moved", part("other", b"0123456789", "m")),
    multipart("/closed", part("upload", b"0123456789", "m")),
    multipart("/checked/1", part("a", "1"), part("b", "2"), part("upload", b"x", "x")),
    multipart("/checked/1", part("a", "6"), part("b", "2"), part("upload", b"x", "x")),
    multipart("/checked/x", part("a", "6"), part("b", "7"), part("upload", "x")),
    multipart("/checked/1", part("a", "1"), part("b", "7")),
    urlencoded("/request", "a=1&b=2&a=3"),
    multipart("/raises", part("upload", b"x", "x")),
    urlencoded("/fails", "a=1"),
    urlencoded("/few", "a=1&a=2"),
    urlencoded("/few", "a=1&a=2&a=3"),
    urlencoded("/few", "a=" + "1" * 100),
    multipart("/few", part("a", "1"), part("x", b"1", "1"), part("y", b"1", "1")),
    multipart("/few", part("a", b"1" * 60, "1")),
    urlencoded("/outer/inner/plain", "a=1"),
    urlencoded("/outer/inner/plain", "a=" + "1" * 120),
    multipart("/outer/inner/own", part("a", "1"), part("b", b"1", "1")),
    multipart("/outer/inner/own", part("a", "1"), part("b", b"1", "1"), part("b", "1")),
    multipart("/again/inner/own", part("a", "1"), part("b", b"1", "1")),
    multipart("/again/inner/own", part("b", b"1", "1"), part("b", b"1", "1")),
    Call("POST", "/json", (("Content-Type", "application/json"),), b'{"a": 1}'),
    urlencoded("/json", "a=1"),
    # What is no form though it says so.
    multipart("/upload", part("upload", b"x", "x"), end=b""),
    multipart("/upload", part("upload", b"x", "x")[:-4], end=b""),
    multipart("/upload", b"--other\r\n\r\n"),
    multipart("/upload", part("upload", LARGE, "x"), end=b"--" + b"\0" * 30, pieces=11),
    multipart("/upload", b"\r\n".join([f"--{BOUNDARY}".encode(), b"No-Name: 1", b"", b"x", b""])),
    multipart("/upload", b"\r\n".join([f"--{BOUNDARY}".encode(), b"B\xe4d : 1", b"", b"x", b""])),
    multipart("/upload", *(part(f"n{i}", "x") for i in range(1001))),
    multipart("/login", part("username", b"\xff\xfe")),
    multipart("/login", part("username", "x" * (1024 * 1024 + 1))),
]


@dataclasses.dataclass
class Peer:
    """The server of a call, whose client may leave or be slow."""

    call: Call
    events: list[Any]
    sent: list[Any] = dataclasses.field(default_factory=list)

    async def receive(self) -> Any:
        # A real server would have it wait; what receives too much does so for ever.
        if not self.events:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        event = self.events.pop(0)
        if isinstance(event, BaseException):
            raise event
        return event

    async def send(self, event: Any) -> None:
        self.sent.append(event)


async def converse(app: Application, peer: Peer) -> tuple[list[Any], str]:
    raised = ""
    try:
        await asyncio.wait_for(app(peer.call.scope(), peer.receive, peer.send), 30)
    except TimeoutError:
        raise
    except Exception as error:
        raised = repr(error)
    return peer.sent, raised


Making = Callable[[list[Any]], FastAPI]


def compare(
    call: Call, entrance: bool, events: list[Any] | None = None, making: Making = make
) -> tuple[Any, list[Any], list[Any]]:
    """Answer a call in both ways: our router, what was sent, what was noted.

    `events` are what the server gives, if not what it gives to a client that stays.
    """
    expected_log: list[Any] = []
    log: list[Any] = []
    given = call.events() if events is None else events
    stock, app = making(expected_log), making(log)
    expected = asyncio.run(converse(stock, Peer(call, list(given))))
    router, called = native(app, entrance=entrance)
    found = asyncio.run(converse(called, Peer(call, list(given))))
    assert found == expected
    assert log == expected_log
    closed = [[each.closed for each in getattr(made.state, "files", [])] for made in (stock, app)]
    assert closed[0] == closed[1] and all(closed[0])
    return router, expected[0], log


both = pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])


@both
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.target}-{len(call.body)}")
def test_the_same_answer(call: Call, entrance: bool) -> None:
    router, *_ = compare(call, entrance)
    assert (router.native_count, router.fallback_count) == (
        (0, 1) if call.method == "GET" else (1, 0)
    )


@both
def test_only_what_cannot_be_read_is_replayed(entrance: bool) -> None:
    for call in (
        urlencoded("/login", "username=a"),
        urlencoded("/login", "username="),
        multipart("/upload", part("upload", b"x", "x")),
        multipart("/checked/1", part("a", "6"), part("b", "7")),
    ):
        assert compare(call, entrance)[0].replayed_count == 0
    bad = multipart("/upload", part("upload", b"x", "x")[:-4], b"\r\nx", end=b"--\0")
    for call in (bad, urlencoded("/few", "a=1&a=2&a=3")):
        router, (start, _), _ = compare(call, entrance)
        assert (router.replayed_count, start["status"]) == (1, 400)


@both
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("target", ["/upload", "/login", "/checked/1"])
def test_a_client_that_leaves_within_the_body(target: str, count: int, entrance: bool) -> None:
    call = multipart(target, part("upload", LARGE, "x"), pieces=5)
    events = [*call.events()[:count], {"type": "http.disconnect"}]
    _, sent, log = compare(call, entrance, events)
    assert sent[0]["status"] == 400 and any(each[0] == "refused" for each in log)


@both
@pytest.mark.parametrize("error", [ValueError("x"), HTTPException(411, "how long?")], ids=repr)
def test_a_receive_that_raises(error: Exception, entrance: bool) -> None:
    call = multipart("/upload", part("upload", b"x" * 100, "x"), pieces=2)
    compare(call, entrance, [*call.events()[:1], error])


@both
def test_a_task_that_is_cancelled_within_the_body(entrance: bool) -> None:
    async def cancelled(app: Application, log: list[Any]) -> tuple[list[Any], list[Any]]:
        call = multipart("/upload", part("upload", LARGE, "x"), pieces=5)
        peer = Peer(call, call.events()[:2])
        task = asyncio.ensure_future(app(call.scope(), peer.receive, peer.send))
        while peer.events:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return peer.sent, [type(outcome), *log]

    log: list[Any] = []
    expected = asyncio.run(cancelled(make(log), log))
    log = []
    _, app = native(make(log), entrance=entrance)
    assert asyncio.run(cancelled(app, log)) == expected
    assert expected[1][0] is asyncio.CancelledError


@both
def test_dependencies_are_overridden(entrance: bool) -> None:
    def making(log: list[Any]) -> FastAPI:
        app = FastAPI()

        async def own(a: Annotated[int, Form()]) -> int:
            return a

        async def other(b: Annotated[int, Form()]) -> int:
            return -b

        @app.post("/")
        async def root(x: Annotated[int, Depends(own)], c: Annotated[int, Form()]) -> Any:
            return [x, c]

        if log:
            app.dependency_overrides[own] = other
        return app

    call = urlencoded("/", "a=1&b=2&c=3")
    router, (_, body), _ = compare(call, entrance, making=making)
    assert (json.loads(body["body"]), router.native_count) == ([1, 3], 1)
    overridden = lambda log: making([True])  # noqa: E731
    router, (_, body), _ = compare(call, entrance, making=overridden)
    assert (json.loads(body["body"]), router.native_count) == ([-2, 3], 0)


@both
def test_limits_of_the_application_that_change(entrance: bool) -> None:
    log: list[Any] = []
    app = make(log, form_limits={"max_fields": 1})
    router, called = native(app, entrance=entrance)

    def status(body: str) -> int:
        call = urlencoded("/login", body)
        sent, _ = asyncio.run(converse(called, Peer(call, call.events())))
        return int(sent[0]["status"])

    assert (status("username=a"), status("username=a&x=1")) == (200, 400)
    app.router.form_limits["max_fields"] = 2
    assert (status("username=a&x=1"), status("username=a&x=1&y=1")) == (200, 400)
    app.router.form_limits = {}
    assert status("username=a&x=1&y=1") == 200
    assert (router.native_count, router.fallback_count) == (5, 0)


@both
def test_limits_of_the_application_are_in_the_scope(entrance: bool) -> None:
    def making(log: list[Any]) -> FastAPI:
        return make(log, form_limits={"max_files": 7, "max_fields": 3})

    for target in ("/few", "/outer/inner/own", "/again/inner/own"):
        compare(urlencoded(target, "a=1"), entrance, making=making)
        compare(urlencoded(target, "a=1&b=2&c=3&d=4"), entrance, making=making)


@both
@pytest.mark.parametrize("error", [LookupError, KeyError], ids=["unhandled", "handled"])
def test_files_are_closed_before_the_handler_for_500(
    error: type[Exception], entrance: bool
) -> None:
    def making(log: list[Any]) -> FastAPI:
        app = FastAPI()

        @app.exception_handler(KeyError)
        @app.exception_handler(500)
        async def handler(request: Request, error: Exception) -> Response:
            log.append(("handler", repr(error)))
            return Response(status_code=500)

        @app.post("/")
        async def root(request: Request, upload: UploadFile) -> None:
            files = request.scope["fastapi_middleware_astack"]
            files.push(lambda *details: log.append(("left", repr(details[1]))))
            raise error

        return app

    router, _, log = compare(multipart("/", part("upload", b"x", "x")), entrance, making=making)
    assert [each[0] for each in log] == (
        ["left", "handler"] if error is LookupError else ["handler", "left"]
    )
    assert (router.native_count, router.replayed_count) == (1, 0)
