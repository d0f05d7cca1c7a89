# SPDX-License-Identifier: MIT
"""How long answers take at half of what a server can do at most: `python -m bench http --latency`.

Each server has its own rate: half of the requests a second that wrk gets out of it at full load in
the same run. paced_client.c asks at that rate, and counts from when a request was due. Slices
alternate, and the middle one of each figure is told.
"""

import contextlib
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench import compiled, processor, summary
from bench.error import BenchError
from bench.http import comparison, wrk
from bench.http.apps import TARGETS, Target
from bench.http.server import Server

SOURCE = Path(__file__).with_name("paced_client.c")

PART = 0.5
"""Of the peak rate."""


class Latency(NamedTuple):
    """One slice at a fixed rate; times in milliseconds."""

    answered: int
    p50: float
    p99: float
    p999: float
    most: float


def parse(text: str) -> Latency:
    """Read the client's line. Raises BenchError."""
    words = text.split()
    if len(words) != 5:
        raise BenchError(f"paced_client: report not understood: {text.strip()[:200]!r}")
    return Latency(int(words[0]), *map(float, words[1:]))


def sample(server: Server, rate: float, seconds: int) -> Latency:
    """Ask at a rate for some seconds. Raises BenchError."""
    target = server.target
    arguments = (server.port, target.path, target.connections, rate, seconds)
    result = subprocess.run(
        [compiled.build(SOURCE), *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=processor.pin_to(processor.cores()[1]),
    )
    if result.returncode != 0:
        raise BenchError(f"{target.title} on {server.name}: {result.stderr.strip()}")
    latency = parse(result.stdout)
    if latency.answered < 0.99 * rate * seconds:
        raise BenchError(f"{server.name} answers {latency.answered} of {rate * seconds:.0f}")
    return latency


def compare(
    target: Target, names: list[str], rounds: int, seconds: int
) -> tuple[dict[str, float], dict[str, list[Latency]]]:
    """The rate of each server, and its samples, one for each round."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(name, target)) for name in names]
        comparison.check_replies(servers)
        peaks: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(3):
            for server in servers:
                peaks[server.name].append(comparison.sample(server, seconds).per_second)
        rates = {name: PART * summary.quartiles(peaks[name])[1] for name in names}
        samples: dict[str, list[Latency]] = {name: [] for name in names}
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                samples[server.name].append(sample(server, rates[server.name], seconds))
        return rates, samples


def run(targets: list[str], names: list[str], rounds: int, seconds: int) -> None:
    """Print the table. Raises BenchError for a target that is no plain GET over TCP."""
    wrk.find()
    rows: list[list[str]] = []
    for app in targets:
        target = TARGETS[app]
        if target.script or target.body or target.tls:
            raise BenchError(f"--latency is for plain requests, and '{target.title}' is none")
        rates, samples = compare(target, comparison.possible(target, names), rounds, seconds)
        for name, taken in samples.items():
            middles = [
                summary.quartiles([getattr(one, field) for one in taken])[1]
                for field in ("p50", "p99", "p999", "most")
            ]
            figures = [f"{middle:.2f}" for middle in middles]
            rows.append([target.title, name, f"{rates[name]:,.0f}", *figures])
    print(f"\n### Latency at half of the own peak rate: {rounds} × {seconds} s\n")
    head = ["one worker, one core", "server", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms"]
    print(summary.table(head, rows), flush=True)
