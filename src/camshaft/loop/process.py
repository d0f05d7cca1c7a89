# SPDX-License-Identifier: MIT
"""Child processes and pipes: what ``loop.subprocess_exec`` and ``connect_read_pipe`` give.

Children are started by ``subprocess.Popen`` (vfork, no at-fork hooks without preexec_fn) and
waited for by a pidfd on every Python, in any thread, so that SIGCHLD stays the application's.
Without pidfds (Linux before 5.3, or no descriptor left) a thread waits, asyncio's way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import warnings
from asyncio import base_events, base_subprocess, events, unix_events
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from camshaft import _core

if TYPE_CHECKING:

    class _Half(asyncio.SelectorEventLoop):
        """asyncio's loop with the private method that is used here."""

        def _child_watcher_callback(self, pid: int, returncode: int, transport: Any) -> None: ...
else:
    _Half = object

# The private parts of asyncio that are built on here.
_base_events: Any = base_events
_events: Any = events
_unix_events: Any = unix_events

_BaseTransport: Any = base_subprocess.BaseSubprocessTransport

# Does Process.wait() return when the child has exited (3.14, and 3.13's later releases), or only
# once its pipes have ended, too?
_WAKES_AT_EXIT = "_exit_waiters" in _BaseTransport._process_exited.__code__.co_names

# Watchers of asyncio that do what is done here anyway.
_OWN_WAYS = tuple(
    getattr(unix_events, name)
    for name in (
        "PidfdChildWatcher",
        "ThreadedChildWatcher",
        "_PidfdChildWatcher",
    )
    if hasattr(unix_events, name)
)


def _foreign_watcher(loop: Any) -> Any:
    """The child watcher that the application has put in the place of asyncio's own, or None.

    Until 3.13 that is what it gave to ``asyncio.set_child_watcher()``: such a watcher may collect
    every child of the process by itself, so that it has to be asked. The watchers that asyncio
    makes by default are left alone. From 3.14 on it is the loop's, made without pidfds.
    """
    if sys.version_info >= (3, 14):
        watcher = loop._watcher
    else:
        watcher = getattr(_events._event_loop_policy, "_watcher", None)
    return None if watcher is None or type(watcher) in _OWN_WAYS else watcher


def _is_stock(method: Any, name: str) -> bool:
    """Whether a loop's bound method is the one of asyncio's base class, not a replacement."""
    return getattr(method, "__func__", None) is getattr(_base_events.BaseEventLoop, name)


