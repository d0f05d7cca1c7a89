# SPDX-License-Identifier: MIT
"""--reload: files are changed under a running server."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_process import LIMIT, Serving, run_command

GOOD = """
import asyncio, os

TEXT = {text!r}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({{"type": kind + ".complete"}})
            if kind == "lifespan.shutdown":
                return
    start = {{"type": "http.response.start", "status": 200, "headers": []}}
    await send(start)
    if scope["path"] == "/endless":
        print("app: endless", flush=True)
        while (await receive())["type"] != "http.disconnect":
            pass
        print("app: heard of the disconnect", flush=True)
        return
    if scope["path"] == "/blocked":
        print("app: blocked", flush=True)
        import time
        time.sleep(600)
    body = f"{{TEXT}} {{os.getpid()}}".encode()
    await send({{"type": "http.response.body", "body": body}})
"""

WATCHERS = ("WatchFiles", "StatReload")


@pytest.fixture
def watcher(request: pytest.FixtureRequest) -> str:
    """Which one tells of changes: watchfiles, but where a test is for both."""
    return str(getattr(request, "param", "WatchFiles"))


both = pytest.mark.parametrize("watcher", WATCHERS, indirect=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    write(directory / "served.py", GOOD.format(text="first"))
    return directory


def write(path: Path, text: str) -> None:
    """Write a file as an editor does: it is there as a whole or not at all."""
    new = path.with_name("~new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def serving(tmp_path: Path, project: Path, watcher: str) -> Callable[..., Serving]:
    """Start `camshaft --reload` in the project; for StatReload without watchfiles."""
    command = [sys.executable, "-m", "camshaft"]
    if watcher == "StatReload":
        hide = "import sys; sys.modules['watchfiles'] = None; from camshaft.cli import main; main()"
        command = [sys.executable, "-c", hide]

    def start(*arguments: str, app: str = "served:app") -> Serving:
        ready = f"using {watcher}"
        return Serving(
            tmp_path, app, "--reload", *arguments, command=command, cwd=project, ready=ready
        )

    return start


def text_of(server: Serving) -> str:
    status, _, body = server.get()
    assert status == 200
    return body.decode().split()[0]


def process_of(server: Serving) -> int:
    return int(server.get()[2].decode().split()[1])


def wait_for_reloads(server: Serving, count: int) -> None:
    server.wait_until(
        lambda: server.log.count("Reloading...") >= count, f"{count} reloads in the log"
    )


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # A zombie whose parent is not ours to wait for is gone as well.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@both
def test_new_code_serves_on_the_same_listener(
    serving: Callable[..., Serving], project: Path, watcher: str
) -> None:
    with serving() as server:
        assert text_of(server) == "first"
        port = server.port
        write(project / "served.py", GOOD.format(text="second"))
        server.wait_for(f"{watcher} detected changes in 'served.py'. Reloading...")
        # The first may answer once more, until the signal has come to it.
        server.wait_until(lambda: text_of(server) == "second", "the new code")
        assert server.port == port
        child = process_of(server)
        assert server.stop() == 0
        lines = [line for line in server.lines if "reloader" in line or "running" in line]
        assert lines == [
            "INFO:     Camshaft running on http://127.0.0.1:PORT (Press CTRL+C to quit)",
            f"INFO:     Started reloader process [PID] using {watcher}",
            "INFO:     Stopping reloader process [PID]",
        ]
        assert server.log.count("Application shutdown complete") == 2
        assert gone(child)


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        ("async def app(scope:\n", "SyntaxError"),
        ("import no_such_module_for_sure\n", "No module named 'no_such_module_for_sure'"),
        ("app = None\n", "is not callable"),
        ("import os\nos._exit(7)\n", "has ended with exit code 7"),
    ],
)
def test_browser_waits_while_the_code_is_broken(
    serving: Callable[..., Serving], project: Path, broken: str, seen: str
) -> None:
    with serving() as server:
        assert text_of(server) == "first"
        write(project / "served.py", broken)
        server.wait_for("and is started again when a file changes")
        assert seen in server.log
        # The connection is neither refused nor reset.
        browser = server.connection()
        browser.connect()
        browser.request("GET", "/")
        write(project / "served.py", GOOD.format(text="mended"))
        response = browser.getresponse()
        assert (response.status, response.read().split()[0]) == (200, b"mended")
        browser.close()
        # Once for each time it ended.
        assert server.log.count("is started again when a file changes") == 1
        assert server.stop() == 0


@both
def test_broken_from_the_start(serving: Callable[..., Serving], project: Path) -> None:
    write(project / "served.py", "from missing import app\n")
    with serving() as server:
        server.wait_for("and is started again when a file changes")
        write(project / "missing.py", GOOD.format(text="found"))
        assert text_of(server) == "found"


def test_no_request_is_lost(serving: Callable[..., Serving], project: Path) -> None:
    """One connection for each request, as a browser that is reloaded; each is answered."""
    with serving() as server:
        answered = set()
        assert text_of(server) == "first"
        for count in range(3):
            write(project / "served.py", GOOD.format(text=f"text{count}"))
            wait_for_reloads(server, count + 1)
            # Until the new code answers, which it may be late to do.
            while f"text{count}" not in answered:
                answered.add(text_of(server))
        assert {"text0", "text1", "text2"} <= answered


def test_reload_does_not_wait_for_an_endless_stream(
    serving: Callable[..., Serving], project: Path
) -> None:
    with serving() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as stream:
            stream.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_until(lambda: "app: endless" in server.out, "a request under way")
            write(project / "served.py", GOOD.format(text="second"))
            wait_for_reloads(server, 1)
            server.wait_until(lambda: text_of(server) == "second", "the new code")
        assert "app: heard of the disconnect" in server.out


def test_process_that_does_not_end_is_killed(
    serving: Callable[..., Serving], project: Path
) -> None:
    with serving("--timeout-graceful-shutdown", "0") as server:
        child = process_of(server)
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as stream:
            stream.sendall(b"GET /blocked HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_until(lambda: "app: blocked" in server.out, "a request under way")
            write(project / "served.py", GOOD.format(text="second"))
            server.wait_for(f"Server process [{child}] does not end, killing it")
            server.wait_until(lambda: text_of(server) == "second", "the new code")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_by_signal(
    serving: Callable[..., Serving], tmp_path: Path, number: signal.Signals
) -> None:
    with serving("--uds", str(tmp_path / "socket")) as server:
        server.wait_for("Application startup complete")
        assert server.stop(number) == 0
        assert not (tmp_path / "socket").exists()
        assert "Traceback" not in server.log


def test_sigint_that_a_script_ignores(serving: Callable[..., Serving]) -> None:
    """`camshaft --reload ... &` in a script: the shell has it ignored for the command."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = serving()
    finally:
        signal.signal(signal.SIGINT, before)
    with server:
        server.wait_for("Application startup complete")
        assert server.stop(signal.SIGINT) == 0


