# SPDX-License-Identifier: MIT
"""camshaft.http beside httptools: CPU time or instructions per message, with the same callbacks."""

import functools
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import environment, processor, summary
from bench.error import BenchError
from bench.instructions.counted import mark_library, require, total
from bench.loop.comparison import in_turns
from bench.parsers.shapes import PARSERS, PROTOCOLS, SHAPES

TIMEOUT = 120
COUNTS = (200, 600)
"""Messages of the two counts whose difference is taken, under callgrind."""


def work(tool: Sequence[str], *arguments: str) -> str:
    """What the worker prints, run under a tool. Raises BenchError."""
    command = [*tool, str(environment.PYTHON), "-m", "bench.parsers.worker", *arguments]
    result = subprocess.run(
        command,
        cwd=environment.CHECKOUT,
        env=environment.variables() | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        preexec_fn=processor.pin_to(processor.cores()[0]),
    )
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise BenchError(f"{' '.join(arguments[:3])} failed ({result.returncode}): {last}")
    return result.stdout


def instructions(shape: str, protocol: str, parser: str) -> float:
    """Instructions per message in user space. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="camshaft-bench-") as directory:
        out = Path(directory) / "out"
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--log-file=/dev/null"]
        tool.append(f"--callgrind-out-file={out}")
        counts = map(str, COUNTS)
        work(tool, parser, shape, protocol, "count", str(mark_library()), *counts)
        first, second = (total(out.with_suffix(f".{number}")) for number in (1, 2))
    return (second - first) / (COUNTS[1] - COUNTS[0])


def measure(shape: str, protocol: str, seconds: float, parser: str) -> float:
    """Nanoseconds of CPU per message. Raises BenchError."""
    return float(work([], parser, shape, protocol, "time", str(seconds)))


def tables(head: str, row: Callable[[str, str], list[str]]) -> None:
    """A table for each kind of callbacks."""
    for protocol, (title, _) in PROTOCOLS.items():
        print(f"\n### {title}\n")
        rows = [[SHAPES[shape][0], *row(shape, protocol)] for shape in SHAPES]
        print(summary.table([head, *PARSERS, "httptools / camshaft"], rows), flush=True)


def run(rounds: int, seconds: float) -> None:
    """Print CPU time per message, taken in turns."""

    def row(shape: str, protocol: str) -> list[str]:
        take = functools.partial(measure, shape, protocol, seconds)
        samples = in_turns(list(PARSERS), rounds, take, {})
        medians = [f"{summary.quartiles(samples[name])[1]:,.0f}" for name in PARSERS]
        return [*medians, summary.ratio(samples["httptools"], samples["camshaft"])]

    tables("ns of CPU per message", row)


def run_counted() -> None:
    """Print instructions per message. Raises BenchError."""
    require("valgrind")

    def row(shape: str, protocol: str) -> list[str]:
        counts = {name: instructions(shape, protocol, name) for name in PARSERS}
        share = counts["httptools"] / counts["camshaft"]
        return [*(f"{count:,.0f}" for count in counts.values()), f"{share:.2f}"]

    tables("instructions per message", row)
