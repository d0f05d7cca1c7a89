# SPDX-License-Identifier: MIT
"""The opening handshake: what is taken for one, its scope, and every answer to it."""

import os
from typing import Any

import pytest

from camshaft.middleware.proxy_headers import TrustedHosts
from tests.asgi.conftest import Serve
from tests.asgi.harness import Client, Response, answer, get, post
from tests.asgi.websocket import (
    ACCEPT,
    KEY,
    Recorder,
    WebSocket,
    accept,
    accept_of,
    echo,
    handshake,
    open_websocket,
    text,
    try_open,
)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer requests, and echo WebSockets."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        await answer(send, scope["method"].encode())


def read_end(client: Client) -> Response:
    """Return an answer that the connection must end after."""
    response = client.read_response()
    assert client.at_end()
    return response


def test_accept(start: Serve) -> None:
    served = start(echo)
    client, response = try_open(served)
    assert (response.status, response.reason) == (101, "Switching Protocols")
    assert response.get("upgrade") == "websocket"
    assert response.get("connection") == "Upgrade"
    assert response.get("sec-websocket-accept") == ACCEPT == accept_of(KEY)
    assert response.get("sec-websocket-extensions") is None
    assert response.get("sec-websocket-protocol") is None
    assert response.get("content-length") is None
    assert response.get("transfer-encoding") is None
    assert response.get("server") == "camshaft"
    assert response.get("date") is not None
    WebSocket(client).finish()
    client.sock.close()
    served.until(lambda: not served.http.connections and not served.http.tasks)
    port = client_address(served)
    assert served.log.messages == [
        f'{port} - "WebSocket /" [accepted]',
        "connection open",
        "connection closed",
    ]


def client_address(served: Any) -> str:
    """Return the client that the log names first."""
    return str(served.log.messages[0].split(" - ")[0])


def test_scope(start: Serve) -> None:
    app = Recorder()
    served = start(app, state={"shared": 1}, root_path="/root")
    with open_websocket(served, "Sec-WebSocket-Protocol: one, two", target="/a%20b?c=d") as ws:
        ws.finish()
    served.until(lambda: app.end is not None)
    (scope,) = app.scopes
    headers = scope.pop("headers")
    server, client = scope.pop("server"), scope.pop("client")
    assert scope == {
        "type": "websocket",
        "asgi": scope["asgi"],
        "http_version": "1.1",
        "scheme": "ws",
        "root_path": "/root",
        "path": "/root/a b",
        "raw_path": b"/root/a%20b",
        "query_string": b"c=d",
        "subprotocols": ["one", "two"],
        "state": {"shared": 1},
        "extensions": {"websocket.http.response": {}},
    }
    assert headers[0] == (b"host", b"example")
    assert (b"sec-websocket-key", KEY.encode()) in headers
    assert (b"sec-websocket-protocol", b"one, two") in headers
    assert server == ("127.0.0.1", served.port)
    assert client[0] == "127.0.0.1"
    assert scope["asgi"]["version"] == "3.0"


@pytest.mark.parametrize(
    "told,scheme", [("http", "ws"), ("https", "wss"), ("ws", "ws"), ("wss", "wss")]
)
def test_scheme_and_client_by_a_proxy(start: Serve, told: str, scheme: str) -> None:
    app = Recorder()
    served = start(app, trusted_proxies=TrustedHosts("127.0.0.1"))
    with open_websocket(served, f"X-Forwarded-Proto: {told}", "X-Forwarded-For: 1.2.3.4") as ws:
        ws.finish()
    assert app.scopes[0]["scheme"] == scheme
    assert app.scopes[0]["client"] == ("1.2.3.4", 0)
    assert served.log.messages[0] == '1.2.3.4:0 - "WebSocket /" [accepted]'


def test_asgi_versions_are_those_of_requests(start: Serve) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen[scope["type"]] = scope["asgi"]
        await hello(scope, receive, send)

    served = start(app)
    assert served.ask(get()).status == 200
    with open_websocket(served) as ws:
        ws.finish()
    assert seen["http"] == seen["websocket"]
    assert seen["http"] is not seen["websocket"]


def test_subprotocols_of_several_lines(start: Serve) -> None:
    app = Recorder()
    served = start(app)
    lines = ("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b ,, c")
    with open_websocket(served, *lines) as ws:
        ws.finish()
    assert app.scopes[0]["subprotocols"] == ["a", "b", "c"]


