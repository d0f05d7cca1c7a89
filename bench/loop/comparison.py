# SPDX-License-Identifier: MIT
"""Loops beside each other: in process, case by case; and under echo load."""

import contextlib
import functools
import subprocess
from collections.abc import Callable

from bench import environment, processor, summary
from bench.error import BenchError
from bench.loop import echo
from bench.loop.cases import TITLES
from bench.loop.contenders import BASE

MISSING = 77


def measure(case: str, seconds: float, loop: str) -> float | None:
    """Nanoseconds of CPU per operation, from a process of its own; None if the loop is missing."""
    result = subprocess.run(
        [environment.PYTHON, "-m", "bench.loop.worker", loop, case, str(seconds)],
        cwd=environment.CHECKOUT,
        env=environment.variables(),
        capture_output=True,
        text=True,
        preexec_fn=processor.pin_to(processor.cores()[0]),
    )
    if result.returncode == MISSING:
        return None
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise BenchError(f"{case} on {loop} failed ({result.returncode}): {last}")
    return float(result.stdout)


def in_turns(
    loops: list[str], rounds: int, take: Callable[[str], float | None]
) -> dict[str, list[float]]:
    """Samples by loop, the order reversed every round. A loop that is missing has none."""
    samples: dict[str, list[float]] = {loop: [] for loop in loops}
    for number in range(rounds):
        for loop in loops if number % 2 == 0 else reversed(loops):
            value = take(loop)
            if value is not None:
                samples[loop].append(value)
    return samples


def ratio(samples: dict[str, list[float]], loop: str, base: str) -> str:
    """How many times as fast as the base, from costs; a dash for a loop that is not there."""
    if not samples[loop] or not samples[base]:
        return "–"
    return summary.ratio(samples[base], samples[loop])


def run(loops: list[str], cases: list[str], rounds: int, seconds: float) -> None:
    """Print CPU per operation of the base, and how many times as fast the others are."""
    base = BASE if BASE in loops else loops[0]
    others = [loop for loop in loops if loop != base]
    rows = []
    for case in cases:
        samples = in_turns(loops, rounds, functools.partial(measure, case, seconds))
        cost = f"{summary.quartiles(samples[base])[1]:,.0f}" if samples[base] else "–"
        rows.append([TITLES[case], cost, *(ratio(samples, loop, base) for loop in others)])
    print(f"\n### CPU per operation in process, {rounds} rounds\n")
    head = ["", f"{base} ns", *(f"{loop} ×" for loop in others)]
    print(summary.table(head, rows), flush=True)


def run_echo(loops: list[str], connections: list[int], rounds: int, seconds: float) -> None:
    """Print messages per second and CPU per message of the base, and the others' ratios."""
    echo.build_client()
    rows = []
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(echo.EchoServer(loop)) for loop in loops]
        servers = [server for server in servers if server.port != 0]
        base = BASE if any(server.name == BASE for server in servers) else servers[0].name
        for count in connections:
            samples: dict[str, list[echo.Trips]] = {server.name: [] for server in servers}
            for server in servers:
                server.load(count, seconds / 2)  # warm up
            for number in range(rounds):
                for server in servers if number % 2 == 0 else reversed(servers):
                    samples[server.name].append(server.load(count, seconds))
            rate = {name: [trip.per_second for trip in trips] for name, trips in samples.items()}
            cpu = {name: [trip.cpu for trip in trips] for name, trips in samples.items()}
            others = [server.name for server in servers if server.name != base]
            rows.append(
                [
                    f"{echo.SIZE} B × {count} connections",
                    f"{summary.quartiles(rate[base])[1]:,.0f}",
                    f"{summary.quartiles(cpu[base])[1]:.1f}",
                    *(summary.ratio(rate[name], rate[base]) for name in others),
                    *(summary.ratio(cpu[base], cpu[name]) for name in others),
                ]
            )
    print(f"\n### Echo, asyncio.Protocol, {rounds} × {seconds:g} s\n")
    head = ["", f"{base} msg/s", f"{base} CPU µs"]
    head += [f"{name} × msg/s" for name in others] + [f"{name} × CPU" for name in others]
    print(summary.table(head, rows), flush=True)
