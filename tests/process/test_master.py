# SPDX-License-Identifier: MIT
"""A master and its workers: start, end, more and fewer."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_process import LIMIT, environment, run_command
from masters import APPS, Mastering, wait_until_gone


def test_lines_and_end(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app") as master:
        first, second = master.wait_for_workers(2)
        assert int(master.text().split()[1]) in (first, second)
        assert master.stop() == 0
        lines = master.lines
        assert lines[:2] == [
            "INFO:     Camshaft running on http://127.0.0.1:PORT (Press CTRL+C to quit)",
            "INFO:     Started parent process [PID]",
        ]
        # The second is started when the first serves.
        started = [line for line in lines if "Started server" in line or "complete." in line][:4]
        assert [line.split("[")[0] for line in started] == [
            "INFO:     Started server process ",
            "INFO:     Application startup complete.",
        ] * 2
        assert "INFO:     Received SIGTERM, exiting." in lines
        assert lines[-1] == "INFO:     Stopping parent process [PID]"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_forces_the_end(tmp_path: Path, number: signal.Signals) -> None:
    with Mastering(tmp_path, "working:app") as master:
        with socket.create_connection(("127.0.0.1", master.port), timeout=LIMIT) as client:
            client.sendall(b"GET /wait?/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
            master.wait_for("request started")
            master.send(number)
            master.wait_for("Waiting for connections to close.")
            master.send(number)
            assert master.wait() == 0


def test_quit_is_quick(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app") as master:
        with socket.create_connection(("127.0.0.1", master.port), timeout=LIMIT) as client:
            client.sendall(b"GET /wait?/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
            master.wait_for("request started")
            assert master.stop(signal.SIGQUIT) == 0


@pytest.mark.parametrize("more", [(), ("--preload",)])
def test_workers_end_with_their_master(tmp_path: Path, more: tuple[str, ...]) -> None:
    with Mastering(tmp_path, "working:app", *more) as master:
        workers = master.workers
        master.process.kill()
        wait_until_gone(*workers)


def test_more_and_fewer(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app", workers=2) as master:
        master.send(signal.SIGTTIN)
        master.wait_for_workers(3)
        master.send(signal.SIGTTOU)
        master.wait_for_workers(2)
        master.send(signal.SIGTTOU)
        (left,) = master.wait_for_workers(1)
        master.send(signal.SIGTTOU)
        master.wait_for("Already reached one process")
        assert master.workers == [left]
        assert master.stop() == 0


def test_web_concurrency(tmp_path: Path) -> None:
    variables = {"CAMSHAFT_PORT": "0", "WEB_CONCURRENCY": "2"}
    with Mastering(tmp_path, "working:app", env=variables, workers=None) as master:
        assert master.stop() == 0


def test_preload(tmp_path: Path) -> None:
    """The workers are the master's copies: the same interpreter, the module imported once."""
    with Mastering(tmp_path, "working:app", "--preload") as master:
        for pid in master.workers:
            with open(f"/proc/{pid}/cmdline") as theirs:
                with open(f"/proc/{master.process.pid}/cmdline") as ours:
                    assert theirs.read() == ours.read()
        master.send(signal.SIGHUP)
        master.wait_for_workers(2, without=set(master.started))
        assert int(master.text().split()[1]) in master.workers
        assert master.stop() == 0


def test_serve_with_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import camshaft\n"
        "if __name__ == '__main__':\n"
        f"    camshaft.serve('working:app', app_dir={str(APPS)!r}, workers=2, port=0)\n"
    )
    command = [sys.executable, str(script)]
    with Mastering(tmp_path, command=command, cwd=tmp_path, workers=None) as master:
        assert int(master.text().split()[1]) in master.workers
        assert master.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ["nowhere:app"],
            3,
            'ERROR:    Error loading ASGI app. Could not import module "nowhere".',
        ),
        (["working"], 3, "ERROR:    Error loading ASGI app. Import string"),
        (["raising:app"], 1, "\nZeroDivisionError: at import\n"),
        (
            ["working:app", "--ssl-certfile", "nowhere.pem", "--ssl-keyfile", "nowhere.pem"],
            1,
            "ERROR:    nowhere.pem, the certificate, cannot be read",
        ),
    ],
)
@pytest.mark.parametrize("more", [[], ["--preload"]])
def test_what_cannot_start_ends_the_master(
    arguments: list[str], status: int, line: str, more: list[str]
) -> None:
    done = run_command(*arguments, *more, "--workers", "3", "--port", "0", cwd=APPS)
    assert done.returncode == status
    assert done.stderr.count(line) == 1


def test_failing_lifespan_ends_the_master(tmp_path: Path) -> None:
    arguments = ["working:app", "--workers", "2", "--port", "0"]
    done = run_command(*arguments, cwd=APPS, WORKING_FAILS=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.count("ERROR:    no database") == 1
    assert done.stderr.count("failed to start") == 1


def test_failure_of_one_of_them_at_the_start(tmp_path: Path) -> None:
    """The first serves already; but what was asked for are three."""
    variables = {"WORKING_FIRST": str(tmp_path / "first")}
    with Mastering(
        tmp_path,
        "working:fails_in_the_second",
        "--lifespan",
        "on",
        workers=3,
        env=variables,
        ready="Started server process",
    ) as master:
        assert master.wait() == 3
        assert "failed to start" in master.log


def test_bind_in_use_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_command(
            "working:app",
            "--workers",
            "2",
            "--bind",
            f"unix:{path}",
            "--bind",
            f"127.0.0.1:{port}",
            cwd=APPS,
        )
    assert done.returncode == 3
    assert done.stderr == (
        f"ERROR:    [Errno 98] Cannot listen on 127.0.0.1:{port}: address already in use; "
        "--bind chooses another.\n"
    )
    assert not path.exists()


@pytest.mark.parametrize(("app", "more"), [("working:app", ""), ("raising:app", "--preload")])
def test_failed_start_leaves_no_files(tmp_path: Path, app: str, more: str) -> None:
    unix, control = tmp_path / "socket", tmp_path / "control"
    with socket.create_server(("127.0.0.1", 0)) as other:
        # What is in use is bound last of all.
        address = f"127.0.0.1:{other.getsockname()[1] if not more else 0}"
        options = ["--workers", "2", "--uds", str(unix), "--control-socket", str(control)]
        done = run_command(app, *options, "--metrics", address, *more.split(), cwd=APPS)
    assert done.returncode == (1 if more else 3), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", ["0", "-1", "513", "many", "1.5"])
def test_number_of_workers(count: str) -> None:
    done = run_command("working:app", "--workers", count, cwd=APPS)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: --workers {count}: ")
    assert done.stderr.count("\n") == 1


def test_what_no_other_process_can_be_given(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import camshaft\n"
        "def factory(config, default): return default()\n"
        "camshaft.serve('working:app', workers=2, port=0, ssl_context_factory=factory)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 3
    assert done.stderr == (
        "ERROR:    --ssl-context-factory: worker processes cannot import it from the main script; "
        "put it into a module.\n"
    )


def test_unix_socket_is_the_masters(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Mastering(tmp_path, "working:app", "--uds", str(path)) as master:
        before = set(master.workers)
        master.send(signal.SIGHUP)
        master.wait_for_workers(2, without=before)
        assert path.exists()
        assert master.stop() == 0
    assert not path.exists()