def test_main_script_without_a_guard(tmp_path: Path, project: Path) -> None:
    script = project / "main.py"
    script.write_text(
        "import camshaft\ncamshaft.serve('served:app', reload=True, reload_dirs=['.'], port=0)\n"
    )
    command = [sys.executable, str(script)]
    with Serving(tmp_path, "--port", "0", command=command, cwd=project, ready="exit code 3") as it:
        assert (
            "ERROR:    serve() is called while a new process imports the main script: "
            'put the call below `if __name__ == "__main__":`.'
        ) in it.lines
        assert it.stop() == 0


def test_second_signal_does_not_wait(serving: Callable[..., Serving]) -> None:
    with serving("--timeout-graceful-shutdown", "600") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as stream:
            stream.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_until(lambda: "app: endless" in server.out, "a request under way")
            server.send(signal.SIGINT)
            server.wait_for("Waiting for connections to close.")
            server.send(signal.SIGINT)
            assert server.wait() == 0


def test_server_ends_with_its_reloader(serving: Callable[..., Serving]) -> None:
    with serving() as server:
        child = process_of(server)
        server.send(signal.SIGKILL)
        server.wait()
        deadline = time.monotonic() + LIMIT
        while not gone(child):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@both
def test_files_that_do_not_count(serving: Callable[..., Serving], project: Path) -> None:
    (project / "left").mkdir()
    options = ("--reload-include", "*.html", "--reload-exclude", "left", "--reload-exclude", "no_*")
    with serving(*options) as server:
        assert text_of(server) == "first"
        for name in ("notes.txt", ".hidden.py", "no_tice.py", "left/over.py"):
            write(project / name, "changed")
        write(project / "page.html", "changed")
        wait_for_reloads(server, 1)
        assert text_of(server) == "first"
        (detected,) = [line for line in server.lines if "detected" in line]
        assert "in 'page.html'. Reloading" in detected


def test_workers_are_excluded(serving: Callable[..., Serving]) -> None:
    with serving("--workers", "4") as server:
        assert text_of(server) == "first"
        assert 'WARNING:  "workers" flag is ignored when reloading is enabled.' in server.lines


def test_address_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_command("served:app", "--reload", "--port", port)
    assert ended.returncode == 3
    assert f"Cannot listen on 127.0.0.1:{port}: address already in use" in ended.stderr
    assert "Started reloader" not in ended.stderr
