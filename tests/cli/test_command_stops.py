# SPDX-License-Identifier: MIT
"""How a server ends while requests are under way."""

import os
import socket
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM

from command_process import LIMIT, Serving

WAITING = "Waiting for connections to close. (CTRL+C to force quit)"


def start_request(server: Serving, release: Path) -> socket.socket:
    """Send a request that lasts until the file exists, and return when it is under way."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT)
    client.sendall(b"GET /wait?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % bytes(release))
    server.wait_for("app: request started")
    return client


def test_request_under_way_is_finished(tmp_path: Path) -> None:
    release = tmp_path / "release"
    with Serving(tmp_path, "served:app") as server:
        with start_request(server, release) as client:
            server.send(SIGTERM)
            server.wait_for(WAITING)
            # It is no longer listening.
            with socket.socket() as late:
                assert late.connect_ex(("127.0.0.1", server.port)) != 0
            # Another SIGTERM does not make it hurry.
            server.send(SIGTERM)
            release.touch()
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"waited")
        assert server.wait() == -SIGTERM
        assert "app: lifespan.shutdown" in server.lines
        assert server.lines[-1] == "INFO:     Finished server process [PID]"


def test_request_that_outlasts_the_time_is_cancelled(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--timeout-graceful-shutdown", "1") as server:
        with start_request(server, tmp_path / "never"):
            assert server.stop() == -SIGTERM
        lines = server.lines
        order = [
            "INFO:     Shutting down",
            f"INFO:     {WAITING}",
            "ERROR:    Cancel 1 running task(s), timeout graceful shutdown exceeded",
            "app: request cancelled",
            "INFO:     Waiting for application shutdown.",
            "INFO:     Application shutdown complete.",
            "INFO:     Finished server process [PID]",
        ]
        assert [line for line in lines if line in order] == order


def test_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app") as server:
        with start_request(server, tmp_path / "never"):
            server.send(SIGINT)
            server.wait_for(WAITING)
            server.send(SIGINT)
            assert server.wait() == 0
        assert "app: request cancelled" in server.lines
        assert "app: lifespan.shutdown" not in server.lines
        assert "KeyboardInterrupt" not in server.log


def test_second_interrupt_ends_an_application_that_does_not(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:never_ends") as server:
        server.send(SIGINT)
        server.wait_for("app: staying")
        server.send(SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_idle_connection_does_not_keep_it(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--timeout-keep-alive", "1000") as server:
        connection = server.connection()
        try:
            connection.request("GET", "/")
            assert connection.getresponse().read()
            assert server.stop() == -SIGTERM
        finally:
            connection.close()


def test_signal_while_the_application_starts(tmp_path: Path) -> None:
    """The start-up is finished, so that the shutdown finds what it expects."""
    release = tmp_path / "release"
    env = {"SERVED_RELEASE": str(release)}
    with Serving(tmp_path, "served:starts_slowly", env=env, ready="app: starting") as server:
        server.send(SIGTERM)
        release.touch()
        assert server.wait() == -SIGTERM
        assert server.lines[-3:] == [
            "INFO:     Waiting for application shutdown.",
            "INFO:     Application shutdown complete.",
            "INFO:     Finished server process [PID]",
        ]


def test_access_log_into_a_pipe_that_is_read_late(tmp_path: Path) -> None:
    """The lines that the pipe had no room for are written at the end, if it is read then."""
    reader, writer = os.pipe()
    count = 1500  # more than a pipe holds, and less than the server does
    into_pipe = f"import os, sys; os.dup2({writer}, 1); os.execv(sys.argv[1], sys.argv[1:])"
    with Serving(
        tmp_path,
        "served:app",
        command=[sys.executable, "-c", into_pipe, sys.executable, "-m", "camshaft"],
        pass_fds=(writer,),
    ) as server:
        os.close(writer)
        connection = server.connection()
        for _ in range(count):
            connection.request("GET", "/" + "x" * 60)
            connection.getresponse().read()
        connection.close()
        server.send(SIGTERM)
        server.wait_for("Shutting down")
        with open(reader, "rb") as pipe:
            lines = pipe.read().splitlines()
        assert server.wait() == -SIGTERM
    assert len(lines) == count
