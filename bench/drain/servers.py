# SPDX-License-Identifier: MIT
"""The servers as processes: a master and its workers, started, signalled and ended by their ids."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from bench import environment, keeper
from bench.error import BenchError
from bench.keeper import Keeper, family

DIRECTORY = Path(__file__).parent
HOST = "127.0.0.1"
# Seconds that only a hang uses up.
LIMIT = 60.0

Command = Callable[[int, int], Sequence[str | Path]]


def camshaft(port: int, workers: int) -> Sequence[str | Path]:
    return [
        *(environment.BIN / "camshaft", "app:app", "--host", HOST, "--port", str(port)),
        *("--workers", str(workers), "--no-access-log"),
    ]


def uvicorn(port: int, workers: int) -> Sequence[str | Path]:
    return [
        *(environment.BIN / "uvicorn", "app:app", "--host", HOST, "--port", str(port)),
        *("--workers", str(workers), "--no-access-log", "--loop", "uvloop", "--http", "httptools"),
    ]


def gunicorn(port: int, workers: int) -> Sequence[str | Path]:
    return [
        *(environment.BIN / "gunicorn", "app:app", "-b", f"{HOST}:{port}", "-w", str(workers)),
        *("-k", "uvicorn_worker.UvicornWorker"),
    ]


def gunicorn_asgi(port: int, workers: int) -> Sequence[str | Path]:
    return [
        *(environment.BIN / "gunicorn", "app:app", "-b", f"{HOST}:{port}", "-w", str(workers)),
        *("-k", "asgi"),
    ]


def granian(port: int, workers: int) -> Sequence[str | Path]:
    return [
        *(environment.BIN / "granian", "app:app", "--interface", "asgi", "--host", HOST),
        *("--port", str(port), "--workers", str(workers), "--no-access-log"),
        # By default a dead worker is the end of all.
        "--respawn-failed-workers",
    ]


SERVERS: dict[str, Command] = {
    "camshaft": camshaft,
    "uvicorn": uvicorn,
    "gunicorn": gunicorn,
    "gunicorn-asgi": gunicorn_asgi,
    "granian": granian,
}


# How each is told the seconds that a loop may be blocked, or that a worker may be silent.
BLOCKED = {
    "camshaft": "--timeout-worker-blocked",
    "uvicorn": "--timeout-worker-healthcheck",
    "gunicorn": "--timeout",
    "gunicorn-asgi": "--timeout",
}


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live, the eldest first."""
    return [each for each in keeper.children(pid) if state(each) not in ("Z", "X", "")]


def state(pid: int) -> str:
    """The letter of /proc for what a process is at; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Process:
    """A server that runs; leaving its context ends it and whatever it has started, and so does the
    end of this process.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        *,
        cwd: Path = DIRECTORY,
        env: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self._file = (
            log.open("w+") if log else tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        )
        self._seen: set[int] = set()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment.variables() if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            # A terminal's signals are for the driver.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._keeper = Keeper(self.pid)

    @property
    def log(self) -> str:
        self._file.flush()
        descriptor = self._file.fileno()
        return os.pread(descriptor, 1 << 24, 0).decode(errors="replace")

    def wait_until(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Poll for a state. Raises BenchError with the log's end."""
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end or self._process.poll() is not None:
                status = self._process.poll()
                now = "runs" if status is None else f"has ended with {status}"
                raise BenchError(f"not {what}; the server {now}:\n{self.log[-2000:]}")
            time.sleep(0.01)

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as sock:
                sock.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return sock.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def wait_until_it_answers(self) -> None:
        self.wait_until(self.answers, "answering")

    def wait_until_all_answer(self, workers: int, limit: float = 20.0) -> None:
        """Wait until so many workers have answered, or the limit is over: some starve others."""
        seen: set[bytes] = set()
        end = time.monotonic() + limit
        while len(seen) < workers and time.monotonic() < end:
            # Several at once, lest the same worker take them all.
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                socks = [
                    stack.enter_context(socket.create_connection((HOST, self.port), timeout=5))
                    for _ in range(4 * workers)
                ]
                for sock in socks:
                    sock.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                for sock in socks:
                    answer = b"".join(iter(lambda: sock.recv(4096), b""))  # noqa: B023
                    seen.add(answer.rpartition(b"\r\n\r\n")[2])
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The processes of the master, in the order of their starts."""
        return children(self.pid)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for its end. Raises BenchError after the limit."""
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise BenchError(f"not ended after {limit} s:\n{self.log[-2000:]}") from None

    async def ended(self, limit: float = LIMIT) -> int:
        """The same on an event loop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._process.poll() is None:
                    await asyncio.sleep(0.01)
        return self.wait(0)

    def close(self) -> None:
        """Kill what is left: each by its id."""
        left = family(self.pid) if self._process.poll() is None else []
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._keeper.close()
        self._file.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start(name: str, workers: int, blocked: int | None = None) -> Process:
    """Start one of SERVERS and wait until it answers.

    `blocked` are the seconds that a loop may be blocked, if the server can be told.
    """
    port = free_port()
    command = list(SERVERS[name](port, workers))
    if blocked is not None and name in BLOCKED:
        command += [BLOCKED[name], str(blocked)]
    try:
        process = Process(command, port)
    except FileNotFoundError:
        raise BenchError(f"{name} is not installed in {environment.VENV.name}") from None
    try:
        process.wait_until_it_answers()
        process.wait_until_all_answer(workers)
    except BaseException:
        process.close()
        raise
    return process