class ProcessTransport(asyncio.SubprocessTransport):
    """The transport of a child process, as asyncio's.

    Differences: data is passed to the protocol when it is read, not a turn later; a signal goes to
    the pidfd, so that it never reaches another process of the same number; a child whose status
    Popen has read already is reported with that status and not with 255.
    """

    def __init__(
        self,
        loop: Any,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(extra)
        self._closed = True
        self._loop = loop
        self._protocol: Any = protocol
        self._pid: int | None = None
        self._pidfd = -1
        self._returncode: int | None = None
        self._exit_waiters: list[asyncio.Future[int]] = []
        # Calls of the protocol that have to wait for connection_made().
        self._pending: list[tuple[Any, ...]] | None = []
        self._pipes: dict[int, _core.ProcessPipe] = {}
        self._finished = False
        self._proc: Any = None
        self._proc = subprocess.Popen(
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=bufsize,
            **kwargs,
        )
        self._closed = False
        self._pid = self._proc.pid
        self._extra: dict[str, Any]
        self._extra["subprocess"] = self._proc
        if loop.get_debug():
            program = args if isinstance(args, (bytes, str)) else args[0]
            _base_events.logger.debug("process %r created: pid %s", program, self._pid)

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        if self._pid is not None:
            info.append(f"pid={self._pid}")
        if self._returncode is not None:
            info.append(f"returncode={self._returncode}")
        else:
            info.append("running" if self._pid is not None else "not started")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            if fd in self._pipes:
                info.append(f"{name}={self._pipes[fd].pipe}")
        return f"<{' '.join(info)}>"

    # Beginning

    def _watch_exit(self) -> None:
        """Have _process_exited() called once the child has ended."""
        try:
            self._pidfd = os.pidfd_open(self._proc.pid)
            self._loop._add_reader(self._pidfd, self._exited)
        except (AttributeError, OSError):
            self._drop_pidfd()
            watcher = self._loop._threads_for_children()
            watcher.add_child_handler(self._pid, self._loop._child_watcher_callback, self)

    async def _begin(self) -> None:
        """Make the pipes' transports and have connection_made() called before this returns."""
        loop = self._loop
        files = (self._proc.stdin, self._proc.stdout, self._proc.stderr)
        for fd, file in enumerate(files):
            if file is not None:
                self._pipes[fd] = _core.ProcessPipe(self, fd)
        for fd, file in enumerate(files):
            if file is not None:
                await self._connect(fd, file)
        loop.call_soon(self._protocol.connection_made, self)
        pending, self._pending = self._pending, None
        if pending:
            for call in pending:
                loop.call_soon(*call)
            # Nothing may overtake those.
            loop.call_soon(self._attach_pipes)
        else:
            self._attach_pipes()
        await asyncio.sleep(0)

    async def _connect(self, fd: int, file: Any) -> None:
        loop = self._loop
        pipe = self._pipes[fd]
        name = "connect_read_pipe" if fd else "connect_write_pipe"
        connect = getattr(loop, name)
        if not _is_stock(connect, name):
            await connect(lambda: pipe, file)
            return
        transport: Any
        if fd:
            transport = loop._make_read_pipe_transport(file, pipe)
        else:
            # Nobody else writes to it.
            transport = _core.WritePipe(loop, file, pipe, gather=True)
        pipe.connection_made(transport)
        if loop.get_debug():
            what = "Read" if fd else "Write"
            _base_events.logger.debug(
                "%s pipe %r connected: (%r, %r)", what, file.fileno(), transport, pipe
            )

    def _attach_pipes(self) -> None:
        if self._protocol is not None:
            for pipe in self._pipes.values():
                pipe.attach(self._protocol)

    def _give_up(self) -> None:
        """Undo the start of a child that could not be begun with.

        A protocol that has not been told of a connection is not told of its end either.
        """
        proc = self._proc
        if self._pending is not None:
            self._pending = None
            self._protocol = asyncio.SubprocessProtocol()
        for fd, file in enumerate((proc.stdin, proc.stdout, proc.stderr)):
            if file is not None and (fd not in self._pipes or self._pipes[fd].pipe is None):
                self._pipes.pop(fd, None)
                file.close()
        self.close()

    # What asyncio.SubprocessTransport has

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Call this protocol from now on."""
        self._protocol = protocol
        if self._pending is None:
            self._attach_pipes()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol; None once the transport is finished."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """True once close() was called."""
        return self._closed

    def close(self) -> None:
        """Close the pipes, and kill the child if it is running; see asyncio's transport."""
        if self._closed:
            return
        self._closed = True
        if not self._loop_is_closed():
            for end in self._pipes.values():
                if end.pipe is not None:
                    end.pipe.close()
        if self._returncode is None and self._is_running():
            if self._loop is not None and self._loop.get_debug():
                _base_events.logger.warning("Close running child process: kill %r", self)
            try:
                self._proc.kill()  # looks first whether the number is still the child's
            except (ProcessLookupError, PermissionError):
                pass  # it may have ended just now, or be another user's

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()
        self._drop_pidfd()

    def get_pid(self) -> int | None:  # type: ignore[override]
        """The child's process id."""
        return self._pid

    def get_returncode(self) -> int | None:
        """The exit status, negative for a signal's number; None while the child runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """The transport of the child's descriptor 0, 1 or 2; None when that is no pipe."""
        return self._pipes[fd].pipe if fd in self._pipes else None

    def send_signal(self, signal: int) -> None:
        """Send a signal; one to a child that has ended is lost. ProcessLookupError later."""
        if self._proc is None:
            raise ProcessLookupError
        if self._returncode is None:
            try:
                self._signal(signal)
            except ProcessLookupError:
                pass

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    # The child

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, number)
        elif self._proc.returncode is None:
            os.kill(self._proc.pid, number)

    def _is_running(self) -> bool:
        """Whether the child runs, without taking its exit status from whoever waits for it."""
        if self._proc.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self._proc.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def _exited(self) -> None:
        """The pidfd says that the child has ended."""
        self._loop._remove_reader(self._pidfd)
        returncode = self._proc.returncode
        if returncode is None:  # else somebody has called Popen.wait()
            try:
                _, status = os.waitpid(self._proc.pid, 0)
            except ChildProcessError:
                returncode = 255
                _base_events.logger.warning(
                    "child process pid %d exit status already read:  will report returncode 255",
                    self._pid,
                )
            else:
                returncode = _unix_events.waitstatus_to_exitcode(status)
        self._drop_pidfd()
        self._process_exited(returncode)

    def _process_exited(self, returncode: int) -> None:
        if self._loop.get_debug():
            _base_events.logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        if self._proc.returncode is None:
            self._proc.returncode = returncode
        self._call(self._protocol.process_exited)
        if _WAKES_AT_EXIT:
            self._wake_waiters()
        self._try_finish()

    def _drop_pidfd(self) -> None:
        if self._pidfd >= 0:
            pidfd, self._pidfd = self._pidfd, -1
            os.close(pidfd)

    async def _wait(self) -> int | None:
        """Wait for the end of the child; its exit status. For asyncio.subprocess.Process."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._exit_waiters:
                self._exit_waiters.remove(waiter)
        return self._returncode

    def _wake_waiters(self) -> None:
        waiters, self._exit_waiters = self._exit_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(self._returncode)  # type: ignore[arg-type]

    # What the pipes say

    def _call(self, callback: Any, *data: Any) -> None:
        if self._pending is not None:
            self._pending.append((callback, *data))
        else:
            self._loop.call_soon(callback, *data)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._call(self._protocol.pipe_connection_lost, fd, exc)
        self._try_finish()

    def _try_finish(self) -> None:
        """Everything has ended: the child, and all its pipes."""
        if (
            not self._finished
            and self._returncode is not None
            and all(pipe.disconnected for pipe in self._pipes.values())
        ):
            self._finished = True
            self._call(self._call_connection_lost, None)

    def _call_connection_lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._wake_waiters()
            self._loop = None
            self._proc = None
            self._protocol = None

    def _loop_is_closed(self) -> bool:
        return self._loop is None or self._loop.is_closed()


class Processes(_Half):
    """The loop's methods for pipes and child processes."""

    _threads: Any = None

    def _make_read_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> _core.ReadPipe:
        return _core.ReadPipe(self, pipe, protocol, waiter, extra)  # type: ignore[arg-type]

    def _make_write_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> _core.WritePipe:
        return _core.WritePipe(self, pipe, protocol, waiter, extra)  # type: ignore[arg-type]

    async def _make_subprocess_transport(
        self,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ProcessTransport:
        def spawn() -> ProcessTransport:
            return ProcessTransport(
                self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **kwargs
            )

        watcher = _foreign_watcher(self)
        if watcher is None:
            return await self._begin_process(spawn, None)
        if sys.version_info >= (3, 14):
            return await self._begin_process(spawn, watcher)
        with watcher as entered:
            if sys.version_info < (3, 12):
                watcher = entered
            if not watcher.is_active():
                raise RuntimeError(
                    "asyncio.get_child_watcher() is not activated, "
                    "subprocess support is not installed."
                )
            return await self._begin_process(spawn, watcher)

    async def _begin_process(
        self, spawn: Callable[[], ProcessTransport], watcher: Any
    ) -> ProcessTransport:
        transport = spawn()
        try:
            if watcher is None:
                transport._watch_exit()
            else:
                watcher.add_child_handler(
                    transport.get_pid(), self._child_watcher_callback, transport
                )
        except BaseException:
            transport._give_up()
            transport._proc.wait()
            raise
        try:
            await transport._begin()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport._give_up()
            await transport._wait()
            raise
        return transport

    def _threads_for_children(self) -> Any:
        """asyncio's watcher that waits for each child in a thread."""
        if self._threads is None:
            name = (
                "_ThreadedChildWatcher" if sys.version_info >= (3, 14) else "ThreadedChildWatcher"
            )
            self._threads = getattr(_unix_events, name)()
        return self._threads
