# SPDX-License-Identifier: MIT
"""Workers that are replaced: at a reload, after a crash, when they hang, when they are old."""

import contextlib
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from command_process import SANITIZED
from masters import APPS, Mastering, wait_until_gone


def copied(directory: Path) -> Path:
    """A copy of the application that a test may change."""
    shutil.copy(APPS / "working.py", directory / "working.py")
    return directory / "working.py"


def test_reload_brings_new_code(tmp_path: Path) -> None:
    source = copied(tmp_path)
    with Mastering(tmp_path, "working:app", cwd=tmp_path) as master:
        before = set(master.workers)
        assert master.text().startswith("first ")
        source.write_text(source.read_text().replace('"first"', '"second, which is longer"'))
        master.send(signal.SIGHUP)
        after = master.wait_for_workers(2, without=before)
        assert master.text().startswith("second")
        wait_until_gone(*before)
        # One by one, and the new one first: never fewer than two that serve.
        order = [
            line
            for line in master.lines
            if "Application startup complete" in line or "Shutting down" in line
        ]
        assert [line.split()[1] for line in order] == ["Application"] * 3 + [
            "Shutting",
            "Application",
            "Shutting",
        ]
        assert len(after) == 2
        assert master.stop() == 0


def test_reload_of_broken_code_leaves_the_old_ones(tmp_path: Path) -> None:
    source = copied(tmp_path)
    with Mastering(tmp_path, "working:app", cwd=tmp_path) as master:
        before = master.workers
        good = source.read_text()
        source.write_text("this is no Python")
        master.send(signal.SIGHUP)
        master.wait_for("the restart is given up")
        assert master.workers == before
        assert int(master.text().split()[1]) in before
        source.write_text(good.replace('"first"', '"mended, which is longer"'))
        master.send(signal.SIGHUP)
        master.wait_for_workers(2, without=set(before))
        assert master.text().startswith("mended")
        assert master.stop() == 0


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app") as master:
        for _ in range(5):
            killed, other = master.workers
            os.kill(killed, signal.SIGKILL)
            assert other in master.wait_for_workers(2, without={killed})
        assert master.log.count("died: SIGKILL.") == 5
        assert master.stop() == 0


