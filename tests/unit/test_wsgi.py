# SPDX-License-Identifier: MIT
"""WSGI applications: their environ, what they read and write, and how they end."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import camshaft
from camshaft.application import Message
from camshaft.wsgi import WSGIAdapter, make_environ

LIMIT = 60


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 4000),
        "server": ("127.0.0.1", 8000),
        **changes,
    }


class Exchange:
    """One request to a WSGI application, with the messages it is given and those it sends."""

    def __init__(self, app: Any, *parts: Message, **changes: Any) -> None:
        self.sent: list[Message] = []
        self.given = [*(parts or ({"type": "http.request", "body": b"", "more_body": False},))]
        self.received = 0
        camshaft.run(
            asyncio.wait_for(WSGIAdapter(app)(scope(**changes), self._receive, self._send), LIMIT)
        )

    async def _receive(self) -> Message:
        self.received += 1
        return self.given.pop(0) if self.given else {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def test_environ() -> None:
    environ = make_environ(
        scope(
            method="POST",
            scheme="https",
            path="/文/a b",
            root_path="/文",
            query_string=b"q=%20",
            headers=[
                (b"content-type", b"text/plain"),
                (b"content-length", b"3"),
                (b"x-a", b"1"),
                (b"x-a", b"caf\xe9"),
                (b"cookie", b"a=1"),
                (b"cookie", b"b=2"),
                (b"x_a", b"forged"),
            ],
        ),
        "the body",
    )
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/文".encode().decode("latin-1"),
        "PATH_INFO": "/a b",
        "QUERY_STRING": "q=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4000",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_X_A": "1,caf\xe9",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.url_scheme": "https",
        "wsgi.input": "the body",
        "wsgi.version": (1, 0),
    }
    assert {name: environ.get(name) for name in expected} == expected


def test_environ_without_addresses() -> None:
    environ = make_environ(scope(client=None, server=None), None)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert "REMOTE_ADDR" not in environ
    assert make_environ(scope(server=("/run/x", None)), None)["SERVER_PORT"] == "80"


def test_one_part_goes_out_at_once() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("201 Made", [("X-A", "caf\xe9"), ("Content-Length", "2")])
        return [b"ok"]

    assert Exchange(app).sent == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"x-a", b"caf\xe9"), (b"content-length", b"2")],
        },
        {"type": "http.response.body", "body": b"ok", "more_body": False},
    ]


def test_parts_write_and_close() -> None:
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"b"
            yield b""
            yield b"c"

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Parts:
        write = start_response("200 OK", [])
        write(b"a")
        return Parts()

    exchange = Exchange(app)
    bodies = [(message["body"], message["more_body"]) for message in exchange.sent[1:]]
    assert bodies == [(b"a", True), (b"b", True), (b"c", True), (b"", False)]
    assert closed == [True]


def test_body_is_received_as_it_is_read() -> None:
    received = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        received.append(exchanges[0].received)
        first = body.readline()
        received.append(exchanges[0].received)
        rest = body.read()
        start_response("200 OK", [])
        return [first + b"|" + rest + b"|" + body.read()]

    exchanges: list[Any] = []

    class Watched(Exchange):
        def __init__(self, *arguments: Any) -> None:
            exchanges.append(self)
            super().__init__(*arguments)

    exchange = Watched(
        app,
        {"type": "http.request", "body": b"one\ntw", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"o", "more_body": False},
    )
    assert exchange.body == b"one\n|two|"
    assert received == [0, 1]


def test_client_that_leaves_while_the_body_is_read() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        return []

    with pytest.raises(ConnectionResetError):
        Exchange(app, {"type": "http.request", "body": b"a", "more_body": True})


def test_exceptions_go_on() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Exchange(app)


def test_error_page_in_place_of_what_was_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise KeyError("a key")
        except KeyError as error:
            start_response("500 Oops", [], (KeyError, error, error.__traceback__))
        return [b"oops"]

    exchange = Exchange(app)
    assert (exchange.sent[0]["status"], exchange.sent[0]["headers"]) == (500, [])
    assert "a key" in caplog.text


def test_error_after_the_head_is_raised() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"sent")
        try:
            raise KeyError("a key")
        except KeyError as error:
            start_response("500 Oops", [], (KeyError, error, error.__traceback__))
        return []

    with pytest.raises(KeyError):
        Exchange(app)


@pytest.mark.parametrize("calls", [0, 2])
def test_start_response_is_called_once(calls: int) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(calls):
            start_response("200 OK", [])
        return [b"a"]

    with pytest.raises(RuntimeError, match="start_response"):
        Exchange(app)


def test_lifespan_and_websocket() -> None:
    adapter = WSGIAdapter(lambda *_: [])
    sent: list[str] = []

    async def main() -> None:
        async def receive() -> Message:
            return {"type": "anything"}

        async def send(message: Message) -> None:
            sent.append(message["type"])

        await adapter({"type": "lifespan"}, receive, send)
        await adapter({"type": "websocket"}, receive, send)

    camshaft.run(main())
    assert sent == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


def test_cancelled_request_leaves_no_thread_waiting() -> None:
    """Neither one that waits for the client, nor one that is about to."""
    ended = threading.Event()
    reading = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        reading.set()
        try:
            environ["wsgi.input"].read()
        except ConnectionAbortedError:
            try:
                start_response("200 OK", [])(b"a")
            except ConnectionAbortedError:
                ended.set()
        return []

    async def main() -> None:
        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            raise AssertionError

        task = asyncio.ensure_future(WSGIAdapter(app)(scope(), receive, send))
        await asyncio.to_thread(reading.wait, LIMIT)
        task.cancel()
        await asyncio.wait([task])
        assert await asyncio.to_thread(ended.wait, LIMIT)

    camshaft.run(main())
