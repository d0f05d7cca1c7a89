# SPDX-License-Identifier: MIT
"""The `websockets` client from PyPI against our server; over TLS too."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import connect as connect_asyncio
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.asgi.conftest import Serve
from tests.asgi.harness import Served
from tests.asgi.websocket import Recorder, accept, echo

LIMITS = {"open_timeout": 60, "close_timeout": 60}


@contextmanager
def client(served: Served, **options: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{served.port}/", **LIMITS, **options) as ws:
        yield ws


class Secure:
    """A client over TLS, on an asyncio loop in a thread of its own.

    The other one reads an ssl.SSLSocket in one thread and writes to it in another, in which OpenSSL
    may lose what is written; from CPython 3.13.6 on the ssl module itself sees to that.
    """

    def __init__(self, served: Served, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self.ws = self._run(self._connect(served.port, options))
        except BaseException:
            self._stop()
            raise

    async def _connect(self, port: int, options: Any) -> Any:
        return await connect_asyncio(f"wss://127.0.0.1:{port}/", **LIMITS, **options)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, message: Any) -> None:
        self._run(self.ws.send(message))

    def recv(self) -> Any:
        return self._run(self.ws.recv())

    def ping(self) -> bool:
        async def answered() -> bool:
            await (await self.ws.ping())
            return True

        return bool(self._run(answered()))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._run(self.ws.close(code, reason))

    def __enter__(self) -> "Secure":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self._stop()


def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts for a server and for its client."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    peer = ssl.create_default_context()
    authority.configure_trust(peer)
    return server, peer


MESSAGES = [
    "",
    b"",
    "text",
    b"bytes",
    "🎲" * 30_000,
    "a" * 65536,
    bytes(range(256)) * 1000,
    b"z" * (1 << 20),
]


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("secure", [False, True])
def test_echo(start: Serve, compression: str | None, secure: bool) -> None:
    server, peer = tls() if secure else (None, None)
    served = start(echo, ssl_context=server)
    kind = Secure if secure else client
    options = {"ssl": peer} if secure else {}
    with kind(served, compression=compression, **options) as ws:
        protocol = ws.ws.protocol if secure else ws.protocol
        assert len(protocol.extensions) == (1 if compression else 0)
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv() == message
        for fragments in (["a", "é", ""], [b"x" * 70_000, b"", b"y"]):
            ws.send(fragments)
            assert ws.recv() == type(fragments[0])().join(fragments)
        assert ws.ping() if secure else ws.ping().wait(60)
        ws.close(4000, "enough")
    assert (protocol.close_code, protocol.close_reason) == (4000, "enough")
    served.until(lambda: not served.http.connections and not served.http.tasks)


def test_scope_over_tls(start: Serve) -> None:
    server, peer = tls()
    app = Recorder()
    served = start(app, ssl_context=server)
    with Secure(served, ssl=peer):
        pass
    served.until(lambda: app.end is not None)
    assert app.scopes[0]["scheme"] == "wss"
    assert app.end == {"code": 1000, "reason": ""}


def test_subprotocol(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, subprotocol=scope["subprotocols"][1])
        await receive()

    names = [Subprotocol("one"), Subprotocol("two")]
    with client(start(app), subprotocols=names) as ws:
        assert ws.subprotocol == "two"


def test_closed_by_the_application(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "bye"})

    with client(start(app)) as ws:
        assert ws.recv() == "bye"
        with pytest.raises(ConnectionClosedOK):
            ws.recv()
    assert ws.close_code == 1000


def test_too_big(start: Serve) -> None:
    """The client gets to read why, though it has sent far more than was read."""
    with client(start(echo, ws_max_size=1000), compression=None) as ws:
        with pytest.raises(ConnectionClosed):
            ws.send(b"x" * 50_000)
            ws.recv()
    assert ws.close_code == 1009


def test_denied(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 418,
                "headers": [(b"x-why", b"teapot")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"short and stout"})

    with pytest.raises(InvalidStatus) as caught, client(start(app)):
        pass
    response = caught.value.response
    assert (response.status_code, response.body) == (418, b"short and stout")
    assert response.headers["x-why"] == "teapot"


def test_keepalive_of_both(start: Serve) -> None:
    options = {"ws_ping_interval": 0.01, "ws_ping_timeout": 60}
    with client(start(echo, **options), ping_interval=0.01) as ws:
        for i in range(200):
            ws.send(str(i))
            assert ws.recv() == str(i)
