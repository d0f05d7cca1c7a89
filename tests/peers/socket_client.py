# SPDX-License-Identifier: MIT
"""A pytest plugin that has Starlette's TestClient ask our server, over real sockets.

For Starlette's and FastAPI's own tests: what they say of applications called by the client, they
then say of the same applications behind camshaft. ``-p camshaft_socket_client`` finds it staged
under that name. The client itself, its loop in a thread, and the lifespan stay Starlette's; each
request and each WebSocket gets a server of ours on that loop, listening on a port of its own. What
the server calls is the FastAPI object itself, if the client was given one, with the setting
`fastapi` at "native": requests that a plan covers are then answered before the middleware, where it
lets them, and counted.

For other applications, and in requests for another scheme or under a root_path, what a socket
cannot carry is put back where the tests look for it: the scope's `client`, `server` and `scheme`,
the extension http.response.debug, and with which code a WebSocket was closed that had not been
accepted. What the application raised to the server is taken from the server's log, and raised in
the client as TestClient does.
"""

import asyncio
import collections
import contextlib
import logging
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import h11
import starlette.testclient as testclient
from camshaft_isolate import _write
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import WebSocketURI

import camshaft
from camshaft._core import FastAPIRouter
from camshaft.fastapi.find import find_application
from camshaft.server.http import http_server

LIMIT = 20.0
"""Seconds for an answer of the server's, and for an application to end that has answered."""

PATIENCE = 2.0
"""Seconds for an application to end that has been left; TestClient would cancel it at once."""

httpx: Any = testclient.httpx

counts: collections.Counter[str] = collections.Counter()

routers: dict[int, FastAPIRouter] = {}
"""Those that answered requests natively or not, by id()."""


class _Reports(logging.Handler):
    """What servers have reported, by the thread of their loop: (message, exception)."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.by_thread: dict[int, list[tuple[str, BaseException | None]]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        reports = self.by_thread.get(threading.get_ident())
        if reports is not None:
            reports.append((record.getMessage(), exception))


_reports = _Reports()
_logger = logging.getLogger("uvicorn.error")
_logger.addHandler(_reports)
_logger.propagate = False


class _Tap:
    """The application, with what a socket does not carry put into the scope and taken out."""

    def __init__(self, app: Any, names: dict[str, Any], extensions: tuple[str, ...]) -> None:
        self.app = app
        self.names = names
        self.extensions = extensions
        self.debug: dict[str, Any] | None = None
        self.closed: dict[str, Any] | None = None
        self.started = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.update(self.names)
        scope["extensions"] = {
            **scope.get("extensions", {}),
            **{name: {} for name in self.extensions},
        }

        async def tapped(message: Any) -> None:
            if message["type"] == "http.response.debug":
                self.debug = message["info"]
                return
            if message["type"] == "websocket.close":
                self.closed = message
            await send(message)
            self.started = True

        await self.app(scope, receive, tapped)


class _Serving:
    """A server of ours on a portal's loop, for one connection."""

    def __init__(self, portal: Any, app: Any, state: dict[str, Any]) -> None:
        self.portal = portal
        self.app = app
        self.state = state
        self.patience = LIMIT
        self.cancelled = False
        portal.call(self._listen)
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        except BaseException:
            portal.call(self._end)
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _listen(self) -> None:
        config = camshaft.Config(
            self.app,
            interface="asgi3",
            fastapi="native",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ws_per_message_deflate=False,
        )
        config.load()
        if config.fastapi_mounted is not None:
            router = config.fastapi_mounted.router
            routers[id(router)] = router
        loop = asyncio.get_running_loop()
        self.http = http_server(config, loop, self.state)
        self.server = await loop.create_server(self.http, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.reports = _reports.by_thread.setdefault(threading.get_ident(), [])
        self.first_report = len(self.reports)

    def end(self) -> list[tuple[str, BaseException | None]]:
        """Close the connection, wait for the application's end, and return what was reported."""
        self.socket.close()
        self.portal.call(self._end)
        reports = self.reports[self.first_report :]
        del self.reports[self.first_report :]
        return reports

    async def _end(self) -> None:
        self.server.close()
        with anyio.move_on_after(self.patience):
            while self.http.tasks or self.http.connections:
                await anyio.sleep(0.0005)
        if self.http.tasks or self.http.connections:
            self.cancelled = True
            self.http.cancel()
            self.http.abort()
            while self.http.tasks or self.http.connections:
                await anyio.sleep(0.0005)


class _Exchange:
    """One request and its response."""

    def __init__(self, serving: _Serving, request: Any) -> None:
        self.serving = serving
        self.parser = h11.Connection(h11.CLIENT)
        self.method = request.method
        # Our server is not asked what h11 thinks of the request, which it only has to know of.
        self.parser.send(h11.Request(method=self.method, target="/", headers=[("Host", "h")]))
        self.parser.send(h11.EndOfMessage())
        self.trailers: list[tuple[bytes, bytes]] = []
        self.sender: threading.Thread | None = None
        self._send(request)

    def _send(self, request: Any) -> None:
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), request.url.raw_path)]
        names = {name.lower() for name, _ in request.headers.raw}
        if b"host" not in names:
            lines.append(b"host: " + request.url.netloc)
        lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw]
        body = request.read()
        if b"transfer-encoding" in names:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        data = b"\r\n".join(lines) + b"\r\n\r\n" + body
        if len(data) < 32768:
            self.serving.socket.sendall(data)
            return

        def send() -> None:
            # The server may answer before it has read everything, and close.
            with contextlib.suppress(OSError):
                self.serving.socket.sendall(data)

        self.sender = threading.Thread(target=send, daemon=True)
        self.sender.start()

    def event(self) -> Any:
        """The next of h11's events."""
        while (event := self.parser.next_event()) is h11.NEED_DATA:
            self.parser.receive_data(self.serving.socket.recv(65536))
        return event

    def head(self) -> Any:
        """The head of the response, those of 100 Continue and the like passed over."""
        while not isinstance(event := self.event(), h11.Response):
            assert isinstance(event, h11.InformationalResponse), event
        return event

    def body(self) -> Iterator[bytes]:
        """The pieces of the body as they come."""
        while isinstance(event := self.event(), h11.Data):
            yield bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self.trailers += event.headers.raw_items()

    def end(self) -> list[tuple[str, BaseException | None]]:
        """See _Serving."""
        with contextlib.suppress(OSError):
            self.serving.socket.shutdown(socket.SHUT_RDWR)
        if self.sender is not None:
            self.sender.join(LIMIT)
        return self.serving.end()


