# SPDX-License-Identifier: MIT
"""The end of a WebSocket: close frames from either side, or none at all."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Served, get
from tests.asgi.websocket import (
    CLOSE,
    PING,
    TEXT,
    Recorder,
    accept,
    close,
    echo,
    frame,
    handshake,
    open_websocket,
    text,
    try_open,
)


def reset(sock: socket.socket) -> None:
    """Close a socket so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ended(served: Served) -> bool:
    return not served.http.connections and not served.http.tasks


# ---- by the client ----


@pytest.mark.parametrize(
    "code,reason,told",
    [
        (None, "", {"code": 1005, "reason": ""}),
        (1000, "", {"code": 1000, "reason": ""}),
        (1001, "going", {"code": 1001, "reason": "going"}),
        (1014, "", {"code": 1014, "reason": ""}),
        (3000, "", {"code": 3000, "reason": ""}),
        (4999, "é" * 61, {"code": 4999, "reason": "é" * 61}),
    ],
)
def test_client_closes(start: Serve, code: int | None, reason: str, told: dict[str, Any]) -> None:
    """The code is echoed, and the server is the first to end the connection."""
    app = Recorder()
    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("x"), close(code, reason))
        assert ws.read_close() == (code, reason)
        assert ws.at_end()
    served.until(lambda: ended(served))
    assert app.messages == ["x"]
    assert app.end == told
    assert served.log.messages[-2:] == ["connection open", "connection closed"]


def test_after_the_clients_close(start: Serve) -> None:
    """What follows a close frame means nothing, and receive() repeats how it ended."""
    events: list[Any] = []
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        for _ in range(3):
            events.append(await receive())
        for event in (
            {"type": "websocket.send", "text": "x"},
            {"type": "websocket.close"},
            {"type": "websocket.send", "bytes": b"x" * 1000000},
        ):
            try:
                await send(event)
            except OSError as error:
                errors.append(error)
        # Like an application that does not catch it.
        await send({"type": "websocket.send", "text": "x"})

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(close(1001, "r"), text("after"), frame(3))
        assert ws.read_close() == (1001, "r")
        assert ws.at_end()
    served.until(lambda: ended(served))
    assert events == [{"type": "websocket.disconnect", "code": 1001, "reason": "r"}] * 3
    assert len(errors) == 3
    assert {type(error).__name__ for error in errors} == {"ClientDisconnected"}
    assert [level for level, _, _ in served.log.records] == ["info"] * 3


def test_messages_before_the_close_are_received(start: Serve) -> None:
    go = asyncio.Event()
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await go.wait()
        for _ in range(4):
            received.append(await receive())

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("1"), text("2"), text("3"), close(1000))
        assert ws.read_close() == (1000, "")
        assert ws.at_end()
        served.until(lambda: not served.http.connections)
        served.call(go.set)
        served.until(lambda: ended(served))
    assert [event.get("text") for event in received] == ["1", "2", "3", None]
    assert received[3] == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


@pytest.mark.parametrize("how", ["end", "reset", "half"])
def test_lost(start: Serve, how: str) -> None:
    """Without a close frame the code is 1006 (RFC 6455 section 7.1.5)."""
    app = Recorder()
    served = start(app)
    ws = open_websocket(served)
    ws.send(text("x"), text("half of a frame")[:5])
    served.until(lambda: app.messages == ["x"])
    if how == "reset":
        reset(ws.client.sock)
    elif how == "half":
        ws.client.sock.shutdown(socket.SHUT_WR)
        assert ws.at_end()
    ws.client.sock.close()
    served.until(lambda: ended(served))
    assert app.end == {"code": 1006}
    assert served.log.messages[-1] == "connection closed"


