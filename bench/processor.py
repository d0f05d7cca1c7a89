# SPDX-License-Identifier: MIT
"""Which core does what, and how much of one a process has used."""

import os
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
    """Nanoseconds that the threads of a process have run so far (proc(5), schedstat)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def wake_ups(pid: int) -> int:
    """How often the threads of a process have gone to sleep: voluntary context switches."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total
