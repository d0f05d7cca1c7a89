# SPDX-License-Identifier: MIT
"""A server as a process: started on a free port, pinned to the measured core, ended by its pid."""

import http.client
import re
import subprocess
import tempfile
import time
from typing import NamedTuple

from bench import environment, processor
from bench.error import BenchError
from bench.http.apps import DIRECTORY

COMMON = ["--host", "127.0.0.1", "--port", "0", "--no-access-log", "--log-level", "info"]

# Name: the command and the options that make it the server of the table.
SERVERS: dict[str, list[str]] = {
    "camshaft": ["camshaft"],
    "uvicorn": ["uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws", "none"],
    "uvicorn-on-camshaft": [
        "uvicorn", "--loop", "camshaft:new_event_loop", "--http", "httptools", "--ws", "none",
    ],
}  # fmt: skip

START_LIMIT = 30.0
STOP_LIMIT = 10.0


class Reply(NamedTuple):
    """What two servers have to agree on before either is measured."""

    status: int
    content_type: str | None
    body: bytes


class Server:
    """One running server; a context manager."""

    def __init__(self, name: str, app: str) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed in close)
        command, *options = SERVERS[name]
        self._process = subprocess.Popen(
            [environment.BIN / command, app, *options, *COMMON],
            cwd=DIRECTORY,
            env=environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=processor.pin_to(processor.cores()[0]),
        )
        self.pid = self._process.pid
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.close()
            raise

    def _output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def _wait_for_port(self) -> int:
        """The port is the one that the start-up log names."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", self._output())
            if found:
                return int(found.group(1))
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        lines = self._output().strip().splitlines()
        raise BenchError(f"{self.name} did not start: {lines[-1] if lines else 'no output'}")

    def reply(self, path: str) -> Reply:
        """The reply to a GET. Raises BenchError if there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Reply(response.status, response.getheader("content-type"), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{self.name} does not answer GET {path}: {error!r}") from None
        finally:
            connection.close()

    def cpu_time(self) -> int:
        """Nanoseconds of CPU used so far."""
        return processor.cpu_time(self.pid)

    def wake_ups(self) -> int:
        """How often it has gone to sleep so far."""
        return processor.wake_ups(self.pid)

    def close(self) -> None:
        """Ask it to stop; after STOP_LIMIT seconds no longer ask."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
