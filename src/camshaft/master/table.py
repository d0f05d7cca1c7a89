# SPDX-License-Identifier: MIT
"""What is known of each worker, in memory that all of them and the master share.

A row of 64-bit numbers for each worker, written by itself alone; the master writes the state and
clears the row. A number is written and read whole, as the machine does with aligned words. The
first row is no worker's: its first number is that of the rows ever used, itself included.
csrc/py/transport/share.c knows the layout.
"""

import mmap
import os

from camshaft.master.plan import memory_file
from camshaft.master.processors import MAX_WORKERS

ROWS = 1 + 2 * MAX_WORKERS
"""Twice the workers: while one is replaced there are two, or more if it takes long to end."""

FIELDS = 16
_NOTE = 8192
"""Bytes for what a worker writes down beside its row, with the words in front of it."""

_SIZE = ROWS * (FIELDS * 8 + _NOTE)

(
    STATE,
    PID,
    BEAT,
    CONNECTIONS,
    TASKS,
    REQUESTS,
    ACCEPTED,
    LAG,
    MOST_LAG,
    MEMORY,
    OTHERS,
    LOST,
) = range(12)
"""The columns.

STATE is one of those below. BEAT is when the loop ran last (time.monotonic_ns), 0 before it does.
CONNECTIONS and TASKS are those there are, REQUESTS and ACCEPTED (connections) those there were.
LAG is by how many nanoseconds the last beat was late, MOST_LAG the most of them; MEMORY is the
resident set in bytes. OTHERS, written by the master, is 1 for a worker that ends while others
serve, so that nobody waits for its end. LOST are the lines of its logs that their outputs have not
taken.
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
        self.memory = mmap.mmap(self.descriptor, _SIZE)
        self._words = memoryview(self.memory).cast("Q")

    def row(self, number: int) -> memoryview:
        """Return the numbers of one worker, to read and write."""
        return self._words[number * FIELDS : (number + 1) * FIELDS]

    def write(self, number: int, note: bytes) -> None:
        """Write something down for the others to read; nothing if it is too long."""
        # Odd while it is being written: whoever reads it meanwhile reads again.
        start = ROWS * FIELDS + number * (_NOTE // 8)
        if len(note) > _NOTE - 16:
            return
        at = start * 8 + 16
        self._words[start] += 1
        self._words[start + 1] = len(note)
        self.memory[at : at + len(note)] = note
        self._words[start] += 1

    def read(self, number: int) -> bytes | None:
        """Return what a worker has written down; None if there is nothing, or no end of it."""
        start = ROWS * FIELDS + number * (_NOTE // 8)
        at = start * 8 + 16
        for _ in range(8):
            version = self._words[start]
            length = min(self._words[start + 1], _NOTE - 16)
            note = self.memory[at : at + length]
            if version % 2 == 0 and self._words[start] == version:
                return note or None
        return None

    def ready(self) -> list[int]:
        """Return the numbers of the workers that serve."""
        return [
            number
            for number in range(1, self._words[0])
            if self._words[number * FIELDS + STATE] == READY
        ]

    def take(self) -> int | None:
        """Return the number of a free row, which is from now on STARTING; None if there is none."""
        for number in range(1, ROWS):
            if self._words[number * FIELDS + STATE] == FREE:
                self._words[number * FIELDS + STATE] = STARTING
                self._words[0] = max(self._words[0], number + 1)
                return number
        return None

    def free(self, number: int) -> None:
        """Clear a row."""
        row = self.row(number)
        for field in range(FIELDS - 1, -1, -1):
            row[field] = 0
        # With an even number, also where its worker has died while it wrote.
        start = ROWS * FIELDS + number * (_NOTE // 8)
        self._words[start] = self._words[start + 1] = 0
