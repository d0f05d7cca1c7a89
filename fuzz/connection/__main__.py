# SPDX-License-Identifier: MIT
"""The command: `python -m fuzz.connection [--seconds S | --cases N] [--seed S] [--case K]`.

Ends with 1 when a promise was broken or the process died, and says how to have the case again.
"""

import argparse
import faulthandler
import mmap
import os
import struct
import sys
import time

from fuzz.connection.clients import KINDS
from fuzz.connection.play import Run
from tests.asgi.harness import LOOPS

# Seconds without another hundred cases, after which the process is taken to hang.
PATIENCE = 300


def work(options: argparse.Namespace, case: mmap.mmap) -> int:
    """Play the cases; the exit code. The number of the case under way stands in `case`."""
    faulthandler.enable()
    run = Run(options.seed, options.kind, options.loop, options.verbose)
    again = f"--seed {options.seed} --loop {options.loop}"
    if options.kind is not None:
        again += f" --kind {options.kind!r}"
    start = time.monotonic()
    number = first = options.case if options.case is not None else options.first
    wanted = 1 if options.case is not None else options.cases
    with run:
        while wanted is None or number - first < wanted:
            if wanted is None and time.monotonic() - start >= options.seconds:
                break
            if (number - first) % 100 == 0:
                faulthandler.dump_traceback_later(PATIENCE, exit=True)
            case[:8] = struct.pack("q", number)
            for promise in run.play(number):
                print(f"BROKEN {again} --case {number}: {promise}", flush=True)
            number += 1
        for promise in run.end():
            print(f"BROKEN {again}: {promise}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - start
    print(
        f"{number - first} cases, seed {options.seed}, {(number - first) / seconds:.0f} a second: "
        f"{run.summary()}",
        flush=True,
    )
    return 1 if run.broken or number == first else 0


def main() -> int:
    command = argparse.ArgumentParser(prog="python -m fuzz.connection", description=__doc__)
    command.add_argument("--seconds", type=float, default=20, metavar="S", help="(20)")
    command.add_argument("--cases", type=int, metavar="N", help="so many, whatever the time")
    command.add_argument("--seed", type=int, metavar="S", help="(by the clock)")
    command.add_argument("--first", type=int, default=0, metavar="K", help="begin with a case (0)")
    command.add_argument("--case", type=int, metavar="K", help="play one case alone")
    command.add_argument("--kind", choices=KINDS, help="clients of one kind only")
    command.add_argument("--loop", choices=LOOPS, default="camshaft", help="(camshaft)")
    command.add_argument("--verbose", action="store_true", help="tell what each case is")
    options = command.parse_args()
    if options.seed is None:
        options.seed = time.time_ns() % 1_000_000_000
    print(f"fuzz.connection: seed {options.seed}", flush=True)
    case = mmap.mmap(-1, 8)
    # In a child, so that somebody is left to say which case it died of.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work(options, case)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    try:
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        os.waitpid(child, 0)
        return 130
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1):
        (number,) = struct.unpack("q", case[:8])
        kind = f" --kind {options.kind!r}" if options.kind is not None else ""
        again = f"--seed {options.seed} --loop {options.loop}{kind} --case {number}"
        print(f"DIED ({code}) {again}", flush=True)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
