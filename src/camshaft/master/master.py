# SPDX-License-Identifier: MIT
"""The master: keeps so many workers serving, through reloads, crashes and hangs, until it is ended.

Everything that happens (a signal, a word of a worker, its end, a time that has come) changes what
is written down here, and then `_settle` compares that with what is wanted, and starts or stops
workers. It waits in one place and ticks nowhere.

The first worker starts alone. Only when it serves do the others follow: what is wrong with the
application is then said once. Lines and exit codes are uvicorn's where it has them.
"""

import errno
import functools
import gc
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from camshaft.log_config import reopen_logs
from camshaft.logging import paint
from camshaft.master import table as columns
from camshaft.master.control import Control
from camshaft.master.health import Health
from camshaft.master.plan import OpenListener, Plan
from camshaft.master.processors import MAX_WORKERS
from camshaft.master.restarts import Restarts
from camshaft.master.stagger import Stagger
from camshaft.master.table import READY, STARTING, STOPPING, Table
from camshaft.master.timers import Timers
from camshaft.master.upgrade import bequeath, environment_of, take_back
from camshaft.master.wakeup import Wakeup
from camshaft.master.worker import Worker
from camshaft.server.budget import Pools, exceeded
from camshaft.server.pidfile import PidfileError
from camshaft.systemd import Notifier

logger = logging.getLogger("uvicorn.error")

# As uvicorn's: the server could not start.
_STARTUP_FAILURE = 3

# Seconds that a worker gets beyond timeout_graceful_shutdown, for its application's shutdown; then
# from each way of being ended to the next, less gentle one.
_GRACE = 10.0
_LESS_GENTLE = 5.0

_RELOAD = "the reload"
"""Why a worker is stale whose code and configuration are older than those on disk."""

_FOR_NOW = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR}
"""Why the system does not start a process now, and may a moment later."""

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


