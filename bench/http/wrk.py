# SPDX-License-Identifier: MIT
"""The client: wrk with one thread and kept-alive connections, on a core of its own."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench import processor
from bench.error import BenchError

SCRIPTS = Path(__file__).parent / "scripts"


class Load(NamedTuple):
    """What one run of wrk tells."""

    requests: int
    per_second: float
    p99: float
    """Milliseconds within which 99 of 100 replies came."""


def find() -> str:
    """The path of wrk; BenchError says how to get it."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchError("wrk is not on PATH; on Debian: apt install wrk")
    return path


def parse(text: str) -> Load:
    """Read wrk's report. Any failed request fails the measurement: BenchError."""
    trouble = re.search(r"(Socket errors|Non-2xx or 3xx responses): .*", text)
    if trouble:
        raise BenchError(f"wrk: {trouble.group()}")
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    p99 = re.search(r"99%\s*([\d.]+)(us|ms|s)", text)
    if not (requests and rate and p99):
        raise BenchError(f"wrk: report not understood: {text.strip()[-200:]!r}")
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99.group(2)]
    return Load(int(requests.group(1)), float(rate.group(1)), float(p99.group(1)) * scale)


def run(url: str, seconds: int, connections: int, script: tuple[str, ...] = ()) -> Load:
    """Ask for one URL for some seconds; `script` is one of SCRIPTS with its arguments."""
    command = [find(), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if script:
        command += ["-s", str(SCRIPTS / f"{script[0]}.lua")]
    result = subprocess.run(
        [*command, url, *(["--", *script[1:]] if script[1:] else [])],
        capture_output=True,
        text=True,
        preexec_fn=processor.pin_to(processor.cores()[1]),
    )
    if result.returncode != 0:
        raise BenchError(f"wrk: {(result.stderr or result.stdout).strip()[-200:]}")
    return parse(result.stdout)