def test_state_is_copied(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["state"] == {"list": [1]}
        scope["state"]["new"] = True
        await echo(scope, receive, send)

    served = start(app, state={"list": [1]})
    for _ in range(2):
        with open_websocket(served) as ws:
            ws.finish()


def test_on_a_connection_that_was_used(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        client.send(get() + get() + handshake())
        assert client.read_response().body == b"GET"
        assert client.read_response().body == b"GET"
        assert client.read_head().status == 101
        ws = WebSocket(client)
        ws.send(text("x"))
        assert ws.read_text() == "x"
        ws.finish()


@pytest.mark.parametrize("cut", range(0, len(handshake()), 7))
def test_handshake_in_two_pieces(start: Serve, cut: int) -> None:
    data = handshake()
    with start(echo).connect() as client:
        client.send(data[:cut])
        client.send(data[cut:] + text("early"))
        assert client.read_head().status == 101
        assert WebSocket(client).read_text() == "early"


def test_frames_before_the_answer_wait_for_it(start: Serve) -> None:
    """A client must not send them so early, but nothing is lost if it does."""
    messages = [f"message {i}" for i in range(1000)]
    app = Recorder()
    served = start(app)
    with served.connect() as client:
        client.send(handshake() + b"".join(text(message) for message in messages))
        assert client.read_head().status == 101
        WebSocket(client).finish()
    served.until(lambda: app.end is not None)
    assert app.messages == messages


@pytest.mark.parametrize(
    "given,written",
    [
        ({"subprotocol": "one"}, "one"),
        ({"subprotocol": None}, None),
        ({"subprotocol": ""}, None),
        ({"headers": [(b"Sec-WebSocket-Protocol", b"one")]}, "one"),
    ],
)
def test_subprotocol(start: Serve, given: dict[str, Any], written: str | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, **given)

    client, response = try_open(start(app), "Sec-WebSocket-Protocol: one, two")
    client.sock.close()
    assert response.status == 101
    assert response.get("sec-websocket-protocol") == written


def test_headers_of_accept(start: Serve) -> None:
    """What is the server's business is left out, as the length is of requests' answers."""
    headers = [
        (b"X-One", b"1"),
        [b"set-cookie", b"a=b"],
        (b"set-cookie", b"c=d"),
        (b"Connection", b"close"),
        (b"Upgrade", b"h2c"),
        (b"Content-Length", b"3"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"Sec-WebSocket-Extensions", b"x"),
        (b"Server", b"own"),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, headers=(pair for pair in headers))

    client, response = try_open(start(app, headers=[(b"x-fixed", b"2")]))
    client.sock.close()
    assert response.status == 101
    assert response.get("x-one") == "1"
    assert response.all("set-cookie") == ["a=b", "c=d"]
    assert response.get("connection") == "Upgrade"
    assert response.get("upgrade") == "websocket"
    assert response.get("sec-websocket-accept") == ACCEPT
    assert response.get("server") == "own"
    assert response.get("x-fixed") == "2"
    for name in ("content-length", "transfer-encoding", "sec-websocket-extensions"):
        assert response.all(name) == []


@pytest.mark.parametrize(
    "event,error",
    [
        ({"headers": [("x", b"y")]}, "TypeError"),
        ({"headers": [(b"x", b"a\r\nb: c")]}, "RuntimeError"),
        ({"headers": [(b"x y", b"")]}, "RuntimeError"),
        ({"headers": [(b"x",)]}, "ValueError"),
        ({"headers": 5}, "TypeError"),
        ({"subprotocol": "a, b"}, "RuntimeError"),
        ({"subprotocol": "a\r\nb: c"}, "RuntimeError"),
        ({"subprotocol": "\udc80"}, "UnicodeEncodeError"),
        ({"subprotocol": b"one"}, "TypeError"),
        ({"subprotocol": "a", "headers": [(b"sec-websocket-protocol", b"a")]}, "RuntimeError"),
    ],
)
def test_accept_that_cannot_be_written(start: Serve, event: dict[str, Any], error: str) -> None:
    """The application is told, and the client gets a whole answer."""
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await accept(receive, send, **event)
        except Exception as exception:
            raised.append(type(exception).__name__)
            raise

    served = start(app)
    response = served.ask(handshake())
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert raised == [error]
    assert served.log.messages[-1] == "Exception in ASGI application"


# ---- what is no handshake ----


def failure(text: str) -> bytes:
    return f"Failed to open a WebSocket connection: {text}.\n".encode()


@pytest.mark.parametrize(
    "request_,status",
    [
        (handshake(key=None), 400),
        (handshake(key=""), 400),
        (handshake(key="x"), 400),
        (handshake(key="dGhlIHNhbXBsZSBub25jZQ"), 400),
        (handshake(key="dGhlIHNhbXBsZSBub25jZSE="), 400),
        (handshake("/", f"Sec-WebSocket-Key: {KEY}"), 400),
        (handshake(version=""), 426),
        (handshake(version="8"), 426),
        (handshake(version="12"), 426),
        (handshake(version="013"), 426),
        (handshake("/", "Sec-WebSocket-Version: 13"), 426),
        (handshake("/", "Sec-WebSocket-Protocol: a b"), 400),
        (handshake("/", "Sec-WebSocket-Protocol:"), 400),
        (handshake("/", "Sec-WebSocket-Protocol: \x80\xff"), 400),
        (handshake("/", "Sec-WebSocket-Extensions: ;"), 400),
        (handshake("/", "Content-Length: 5") + b"hello", 400),
        (handshake("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ],
)
def test_bad_handshake(start: Serve, request_: bytes, status: int) -> None:
    app = Recorder()
    served = start(app)
    with served.connect() as client:
        client.send(request_)
        response = read_end(client)
    assert response.status == status
    assert response.body.startswith(b"Failed to open a WebSocket connection: ")
    assert response.get("content-type") == "text/plain; charset=utf-8"
    assert "close" in (response.get("connection") or "")
    if status == 426:
        assert response.get("sec-websocket-version") == "13"
        assert response.get("upgrade") == "websocket"
        assert response.get("connection") == "upgrade, close"
    assert app.scopes == []


def test_other_methods(start: Serve) -> None:
    app = Recorder()
    with start(app).connect() as client:
        client.send(handshake().replace(b"GET", b"PUT"))
        response = read_end(client)
    assert response.status == 405
    assert response.get("allow") == "GET"
    assert app.scopes == []


@pytest.mark.parametrize(
    "request_",
    [
        handshake().replace(b"Connection: Upgrade\r\n", b""),
        handshake().replace(b"Upgrade: websocket\r\n", b""),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: websockets"),
    ],
)
def test_no_upgrade_to_websocket(start: Serve, request_: bytes) -> None:
    """Answered as if there was no Upgrade (RFC 9110 section 7.8)."""
    response = start(hello).ask(request_)
    assert (response.status, response.body) == (200, b"GET")


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "h2c, websocket"])
def test_upgrade_in_other_words(start: Serve, value: str) -> None:
    data = handshake().replace(b"Upgrade: websocket", f"Upgrade: {value}".encode())
    with start(hello).connect() as client:
        client.send(data)
        assert client.read_head().status == 101


def test_upgrade_with_a_body_loses_neither(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        client.send(post(b"hello", "Connection: Upgrade", "Upgrade: h2c") + get())
        assert client.read_response().body == b"POST"
        assert client.read_response().body == b"GET"
    assert served.log.messages == ["Unsupported upgrade request."]


def test_option_off(start: Serve) -> None:
    served = start(hello, websocket=False)
    assert served.ask(handshake()).body == b"GET"
    assert served.log.messages == ["Unsupported upgrade request."]


def test_handshake_again_after_a_refusal(start: Serve) -> None:
    served = start(hello)
    for _ in range(2):
        assert served.ask(handshake(version="8")).status == 426
    with open_websocket(served) as ws:
        ws.finish()


def test_limit_concurrency(start: Serve) -> None:
    """Holds for handshakes as for requests, and an open WebSocket counts."""
    served = start(hello, concurrency=2)
    with open_websocket(served) as ws:
        refused = served.ask(handshake())
        assert (refused.status, refused.body) == (503, b"Service Unavailable")
        ws.finish()
    assert served.log.messages[-2:] == ["Exceeded concurrency limit.", "connection closed"]
    served.until(lambda: not served.http.tasks and not served.http.connections)
    with open_websocket(served) as ws:
        ws.finish()


def test_accepted_handshake_is_counted(start: Serve) -> None:
    served = start(hello, metrics=True)
    with open_websocket(served) as ws:
        ws.finish()
    assert served.http.requests == 1
    metrics = served.call(served.http.metrics)
    assert metrics is not None and metrics["answers"] == {101: 1}


# ---- other answers of the application ----


def test_close_before_accept(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        events.append(await receive())
        for kind in ("websocket.accept", "websocket.close", "websocket.send"):
            with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
                await send({"type": kind})

    served = start(app)
    with served.connect() as client:
        client.send(handshake("/a?b"))
        response = read_end(client)
    assert (response.status, response.reason, response.body) == (403, "Forbidden", b"")
    assert response.get("connection") == "close"
    assert response.get("content-length") == "0"
    served.until(lambda: not served.http.tasks)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]
    assert served.log.messages == [f'{client_address(served)} - "WebSocket /a?b" 403']


async def return_(scope: Any, receive: Any, send: Any) -> None:
    pass


async def raise_(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("mine")


async def send_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.send", "text": "x"})


async def send_what(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})


@pytest.mark.parametrize(
    "app,message,error",
    [
        (return_, "ASGI callable returned without completing handshake.", None),
        (raise_, "Exception in ASGI application", "mine"),
        (
            send_first,
            "Exception in ASGI application",
            "Expected ASGI message 'websocket.accept', 'websocket.close' or "
            "'websocket.http.response.start' but got 'websocket.send'.",
        ),
        (
            send_what,
            "Exception in ASGI application",
            "Expected ASGI message 'websocket.accept', 'websocket.close' or "
            "'websocket.http.response.start' but got 'http.response.start'.",
        ),
    ],
)
def test_application_that_does_not_answer(
    start: Serve, app: Any, message: str, error: str | None
) -> None:
    served = start(app)
    with served.connect() as client:
        client.send(handshake())
        response = read_end(client)
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert response.get("content-length") == "21"
    assert response.get("connection") == "close"
    (record,) = served.log.records
    assert record[1].strip() == message
    assert (str(record[2]) if record[2] else None) == error


def test_denial(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"Content-Type", b"application/json"), (b"x-y", b"z")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"{}"})
        events.append(await receive())
        with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
            await send({"type": "websocket.http.response.body"})

    served = start(app)
    with served.connect() as client:
        client.send(handshake())
        response = read_end(client)
    assert (response.status, response.body) == (401, b"{}")
    assert response.get("content-type") == "application/json"
    assert response.get("content-length") == "2"
    assert response.get("connection") == "close"
    assert response.get("x-y") == "z"
    served.until(lambda: not served.http.tasks)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]
    assert served.log.messages == [f'{client_address(served)} - "WebSocket /" 401']
    assert served.http.requests == 1


def test_denial_in_pieces(start: Serve) -> None:
    """Goes out as it comes, in chunks; the peer's slowness is felt by send()."""
    piece = os.urandom(1 << 16)
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "websocket.http.response.start", "status": 503})
        for _ in range(200):
            body = {"type": "websocket.http.response.body", "body": piece, "more_body": True}
            await send(body)
            sent += 1
        await send({"type": "websocket.http.response.body", "body": b""})

    served = start(app)
    with served.connect() as client:
        client.send(handshake())
        head = client.read_head()
        assert head.get("transfer-encoding") == "chunked"
        served.until(lambda: sent > 0)
        assert sent < 200
        for _ in range(200):
            assert client.read_chunk() == piece
        assert client.read_chunk() == b""
        assert client.at_end()
    served.until(lambda: not served.http.tasks)


