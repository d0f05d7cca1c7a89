# SPDX-License-Identifier: MIT
"""Signal handlers of the loop: a pipe that carries the numbers, only while somebody listens.

As in asyncio, the interpreter's own C handler writes each signal's number to a wake-up descriptor
(``signal.set_wakeup_fd``), which the loop reads. Differences from asyncio: it is a pipe, which
holds 65,536 numbers where a pair of sockets holds 278, and should it ever be full no signal that
came is forgotten; a wake-up descriptor that was there before is put back afterwards; it is never
closed before it is taken out of the interpreter; and a forked child does not write to it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import sys
import weakref
from asyncio import coroutines, events
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:

    class _PythonHalf(asyncio.SelectorEventLoop):
        """asyncio's loop with the private methods that are called here."""

        _signal_handlers: dict[int, events.Handle]

        def _check_closed(self) -> None: ...
        def _check_signal(self, sig: int) -> None: ...
        def _handle_signal(self, sig: int) -> None: ...
else:
    _PythonHalf = object

_Ts = TypeVarTuple("_Ts")

_coroutines: Any = coroutines

_installed: weakref.ref[SignalPipe] | None = None

# Pipes of loops that were closed outside the main thread, which alone can take them out of the
# interpreter. They wait here, open: what it writes to must not become another's file.
_stranded: list[SignalPipe] = []


class SignalPipe:
    """The pipe; it owns its two descriptors and, while installed, the interpreter's wake-up."""

    def __init__(self) -> None:
        self._previous: int | None = None
        # What came since the last read; the interpreter's own, as numbers can be lost to a full
        # pipe.
        self.noticed: set[int] = set()
        pair = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.reading, self._writing = pair
            self._capacity: int = fcntl.fcntl(pair[1], getattr(fcntl, "F_GETPIPE_SZ", 1032))
        except BaseException:
            os.close(pair[0])
            os.close(pair[1])
            raise

    def install(self) -> None:
        """Have the interpreter write to it; ValueError outside the main thread."""
        global _installed
        try:
            previous = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        except MemoryError:
            # It may be in place already, and what was there before is lost.
            signal.set_wakeup_fd(-1)
            raise
        if previous != self._writing:
            self._previous = previous
        _installed = weakref.ref(self)
        while _stranded:
            pipe = _stranded.pop()
            if self._previous == pipe._writing:
                self._previous = pipe._previous
            pipe.close()

    def uninstall(self) -> None:
        """Put back what was there before, unless somebody else has put theirs meanwhile."""
        global _installed
        if self._previous is None:
            return
        current = signal.set_wakeup_fd(-1)
        put_back = self._previous if current == self._writing else current
        self._previous = None
        _installed = None
        if put_back != -1:
            try:
                signal.set_wakeup_fd(put_back)
            except (ValueError, OSError):
                pass  # closed since

    def read(self) -> list[int]:
        """The numbers of the signals that came, in their order, each as often as it came."""
        data = bytearray()
        try:
            while piece := os.read(self.reading, 65536):
                data += piece
                if len(data) >= self._capacity:
                    break  # not for ever: there may be more before this is over
        except (BlockingIOError, InterruptedError):
            pass
        noticed, self.noticed = self.noticed, set()
        numbers = [number for number in data if number]
        if len(data) >= self._capacity:
            # It was full: others may have come and found no room.
            numbers += sorted(noticed.difference(numbers))
        return numbers

    def close(self) -> None:
        """Give the descriptors back; it must not be installed."""
        os.close(self.reading)
        os.close(self._writing)

    def notice(self, number: int, frame: object) -> None:
        """The interpreter's handler of each signal: asyncio's does nothing at all."""
        self.noticed.add(number)


def _leave_to_the_parent() -> None:
    """In a forked child: its signals are none of its parent's."""
    global _installed
    pipe = _installed() if _installed is not None else None
    if pipe is not None:
        pipe.uninstall()
        signal.set_wakeup_fd(-1)
    _installed = None


os.register_at_fork(after_in_child=_leave_to_the_parent)


class SignalHandling(_PythonHalf):
    """add_signal_handler and its counterpart."""

    _signal_pipe: SignalPipe | None = None

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Run callback(*args) on the loop when the signal comes; main thread only.

        TypeError for coroutines and for what is no number, ValueError for what is no signal,
        RuntimeError outside the main thread and for signals that cannot be caught.
        """
        if _coroutines.iscoroutine(callback) or _coroutines.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        former = self._signal_handlers.get(sig)
        pipe = self._signal_pipe or SignalPipe()
        try:
            pipe.install()
            self.add_reader(pipe.reading, self._read_signals)
            self._signal_pipe = pipe
            self._signal_handlers[sig] = events.Handle(callback, args, self, None)
            signal.signal(sig, pipe.notice)
            # SA_RESTART: fewer system calls of others are interrupted.
            signal.siginterrupt(sig, False)
        except BaseException as error:
            self._signal_handlers.pop(sig, None)
            if former is not None:
                self._signal_handlers[sig] = former
            elif not self._signal_handlers:
                self._signal_pipe = pipe
                self._leave_signals_if_unused()
            if isinstance(error, OSError) and error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            if isinstance(error, ValueError):
                raise RuntimeError(str(error)) from None
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Give a signal its default back; True if it had a handler here."""
        self._check_signal(sig)
        try:
            del self._signal_handlers[sig]
        except KeyError:
            return False
        try:
            default = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
            signal.signal(sig, default)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            raise
        finally:
            self._leave_signals_if_unused()
        return True

    def _leave_signals_if_unused(self) -> None:
        pipe = self._signal_pipe
        if pipe is not None and not self._signal_handlers:
            pipe.uninstall()  # before anything of it is closed
            self._signal_pipe = None
            self.remove_reader(pipe.reading)
            pipe.close()

    def _close_signals(self) -> None:
        """Remove all handlers; ValueError outside the main thread, which alone can do it."""
        if sys.is_finalizing():
            return  # asyncio's close() warns of what is left
        try:
            for sig in list(self._signal_handlers):
                self.remove_signal_handler(sig)
        except ValueError:
            if self._signal_pipe is not None:
                self.remove_reader(self._signal_pipe.reading)
                _stranded.append(self._signal_pipe)
                self._signal_pipe = None
            raise
        finally:
            self._signal_handlers.clear()
            self._leave_signals_if_unused()

    def _read_signals(self) -> None:
        if self._signal_pipe is not None:
            for number in self._signal_pipe.read():
                self._handle_signal(number)
