# SPDX-License-Identifier: MIT
"""A process beside a server that ends it when its driver is gone, however that has ended.

A driver that is killed cannot end what it has started, and a server that is left goes on for ever:
it takes processor time from the next measurement. The keeper waits at a pipe whose other end the
driver has. When that is closed without a word, it kills the server and all that descend from it,
each by its id.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


class Keeper:
    """Keeps one server, by its process, until `close`: the driver has ended it then."""

    def __init__(self, pid: int) -> None:
        self._process = subprocess.Popen(
            # Nothing but the standard library is imported: it starts in a moment.
            [sys.executable, "-I", "-S", __file__, str(pid)],
            stdin=subprocess.PIPE,
            # What kills the driver with its group is not to kill the keeper.
            start_new_session=True,
        )

    def close(self) -> None:
        """Leave the server alone, which has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"ended\n")
            self._process.stdin.close()
        self._process.wait()


def children(pid: int) -> list[int]:
    """The processes that a process has started, the eldest of each thread first."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(each) for each in (task / "children").read_text().split()]
    return found


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def main(pid: int) -> None:
    if sys.stdin.read():
        return
    for each in family(pid):
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