@pytest.mark.parametrize(
    "start_event,status",
    [({"status": 700}, 500), ({"status": 101}, 500), ({"status": "x"}, 500), ({}, 500)],
)
def test_denial_that_cannot_be_begun(
    start: Serve, start_event: dict[str, Any], status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", **start_event})

    served = start(app)
    assert served.ask(handshake()).status == status
    assert served.log.messages == ["Exception in ASGI application"]


def test_accept_after_a_denial_that_failed(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.http.response.start", "status": 99})
        await echo(scope, receive, send)

    with open_websocket(start(app)) as ws:
        ws.send(text("still"))
        assert ws.read_text() == "still"
        ws.finish()


def test_denial_without_a_body(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 404})

    served = start(app)
    assert served.ask(handshake()).status == 500
    assert served.log.messages[-1] == "ASGI callable returned without completing response."


def test_denial_broken_off(start: Serve) -> None:
    """Half of an answer is not taken for a whole one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 404})
        await send({"type": "websocket.http.response.body", "body": b"x", "more_body": True})
        raise ValueError("mine")

    with start(app).connect() as client:
        client.send(handshake())
        assert client.read_head().status == 404
        try:
            rest = client.read_all()
        except ConnectionResetError:
            return
        assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "kind", ["websocket.http.response.start", "websocket.accept", "websocket.send"]
)
def test_other_events_during_a_denial(start: Serve, kind: str) -> None:
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 404})
        try:
            await send({"type": kind, "status": 404})
        except RuntimeError as error:
            raised.append(str(error))
        await send({"type": "websocket.http.response.body", "body": b"no"})

    assert start(app).ask(handshake()).body == b"no"
    assert raised == [f"Expected ASGI message 'websocket.http.response.body' but got '{kind}'."]


def test_peer_gone_before_the_answer(start: Serve) -> None:
    events: list[Any] = []
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.append(await receive())
        events.append(await receive())
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            errors.append(error)

    served = start(app)
    client = served.connect()
    client.send(handshake())
    served.until(lambda: len(events) == 1)
    client.sock.close()
    served.until(lambda: not served.http.tasks)
    assert events == [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1006},
    ]
    assert len(errors) == 1
    assert served.log.messages == []


def test_cancelled_before_the_answer(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    served = start(app)
    with served.connect() as client:
        client.send(handshake())
        served.until(lambda: served.http.tasks == 1)
        served.call(served.http.cancel)
        assert client.read_response().status == 500
