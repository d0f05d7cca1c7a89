# SPDX-License-Identifier: MIT
"""The signals of a master, as numbers to be read from a descriptor."""

import os
import signal
from collections.abc import Iterable
from types import TracebackType
from typing import Any


class Wakeup:
    """Catches signals while its context lasts; `descriptor` can be read when one has come.

    Of the main thread only, which alone gets signals. The handlers and the wake-up descriptor of
    whoever had them before are put back at the end.
    """

    def __init__(self, caught: Iterable[signal.Signals]) -> None:
        self._caught = tuple(caught)
        self._before: dict[signal.Signals, Any] = {}
        self._former = -1
        self.descriptor = self._writer = -1

    def __enter__(self) -> "Wakeup":
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)
        self._former = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._caught:
            self._before[number] = signal.signal(number, _ignore)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None is a handler that C code has set, which Python cannot set again.
            if handler is not None:
                signal.signal(number, handler)
        signal.set_wakeup_fd(self._former)
        self.close()

    def close(self) -> None:
        """Give up the descriptors: also for a child, whose signals are its own."""
        for descriptor in (self.descriptor, self._writer):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._writer = -1

    def read(self) -> list[signal.Signals]:
        """Return what has come since, in order."""
        try:
            numbers = os.read(self.descriptor, 4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in numbers if number in self._caught]


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has told."""
