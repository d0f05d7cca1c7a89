# SPDX-License-Identifier: MIT
"""The command as a process: started, asked over its socket, and ended, always by its own id."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

APPS = Path(__file__).resolve().parent / "apps"

# Seconds that only a hang uses up: a process on a busy machine, under a sanitizer, is slow.
LIMIT = 90

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
"""Whether the tests run under AddressSanitizer, which makes a process start ten times slower."""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without settings of a server from outside."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CAMSHAFT_", "UVICORN_"))
        and name not in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")
    }
    return env | {"PYTHONUNBUFFERED": "1"} | (extra or {})


def run_command(
    *arguments: str, cwd: Path = APPS, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "camshaft", *arguments],
        cwd=cwd,
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


class UnixConnection(http.client.HTTPConnection):
    """A client's connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=LIMIT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self.path)


class Serving:
    """A running server; leaving its context kills it if it still runs.

    `--port 0` is added unless there are arguments for another address.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        command: Iterable[str] = (sys.executable, "-m", "camshaft"),
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        cwd: Path = APPS,
        ready: str = " running on ",
    ) -> None:
        if not {"--uds", "--fd", "--port", "--bind"} & set(arguments) and "CAMSHAFT_PORT" not in (
            env or {}
        ):
            arguments = (*arguments, "--port", "0")
        self._log = directory / "server.err"
        self._out = directory / "server.out"
        with self._log.open("wb") as err, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=pass_fds,
            )
        try:
            self.wait_for(ready)
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def lines(self) -> list[str]:
        """The log's lines, the process's id and port in them replaced by words."""
        text = self.log.replace(f"[{self.process.pid}]", "[PID]")
        return re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", text).splitlines()

    @property
    def port(self) -> int:
        found = re.search(r"https?://127\.0\.0\.1:(\d+)", self.log)
        assert found, self.log
        return int(found[1])

    def wait_for(self, text: str) -> None:
        """Wait until the log holds a text."""
        self.wait_until(lambda: text in self.log, f"{text!r} in the log")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            if self.process.poll() is not None and not condition():
                pytest.fail(f"ended with {self.process.returncode} before {what}:\n{self.log}")
            if time.monotonic() > deadline:
                pytest.fail(f"not within {LIMIT} s: {what}:\n{self.log}")
            time.sleep(0.01)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

    def get(self, path: str = "/") -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body of a GET request."""
        return get(self.connection(), path)

    def seen(self, path: str = "/") -> Any:
        """What the application saw of a request."""
        status, _, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its status."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.close()
            pytest.fail(f"still running after {LIMIT} s:\n{self.log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def get(
    connection: http.client.HTTPConnection, path: str = "/"
) -> tuple[int, dict[str, str], bytes]:
    """One GET request on a connection, which is closed after it."""
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()
    finally:
        connection.close()
