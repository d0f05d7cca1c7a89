# SPDX-License-Identifier: MIT
"""Which core does what, and how much of one a process has used."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def cores() -> tuple[int, int]:
    """The core of what is measured and the core of its client; the same one if there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1] if len(usable) == 1 else usable[1]


def pin_to(core: int) -> Callable[[], None]:
    """For subprocess's preexec_fn: keeps the child, and all of its threads, on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found = [pid]
    for member in found:
        found += parents.get(member, [])
    return found


def cpu_time(pid: int) -> int:
    """Nanoseconds that a process has run so far, threads that have ended with it.

    Linux numbers the CPU clocks of other processes so (clock_getcpuclockid(3)).
    """
    scheduled = 2
    return time.clock_gettime_ns(~pid << 3 | scheduled)


def wake_ups(pid: int) -> int:
    """How often the threads of a process have gone to sleep: voluntary context switches."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total
