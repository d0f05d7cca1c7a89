# SPDX-License-Identifier: MIT
"""The servers of a comparison, up at the same time, echoing the same messages in turns."""

import contextlib
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench import compiled, environment, processor, summary
from bench.error import BenchError
from bench.http.apps import Target
from bench.http.contenders import Command, camshaft, floor_program, uvicorn_like
from bench.http.server import Server


class Row(NamedTuple):
    """What the client sends."""

    kind: str
    size: int
    """Bytes of a message."""
    connections: int
    """Each has one message under way."""


ROWS = {
    "text-64": Row("text", 64, 50),
    "binary-64": Row("binary", 64, 50),
    "text-64k": Row("text", 64 * 1024, 10),
    "binary-64k": Row("binary", 64 * 1024, 10),
}

HERE = Path(__file__).parent
TARGET = Target("WebSocket echo", "ws_echo:app", "/")


def uvicorn(target: Target, port: int) -> list[str | Path]:
    """uvicorn with what it takes by itself where websockets is installed."""
    options = ["--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"]
    return uvicorn_like("uvicorn", target, port, *options)


def uvicorn_wsproto(target: Target, port: int) -> list[str | Path]:
    options = ["--loop", "uvloop", "--http", "httptools", "--ws", "wsproto"]
    return uvicorn_like("uvicorn", target, port, *options)


def core_ws() -> tuple[str, list[Path]]:
    """The core's frames for a program in C: an option of the compiler, and sources."""
    core = environment.CHECKOUT / "csrc" / "core"
    return f"-I{core}", sorted((core / "ws").glob("*.c"))


def floor(_: Target, port: int) -> list[str | Path]:
    """A C server that looks at nothing: what the kernel costs, and masks."""
    option, parts = core_ws()
    return [floor_program(HERE / "ws_floor.c", option, parts=parts), str(port)]


SERVERS: dict[str, Command] = {
    "camshaft": camshaft,
    "uvicorn": uvicorn,
    "uvicorn-wsproto": uvicorn_wsproto,
    "floor": floor,
}


class Sample(NamedTuple):
    """One slice of load on one server."""

    per_second: float
    cpu: float
    """Microseconds of CPU per message."""


def client() -> Path:
    """The client, compiled with the core's frames. Raises BenchError."""
    option, parts = core_ws()
    return compiled.build(HERE / "ws_client.c", option, parts=parts)


def sample(server: Server, row: Row, seconds: float) -> Sample:
    """Load one server for some seconds. Raises BenchError when the client finds a fault."""
    before = server.cpu_time()
    result = subprocess.run(
        [client(), *map(str, (server.port, row.connections, row.size, row.kind, seconds))],
        capture_output=True,
        text=True,
        preexec_fn=processor.pin_to(processor.cores()[1]),
    )
    if result.returncode != 0:
        raise BenchError(f"WebSocket echo on {server.name}: {result.stderr.strip()}")
    used = server.cpu_time() - before
    messages, took = result.stdout.split()
    return Sample(int(messages) / float(took), used / int(messages) / 1000)


def table_row(title: str, ours: list[Sample], theirs: list[Sample]) -> list[str]:
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
    ]


def run(messages: list[str], names: list[str], rounds: int, seconds: float) -> None:
    """Print the tables: each server but the last beside the last."""
    client()
    *others, base = names
    rows: dict[str, list[list[str]]] = {name: [] for name in others}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(name, TARGET, SERVERS)) for name in names]
        for message in messages:
            row = ROWS[message]
            samples: dict[str, list[Sample]] = {name: [] for name in names}
            for server in servers:  # warm up: caches, specialised bytecode
                sample(server, row, min(seconds, 1))
            for number in range(rounds):
                for server in servers if number % 2 == 0 else reversed(servers):
                    samples[server.name].append(sample(server, row, seconds))
            for name in others:
                share = "–"
                if "floor" in names:
                    share = summary.ratio(
                        [sample.per_second for sample in samples[name]],
                        [sample.per_second for sample in samples["floor"]],
                    )
                rows[name].append([*table_row(message, samples[name], samples[base]), share])
    for name in others:
        print(f"\n### {name} beside {base}: WebSocket echo, {rounds} × {seconds:g} s\n")
        head = [f"{base} msg/s", f"{name} msg/s", "ratio"]
        head += [f"{base} CPU µs", f"{name} CPU µs", "CPU ratio", "of C's"]
        print(summary.table(["one worker, one core", *head], rows[name]), flush=True)