def test_lost_while_sending(start: Serve) -> None:
    """Who waits for the peer to read learns that it is gone."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 1000000})
        except OSError as error:
            errors.append(error)

    served = start(app)
    ws = open_websocket(served)
    ws.client.read_exactly(1000)
    reset(ws.client.sock)
    served.until(lambda: ended(served))
    assert len(errors) == 1


# ---- by the application ----


@pytest.mark.parametrize(
    "event,expected",
    [
        ({}, (1000, "")),
        ({"code": None}, (1000, "")),
        ({"code": 1001}, (1001, "")),
        ({"code": 4000, "reason": "because"}, (4000, "because")),
        ({"reason": None}, (1000, "")),
        ({"reason": "é" * 100}, (1000, "é" * 61)),
    ],
)
def test_application_closes(start: Serve, event: dict[str, Any], expected: Any) -> None:
    events: list[Any] = []
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", **event})
        events.append(await receive())
        for kind in ("websocket.send", "websocket.close", "websocket.accept"):
            try:
                await send({"type": kind, "text": "x"})
            except RuntimeError as error:
                errors.append(str(error))

    served = start(app)
    with open_websocket(served) as ws:
        assert ws.read_close() == expected
        served.until(lambda: not served.http.tasks)
        assert served.http.connections == 1
        ws.send(close(expected[0]))
        assert ws.at_end()
    served.until(lambda: ended(served))
    reason = event.get("reason") or ""
    assert events == [{"type": "websocket.disconnect", "code": expected[0], "reason": reason}]
    assert errors == [
        f"Unexpected ASGI message '{kind}', after sending 'websocket.close'."
        for kind in ("websocket.send", "websocket.close", "websocket.accept")
    ]


def test_between_both_close_frames(start: Serve) -> None:
    """Messages are dropped, pings not answered; the peer's close frame is read behind them."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close"})
        events.append(await receive())

    served = start(app, ws_max_queue=1)
    with open_websocket(served) as ws:
        assert ws.read_close() == (1000, "")
        ws.send(*[text("x" * 1000)] * 200, frame(PING, b"p"), frame(TEXT, b"y", fin=False))
        ws.send(close(1000))
        assert ws.at_end()
    served.until(lambda: ended(served))
    assert [event["type"] for event in events] == ["websocket.disconnect"]


