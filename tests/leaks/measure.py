# SPDX-License-Identifier: MIT
"""How a scenario is measured, in the way of CPython's ``regrtest -R``."""

import array
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP = 3
"""Blocks run before the first that counts: caches and free lists fill."""

BLOCKS = 5
"""Blocks measured; only what remains in every one of them is a leak."""

REPETITIONS = 20
"""Runs of a scenario in a block."""

ATTEMPTS = 3
"""Measurements of a scenario that seems to leak, before it is believed."""


NOISE = REPETITIONS // 2
"""Blocks of memory that may stay behind: dictionaries and weak sets of the interpreter grow now and
then. What is leaked by every run comes to REPETITIONS at least; references are counted exactly."""


@dataclass(frozen=True)
class Growth:
    """What the steadiest block left behind, per block of REPETITIONS runs."""

    references: int
    blocks: int
    descriptors: int

    def __bool__(self) -> bool:
        return self.references > 0 or self.blocks > NOISE or self.descriptors > 0


def _references() -> int:
    return sys.gettotalrefcount()  # type: ignore[attr-defined]


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _measure(run: Callable[[], None], repetitions: int) -> Growth:
    count = WARM_UP + BLOCKS
    # Machine integers: Python's own would be counted as references.
    marks = [array.array("q", bytes(8 * (count + 1))) for _ in range(3)]
    readings = (_references, sys.getallocatedblocks, _descriptors)
    for block in range(count + 1):
        gc.collect()
        gc.collect()
        for mark, reading in zip(marks, readings, strict=True):
            mark[block] = reading()
        if block < count:
            for _ in range(repetitions):
                run()
    growth = []
    for mark in marks:
        growth.append(min(mark[i + 1] - mark[i] for i in range(WARM_UP, count)))
    return Growth(*growth)


def measure(run: Callable[[], None], repetitions: int = REPETITIONS) -> Growth:
    """The growth that every block of the most favourable of ATTEMPTS measurements shows."""
    growth = _measure(run, repetitions)
    for _ in range(ATTEMPTS - 1):
        if not growth:
            break
        growth = _measure(run, repetitions)
    return growth
