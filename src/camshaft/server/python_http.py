# SPDX-License-Identifier: MIT
"""HTTP by a protocol class in Python, uvicorn's or one like it."""

import asyncio
from collections.abc import Collection
from typing import Any

from camshaft.config import Config
from camshaft.server.state import ServerState


class PythonHttp:
    """HTTP by a protocol class in Python, with uvicorn's interface, in place of _core.HttpServer.

    The class is called with `config`, `server_state`, `app_state` and `_loop` and is an
    asyncio.Protocol that adds itself to the state's `connections` and its requests to `tasks`, and
    that has a method `shutdown()`. With a method `disconnect()` it is told when requests that do
    not end by themselves should: what they receive then is to be http.disconnect.
    """

    def __init__(
        self,
        protocol: Any,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        app_state: dict[str, Any],
    ) -> None:
        self.state = ServerState(config)
        self._protocol = protocol
        self._arguments = {
            "config": config,
            "server_state": self.state,
            "app_state": app_state,
            "_loop": loop,
        }

    def __call__(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._protocol(**self._arguments)
        return made

    @property
    def connections(self) -> int:
        return len(self.state.connections)

    @property
    def tasks(self) -> int:
        return len(self.state.tasks)

    @property
    def requests(self) -> int:
        return self.state.total_requests

    def shutdown(self, websocket_code: int = 1012, linger: float = 0, /) -> None:
        """Close idle connections, and the others after the response that is under way.

        How long they linger, and with what WebSockets are closed, is the protocol's own.
        """
        for connection in _all(self.state.connections):
            connection.shutdown()

    def remaining(self, limit: int = 10, /) -> list[str]:
        """Nothing: what a connection is at is the protocol's own to know."""
        return []

    def disconnect(self) -> None:
        """Have requests told of a disconnect, by protocols with a method of that name.

        uvicorn's have none, and their requests run until they are cancelled, as in uvicorn.
        """
        for connection in _all(self.state.connections):
            disconnect = getattr(connection, "disconnect", None)
            if disconnect is not None:
                disconnect()

    def cancel(self) -> None:
        """Cancel the requests that run."""
        for task in _all(self.state.tasks):
            task.cancel("Task cancelled, timeout graceful shutdown exceeded")

    def flush_access_log(self, patience: int = 0, /) -> None:
        """Do nothing: it is the protocols' own, by `logging`."""

    def abort(self) -> None:
        """Close all connections at once."""
        self.cancel()
        for connection in _all(self.state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()


def _all(collection: Collection[Any]) -> list[Any]:
    """Return the members as they are now: what is done to one may remove it."""
    return list(collection)
