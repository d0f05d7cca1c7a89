# SPDX-License-Identifier: MIT
"""A server as a process: started on a free port, pinned to the measured core, ended by its pid."""

import http.client
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import NamedTuple

from bench import environment, processor
from bench.error import BenchError
from bench.http.apps import DIRECTORY, Target
from bench.http.contenders import HOST, SERVERS, Command
from bench.keeper import Keeper

START_LIMIT = 30.0
STOP_LIMIT = 10.0


class Reply(NamedTuple):
    """What two servers have to agree on before either is measured."""

    status: int
    content_type: str | None
    body: bytes


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Server:
    """One running server; a context manager."""

    def __init__(self, name: str, target: Target, servers: Mapping[str, Command] = SERVERS) -> None:
        self.name = name
        self.target = target
        self.port = _free_port()
        command = servers[name](target, self.port)
        if command is None:
            raise BenchError(f"{name} cannot serve '{target.title}'")
        self._log = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed in close)
        try:
            self._process = subprocess.Popen(
                command,
                cwd=DIRECTORY,
                env=environment.variables(),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                preexec_fn=processor.pin_to(processor.cores()[0]),
            )
        except FileNotFoundError:
            raise BenchError(f"{name} is not installed in {environment.VENV.name}") from None
        self.pid = self._process.pid
        self._keeper = Keeper(self.pid)
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        scheme = "https" if self.target.tls else "http"
        return f"{scheme}://{HOST}:{self.port}{self.target.path}"

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        raise BenchError(f"{self.name} did not start: {lines[-1] if lines else 'no output'}")

    def reply(self) -> Reply:
        """The reply to what is to be asked. Raises BenchError if there is none."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        if self.target.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection(HOST, self.port, timeout=10, context=context)
        try:
            json = self.target.json.encode()
            body = json or b"x" * self.target.body
            headers = {"Content-Type": "application/json"} if json else {}
            connection.request("POST" if body else "GET", self.target.path, body or None, headers)
            response = connection.getresponse()
            return Reply(response.status, response.getheader("content-type"), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{self.name} does not answer {self.url}: {error!r}") from None
        finally:
            connection.close()

    def cpu_time(self) -> int:
        """Nanoseconds of CPU used so far, by its child processes as well."""
        return sum(processor.cpu_time(pid) for pid in processor.family(self.pid))

    def wake_ups(self) -> int:
        """How often it has gone to sleep so far."""
        return sum(processor.wake_ups(pid) for pid in processor.family(self.pid))

    def close(self) -> None:
        """Ask it to stop; after STOP_LIMIT seconds no longer ask."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._keeper.close()
        self._log.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
