# SPDX-License-Identifier: MIT
"""The signals of a running server: SIGINT and SIGTERM, and others that it is told to handle."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

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
    loop: Any = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (*HANDLED, *others)}
    # Where somebody listens by the loop, as asyncio's and ours can tell.
    listening = dict(getattr(loop, "_signal_handlers", {}))
    for number in HANDLED:
        loop.add_signal_handler(number, handle, number)
    for number, call in others.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if number in listening:
                previous = listening[number]
                loop.add_signal_handler(number, previous._callback, *previous._args)
            # None is a handler that C code has set, which Python cannot set again.
            elif handler is not None:
                signal.signal(number, handler)


async def raise_again(signals: list[signal.Signals]) -> None:
    """Raise signals, the last first, and have the loop run the handlers that it has for them."""
    raised = bool(signals)
    while signals:
        signal.raise_signal(signals.pop())
    if raised:
        # One turn notices, one reads the number, one calls the handler.
        for _ in range(3):
            await asyncio.sleep(0)