_FRAMING = {b"transfer-encoding", b"connection", b"trailer"}


def _on_trio(transport: Any) -> bool:
    client = transport.portal_factory.__self__
    return bool(client.async_backend["backend"] == "trio")


class _Transport(testclient._TestClientTransport):
    def handle_request(self, request: Any) -> Any:
        if request.url.scheme in ("ws", "wss") or _on_trio(self):
            return super().handle_request(request)
        counts["requests over a socket"] += 1
        url = request.url
        names = {
            "client": self.client,
            "server": [
                url.raw_host.decode("ascii"),
                {"http": 80, "https": 443}[url.scheme] if url.port is None else url.port,
            ],
            "scheme": url.scheme,
            "root_path": self.root_path,
        }
        tap = _Tap(self.app, names, ("http.response.debug",))
        direct = (
            find_application(self.app) is self.app and url.scheme == "http" and not self.root_path
        )
        counts["of FastAPI's own object"] += direct
        rest = ExitStack()

        def abort() -> None:
            rest.close()

        with ExitStack() as stack:
            portal = stack.enter_context(self.portal_factory())
            serving = _Serving(portal, self.app if direct else tap, self.app_state)
            exchange = _Exchange(serving, request)
            finished = False

            def close(kind: type[BaseException] | None, *_: Any) -> None:
                self._open_requests.discard(abort)
                if not finished:
                    exchange.serving.patience = PATIENCE
                reports = exchange.end()
                if kind is not None or not self.raise_server_exceptions:
                    return
                for message, exception in reports:
                    if exception is not None:
                        if not finished and isinstance(exception, ClientDisconnect | OSError):
                            continue  # the test left; TestClient would have cancelled it
                        raise exception
                    if "without starting response" in message:
                        raise AssertionError("TestClient did not receive any response.")

            stack.push(close)
            head = exchange.head()
            if head.status_code == 500 and not tap.started and not direct:
                # The server's own answer, which TestClient has not.
                finished = True
                stack.close()
                return httpx.Response(500, request=request)
            rest.push(stack.pop_all())

        def iterate() -> Iterator[bytes]:
            nonlocal finished
            try:
                yield from exchange.body()
            except h11.RemoteProtocolError:
                pass  # cut short: close() says by what
            finished = True
            rest.close()

        self._open_requests.add(abort)
        headers = [
            (name, value)
            for name, value in head.headers.raw_items()
            if name.lower() not in _FRAMING
        ]
        response = httpx.Response(
            status_code=head.status_code,
            headers=[(name.decode(), value.decode()) for name, value in headers],
            stream=testclient._TestClientResponseStream(iterate(), rest),
            request=request,
        )
        if b"trailer" in {name.lower() for name, _ in head.headers.raw_items()}:
            response.extensions["http.response.trailers"] = exchange.trailers
        if tap.debug is not None:
            response.extensions["http.response.debug"] = tap.debug
            for name in ("template", "context"):
                if name in tap.debug:
                    setattr(response, name, tap.debug[name])
        return response


_OWN = {"upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"}


