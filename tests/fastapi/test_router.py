# SPDX-License-Identifier: MIT
"""Requests answered by plans, beside the same ones answered by FastAPI."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import request_response

from camshaft._core import FastAPIRouter
from tests.fastapi.applications import CALLS, JSON, Application, Call, answer, make, native


def run(app: Application, call: Call) -> tuple[list[Any], str]:
    return asyncio.run(asyncio.wait_for(answer(app, call), 20))


@pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.target[:40]}")
def test_the_same_answer(call: Call, entrance: bool) -> None:
    expected_log: list[Any] = []
    expected = run(make(expected_log), call)
    log: list[Any] = []
    _, app = native(make(log), entrance=entrance)
    assert run(app, call) == expected
    assert log == expected_log


@pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])
def test_most_requests_are_native(entrance: bool) -> None:
    router, app = native(make([]), entrance=entrance)
    for call in CALLS:
        run(app, call)
    assert router.native_count - router.replayed_count >= 35
    assert router.fallback_count < 20
    assert router.native_count + router.fallback_count == len(CALLS)


def test_an_application_that_changes() -> None:
    app = FastAPI()
    router, called = native(app)

    @app.get("/a")
    async def a() -> str:
        return "a"

    assert b'"a"' in run(called, Call("GET", "/a"))[0][1]["body"]
    assert router.native_count == 1

    @app.get("/b")
    async def b() -> str:
        return "b"

    assert b'"b"' in run(called, Call("GET", "/b"))[0][1]["body"]
    assert router.native_count == 2
    app.router.routes.clear()
    assert run(called, Call("GET", "/a"))[0][0]["status"] == 404
    assert router.native_count == 2


def test_a_route_that_is_edited() -> None:
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "as it was"

    async def replaced(request: Request) -> Response:
        return Response("edited")

    router, called = native(app)
    run(called, Call("GET", "/"))
    (route,) = [each for each in app.router.routes if each.path == "/"]
    route.app = request_response(replaced)
    assert run(called, Call("GET", "/"))[0][1]["body"] == b"edited"
    assert (router.native_count, router.fallback_count) == (1, 1)


def test_overridden_dependencies() -> None:
    app = FastAPI()
    router, called = native(app)

    async def real() -> str:
        return "real"

    async def other() -> str:
        return "other"

    @app.get("/")
    async def root(value: str = Depends(real)) -> str:
        return value

    assert b"real" in run(called, Call("GET", "/"))[0][1]["body"]
    app.dependency_overrides = {real: other}
    assert b"other" in run(called, Call("GET", "/"))[0][1]["body"]
    app.dependency_overrides = {}
    assert b"real" in run(called, Call("GET", "/"))[0][1]["body"]
    assert (router.native_count, router.fallback_count) == (2, 1)


def test_overrides_are_changed_in_place_and_beside() -> None:
    app = FastAPI()
    router, called = native(app)

    async def real() -> str:
        return "real"

    @app.get("/")
    async def root(value: str = Depends(real)) -> str:
        return value

    overrides = app.dependency_overrides
    for _ in range(2):
        run(called, Call("GET", "/"))
    overrides[real] = lambda: "in place"
    assert b"in place" in run(called, Call("GET", "/"))[0][1]["body"]
    overrides.clear()
    app.version = "2"  # in the same dict as what is watched, which stays native
    run(called, Call("GET", "/"))
    assert (router.native_count, router.fallback_count) == (3, 1)
    app.dependency_overrides = {real: lambda: "another"}
    assert b"another" in run(called, Call("GET", "/"))[0][1]["body"]
    assert (router.native_count, router.fallback_count) == (3, 2)


def test_a_list_of_routes_that_is_replaced() -> None:
    app = FastAPI()
    router, called = native(app)

    @app.get("/")
    async def root() -> str:
        return "root"

    routes = app.router.routes
    run(called, Call("GET", "/"))
    app.router.routes = []
    assert run(called, Call("GET", "/"))[0][0]["status"] == 404
    app.router.routes = routes
    run(called, Call("GET", "/"))
    assert (router.native_count, router.fallback_count) == (2, 1)


def test_inside_middleware_of_the_users() -> None:
    app = FastAPI()
    seen: list[Any] = []

    @app.get("/{name}")
    async def named(name: str) -> str:
        if name == "fails":
            raise HTTPException(409)
        return name

    async def middleware(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        seen.append((request.scope["path_params"], request.scope["route"].path))
        response.headers["x-seen"] = "yes"
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=middleware)
    router, called = native(app)
    sent, _ = run(called, Call("GET", "/ann"))
    assert (b"x-seen", b"yes") in sent[0]["headers"]
    assert run(called, Call("GET", "/fails"))[0][0]["status"] == 409
    assert seen == [({"name": "ann"}, "/{name}"), ({"name": "fails"}, "/{name}")]
    assert router.native_count == 2


def test_cancelled_while_it_waits() -> None:
    app = FastAPI()
    seen: list[str] = []

    @app.get("/")
    async def root() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    _, called = native(app, entrance=True)

    async def main() -> None:
        task = asyncio.create_task(answer(called, Call("GET", "/")))
        while not seen:
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["cancelled"]


def test_sending_fails() -> None:
    """What send() raises passes the exception handlers, which may answer no more."""
    app = FastAPI()
    handled: list[str] = []

    @app.exception_handler(OSError)
    async def handler(request: Request, error: Exception) -> None:
        handled.append("handled")

    @app.get("/")
    async def root() -> str:
        return "x"

    async def failing(app: Application) -> str:
        sent = []

        async def send(event: dict[str, Any]) -> None:
            sent.append(event["type"])
            raise OSError("gone")

        try:
            await app(Call("GET", "/").scope(), None, send)
        except Exception as error:
            return f"{error!r} {sent}"
        return f"{sent}"

    expected = asyncio.run(failing(app))
    _, inside = native(app)
    assert asyncio.run(failing(inside)) == expected
    app.router.middleware_stack = app.router.middleware_stack.original
    _, before = native(app, entrance=True)
    assert asyncio.run(failing(before)) == expected
    assert "RuntimeError" in expected and handled == []


@contextlib.contextmanager
def catch_unraisable() -> Iterator[list[BaseException]]:
    caught: list[BaseException] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: caught.append(unraisable.exc_value)
    try:
        yield caught
    finally:
        sys.unraisablehook = before


def test_compiling_fails() -> None:
    """Then all is FastAPI's, and it is said once."""
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "x"

    def fails() -> Any:
        raise LookupError("no table")

    router = FastAPIRouter(app.router.middleware_stack, fails)
    app.router.middleware_stack = router
    with catch_unraisable() as unraisable:
        for _ in range(2):
            assert run(app, Call("GET", "/"))[0][0]["status"] == 200
    assert [repr(error) for error in unraisable] == ["LookupError('no table')"]


