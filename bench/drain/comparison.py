# SPDX-License-Identifier: MIT
"""What each server loses: the scenarios, and the table of them."""

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import processor
from bench.drain import servers
from bench.drain.clients import Count, Load
from bench.drain.servers import HOST, SERVERS, Process
from bench.error import BenchError
from bench.http import wrk

__all__ = ["SCENARIOS", "SERVERS", "run"]

# 40 plain clients, and those whose connections are harder to end.
CLIENTS = {"plain": 40, "stream": 20, "ws": 10}


class Row:
    """One line of the table: what was counted, and the losses one by one."""

    def __init__(self, title: str, cells: dict[str, object], count: Count | None = None) -> None:
        self.title = title
        self.cells = cells
        self.count = count


def losses(count: Count) -> dict[str, object]:
    by_kind = count.lost_by_kind()
    return {
        "answered": sum(count.answers.values()),
        "lost": len(count.lost),
        "plain": by_kind["plain"],
        "stream": by_kind["stream"],
        "ws": by_kind["ws"],
        "refused": count.refused,
        "denied": sum(count.denied.values()),
        "closes": " ".join(f"{code}:{n}" for code, n in sorted(count.closes.items())),
    }


async def wait_for(condition: Callable[[], bool], limit: float) -> float | None:
    """Seconds until a state, None if it does not come."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            return None
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def reloads(name: str, times: int, seconds: float) -> Row:
    """SIGHUPs at equal distances, under load."""
    with servers.start(name, 2) as server:
        before = set(server.workers())
        async with Load(HOST, server.port, **CLIENTS) as load:
            began = time.monotonic()
            for at in range(times):
                await asyncio.sleep(max(0.0, began + at * seconds / times - time.monotonic()))
                server.send(signal.SIGHUP)
            await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
            changed = not before & set(load.count.workers)
            with contextlib.suppress(TimeoutError):
                await load.answered(200, 10)
        row = Row(f"SIGHUP x{times} in {seconds:g} s", losses(load.count), load.count)
        row.cells["workers"] = len(load.count.workers) - (1 if "" in load.count.workers else 0)
        if not changed and len(load.count.workers) <= len(before):
            row.cells["workers"] = f"{row.cells['workers']} (none new)"
        return row


async def kills(name: str, times: int) -> Row:
    """kill -9 of a worker, the next when as many as before answer again.

    By whom that is, clients tell who come anew for each request: those that keep their connections
    may all be with another worker.
    """
    with servers.start(name, 2) as server:
        load = Load(HOST, server.port, **CLIENTS, fresh=4)
        slowest = 0.0
        late = 0
        at_once: Counter[int] = Counter()
        async with load:
            await load.answered(100)
            for _ in range(times):
                alive = [pid for pid in server.workers() if str(pid) in load.count.workers]
                if not alive:
                    await asyncio.sleep(0.1)
                    continue
                victim = alive[-1]
                known = set(load.count.workers)
                lost = len(load.count.lost)
                os.kill(victim, signal.SIGKILL)
                took = await wait_for(lambda: bool(set(load.count.workers) - known), 10)  # noqa: B023
                if took is None:
                    late += 1
                else:
                    slowest = max(slowest, took)
                at_once[len(load.count.lost) - lost] += 1
                if server.poll() is not None:
                    break
        row = Row(f"kill -9 x{times}", losses(load.count), load.count)
        row.cells["slowest"] = f"{slowest:.2f} s" + (f", {late} never" if late else "")
        # One of each client is under way at most: what a worker that dies takes with it.
        row.cells["most"] = max(at_once, default=0)
        return row


async def term(name: str, times: int) -> Row:
    """SIGTERM under load; clients that come afterwards are served or refused, never reset."""
    total = Count()
    took = 0.0
    reset = 0
    for _ in range(times):
        with servers.start(name, 2) as server:
            async with Load(HOST, server.port, **CLIENTS) as load:
                await load.answered(200)
                server.send(signal.SIGTERM)
                began = time.monotonic()
                reset += await newcomers(server, 50)
                try:
                    await server.ended(40)
                except BenchError:
                    took = float("inf")
                took = max(took, time.monotonic() - began)
                if server.poll() is None:
                    server.close()
        count = load.count
        total.answers += count.answers
        total.lost += count.lost
        total.refused += count.refused
        total.closes += count.closes
        total.denied += count.denied
    row = Row(f"SIGTERM x{times}", losses(total), total)
    row.cells["slowest"] = f"{took:.1f} s"
    row.cells["new reset"] = reset
    return row


async def newcomers(server: Process, clients: int) -> int:
    """How many that connect one after the other are let in and get no answer."""
    reset = 0
    for _ in range(clients):
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(HOST, server.port), timeout=5
            )
        except (OSError, TimeoutError):
            continue
        try:
            writer.write(b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            reset += not await asyncio.wait_for(reader.read(), 30)
        except (OSError, TimeoutError):
            reset += 1
        finally:
            writer.close()
        await asyncio.sleep(0.002)
    return reset


async def endless(name: str, limit: float = 45.0) -> Row:
    """SIGTERM with an endless response: whether it hears of it, and the server ends."""
    with servers.start(name, 2) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"data: x")
        server.send(signal.SIGTERM)
        began = time.monotonic()
        data = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(limit):
                while piece := await reader.read(65536):
                    data = (data + piece)[-200:]
        ended = await wait_for(
            lambda: server.poll() is not None, max(0.0, limit + began - time.monotonic())
        )
        writer.close()
        took = "never" if ended is None else f"{time.monotonic() - began:.1f} s"
        return Row("SIGTERM, endless stream", {"hears": "bye" in data.decode(), "ends": took})


async def blocked(name: str) -> Row:
    """A loop blocked for 10 s, of which 3 are allowed: when another worker answers in its place,
    and what is lost.
    """
    with servers.start(name, 2, blocked=3) as server:
        async with Load(HOST, server.port, plain=40, fresh=4) as load:
            await load.answered(200)
            known = set(load.count.workers)
            _, writer = await asyncio.open_connection(HOST, server.port)
            writer.write(b"GET /block?10 HTTP/1.1\r\nHost: x\r\n\r\n")
            took = await wait_for(lambda: bool(set(load.count.workers) - known), 60)
            writer.close()
            await load.answered(200)
        row = Row("loop blocked for 10 s", losses(load.count), load.count)
        row.cells["replaced"] = "never" if took is None else f"{took:.1f} s"
        row.cells["stack"] = "time.sleep" in server.log or "in app" in server.log
        return row


async def evenness(name: str, seconds: float) -> Row:
    """Requests of 4 workers under 100 keep-alive connections."""
    with servers.start(name, 4) as server:
        async with Load(HOST, server.port, plain=100) as load:
            await asyncio.sleep(seconds)
        counts = [n for worker, n in load.count.workers.items() if worker]
        counts += [0] * (4 - len(counts))
        ratio = max(counts) / min(counts) if min(counts) else float("inf")
        return Row("4 workers", {"busiest/idlest": f"{ratio:.2f}", "requests": sorted(counts)})


async def idle(name: str, seconds: float) -> Row:
    """What the master alone costs while nobody asks."""
    with servers.start(name, 2) as server:
        await asyncio.sleep(2)
        before = processor.wake_ups(server.pid)
        await asyncio.sleep(seconds)
        woken = (processor.wake_ups(server.pid) - before) / seconds
        pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return Row("idle master", {"wake-ups/s": f"{woken:.1f}", "resident": f"{resident:.1f} MB"})


async def scale(name: str, rounds: int, seconds: int) -> Row:
    """What a request costs one worker and two, by the CPU time of all their processes.

    The client takes a part of the cores, so how many requests there are in a second says little;
    how many two workers would answer with a core for each follows from what one costs.
    """
    costs: dict[int, list[float]] = {1: [], 2: []}
    with servers.start(name, 1) as one, servers.start(name, 2) as two:
        for _ in range(rounds):
            for workers, server in ((1, one), (2, two)):
                url = f"http://{HOST}:{server.port}/quick"
                before = sum(map(processor.cpu_time, processor.family(server.pid)))
                load = await asyncio.to_thread(wrk.run, url, seconds, 64)
                used = sum(map(processor.cpu_time, processor.family(server.pid))) - before
                costs[workers].append(used / load.requests / 1000)
    first, second = (statistics.median(costs[workers]) for workers in (1, 2))
    times = f"{2 * first / second:.2f}"
    cells = {"µs, one": f"{first:.1f}", "µs, two": f"{second:.1f}", "times": times}
    return Row("CPU per request of one worker and of two", cells)


SCENARIOS: dict[str, Callable[[str, bool], Awaitable[Row]]] = {
    "hup": lambda name, quick: reloads(name, 3 if quick else 20, 6 if quick else 60),
    "kill": lambda name, quick: kills(name, 5 if quick else 100),
    "term": lambda name, quick: term(name, 1 if quick else 5),
    "endless": lambda name, quick: endless(name),
    "blocked": lambda name, quick: blocked(name),
    "even": lambda name, quick: evenness(name, 2 if quick else 10),
    "idle": lambda name, quick: idle(name, 2 if quick else 10),
    "scale": lambda name, quick: scale(name, 1 if quick else 5, 1 if quick else 3),
}


def run(names: list[str], scenarios: list[str], rounds: int, *, quick: bool) -> bool:
    """Print a table for each scenario; whether camshaft, if it is among them, has lost nothing."""
    clean = True
    for scenario in scenarios:
        rows: list[tuple[str, Row]] = []
        for name in names:
            for _ in range(rounds):
                try:
                    row = asyncio.run(SCENARIOS[scenario](name, quick))
                except BenchError as error:
                    row = Row(scenario, {"error": str(error).splitlines()[0]})
                rows.append((name, row))
                if name == "camshaft" and scenario in ("hup", "term"):
                    for loss in row.count.lost[:20] if row.count else ():
                        print(f"{scenario}: {loss}", file=sys.stderr)
                    clean = clean and row.cells.get("lost") == 0
        table(rows)
    return clean


def table(rows: list[tuple[str, Row]]) -> None:
    columns = list(dict.fromkeys(column for _, row in rows for column in row.cells))
    print(f"\n**{rows[0][1].title}**\n")
    print(f"| server | {' | '.join(columns)} |")
    print(f"|---|{'---|' * len(columns)}")
    for name, row in rows:
        print(f"| {name} | {' | '.join(str(row.cells.get(c, '')) for c in columns)} |")
    sys.stdout.flush()
