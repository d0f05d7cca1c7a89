# SPDX-License-Identifier: MIT
"""How soon a worker is started again: at once, unless it keeps failing or there is no room."""

import signal
import time
from collections.abc import Callable

from camshaft.master.timers import Timer, Timers

# A worker that served this long, in seconds, has not crashed because of its start.
_SERVED = 1.0
# So many failures in a row are answered at once; then there are pauses, each twice the last.
_AT_ONCE = 3
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
# Seconds without a failure after which those before do not count.
_FORGOTTEN = 60.0


class Restarts:
    """Counts the failures in a row, and calls `again` when a pause between two starts is over."""

    def __init__(self, timers: Timers, again: Callable[[], object]) -> None:
        self._timers = timers
        self._again = again
        self._failures = 0
        self._last = 0.0
        self._pause: Timer | None = None

    def may_start(self) -> bool:
        """Whether a worker may be started now."""
        return self._pause is None

    def crashed(self, served_since: float | None, status: int) -> None:
        """Take note of a worker that has ended by itself after it served."""
        served = time.monotonic() - served_since if served_since is not None else 0.0
        # Who was killed from outside was not at fault.
        if served < _SERVED and status != -signal.SIGKILL:
            self.failed()

    def failed(self) -> None:
        """Take note of a worker that could not start."""
        self._note(_AT_ONCE)

    def refused(self) -> float:
        """Take note of a process that the system did not start, and return the pause in seconds.

        There is one after the first already: nothing else tells when there is room again.
        """
        return self._note(0)

    def _note(self, at_once: int) -> float:
        now = time.monotonic()
        if now - self._last > _FORGOTTEN:
            self._failures = 0
        self._last = now
        self._failures += 1
        beyond = self._failures - at_once
        pause = 0.0
        if beyond > 0 and self._pause is None:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(beyond - 1, 20))
            self._pause = self._timers.after(pause, self._over)
        return pause

    def forget(self) -> None:
        """Begin anew: what is started now is not what has failed."""
        self._failures = 0
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _over(self) -> None:
        self._pause = None
        self._again()
