# SPDX-License-Identifier: MIT
"""HTTP by protocol classes in Python on our server: uvicorn's own, and one of the test's."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

import camshaft
from camshaft.application import Receive, Scope, Send
from camshaft.config import Config
from camshaft.message_log import MessageLogger
from camshaft.server.server import Server
from camshaft.server.state import NativeState, ServerState
from camshaft.settings import ConfigError

LIMIT = 60


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["state"]["word"] = b"state"
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["word"]})


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Server]:
    server = Server(Config(settings.pop("app", app), port=0, log_config=None, **settings))
    serving = asyncio.ensure_future(server.serve())
    async with asyncio.timeout(LIMIT):
        while not (server.started or serving.done()):
            await asyncio.sleep(0.001)
        try:
            yield server
        finally:
            server.should_exit = True
            await serving


async def get(server: Server, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n") -> bytes:
    address = server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request + b"Connection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "http", ["uvicorn.protocols.http.h11_impl:H11Protocol", "h11", "auto", "camshaft"]
)
@pytest.mark.parametrize("loop", [camshaft.new_event_loop, asyncio.new_event_loop])
def test_request(http: str, loop: Any) -> None:
    pytest.importorskip("uvicorn")

    async def main() -> None:
        async with running(http=http, headers=[("X-A", "1")]) as server:
            answer = (await get(server)).lower()
            assert answer.startswith(b"http/1.1 200 ok\r\n")
            assert answer.endswith((b"\r\n5\r\nstate\r\n0\r\n\r\n", b"\r\n\r\nstate"))
            assert answer.count(b"\r\nserver: camshaft\r\n") == 1
            assert answer.count(b"\r\ndate: ") == 1
            assert answer.count(b"\r\nx-a: 1\r\n") == 1
            while server.server_state.connections:
                await asyncio.sleep(0.001)
            assert server.server_state.total_requests == 1
            assert not server.server_state.tasks
        kind = NativeState if http in ("auto", "camshaft") else ServerState
        assert type(server.server_state) is kind

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize(("proxy_headers", "seen"), [(True, b"10.1.2.3"), (False, b"127.0.0.1")])
@pytest.mark.parametrize("http", ["h11", "auto"])
def test_proxy_headers(http: str, proxy_headers: bool, seen: bytes) -> None:
    pytest.importorskip("uvicorn")

    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    async def main() -> None:
        async with running(
            app=tells, http=http, lifespan="off", proxy_headers=proxy_headers
        ) as server:
            request = b"GET / HTTP/1.0\r\nX-Forwarded-For: 10.1.2.3\r\n"
            assert (await get(server, request)).endswith(seen)

    camshaft.run(main())


def test_shutdown_cancels_what_outlasts_it() -> None:
    pytest.importorskip("uvicorn")
    cancelled: list[str] = []

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            cancelled.append(str(error))
            raise

    async def main() -> None:
        async with running(
            app=stays, http="h11", lifespan="off", timeout_graceful_shutdown=0.01
        ) as server:
            request = asyncio.ensure_future(get(server))
            while not server.server_state.tasks:
                await asyncio.sleep(0.001)
        await asyncio.wait([request])

    camshaft.run(main())
    assert cancelled == ["Task cancelled, timeout graceful shutdown exceeded"]


def test_a_class_of_ones_own() -> None:
    class Echo(asyncio.Protocol):
        def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any) -> None:
            assert _loop is asyncio.get_running_loop()
            self.word = app_state["word"]

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(self.word)
            self.transport.close()

    async def main() -> None:
        async with running(http=Echo) as server:
            assert server.config.http_protocol_class is Echo
            assert await get(server) == b"state"

    camshaft.run(main())


def test_websocket_class_needs_its_http(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"^--ws: it needs an --http of uvicorn's"):
        Config(app, ws=asyncio.Protocol, log_config=None).load()


def test_websocket_of_uvicorns_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said is that it is of no use, not that it is to be installed."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"^--ws wsproto: .* without that leave --ws out: "):
        Config(app, ws="wsproto", log_config=None).load()


def test_class_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        Config(app, http="os:nope", log_config=None).load()
    assert caught.value.code == 3
    assert caplog.messages == [
        'Error loading --http os:nope. Attribute "nope" not found in module "os".'
    ]


def test_class_whose_package_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        Config(app, http="zttp", log_config=None).load()
    (record,) = caplog.records
    assert "Error loading --http zttp. " in record.getMessage()
    assert record.getMessage().endswith(". Is uvicorn installed, and what it needs for this?")


def test_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The messages of the application and the connections, as uvicorn logs them."""
    caplog.set_level(5, "uvicorn.asgi")
    caplog.set_level(5, "uvicorn.error")

    async def main() -> None:
        async with running() as server:
            request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
            assert (await get(server, request)).endswith(b"state")
            while server.server_state.connections:
                await asyncio.sleep(0.001)

    camshaft.run(main())
    asgi = [line for line in caplog.messages if "ASGI [" in line]
    assert asgi[0].startswith("ASGI [1] Started scope={'type': 'lifespan'")
    assert asgi[1] == "ASGI [1] Receive {'type': 'lifespan.startup'}"
    started = next(line for line in asgi if "[2] Started" in line)
    assert started.startswith("127.0.0.1:")
    assert "'headers': '<...>'" in started
    sent = [line.partition(" Send ")[2] for line in asgi if "[2] Send" in line]
    assert sent == [
        "{'type': 'http.response.start', 'status': 200, 'headers': '<...>'}",
        "{'type': 'http.response.body', 'body': '<5 bytes>'}",
    ]
    assert [line.partition(" - ")[2] for line in caplog.messages if "connection" in line] == [
        "HTTP connection made",
        "HTTP connection lost",
    ]


