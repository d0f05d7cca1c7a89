# SPDX-License-Identifier: MIT
"""The signals of a running server: SIGINT and SIGTERM, and others that it is told to handle."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def captured(
    handle: Callable[[signal.Signals], None],
    others: Mapping[signal.Signals, Callable[[], None]] = MappingProxyType({}),
) -> Iterator[None]:
    """Call `handle` for each signal while the context lasts; then the handlers are as before.

    `others` are more signals, each with what is called for it alone.

    Through the running loop, whose wake-up descriptor sees to it that a signal is not slept
    over: a server without periodic wake-ups has nothing else that would notice. Does nothing
    outside of the main thread, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (*HANDLED, *others)}
    for number in HANDLED:
        loop.add_signal_handler(number, handle, number)
    for number, call in others.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # None is a handler that C code has set, which Python cannot set again.
            if handler is not None:
                signal.signal(number, handler)
