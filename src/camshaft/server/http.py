# SPDX-License-Identifier: MIT
"""What the server needs of the HTTP part, which is C: `_core.HttpServer`."""

import asyncio
import contextvars
from typing import Any, Protocol

from camshaft import _core
from camshaft.config import Config
from camshaft.server.access import access_log


class HttpServer(Protocol):
    """A protocol factory, and all the connections that it has made."""

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""

    @property
    def connections(self) -> int:
        """How many connections are open."""

    @property
    def tasks(self) -> int:
        """How many requests' tasks have not ended; those outlive a connection that is lost."""

    def shutdown(self) -> None:
        """Close idle connections, and the others after the answer under way."""

    def cancel(self) -> None:
        """Cancel the requests' tasks."""

    def abort(self) -> None:
        """Drop all connections."""


def http_server(
    config: Config, loop: asyncio.AbstractEventLoop, state: dict[str, Any]
) -> HttpServer:
    """Return what serves a loaded configuration's application.

    A Server or Date header of the configuration takes the place of the default one.
    """
    given = {name for name, _ in config.encoded_headers}
    make: Any = _core
    server: HttpServer = make.HttpServer(
        config.loaded_app,
        loop=loop,
        state=state,
        root_path=config.root_path,
        asgi_version=config.asgi_version,
        headers=config.encoded_headers,
        server_header=config.server_header and b"server" not in given,
        date_header=config.date_header and b"date" not in given,
        access_log=access_log(enabled=config.access_log),
        keep_alive=float(config.timeout_keep_alive),
        # Each request runs in a copy of it.
        context=contextvars.Context() if config.reset_contextvars else None,
    )
    return server
