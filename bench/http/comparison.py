# SPDX-License-Identifier: MIT
"""The servers of a comparison, up at the same time, under the same load in turns."""

import contextlib
import os
import sys
import time
from typing import NamedTuple

from bench import summary
from bench.error import BenchError
from bench.http import wrk
from bench.http.apps import TARGETS, Target
from bench.http.server import Server


class Sample(NamedTuple):
    """One slice of load on one server."""

    per_second: float
    cpu: float
    """Microseconds of CPU per request."""
    p99: float


def check_replies(servers: list[Server]) -> None:
    """All servers must give the same reply, or their speeds cannot be compared: BenchError."""
    first, *others = servers
    expected = first.reply()
    if expected.status != 200:
        raise BenchError(f"{first.name} answers {first.url} with status {expected.status}")
    for server in others:
        reply = server.reply()
        if reply != expected:
            raise BenchError(
                f"{server.name} says {str(reply)[:200]}, but {first.name} {str(expected)[:200]}"
            )


def sample(server: Server, seconds: int) -> Sample:
    """Load one server for some seconds."""
    target = server.target
    before = server.cpu_time()
    load = wrk.run(server.url, seconds, target.connections, target.script)
    used = server.cpu_time() - before
    return Sample(load.per_second, used / load.requests / 1000, load.p99)


def idle_wake_ups(servers: list[Server], seconds: float) -> dict[str, int]:
    """How often each server woke up while nobody asked for anything."""
    time.sleep(1.0)  # what the last connections left to do
    before = {server.name: server.wake_ups() for server in servers}
    time.sleep(seconds)
    return {server.name: server.wake_ups() - before[server.name] for server in servers}


def compare(
    target: Target, names: list[str], rounds: int, seconds: int, idle: float
) -> tuple[dict[str, list[Sample]], dict[str, int]]:
    """Samples by server, one for each round, and wake-ups by server."""
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(name, target)) for name in names]
        check_replies(servers)
        for server in servers:  # warm up: caches, specialised bytecode
            sample(server, 1)
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                samples[server.name].append(sample(server, seconds))
        return samples, idle_wake_ups(servers, idle)


def possible(target: Target, names: list[str]) -> list[str]:
    """Those servers that can do it; why others cannot is printed."""
    able = []
    for name in names:
        try:
            Server(name, target).close()
            able.append(name)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
    return able


def row(title: str, ours: list[Sample], theirs: list[Sample]) -> list[str]:
    """One line of the table: ours beside theirs."""

    def middle(samples: list[Sample], field: str) -> float:
        return summary.quartiles([getattr(sample, field) for sample in samples])[1]

    return [
        title,
        f"{middle(theirs, 'per_second'):,.0f}",
        f"{middle(ours, 'per_second'):,.0f}",
        summary.ratio(
            [sample.per_second for sample in ours], [sample.per_second for sample in theirs]
        ),
        f"{middle(theirs, 'cpu'):.1f}",
        f"{middle(ours, 'cpu'):.1f}",
        summary.ratio([sample.cpu for sample in theirs], [sample.cpu for sample in ours]),
        f"{middle(theirs, 'p99'):.2f}",
        f"{middle(ours, 'p99'):.2f}",
    ]


def run(targets: list[str], names: list[str], rounds: int, seconds: int, idle: float) -> None:
    """Print the tables: each server but the last beside the last, and beside the C server."""
    wrk.find()
    rows: dict[str, list[list[str]]] = {name: [] for name in names[:-1]}
    wakes: list[list[str]] = []
    base = names[-1]
    for app in targets:
        target = TARGETS[app]
        if target.variable and not os.environ.get(target.variable):
            raise BenchError(
                f"'{app}' needs {target.variable}; bench/method.md tells how to set it"
            )
        able = possible(target, names)
        if base not in able:
            raise BenchError(f"{base}, which the ratios are to, cannot serve '{target.title}'")
        samples, woken = compare(target, able, rounds, seconds, idle)
        for name in able[:-1]:
            share = "–"
            if "floor" in able:
                share = summary.ratio(
                    [sample.per_second for sample in samples[name]],
                    [sample.per_second for sample in samples["floor"]],
                )
            rows[name].append([*row(target.title, samples[name], samples[base]), share])
        wakes.append([target.title, *(str(woken.get(name, "–")) for name in names)])
    for name in names[:-1]:
        if not rows[name]:
            continue
        print(f"\n### {name} beside {base}: wrk -t1, {rounds} × {seconds} s\n")
        head = [f"{base} req/s", f"{name} req/s", "ratio"]
        head += [f"{base} CPU µs", f"{name} CPU µs", "CPU ratio"]
        head += [f"{base} p99 ms", f"{name} p99 ms", "of C's"]
        print(summary.table(["one worker, one core", *head], rows[name]))
    print(f"\n### Wake-ups of the idle process in {idle:g} s\n")
    print(summary.table(["", *names], wakes), flush=True)
