# SPDX-License-Identifier: MIT
"""One loop, one case, one process: `python -m bench.loop.worker LOOP CASE SECONDS`.

Prints the nanoseconds of CPU (all threads) per operation. Ends with 77 if the loop is not there.
"""

import asyncio
import gc
import sys
import time

from bench.loop.cases import BATCH, CASES, FIRST
from bench.loop.contenders import make


def main(name: str, case: str, seconds: float) -> None:
    """Find how many operations fill the time, then measure that many."""
    try:
        loop = make(name)
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    asyncio.set_event_loop(loop)  # what CPython 3.11 watches child processes by asks for it
    operation = CASES[case]
    step = FIRST.get(case, BATCH)
    count = step
    while True:  # also the warm-up
        started = time.process_time_ns()
        loop.run_until_complete(operation(count))
        used = time.process_time_ns() - started
        if used >= seconds * 1e9 / 5:
            break
        count *= 2
    count = max(1, round(count * seconds * 1e9 / used / step)) * step
    gc.collect()
    started = time.process_time_ns()
    loop.run_until_complete(operation(count))
    used = time.process_time_ns() - started
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    print(used / count)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
