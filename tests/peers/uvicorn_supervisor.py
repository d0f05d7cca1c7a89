# SPDX-License-Identifier: MIT
"""Our master of workers by the methods of uvicorn's Multiprocess, for uvicorn's own tests of it.

uvicorn's supervisor lives in the process that makes it, where its tests put signals into a list and
call its steps one by one. Ours is a process: what is put into the list is sent to it, and each step
waits until it has come to what that wants, as `camshaft ctl status` tells. Which workers there are
is asked of it, too, and so answered only when all that was asked for is done.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

# Seconds: less than the suite's limit of a test.
_LIMIT = 15.0


class Process:
    """A worker; equal to another of the same number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and other.pid == self.pid

    def __hash__(self) -> int:
        return hash(self.pid)

    def is_alive(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    # Whether a worker is ready is asked by nobody here: the master knows.
    is_ready = is_alive

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def join(self) -> None:
        _wait(lambda: not self.is_alive(), f"the end of {self.pid}")


class Multiprocess:
    """A master in a process of its own; `signal_queue` is sent to it."""

    def __init__(self, config: Any, sockets: list[Any]) -> None:
        assert sockets == []
        app = config.app
        self.app = app if isinstance(app, str) else f"{app.__module__}:{app.__qualname__}"
        self.workers = config.workers
        self.signal_queue: list[int] = []
        self.should_exit = threading.Event()
        # In the suite's own, which is removed with it.
        self.directory = tempfile.mkdtemp(dir=os.getcwd())
        self.control = f"{self.directory}/control"
        self.master: subprocess.Popen[bytes] | None = None
        self.started = threading.Event()

    def run(self) -> None:
        """Serve until a signal, or until it cannot."""
        self._start()
        assert self.master is not None
        while self.master.poll() is None:
            self._forward()
            time.sleep(0.02)
        self.should_exit.set()

    def init_processes(self) -> None:
        self._start()
        self._settled()

    def handle_signals(self) -> None:
        """Send what waits, and wait until the master has done what it wants."""
        assert self.master is not None
        before = self._status()["master"]["reloads"]
        reloads = before + self.signal_queue.count(signal.SIGHUP)
        self._forward()
        _wait(lambda: self._status()["master"]["reloads"] == reloads, "the signal")
        self._settled()

    def keep_subprocess_alive(self) -> None:
        self._settled()

    def terminate_all(self) -> None:
        assert self.master is not None
        self.master.terminate()

    def join_all(self) -> None:
        """Wait for the end of the master, who waits for the workers'."""
        self.started.wait(_LIMIT)
        assert self.master is not None
        self.master.wait(_LIMIT)

    @property
    def processes(self) -> list[Process]:
        self.started.wait(_LIMIT)
        return [Process(worker["pid"]) for worker in self._settled()]

    def _start(self) -> None:
        command = [sys.executable, "-m", "camshaft", self.app, "--port", "0"]
        command += ["--workers", str(self.workers), "--control-socket", self.control]
        self.master = subprocess.Popen(command, cwd=os.getcwd())
        _wait(lambda: os.path.exists(self.control) or self._ended(), "the master's control socket")
        self.started.set()

    def _ended(self) -> bool:
        assert self.master is not None
        return self.master.poll() is not None

    def _forward(self) -> None:
        assert self.master is not None
        # It handles signals from the moment on in which it answers.
        if self.signal_queue and self._status():
            self.master.send_signal(self.signal_queue.pop(0))

    def _status(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "camshaft", "ctl", "--socket", self.control]
        told = subprocess.run([*command, "status", "--json"], capture_output=True)
        return json.loads(told.stdout) if told.returncode == 0 else {}

    def _settled(self) -> list[dict[str, Any]]:
        """Wait until nothing waits to be sent or done; return the workers that serve."""
        found: list[dict[str, Any]] = []

        def settled() -> bool:
            nonlocal found
            if self.signal_queue:
                return False
            state = self._status()
            if not state:
                return self._ended()
            found = [each for each in state["workers"] if each["state"] == "serving"]
            alive = all(Process(each["pid"]).is_alive() for each in found)
            old = any(each["to_be_replaced"] for each in found)
            return alive and not old and len(found) == state["master"]["workers"]

        _wait(settled, "the workers that are wanted")
        return found


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no sign of {what}")
        time.sleep(0.02)
