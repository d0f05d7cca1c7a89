# SPDX-License-Identifier: MIT
"""Dependencies with `yield` that a plan enters and leaves itself, beside FastAPI's exit stacks."""

import asyncio
import contextvars
import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware

from tests.fastapi.applications import Application, Call, native

Log = list[Any]
Case = Callable[[FastAPI, Log], None]
CASES: dict[str, Case] = {}
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def case(function: Case) -> Case:
    """Enter a function(app, log), which adds routes to an application, into the table."""
    CASES[function.__name__.replace("_", " ")] = function
    return function


def opener(
    log: Log, name: str, *, swallows: bool = False, turns: str = "", leaves: str = ""
) -> Callable[[], AsyncIterator[str]]:
    """A dependency that notes all that it sees, and does one thing about exceptions."""

    async def opened() -> AsyncIterator[str]:
        task = asyncio.current_task()
        log.append((name, "begins", variable.get()))
        await asyncio.sleep(0)
        variable.set(name)
        try:
            yield name
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)  # with a message of AnyIO's
            log.append((name, "cancelled" if cancelled else repr(error), repr(error.__cause__)))
            if turns:
                raise HTTPException(410, turns) from error
            if not swallows:
                raise
        finally:
            log.append((name, "ends", variable.get(), asyncio.current_task() is task))
            await asyncio.sleep(0)
        log.append((name, "ended"))
        if leaves:
            raise ValueError(leaves)

    return opened


def route(app: FastAPI, *dependencies: Any, **options: Any) -> Callable[[Any], Any]:
    """A GET of /, with dependencies in this order."""
    return app.get("/", dependencies=[Depends(each) for each in dependencies], **options)


@case
def nested(app: FastAPI, log: Log) -> None:
    first = opener(log, "first")

    async def second(outer: Annotated[str, Depends(first)]) -> AsyncIterator[str]:
        log.append((outer, variable.get()))
        yield outer + "!"
        log.append("second ends")

    @route(app, first)
    async def endpoint(value: Annotated[str, Depends(second)], q: int = 3) -> Any:
        log.append(variable.get())
        return {"value": value, "q": q}


@case
def cached_or_not(app: FastAPI, log: Log) -> None:
    first = opener(log, "first")

    @app.get("/")
    async def endpoint(
        a: Annotated[str, Depends(first)],
        b: Annotated[str, Depends(first)],
        c: Annotated[str, Depends(first, use_cache=False)],
    ) -> Any:
        return [a, b, c]


