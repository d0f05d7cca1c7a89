# SPDX-License-Identifier: MIT
"""SIGINT and SIGTERM while a server runs."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def captured(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `handle` for each signal while the context lasts; then the handlers are as before.

    Through the running loop, whose wake-up descriptor sees to it that a signal is not slept
    over: a server without periodic wake-ups has nothing else that would notice. Does nothing
    outside of the main thread, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in HANDLED}
    for number in HANDLED:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # None is a handler that C code has set, which Python cannot set again.
            if handler is not None:
                signal.signal(number, handler)
