# SPDX-License-Identifier: MIT
"""What HTTP servers hold: of idle kept-alive connections, and of clients that do not read."""

import contextlib
import socket
import time

from bench import summary
from bench.error import BenchError
from bench.http.apps import Target
from bench.http.server import Server
from bench.memory.process import KIB, SETTLE, resident

SERVERS = ["camshaft", "uvicorn"]
IDLE = Target("idle", "asgi_hello:app", "/", options=("--timeout-keep-alive", "3600"))
LARGE = Target("large", "asgi_large:app", "/")
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"
)
BODY = b"Hello, world!"
STALLED = 1000
STALL_SETTLE = 5.0
# Seconds after which a server that lets go of something when idle has done so.
IDLE_SETTLE = 5.0


def ask(connection: socket.socket) -> None:
    """One request and its whole answer. Raises BenchError."""
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(BODY):
        piece = connection.recv(65536)
        if not piece:
            raise BenchError(f"the server ended a connection after {answer[:100]!r}")
        answer += piece


def wave(port: int, count: int) -> list[socket.socket]:
    """Connections of which each has asked once and been answered."""
    connections = []
    for _ in range(count):
        connections.append(socket.create_connection(("127.0.0.1", port), 10))
        ask(connections[-1])
    return connections


def idle_row(name: str, count: int) -> list[str]:
    """RSS per connection after one request each, after a second one on all of them, and what is
    left when they are closed; twice over."""
    cells = [name]
    with Server(name, IDLE) as server:
        for connection in wave(server.port, 10):  # what the first ones bring about
            connection.close()
        time.sleep(SETTLE)
        before = resident(server.pid)

        def held() -> str:
            return f"{(resident(server.pid) - before) / count:,.0f}"

        for _ in range(2):
            with contextlib.ExitStack() as stack:
                connections = wave(server.port, count)
                for connection in connections:
                    stack.enter_context(connection)
                time.sleep(IDLE_SETTLE)
                cells.append(held())
                for connection in connections:
                    ask(connection)
                time.sleep(IDLE_SETTLE)
                cells.append(held())
            time.sleep(SETTLE)
            cells.append(held())
    return cells


def stalled_row(name: str) -> list[str]:
    """RSS per client that has asked for a large answer and reads nothing of it."""
    with Server(name, LARGE) as server:
        before = resident(server.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(STALLED):
                connection = socket.create_connection(("127.0.0.1", server.port), 10)
                stack.enter_context(connection)
                connection.sendall(REQUEST)
            time.sleep(STALL_SETTLE)
            held = resident(server.pid) - before
        time.sleep(SETTLE)
        left = resident(server.pid) - before
    return [name, f"{held / STALLED / KIB:,.1f}", f"{left / STALLED / KIB:,.1f}"]


def run(count: int) -> None:
    """Print both tables. Raises BenchError."""
    print(f"\n### Resident bytes per HTTP connection, {count:,} idle ones, raw ASGI hello\n")
    head = ["", "answered once", "twice", "closed", "once again", "twice again", "closed again"]
    print(summary.table(head, [idle_row(name, count) for name in SERVERS]), flush=True)
    print(f"\n### Resident KiB per client that does not read, {STALLED:,} of them\n")
    head = ["", "stalled", "closed"]
    print(summary.table(head, [stalled_row(name) for name in SERVERS]), flush=True)
