# SPDX-License-Identifier: MIT
"""A server that has its process to itself, and what the system wants of such a process."""

import logging
import socket
from collections.abc import Callable

from camshaft.config import Config
from camshaft.server.budget import exceeded, pools
from camshaft.server.listeners import Listening, log_started
from camshaft.server.server import Server
from camshaft.systemd import Notifier

logger = logging.getLogger("uvicorn.error")


class ProcessServer(Server):
    """A server that tells systemd how it is.

    `opened` is what it was bound to before the process gave up its privileges, whose sockets run()
    is given; None if it is to listen itself. `at_end` is called when all is closed, and before the
    signal that ended the server ends the process.
    """

    def __init__(
        self,
        config: Config,
        opened: list[Listening] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._opened_before = opened or []
        self._at_end = at_end
        self._notifier = Notifier(later=self._call_later)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            for listening in self._opened_before:
                listening.close()
            if self._at_end is not None:
                self._at_end()
            self._notifier.close()

    def _call_later(self, seconds: float, call: Callable[[], object]) -> None:
        assert self._loop is not None
        self._loop.call_later(seconds, call)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        for listening in self._opened_before:
            log_started(listening)
        if self.config.database_budget is not None:
            fault = exceeded(pools(), 1, self.config.database_budget)
            if fault is not None:
                logger.warning("%s", fault)
        self._notifier.ready()
        if self._notifier.watchdog is not None:
            self._live(self._notifier.watchdog / 2)

    def _live(self, interval: float) -> None:
        """Tell the watchdog, from the loop, that the loop turns; and so until it does no more."""
        assert self._loop is not None
        self._notifier.alive()
        self._loop.call_later(interval, self._live, interval)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._notifier.stopping()
        await super().shutdown(sockets)

    def renew_certificate(self) -> None:
        self._notifier.reloading()
        super().renew_certificate()
        self._notifier.ready()