def test_close_with_messages_that_nobody_takes(start: Serve) -> None:
    """The queue is full and reading paused: the peer's close frame is read nevertheless."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await go.wait()
        await send({"type": "websocket.close", "code": 4001})
        assert (await receive())["text"] == "0"

    served = start(app, ws_max_queue=2)
    with open_websocket(served) as ws:
        ws.send(*[text(str(i)) for i in range(1000)], *[frame(2, b"x" * 1000)] * 100)
        served.call(go.set)
        assert ws.read_close() == (4001, "")
        ws.send(close(4001))
        assert ws.at_end()
    served.until(lambda: ended(served))


def test_wrong_answer_to_a_close_frame(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close"})

    for answer in (close(1005), frame(3), frame(CLOSE, b"x")):
        with open_websocket(start(app)) as ws:
            assert ws.read_close() == (1000, "")
            ws.send(answer)
            assert ws.at_end()


def test_both_close_at_once(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await asyncio.sleep(0.01)
        await send({"type": "websocket.close", "code": 4000})

    for _ in range(10):
        served = start(app)
        with open_websocket(served) as ws:
            ws.send(close(4001))
            assert ws.read_close()[0] in (4000, 4001)
            assert ws.at_end()


def test_close_frame_comes_behind_what_was_sent(start: Serve) -> None:
    """A reader that is slow gets all of it, and the close frame last."""
    payload = b"x" * 1_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        for _ in range(10):
            await send({"type": "websocket.send", "bytes": payload})
        await send({"type": "websocket.close"})

    with open_websocket(start(app)) as ws:
        for _ in range(10):
            assert ws.read_frame().payload == payload
        assert ws.read_close() == (1000, "")
        ws.send(close())
        assert ws.at_end()


def test_peer_that_does_not_answer_a_close_frame(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4000})

    served = start(app, ws_close_timeout=0.05)
    with open_websocket(served) as ws:
        assert ws.read_close() == (4000, "")
        # Pongs and messages are no answer.
        ws.send(frame(10), text("x"))
        assert ws.at_end()
    served.until(lambda: ended(served))


# ---- by the application's end ----


async def returns(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)


async def returns_something(scope: Any, receive: Any, send: Any) -> Any:
    await accept(receive, send)
    return 123


async def raises(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    raise ValueError("mine")


async def accepts_twice(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize(
    "app,code,message",
    [
        (returns, 1000, None),
        (returns_something, 1011, "ASGI callable should return None, but returned '123'."),
        (raises, 1011, "Exception in ASGI application"),
        (accepts_twice, 1011, "Exception in ASGI application"),
    ],
)
def test_application_ends(start: Serve, app: Any, code: int, message: str | None) -> None:
    served = start(app)
    with open_websocket(served) as ws:
        assert ws.read_close() == (code, "")
        ws.send(close(code))
        assert ws.at_end()
    served.until(lambda: ended(served))
    errors = [text.strip() for level, text, _ in served.log.records if level == "error"]
    assert errors == ([message] if message else [])


def test_cancelled(start: Serve) -> None:
    served = start(echo)
    with open_websocket(served) as ws:
        served.call(served.http.cancel)
        assert ws.read_close() == (1011, "")
        ws.send(close(1011))
        assert ws.at_end()
    served.until(lambda: ended(served))


def test_application_goes_on_after_the_end(start: Serve) -> None:
    go = asyncio.Event()
    done: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        await go.wait()
        done.append(True)

    served = start(app)
    with open_websocket(served) as ws:
        ws.finish()
    served.until(lambda: not served.http.connections)
    assert served.http.tasks == 1
    served.call(go.set)
    served.until(lambda: bool(done) and ended(served))


# ---- by the server ----


@pytest.mark.parametrize("code", [None, 1012, 1001])
def test_shutdown(start: Serve, code: int | None) -> None:
    app = Recorder()
    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("x"))
        served.until(lambda: bool(app.events))
        served.call(served.http.shutdown, *([] if code is None else [code]))
        assert ws.read_close() == (code or 1012, "")
        ws.send(close(code or 1012))
        assert ws.at_end()
    served.until(lambda: ended(served))
    assert app.end == {"code": code or 1012}


def test_shutdown_of_a_client_that_is_silent(start: Serve) -> None:
    """It is not waited for longer than a moment."""
    app = Recorder()
    served = start(app)
    with open_websocket(served) as ws:
        served.call(served.http.shutdown)
        assert ws.read_close() == (1012, "")
        served.until(lambda: ended(served))


def test_shutdown_before_the_answer(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        events.append(await receive())
        with pytest.raises(OSError, match="disconnected"):
            await send({"type": "websocket.accept"})

    served = start(app)
    with served.connect() as client:
        client.send(handshake())
        served.until(lambda: served.http.tasks == 1)
        served.call(served.http.shutdown)
        assert client.read_response().status == 503
        assert client.at_end()
    served.until(lambda: ended(served))
    assert events == [{"type": "websocket.disconnect", "code": 1006}]


def test_shutdown_while_closing(start: Serve) -> None:
    """The close frame is out already: there is no second one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4000})

    served = start(app)
    with open_websocket(served) as ws:
        assert ws.read_close() == (4000, "")
        served.call(served.http.shutdown)
        assert ws.at_end()
    served.until(lambda: ended(served))


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 5000, -1])
def test_shutdown_with_a_wrong_code(start: Serve, code: int) -> None:
    served = start(echo)
    with pytest.raises(ValueError, match="cannot be closed"):
        served.call(served.http.shutdown, code)
    assert served.ask(get()).status == 500


def test_handshake_after_shutdown(start: Serve) -> None:
    """On a connection that was busy; it is answered no more."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        await go.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    served = start(app)
    with served.connect() as client:
        client.send(get() + handshake())
        served.until(lambda: served.http.tasks == 1)
        served.call(served.http.shutdown)
        served.call(go.set)
        assert client.read_response().body == b"ok"
        assert client.at_end()


def test_abort(start: Serve) -> None:
    app = Recorder()
    served = start(app)
    client, response = try_open(served)
    assert response.status == 101
    served.call(served.http.abort)
    assert client.at_end()
    client.sock.close()
    served.until(lambda: ended(served))
    assert app.end == {"code": 1006}
