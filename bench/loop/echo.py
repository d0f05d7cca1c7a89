# SPDX-License-Identifier: MIT
"""Echo over loopback: a server process for each loop, a client in C on the other core."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from bench import compiled, environment, processor
from bench.error import BenchError

# Bytes of a message and connections, each of which has one message under way.
ROWS = {
    "1k-1": (1024, 1),
    "1k-10": (1024, 10),
    "1k-1000": (1024, 1000),
    "10k-1000": (10 * 1024, 1000),
    "100k-10": (100_000, 10),
}

# The contender that is no loop: echo_floor.c.
FLOOR = "C epoll"

CLIENT_SOURCE = Path(__file__).with_name("echo_client.c")
FLOOR_SOURCE = Path(__file__).with_name("echo_floor.c")


class Trips(NamedTuple):
    """One slice of load on one loop."""

    per_second: float
    cpu: float
    """Microseconds of the server's CPU per message."""


class EchoServer:
    """One loop's echo server; a context manager. `port` is 0 if the loop is not installed, and
    `missing` says why."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing = ""
        command: list[str | Path] = [environment.PYTHON, "-m", "bench.loop.echo_server", name]
        if name == FLOOR:
            command = [compiled.build(FLOOR_SOURCE)]
        self._process = subprocess.Popen(
            command,
            cwd=environment.CHECKOUT,
            env=environment.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=processor.pin_to(processor.cores()[0]),
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        self.port = int(line) if line else 0
        if self.port == 0:
            errors = self._process.stderr.read().strip()
            if self._process.wait() != 77:
                raise BenchError(f"the echo server on {name} did not start: {errors[-200:]}")
            self.missing = errors.splitlines()[-1]

    @property
    def pid(self) -> int:
        """The process that serves."""
        return self._process.pid

    def load(self, size: int, connections: int, seconds: float) -> Trips:
        """Send it messages for some seconds. Raises BenchError when the client finds a fault."""
        before = processor.cpu_time(self._process.pid)
        result = subprocess.run(
            [
                compiled.build(CLIENT_SOURCE),
                *map(str, (self.port, connections, size, seconds)),
            ],
            capture_output=True,
            text=True,
            preexec_fn=processor.pin_to(processor.cores()[1]),
        )
        if result.returncode != 0:
            raise BenchError(f"echo on {self.name}: {result.stderr.strip()}")
        used = processor.cpu_time(self._process.pid) - before
        trips, took = result.stdout.split()
        return Trips(int(trips) / float(took), used / int(trips) / 1000)

    def __enter__(self) -> "EchoServer":
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()
