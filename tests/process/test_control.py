# SPDX-License-Identifier: MIT
"""The control socket and `camshaft ctl`; the signals for logs, pauses and upgrades."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_process import LIMIT, run_command
from masters import (
    APPS,
    Mastering,
    children,
    is_running,
    log_config,
    wait_until,
    wait_until_gone,
)


def ctl(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("ctl", "--socket", str(path), *arguments)


def status(path: Path) -> Any:
    done = ctl(path, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control"


class Controlled(Mastering):
    def __init__(self, directory: Path, path: Path, *arguments: str, **options: Any) -> None:
        super().__init__(
            directory, "working:app", "--control-socket", str(path), *arguments, **options
        )


def test_status(tmp_path: Path, path: Path) -> None:
    with Controlled(tmp_path, path) as master:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for _ in range(3):
            master.text()
        # The loop writes it down once in a second.
        master.wait_until(
            lambda: sum(worker["requests"] for worker in status(path)["workers"]) == 3, "3 requests"
        )
        shown = status(path)
        assert shown["master"]["pid"] == master.process.pid
        assert shown["master"]["workers"] == 2
        assert [worker["pid"] for worker in shown["workers"]] == master.workers
        for worker in shown["workers"]:
            assert worker["state"] == "serving"
            assert worker["memory"] > 1 << 20
        table = ctl(path, "status").stdout.splitlines()
        assert table[0] == f"Master {master.process.pid} of working:app: 2 workers"
        assert table[1].split() == (
            "PID STATE AGE REQUESTS RUNNING CONNECTIONS LAG MOST LAG MEMORY".split()
        )
        assert [int(line.split()[0]) for line in table[2:]] == master.workers
        assert master.stop() == 0
    assert not path.exists()


def test_reload_scale_and_stop(tmp_path: Path, path: Path) -> None:
    with Controlled(tmp_path, path) as master:
        before = set(master.workers)
        assert ctl(path, "reload").returncode == 0
        # It is over when that is answered, but for the end of the old ones.
        states = [worker["state"] for worker in status(path)["workers"]]
        assert states.count("serving") == 2
        master.wait_for_workers(2, without=before)
        assert ctl(path, "scale", "3").returncode == 0
        assert len(master.wait_for_workers(3)) == 3
        done = ctl(path, "scale", "0")
        assert (done.returncode, done.stderr) == (
            1,
            "Error: a number of workers from 1 to 512.\n",
        )
        assert ctl(path, "stop").returncode == 0
        assert master.wait() == 0
    done = ctl(path, "status")
    assert done.returncode == 1
    assert done.stderr == f"Error: no master answers at {path}: no such file or directory.\n"


def test_reload_that_fails_is_told(tmp_path: Path, path: Path) -> None:
    variables = {"WORKING_FAILS": str(tmp_path / "fails")}
    with Controlled(tmp_path, path, env=variables) as master:
        before = master.workers
        (tmp_path / "fails").touch()
        done = ctl(path, "reload")
        assert done.returncode == 1
        assert done.stderr == "Error: the new worker failed to start (exit status 3).\n"
        assert master.workers == before
        assert master.stop() == 0


def test_two_masters_on_one_socket(tmp_path: Path, path: Path) -> None:
    with Controlled(tmp_path, path) as master:
        arguments = ["working:app", "--workers", "2", "--port", "0", "--control-socket", str(path)]
        done = run_command(*arguments, cwd=APPS)
        assert done.returncode == 3
        assert done.stderr == (
            f"ERROR:    Cannot open the control socket {path}: another master answers there.\n"
        )
        assert status(path)["master"]["pid"] == master.process.pid
        assert master.stop() == 0


def test_socket_that_was_left_is_replaced(tmp_path: Path, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with Controlled(tmp_path, path) as master:
        assert status(path)["master"]["pid"] == master.process.pid
        assert master.stop() == 0


def test_other_file_in_its_place(tmp_path: Path, path: Path) -> None:
    path.write_text("precious")
    arguments = ["working:app", "--workers", "2", "--port", "0", "--control-socket", str(path)]
    done = run_command(*arguments, cwd=APPS)
    assert done.returncode == 3
    assert done.stderr == (
        f"ERROR:    Cannot open the control socket {path}: another file is there.\n"
    )
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_the_only_master_is_found(tmp_path: Path) -> None:
    variables = {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = run_command("ctl", "status", **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no master of this user runs; ")
    with Mastering(tmp_path, "working:app", env=variables) as first:
        done = run_command("ctl", "status", "--json", **variables)
        assert json.loads(done.stdout)["master"]["pid"] == first.process.pid
        (tmp_path / "second").mkdir()
        with Mastering(tmp_path / "second", "working:app", env=variables) as second:
            done = run_command("ctl", "status", **variables)
            assert done.returncode == 1
            assert done.stderr.startswith("Error: there are several masters, --socket chooses one:")
            assert second.stop() == 0
        assert first.stop() == 0


@pytest.mark.parametrize(
    "request_line",
    [b"\n", b"[]\n", b'{"command": "dance"}\n', b'{"command": ["stop"]}\n', b"\xff\n"],
)
def test_what_is_no_command(tmp_path: Path, path: Path, request_line: bytes) -> None:
    with Controlled(tmp_path, path) as master:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(str(path))
            client.sendall(request_line)
            with client.makefile() as answers:
                assert "there is no command" in json.loads(answers.readline())["error"]
                client.sendall(b'{"command": "status"}\n' * 2)
                assert json.loads(answers.readline())["ok"]
                assert json.loads(answers.readline())["ok"]
                client.sendall(b"x" * 100_000)
                with pytest.raises(OSError):
                    while client.recv(4096):
                        pass
                    raise OSError
        assert master.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["dance"], "No such command 'dance'."),
        (["SIGUSR7"], "No such command 'SIGUSR7'."),
        (["scale", "many"], "Invalid value for 'WORKERS': 'many' is not a valid integer."),
        (["reload", "now"], "Got unexpected extra argument (now)"),
    ],
)
def test_what_ctl_does_not_know(path: Path, arguments: list[str], line: str) -> None:
    """Nobody is asked: it does not matter whether there is a master."""
    done = ctl(path, *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: {line}"


def test_log_files_are_reopened(tmp_path: Path, path: Path) -> None:
    log = tmp_path / "log"
    config = tmp_path / "log.json"
    config.write_text(json.dumps(log_config(log)))
    with Mastering(
        tmp_path,
        "working:app",
        "--log-config",
        str(config),
        "--control-socket",
        str(path),
        "--uds",
        str(tmp_path / "socket"),
        ready="",
    ) as master:
        master.wait_until(
            lambda: log.exists() and log.read_text().count("startup complete") == 2, "two workers"
        )
        log.rename(tmp_path / "log.1")
        master.send(signal.SIGUSR1)
        master.wait_until(lambda: "reopening" in (tmp_path / "log.1").read_text(), "the signal")
        assert ctl(path, "reload").returncode == 0
        master.wait_until(lambda: log.exists() and "Finished server" in log.read_text(), "lines")
        assert "Finished server" not in (tmp_path / "log.1").read_text()
        assert master.stop() == 0


def test_pause(tmp_path: Path, path: Path) -> None:
    """Without a terminal: one sends the signal when its size changes."""
    with Controlled(
        tmp_path,
        path,
        command=["setsid", "--wait", sys.executable, "-m", "camshaft"],
        ready="complete.",
    ) as wrapper:
        pid = status(path)["master"]["pid"]
        wrapper.seen_workers.add(pid)
        wrapper.wait_until(lambda: len(status(path)["workers"]) == 2, "two workers")
        before = children(pid)
        wrapper.seen_workers.update(before)
        os.kill(pid, signal.SIGWINCH)
        wait_until_gone(*before)
        assert status(path)["workers"] == []
        os.kill(pid, signal.SIGHUP)
        wrapper.wait_until(lambda: len(status(path)["workers"]) == 2, "two workers")
        wrapper.seen_workers.update(children(pid))
        assert ctl(path, "stop").returncode == 0
        assert wrapper.wait() == 0


def test_upgrade(tmp_path: Path, path: Path) -> None:
    unix = tmp_path / "socket"
    with Controlled(tmp_path, path, "--bind", "127.0.0.1:0", "--bind", f"unix:{unix}") as master:
        old = master.process.pid
        before = master.workers
        assert ctl(path, "upgrade").returncode == 0
        assert master.wait() == 0
        new = status(path)["master"]["pid"]
        master.successors.update((new, *children(new)))
        assert new != old
        assert not any(map(is_running, before))
        assert unix.exists()
        assert int(master.text().split()[1]) in children(new)
        assert ctl(path, "stop").returncode == 0
        wait_until_gone(*master.successors)
        assert not unix.exists()
        assert not path.exists()


def test_upgrade_by_signals(tmp_path: Path, path: Path) -> None:
    """As gunicorn's: the old one goes on until it is told to end."""
    with Controlled(tmp_path, path) as master:
        before = master.workers
        master.send(signal.SIGUSR2)
        master.wait_until(
            lambda: status(path)["master"]["pid"] != master.process.pid, "another master"
        )
        new = status(path)["master"]["pid"]
        master.successors.update((new, *children(new)))
        assert set(before) <= set(master.workers)
        assert master.stop() == 0
        assert int(master.text().split()[1]) in children(new)
        assert ctl(path, "stop").returncode == 0
        wait_until_gone(*master.successors)


