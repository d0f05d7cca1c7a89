# SPDX-License-Identifier: MIT
"""--lifespan-stagger: workers start one after the other, with a time between."""

import time
from collections.abc import Callable

from camshaft.master.timers import Timers


class Stagger:
    """Says whether a worker may be started, and calls `again` when one may that might not."""

    def __init__(self, seconds: float, timers: Timers, again: Callable[[], object]) -> None:
        self._seconds = seconds
        self._timers = timers
        self._again = again
        self._last = -seconds
        self._waiting = False

    def may_start(self) -> bool:
        """Whether so much time has passed since the last start."""
        remaining = self._last + self._seconds - time.monotonic()
        if self._seconds == 0 or remaining <= 0:
            return True
        if not self._waiting:
            self._waiting = True
            self._timers.after(remaining, self._over)
        return False

    def started(self) -> None:
        """Take note of a start."""
        self._last = time.monotonic()

    def _over(self) -> None:
        self._waiting = False
        self._again()
