# SPDX-License-Identifier: MIT
"""How many workers `--workers auto` means: the processors that this process may use."""

import math
import os

MAX_WORKERS = 512
"""Most workers that a master starts."""

_QUOTA = "/sys/fs/cgroup/cpu.max"


def usable_processors() -> int:
    """Return the number of processors, or what a container's quota comes to if that is less."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    quota = _quota()
    if quota is not None:
        count = min(count, math.ceil(quota))
    return max(1, min(count, MAX_WORKERS))


def _quota(path: str = _QUOTA) -> float | None:
    """Return the processors that the control group may use; None if it does not say."""
    try:
        with open(path) as file:
            most, period = file.read().split()
            return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
