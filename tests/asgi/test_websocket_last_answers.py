# SPDX-License-Identifier: MIT
"""What a client sent before it closed or did wrong is still answered, but not waited for long."""

import asyncio
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Served
from tests.asgi.websocket import (
    BINARY,
    TEXT,
    Frame,
    Recorder,
    accept,
    close,
    frame,
    open_websocket,
    text,
)

# The end of what a client sends, the close frame it gets and the event of the application.
ENDS = {
    "close": (close(1001, "going"), (1001, "going"), {"code": 1001, "reason": "going"}),
    "close without code": (close(None), (None, ""), {"code": 1005, "reason": ""}),
    "fault": (
        frame(3),
        (1002, "the opcode is a reserved one"),
        {"code": 1002, "reason": "the opcode is a reserved one"},
    ),
    "no UTF-8": (
        frame(TEXT, b"\xff"),
        (1007, "the text is not UTF-8"),
        {"code": 1007, "reason": "the text is not UTF-8"},
    ),
    "close that is wrong": (
        close(1005),
        (1002, "the code of a close frame is not one that may be sent"),
        {"code": 1002, "reason": "the code of a close frame is not one that may be sent"},
    ),
}

ends = pytest.mark.parametrize("last, answer, told", ENDS.values(), ids=ENDS.keys())


def ended(served: Served) -> bool:
    return not served.http.connections and not served.http.tasks


@ends
def test_messages_before_the_end_are_answered(
    start: Serve, last: bytes, answer: Any, told: dict[str, Any]
) -> None:
    """Several messages and the end come in one piece; nothing after it counts."""
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def receive_and_echo() -> Any:
            event = await receive()
            if event["type"] == "websocket.receive":
                await send({**event, "type": "websocket.send"})
            return event

        await recorder(scope, receive_and_echo, send)

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("one"), frame(BINARY, b"two"), last, text("late"), b"\xff" * 1000)
        assert ws.read_text() == "one"
        assert ws.read_frame() == Frame(BINARY, b"two")
        assert ws.read_close() == answer
        assert ws.at_end()
    served.until(lambda: ended(served))
    assert recorder.messages == ["one", b"two"]
    assert recorder.end == told


@ends
def test_an_application_that_never_receives(
    start: Serve, last: bytes, answer: Any, told: dict[str, Any]
) -> None:
    """It cannot keep the end from coming, and learns of it when it looks."""
    go = asyncio.Event()
    events = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await go.wait()
        events.extend([await receive(), await receive()])
        with pytest.raises(OSError):
            await send({"type": "websocket.send", "text": "too late"})

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("one"), last)
        assert ws.read_close() == answer
        assert ws.at_end()
    served.call(go.set)
    served.until(lambda: ended(served))
    assert [event["type"] for event in events] == ["websocket.receive", "websocket.disconnect"]
    assert events[1] == {"type": "websocket.disconnect", **told}


@ends
@pytest.mark.parametrize("how", ["returns", "raises", "closes"])
def test_an_application_that_ends_before_it_has_received_all(
    start: Serve, last: bytes, answer: Any, told: dict[str, Any], how: str
) -> None:
    """The end that the client began is the one that counts."""
    received, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()
        received.set()
        await go.wait()
        if how == "raises":
            raise ValueError(how)
        if how == "closes":
            await send({"type": "websocket.close", "code": 4000})

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("one"), text("two"), last)
        served.until(received.is_set)
        served.call(go.set)
        assert ws.read_close() == answer
        assert ws.at_end()
    served.until(lambda: ended(served))


@ends
def test_a_client_that_leaves_without_waiting(
    start: Serve, last: bytes, answer: Any, told: dict[str, Any]
) -> None:
    """The application is told how it ended, not that the connection was lost after that."""
    go = asyncio.Event()
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def receive_later() -> Any:
            event = await receive()
            if event["type"] == "websocket.receive":
                await go.wait()
            return event

        await recorder(scope, receive_later, send)

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("one"), text("two"), last)
    served.until(lambda: not served.http.connections)
    served.call(go.set)
    served.until(lambda: ended(served))
    assert recorder.messages == ["one", "two"]
    assert recorder.end == told


def test_shutdown_comes_before_what_was_put_off(start: Serve) -> None:
    """A server that ends does not wait for the application to take what it was sent."""
    received, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()
        received.set()
        await go.wait()

    served = start(app)
    with open_websocket(served) as ws:
        ws.send(text("one"), text("two"), frame(3))
        served.until(received.is_set)
        served.call(served.http.shutdown)
        assert ws.read_close() == (1012, "")
        assert ws.at_end()
    served.call(go.set)
    served.until(lambda: ended(served))
