# SPDX-License-Identifier: MIT
"""Whether the workers start and their loops run; and what is done with one that does not.

The beat is written by the loop itself, so that a loop that is blocked is seen, and read when it
would have been missing for too long, so that nothing ticks.
"""

import logging
import signal
import time
from typing import TYPE_CHECKING

from camshaft.master import table as columns
from camshaft.master.signals import DUMP
from camshaft.master.table import STARTING, STOPPING
from camshaft.master.timers import Timer
from camshaft.master.worker import Worker

if TYPE_CHECKING:
    from camshaft.master.master import Master

logger = logging.getLogger("uvicorn.error")

# Seconds for a worker to write its stacks, which a signal's handler does at once if the process
# runs at all; then from SIGABRT to SIGKILL.
_WRITING = 0.5
_ABORTING = 2.0
# Seconds to look again before a worker is given up: all may have been stopped, the master too.
_DOUBT = 0.5


class Health:
    """Watches over the workers of a master."""

    def __init__(self, master: "Master") -> None:
        self._master = master
        self._timer: Timer | None = None

    def look(self) -> None:
        """Give up the workers whose time is over, and look again when another's may be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = [
            wait
            for worker in list(self._master.workers)
            if not worker.struck and (wait := self._examine(worker)) is not None
        ]
        if waits:
            self._timer = self._master.timers.after(min(waits), self.look)

    def _examine(self, worker: Worker) -> float | None:
        """Return in how many seconds a worker is to be looked at again; None: no more."""
        plan = self._master.plan
        now = time.monotonic()
        beat = int(worker.row[columns.BEAT]) / 1e9
        if worker.state == STARTING:
            if not plan.startup:
                return None
            left = worker.born + plan.startup - now
            text = f"has not started within {plan.startup:g} s"
        elif beat and plan.blocked:
            left = beat + plan.blocked - now
            text = f"has a blocked event loop: it has not run for {now - beat:.1f} s"
        else:
            return None
        if left > 0:
            worker.doubted = False
            return left
        if not worker.doubted:
            worker.doubted = True
            return _DOUBT
        self.strike(worker, text)
        return None

    def strike(self, worker: Worker, reason: str) -> None:
        """End a worker that does nothing any more, and tell where it hangs."""
        worker.struck = True
        starting = worker.state == STARTING
        worker.state = STOPPING
        if worker.patience is not None:
            worker.patience.cancel()
        if worker.guarded:
            worker.send(DUMP)
        worker.patience = self._master.timers.after(
            _WRITING if worker.guarded else 0, lambda: self._abort(worker, reason)
        )
        self._master.struck(worker, reason, starting=starting)

    def _abort(self, worker: Worker, reason: str) -> None:
        stacks = worker.stacks()
        logger.critical(
            "Worker [%d] %s. It is ended.%s",
            worker.pid,
            reason,
            f" Its stacks:\n{stacks}" if stacks else "",
        )
        worker.send(signal.SIGABRT)
        worker.patience = self._master.timers.after(_ABORTING, lambda: worker.send(signal.SIGKILL))
