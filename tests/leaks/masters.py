# SPDX-License-Identifier: MIT
"""Scenarios of a master: workers that come and go, in its own process; see counting_master."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.leaks.counting_master import COUNTS
from tests.leaks.measure import Elsewhere
from tests.leaks.scenario import Run, Table

SCENARIOS: Table = {}

LIMIT = 120.0
"""Seconds for an answer, which may have to wait for several interpreters to start."""


class Commands:
    """A connection to the control socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LIMIT)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"command": command, **more}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def workers(self, count: int) -> list[int]:
        """Wait until so many workers serve and there are no others; return their processes."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found = self.ask("status")["workers"]
            if [worker["state"] for worker in found] == ["serving"] * count:
                return [worker["pid"] for worker in found]
            time.sleep(0.01)
        raise TimeoutError(f"not {count} workers that serve")


def commanded(path: Path, command: str, **more: Any) -> dict[str, Any]:
    """Ask as `camshaft ctl` does, on a connection for this."""
    with contextlib.closing(Commands(path)) as once:
        return once.ask(command, **more)


@contextlib.contextmanager
def master(preload: bool) -> Iterator[Run]:
    """A round is a reload, a worker more and fewer, one that is killed, and some commands."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as directory, ours:
        path = Path(directory, "control")
        settings = {
            "workers": 2,
            "preload": preload,
            "port": 0,
            "log_level": "critical",
            "control_socket": str(path),
        }
        arguments = [str(theirs.fileno()), json.dumps(settings)]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.leaks.counting_master", *arguments],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONWARNINGS": "ignore::ResourceWarning"},
            )
        try:
            end = time.monotonic() + LIMIT
            while not path.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the master has not started: {process.poll()}")
                time.sleep(0.01)
            # Kept over the rounds: one that ends is noticed some time later.
            watching = Commands(path)

            def round_of_all() -> None:
                for command, more in (
                    ("reload", {}),
                    ("scale", {"workers": 3}),
                    ("scale", {"workers": 2}),
                    ("scale", {"workers": 0}),
                    ("nonsense", {}),
                ):
                    commanded(path, command, **more)
                # One that leaves before it is answered.
                with contextlib.closing(Commands(path)) as gone:
                    gone._socket.sendall(b'{"command": "reload"}\n')
                killed, _ = watching.workers(2)
                os.kill(killed, signal.SIGKILL)
                while killed in watching.workers(2):
                    time.sleep(0.01)

            def count() -> tuple[int, ...]:
                ours.sendall(b"?")
                return COUNTS.unpack(ours.recv(COUNTS.size, socket.MSG_WAITALL))

            watching.workers(2)
            yield Elsewhere(round_of_all, count)
            watching.close()
            commanded(path, "stop")
        finally:
            try:
                process.wait(LIMIT)
            finally:
                process.kill()
                process.wait()


SCENARIOS["masters: workers that are new interpreters"] = lambda: master(preload=False)
SCENARIOS["masters: workers that are forked"] = lambda: master(preload=True)