class _Session(testclient.WebSocketTestSession):
    """A WebSocket, with the messages of TestClient's: those the application would send."""

    def __enter__(self) -> Any:
        if self.portal_factory.__self__.async_backend["backend"] == "trio":
            self.real = False
            return super().__enter__()
        self.real = True
        counts["websockets over a socket"] += 1
        scope = self.scope
        with ExitStack() as stack:
            self.portal = stack.enter_context(self.portal_factory())
            names = {name: scope[name] for name in ("client", "server", "scheme", "root_path")}
            self.tap = _Tap(self.app, names, ())
            self.serving = _Serving(self.portal, self.tap, scope["state"])
            self.serving.patience = PATIENCE
            stack.push(self._close)
            self._handshake()
            self.exit_stack = stack.pop_all()
        return self

    def _close(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._leave()
        for _message, exception in self.serving.end():
            if exception is None or isinstance(exception, OSError):
                continue
            if self.serving.cancelled and isinstance(exception, asyncio.CancelledError):
                continue
            raise exception

    def _handshake(self) -> None:
        scope = self.scope
        uri = WebSocketURI(False, "testserver", 80, "/", "")
        self.protocol = ClientProtocol(uri, subprotocols=scope["subprotocols"] or None)
        self.protocol.max_message_size = self.protocol.max_fragment_size = math.inf
        request = self.protocol.connect()
        key = request.headers["Sec-WebSocket-Key"]
        target = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        lines = [b"GET " + target + b" HTTP/1.1", b"upgrade: websocket"]
        for name, value in scope["headers"]:
            # The tests' own key is not one (RFC 6455, 4.1).
            line = key.encode() if name == b"sec-websocket-key" else value
            lines.append(name + b": " + line)
        self.protocol.send_request(request)
        self.protocol.data_to_send()
        self.serving.socket.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        self.events: collections.deque[Any] = collections.deque()
        self.fragments: list[Any] = []
        self.left = False
        response = self._event()
        if response is None:
            raise anyio.EndOfStream
        if response.status_code != 101:
            self.left = True
            if self.tap.closed is not None:
                assert response.status_code == 403, response
                raise WebSocketDisconnect(
                    code=self.tap.closed.get("code", 1000),
                    reason=self.tap.closed.get("reason", "") or "",
                )
            headers = [
                (name, value)
                for name, value in response.headers.raw_items()
                if name.lower() not in ("transfer-encoding", "connection")
            ]
            raise testclient.WebSocketDenialResponse(
                status_code=response.status_code, headers=headers, content=bytes(response.body)
            )
        assert self.protocol.handshake_exc is None, self.protocol.handshake_exc
        self.accepted_subprotocol = self.protocol.subprotocol
        self.extra_headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.raw_items()
            if name.lower() not in _OWN
        ]

    def _event(self) -> Any:
        """The response to the handshake, then frames; None at the end of the connection."""
        while not self.events:
            try:
                data = self.serving.socket.recv(65536)
            except ConnectionError:
                data = b""
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self.events.extend(self.protocol.events_received())
            self._flush()
            if not data and not self.events:
                return None
        return self.events.popleft()

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            with contextlib.suppress(OSError):
                if data:
                    self.serving.socket.sendall(data)

    def _leave(self) -> None:
        """Say goodbye, and read what still comes until the server has closed, too."""
        if self.left:
            return
        self.left = True
        with contextlib.suppress(Exception):
            self.protocol.send_close(1000, "")
        self._flush()
        with contextlib.suppress(TimeoutError):
            while self._event() is not None:
                pass

    def send(self, message: Any) -> None:
        if not self.real:
            return super().send(message)
        if message["type"] == "websocket.disconnect":
            self.left = True
            self.protocol.send_close(message.get("code", 1000), message.get("reason") or "")
        elif message.get("text") is not None:
            self.protocol.send_text(message["text"].encode())
        else:
            self.protocol.send_binary(message["bytes"])
        self._flush()
        return None

    def receive(self) -> Any:
        if not self.real:
            return super().receive()
        while (frame := self._event()) is not None:
            if frame.opcode == Opcode.CLOSE:
                self.left = True
                sent = self.protocol.close_rcvd
                code = 1005 if sent is None else sent.code
                if code == 1011 and self.tap.closed is None:
                    break  # the application raised, which TestClient's tests hear at the end
                return {"type": "websocket.close", "code": code, "reason": sent and sent.reason}
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self.fragments.append(frame)
                if frame.fin:
                    data = b"".join(bytes(fragment.data) for fragment in self.fragments)
                    text = self.fragments[0].opcode == Opcode.TEXT
                    self.fragments = []
                    if text:
                        return {"type": "websocket.send", "text": data.decode()}
                    return {"type": "websocket.send", "bytes": data}
        raise anyio.EndOfStream


testclient._TestClientTransport = _Transport  # type: ignore[misc]
testclient.WebSocketTestSession = _Session  # type: ignore[misc]


def pytest_sessionfinish() -> None:
    """Write the counts: of requests, and what the routers made of them."""
    for router in routers.values():
        counts["started in a plan"] += router.native_count
        counts["before the middleware"] += router.whole_count
        counts["ended in the plan"] += router.native_count - router.replayed_count
        counts["left to FastAPI"] += router.fallback_count
    for name, count in counts.items():
        _write("count", name, str(count))