def test_an_event_that_changes_while_it_is_looked_at() -> None:
    app = FastAPI()

    @app.post("/")
    async def root(body: dict[str, int]) -> dict[str, int]:
        return body

    _, called = native(app)

    class More:
        def __bool__(self) -> bool:
            event.pop("body", None)
            return False

    event: dict[str, Any] = {"type": "http.request", "body": bytes(100) + b"x", "more_body": More()}

    async def main() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return event

        async def send(event: Any) -> None:
            sent.append(event)

        await called(
            Call("POST", "/", (("Content-Type", "application/json"),)).scope(), receive, send
        )
        return int(sent[0]["status"])

    assert asyncio.run(main()) == 422


def test_wrong_arguments() -> None:
    async def original(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(TypeError):
        FastAPIRouter(original)
    with pytest.raises(TypeError):
        FastAPIRouter(1, lambda: None)
    router = FastAPIRouter(original, lambda: None)
    with pytest.raises(TypeError):
        router({})
    with pytest.raises(ValueError, match="without the application"):
        router.entrance()
    with catch_unraisable() as unraisable:
        assert router.prepare() is False  # None is no table
    assert isinstance(unraisable[0], AttributeError)
    with pytest.raises(TypeError):
        router.handle(1, 2, 3)
    asyncio.run(run_lifespan(router))


async def run_lifespan(router: FastAPIRouter) -> None:
    await router({"type": "lifespan"}, None, None)


def test_an_application_goes_away() -> None:
    app = make([])
    _, called = native(app)
    run(called, Call("GET", "/"))
    reference = weakref.ref(app)
    del app, called, _
    gc.collect()
    assert reference() is None


def test_json_dumps_that_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, int]:
        return {"a": 1}

    @app.get("/explicit", response_class=JSONResponse)
    async def explicit() -> Any:
        return {"a": 1}

    router, called = native(app)
    assert run(called, Call("GET", "/explicit"))[0][1]["body"] == b'{"a":1}'
    monkeypatch.setattr("json.dumps", lambda *_, **__: "watched")
    assert run(called, Call("GET", "/explicit"))[0][1]["body"] == b"watched"
    assert run(called, Call("GET", "/"))[0][1]["body"] == b'{"a":1}'  # it never calls it
    assert router.native_count == 3


class Broken(Response):
    """Fails before it has sent anything."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("layered", [False, True], ids=["", "gzip"])
@pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])
@pytest.mark.parametrize("kind", ["broken", "file"])
@pytest.mark.parametrize("target", ["/read", "/unread"])
def test_a_body_that_is_asked_for_after_a_response_has_failed(
    target: str, kind: str, entrance: bool, layered: bool
) -> None:
    def make_failing() -> FastAPI:
        app = FastAPI()

        def respond() -> Response:
            return Broken() if kind == "broken" else FileResponse("/nowhere/at/all")

        @app.post("/read")
        async def read(n: Annotated[int, Body()]) -> Any:
            return respond()

        @app.post("/unread")
        async def unread() -> Any:
            return respond()

        @app.exception_handler(RuntimeError)
        async def failed(request: Request, error: Exception) -> Response:
            return JSONResponse({"body": repr(await request.body()), "n": await request.json()})

        if layered:
            app.add_middleware(GZipMiddleware, minimum_size=1)
        return app

    call = Call("POST", target, (*JSON, ("Accept-Encoding", "gzip")), b" 17 ", pieces=2)
    expected = run(make_failing(), call)
    router, app = native(make_failing(), entrance=entrance)
    assert run(app, call) == expected
    assert (expected[0][0]["status"], router.native_count) == (200, 1)


FORGED = """
import asyncio
from fastapi import FastAPI
from camshaft._core import FastAPIRouter

def fails():
    raise LookupError("no table")

async def root():
    pass

app = FastAPI(openapi_url=None)
app.get("/")(root)
app.router.middleware_stack = FastAPIRouter(app.router.middleware_stack, fails, app)
statuses = []

async def send(event):
    statuses.append(event.get("status"))

scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
for forged in [(1, 2, 3), (1, 2), None, 5]:
    asyncio.run(app(scope | {"camshaft.failure": forged}, None, send))
print(statuses[::2])
"""


def test_a_forged_failure_before_anything_is_prepared() -> None:
    """In a process of its own, where no table was ever made."""
    done = subprocess.run(
        [sys.executable, "-c", FORGED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[200, 200, 200, 200]\n"), done.stderr
