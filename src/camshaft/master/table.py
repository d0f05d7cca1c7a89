# SPDX-License-Identifier: MIT
"""What is known of each worker, in memory that all of them and the master share.

A row of 64-bit numbers for each worker, written by itself alone; the master writes the state and
clears the row. A number is written and read whole, as the machine does with aligned words.
"""

import mmap
import os

from camshaft.master.plan import memory_file
from camshaft.master.processors import MAX_WORKERS

ROWS = 2 * MAX_WORKERS
"""Twice the workers: while one is replaced there are two."""

FIELDS = 16
_SIZE = ROWS * FIELDS * 8

STATE, PID, BEAT, CONNECTIONS, TASKS, REQUESTS, ACCEPTED, LAG, MOST_LAG, MEMORY = range(10)
"""The columns.

STATE is one of those below. BEAT is when the loop ran last (time.monotonic_ns), 0 before it does.
CONNECTIONS and TASKS are those there are, REQUESTS and ACCEPTED (connections) those there were.
LAG is by how many nanoseconds the last beat was late, MOST_LAG the most of them; MEMORY is the
resident set in bytes.
"""

FREE, STARTING, READY, STOPPING = range(4)
"""States of a row; a READY worker accepts connections."""


class Table:
    """The rows; `descriptor` is of the file in memory that a process is given to share them."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = memory_file("camshaft-workers")
            os.ftruncate(descriptor, _SIZE)
        self.descriptor = descriptor
        self._map = mmap.mmap(self.descriptor, _SIZE)
        self._words = memoryview(self._map).cast("Q")

    def row(self, number: int) -> memoryview:
        """Return the numbers of one worker, to read and write."""
        return self._words[number * FIELDS : (number + 1) * FIELDS]

    def take(self) -> int:
        """Return the number of a free row, which is from now on STARTING."""
        for number in range(ROWS):
            if self._words[number * FIELDS + STATE] == FREE:
                self._words[number * FIELDS + STATE] = STARTING
                return number
        raise RuntimeError("more workers than rows")  # the master starts none beyond MAX_WORKERS

    def free(self, number: int) -> None:
        """Clear a row."""
        row = self.row(number)
        for field in range(FIELDS - 1, -1, -1):
            row[field] = 0