def test_upgrade_that_fails(tmp_path: Path, path: Path) -> None:
    variables = {"WORKING_FAILS": str(tmp_path / "fails")}
    with Controlled(tmp_path, path, env=variables) as master:
        before = master.workers
        (tmp_path / "fails").touch()
        done = ctl(path, "upgrade")
        assert done.returncode == 1
        assert done.stderr == "Error: the new master could not start.\n"
        assert master.workers == before
        assert int(master.text().split()[1]) in before
        assert list(tmp_path.glob("control*")) == [path]
        assert master.stop() == 0


def test_upgrade_that_fails_before_there_is_a_master(tmp_path: Path, path: Path) -> None:
    """The file of the Unix socket stays the old one's."""
    unix, source = tmp_path / "socket", tmp_path / "own.py"
    source.write_bytes((APPS / "working.py").read_bytes())
    options = ("--preload", "--bind", "127.0.0.1:0", "--bind", f"unix:{unix}")
    with Mastering(
        tmp_path, "own:app", *options, "--control-socket", str(path), cwd=tmp_path
    ) as master:
        source.write_text("1 / 0\n")
        done = ctl(path, "upgrade")
        assert done.stderr == "Error: the new master could not start.\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix))
        assert list(tmp_path.glob("control*")) == [path]
        assert master.stop() == 0
    assert not unix.exists()


