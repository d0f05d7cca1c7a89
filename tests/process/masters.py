# SPDX-License-Identifier: MIT
"""A master and its workers as processes; whoever leaves one behind fails its test."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from command_process import LIMIT, Serving, run_command

APPS = Path(__file__).resolve().parent / "apps"


def is_running(pid: int) -> bool:
    """Whether a process has not ended; one that is dead and not yet waited for has."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def parent(pid: int) -> int:
    """The process that has started a process."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                state, parent, *_ = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if entry.isdecimal() and int(parent) == pid and state not in "ZX":
            found.append(int(entry))
    return found


def log_config(path: Path) -> dict[str, Any]:
    """A configuration of logging that has the server's lines in a file."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path)}},
        "loggers": {"uvicorn": {"handlers": ["file"], "level": "INFO"}},
    }


def marked(mark: str) -> list[int]:
    """The processes in whose environment this stands that run, whoever their parents are."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            continue
        if mark.encode() in variables and is_running(int(entry)):
            found.append(int(entry))
    return found


def run_to_the_end(
    directory: Path, *arguments: str, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself and leaves no process. The directory is to be its own."""
    done = run_command(*arguments, cwd=APPS, TEST_MARK=str(directory), **extra)
    left = marked(f"TEST_MARK={directory}")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], done.stderr
    return done


class Mastering(Serving):
    """A running master; `ready` are the workers to wait for."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        workers: int | None = 2,
        cwd: Path = APPS,
        ready: str | None = None,
        **options: Any,
    ) -> None:
        self.seen_workers: set[int] = set()
        self.successors: set[int] = set()
        if workers is not None:
            arguments = (*arguments, "--workers", str(workers))
        super().__init__(
            directory,
            *arguments,
            cwd=cwd,
            ready="Started parent process" if ready is None else ready,
            **options,
        )
        if ready is None:
            try:
                self.wait_for_workers(2 if workers is None else workers)
            except BaseException:
                self.close()
                raise

    @property
    def workers(self) -> list[int]:
        """The processes of the workers, whatever they do."""
        found = children(self.process.pid)
        self.seen_workers.update(found)
        return found

    @property
    def started(self) -> list[int]:
        """The workers that have ever been ready, in order."""
        server = re.findall(r"Started server process \[(\d+)\]", self.log)
        return [int(pid) for pid in server]

    def wait_for_workers(self, count: int, without: Iterable[int] = ()) -> list[int]:
        """Wait until there are so many workers, all of them started, and none of the others."""

        def settled() -> bool:
            found = self.workers
            return (
                len(found) == count
                and not set(found).intersection(without)
                and self.log.count("Application startup complete.") >= len(self.started)
                and set(found) <= set(self.started)
            )

        self.wait_until(settled, f"{count} workers")
        return self.workers

    def text(self, path: str = "/") -> str:
        status, _, body = self.get(path)
        assert status == 200, body
        return body.decode()

    def wait(self) -> int:
        """Wait for its end and return its status; nobody may be left by then."""
        self.seen_workers.update(children(self.process.pid))
        status = super().wait()
        left = [pid for pid in self.seen_workers - self.successors if is_running(pid)]
        if left:
            self.close()
            pytest.fail(f"left behind: {left}\n{self.log}")
        return status

    def close(self) -> None:
        self.seen_workers.update(children(self.process.pid))
        super().close()
        for pid in self.seen_workers | self.successors:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for a state that is no server's alone."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def wait_until_gone(*pids: int) -> None:
    """Wait until processes have ended."""
    wait_until(lambda: not any(map(is_running, pids)), f"the end of {pids}")
