# SPDX-License-Identifier: MIT
"""The command: `python -m bench [PART]`. Needs the standard library alone."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from bench import environment, machine
from bench.drain import comparison as drain_comparison
from bench.error import BenchError
from bench.http import apps, latency
from bench.http import comparison as http_comparison
from bench.http.contenders import SERVERS
from bench.instructions import comparison as instruction_comparison
from bench.instructions.routes import ROUTES
from bench.instructions.rows import ROWS
from bench.loop import comparison as loop_comparison
from bench.loop import echo
from bench.loop.cases import CASES
from bench.loop.contenders import LOOPS
from bench.memory import comparison as memory_comparison
from bench.micro import parsers
from bench.parsers import comparison as httptools_comparison
from bench.ws import comparison as ws_comparison

PARTS = ["http", "ws", "loop", "instructions", "memory", "parsers", "httptools", "drain"]


def names(choices: list[str]) -> Callable[[str], list[str]]:
    """A converter of `a,b` into a list of names, each of which must be among the choices."""

    def convert(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
        return chosen

    return convert


def parser() -> argparse.ArgumentParser:
    """The options. Without a part `http`, `ws` and `loop` are run."""
    command = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure camshaft beside uvicorn, uvloop and others (bench/method.md).",
    )
    command.add_argument("part", nargs="?", choices=PARTS, help="one part alone")
    command.add_argument("--quick", action="store_true", help="one short round: does it run at all")
    command.add_argument("--rounds", type=int, metavar="N", help="rounds (7; with --quick 1)")
    command.add_argument("--no-setup", action="store_true", help="use the environment as it is")
    command.add_argument(
        "--venv", type=Path, metavar="DIR", help="another environment than .venv-bench"
    )
    http = command.add_argument_group("http")
    http.add_argument(
        "--apps",
        type=names(list(apps.TARGETS)),
        default=apps.DEFAULT,
        metavar="A,B",
        help=f"of {', '.join(apps.TARGETS)} ({','.join(apps.DEFAULT)})",
    )
    http.add_argument(
        "--servers",
        type=names(list(SERVERS)),
        default=["camshaft", "uvicorn"],
        metavar="A,B",
        help=f"of {', '.join(SERVERS)}; ratios are to the last (camshaft,uvicorn)",
    )
    http.add_argument(
        "--slice", type=int, default=2, metavar="S", help="seconds of load in a slice, ws too (2)"
    )
    http.add_argument(
        "--latency",
        action="store_true",
        help="how long answers take at half of each server's own peak rate, instead of the rates",
    )
    ws = command.add_argument_group("ws")
    ws.add_argument(
        "--messages",
        type=names(list(ws_comparison.ROWS)),
        default=list(ws_comparison.ROWS),
        metavar="A,B",
        help=f"of {', '.join(ws_comparison.ROWS)}",
    )
    ws.add_argument(
        "--ws-servers",
        type=names(list(ws_comparison.SERVERS)),
        default=["camshaft", "uvicorn"],
        metavar="A,B",
        help=f"of {', '.join(ws_comparison.SERVERS)}; ratios are to the last (camshaft,uvicorn)",
    )
    loop = command.add_argument_group("loop")
    loop.add_argument(
        "--loops",
        type=names(list(LOOPS)),
        metavar="A,B",
        help=f"of {', '.join(LOOPS)}; instructions: asyncio,uvloop,camshaft",
    )
    loop.add_argument(
        "--cases",
        type=names(list(CASES)),
        default=list(CASES),
        metavar="A,B",
        help=f"of {', '.join(CASES)}",
    )
    loop.add_argument("--no-echo", action="store_true", help="leave the echo rows out")
    loop.add_argument("--no-cases", action="store_true", help="the echo rows alone")
    loop.add_argument(
        "--echo",
        type=names(list(echo.ROWS)),
        default=list(echo.ROWS),
        metavar="A,B",
        help=f"of {', '.join(echo.ROWS)}",
    )
    loop.add_argument(
        "--seconds", type=float, metavar="S", help="CPU of a case's sample (0.3); an echo slice (1)"
    )
    counts = command.add_argument_group("instructions")
    counts.add_argument(
        "--rows",
        type=names([*ROWS, *ROUTES]),
        default=[*ROWS, *ROUTES],
        metavar="A,B",
        help=f"of {', '.join(ROWS)}; of FastAPI's routes: {', '.join(ROUTES)}",
    )
    counts.add_argument("--no-valgrind", action="store_true", help="leave the instructions out")
    counts.add_argument("--no-strace", action="store_true", help="leave the system calls out")
    counts.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep callgrind's files, for callgrind_annotate"
    )
    memory = command.add_argument_group("memory")
    memory.add_argument(
        "--connections", type=int, default=10_000, metavar="N", help="idle connections (10,000)"
    )
    drain = command.add_argument_group("drain")
    drain.add_argument(
        "--scenarios",
        type=names(list(drain_comparison.SCENARIOS)),
        default=list(drain_comparison.SCENARIOS),
        metavar="A,B",
        help=f"of {', '.join(drain_comparison.SCENARIOS)}",
    )
    drain.add_argument(
        "--masters",
        type=names(list(drain_comparison.SERVERS)),
        default=list(drain_comparison.SERVERS),
        metavar="A,B",
        help=f"of {', '.join(drain_comparison.SERVERS)}",
    )
    httptools = command.add_argument_group("httptools")
    httptools.add_argument(
        "--count", action="store_true", help="count instructions (valgrind) instead of timing"
    )
    return command


def main() -> int:
    """Run what was asked for; the exit code."""
    options = parser().parse_args()
    rounds = options.rounds or (1 if options.quick else 7)
    if options.venv is not None:
        environment.use(options.venv)
    try:
        environment.prepare(skip=options.no_setup)
        print(f"{machine.describe()}  \n`{shlex.join(['python', '-m', 'bench', *sys.argv[1:]])}`")
        if options.part in (None, "http"):
            seconds = 1 if options.quick else options.slice
            idle = 1.0 if options.quick else 5.0
            if options.latency:
                latency.run(options.apps, options.servers, rounds, seconds)
            else:
                http_comparison.run(options.apps, options.servers, rounds, seconds, idle)
        if options.part in (None, "ws"):
            seconds = 1 if options.quick else options.slice
            ws_comparison.run(options.messages, options.ws_servers, rounds, seconds)
        if options.part == "instructions":
            instruction_comparison.run(
                options.loops or ["asyncio", "uvloop", "camshaft"],
                options.rows,
                not options.no_valgrind,
                not options.no_strace,
                options.keep,
            )
        if options.part == "parsers":
            parsers.run()
        if options.part == "memory":
            memory_comparison.run(options.loops or list(LOOPS), options.connections)
        if options.part == "drain":
            clean = drain_comparison.run(
                options.masters, options.scenarios, options.rounds or 1, quick=options.quick
            )
            if not clean:
                return 1
        if options.part == "httptools" and options.count:
            httptools_comparison.run_counted()
        elif options.part == "httptools":
            httptools_comparison.run(rounds, options.seconds or (0.02 if options.quick else 0.3))
        if options.part in (None, "loop"):
            loops = options.loops or list(LOOPS)
            if not options.no_cases:
                seconds = options.seconds or (0.02 if options.quick else 0.3)
                loop_comparison.run(loops, options.cases, rounds, seconds)
            if not options.no_echo:
                seconds = options.seconds or (0.3 if options.quick else 1.0)
                loop_comparison.run_echo(loops, options.echo, rounds, seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
