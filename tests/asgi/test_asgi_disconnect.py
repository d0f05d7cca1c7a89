# SPDX-License-Identifier: MIT
"""Clients that leave: what send() and receive() do then, and that it is no error to be logged."""

import asyncio
import socket
import struct
from typing import Any

import pytest

import camshaft
from tests.asgi.conftest import Serve
from tests.asgi.harness import Client, Served, answer, get, post

START = {"type": "http.response.start", "status": 200, "headers": []}


def part(data: bytes = b"x" * 100_000, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def reset(client: Client) -> None:
    """Leave without a good-bye."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def levels(served: Served) -> list[str]:
    return [level for level, _, _ in served.log.records]


async def forever(send: Any) -> None:
    await send(START)
    while True:
        await send(part())


async def after_disconnect(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def test_it_is_an_oserror() -> None:
    assert issubclass(camshaft.ClientDisconnected, OSError)
    assert camshaft.ClientDisconnected.__module__ == "camshaft"


@pytest.mark.parametrize("leave", [reset, lambda client: client.sock.close()])
def test_send_raises_while_it_waits_for_the_peer(start: Serve, leave: Any) -> None:
    """ASGI 2.4; and nothing worse than a debug line comes of it."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await forever(send)
        except BaseException as error:
            errors.append(error)
            raise

    served = start(app)
    client = served.connect()
    client.send(get())
    client.read_head()
    leave(client)
    served.until(lambda: served.http.tasks == 0)
    assert [type(error) for error in errors] == [camshaft.ClientDisconnected]
    assert "the client has disconnected" in str(errors[0])
    assert levels(served) == ["debug"]
    assert served.loop_errors == []


@pytest.mark.parametrize("event", [START, {"type": "whatever"}, None])
def test_send_raises_after_the_disconnect(start: Serve, event: Any) -> None:
    """Whatever is sent: nobody will ever see what is wrong with it."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await after_disconnect(receive)
        served.http.abort()
        while served.http.connections:
            await asyncio.sleep(0)
        try:
            await send(event)
        except OSError as error:
            errors.append(error)

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.sock.shutdown(1)
        assert client.at_end()
    served.until(lambda: bool(errors))
    assert type(errors[0]) is camshaft.ClientDisconnected
    assert served.log.records == []


def test_an_application_that_never_waits_hears_of_it(start: Serve) -> None:
    """Nothing is awaited that would let the loop report the lost connection."""
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        await send(part(b"first"))
        served.http.abort()
        ended.append("aborted")
        for _ in range(100):
            await send(part(b"more"))
        ended.append("all was taken")

    served = start(app)
    client = served.connect()
    client.send(get())
    served.until(lambda: bool(ended) and served.http.tasks == 0)
    client.sock.close()
    assert ended == ["aborted"]
    assert levels(served) == ["debug"]


def test_dropped_in_the_older_version(start: Serve) -> None:
    """As 2.3 has it, without a word; also when send() was waiting for the peer."""
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["asgi"]["spec_version"] == "2.3"
        if scope["path"] == "/waiting":
            await send(START)
            for _ in range(200):
                await send(part())
        else:
            await after_disconnect(receive)
            served.http.abort()
            while served.http.connections:
                await asyncio.sleep(0)
            await send(START)
            await send({"type": "whatever"})
        ended.append(scope["path"])

    served = start(app, send_raises=False)
    with served.connect() as client:
        client.send(get("/waiting"))
        client.read_head()
        before = ended.copy()
    served.until(lambda: ended == ["/waiting"])
    assert before == []
    with served.connect() as client:
        client.send(get("/gone"))
        client.sock.shutdown(1)
        assert client.at_end()
    served.until(lambda: ended == ["/waiting", "/gone"])
    assert served.log.messages == []


def test_receive_tells_of_it_again_and_again(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"a")
        for _ in range(3):
            events.append(await receive())

    served = start(app)
    assert served.ask(get()).body == b"a"
    served.until(lambda: len(events) == 3)
    assert events == [{"type": "http.disconnect"}] * 3


class ClientDisconnect(Exception):
    """What Starlette calls it."""


def raising(kind: str) -> Any:
    """Return an application that ends with something that came of a disconnect."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await forever(send)
        except OSError as error:
            if kind == "group":
                raise BaseExceptionGroup("", [error, ExceptionGroup("", [error])]) from None
            if kind == "cause":
                raise ValueError from error
            if kind == "framework":
                raise ClientDisconnect  # noqa: B904
            if kind == "fault":
                raise ZeroDivisionError  # noqa: B904
            if kind == "mixed":
                raise ExceptionGroup("", [error, ZeroDivisionError()]) from None
            if kind == "own":
                raise OSError(5, "a disk") from None

    return app


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("group", "debug"),
        ("cause", "debug"),
        ("framework", "debug"),
        ("fault", "error"),
        ("mixed", "error"),
        ("own", "error"),
    ],
)
def test_what_is_logged_of_it(start: Serve, kind: str, level: str) -> None:
    """A client that left is no error; what else goes wrong then is."""
    served = start(raising(kind))
    with served.connect() as client:
        client.send(get())
        client.read_head()
    served.until(lambda: served.http.tasks == 0)
    assert levels(served) == [level]


