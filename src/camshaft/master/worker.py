# SPDX-License-Identifier: MIT
"""A worker as its master sees it: a process, a line to it, and its row of the table."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from camshaft.master import table as columns
from camshaft.master.plan import Plan, contents, memory_file
from camshaft.master.signals import HELD_BACK
from camshaft.master.table import Table
from camshaft.master.timers import Timer


class Worker:
    """One process; `number` is that of its row, `seat` its place among
    those that serve, which its successor takes. `stale` tells why it is to be replaced, if it is.

    `failure` is what the worker itself has said of why it could not start.
    """

    def __init__(self, number: int, seat: int, row: memoryview) -> None:
        self.number = number
        self.seat = seat
        self.row = row
        self.pid = 0
        self.born = time.monotonic()
        self.served_since: float | None = None
        self.stale: str | None = None
        self.struck = False
        # Whether it seemed to hang when it was looked at last.
        self.doubted = False
        self.guarded = False
        self.failure: str | None = None
        self.patience: Timer | None = None
        self._process: subprocess.Popen[bytes] | _Forked | None = None
        self._line: socket.socket | None = None
        self._received = b""
        self._stacks = -1

    @property
    def state(self) -> int:
        """STARTING, READY or STOPPING; FREE once it has ended."""
        return int(self.row[columns.STATE])

    @state.setter
    def state(self, state: int) -> None:
        self.row[columns.STATE] = state

    def start(self, plan: Plan, table: Table, fork: Callable[..., Any] | None) -> None:
        """Start the process. `fork` is called in the child instead of a new interpreter, if given.

        Raises OSError if the system has no room for it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._line = ours
        settings = -1
        with theirs:
            self._stacks = memory_file("camshaft-stacks")
            listeners = [number for each in plan.listeners for number in each.descriptors]
            metrics = plan.metrics.descriptors if plan.metrics else []
            task = {
                "number": self.number,
                "seat": self.seat,
                "line": theirs.fileno(),
                "table": table.descriptor,
                "stacks": self._stacks,
                "listeners": listeners,
                "metrics": metrics,
                "blocked": plan.blocked,
            }
            before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
            try:
                if fork is not None:

                    def go_on() -> None:
                        # The master's end: a copy of it would keep the line from ever ending.
                        ours.close()
                        fork(task)

                    self._process = _Forked(go_on)
                else:
                    settings = memory_file("camshaft-settings", plan.settings)
                    task |= {"settings": settings, "argv": plan.interpreter.argv}
                    kept = [theirs.fileno(), table.descriptor, self._stacks, settings]
                    kept += [*listeners, *metrics]
                    self._process = subprocess.Popen(
                        plan.interpreter.calls(
                            "camshaft.master.child",
                            json.dumps(task),
                            f"worker {plan.app}",
                        ),
                        env=plan.interpreter.environment,
                        pass_fds=kept,
                    )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                if settings >= 0:
                    os.close(settings)
        self.pid = self._process.pid
        self.row[columns.PID] = self.pid

    def fileno(self) -> int:
        """The descriptor of the line, to be watched; -1 once it is closed."""
        return self._line.fileno() if self._line is not None else -1

    def read(self) -> list[dict[str, Any]] | None:
        """Return what the worker has said since; None once it has hung up."""
        if self._line is None:
            return None
        try:
            data = self._line.recv(65536)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, and wait for that; nothing if it was not started."""
        self.send(signal.SIGKILL)
        while self._process is not None and self._process.poll() is None:
            time.sleep(0.01)

    def poll(self) -> int | None:
        """Return the exit status once it has ended, a signal's number negative; else None."""
        assert self._process is not None
        return self._process.poll()

    def stacks(self) -> str:
        """Return the Python stacks that it has written, when asked for them or as it crashed."""
        return contents(self._stacks).decode("utf-8", "backslashreplace").strip()

    def hang_up(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def close(self) -> None:
        """Close what there is of it on this side."""
        self.hang_up()
        if self._stacks >= 0:
            os.close(self._stacks)
            self._stacks = -1


class _Forked:
    """A child that goes on with a copy of the master's memory; as subprocess.Popen to its user."""

    def __init__(self, call: Callable[[], object]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                call()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                _leave(status)

    def poll(self) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it.
                self._status = 0
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _leave(status: int) -> None:
    """End a forked child: as an interpreter does, but not through the master's stack."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
