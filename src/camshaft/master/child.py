# SPDX-License-Identifier: MIT
"""The process of a worker: a server that tells its master how it is.

The master is told, in lines of JSON: that the handlers of signals are there ("guarded"), that the
server accepts ("ready"), why it could not start ("failed"), that it wants to be replaced
("recycle"). The end of the line is the end of the master, and so of the worker.
"""

import faulthandler
import json
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from camshaft.config import Config
from camshaft.log_config import reopen_logs
from camshaft.master.plan import contents
from camshaft.master.signals import DUMP, HELD_BACK
from camshaft.master.table import (
    BEAT,
    CONNECTIONS,
    LAG,
    MEMORY,
    MOST_LAG,
    READY,
    REQUESTS,
    STATE,
    STOPPING,
    TASKS,
    Table,
)
from camshaft.server.budget import pools
from camshaft.server.serve import run_server
from camshaft.server.server import Server
from camshaft.settings import ConfigError

logger = logging.getLogger("uvicorn.error")

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Seconds between two beats of the loop: at most this, and several while it may be blocked.
_BEAT = 1.0
_BEATS = 4


class Line:
    """The worker's end of its line to the master."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def tell(self, **what: Any) -> None:
        """Tell the master something; nothing if it is gone."""
        try:
            self._socket.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            pass

    def fileno(self) -> int:
        return self._socket.fileno()


class WorkerServer(Server):
    """A server that beats, and leaves it to its master when it ends."""

    def __init__(self, config: Config, line: Line, row: memoryview, blocked: float) -> None:
        super().__init__(config)
        self._line = line
        self._row = row
        self._interval = min(_BEAT, blocked / _BEATS) if blocked else _BEAT
        self._due = 0.0

    def other_signals(self) -> dict[signal.Signals, Callable[[], None]]:
        # SIGINT and SIGHUP are the master's: a terminal sends them to every process there is.
        return {
            signal.SIGQUIT: self._quit,
            signal.SIGHUP: _nothing,
            signal.SIGUSR1: reopen_logs,
        }

    def handle_exit(self, sig: signal.Signals, frame: object = None) -> None:
        # Not raised again at the end: who has sent it waits for the process, not for its status.
        if sig == signal.SIGTERM:
            self.should_exit = True

    def _quit(self) -> None:
        self.should_exit = True
        self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        assert self._loop is not None
        self._loop.add_reader(self._line.fileno(), self._master_ended)
        self._due = self._loop.time()
        self._beat()
        if self._row[STATE] != STOPPING:
            self._row[STATE] = READY
        if self.config.database_budget is not None:
            found = pools()
            self._line.tell(pools=[found.count, found.connections])
        self._line.tell(state="ready")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._row[STATE] = STOPPING
        try:
            await super().shutdown(sockets)
        finally:
            self.count()

    def _master_ended(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._line.fileno())
        logger.error("The parent process is gone, exiting.")
        self.should_exit = True

    def _beat(self) -> None:
        """Write down that the loop runs, and how the worker is."""
        assert self._loop is not None
        row = self._row
        late = max(0, int((self._loop.time() - self._due) * 1e9))
        row[LAG] = late
        row[MOST_LAG] = max(late, row[MOST_LAG])
        row[MEMORY] = resident_bytes()
        self.count()
        row[BEAT] = time.monotonic_ns()
        self._due = self._loop.time() + self._interval
        self._loop.call_at(self._due, self._beat)

    def count(self) -> None:
        """Write down what the server has counted."""
        row = self._row
        state = self.server_state
        row[CONNECTIONS] = len(state.connections)
        row[TASKS] = len(state.tasks)
        row[REQUESTS] = state.total_requests

    def _max_requests_answered(self) -> None:
        self._line.tell(recycle=f"it has answered {self.limit_max_requests} requests")


def resident_bytes() -> int:
    """Return how much memory the process has in use; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _nothing() -> None:
    """Handle a signal that is not meant for a worker."""


def main(task: str) -> None:
    """Be a worker in a process of its own. Exits with the server's status."""
    told = json.loads(task)
    sys.argv = told["argv"]
    settings = contents(told["settings"])
    os.close(told["settings"])
    for name in ("table", "line", "stacks"):
        os.set_inheritable(told[name], False)
    for descriptor in told["listeners"]:
        os.set_inheritable(descriptor, False)
    run(told, settings)


def run(told: dict[str, Any], pickled: bytes) -> None:
    """Be a worker: `told` is what Worker.start says, `pickled` the arguments of serve().

    Returns when the server has ended; exits with another status than 0 if it could not start.
    """
    line = Line(told["line"])
    faulthandler.enable(told["stacks"])
    faulthandler.register(DUMP, told["stacks"])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # Not SIG_IGN, which the processes that the application starts would inherit. What opens
        # no log yet has none to reopen.
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    line.tell(state="guarded")
    row = Table(told["table"]).row(told["number"])
    try:
        settings = pickle.loads(pickled)
        app = settings.pop("app")
        app_dir = settings.pop("app_dir", None)
        if app_dir is not None:
            sys.path.insert(0, os.fspath(app_dir))
        config = Config(app, **settings)
        server = WorkerServer(config, line, row, told["blocked"])
        sockets = [socket.socket(fileno=number) for number in told["listeners"]]
        run_server(config, sockets, server)
    except ConfigError as error:
        line.tell(failed=str(error))
        sys.exit(2)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            line.tell(failed=f"{type(error).__name__}: {error}")
        raise