def test_trace_of_a_websocket(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(5, "uvicorn.error")

    async def accepts(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})

    async def main() -> None:
        async with running(app=accepts, ws_close_timeout=0.01) as server:
            head = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            await get(server, head + key)
            while server.server_state.connections:
                await asyncio.sleep(0.001)

    camshaft.run(main())
    lines = [record.getMessage() for record in caplog.records if record.levelno == 5]
    assert [line.partition(" - ")[2] for line in lines if "ASGI [" not in line] == [
        "HTTP connection made",
        "Upgrading to WebSocket",
        "WebSocket connection made",
        "WebSocket connection lost",
    ]
    assert all(line.startswith("127.0.0.1:") for line in lines if "connection" in line)


def test_own_websocket_class_by_uvicorns_name() -> None:
    """It is what is built in."""
    from camshaft.http import WebSocketProtocol

    for ws in ("camshaft.http:WebSocketProtocol", WebSocketProtocol):
        config = Config(app, ws=ws, log_config=None)
        config.load()
        assert config.ws_protocol_class is None


def test_classes_are_told_of_a_disconnect() -> None:
    """Those with a method for it, before what they still do is cancelled."""
    told: list[object] = []

    class Hearing(asyncio.Protocol):
        def __init__(self, server_state: Any, **arguments: Any) -> None:
            self.connections = server_state.connections

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.connections.update((self, "one without a method"))

        def connection_lost(self, exc: Exception | None) -> None:
            self.connections.clear()

        def disconnect(self) -> None:
            told.append(self)
            self.transport.close()

    async def main() -> None:
        async with running(http=Hearing, timeout_graceful_shutdown=LIMIT) as server:
            http = server.http
            assert http is not None
            host, port = server.servers[0].sockets[0].getsockname()[:2]  # type: ignore[attr-defined]
            _, writer = await asyncio.open_connection(host, port)
            while not server.server_state.connections:
                await asyncio.sleep(0.001)
            http.disconnect()
            while server.server_state.connections:
                await asyncio.sleep(0.001)
            writer.close()

    camshaft.run(main())
    assert len(told) == 1


def test_trace_of_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(5, "uvicorn.asgi")

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        camshaft.run(MessageLogger(raises)({"type": "http"}, None, None))  # type: ignore[arg-type]
    assert caplog.messages[-1] == "ASGI [1] Raised exception"
