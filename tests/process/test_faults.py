# SPDX-License-Identifier: MIT
"""Calls of the kernel that fail, by strace's doing: who connects is served all the same."""

import asyncio
import os
import shutil
import subprocess
import sys
from signal import SIGTERM

import pytest

from bench.drain.clients import Count, Load
from bench.drain.servers import HOST, Process, free_port


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=getpid:error=ENOSYS", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace, which makes calls fail, does not work here")
@pytest.mark.parametrize(
    "fault", ["EINTR", "ECONNABORTED", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"]
)
def test_accept_that_fails(fault: str) -> None:
    """Every third call. It is not the connection's fault, which is accepted by a later one."""
    port = free_port()
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4"]
    inject = ["-e", f"inject=accept4:error={fault}:when=2+3"]
    server = [sys.executable, "-m", "camshaft", "app:app", "--port", str(port)]

    async def run(process: Process) -> Count:
        async with Load(HOST, process.port, fresh=10, plain=5) as load:
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
