# SPDX-License-Identifier: MIT
"""A master and its workers: start, end, more and fewer."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_process import LIMIT, UnixConnection, environment, get, run_command
from masters import APPS, Mastering, log_config, marked, run_to_the_end, wait_until_gone


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
    tmp_path: Path, arguments: list[str], status: int, line: str, more: list[str]
) -> None:
    done = run_to_the_end(tmp_path, *arguments, *more, "--workers", "3", "--port", "0")
    assert done.returncode == status
    assert done.stderr.count(line) == 1


def test_failing_lifespan_ends_the_master(tmp_path: Path) -> None:
    arguments = ["working:app", "--workers", "2", "--port", "0"]
    done = run_to_the_end(tmp_path, *arguments, WORKING_FAILS=str(tmp_path))
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
        binds = ("--bind", f"unix:{path}", "--bind", f"127.0.0.1:{port}")
        done = run_to_the_end(tmp_path, "working:app", "--workers", "2", *binds)
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
        done = run_to_the_end(tmp_path, app, *options, "--metrics", address, *more.split())
    assert done.returncode == (1 if more else 3), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", ["0", "-1", "513", "many", "1.5"])
def test_number_of_workers(tmp_path: Path, count: str) -> None:
    done = run_to_the_end(tmp_path, "working:app", "--workers", count)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: --workers {count}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--preload"]])
def test_log_that_cannot_be_written(tmp_path: Path, more: list[str]) -> None:
    config = tmp_path / "log.json"
    config.write_text(json.dumps(log_config(tmp_path / "nowhere" / "log")))
    options = ["--workers", "2", "--port", "0", "--log-config", str(config), *more]
    done = run_to_the_end(tmp_path, "working:app", *options)
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: --log-config {config}: Unable to configure handler 'file' ([Errno 2] No such file "
        f"or directory: '{tmp_path}/nowhere/log').\n"
    )


def test_log_that_cannot_be_written_any_more(tmp_path: Path) -> None:
    """Lines go on to where they went, and the new workers that have no log are none."""
    place, config = tmp_path / "place", tmp_path / "log.json"
    log, unix, control = place / "log", tmp_path / "socket", tmp_path / "control"
    place.mkdir()
    config.write_text(json.dumps(log_config(log)))
    options = ("--log-config", str(config), "--uds", str(unix), "--control-socket", str(control))
    with Mastering(tmp_path, "working:app", *options, ready="") as master:

        def serving() -> bool:
            # As the master sees it: to a reload before, the workers' failure is that of the start.
            done = run_command("ctl", "--socket", str(control), "status", "--json")
            states = [
                each["state"] for each in json.loads(done.stdout or '{"workers":[]}')["workers"]
            ]
            return states == ["serving"] * 2

        def lines() -> str:
            return moved.read_text() if moved.exists() else log.read_text()

        moved = tmp_path / "moved" / "log"
        master.wait_until(serving, "two workers")
        before = master.workers
        place.rename(moved.parent)
        for number in (signal.SIGUSR1, signal.SIGHUP):
            master.send(number)
        master.wait_until(lambda: "and the restart is given up" in lines(), "the reload's end")
        # The master's, and each worker's.
        master.wait_until(lambda: lines().count(f"Cannot open {log} again: ") == 3, "the signal")
        assert master.workers == before
        assert get(UnixConnection(str(unix)))[0] == 200
        moved.parent.rename(place)
        moved = log
        master.send(signal.SIGHUP)
        master.wait_until(
            lambda: len(master.workers) == 2 and not set(master.workers) & set(before),
            "new workers",
        )
        assert master.stop() == 0
        assert "Traceback" not in master.log + lines()


def test_processes_that_are_left_are_seen(tmp_path: Path) -> None:
    """What the tests above rely on."""
    mark = f"TEST_MARK={tmp_path}"
    assert marked(mark) == []
    command = "import subprocess, sys; subprocess.Popen(['sleep', '600'])"
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment({"TEST_MARK": str(tmp_path)})
    )
    (left,) = marked(mark)
    os.kill(left, signal.SIGKILL)
    wait_until_gone(left)
    assert done.returncode == 0


def test_unix_socket_is_the_masters(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Mastering(tmp_path, "working:app", "--uds", str(path)) as master:
        before = set(master.workers)
        master.send(signal.SIGHUP)
        master.wait_for_workers(2, without=before)
        assert path.exists()
        assert master.stop() == 0
    assert not path.exists()