def test_framework_s_exception_without_a_disconnect_is_an_error(start: Serve) -> None:
    """Starlette's StreamingResponse takes every OSError of an application for a disconnect."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise FileNotFoundError("the application's own")
        except OSError:
            raise ClientDisconnect  # noqa: B904

    served = start(app)
    assert served.ask(get()).status == 500
    assert levels(served) == ["error"]


# ---- Starlette and FastAPI ----


def starlette_app(kind: str, seen: list[str]) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def endless() -> Any:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            seen.append("closed")

    async def stream(request: Request) -> Response:
        return StreamingResponse(endless())

    async def upload(request: Request) -> Response:
        async for _ in request.stream():
            seen.append("part")
        return Response("all of it")

    class Through(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return await call_next(request)

    middleware = [Middleware(Through)] if kind == "middleware" else []
    if kind == "fastapi":
        from fastapi import FastAPI

        app: Any = FastAPI()
        app.add_api_route("/stream", lambda: StreamingResponse(endless()))
        app.add_api_route("/upload", upload, methods=["POST"], response_model=None)
        upload.__annotations__["request"] = Request
        return app
    return Starlette(
        debug=kind == "debug",
        routes=[Route("/stream", stream), Route("/upload", upload, methods=["POST"])],
        middleware=middleware,
    )


KINDS = ["plain", "debug", "middleware", "fastapi"]


@pytest.mark.parametrize("kind", KINDS)
def test_stream_of_a_framework_ends_in_silence(start: Serve, kind: str) -> None:
    seen: list[str] = []
    served = start(starlette_app(kind, seen))
    client = served.connect()
    client.send(get("/stream"))
    assert client.read_head().status == 200
    client.read_chunk()
    client.sock.close()
    served.until(lambda: served.http.tasks == 0)
    assert served.log.messages == []
    if kind != "middleware":  # which leaves the generator to the garbage collector
        served.until(lambda: seen == ["closed"])
    assert served.loop_errors == []


@pytest.mark.parametrize("kind", KINDS)
def test_upload_to_a_framework_that_breaks_off_is_no_error(start: Serve, kind: str) -> None:
    seen: list[str] = []
    served = start(starlette_app(kind, seen))
    client = served.connect()
    client.send(post(b"x" * 10, target="/upload")[:-5])
    served.until(lambda: seen == ["part"])
    client.sock.close()
    served.until(lambda: served.http.tasks == 0)
    assert served.log.messages == []
    assert served.loop_errors == []


@pytest.mark.parametrize(("given", "raises"), [({}, True), ({"asgi_spec": "2.3"}, False)])
def test_setting(monkeypatch: pytest.MonkeyPatch, given: Any, raises: bool) -> None:
    """--asgi-spec is what tells the server, and the newest version is the default."""
    from camshaft.server import http

    made: dict[str, Any] = {}
    monkeypatch.setattr(http, "HttpServer", lambda app, **options: made.update(options))
    config = camshaft.Config(forever, log_config=None, **given)
    config.load()
    loop = asyncio.new_event_loop()
    http.http_server(config, loop, {})
    loop.close()
    assert made["send_raises"] is raises
    with pytest.raises(ValueError, match=r"--asgi-spec 2\.2: one of"):
        camshaft.Config(forever, log_config=None, asgi_spec="2.2")
