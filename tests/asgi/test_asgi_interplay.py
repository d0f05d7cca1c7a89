# SPDX-License-Identifier: MIT
"""Where parts of the server meet: answers that are held back, ends, WebSockets, time limits."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import answer, get
from tests.asgi.websocket import TEXT, frame, handshake, text


def test_slow_reader_is_let_go(start: Serve) -> None:
    """A peer that reads its answer late, and whose body nobody read, is not waited for for ever."""
    size = 32 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, bytes(size))

    served = start(app)
    with served.connect() as client:
        client.send(get("/", "Content-Length: 1000000", method="POST"))
        served.until(lambda: bool(served.http.requests))
        assert len(client.read_response().body) == size
        served.until(lambda: served.http.connections == 0)


@pytest.mark.parametrize("more", [b"GET / HTTP/1.1\r\n", handshake(), get()])
def test_shutdown_between_pipelined_requests(start: Serve, more: bytes) -> None:
    """What was sent ahead is not begun any more, and is not waited for either."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        await answer(send, b"first")
        served.http.shutdown()

    served = start(app)
    with served.connect() as client:
        client.send(get() + more)
        assert client.read_response().body == b"first"
        assert client.at_end()
    served.until(lambda: served.http.connections == 0)
    assert seen == ["http"]


def test_answer_before_one_that_fails(start: Serve) -> None:
    """What is whole is sent, though the answer after it ends in a reset of the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            await answer(send, b"first", headers=[(b"content-length", b"5")])
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    served = start(app)
    with served.connect() as client:
        first = get("/first", "Connection: keep-alive", version="1.0")
        client.send(first + get("/second", version="1.0"))
        assert client.read_response().body == b"first"


def test_trailers_with_headers_as_before(start: Serve) -> None:
    """Whether they are wanted is remembered with the headers that say so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"a"})
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")]})

    served = start(app)
    with served.connect() as client:
        for target, headers in [
            ("/", ["TE: trailers", "Connection: TE"]),
            ("http://example/", []),
            ("/", ["TE: trailers", "Connection: TE"]),
        ]:
            client.send(get(target, *headers))
            head = client.read_head()
            if headers:
                assert head.get("transfer-encoding") == "chunked"
                assert client.read_until(b"0\r\nx-a: 1\r\n\r\n") == b"1\r\na\r\n0\r\nx-a: 1\r\n\r\n"
            else:
                assert client.read_exactly(int(head.get("content-length") or "")) == b"a"


def test_websocket_behind_a_request(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send, b"first")
            return
        assert (await receive())["type"] == "websocket.connect"
        await asyncio.sleep(0.05)
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})

    served = start(app)
    with served.connect() as client:
        client.send(get() + handshake() + text("ahead"))
        assert client.read_response().body == b"first"
        assert client.read_head().status == 101
        assert client.read_exactly(7) == b"\x81\x05ahead"


def test_client_of_a_handshake_is_logged(start: Serve) -> None:
    """Even when so many others are idle that what is kept of its connection was to go."""
    asked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send)
            return
        await asked.wait()
        await send({"type": "websocket.accept"})

    served = start(app)
    with ExitStack() as clients:
        client = clients.enter_context(served.connect())
        client.send(get())
        assert client.read_response().status == 200
        client.send(handshake())
        served.until(lambda: served.http.tasks == 1)
        for _ in range(256):
            other = clients.enter_context(served.connect())
            other.send(get())
            assert other.read_response().status == 200
        served.call(asked.set)
        assert client.read_head().status == 101
        host, port = client.sock.getsockname()
        assert f'{host}:{port} - "WebSocket /" [accepted]' in served.log.messages


def test_websocket_messages_that_say_nothing(start: Serve) -> None:
    """They cost memory too, without a limit of their number as well."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    class Transport(asyncio.Transport):
        reading = True

        def write(self, data: bytes | bytearray | memoryview) -> None:
            pass

        def pause_reading(self) -> None:
            self.reading = False

        def is_closing(self) -> bool:
            return False

    served = start(app, ws_max_queue=None)

    async def flood() -> int:
        protocol = served.http()
        transport = Transport()
        protocol.connection_made(transport)
        protocol.data_received(handshake())
        for _ in range(5):
            await asyncio.sleep(0)
        count = 0
        while transport.reading and count < 1_000_000:
            protocol.data_received(frame(TEXT) * 1000)
            count += 1000
        protocol.connection_lost(None)
        return count

    assert served.run(flood()) < 100_000