def test_only_worker_is_replaced(tmp_path: Path) -> None:
    """While there is none, whoever comes waits in the listener's queue."""
    with Mastering(tmp_path, "working:app") as master:
        killed = master.workers
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert int(master.text().split()[1]) not in killed
        master.wait_for_workers(2, without=set(killed))
        assert master.stop() == 0


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer takes SIGSEGV for itself")
def test_crash_leaves_its_stack(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app") as master:
        crashed = master.workers[0]
        os.kill(crashed, signal.SIGSEGV)
        master.wait_for_workers(2, without={crashed})
        assert f"Worker [{crashed}] died: SIGSEGV.\nFatal Python error: Segmentation fault" in (
            master.log
        )
        assert master.stop() == 0


def test_blocked_loop_is_shown_and_replaced(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app", "--timeout-worker-blocked", "1") as master:
        before = master.workers

        def block() -> None:
            try:
                master.get("/block?600")
            except OSError:
                pass

        client = threading.Thread(target=block)
        client.start()
        master.wait_for("blocking")
        (blocked,) = [pid for pid in before if f"app [{pid}]: blocking" in master.log]
        (other,) = set(before) - {blocked}
        while "has a blocked event loop" not in master.log:
            assert int(master.text().split()[1]) != blocked
        assert other in master.wait_for_workers(2, without={blocked})
        client.join()
        assert f"CRITICAL: Worker [{blocked}] has a blocked event loop" in master.log
        assert "in block_the_loop" in master.log
        assert master.log.count("has a blocked event loop") == 1
        assert master.stop() == 0


def test_quick_end_while_a_blocked_worker_is_ended(tmp_path: Path) -> None:
    """What is to kill it is not forgotten."""
    with Mastering(tmp_path, "working:app", "--timeout-worker-blocked", "1") as master:

        def block() -> None:
            with contextlib.suppress(OSError):
                master.get("/block-for-good?600")

        client = threading.Thread(target=block)
        client.start()
        master.wait_for("has a blocked event loop")
        assert master.stop(signal.SIGQUIT) == 0
        client.join()


def test_import_that_takes_too_long(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text("import time\ntime.sleep(600)\n")
    limit = 15 if SANITIZED else 1
    with Mastering(
        tmp_path,
        "sleeping:app",
        "--timeout-worker-startup",
        str(limit),
        cwd=tmp_path,
        ready="Started parent process",
    ) as master:
        assert master.wait() == 3
        assert f"failed to start (has not started within {limit} s)" in master.log
        assert "sleeping.py" in master.log


def test_slow_import_is_no_blocked_loop(tmp_path: Path) -> None:
    source = copied(tmp_path)
    source.write_text("import time\ntime.sleep(3)\n" + source.read_text())
    with Mastering(
        tmp_path, "working:app", "--timeout-worker-blocked", "0.5", cwd=tmp_path
    ) as master:
        assert "blocked" not in master.log
        assert master.stop() == 0


def test_limit_of_requests(tmp_path: Path) -> None:
    with Mastering(tmp_path, "working:app", "--limit-max-requests", "5") as master:
        before = set(master.workers)
        while set(master.workers) & before:
            # Whether none is lost meanwhile is another test's question.
            with contextlib.suppress(OSError):
                master.text()
        master.wait_for("is to be replaced: it has answered 5 requests.")
        assert master.stop() == 0


def test_lifetime(tmp_path: Path) -> None:
    """One worker has a master, too, if there is something for it to do."""
    with Mastering(
        tmp_path, "working:app", "--limit-worker-lifetime", "1", workers=1, ready="complete."
    ) as master:
        master.wait_for("is to be replaced: it has lived for 1 s.")
        master.wait_until(lambda: len(master.started) >= 3, "a third worker")
        assert master.stop() == 0


def test_memory(tmp_path: Path) -> None:
    source = copied(tmp_path)
    source.write_text(f"{source.read_text()}\nHELD = b'x' * (100 << 20)\n")
    with Mastering(
        tmp_path,
        "working:app",
        "--limit-worker-memory",
        "100",
        workers=1,
        cwd=tmp_path,
        ready="complete.",
    ) as master:
        master.wait_for("MiB of memory.")
        master.wait_until(lambda: len(master.started) >= 2, "another worker")
        assert master.stop() == 0


def test_worker_that_is_imported_ends_with_its_master(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(
        "import sys, time\nprint('sleeping', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    )
    with Mastering(tmp_path, "sleeping:app", cwd=tmp_path, ready="sleeping") as master:
        (worker,) = master.workers
        master.process.kill()
        wait_until_gone(worker)


def test_idle_connections_of_a_replaced_worker(tmp_path: Path) -> None:
    """Others serve, and nobody waits for its end: they end when they would have without it."""
    times = ("--timeout-linger", "0.05", "--timeout-keep-alive", "600")
    times += ("--timeout-graceful-shutdown", "inf")
    with (
        Mastering(tmp_path, "working:app", *times) as master,
        contextlib.ExitStack() as stack,
    ):
        before = set(master.workers)
        connections = {}
        while set(connections) != before:
            connection = stack.enter_context(contextlib.closing(master.connection()))
            connection.request("GET", "/")
            connections[int(connection.getresponse().read().split()[1])] = connection
        master.send(signal.SIGHUP)
        master.wait_until(lambda: master.log.count("Shutting down") == 2, "their end")
        # The other two have been started since the first was told to end.
        assert len(set(master.workers) - before) == 2
        for pid, connection in connections.items():
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.getheader("connection") == "close"
            assert int(response.read().split()[1]) == pid
        wait_until_gone(*before)
        assert master.stop() == 0
