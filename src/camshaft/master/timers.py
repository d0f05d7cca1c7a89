# SPDX-License-Identifier: MIT
"""What a master does later: calls with a time, by the monotonic clock."""

import heapq
import itertools
import time
from collections.abc import Callable

# Seconds that are waited for at once.
_LONGEST = 24 * 3600.0


class Timer:
    """A call to come; `cancel` makes it not come."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class Timers:
    """Calls in the order of their times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Have something called in so many seconds."""
        timer = Timer(call)
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def wait(self) -> float | None:
        """Return the seconds until the next call; None if there is none."""
        # All that are cancelled, lest those of a far time pile up until then.
        if any(timer.call is None for _, _, timer in self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
        if not self._heap:
            return None
        # A time may be infinite, which no system can wait for.
        return min(max(0.0, self._heap[0][0] - time.monotonic()), _LONGEST)

    def run(self) -> None:
        """Make the calls whose time has come."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            call = heapq.heappop(self._heap)[2].call
            if call is not None:
                call()
