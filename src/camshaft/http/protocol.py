# SPDX-License-Identifier: MIT
"""Our HTTP server as protocol classes of uvicorn's.

``uvicorn --http camshaft.http:Protocol`` for requests, ``--ws camshaft.http:WebSocketProtocol`` for
WebSockets; either goes with the other or with uvicorn's own.

The connections of one uvicorn server share one HttpServer, which keeps uvicorn's ServerState up to
date. Of each connection this module is the entrance and the exit: what comes between goes from the
transport to the C protocol directly, on camshaft's loop as on any other.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from camshaft._core import HttpProtocol, HttpServer
from camshaft.server.access import access_log

Application = Callable[..., Awaitable[None]]

_logger = logging.getLogger("uvicorn.error")

_NO_WEBSOCKETS = (
    "No supported WebSocket library detected. Please use \"pip install 'uvicorn[standard]'\", "
    "or install 'websockets' or 'wsproto' manually."
)


def _limited(app: Application, server_state: Any, limit: int) -> Application:
    """An application that answers 503 while there is more to do than `limit_concurrency` allows."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        # The task of this request is counted already, which uvicorn asks before.
        if len(server_state.connections) < limit and len(server_state.tasks) <= limit:
            await app(scope, receive, send)
            return
        _logger.warning("Exceeded concurrency limit.")
        event = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"19"),
            (b"connection", b"close"),
        ]
        await send({"type": f"{event}.start", "status": 503, "headers": headers})
        await send({"type": f"{event}.body", "body": b"Service Unavailable"})

    return serve


def _make_server(
    config: Any,
    server_state: Any,
    app_state: dict[str, Any],
    loop: asyncio.AbstractEventLoop,
    websocket: bool,
) -> HttpServer:
    app = config.loaded_app
    if config.limit_concurrency is not None:
        app = _limited(app, server_state, config.limit_concurrency)
    reset = getattr(config, "reset_contextvars", False)  # of uvicorn from 0.42 on
    return HttpServer(
        app,
        loop=loop,
        state=app_state,
        root_path=config.root_path,
        asgi_version=config.asgi_version,
        access_log=access_log(enabled=True),
        logger=_logger,
        keep_alive=float(config.timeout_keep_alive),
        send_raises=False,  # as uvicorn's protocols, which are of ASGI's version 2.3
        context=contextvars.Context() if reset else None,
        host=server_state,
        websocket=websocket,
        ws_max_size=config.ws_max_size,
        ws_max_queue=config.ws_max_queue,
        ws_ping_interval=config.ws_ping_interval,
        ws_ping_timeout=config.ws_ping_timeout,
        ws_per_message_deflate=config.ws_per_message_deflate,
    )


def _server(
    config: Any,
    server_state: Any,
    app_state: dict[str, Any],
    loop: asyncio.AbstractEventLoop,
    websocket: bool,
) -> HttpServer:
    """The HttpServer of a uvicorn server, kept in its ServerState.

    One with `websocket` speaks that itself; another hands it over.
    """
    servers: list[tuple[tuple[Any, ...], HttpServer]]
    servers = vars(server_state).setdefault("_camshaft_servers", [])
    wanted = (config, app_state, loop, websocket)
    for made_of, server in servers:
        if all(one is other for one, other in zip(made_of, wanted, strict=True)):
            return server
    server = _make_server(config, server_state, app_state, loop, websocket)
    servers.append((wanted, server))
    return server


def _asks_for_websocket(head: bytes) -> bool:
    """Whether the Upgrade header of a request that asks for an upgrade names WebSocket."""
    lines = head[: head.index(b"\r\n\r\n")].lower().split(b"\r\n")[1:]
    fields = (line.partition(b":") for line in lines)
    return any(name == b"upgrade" and value.strip() == b"websocket" for name, _, value in fields)


class Protocol(asyncio.Protocol):
    """One connection of a uvicorn server, served by camshaft.

    Made by uvicorn with its Config, its ServerState and the lifespan's state. WebSocket requests
    are handed over to `config.ws_protocol_class`, as uvicorn's own protocols do; where there is
    none, they are answered as plain HTTP.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.loop = _loop or asyncio.get_event_loop()
        self.transport: asyncio.Transport | None = None
        self.ws_protocol_class = config.ws_protocol_class
        self._server = _server(
            config, server_state, app_state, self.loop, self._speaks_websocket(config)
        )
        self._http: HttpProtocol = self._server._protocol(self)

    @staticmethod
    def _speaks_websocket(config: Any) -> bool:
        """Whether WebSockets need not be handed over: they are camshaft's as well."""
        return config.ws_protocol_class is WebSocketProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._http.connection_made(transport)
        # It has a protocol's methods, though asyncio.Protocol is none of its bases.
        self.transport.set_protocol(cast(asyncio.Protocol, self._http))

    # A transport that has been told calls these no more; one that cannot be told still does.

    def data_received(self, data: bytes) -> None:
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        return self._http.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    def shutdown(self) -> None:
        """Close the connection, once what was asked on it is answered: uvicorn is to end."""
        self._http.shutdown()

    def disconnect(self) -> None:
        """Give http.disconnect to all requests of the server: it is about to end.

        camshaft's server calls this, of protocol classes that have it; uvicorn's does not.
        """
        self._server.disconnect()

    def _upgrade(self, data: bytes) -> bool:
        """Hand the connection over, from this head on; False to answer as plain HTTP."""
        if self.ws_protocol_class is None or not _asks_for_websocket(data):
            _logger.warning("Unsupported upgrade request.")
            if self.ws_protocol_class is None:
                _logger.warning(_NO_WEBSOCKETS)
            return False
        assert self.transport is not None
        self.server_state.connections.discard(self)
        protocol = self.ws_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(data)
        return True


class WebSocketProtocol(Protocol):
    """One WebSocket of a uvicorn server, from its handshake on, which is data_received() first.

    Made by a protocol class for HTTP, uvicorn's or ours, when a request asks for a WebSocket. Our
    Protocol makes none: its connections speak both.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._begun = False

    @staticmethod
    def _speaks_websocket(config: Any) -> bool:
        return True

    def data_received(self, data: bytes) -> None:
        if self._begun and self.transport is not None:
            # Who has handed it over has told the transport of this object, after the handshake.
            self.transport.set_protocol(cast(asyncio.Protocol, self._http))
        self._begun = True
        super().data_received(data)
