# SPDX-License-Identifier: MIT
"""The master: keeps so many workers serving, through reloads, crashes and hangs, until it is ended.

Everything that happens (a signal, a word of a worker, its end, a time that has come) changes what
is written down here, and then `_settle` compares that with what is wanted, and starts or stops
workers. It waits in one place and ticks nowhere.

The first worker starts alone. Only when it serves do the others follow: what is wrong with the
application is then said once. Lines and exit codes are uvicorn's where it has them.
"""

import gc
import logging
import os
import selectors
import signal
import time
from typing import Any

from camshaft.logging import paint
from camshaft.master import table as columns
from camshaft.master.health import Health
from camshaft.master.plan import Plan
from camshaft.master.processors import MAX_WORKERS
from camshaft.master.restarts import Restarts
from camshaft.master.table import READY, STARTING, STOPPING, Table
from camshaft.master.timers import Timers
from camshaft.master.wakeup import Wakeup
from camshaft.master.worker import Worker

logger = logging.getLogger("uvicorn.error")

# As uvicorn's: the server could not start.
_STARTUP_FAILURE = 3

# Seconds that a worker gets beyond timeout_graceful_shutdown, for its application's shutdown; then
# from each way of being ended to the next, less gentle one.
_GRACE = 10.0
_LESS_GENTLE = 5.0

_RELOAD = "the reload"
"""Why a worker is stale whose code and configuration are older than those on disk."""

_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCHLD,
)


