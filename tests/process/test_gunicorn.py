# SPDX-License-Identifier: MIT
"""gunicorn's own master with our worker."""

import http.client
import os
import re
import select
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from command_process import LIMIT, Serving

from tests.certificates import Files, authority

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

APP = """
import asyncio, os, sys, time

def tell(text):
    print(f"app: {text}", file=sys.stderr, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            tell(f"{kind} {os.getpid()}")
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    path = scope["path"]
    if path == "/block":
        time.sleep(600)
    if path == "/wait":
        tell("waiting")
        try:
            await asyncio.sleep(600 if scope["query_string"] == b"long" else 4)
        except asyncio.CancelledError:
            tell("cancelled")
            raise
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = f"{os.getpid()} {scope['scheme']} {scope['root_path']}".encode()
    await send({"type": "http.response.body", "body": body})

def make():
    return app

async def fails(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


class Gunicorn(Serving):
    """A running gunicorn, on a port that the system has chosen."""

    def __init__(
        self, directory: Path, *arguments: str, app: str = "served:app", ready: str = ""
    ) -> None:
        (directory / "served.py").write_text(APP)
        super().__init__(
            directory,
            *("-k", "camshaft.gunicorn.Worker", "--bind", "127.0.0.1:0"),
            *("--no-control-socket", *arguments, app),
            command=[sys.executable, "-m", "gunicorn"],
            cwd=directory,
            ready=ready or "lifespan.startup ",
        )

    @property
    def port(self) -> int:
        # Its own line gives the address as it was asked for.
        found = re.search(r"Listening at: https?://127\.0\.0\.1:(\d+)", self.log)
        assert found, self.log
        return int(found[1])

    def ask(self, path: str = "/") -> list[str]:
        status, headers, body = self.get(path)
        assert (status, headers["server"]) == (200, "camshaft")
        return body.decode().split(" ")

    def wait_for_count(self, text: str, count: int) -> None:
        self.wait_until(lambda: self.log.count(text) >= count, f"{count} times {text!r}")


def in_background(call: Callable[[], int]) -> Callable[[], int | None]:
    """Have a request made in a thread, and return what waits for its status; None: no answer."""
    results: list[int | None] = []

    def run() -> None:
        try:
            results.append(call())
        except (OSError, http.client.HTTPException):
            results.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> int | None:
        thread.join(LIMIT)
        return results[0]

    return result


def test_serves_and_stops(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "-w", "2", app="served:make()") as server:
        server.wait_for_count("lifespan.startup", 2)
        worker, scheme, _ = server.ask()
        assert (scheme, int(worker) != server.process.pid) == ("http", True)
        answer = in_background(lambda: server.get("/wait")[0])
        server.wait_for("app: waiting")
        assert server.stop() == 0
        # A request under way is answered, and every application is shut down.
        assert answer() == 200
        assert server.log.count("lifespan.shutdown") == 2
        assert "was sent SIGTERM" not in server.log
        assert server.log.count("Worker exiting") == 2


def test_graceful_timeout(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--graceful-timeout", "3") as server:
        answer = in_background(lambda: server.get("/wait?long")[0])
        server.wait_for("app: waiting")
        assert server.stop() == 0
        assert answer() in (500, None)
        # In time for the application to be shut down, before the master would kill.
        assert "app: cancelled" in server.log
        assert "lifespan.shutdown" in server.log
        assert "SIGKILL" not in server.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quick_stop(tmp_path: Path, number: signal.Signals) -> None:
    with Gunicorn(tmp_path, "--graceful-timeout", "600") as server:
        answer = in_background(lambda: server.get("/wait?long")[0])
        server.wait_for("app: waiting")
        assert server.stop(number) == 0
        assert answer() in (500, None)
        assert "lifespan.shutdown" in server.log


def test_reload_by_hup(tmp_path: Path) -> None:
    with Gunicorn(tmp_path) as server:
        before = server.ask()[0]
        server.send(signal.SIGHUP)
        server.wait_for_count("lifespan.startup", 2)
        server.wait_for(f"lifespan.shutdown {before}")
        assert server.ask()[0] != before
        assert server.stop() == 0


def test_blocked_loop_is_noticed_and_its_place_told(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--timeout", "2") as server:
        answer = in_background(lambda: server.get("/block")[0])
        server.wait_for("WORKER TIMEOUT")
        server.wait_for("time.sleep(600)")
        server.wait_for_count("lifespan.startup", 2)
        assert answer() is None
        assert server.ask()
        assert server.stop() == 0


def test_heart_beats_while_requests_end(tmp_path: Path) -> None:
    """A request may be given longer to end than the master waits for a heartbeat."""
    with Gunicorn(tmp_path, "--timeout", "2", "--graceful-timeout", "60") as server:
        answer = in_background(lambda: server.get("/wait")[0])
        server.wait_for("app: waiting")
        # Not by a stop, during which the master does not look.
        server.send(signal.SIGHUP)
        assert answer() == 200
        assert "WORKER TIMEOUT" not in server.log
        assert server.stop() == 0


def test_max_requests(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--max-requests", "3", "--max-requests-jitter", "2") as server:
        first = server.ask()[0]
        server.wait_until(lambda: server.ask()[0] != first, "an answer of another worker")
        server.wait_for(f"lifespan.shutdown {first}")
        assert "Maximum request limit of" in server.log
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("app", "code", "line"),
    [
        ("served:fails", 3, "no database"),
        ("served:missing", 4, "Failed to find attribute 'missing'"),
        ("nowhere:app", 3, "No module named 'nowhere'"),
    ],
)
def test_boot_errors_stop_the_master(tmp_path: Path, app: str, code: int, line: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"ended with {code}") as caught:
        Gunicorn(tmp_path, app=app, ready="never in the log")
    assert line in str(caught.value)


def test_bad_certificate_stops_the_master(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    Path(files.cert).write_text("no certificate")
    options = ("--certfile", str(files.cert), "--keyfile", str(files.key))
    with pytest.raises(pytest.fail.Exception, match="ended with 3"):
        Gunicorn(tmp_path, *options, ready="never in the log")


def test_tls(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    options = ("--certfile", str(files.cert), "--keyfile", str(files.key))
    config = tmp_path / "hook.py"
    config.write_text(
        "def ssl_context(config, make):\n"
        "    import ssl\n"
        "    context = make()\n"
        "    context.maximum_version = ssl.TLSVersion.TLSv1_2\n"
        "    return context\n"
    )
    for more, version in ((), "TLSv1.3"), (("-c", str(config)), "TLSv1.2"):
        with Gunicorn(tmp_path, *options, *more) as server:
            context = authority().client()
            client = http.client.HTTPSConnection(
                "127.0.0.1", server.port, timeout=LIMIT, context=context
            )
            client.request("GET", "/")
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.version() == version
            assert b" https " in client.getresponse().read()
            client.close()
            assert server.stop() == 0


def test_logs_go_where_gunicorn_s_do_and_are_reopened(tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    options = ("--access-logfile", str(access), "--error-logfile", str(error))
    with Gunicorn(tmp_path, *options, "--log-level", "debug") as server:
        # Its address is in the file now.
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", error.read_text())
        assert found

        def ask(path: str) -> str:
            client = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=LIMIT)
            client.request("GET", path)
            text = client.getresponse().read().decode()
            client.close()
            return text

        worker = int(ask("/first").split()[0])
        line = re.compile(r'127\.0\.0\.1:\d+ - "GET /first HTTP/1\.1" 200\n')
        server.wait_until(lambda: bool(line.fullmatch(access.read_text())), "the access log's line")
        assert f"Started server process [{worker}]" in error.read_text()
        access.rename(tmp_path / "access.log.1")
        server.send(signal.SIGUSR1)
        # The master does so too, and passes the signal on.
        server.wait_until(lambda: bool(ask("/second")) and access.exists(), "a new file")
        server.wait_until(
            lambda: bool(ask("/third")) and "/third" in access.read_text(), "a line in it"
        )
        assert server.stop() == 0


def test_access_log_format(tmp_path: Path) -> None:
    access = tmp_path / "access.log"
    wanted = '%(h)s "%(r)s" %(s)s %(B)s %({x-tag}i)s %({server}o)s %(p)s'
    with Gunicorn(
        tmp_path, "--access-logfile", str(access), "--access-logformat", wanted
    ) as server:
        client = server.connection()
        client.request("GET", "/a?b", headers={"X-Tag": "tagged"})
        body = client.getresponse().read()
        client.close()
        worker = body.decode().split()[0]
        server.wait_until(lambda: access.read_text().endswith("\n"), "the line")
        assert access.read_text() == (
            f'127.0.0.1 "GET /a?b HTTP/1.1" 200 {len(body)} tagged - <{worker}>\n'
        )
        assert server.stop() == 0


def test_access_log_format_that_is_none(tmp_path: Path) -> None:
    options = ("--access-logfile", "-", "--access-logformat", "%(nothing)s")
    with pytest.raises(pytest.fail.Exception, match="ended with 3") as caught:
        Gunicorn(tmp_path, *options, ready="never in the log")
    assert "there is no atom 'nothing'" in str(caught.value)


def test_no_access_log_unless_asked_for(tmp_path: Path) -> None:
    with Gunicorn(tmp_path) as server:
        server.ask("/quiet")
        assert server.stop() == 0
        assert "/quiet" not in server.log + server.out


def test_reload_option(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--reload", "--reload-engine", "poll") as server:
        before = server.ask()[0]
        (tmp_path / "served.py").write_text(APP + "\n# changed\n")
        server.wait_for(f"lifespan.shutdown {before}")
        server.wait_for_count("lifespan.startup", 2)
        assert server.ask()[0] != before
        assert server.stop() == 0


def test_worker_ends_with_its_master(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--timeout", "1") as server:
        worker = server.ask()[0]
        server.send(signal.SIGKILL)
        server.wait()
        # The master is gone, so is whoever would fail the wait with its status.
        assert ended(int(worker))


def ended(process: int) -> bool:
    """Wait until a process that is not ours has ended."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], LIMIT)[0])
    finally:
        os.close(descriptor)


def test_settings_with_another_value_than_gunicorn_s(tmp_path: Path) -> None:
    with Gunicorn(tmp_path, "--limit-request-line", "100", "--root-path", "/api") as server:
        assert server.ask("/")[2] == "/api"
        status, _, _ = server.get("/" + "x" * 200)
        assert status == 414
        assert server.stop() == 0
    with Gunicorn(tmp_path) as server:
        # gunicorn's own limit is 4094.
        assert server.ask("/" + "x" * 5000)


def test_unix_socket_is_gunicorn_s(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Gunicorn(tmp_path, "--bind", f"unix:{path}", "--max-requests", "1") as server:
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(LIMIT)
                client.connect(str(path))
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in client.recv(65536)
        assert path.exists()
        assert server.stop() == 0
