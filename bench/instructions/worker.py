# SPDX-License-Identifier: MIT
"""The process that is counted: `python -m bench.instructions.worker LOOP ROW MARK FIRST SECOND`.

Runs the row's operation a few times to warm up, then FIRST times and SECOND times, with a mark
before, between and after. MARK is the library made of mark.c, for callgrind, or `-` for strace:
a mark is then a system call on a path that nothing else asks for. Ends with 77 if the loop is not
there; the reason is on standard error.
"""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator

from bench.instructions import routes
from bench.instructions.rows import ROWS
from bench.loop.contenders import make

MARK_PATH = "/camshaft-mark"
SWITCH_INTERVAL = 5.0


def marks(library: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """What starts counting and what ends a count."""
    if library == "-":
        return lambda: os.access(MARK_PATH, os.F_OK), lambda: os.access(MARK_PATH, os.F_OK)
    loaded = ctypes.CDLL(library)
    return loaded.mark_start, loaded.mark_dump


def main(name: str, row: str, library: str, first: int, second: int) -> None:
    """Count one row on one loop."""
    # A thread that waits for the interpreter's lock gets it when the other lets go of it, never
    # because time has passed: time passes differently in every run.
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        loop = make(name)
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    start, end = marks(library)

    def counts() -> Iterator[int]:
        yield first
        gc.collect()
        gc.freeze()
        gc.disable()
        start()
        yield first
        end()
        yield second
        end()
        gc.enable()

    asyncio.set_event_loop(loop)
    loop.run_until_complete((ROWS | routes.ROWS)[row].run(counts()))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
