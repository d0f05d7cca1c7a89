# SPDX-License-Identifier: MIT
"""The command with limits: they hold, and the one on all requests ends the process."""

import socket
from pathlib import Path

from tests.cli.command_process import LIMIT, Serving


def exchange(server: Serving, request: bytes) -> bytes:
    """What comes on a connection of its own, to its end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_so_many_requests(tmp_path: Path) -> None:
    """Each is answered; then the end is that of a server that is told to, with status 0."""
    with Serving(tmp_path, "served:app", "--limit-max-requests", "3") as server:
        for _ in range(3):
            assert server.get()[0] == 200
        assert server.wait() == 0
        lines = [line.split(":", 1)[1].strip() for line in server.lines]
        at = lines.index("Maximum request limit of 3 exceeded. Terminating process.")
        assert lines[at + 1] == "Shutting down"
        assert lines[-1] == "Finished server process [PID]"


def test_limits_by_options(tmp_path: Path) -> None:
    options = ["--limit-request-body", "5", "--limit-header-count", "3", "--timeout-request-body"]
    with Serving(tmp_path, "served:app", *options, "0.1") as server:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        for request, status in [
            (head + b"Content-Length: 6\r\n\r\n", 413),
            (head + b"A: b\r\nA: b\r\nA: b\r\n\r\n", 431),
            (head + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", 200),
        ]:
            assert exchange(server, request).startswith(b"HTTP/1.1 %d " % status)
