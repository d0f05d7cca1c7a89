# SPDX-License-Identifier: MIT
"""Connections that are logged when they come and go, for --log-level trace: uvicorn's lines."""

import asyncio
import logging
from typing import cast

from camshaft._core import HttpProtocol, HttpServer
from camshaft.logging import TRACE_LOG_LEVEL

logger = logging.getLogger("uvicorn.error")


class TracedProtocol(asyncio.Protocol):
    """A protocol around the one in C, which then is driven by its methods."""

    def __init__(self, protocol: HttpProtocol) -> None:
        self._protocol = protocol
        self._prefix = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._prefix = f"{peer[0]}:{peer[1]} - "
        logger.log(TRACE_LOG_LEVEL, "%sHTTP connection made", self._prefix)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        what = "WebSocket" if self._protocol.upgraded else "HTTP"
        logger.log(TRACE_LOG_LEVEL, "%s%s connection lost", self._prefix, what)
        self._protocol.connection_lost(exc)


class TracedHttp:
    """An HttpServer that makes such protocols."""

    def __init__(self, http: HttpServer) -> None:
        self._http = http
        self.shutdown = http.shutdown
        self.disconnect = http.disconnect
        self.cancel = http.cancel
        self.remaining = http.remaining
        self.abort = http.abort
        self.watch_full = http.watch_full
        self.flush_access_log = http.flush_access_log

    def __call__(self) -> asyncio.Protocol:
        return TracedProtocol(cast(HttpProtocol, self._http()))

    @property
    def connections(self) -> int:
        return self._http.connections

    @property
    def tasks(self) -> int:
        return self._http.tasks

    @property
    def requests(self) -> int:
        return self._http.requests