class Master:
    """The workers of one plan. Of the main thread; `run` returns the process's exit status."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.size = plan.workers
        self.workers: list[Worker] = []
        self.table = Table()
        self.timers = Timers()
        self.ending = False
        self._status = 0
        self._forced = False
        self._generation = 0
        # Whether all the workers of the start have served once: from then on a failure is no
        # reason to end, as long as somebody serves.
        self._complete = False
        self._restarts = Restarts(self.timers, self._settle)
        self._health = Health(self)
        self._selector = selectors.DefaultSelector()
        self._wakeup = Wakeup(_SIGNALS)

    def run(self) -> int:
        """Serve until a signal ends it, or nobody can."""
        pid = os.getpid()
        try:
            with self._wakeup:
                self._selector.register(self._wakeup.descriptor, selectors.EVENT_READ)
                logger.info(
                    "Started parent process [%d]",
                    pid,
                    extra={"color_message": f"Started parent process [{paint('%d', 'cyan')}]"},
                )
                if self.plan.preload:
                    # What is there by now stays shared: the collector writes into what it looks at.
                    gc.freeze()
                self._settle()
                while self.workers or not self.ending:
                    self._turn()
        finally:
            self._close()
        logger.info(
            "Stopping parent process [%d]",
            pid,
            extra={"color_message": f"Stopping parent process [{paint('%d', 'cyan')}]"},
        )
        return self._status

    # ---- waiting ----

    def _turn(self) -> None:
        for key, _ in self._selector.select(self.timers.wait()):
            if key.data is not None:
                self._hear(key.data)
        for number in self._wakeup.read():
            self._handle(number)
        self.timers.run()

    def _hear(self, worker: Worker) -> None:
        said = worker.read()
        if said is None:
            # It has ended, or is about to: SIGCHLD tells.
            self._selector.unregister(worker)
            worker.hang_up()
            return
        for each in said:
            self._heard(worker, each)

    def _heard(self, worker: Worker, said: dict[str, Any]) -> None:
        if said.get("state") == "guarded":
            worker.guarded = True
        elif said.get("state") == "ready":
            self._serves(worker)
        elif "failed" in said:
            worker.failure = said["failed"]
        elif "recycle" in said:
            self.replace(worker, said["recycle"])

    def _serves(self, worker: Worker) -> None:
        worker.served_since = time.monotonic()
        if worker.state == STOPPING:
            return
        worker.state = READY
        if not self._complete:
            self._complete = len(self._ready()) >= self.size
        self._settle()

    def struck(self, worker: Worker, reason: str, *, starting: bool) -> None:
        """Go on without a worker that is being ended because it hangs."""
        if starting:
            worker.failure = reason
            self._failed_to_start(worker, 0)
        else:
            self.timers.after(0, self._settle)

    # ---- signals ----

    def _handle(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self.ending:
                self.stop(quick=True)
            else:
                logger.info("Received %s, exiting.", number.name)
                self.stop()
        elif number == signal.SIGQUIT:
            logger.info("Received SIGQUIT, exiting at once.")
            self.stop(quick=True)
        elif self.ending:
            return
        elif number == signal.SIGHUP:
            logger.info("Received SIGHUP, restarting processes.")
            self.reload()
        elif number == signal.SIGTTIN:
            logger.info("Received SIGTTIN, increasing the number of processes.")
            self.scale(self.size + 1)
        elif number == signal.SIGTTOU:
            logger.info("Received SIGTTOU, decreasing the number of processes.")
            if self.size <= 1:
                logger.info(
                    "Already reached one process, cannot decrease the number of processes anymore."
                )
            else:
                self.scale(self.size - 1)

    def stop(self, *, quick: bool = False, status: int = 0) -> None:
        """End: gracefully, or `quick`, without waiting for requests."""
        if not self.ending:
            self.ending = True
            self._status = status
            # From here on the workers alone listen, and each of them answers whoever is in its
            # queue before it stops; a connection made later is refused, not left in a queue.
            self._close_listeners()
        self._forced = self._forced or quick
        for worker in list(self.workers):
            self._end(worker, quick=self._forced)

    def reload(self) -> None:
        """Have every worker replaced by a new one, one at a time, the new one serving first."""
        self._generation += 1
        for worker in list(self.workers):
            if worker.state == STARTING:
                # It serves nobody, and would be old when it does.
                self._end(worker)
            elif worker.state == READY:
                worker.stale = _RELOAD
        self._restarts.forget()
        self._settle()

    def scale(self, size: int) -> None:
        """Have so many workers from now on: at least one, at most MAX_WORKERS."""
        self.size = max(1, min(size, MAX_WORKERS))
        self._settle()

    def replace(self, worker: Worker, reason: str) -> None:
        """Have one worker replaced, when it is its turn. It serves until another does."""
        if worker.state == READY and worker.stale is None:
            logger.info("Worker [%d] is to be replaced: %s.", worker.pid, reason)
            worker.stale = reason
            self._settle()

    # ---- workers ----

    def _ready(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == READY]

    def _starting(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == STARTING]

    def _settle(self) -> None:
        """Start and stop workers until there are those that are wanted."""
        if self.ending:
            return
        starting, ready = self._starting(), self._ready()
        stale = [worker for worker in ready if worker.stale]
        missing = self.size - len(starting) - len(ready)
        if missing > 0:
            if not self._complete and not ready:
                # The first, alone.
                missing = 0 if starting else 1
            for _ in range(missing):
                if not self._start():
                    break
        elif stale and not starting and missing == 0:
            self._start()
        # Too many: first those that are to go anyway, then those that serve nobody yet, then the
        # oldest.
        surplus = len(ready) - self.size
        for worker in (stale + [worker for worker in ready if not worker.stale])[: max(0, surplus)]:
            self._end(worker)
        if not stale:
            for worker in starting[: max(0, -missing - max(0, surplus))]:
                self._end(worker)
        self._health.look()

    def _start(self) -> bool:
        """Start a worker, unless it has to wait for its time; False if none was."""
        if not self._restarts.may_start():
            return False
        number = self.table.take()
        worker = Worker(number, self.table.row(number), self._generation)
        try:
            worker.start(self.plan, self.table, self._fork if self.plan.preload else None)
        except OSError as error:
            worker.close()
            self.table.free(number)
            logger.error("Cannot start a worker: %s.", error.strerror)
            if not self._ready() and not self._complete:
                self.stop(status=_STARTUP_FAILURE)
            else:
                self._restarts.failed()
            return False
        self.workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ, worker)
        return True

    def _fork(self, task: dict[str, Any]) -> None:
        """Go on as a worker, in a forked child."""
        from camshaft.master import child

        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._wakeup.close()
        self._selector.close()
        for worker in self.workers:
            worker.close()
        child.run(task, self.plan.settings)

    def _end(self, worker: Worker, *, quick: bool = False) -> None:
        """Tell a worker to end, and see to it that it does."""
        first = worker.state != STOPPING
        worker.state = STOPPING
        if not first and not quick:
            return
        if worker.patience is not None:
            worker.patience.cancel()
            worker.patience = None
        if worker.struck:
            return
        if quick:
            worker.send(signal.SIGQUIT)
            self._then(worker, _LESS_GENTLE, signal.SIGKILL)
            return
        worker.send(signal.SIGTERM)
        if self.plan.graceful is not None:
            self._then(worker, self.plan.graceful + _GRACE, signal.SIGQUIT, signal.SIGKILL)

    def _then(self, worker: Worker, seconds: float, *numbers: signal.Signals) -> None:
        """Send a signal in so many seconds, and then the next."""
        first, *more = numbers

        def send() -> None:
            logger.warning("Worker [%d] does not end, sending %s.", worker.pid, first.name)
            worker.send(first)
            if more:
                self._then(worker, _LESS_GENTLE, *more)

        worker.patience = self.timers.after(seconds, send)

    def _reap(self) -> None:
        """See which workers have ended."""
        for worker in list(self.workers):
            status = worker.poll()
            if status is not None:
                self._ended(worker, status)
        if os.getpid() == 1:
            _reap_orphans({worker.pid for worker in self.workers})
        self._settle()

    def _ended(self, worker: Worker, status: int) -> None:
        # What it has said at last.
        for said in worker.read() or ():
            self._heard(worker, said)
        state = worker.state
        if worker.patience is not None:
            worker.patience.cancel()
        self.workers.remove(worker)
        if worker.fileno() >= 0:
            self._selector.unregister(worker)
        row = worker.row
        counted = row[columns.REQUESTS], row[columns.MOST_LAG] / 1e9, row[columns.MEMORY] / 2**20
        if state == STARTING:
            self._failed_to_start(worker, status)
        elif state == READY:
            logger.error("Worker [%d] died: %s.%s", worker.pid, _shown(status), _stacks(worker))
            self._restarts.crashed(worker.served_since, status)
        elif worker.served_since is not None:
            logger.info(
                "Worker [%d] ended: %d requests, loop late by at most %.3f s, %.0f MiB.",
                worker.pid,
                *counted,
            )
        worker.close()
        self.table.free(worker.number)

    def _failed_to_start(self, worker: Worker, status: int) -> None:
        reason = worker.failure or _shown(status)
        if not self._complete or not self._ready():
            logger.error(
                "Child process [%d] failed to start (%s), stopping the parent process.",
                worker.pid,
                reason,
            )
            self.stop(status=status if status > 0 else _STARTUP_FAILURE)
            return
        reloading = False
        for other in self.workers:
            if other.stale == _RELOAD:
                other.stale = None
                reloading = True
        if reloading:
            logger.error(
                "New child process [%d] failed to start (%s); the workers there are go on, "
                "and the restart is given up.",
                worker.pid,
                reason,
            )
            return
        logger.error("Child process [%d] failed to start (%s).", worker.pid, reason)
        self._restarts.failed()

    # ---- the end ----

    def _close_listeners(self) -> None:
        for listener in self.plan.listeners:
            listener.close()

    def _close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for worker in self.workers:
            worker.send(signal.SIGKILL)
        for worker in self.workers:
            while worker.poll() is None:
                time.sleep(0.01)
            worker.close()
        self.workers = []
        self._close_listeners()
        for listener in self.plan.listeners:
            listener.remove_file()
        self._selector.close()


def _shown(status: int) -> str:
    """Return how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _stacks(worker: Worker) -> str:
    """Return what the worker has written as it crashed, on lines of its own."""
    text = worker.stacks()
    return f"\n{text}" if text else ""


def _reap_orphans(ours: set[int]) -> None:
    """As process 1 of a container, bury what others have left. `ours` are waited for elsewhere."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in ours:
            return
        os.waitpid(found.si_pid, os.WNOHANG)
