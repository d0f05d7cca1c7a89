# SPDX-License-Identifier: MIT
"""How a scenario is measured, in the way of CPython's ``regrtest -R``."""

import array
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

WARM_UP = 3
"""Blocks run before the first that counts: caches and free lists fill."""

BLOCKS = 5
"""Blocks measured; only what remains in every one of them is a leak."""

REPETITIONS = 20
"""Runs of a scenario in a block."""

MORE_REPETITIONS = 200
"""Runs in a block after a doubtful measurement: a leak grows with them, noise does not."""

ATTEMPTS = 3
"""Measurements of a scenario that seems to leak, before it is believed."""


@dataclass(frozen=True)
class Growth:
    """What the steadiest block of `runs` runs left behind."""

    references: int
    blocks: int
    descriptors: int
    runs: int = REPETITIONS

    def __bool__(self) -> bool:
        """Whether it is a leak.

        References are counted exactly. Blocks of memory may stay behind without one: dictionaries
        and weak sets of the interpreter grow now and then, though not with every run.
        """
        return (
            self.references > self.runs // 20
            or self.blocks > self.runs // 2
            or self.descriptors > 0
        )


class Elsewhere:
    """A run of another process, which is repeated few times as it takes long.

    `count` returns that process's references, blocks of memory and descriptors.
    """

    def __init__(self, run: Callable[[], None], count: Callable[[], tuple[int, ...]]) -> None:
        self._run = run
        self._count = count
        self._counts: tuple[int, ...] = ()

    def __call__(self) -> None:
        self._run()

    @property
    def readings(self) -> "Readings":
        """What reads each of them, in their order."""

        def first() -> int:
            self._counts = self._count()
            return self._counts[0]

        return first, lambda: self._counts[1], lambda: self._counts[2]


Readings = tuple[Callable[[], int], Callable[[], int], Callable[[], int]]


def _references() -> int:
    return sys.gettotalrefcount()  # type: ignore[attr-defined]


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _measure(
    run: Callable[[], None], repetitions: int, warm_up: int = WARM_UP, blocks: int = BLOCKS
) -> Growth:
    here: Readings = (_references, sys.getallocatedblocks, _descriptors)
    readings = run.readings if isinstance(run, Elsewhere) else here
    count = warm_up + blocks
    # Machine integers: Python's own would be counted as references.
    marks = [array.array("q", bytes(8 * (count + 1))) for _ in range(3)]
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
        growth.append(min(mark[i + 1] - mark[i] for i in range(warm_up, count)))
    return Growth(*growth, runs=repetitions)


def measure(run: Callable[[], None], warm_up: int = WARM_UP) -> Growth:
    """The growth of the most favourable of up to ATTEMPTS measurements."""
    if isinstance(run, Elsewhere):
        return measure_briefly(run)
    growth = _measure(run, REPETITIONS, warm_up)
    for _ in range(ATTEMPTS - 1):
        if not growth:
            break
        growth = _measure(run, MORE_REPETITIONS)
    return growth


def measure_briefly(run: Callable[[], None]) -> Growth:
    """The same with a few runs only, for what is measured at length elsewhere.

    What seems to grow is measured again with more. Blocks of memory are left out: their number is
    noise until it is measured at length.
    """
    growth = replace(_measure(run, 3, warm_up=1, blocks=3), blocks=0)
    return replace(_measure(run, REPETITIONS), blocks=0) if growth else growth