@case
def an_endpoint_in_a_thread(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"))
    def endpoint() -> Any:
        log.append(variable.get())
        return "x"


@case
def a_function_scope_inside(app: FastAPI, log: Log) -> None:
    first, second = opener(log, "first"), opener(log, "second")

    @app.get("/", dependencies=[Depends(first), Depends(second, scope="function")])
    async def endpoint() -> Any:
        return "x"


def _raising(error: Callable[[], Exception], *outer: dict[str, Any]) -> Case:
    """A case whose endpoint raises a new one, as one that is kept would keep its tracebacks."""

    def add(app: FastAPI, log: Log) -> None:
        openers = [opener(log, f"no. {index}", **each) for index, each in enumerate(outer)]

        @route(app, *openers)
        async def endpoint() -> Any:
            await asyncio.sleep(0)
            raise error()

        @app.exception_handler(KeyError)
        async def on_key(request: Any, error: Exception) -> Response:
            log.append(("handler", await request.body()))
            return PlainTextResponse("key", 418)

    return add


for _name, _error in {
    "http": lambda: HTTPException(404),
    "value": lambda: ValueError("v"),
    "key": lambda: KeyError("k"),
}.items():
    CASES |= {
        f"{_name} error": _raising(_error, {}, {}),
        f"{_name} error that is swallowed": _raising(_error, {"swallows": True}, {}),
        f"{_name} error that is swallowed inside": _raising(_error, {}, {"swallows": True}),
        f"{_name} error that is turned": _raising(_error, {}, {"turns": "t"}),
        f"{_name} error and another in leaving": _raising(
            _error, {}, {"swallows": True, "leaves": "later"}
        ),
    }
CASES["a StopAsyncIteration"] = _raising(lambda: StopAsyncIteration("s"), {})
CASES["a RuntimeError"] = _raising(lambda: RuntimeError("r"), {})


@case
def no_beginning(app: FastAPI, log: Log) -> None:
    async def refusing() -> AsyncIterator[None]:
        await asyncio.sleep(0)
        raise HTTPException(401)
        yield

    @route(app, opener(log, "first"), refusing)
    async def endpoint() -> Any:
        log.append("never")


@case
def a_first_one_that_does_not_begin(app: FastAPI, log: Log) -> None:
    async def refusing() -> AsyncIterator[None]:
        raise KeyError("refused")
        yield

    @route(app, refusing)
    async def endpoint() -> Any:
        log.append("never")


@case
def nothing_yielded(app: FastAPI, log: Log) -> None:
    async def empty() -> AsyncIterator[None]:
        if False:
            yield
        log.append("empty")

    @route(app, opener(log, "first"), empty)
    async def endpoint() -> Any:
        log.append("never")


def _twice(*, fails: bool) -> Case:
    def add(app: FastAPI, log: Log) -> None:
        async def twice() -> AsyncIterator[int]:
            try:
                try:
                    yield 1
                except ValueError:
                    log.append("caught")
                yield 2
            finally:
                log.append("closed")

        @route(app, opener(log, "first"), twice)
        async def endpoint() -> Any:
            if fails:
                raise ValueError
            return "x"

    return add


CASES["a second value"] = _twice(fails=False)
CASES["a second value for an error"] = _twice(fails=True)


@case
def an_end_that_fails(app: FastAPI, log: Log) -> None:
    last = opener(log, "last", leaves="late")

    @route(app, opener(log, "first"), opener(log, "middle"), last)
    async def endpoint() -> Any:
        return "x"


@case
def an_end_that_fails_and_is_swallowed(app: FastAPI, log: Log) -> None:
    last = opener(log, "last", leaves="late")

    @route(app, opener(log, "first"), opener(log, "middle", swallows=True), last)
    async def endpoint() -> Any:
        return "x"


def _responding(make: Callable[[Log], Response], **options: Any) -> Case:
    def add(app: FastAPI, log: Log) -> None:
        @route(app, opener(log, "first", **options), opener(log, "second"))
        async def endpoint() -> Any:
            return make(log)

    return add


def _plain(log: Log) -> Response:
    return PlainTextResponse("x", background=BackgroundTask(log.append, "background"))


def _streaming(log: Log) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(2):
            log.append("piece")
            yield b"piece" * 100

    return StreamingResponse(pieces())


def _background(log: Log) -> Response:
    def fails() -> None:
        raise KeyError("in the background")

    return PlainTextResponse("x", background=BackgroundTask(fails))


class Own(Response):
    """One that is called its own way."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(sorted(key for key in scope if "astack" not in key))


CASES |= {
    "a response": _responding(_plain),
    "a stream": _responding(_streaming),
    "a task in the background that fails": _responding(_background),
    "one that fails and is swallowed": _responding(_background, swallows=True),
    "a response of its own class": _responding(lambda log: Own()),
}


class Item(BaseModel):
    id: int


@case
def a_response_that_is_refused(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"), response_model=Item)
    async def endpoint() -> Any:
        return {"id": "no number"}


@case
def a_response_of_a_model(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"), response_model=Item)
    async def endpoint() -> Any:
        return {"id": 5}


@case
def a_request_that_is_refused_late(app: FastAPI, log: Log) -> None:
    def check(value: str) -> str:
        log.append("check")
        raise ValueError("never")

    async def after() -> AsyncIterator[None]:
        log.append("after")
        yield

    @route(app, opener(log, "first"))
    async def endpoint(
        _: Annotated[None, Depends(after)], q: Annotated[str, AfterValidator(check)] = "x"
    ) -> Any:
        log.append("never")


@case
def what_is_no_plain_function(app: FastAPI, log: Log) -> None:
    class Opener:
        async def __call__(self, q: int = 1) -> AsyncIterator[int]:
            yield q
            log.append("called object")

    async def opened(what: str) -> AsyncIterator[str]:
        yield what
        log.append(what)

    @app.get("/")
    async def endpoint(
        a: Annotated[int, Depends(Opener())],
        b: Annotated[str, Depends(functools.partial(opened, "partial"))],
    ) -> Any:
        return [a, b]


@case
def what_gives_no_generator(app: FastAPI, log: Log) -> None:
    async def opened() -> AsyncIterator[str]:
        yield "x"

    @functools.wraps(opened)
    def wrapped() -> Any:
        return 5

    @route(app, opener(log, "first"), wrapped)
    async def endpoint() -> Any:
        log.append("never")


@case
def another_kind_of_iterator(app: FastAPI, log: Log) -> None:
    async def opened() -> AsyncIterator[str]:
        yield "x"

    class Iterator:
        left = 1

        async def __anext__(self) -> int:
            self.left -= 1
            log.append(self.left)
            if self.left < 0:
                raise StopAsyncIteration
            return self.left

    @functools.wraps(opened)
    def wrapped() -> Any:
        return Iterator()

    @app.get("/")
    async def endpoint(value: Annotated[Any, Depends(wrapped)]) -> Any:
        return value


def _grouping(*, fails: bool, outer: bool = False) -> Case:
    def add(app: FastAPI, log: Log) -> None:
        async def group() -> AsyncIterator[anyio.abc.TaskGroup]:
            async with anyio.create_task_group() as tasks:
                yield tasks
                log.append("group ends")

        @route(app, *([opener(log, "first")] if outer else []))
        async def endpoint(tasks: Annotated[anyio.abc.TaskGroup, Depends(group)]) -> Any:
            async def child() -> None:
                log.append("child")
                await anyio.sleep(0)
                if fails:
                    raise ValueError("child")
                log.append("child ends")

            tasks.start_soon(child)
            if fails:
                await anyio.sleep(10)
            return "x"

    return add


CASES["a task group"] = _grouping(fails=False)
CASES["a task group whose task fails"] = _grouping(fails=True)
CASES["a task group in a generator whose task fails"] = _grouping(fails=True, outer=True)


@case
def a_scope_that_is_left_open(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"))
    async def endpoint() -> Any:
        anyio.CancelScope().__enter__()
        return "x"


@case
def a_scope_that_is_left_open_by_an_error(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"))
    async def endpoint() -> Any:
        anyio.CancelScope().__enter__()
        raise KeyError("k")


@case
def a_scope_around_that_is_cancelled(app: FastAPI, log: Log) -> None:
    scopes = []

    async def scoped() -> None:
        scopes.append(anyio.CancelScope().__enter__())

    @route(app, scoped, opener(log, "first"))
    async def endpoint() -> Any:
        scopes[-1].cancel()
        try:
            await anyio.sleep(10)
        finally:
            log.append("cancelled")

    @app.exception_handler(500)
    async def never(request: Any, error: Exception) -> None:
        log.append("never")


async def drive(app: Application, log: Log, *, fails: int = 0, cancel: str = "") -> list[Any]:
    """What comes of a request: events, an exception, whether the task was cancelled."""
    sent: list[Any] = []

    events = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return events.pop() if events else await asyncio.get_running_loop().create_future()

    async def send(event: Any) -> None:
        log.append(event["type"])
        sent.append(dict(event))
        if len(sent) == fails:
            raise OSError("gone")

    async def run() -> None:
        if cancel == "outside":  # what a middleware of Starlette's does when the client leaves
            with anyio.CancelScope() as scope:
                watch = asyncio.ensure_future(_cancel_at(log, scope.cancel))
                try:
                    await app(Call("GET", "/").scope(), receive, send)
                finally:
                    watch.cancel()
                    log.append(("scope", scope.cancel_called))
        else:
            await app(Call("GET", "/").scope(), receive, send)

    task = asyncio.ensure_future(run())
    if cancel and cancel != "outside":
        watch = asyncio.ensure_future(_cancel_at(log, task.cancel, cancel))
        await asyncio.wait([task], timeout=20)
        watch.cancel()
    await asyncio.wait([task], timeout=20)
    if not task.done():
        task.cancel()
        return [sent, "hangs"]
    if task.cancelled():
        return [sent, "cancelled"]
    error = task.exception()
    parts = repr(getattr(error, "exceptions", None))
    return [sent, repr(error), repr(error and error.__cause__), parts]


async def _cancel_at(log: Log, cancel: Callable[[], Any], place: str = "endpoint") -> None:
    while not any(place in str(entry) for entry in log):
        await asyncio.sleep(0)
    log.append("cancel")
    cancel()


def compare(add: Case, way: str, **options: Any) -> tuple[list[Any], Log]:
    """Answer a request of a case as FastAPI does and one of our ways: what both came to."""
    outcomes = []
    for each in ("stock", way):
        log: Log = []
        app = FastAPI(openapi_url=None)
        add(app, log)
        called: Application = app if each == "stock" else native(app, entrance=each == "before")[1]
        outcomes.append((asyncio.run(drive(called, log, **options)), log))
    assert outcomes[1] == outcomes[0]
    return outcomes[0]


@pytest.mark.parametrize("way", ["inside", "before"])
@pytest.mark.parametrize("name", CASES)
def test_as_fastapi_does(name: str, way: str) -> None:
    compare(CASES[name], way)


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize("way", ["inside", "before"])
@pytest.mark.parametrize("name", ["nested", "a response", "a stream", "a response of a model"])
def test_a_peer_that_is_gone(name: str, way: str, fails: int) -> None:
    outcome, _ = compare(CASES[name], way, fails=fails)
    assert "OSError" in outcome[1] or "RuntimeError" in outcome[1] or len(outcome[0]) >= fails


@case
def waiting(app: FastAPI, log: Log) -> None:
    @route(app, opener(log, "first"), opener(log, "second"))
    async def endpoint() -> Any:
        log.append("endpoint")
        for _ in range(50):
            await asyncio.sleep(0)
        return "x"


@pytest.mark.parametrize("way", ["inside", "before"])
@pytest.mark.parametrize("place", ["'first', 'begins'", "endpoint", "'second', 'ends'", "outside"])
def test_cancelled(place: str, way: str) -> None:
    outcome, log = compare(CASES["waiting"], way, cancel=place)
    assert "cancel" in log
    assert any(entry[:2] == ("first", "ends") for entry in log if isinstance(entry, tuple)) == (
        place != "'first', 'begins'"
    )
    assert outcome[1] == ("None" if place == "outside" else "cancelled")


@pytest.mark.parametrize("size", [10, 3000, 200_000])
@pytest.mark.parametrize("name", ["", "gzip", "cors"])
def test_behind_middleware(name: str, size: int) -> None:
    def add(app: FastAPI, log: Log) -> None:
        @route(app, opener(log, "first"))
        async def endpoint() -> Any:
            return "x" * size

        if name == "gzip":
            app.add_middleware(GZipMiddleware, thread_minimum_size=100_000)
        elif name == "cors":
            app.add_middleware(CORSMiddleware, allow_origins=["*"])

    compare(add, "before")


@pytest.mark.parametrize("name", ["nested", "http error", "an end that fails", "a stream"])
def test_in_a_scope_of_a_middleware(name: str) -> None:
    """BaseHTTPMiddleware runs what is inside of it in a task group."""

    def add(app: FastAPI, log: Log) -> None:
        CASES[name](app, log)

        async def around(request: Any, call_next: Callable[[Any], Awaitable[Response]]) -> Response:
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=around)

    compare(add, "inside")


def _is_on_a_stack() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "enter_async_context":
            return True
        frame = frame.f_back
    return False


def test_no_exit_stack_is_there_while_nothing_goes_wrong() -> None:
    app = FastAPI(openapi_url=None)
    seen = []

    async def opened() -> AsyncIterator[None]:
        seen.append(_is_on_a_stack())
        yield
        seen.append(_is_on_a_stack())

    @route(app, opened)
    async def endpoint() -> Any:
        return "x"

    asyncio.run(drive(app, []))
    assert seen == [True, False]  # FastAPI has one to enter with
    router, called = native(app, entrance=True)
    asyncio.run(drive(called, []))
    assert seen == [True, False, False, False]
    assert router.whole_count == 1


def test_a_call_that_is_closed_leaves_its_generators() -> None:
    """As a coroutine's close() does: with GeneratorExit, as far as nothing waits."""

    async def main(entrance: bool | None) -> Log:
        log: Log = []
        app = FastAPI(openapi_url=None)

        async def opened(name: str = "opened") -> AsyncIterator[None]:
            try:
                yield
            except BaseException as error:
                log.append((name, repr(error)))
                raise
            finally:
                log.append((name, "ends"))

        async def slow() -> AsyncIterator[None]:
            try:
                yield
            finally:
                log.append("slow")
                await asyncio.sleep(0)
                log.append("never")

        async def beginning() -> AsyncIterator[None]:
            log.append("begins")
            await asyncio.get_running_loop().create_future()
            yield

        async def waits() -> None:
            await asyncio.get_running_loop().create_future()

        routes = {"/": [opened], "/slow": [opened, slow], "/beginning": [opened, beginning]}
        for path, dependencies in routes.items():
            app.get(path, dependencies=[Depends(each) for each in dependencies])(waits)
        called: Application = app if entrance is None else native(app, entrance=entrance)[1]
        for path in routes:
            awaitable: Any = called(Call("GET", path).scope(), _receive, _send).__await__()
            next(awaitable)
            try:
                awaitable.close()
            except RuntimeError as error:
                log.append(repr(error))
            log.append(path)
        return log

    async def _receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(event: Any) -> None: ...

    stock = asyncio.run(main(None))
    assert "RuntimeError('coroutine ignored GeneratorExit')" in stock
    for entrance in (False, True):
        assert asyncio.run(main(entrance)) == stock
