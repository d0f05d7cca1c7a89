# SPDX-License-Identifier: MIT
"""Loops beside each other: memory of idle connections and of timers; and HTTP servers."""

import contextlib
import json
import resource
import socket
import subprocess
import time

from bench import environment, summary
from bench.error import BenchError
from bench.loop.comparison import MISSING, explain
from bench.loop.echo import EchoServer
from bench.memory import http
from bench.memory.process import KIB, SETTLE, resident

CONNECTIONS = 10_000
SPARE = 100  # descriptors for everything else
MESSAGE = b"hello"


def raise_limit(count: int) -> None:
    """Allow this process, and the servers it starts, that many descriptors. Raises BenchError."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"{count} descriptors are needed, {hard} allowed: ulimit -Hn, or fewer")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def wave(port: int, count: int) -> list[socket.socket]:
    """Connections of which each has sent a message and had it back."""
    connections = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.sendall(MESSAGE)
        connections.append(connection)
        if connection.recv(len(MESSAGE)) != MESSAGE:
            raise BenchError("the server does not echo")
    return connections


def connections_row(name: str, count: int) -> list[str]:
    """RSS per connection, and what is left of it once all are closed, twice over."""
    with EchoServer(name) as server:
        if server.port == 0:
            raise LookupError(server.missing)
        for connection in wave(server.port, 10):  # what the first ones bring about
            connection.close()
        time.sleep(SETTLE)
        before = resident(server.pid)
        cells = []
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                for connection in wave(server.port, count):
                    stack.enter_context(connection)
                time.sleep(SETTLE)
                cells.append(f"{(resident(server.pid) - before) / count:,.0f}")
            time.sleep(SETTLE)
            cells.append(f"{(resident(server.pid) - before) / count:,.0f}")
    return [name, *cells]


def timers_row(name: str) -> list[str]:
    """What bench.memory.timers prints."""
    result = subprocess.run(
        [environment.PYTHON, "-m", "bench.memory.timers", name],
        cwd=environment.CHECKOUT,
        env=environment.variables(),
        capture_output=True,
        text=True,
    )
    last = (result.stderr.strip().splitlines() or ["no output"])[-1]
    if result.returncode == MISSING:
        raise LookupError(last)
    if result.returncode != 0:
        raise BenchError(f"timers on {name} failed ({result.returncode}): {last}")
    figures = json.loads(result.stdout)
    return [
        name,
        f"{figures['few']:,.0f}",
        f"{figures['many']:,.0f}",
        f"{figures['bytes']:,.0f}",
        f"{figures['left'] / KIB:,.0f}",
        f"{figures['left_after_more'] / KIB:,.0f}",
    ]


def run(loops: list[str], count: int) -> None:
    """Print the tables. Raises BenchError."""
    raise_limit(count + SPARE)
    absent: dict[str, str] = {}
    held, timers = [], []
    for name in loops:
        try:
            held.append(connections_row(name, count))
            timers.append(timers_row(name))
        except LookupError as error:
            absent[name] = str(error)
    print(f"\n### Resident bytes per connection, {count:,} idle connections\n")
    print(summary.table(["", "open", "closed", "open again", "closed again"], held), flush=True)
    print("\n### Timers: call_later + cancel among others that live\n")
    head = ["", "ns among 1,000", "ns among 100,000", "bytes each"]
    head += ["KiB left of 100,000 cancelled", "KiB left after 5 × 100,000 more"]
    print(summary.table(head, timers), flush=True)
    explain(absent)
    http.run(count)
