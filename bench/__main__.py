# SPDX-License-Identifier: MIT
"""The command: `python -m bench [http|loop]`. Needs the standard library alone."""

import argparse
import shlex
import sys
from collections.abc import Callable

from bench import environment, machine
from bench.error import BenchError
from bench.http import apps
from bench.http import comparison as http_comparison
from bench.http.server import SERVERS
from bench.loop import comparison as loop_comparison
from bench.loop.cases import CASES
from bench.loop.contenders import LOOPS
from bench.loop.echo import CONNECTIONS


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
    """The options. Without `http` or `loop` both are run."""
    command = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure camshaft beside uvicorn, uvloop, asyncio and rloop (bench/method.md).",
    )
    command.add_argument("part", nargs="?", choices=["http", "loop"], help="one part alone")
    command.add_argument("--quick", action="store_true", help="one short round: does it run at all")
    command.add_argument("--rounds", type=int, metavar="N", help="rounds (7; with --quick 1)")
    command.add_argument("--no-setup", action="store_true", help="use .venv-bench as it is")
    http = command.add_argument_group("http")
    http.add_argument(
        "--apps",
        type=names(list(apps.TARGETS)),
        default=list(apps.TARGETS),
        metavar="A,B",
        help=f"of {', '.join(apps.TARGETS)}",
    )
    http.add_argument(
        "--servers",
        type=names(list(SERVERS)),
        default=["camshaft", "uvicorn"],
        metavar="A,B",
        help=f"of {', '.join(SERVERS)}; ratios are to the last (camshaft,uvicorn)",
    )
    http.add_argument(
        "--slice", type=int, default=2, metavar="S", help="seconds of wrk in a slice (2)"
    )
    loop = command.add_argument_group("loop")
    loop.add_argument(
        "--loops",
        type=names(list(LOOPS)),
        default=list(LOOPS),
        metavar="A,B",
        help=f"of {', '.join(LOOPS)}",
    )
    loop.add_argument(
        "--cases",
        type=names(list(CASES)),
        default=list(CASES),
        metavar="A,B",
        help=f"of {', '.join(CASES)}",
    )
    loop.add_argument("--no-echo", action="store_true", help="leave the echo rows out")
    return command


def main() -> int:
    """Run what was asked for; the exit code."""
    options = parser().parse_args()
    rounds = options.rounds or (1 if options.quick else 7)
    try:
        environment.prepare(skip=options.no_setup)
        print(f"{machine.describe()}  \n`{shlex.join(['python', '-m', 'bench', *sys.argv[1:]])}`")
        if options.part in (None, "http"):
            seconds = 1 if options.quick else options.slice
            idle = 1.0 if options.quick else 5.0
            http_comparison.run(options.apps, options.servers, rounds, seconds, idle)
        if options.part in (None, "loop"):
            seconds = 0.02 if options.quick else 0.3
            loop_comparison.run(options.loops, options.cases, rounds, seconds)
            if not options.no_echo:
                slice_ = 0.3 if options.quick else 1.0
                loop_comparison.run_echo(options.loops, CONNECTIONS, rounds, slice_)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
