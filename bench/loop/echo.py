# SPDX-License-Identifier: MIT
"""Echo over loopback: a server process for each loop, a client in C on the other core."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from bench import compiled, environment, processor
from bench.error import BenchError

SIZE = 1024
CONNECTIONS = [10, 1000]
SOURCE = Path(__file__).with_name("echo_client.c")


def build_client() -> Path:
    """The compiled client. Raises BenchError."""
    return compiled.build(SOURCE)


class Trips(NamedTuple):
    """One slice of load on one loop."""

    per_second: float
    cpu: float
    """Microseconds of the server's CPU per message."""


class EchoServer:
    """One loop's echo server; a context manager. `port` is 0 if the loop is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [environment.PYTHON, "-m", "bench.loop.echo_server", name],
            cwd=environment.CHECKOUT,
            env=environment.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=processor.pin_to(processor.cores()[0]),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.port = int(line) if line else 0
        if self.port == 0 and self._process.wait() != 77:
            raise BenchError(f"the echo server on {name} did not start (see above)")

    def load(self, connections: int, seconds: float) -> Trips:
        """Send it messages for some seconds."""
        before = processor.cpu_time(self._process.pid)
        result = subprocess.run(
            [build_client(), str(self.port), str(connections), str(SIZE), str(seconds)],
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
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
