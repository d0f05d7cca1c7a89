# SPDX-License-Identifier: MIT
"""Calls of the kernel that fail, by strace's doing: who connects is served all the same."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from command_process import run_command

from bench.drain.clients import Count, Load
from bench.drain.servers import HOST, LIMIT, Process, children, free_port


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=getpid:error=ENOSYS", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace, which makes calls fail, does not work here")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "fault", ["EINTR", "ECONNABORTED", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"]
)
def test_accept_that_fails(fault: str, workers: int) -> None:
    """Every third call. It is not the connection's fault, which is accepted by a later one."""
    port = free_port()
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4"]
    inject = ["-e", f"inject=accept4:error={fault}:when=2+3"]
    server = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port)]
    server += ["--workers", str(workers)]

    async def run(process: Process) -> Count:
        async with Load(HOST, process.port, fresh=10, plain=5) as load:
            while len(load.count.workers) < workers:
                await load.answered(1)
            await load.answered(200)
        return load.count

    with Process([*strace, *inject, *server, "--no-access-log"], port, env=dict(os.environ)) as it:
        it.wait_until_it_answers()
        count = asyncio.run(run(it))
        os.kill(it.workers()[0], SIGTERM)
        it.wait()
        log = it.log
    assert count.lost == []
    assert count.refused == 0
    assert set(count.answers) == {"fresh", "plain"}
    # Told once in a while and not each time; what is nobody's fault, not at all.
    told = log.count("out of system resource")
    assert told == 0 if fault in ("EINTR", "ECONNABORTED") else told >= 1


@pytest.mark.skipif(not can_trace(), reason="strace, which makes calls fail, does not work here")
@pytest.mark.parametrize(
    ("calls", "fault", "options"),
    [
        ("?vfork,?clone", "EAGAIN", ""),
        ("?vfork,?clone", "ENOMEM", ""),
        ("?vfork,?clone", "EINTR", ""),
        ("memfd_create", "ENFILE", ""),
        ("?clone", "EAGAIN", "--preload"),
        ("?clone", "ENOMEM", "--preload"),
    ],
)
def test_process_that_cannot_be_started(calls: str, fault: str, options: str) -> None:
    """The first of all as well: it is tried again until the system has room for it."""
    port = free_port()
    # The first two of this kind are of the plan and the table.
    when = "3..4" if calls == "memfd_create" else "1..2"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    inject = ["-e", f"inject={calls}:error={fault}:when={when}"]
    server = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port), "--workers", "2"]

    async def run(process: Process, master: int) -> Count:
        async with (
            asyncio.timeout(LIMIT),
            Load(HOST, process.port, fresh=5, plain=5) as load,
        ):
            while len(load.count.workers) < 2:
                await load.answered(1)
            # Under strace, and so with the same calls failing in those that it starts.
            (victim, *_) = children(master)
            known = set(load.count.workers)
            os.kill(victim, SIGKILL)
            while not set(load.count.workers) - known:
                await load.answered(1)
        return load.count

    with Process(
        [*strace, *inject, *server, *options.split(), "--no-access-log"],
        port,
        env=dict(os.environ),
    ) as it:
        it.wait_until_it_answers()
        (master,) = it.workers()
        count = asyncio.run(run(it, master))
        os.kill(master, SIGTERM)
        assert it.wait() == 0
        log = it.log
    assert "Cannot start a worker: " in log
    assert "It is tried again in 0.25 s" in log
    assert "Traceback" not in log
    assert count.refused == 0


def test_log_on_a_full_device() -> None:
    """What cannot be written is dropped, and no request suffers."""
    port = free_port()
    command = 'exec "$@" >/dev/full 2>/dev/full'
    server = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port)]

    async def run(process: Process) -> Count:
        async with Load(HOST, process.port, fresh=5, plain=5) as load:
            await load.answered(100)
        return load.count

    with Process(["sh", "-c", command, "sh", *server], port, env=dict(os.environ)) as it:
        it.wait_until_it_answers()
        count = asyncio.run(run(it))
        it.send(SIGTERM)
        assert it.wait() == -SIGTERM
    assert count.lost == []
    assert count.refused == 0


def test_lines_that_a_full_device_does_not_take_are_counted(tmp_path: Path) -> None:
    """Those that the server writes itself, those of `logging`, and the master's."""
    port = free_port()
    path = tmp_path / "control"
    command = 'exec "$@" >/dev/full 2>/dev/full'
    server = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port)]
    server += ["--workers", "2", "--control-socket", str(path)]

    def lost() -> tuple[int, int]:
        shown = run_command("ctl", "--socket", str(path), "status", "--json")
        state = json.loads(shown.stdout)
        workers = sum(worker["lost_log_lines"] for worker in state["workers"])
        return state["master"]["lost_log_lines"], workers

    with Process(["sh", "-c", command, "sh", *server], port, env=dict(os.environ)) as it:
        it.wait_until_it_answers()
        for _ in range(20):
            assert it.answers()
        # Of each worker that it starts, and of each request.
        it.wait_until(lambda: lost()[0] >= 1 and lost()[1] >= 20 + 2 * 3, "counted")
        table = run_command("ctl", "--socket", str(path), "status").stdout
        assert re.search(r"^\d+ lines of the logs were lost", table, re.MULTILINE)
        it.send(SIGTERM)
        assert it.wait() == 0
