# SPDX-License-Identifier: MIT
"""How a master and its workers are, as `camshaft ctl status` shows it."""

import os
import time
from typing import TYPE_CHECKING, Any

from camshaft.lost_lines import lost_lines
from camshaft.master import table as columns
from camshaft.master.table import READY, STARTING, STOPPING

if TYPE_CHECKING:
    from camshaft.master.master import Master

_STATES = {STARTING: "starting", READY: "serving", STOPPING: "stopping"}


def status(master: "Master") -> dict[str, Any]:
    """Return it as plain data. Times are in seconds, memory in bytes."""
    now = time.monotonic()
    return {
        "master": {
            "pid": os.getpid(),
            "app": master.plan.app,
            "workers": master.size,
            "ending": master.ending,
            "reloads": master.reloads,
            "lost_log_lines": lost_lines(),
        },
        "workers": [
            {
                "pid": worker.pid,
                "state": _STATES.get(worker.state, "gone"),
                "to_be_replaced": worker.stale,
                "age": round(now - worker.born, 3),
                "requests": worker.row[columns.REQUESTS],
                "running": worker.row[columns.TASKS],
                "connections": worker.row[columns.CONNECTIONS],
                "lag": worker.row[columns.LAG] / 1e9,
                "most_lag": worker.row[columns.MOST_LAG] / 1e9,
                "memory": worker.row[columns.MEMORY],
                "lost_log_lines": worker.row[columns.LOST],
                "beat": _since(worker.row[columns.BEAT], now),
            }
            for worker in master.workers
        ],
    }


def _since(beat: int, now: float) -> float | None:
    """Return how long ago the loop ran; None if it has not yet."""
    return round(max(0.0, now - beat / 1e9), 3) if beat else None
