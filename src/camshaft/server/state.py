# SPDX-License-Identifier: MIT
"""What a server's connections share, by uvicorn's names."""

import asyncio
import time
from collections.abc import Callable, Sized
from email.utils import formatdate
from typing import Any

from camshaft._core import HttpServer
from camshaft.config import Config


class Count(Sized):
    """Has a length and nothing in it: the connections or tasks that are C."""

    def __init__(self, server: HttpServer, name: str) -> None:
        self._server = server
        self._name = name

    def __len__(self) -> int:
        return int(getattr(self._server, self._name))


class NativeState:
    """The state of a server whose HTTP is C: counts, for those who watch them."""

    def __init__(self, config: Config, http: HttpServer) -> None:
        self.connections: Sized = Count(http, "connections")
        self.tasks: Sized = Count(http, "tasks")
        self.default_headers = config.encoded_headers
        self._http = http

    @property
    def total_requests(self) -> int:
        """The requests served so far."""
        return self._http.requests


class ServerState:
    """The state that protocol classes in Python keep themselves, each for its own connection."""

    def __init__(self, config: Config | None = None) -> None:
        self._total_requests = 0
        self._max_requests: int | None = None
        self._on_max_requests: Callable[[], object] | None = None
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._headers: list[tuple[bytes, bytes]] = config.encoded_headers if config else []
        self._dated = config is not None and config.date_header
        self._second = 0
        self._now: list[tuple[bytes, bytes]] = []

    def limit(self, requests: int | None, reached: Callable[[], object] | None) -> None:
        """Have `reached` called once, when so many requests have been served."""
        self._max_requests = requests
        self._on_max_requests = reached

    @property
    def total_requests(self) -> int:
        """The requests served so far; the protocols add to it."""
        return self._total_requests

    @total_requests.setter
    def total_requests(self, value: int) -> None:
        self._total_requests = value
        reached = self._on_max_requests
        if reached is not None and self._max_requests is not None and value >= self._max_requests:
            self._on_max_requests = None
            reached()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What every response begins with: Date (RFC 9110, 6.6.1) and the configured headers.

        Made when it is asked for, once in a second, so that nothing needs to tick.
        """
        if not self._dated:
            return self._headers
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True).encode("ascii")
            self._now = [(b"date", date), *self._headers]
        return self._now


def state_of(http: Any, config: Config) -> ServerState | NativeState:
    """Return what shows the connections and tasks of the HTTP part."""
    state: ServerState | None = getattr(http, "state", None)
    return NativeState(config, http) if state is None else state
