# SPDX-License-Identifier: MIT
"""The process that is measured: ``python -m bench.parsers.worker PARSER SHAPE PROTOCOL WHAT...``.

WHAT is ``time SECONDS``, which prints nanoseconds of CPU per message, or ``count MARK FIRST
SECOND``: FIRST and SECOND messages with a mark (bench/instructions/mark.c) before, between and
after. Ends with 77 if the parser is not there; the reason is on standard error.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable

from bench.parsers.shapes import feeder


def timed(run: Callable[[int], None], seconds: float) -> float:
    """Nanoseconds of CPU per message."""
    count = 1000
    while True:
        begin = time.process_time_ns()
        run(count)
        spent = time.process_time_ns() - begin
        if spent >= seconds * 1e9:
            return spent / count
        count *= 2


def counted(run: Callable[[int], None], library: str, first: int, second: int) -> None:
    """What callgrind sees."""
    loaded = ctypes.CDLL(library)
    run(first)
    gc.collect()
    gc.freeze()
    gc.disable()
    loaded.mark_start()
    run(first)
    loaded.mark_dump()
    run(second)
    loaded.mark_dump()


def main(parser: str, shape: str, protocol: str, what: str, *numbers: str) -> None:
    try:
        run = feeder(parser, shape, protocol)
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    if what == "time":
        run(1000)
        print(timed(run, float(numbers[0])))
    else:
        counted(run, numbers[0], int(numbers[1]), int(numbers[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
