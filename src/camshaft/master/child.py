# SPDX-License-Identifier: MIT
"""The process of a worker: a server that tells its master how it is.

The master is told, in lines of JSON: that the handlers of signals are there ("guarded"), that the
server accepts ("ready"), why it could not start ("failed"), that it wants to be replaced
("recycle"). The end of the line is the end of the master, and so of the worker.
"""

import asyncio
import faulthandler
import fcntl
import json
import logging
import os
import pickle
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from camshaft import _core
from camshaft.config import Config
from camshaft.log_config import reopen_logs
from camshaft.loop.event_loop import EventLoop
from camshaft.lost_lines import lost_lines
from camshaft.master.plan import contents
from camshaft.master.signals import DUMP, HELD_BACK
from camshaft.master.table import (
    BEAT,
    CONNECTIONS,
    LAG,
    LOST,
    MEMORY,
    MOST_LAG,
    OTHERS,
    PID,
    READY,
    REQUESTS,
    STATE,
    STOPPING,
    TASKS,
    Table,
)
from camshaft.server.budget import pools
from camshaft.server.metrics import Counted, Metrics
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

    def end_with_master(self, wanted: bool) -> None:
        """Have SIGIO, which nobody handles, end the process when the line's other end is closed.

        For as long as no loop watches the line: an import may take its time.
        """
        descriptor = self._socket.fileno()
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        flags = flags | os.O_ASYNC if wanted else flags & ~os.O_ASYNC
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        if wanted and select.select([descriptor], [], [], 0)[0]:
            sys.exit(1)  # it is closed already

    def fileno(self) -> int:
        return self._socket.fileno()


class WorkerServer(Server):
    """A server that beats, and leaves it to its master when it ends."""

    def __init__(
        self, config: Config, line: Line, table: Table, number: int, blocked: float
    ) -> None:
        super().__init__(config)
        self._line = line
        self._row = table.row(number)
        self._table = table
        self._number = number
        self._metrics_sockets: list[socket.socket] | None = None
        self._share = _core.Share(table.memory, number, self._connections)
        self._interval = min(_BEAT, blocked / _BEATS) if blocked else _BEAT
        self._due = 0.0
        self._too_large = False

    def other_signals(self) -> dict[signal.Signals, Callable[[], None]]:
        # SIGINT and SIGHUP are the master's: a terminal sends them to every process there is.
        return {
            signal.SIGQUIT: self._quit,
            signal.SIGHUP: _nothing,
            signal.SIGUSR1: reopen_logs,
        }

    def make_metrics(self, place: str) -> Metrics:
        return Metrics(place, self._others, self._metrics_sockets)

    def _others(self) -> dict[int, Counted]:
        """Return what the other workers have counted, a second ago at most."""
        found = {}
        for number in self._table.ready():
            note = self._table.read(number) if number != self._number else None
            if note is not None:
                found[int(self._table.row(number)[PID])] = json.loads(note)
        return found

    def handle_exit(self, sig: signal.Signals, frame: object = None) -> None:
        # Not raised again at the end: who has sent it waits for the process, not for its status.
        if sig == signal.SIGTERM:
            self.should_exit = True

    def _quit(self) -> None:
        self.should_exit = True
        self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop: Any = asyncio.get_running_loop()
        if isinstance(loop, EventLoop):
            # Others take a connection whenever they see one.
            for sock in sockets or ():
                loop._shares[sock.fileno()] = self._share
        await super().startup(sockets)
        if not self.started:
            return
        assert self._loop is not None
        self._loop.add_reader(self._line.fileno(), self._master_ended)
        self._line.end_with_master(False)
        if self._row[STATE] != STOPPING:
            self._row[STATE] = READY
        if self.config.database_budget is not None:
            found = pools()
            self._line.tell(pools=[found.count, found.connections])
        # First of all: what a beat may ask for is only heeded from a worker that serves.
        self._line.tell(state="ready")
        self._due = self._loop.time()
        self._beat()
        lifetime = self.config.limit_worker_lifetime
        if lifetime is not None:
            reason = f"it has lived for {lifetime:g} s"
            self._loop.call_later(lifetime, lambda: self._line.tell(recycle=reason))

    @property
    def _patience(self) -> float:
        # Nobody waits for its end, and an idle client is ended when it would have been anyway.
        usual = super()._patience
        kept = usual > 0 and self._row[OTHERS]
        return max(usual, self.config.timeout_keep_alive) if kept else usual

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
        self._look_at_memory(row[MEMORY])
        self.count()
        counted = self._metrics.counted() if self._metrics is not None else None
        if counted is not None:
            self._table.write(self._number, json.dumps(counted).encode())
        row[BEAT] = time.monotonic_ns()
        self._due = self._loop.time() + self._interval
        self._loop.call_at(self._due, self._beat)

    def _look_at_memory(self, used: int) -> None:
        limit = self.config.limit_worker_memory
        if limit is not None and used > limit * 2**20 and not self._too_large:
            self._too_large = True
            self._line.tell(recycle=f"it uses {used / 2**20:.0f} MiB of memory")

    def _connections(self) -> int:
        return len(self.server_state.connections)

    def count(self) -> None:
        """Write down what the server has counted."""
        row = self._row
        state = self.server_state
        row[CONNECTIONS] = len(state.connections)
        row[TASKS] = len(state.tasks)
        row[REQUESTS] = state.total_requests
        row[LOST] = lost_lines() + getattr(self.http, "access_log_dropped", 0)

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
    for descriptor in (*told["listeners"], *told["metrics"]):
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
    line.end_with_master(True)
    line.tell(state="guarded")
    table = Table(told["table"])
    try:
        settings = pickle.loads(pickled)
        app = settings.pop("app")
        app_dir = settings.pop("app_dir", None)
        if app_dir is not None:
            sys.path.insert(0, os.fspath(app_dir))
        config = Config(app, **settings)
        if config.worker_affinity:
            processors = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {processors[told["seat"] % len(processors)]})
        server = WorkerServer(config, line, table, told["number"], told["blocked"])
        if told["metrics"]:
            server._metrics_sockets = [socket.socket(fileno=each) for each in told["metrics"]]
        sockets = [socket.socket(fileno=number) for number in told["listeners"]]
        run_server(config, sockets, server)
    except ConfigError as error:
        line.tell(failed=str(error))
        sys.exit(2)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            line.tell(failed=f"{type(error).__name__}: {error}")
        raise
