# SPDX-License-Identifier: MIT
"""Loops beside each other: in process, case by case; and under echo load."""

import contextlib
import functools
import subprocess
from collections.abc import Callable, Sequence

from bench import environment, processor, summary
from bench.error import BenchError
from bench.loop import echo
from bench.loop.cases import TITLES
from bench.loop.contenders import BASE

MISSING = 77
TIMEOUT = 30
# glibc gives memory above a threshold back to the kernel, and takes it anew, page by page: whether
# a case that moves megabytes meets that is chance, and costs as much as the rest of it.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}


class Absent(Exception):
    """A contender cannot be measured; the text is why."""


def measure(case: str, seconds: float, loop: str) -> float:
    """Nanoseconds of CPU per operation, from a process of its own.

    Raises Absent where the loop is not installed or, another's, cannot do it; else BenchError.
    """
    try:
        result = subprocess.run(
            [environment.PYTHON, "-m", "bench.loop.worker", loop, case, str(seconds)],
            cwd=environment.CHECKOUT,
            env=environment.variables() | KEEP_MEMORY,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            preexec_fn=processor.pin_to(processor.cores()[0]),
        )
    except subprocess.TimeoutExpired as error:
        raise Absent(f"{case}: not done after {TIMEOUT} s") from error
    if result.returncode == 0:
        return float(result.stdout)
    last = (result.stderr.strip().splitlines() or ["no output"])[-1]
    if result.returncode == MISSING:
        raise Absent(last)
    if loop == "camshaft":
        raise BenchError(f"{case} on {loop} failed ({result.returncode}): {last}")
    raise Absent(f"{case}: exit code {result.returncode}, {last}")


def in_turns(
    loops: Sequence[str], rounds: int, take: Callable[[str], float], absent: dict[str, str]
) -> dict[str, list[float]]:
    """Samples by loop, the order reversed every round. One that cannot be measured has none; the
    reason is added to `absent`."""
    samples: dict[str, list[float]] = {loop: [] for loop in loops}
    gone = set()
    for number in range(rounds):
        for loop in loops if number % 2 == 0 else reversed(loops):
            if loop in gone:
                continue
            try:
                samples[loop].append(take(loop))
            except Absent as error:
                gone.add(loop)
                samples[loop].clear()
                absent.setdefault(loop, str(error))
    return samples


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Medians and quartiles of ours / theirs; a dash for a loop that is not there."""
    return summary.ratio(ours, theirs) if ours and theirs else "–"


def explain(absent: dict[str, str]) -> None:
    """Why there are dashes."""
    for loop, reason in absent.items():
        print(f"\n–: {loop}: {reason}", flush=True)


def run(loops: list[str], cases: list[str], rounds: int, seconds: float) -> None:
    """Print CPU per operation of the base, and how many times as fast the others are."""
    absent: dict[str, str] = {}
    base = BASE if BASE in loops else loops[0]
    others = [loop for loop in loops if loop != base]
    rows = []
    for case in cases:
        samples = in_turns(loops, rounds, functools.partial(measure, case, seconds), absent)
        cost = f"{summary.quartiles(samples[base])[1]:,.0f}" if samples[base] else "–"
        rows.append([TITLES[case], cost, *(ratio(samples[base], samples[loop]) for loop in others)])
    print(f"\n### CPU per operation in process, {rounds} rounds\n")
    head = ["", f"{base} ns", *(f"{loop} ×" for loop in others)]
    print(summary.table(head, rows), flush=True)
    explain(absent)


def run_echo(loops: list[str], chosen: list[str], rounds: int, seconds: float) -> None:
    """Print messages per second and CPU per message of the base, and the others' ratios."""
    absent: dict[str, str] = {}
    rates, costs = [], []
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(echo.EchoServer(loop)) for loop in [*loops, echo.FLOOR]]
        absent = {server.name: server.missing for server in servers if server.port == 0}
        servers = [server for server in servers if server.port != 0]
        names = [server.name for server in servers]
        base = BASE if BASE in names else names[0]
        others = [name for name in names if name != base]
        for row in chosen:
            size, connections = echo.ROWS[row]
            rate: dict[str, list[float]] = {name: [] for name in names}
            cpu: dict[str, list[float]] = {name: [] for name in names}
            gone = set()
            for number in range(-1, rounds):  # the first is the warm-up
                for server in servers if number % 2 == 0 else reversed(servers):
                    if server.name in gone:
                        continue
                    try:
                        trips = server.load(
                            size, connections, seconds if number >= 0 else seconds / 2
                        )
                    except BenchError as error:
                        if server.name == "camshaft":
                            raise
                        gone.add(server.name)
                        absent.setdefault(server.name, f"{row}: {error}")
                        rate[server.name].clear()
                        cpu[server.name].clear()
                        continue
                    if number >= 0:
                        rate[server.name].append(trips.per_second)
                        cpu[server.name].append(trips.cpu)
            title = f"{size:,} B × {connections:,}"
            floor_rate = floor_cpu = "–"
            if "camshaft" in names:
                floor_rate = ratio(rate["camshaft"], rate[echo.FLOOR])
                floor_cpu = ratio(cpu[echo.FLOOR], cpu["camshaft"])
            rates.append(
                [
                    title,
                    f"{summary.quartiles(rate[base])[1]:,.0f}",
                    *(ratio(rate[name], rate[base]) for name in others),
                    floor_rate,
                ]
            )
            costs.append(
                [
                    title,
                    f"{summary.quartiles(cpu[base])[1]:.1f}",
                    *(ratio(cpu[base], cpu[name]) for name in others),
                    floor_cpu,
                ]
            )
    ratios = [f"{name} ×" for name in others]
    floor = f"camshaft / {echo.FLOOR}"
    print(f"\n### Echo, asyncio.Protocol, messages per second, {rounds} × {seconds:g} s\n")
    print(summary.table(["bytes × connections", base, *ratios, floor], rates), flush=True)
    print("\n### Echo, asyncio.Protocol, the server's CPU per message\n")
    print(summary.table(["bytes × connections", f"{base} µs", *ratios, floor], costs), flush=True)
    explain(absent)
