# SPDX-License-Identifier: MIT
"""Stand-ins for what an application waits for: a service that answers later, a call that blocks."""

import asyncio
import threading
import time


class RemoteError(Exception):
    """The service answered with an error."""


async def fetch(name: str, seconds: float, *, fail: bool = False) -> str:
    """Ask a service that takes that many seconds. Raises RemoteError if told to fail."""
    await asyncio.sleep(seconds)
    if fail:
        raise RemoteError(f"{name} failed")
    return f"{name} fetched"


def blocking_call(name: str, seconds: float) -> str:
    """Block the calling thread that long, and tell which thread it was."""
    time.sleep(seconds)
    return f"{name} by {threading.current_thread().name}"


class Gauge:
    """Counts how many are inside at once, and the most that ever were. Any thread may enter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self.inside -= 1
