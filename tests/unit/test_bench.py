# SPDX-License-Identifier: MIT
"""The benchmarks can be started; what they measure is no test's business."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from bench.error import BenchError
from bench.http import latency
from bench.instructions.counted import parse_log

CHECKOUT = Path(__file__).resolve().parents[2]


def test_help_names_the_parts() -> None:
    """`python -m bench --help` imports everything that runs outside of a measured process."""
    result = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "[{http,ws,loop,instructions,memory,parsers,httptools,drain}]" in result.stdout


DRIVER = """
import sys, time
from bench.drain.servers import Process

server = "import os, time; print(os.fork(), flush=True); time.sleep(600)"
process = Process([sys.executable, "-c", server], 0)
process.wait_until(lambda: process.log.count("\\n") == 2, "forked")
print(process.pid, max(process.log.split(), key=int), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system has no pidfd to wait for")
def test_server_ends_with_a_driver_that_is_killed() -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert driver.stdout is not None
        line = driver.stdout.readline()
        server, child = map(os.pidfd_open, map(int, line.split()))
    finally:
        driver.kill()
        driver.communicate()
    try:
        for each in (server, child):
            assert select.select([each], [], [], 60)[0]
    finally:
        os.close(server)
        os.close(child)


def test_report_of_the_paced_client() -> None:
    assert latency.parse("1000 0.1 0.25 0.5 1.0\n") == (1000, 0.1, 0.25, 0.5, 1.0)
    with pytest.raises(BenchError, match="not understood"):
        latency.parse("1000 0.1\n")


def test_system_calls_are_counted_between_marks_and_for_threads_alone() -> None:
    """A forked child's calls, resumed calls and signals are not the measured process's calls."""
    log = """\
10 read(3, "", 1) = 0
10 access("/camshaft-mark", F_OK) = -1 ENOENT (No such file or directory)
10 clone3({flags=CLONE_VM|CLONE_THREAD|CLONE_SETTLS, child_tid=0x7}, 88 <unfinished ...>
11 futex(0x1, FUTEX_WAKE, 1 <unfinished ...>
10 <... clone3 resumed> => {parent_tid=[11]}, 88) = 11
11 <... futex resumed>) = 0
11 write(4, "x", 1) = 1
10 vfork( <unfinished ...>
12 execve("/bin/true", ["true"], 0x7) = 0
10 <... vfork resumed>) = 12
12 +++ exited with 0 +++
10 --- SIGCHLD {si_signo=SIGCHLD} ---
10 access("/camshaft-mark", F_OK) = -1 ENOENT (No such file or directory)
11 write(4, "x", 1) = 1
10 access("/camshaft-mark", F_OK) = -1 ENOENT (No such file or directory)
10 close(3) = 0
"""
    assert parse_log(log.splitlines()) == [
        {"clone3": 1, "write": 1, "vfork": 1},
        {"write": 1},
    ]
