# SPDX-License-Identifier: MIT
"""The application's side: its task, its context, what it returns and raises, its awaitables."""

import asyncio
import collections.abc
import contextvars
import inspect
import socket
import sys
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import answer, get, post, read_body

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_real_task(start: Serve) -> None:
    """Each request runs in an asyncio.Task of its own, from its first line to its last."""
    tasks: list[Any] = []

    class App:
        def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            tasks.append(asyncio.current_task())
            return self.run(receive, send)

        async def run(self, receive: Any, send: Any) -> None:
            task = asyncio.current_task()
            assert task is tasks[-1]
            assert isinstance(task, asyncio.Task)
            assert task in asyncio.all_tasks()
            await read_body(receive)
            await asyncio.sleep(0)
            assert asyncio.current_task() is task
            async with asyncio.timeout(60):
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            await answer(send, b"ok")

    served = start(App())
    with served.connect() as client:
        for _ in range(3):
            client.send(get())
            assert client.read_response().body == b"ok"
    assert len(set(map(id, tasks))) == 3
    served.until(lambda: all(task.done() for task in tasks))
    assert [task.result() for task in tasks] == [None] * 3


def test_task_shows_the_application(start: Serve) -> None:
    seen: list[Any] = []

    async def named_application(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        coro: Any = task.get_coro()
        seen.append((repr(task), coro.cr_frame.f_code.co_name, task.get_stack()))
        assert isinstance(coro, collections.abc.Coroutine)
        assert asyncio.iscoroutine(coro)
        await answer(send)

    assert start(named_application).ask(get()).status == 200
    text, name, stack = seen[0]
    assert "named_application" in text
    assert name == "named_application"
    assert name in [frame.f_code.co_name for frame in stack]


def test_task_that_has_not_begun(start: Serve) -> None:
    """Looks like one whose coroutine is at rest, to those that look."""
    seen: list[Any] = []

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        task = asyncio.Task(coro, loop=loop, **kwargs)
        if type(coro).__name__ == "RequestCycle":
            seen.append((repr(task), task.get_stack(), coro.cr_running, coro.cr_suspended))
            assert not hasattr(coro, "nothing")
        return task

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x")

    served = start(app)
    served.call(served.loop.set_task_factory, factory)
    assert served.ask(get()).body == b"x"
    served.call(served.loop.set_task_factory, None)
    assert "RequestCycle" in seen[0][0]
    assert seen[0][1:] == ([], False, False)


def test_context_is_fresh_for_each_request(start: Serve) -> None:
    """What one request sets no other sees, pipelined or not; what the server has, all see."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set(scope["path"])
        await asyncio.sleep(0)
        assert variable.get() == scope["path"]
        await answer(send)

    context = contextvars.Context()
    context.run(variable.set, "server")
    served = start(app, context=context)
    with served.connect() as client:
        client.send(get("/1") + get("/2") + get("/3"))
        for _ in range(3):
            client.read_response()
        client.send(get("/4"))
        client.read_response()
    assert seen == ["server"] * 4


def test_task_factory(start: Serve) -> None:
    """It is given nothing beside the coroutine that the loop does not give by itself: factories
    written for asyncio's first contract know no keywords."""
    made: list[Any] = []

    def factory(loop: Any, coro: Any, **keywords: Any) -> Any:
        if type(coro).__name__ == "RequestCycle":
            made.append({key: value for key, value in keywords.items() if value is not None})
        return asyncio.Task(coro, loop=loop, **keywords)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x")

    served = start(app)
    served.call(served.loop.set_task_factory, factory)
    assert served.ask(get()).body == b"x"
    served.call(served.loop.set_task_factory, None)
    assert made == [{}]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(start: Serve) -> None:
    """The whole request may be over before its task has been made; also with many in one read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await answer(send, await read_body(receive))
        else:
            await answer(send, scope["path"].encode())

    served = start(app)
    served.call(served.loop.set_task_factory, asyncio.eager_task_factory)
    with served.connect() as client:
        client.send(get("/x") * 3000 + post(b"abc") + get("/y"))
        for _ in range(3000):
            assert client.read_response().body == b"/x"
        assert client.read_response().body == b"abc"
        assert client.read_response().body == b"/y"
    served.call(served.loop.set_task_factory, None)
    served.until(lambda: served.http.tasks == 0)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_that_receives_leaves_the_rest_of_the_input_alone(start: Serve) -> None:
    """Its sock_recv() happens while the server still works on what it has read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ours, peer = socket.socketpair()
        with ours, peer:
            ours.setblocking(False)
            peer.send(b"#" * 4000)
            data = await asyncio.get_running_loop().sock_recv(ours, 5000)
        await answer(send, scope["path"].encode() + data[:1])

    served = start(app)
    served.call(served.loop.set_task_factory, asyncio.eager_task_factory)
    with served.connect() as client:
        client.send(get("/one") + get("/two") + get("/three"))
        for path in (b"/one", b"/two", b"/three"):
            assert client.read_response().body == path + b"#"
    served.call(served.loop.set_task_factory, None)


def test_task_factory_that_fails(start: Serve) -> None:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        if type(coro).__name__ == "RequestCycle":
            raise ValueError("no more tasks")
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x")

    served = start(app)
    served.call(served.loop.set_task_factory, factory)
    with served.connect() as client:
        client.send(get())
        assert client.at_end()
    served.call(served.loop.set_task_factory, None)
    assert [str(context["exception"]) for context in served.loop_errors] == ["no more tasks"]
    assert served.http.tasks == 0
    assert served.ask(get()).body == b"x"


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), Interrupt(), GeneratorExit()])
def test_exception(start: Serve, error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    served = start(app)
    with served.connect() as client:
        client.send(get())
        response = client.read_response()
        assert (response.status, response.body) == (500, b"Internal Server Error")
        assert response.get("content-type") == "text/plain; charset=utf-8"
        assert response.get("connection") == "close"
        assert client.at_end()
    assert served.log.records == [("error", "Exception in ASGI application\n", error)]
    assert served.log.records[0][2] is error
    frames = []
    traceback = error.__traceback__
    while traceback:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "app" in frames


def test_exception_of_a_plain_function(start: Serve) -> None:
    """Raised by the call itself, before there is anything to await."""

    def app(scope: Any, receive: Any, send: Any) -> Any:
        raise ValueError("at once")

    served = start(app)
    assert served.ask(get()).status == 500
    assert str(served.log.records[0][2]) == "at once"


def test_what_is_no_application(start: Serve) -> None:
    served = start(lambda scope, receive, send: 5)  # type: ignore[arg-type, return-value]
    assert served.ask(get()).status == 500
    error = served.log.records[0][2]
    assert isinstance(error, TypeError)
    assert "must return an awaitable, not 'int'" in str(error)


def test_application_that_is_awaitable(start: Serve) -> None:
    """Not only coroutines: any object with __await__."""

    class Answer:
        def __init__(self, send: Any) -> None:
            self.send = send

        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            yield from answer(self.send, b"awaited").__await__()

    served = start(lambda scope, receive, send: Answer(send))  # type: ignore[arg-type]
    assert served.ask(get()).body == b"awaited"


def test_exception_in_the_middle_of_an_answer(start: Serve) -> None:
    """The connection ends, so that half of it is not taken for the whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun", more_body=True)
        raise ValueError("in the middle")

    served = start(app)
    with served.connect() as client:
        client.send(get() + get())
        client.read_head()
        assert client.read_all() == b"5\r\nbegun\r\n"
    assert len(served.log.records) == 1
    with served.connect() as client:  # without a length or chunks only a reset can tell
        client.send(get(version="1.0"))
        with pytest.raises((ConnectionResetError, EOFError)):
            client.read_head()
            client.read_all()
            raise EOFError  # the reset may come before anything was read, or be read as the end


def test_exception_after_the_answer(start: Serve) -> None:
    """It is logged, and the connection goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x")
        raise ValueError("in the background")

    served = start(app)
    with served.connect() as client:
        for _ in range(2):
            client.send(get())
            assert client.read_response().body == b"x"
    served.until(lambda: len(served.log.records) == 2)


@pytest.mark.parametrize("held", [False, True])
def test_return_without_an_answer(start: Serve, held: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if held:
            await send({"type": "http.response.start", "status": 200})

    served = start(app)
    assert served.ask(get()).status == 500
    what = "completing" if held else "starting"
    assert served.log.messages == [f"ASGI callable returned without {what} response."]


def test_return_in_the_middle_of_an_answer(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun", more_body=True)

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_all() == b"5\r\nbegun\r\n"
    assert served.log.messages == ["ASGI callable returned without completing response."]


def test_return_of_something(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await answer(send, b"x")
        return 7

    served = start(app)
    assert served.ask(get()).body == b"x"
    served.until(lambda: bool(served.log.records))
    assert served.log.messages == ["ASGI callable should return None, but returned '7'."]


def test_awaitables_are_like_coroutines(start: Serve) -> None:
    checks: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for awaitable in (receive(), send({"type": "http.response.start", "status": 200})):
            assert inspect.isawaitable(awaitable)
            assert isinstance(awaitable, collections.abc.Coroutine)
            await asyncio.create_task(awaitable)
        await asyncio.wait_for(send({"type": "http.response.body", "body": b"x"}), 60)
        waiting = receive()
        assert (await waiting)["type"] == "http.disconnect"
        with pytest.raises(RuntimeError):
            await waiting
        closed = receive()
        closed.close()
        with pytest.raises(RuntimeError):
            await closed
        with pytest.raises(ValueError, match="thrown"):
            receive().throw(ValueError("thrown"))
        for bad in (lambda: receive(1), lambda: send(), lambda: send({}, {})):
            with pytest.raises(TypeError):
                bad()
        checks.append("done")

    served = start(app)
    assert served.ask(get()).body == b"x"
    served.until(lambda: bool(checks) or bool(served.log.records))
    assert served.log.records == []


def test_wait_with_a_time_limit(start: Serve) -> None:
    """A receive() that is given up loses nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await receive()
        await answer(send, b"ready", more_body=True)
        body = await read_body(receive)
        await send({"type": "http.response.body", "body": body})

    served = start(app)
    with served.connect() as client:
        client.send(post(b"hello")[:-5])
        client.read_head()
        assert client.read_chunk() == b"ready"
        client.send(b"hello")
        assert client.read_chunk() == b"hello"


def test_application_that_swallows_its_cancellation(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await answer(send, b"cancelled")

    served = start(app)
    with served.connect() as client:
        client.send(get())
        served.until(lambda: served.http.tasks == 1)
        served.run(asyncio.sleep(0))
        served.call(served.http.cancel)
        assert client.read_response().body in (b"cancelled", b"Internal Server Error")
    served.until(lambda: served.http.tasks == 0)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, TypeError),
        ({"loop": None, "state": 1}, TypeError),
        ({"loop": None, "root_path": "/é"}, UnicodeEncodeError),
        ({"loop": None, "headers": [(b"a\n", b"")]}, ValueError),
        ({"loop": None, "headers": [("a", "b")]}, TypeError),
        ({"loop": None, "headers": 5}, TypeError),
        ({"loop": None, "context": 1}, TypeError),
        ({"loop": None, "keep_alive": "x"}, TypeError),
        ({"loop": None, "keep_alive": -1}, ValueError),
        ({"loop": None, "head_timeout": float("nan")}, ValueError),
        ({"loop": None, "nothing": 1}, TypeError),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], kind: type[Exception]) -> None:
    from camshaft import _core

    with pytest.raises(kind):
        _core.HttpServer(lambda *args: None, **arguments)