Outcome = Callable[[str | None], None]
"""Is told how something went: None, or what failed."""


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
        # Whether all the workers of the start have served once: from then on a failure is no
        # reason to end, as long as somebody serves.
        self._complete = False
        self._restarts = Restarts(self.timers, self._settle)
        self._stagger = Stagger(plan.lifespan_stagger, self.timers, self._settle)
        self._health = Health(self)
        self.reloads = 0
        self._paused = False
        self._control: Control | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        # What it shares with the successor and with nobody else.
        self._shared: list[OpenListener] = []
        self._waiting: list[Outcome] = []
        self._waiting_for_upgrade: list[Outcome] = []
        self._notifier = Notifier(later=self.timers.after)
        # Whether systemd was told that this is a reload; it is to be told of its end.
        self._reloading = False
        self._warned: set[str] = set()
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
                if self.plan.control is not None:
                    (descriptor,) = self.plan.control.descriptors
                    self._control = Control(self, self._selector, descriptor)
                    self.plan.control.descriptors = []
                if self._notifier.watchdog is not None:
                    self._live()
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
                key.data()
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
        elif "pools" in said:
            self._check_budget(*said["pools"])

    def _serves(self, worker: Worker) -> None:
        worker.served_since = time.monotonic()
        if worker.state == STOPPING:
            return
        worker.state = READY
        if not self._complete and len(self._ready()) >= self.size:
            self._completed()
        self._settle()

    def _completed(self) -> None:
        """All serve for the first time: the master that this one comes after is not needed."""
        self._complete = True
        if self.plan.pidfile is not None:
            # An inherited one has been another's until now, who may have ended and removed it.
            try:
                self.plan.pidfile.take_back()
            except PidfileError as error:
                logger.error("Cannot write %s: %s.", self.plan.pidfile.path, error)
        self._notifier.ready()
        control, path = self.plan.control, self.plan.control_path
        if control is not None and control.path is not None and path is not None:
            try:
                os.rename(control.path, path)
                control.path = path
            except OSError as error:
                logger.error("Cannot move the control socket: %s.", error.strerror)
        if self.plan.replaces is not None and os.getppid() == self.plan.replaces:
            logger.info("Ending parent process [%d], which this one replaces.", self.plan.replaces)
            os.kill(self.plan.replaces, signal.SIGTERM)

    def struck(self, worker: Worker, reason: str, *, starting: bool) -> None:
        """Go on without a worker that is being ended because it hangs."""
        if starting:
            worker.failure = reason
            self._failed_to_start(worker, 0)
        else:
            self.timers.after(0, self._settle)

    def _check_budget(self, count: int, connections: float) -> None:
        """Warn, once, of the pools that a worker has made, if all workers' are too many."""
        if self.plan.database_budget is None:
            return
        fault = exceeded(Pools(count, connections), self.size, self.plan.database_budget)
        if fault is not None:
            self._warn(fault)

    def _warn(self, fault: str) -> None:
        if fault not in self._warned:
            self._warned.add(fault)
            logger.warning("%s", fault)

    def _live(self) -> None:
        """Tell systemd's watchdog that the master turns; it watches the workers' loops itself."""
        assert self._notifier.watchdog is not None
        self._notifier.alive()
        self.timers.after(self._notifier.watchdog / 2, self._live)

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
        elif number == signal.SIGUSR1:
            logger.info("Received SIGUSR1, reopening log files.")
            reopen_logs()
            for worker in self.workers:
                if worker.guarded:
                    worker.send(signal.SIGUSR1)
        elif self.ending:
            return
        elif number == signal.SIGUSR2:
            logger.info("Received SIGUSR2, starting another parent process.")
            self.upgrade(replace=False)
        elif number == signal.SIGWINCH:
            # Sent by terminals as well, when their size changes.
            if not _has_terminal():
                logger.info("Received SIGWINCH, stopping the workers.")
                self.pause()
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
            if self._successor is None:
                self._notifier.stopping()
            else:
                self._notifier.main_process(self._successor.pid)
            # From here on the workers alone listen, and each of them answers whoever is in its
            # queue before it stops; a connection made later is refused, not left in a queue.
            for listener in self._own_listeners():
                listener.turn_away()
            self._close_listeners()
            self._settled("the master is ending")
        self._forced = self._forced or quick
        for worker in list(self.workers):
            self._end(worker, quick=self._forced)

    def _has_predecessor(self) -> bool:
        """Whether the master before this one lives, and so goes on with what this one inherited."""
        predecessor = self.plan.inherited_from
        return predecessor is not None and os.getppid() == predecessor

    def _own_listeners(self) -> list[OpenListener]:
        """Return those that are not a predecessor's."""
        others = self._has_predecessor()
        return [each for each in self.plan.listeners if not (others and each.inherited)]

    def reload(self) -> None:
        """Have every worker replaced by a new one, one at a time, the new one serving first."""
        self.reloads += 1
        self._paused = False
        self._reloading = True
        self._notifier.reloading()
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
        self._paused = False
        self._settle()

    def pause(self) -> None:
        """Stop all workers, and start none until a reload or another number is asked for."""
        self._paused = True
        for worker in list(self.workers):
            self._end(worker)

    def upgrade(self, *, replace: bool) -> str | None:
        """Start another master with the command that this one was started with.

        It gets the listeners; with `replace` it ends this one when its workers serve. Returns what
        is in the way, which is also logged.
        """
        if self._successor is not None:
            logger.error("Parent process [%d] is there already.", self._successor.pid)
            return f"another master is there already, process {self._successor.pid}"
        value, kept = bequeath(self.plan, replace=replace)
        try:
            self._successor = subprocess.Popen(
                self.plan.interpreter.again, env=environment_of(self.plan, value), pass_fds=kept
            )
        except OSError as error:
            logger.error("Cannot start another parent process: %s.", error.strerror)
            return f"it cannot be started: {error.strerror}"
        self._shared = [listener for listener in self.plan.listeners if listener.alone]
        for listener in self._shared:
            listener.alone = False
        return None

    def _give_up_upgrade(self, status: int) -> None:
        """Go on alone: the new master has ended."""
        assert self._successor is not None
        logger.error(
            "Parent process [%d], which was to replace this one, ended: %s.",
            self._successor.pid,
            _shown(status),
        )
        self._successor = None
        for listener in self._shared:
            listener.alone = True
        if not self.ending:
            take_back(self.plan, self._control)
        self._upgraded("the new master could not start")

    def when_settled(self, call: Outcome) -> None:
        """Call something when there are the workers that are wanted: with None, or what failed."""
        self._waiting.append(call)
        self._settle()

    def when_upgraded(self, call: Outcome) -> None:
        """Call something when the upgrade is over: with None, or what failed."""
        self._waiting_for_upgrade.append(call)

    def _settled(self, error: str | None) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call(error)

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
        if self.ending or self._paused:
            return
        starting, ready = self._starting(), self._ready()
        stale = [worker for worker in ready if worker.stale]
        if self._reloading and not starting and not stale and len(ready) >= self.size:
            # Done, or given up.
            self._reloading = False
            self._notifier.ready()
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
            if worker.stale:
                # The next one's turn, whenever this one has come to its end.
                self.timers.after(0, self._settle)
        if not stale:
            for worker in starting[: max(0, -missing - max(0, surplus))]:
                self._end(worker)
        self._health.look()
        if missing == 0 and surplus <= 0 and not starting and not stale:
            self._settled(None)

    def _start(self) -> bool:
        """Start a worker, unless it has to wait for its time; False if none was."""
        if not self._restarts.may_start() or not self._stagger.may_start():
            return False
        number = self.table.take()
        if number is None:
            # The end of one is waited for, which calls _settle.
            self._warn(
                "There are too many workers that end: the next is started after one of them."
            )
            return False
        worker = Worker(number, self._free_seat(), self.table.row(number))
        try:
            worker.start(self.plan, self.table, self._fork if self.plan.preload else None)
            heard = functools.partial(self._hear, worker)
            self._selector.register(worker, selectors.EVENT_READ, heard)
        except OSError as error:
            worker.kill()
            worker.close()
            self.table.free(number)
            if not self._complete and not self._ready() and error.errno not in _FOR_NOW:
                logger.error("Cannot start a worker: %s.", error.strerror)
                self.stop(status=_STARTUP_FAILURE)
            else:
                pause = self._restarts.refused()
                logger.error(
                    "Cannot start a worker: %s. It is tried again in %g s.", error.strerror, pause
                )
            return False
        self._stagger.started()
        self.workers.append(worker)
        return True

    def _free_seat(self) -> int:
        """Return the first place that no worker has, or that of one to be replaced."""
        taken = {worker.seat for worker in self.workers if worker.state != STOPPING}
        stale = sorted(worker.seat for worker in self.workers if worker.stale)
        free = [seat for seat in range(self.size) if seat not in taken]
        return (free or stale or [len(taken)])[0]

    def _fork(self, task: dict[str, Any]) -> None:
        """Go on as a worker, in a forked child."""
        from camshaft.master import child

        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._wakeup.close()
        self._selector.close()
        if self._control is not None:
            self._control.close_in_child()
        if self.plan.pidfile is not None:
            # The lock is the master's, and ends with it.
            os.close(self.plan.pidfile.descriptor)
        for worker in self.workers:
            worker.close()
        child.run(task, self.plan.settings)

    def _end(self, worker: Worker, *, quick: bool = False) -> None:
        """Tell a worker to end, and see to it that it does."""
        first = worker.state != STOPPING
        worker.state = STOPPING
        if worker.struck or (not first and not quick):
            # One that is struck is ended soon, by what its patience is set to.
            return
        if worker.patience is not None:
            worker.patience.cancel()
            worker.patience = None
        if quick:
            worker.send(signal.SIGQUIT)
            self._then(worker, _LESS_GENTLE, signal.SIGKILL)
            return
        worker.row[columns.OTHERS] = not self.ending or self._successor is not None
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
        if self._successor is not None and (status := self._successor.poll()) is not None:
            self._give_up_upgrade(status)
        if os.getpid() == 1:
            ours = {worker.pid for worker in self.workers}
            _reap_orphans(ours | ({self._successor.pid} if self._successor else set()))
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
            self._settled(f"the new worker failed to start ({reason})")
            return
        logger.error("Child process [%d] failed to start (%s).", worker.pid, reason)
        self._restarts.failed()

    # ---- the end ----

    def _close_listeners(self) -> None:
        for listener in self.plan.listeners:
            listener.close()
        if self.plan.metrics is not None:
            self.plan.metrics.close()

    def _close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for worker in self.workers:
            worker.send(signal.SIGKILL)
        for worker in self.workers:
            worker.kill()
            worker.close()
        self.workers = []
        self._close_listeners()
        self._upgraded(None)
        if self._control is not None:
            self._control.close()
        if self.plan.control is not None:
            self.plan.control.remove_file()
        # The files of Unix sockets are the successor's from now on, or the predecessor's again.
        if self._successor is None:
            for listener in self._own_listeners():
                listener.remove_file()
        if self.plan.pidfile is not None:
            if self._has_predecessor():
                self.plan.pidfile.leave()
            else:
                self.plan.pidfile.remove()
        self._selector.close()
        self._notifier.close()

    def _upgraded(self, error: str | None) -> None:
        waiting, self._waiting_for_upgrade = self._waiting_for_upgrade, []
        for call in waiting:
            call(error)


def _has_terminal() -> bool:
    """Whether a terminal may send signals to this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


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