def test_old_master_that_ends_before_the_new_one_serves(tmp_path: Path, path: Path) -> None:
    """It takes its pidfile along; the new one makes its own."""
    pidfile, waits = tmp_path / "pid", tmp_path / "waits"
    options = ("--pidfile", str(pidfile))
    with Controlled(tmp_path, path, *options, env={"WORKING_WAITS": str(waits)}) as master:
        waits.touch()
        master.send(signal.SIGUSR2)
        started = re.compile(r"Started parent process \[(\d+)\]")
        master.wait_until(lambda: len(started.findall(master.log)) == 2, "another master")
        new = int(started.findall(master.log)[1])
        master.successors.add(new)
        master.wait_until(lambda: bool(children(new)), "its worker")
        master.successors.update(children(new))
        master.stop()
        assert not pidfile.exists()
        waits.unlink()
        wait_until(lambda: pidfile.exists() and pidfile.read_text() == f"{new}\n", "the pidfile")
        master.successors.update(children(new))
        os.kill(new, signal.SIGTERM)
        wait_until_gone(*master.successors)
        assert not pidfile.exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_upgrade_that_is_taken_back(tmp_path: Path, path: Path, end: signal.Signals) -> None:
    """The new master serves, and is ended: the old one is found at its places again."""
    unix, pidfile = tmp_path / "socket", tmp_path / "pid"
    options = ("--bind", "127.0.0.1:0", "--bind", f"unix:{unix}", "--pidfile", str(pidfile))
    with Controlled(tmp_path, path, *options) as master:
        old = master.process.pid
        master.send(signal.SIGUSR2)
        master.wait_until(lambda: pidfile.read_text() != f"{old}\n", "another master")
        new = int(pidfile.read_text())
        master.wait_until(lambda: status(path)["master"]["pid"] == new, "its control socket")
        workers = children(new)
        master.successors.update((new, *workers))
        os.kill(new, end)
        wait_until_gone(*workers)
        master.wait_for("which was to replace this one, ended")
        master.wait_until(
            lambda: path.exists() and ctl(path, "status").returncode == 0, "the old one's"
        )
        assert status(path)["master"]["pid"] == old
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert pidfile.read_text() == f"{old}\n"
        assert unix.exists()
        # And once more, to the end this time.
        assert ctl(path, "upgrade").returncode == 0
        assert master.wait() == 0
        last = status(path)["master"]["pid"]
        master.successors.update((last, *children(last)))
        assert pidfile.read_text() == f"{last}\n"
        assert ctl(path, "stop").returncode == 0
        wait_until_gone(*master.successors)
        assert not any(each.exists() for each in (unix, path, pidfile))
