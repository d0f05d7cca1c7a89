# SPDX-License-Identifier: MIT
"""Loops beside each other: instructions and system calls per operation."""

from pathlib import Path

from bench import summary
from bench.instructions import counted, routes
from bench.instructions.counted import MissingLoop
from bench.instructions.rows import ROWS
from bench.loop.contenders import BASE


def columns(loops: list[str], unit: str) -> list[str]:
    """The heading: each loop's figure, then ours in relation to each other's."""
    others = [loop for loop in loops if loop != "camshaft"]
    shares = [f"camshaft / {loop}" for loop in others] if "camshaft" in loops else []
    return [unit, *loops, *shares]


def share(values: dict[str, float | None], other: str) -> str:
    """Ours divided by another's; a dash where either is missing or nothing."""
    ours, theirs = values["camshaft"], values[other]
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "–"


def cells(values: dict[str, float | None], places: int) -> list[str]:
    """One row's figures and shares."""
    figures = [f"{value:,.{places}f}" if value is not None else "–" for value in values.values()]
    if "camshaft" not in values:
        return figures
    return figures + [share(values, loop) for loop in values if loop != "camshaft"]


def run(
    loops: list[str], rows: list[str], instructions: bool, system_calls: bool, keep: Path | None
) -> None:
    """Print the tables asked for. Raises BenchError."""
    asked = [row for row in rows if row in routes.ROUTES]
    if asked:
        _routes(asked, instructions, system_calls, keep)
    rows = [row for row in rows if row in ROWS]
    if rows:
        _loops(loops, rows, instructions, system_calls, keep)


def _routes(rows: list[str], instructions: bool, system_calls: bool, keep: Path | None) -> None:
    """The tables of FastAPI's routes on our server."""
    names = {"off": "FastAPI", "asgi": "plans behind the middleware", "native": "plans"}
    if instructions:
        counted.require("valgrind")
        print("\n### User-space instructions per request\n", flush=True)
        table, parts = [], []
        for row in rows:
            title = routes.ROWS[f"{row}:off"].title
            layers = {
                mode: counted.by_layer("camshaft", f"{row}:{mode}", keep) for mode in routes.MODES
            }
            sums = {mode: sum(layers[mode].values()) for mode in routes.MODES}
            table.append(
                [title, *(f"{each:,.0f}" for each in sums.values())]
                + [f"{sums['off'] / sums[mode]:.1f}" for mode in routes.MODES[1:]]
            )
            parts += [
                [f"{title}: {names[mode]}", *(f"{each:,.0f}" for each in layers[mode].values())]
                for mode in routes.MODES
            ]
        heads = ["", *(names[mode] for mode in routes.MODES)]
        heads += [f"FastAPI / {names[mode]}" for mode in routes.MODES[1:]]
        print(summary.table(heads, table), flush=True)
        print("\nIn which part of the process:\n")
        print(summary.table(["", *counted.LAYERS], parts), flush=True)
    if system_calls:
        counted.require("strace")
        print("\n### System calls per request\n", flush=True)
        table = []
        for row in rows:
            cells = []
            for mode in routes.MODES:
                key = f"{row}:{mode}"
                first, second = counted.syscall_counts(key)
                calls = counted.system_calls("camshaft", key)
                cells.append(f"{sum(calls.values()) / (second - first):.2f}")
            table.append([routes.ROWS[f"{row}:off"].title, *cells])
        print(summary.table(["", *(names[mode] for mode in routes.MODES)], table), flush=True)


def _loops(
    loops: list[str], rows: list[str], instructions: bool, system_calls: bool, keep: Path | None
) -> None:
    """The tables of loops beside each other."""
    if BASE in loops and "camshaft" in loops:
        loops = [loop for loop in loops if loop not in (BASE, "camshaft")] + [BASE, "camshaft"]
    missing: dict[str, str] = {}
    if instructions:
        counted.require("valgrind")
        print("\n### User-space instructions per operation\n", flush=True)
        table = []
        for row in rows:
            values: dict[str, float | None] = dict.fromkeys(loops)
            for loop in loops:
                if loop not in missing:
                    try:
                        values[loop] = counted.instructions(loop, row, keep)
                    except MissingLoop as error:
                        missing[loop] = str(error)
            table.append([ROWS[row].title, *cells(values, 0)])
        print(summary.table(columns(loops, ""), table), flush=True)
    if system_calls:
        counted.require("strace")
        print("\n### System calls per operation\n", flush=True)
        table = []
        for row in rows:
            values = dict.fromkeys(loops)
            names = ""
            for loop in loops:
                if loop not in missing:
                    try:
                        calls = counted.system_calls(loop, row)
                    except MissingLoop as error:
                        missing[loop] = str(error)
                        continue
                    first, second = counted.syscall_counts(row)
                    values[loop] = sum(calls.values()) / (second - first)
                    if loop == "camshaft":
                        names = ", ".join(
                            f"{name} {number / (second - first):.2g}"
                            for name, number in calls.most_common()
                            if number / (second - first) >= 0.05
                        )
            table.append([ROWS[row].title, *cells(values, 2), names])
        print(summary.table([*columns(loops, ""), "camshaft's"], table), flush=True)
    for loop, reason in missing.items():
        print(f"\n–: {loop} is not there ({reason})", flush=True)
