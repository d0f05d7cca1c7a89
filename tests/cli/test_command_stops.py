# SPDX-License-Identifier: MIT
"""How a server ends while requests are under way."""

import os
import re
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from command_process import LIMIT, Serving

from tests.certificates import Files, authority

WAITING = "Waiting for connections to close. (CTRL+C to force quit)"


def start_request(server: Serving, release: Path) -> socket.socket:
    """Send a request that lasts until the file exists, and return when it is under way."""
    client = connect(server)
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
            "WARNING:  1 connection(s) did not end within 1 s: GET '/wait' of 127.0.0.1:PORT",
            "ERROR:    Cancel 1 running task(s), timeout graceful shutdown exceeded",
            "app: request cancelled",
            "INFO:     Waiting for application shutdown.",
            "INFO:     Application shutdown complete.",
            "INFO:     Finished server process [PID]",
        ]
        assert [line for line in lines if line in order] == order


def blocked(server: Serving, release: Path) -> socket.socket:
    """A client whose request blocks the server's loop until the file exists."""
    client = connect(server)
    client.sendall(b"GET /block?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % bytes(release))
    server.wait_for("app: loop blocked")
    return client


def connect(server: Serving) -> socket.socket:
    """A connection to the server, whatever address of this machine it listens on."""
    found = re.search(r"running on .*[: ](\d+)\)? \(Press", server.log)
    assert found, server.log
    return socket.create_connection(("127.0.0.1", int(found[1])), timeout=LIMIT)


def all_of(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


ARRANGEMENTS = ["--port 0", "--loop asyncio --port 0", "--timeout-linger 0 --port 0", "--fd"]


@pytest.mark.parametrize("options", ARRANGEMENTS)
def test_backlog_is_answered(options: str, tmp_path: Path) -> None:
    """Who has connected and was not accepted, when the signal comes."""
    arguments = options.split()
    with ExitStack() as stack:
        inherited: tuple[int, ...] = ()
        if options == "--fd":
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            inherited = (sock.fileno(),)
            arguments.append(str(sock.fileno()))
        server = stack.enter_context(
            Serving(tmp_path, "served:app", *arguments, pass_fds=inherited)
        )
        stack.enter_context(blocked(server, tmp_path / "release"))
        clients = [stack.enter_context(connect(server)) for _ in range(30)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.send(SIGTERM)
        (tmp_path / "release").touch()
        for client in clients:
            answer = all_of(client)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert server.wait() == -SIGTERM


def test_new_connections_do_not_begin_while_it_ends(tmp_path: Path) -> None:
    """Refused at once, or a second later: never accepted and reset."""
    release = tmp_path / "release"
    with Serving(tmp_path, "served:app", "--host", "0.0.0.0") as server:
        with start_request(server, release) as client:
            server.send(SIGTERM)
            server.wait_for("Shutting down")
            with pytest.raises(ConnectionRefusedError):
                connect(server)
            release.touch()
            assert b"waited" in all_of(client)
        assert server.wait() == -SIGTERM


def test_request_on_an_idle_connection_is_answered(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--timeout-linger", "1000") as server:
        with connect(server) as idle, connect(server) as fresh:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
            server.send(SIGTERM)
            server.wait_for(WAITING)
            for client in (idle, fresh):
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"connection: close\r\n" in all_of(client)
        assert server.wait() == -SIGTERM


@pytest.mark.parametrize("more", ["", "--log-level trace"])
def test_endless_response_hears_of_the_end(more: str, tmp_path: Path) -> None:
    with Serving(
        tmp_path, "served:app", *more.split(), "--timeout-graceful-shutdown", "1"
    ) as server:
        with connect(server) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(10)
            server.send(SIGTERM)
            # Whole, its last chunk included.
            assert all_of(client).endswith(b"data: 2\n\n\r\n0\r\n\r\n")
        assert server.wait() == -SIGTERM
        assert "app: http.disconnect" in server.lines


def test_tls_handshake_that_has_not_begun(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    tls = ["--ssl-certfile", str(files.cert), "--ssl-keyfile", str(files.key)]
    with Serving(tmp_path, "served:app", *tls, "--timeout-linger", "1000") as server:
        with connect(server) as begun, connect(server) as silent:
            context = authority().client()
            with context.wrap_socket(silent, server_hostname="localhost") as other:
                # It is there, and so is the other, which came before.
                other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert other.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
                server.send(SIGTERM)
                server.wait_for(WAITING)
                with context.wrap_socket(begun, server_hostname="localhost") as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert b"connection: close\r\n" in all_of(client)
                other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"connection: close\r\n" in all_of(other)
        assert server.wait() == -SIGTERM


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


def test_later_signal_ends_it_at_once(tmp_path: Path) -> None:
    """A SIGTERM too, once it cannot be the first by another way."""
    with Serving(tmp_path, "served:app") as server:
        with start_request(server, tmp_path / "never"):
            server.send(SIGTERM)
            server.wait_for(WAITING)
            while server.process.poll() is None:
                server.send(SIGTERM)
                time.sleep(0.1)
            assert server.wait() == -SIGTERM
        assert "app: request cancelled" in server.lines
        assert "app: lifespan.shutdown" not in server.lines


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
