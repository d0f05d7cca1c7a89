# SPDX-License-Identifier: MIT
"""Many live timers on one loop: `python -m bench.memory.timers LOOP`.

Prints one line of JSON. Ends with 77 if the loop is not there.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from bench.loop.contenders import make

FEW = 1000
MANY = 100_000
SAMPLE = 1000


def resident() -> int:
    """Bytes of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def nothing() -> None:
    """The callback of all timers; none is ever due."""


def add(
    loop: asyncio.AbstractEventLoop, delays: random.Random, count: int
) -> list[asyncio.TimerHandle]:
    """Timers at random times."""
    return [loop.call_later(1000 + delays.random() * 1000, nothing) for _ in range(count)]


async def measure() -> dict[str, float]:
    """Nanoseconds of CPU per timer made and cancelled among FEW and among MANY; bytes per timer;
    and the bytes that are left of all when they are cancelled and a turn has passed."""
    loop = asyncio.get_running_loop()
    delays = random.Random(1)
    figures = {}

    async def cost() -> float:
        started = time.process_time_ns()
        for timer in add(loop, delays, SAMPLE):
            timer.cancel()
        await asyncio.sleep(0)
        return (time.process_time_ns() - started) / SAMPLE

    live = add(loop, delays, FEW)
    await cost()
    figures["few"] = min([await cost() for _ in range(10)])
    before = resident()
    live += add(loop, delays, MANY - FEW)
    figures["bytes"] = (resident() - before) / (MANY - FEW)
    figures["many"] = min([await cost() for _ in range(10)])
    for timer in live:
        timer.cancel()
    live.clear()
    for timer in add(loop, delays, SAMPLE):  # some loops look only when a timer is added
        timer.cancel()
    await asyncio.sleep(0)
    figures["left"] = resident() - before
    # Again and again a full house, all cancelled: growth would be a leak.
    for _ in range(5):
        live = add(loop, delays, MANY)
        for timer in live:
            timer.cancel()
        live.clear()
        await asyncio.sleep(0)
    figures["left_after_more"] = resident() - before
    return figures


if __name__ == "__main__":
    try:
        contender = make(sys.argv[1])
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    print(json.dumps(contender.run_until_complete(measure())))
    contender.close()
