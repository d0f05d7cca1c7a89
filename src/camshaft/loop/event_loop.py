# SPDX-License-Identifier: MIT
"""The event loop: C for what runs per callback and per packet, asyncio's own Python for the rest.

``_core.Loop`` (csrc/py/loop) schedules and polls, the transports (csrc/py/transport) move bytes.
What happens once per connection made by hand, per server or per loop (``create_connection`` by
name, ``create_server``, shutting executors down) is inherited from the running Python's asyncio,
whose ownership rules are public and tested; the methods here and in the modules beside this one
join the two halves.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import selectors
import sys
import threading
import weakref
from asyncio import base_events, constants, events, format_helpers, unix_events
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVarTuple

from camshaft import _core
from camshaft.loop.executors import Executors
from camshaft.loop.names import NameLookups
from camshaft.loop.process import Processes
from camshaft.loop.signals import SignalHandling
from camshaft.loop.sockets import SocketCalls
from camshaft.loop.tls import TlsMethods
from camshaft.loop.transport import DatagramTransport, StreamTransport
from camshaft.loop.unix_server import UnixServerMixin

if TYPE_CHECKING:
    import socket
    import ssl

    class _PythonHalf(asyncio.SelectorEventLoop):
        """asyncio's loop with the private methods that are called or replaced here."""

        _asyncgen_firstiter_hook: Any
        _asyncgen_finalizer_hook: Any

        def _check_running(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _close_self_pipe(self) -> None: ...
        def _start_serving(self, *args: Any, **kwargs: Any) -> None: ...
        def _stop_serving(self, sock: socket.socket) -> None: ...
else:
    _PythonHalf = asyncio.SelectorEventLoop

_Ts = TypeVarTuple("_Ts")

# The private parts of asyncio that are built on here.
_base_events: Any = base_events
_format_helpers: Any = format_helpers
_unix_events: Any = unix_events

# Keywords of create_connection() that say nothing when they are None.
_CONNECTION_KEYWORDS = inspect.signature(
    _base_events.BaseEventLoop.create_connection
).parameters.keys() - {
    "self",
    "protocol_factory",
    "host",
    "port",
    "family",
    "proto",
    "flags",
    "all_errors",
}


def _wants_fast_tasks() -> bool:
    """What the environment says of EventLoop.fast_tasks; ValueError if it cannot be understood."""
    kind = os.environ.get("CAMSHAFT_TASKS", "driven")
    if kind not in ("driven", "stock"):
        raise ValueError(f"CAMSHAFT_TASKS is {kind!r}; it may be 'driven' or 'stock'")
    return kind == "driven"


_FAST_TASKS = _wants_fast_tasks()


class _Watched:
    """What asyncio's own transports ask of a selector for their repr(), where a program makes one
    of them on this loop by hand; the loop's are C."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = weakref.ref(loop)

    def get_key(self, fd: int) -> selectors.SelectorKey:
        """How fd is watched; KeyError when it is not."""
        loop = self._loop()
        interest = loop._interest(fd) if loop is not None else 0
        if not interest:
            raise KeyError(fd)
        return selectors.SelectorKey(fd, fd, interest, None)

    def close(self) -> None:
        """Nothing to close: the poller is the loop's own."""


class EventLoop(
    SocketCalls,
    NameLookups,
    Executors,
    TlsMethods,
    _core.Loop,
    Processes,
    SignalHandling,
    UnixServerMixin,
    _PythonHalf,
):
    """An asyncio event loop; a drop-in for ``asyncio.SelectorEventLoop`` and ``uvloop.Loop``.

    Differences from asyncio: callbacks are run by C and a handle forgets its callback once it has
    run; stream writes of one turn go out together at its end; ``time()`` has nanoseconds; a loop
    used in a forked child raises RuntimeError instead of disturbing its parent's poller.

    On CPython 3.11 to 3.13 ``create_task()`` makes asyncio's tasks in C and the loop runs their
    steps itself. ``fast_tasks = False`` leaves that to asyncio for the tasks that a loop makes from
    then on, ``CAMSHAFT_TASKS=stock`` in the environment for all loops. The numbers of default names
    ("Task-1") are counted apart from those that ``asyncio.Task`` gives by itself.
    """

    def __init__(self, selector: None = None) -> None:
        _base_events.BaseEventLoop.__init__(self)
        if selector is not None:
            self._closed = True  # there is nothing to close yet, and nobody to be warned
            raise TypeError(
                f"camshaft's loop polls by itself and takes no selector, got {selector!r}"
            )
        self.fast_tasks = _FAST_TASKS
        # What asyncio's selector loop would have made.
        self._selector: Any = _Watched(self)
        self._ssock: socket.socket | None = None
        self._csock: socket.socket | None = None
        self._transports: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._signal_handlers: dict[int, events.Handle] = {}
        self._unix_server_sockets: dict[Any, Any] = {}
        if sys.version_info >= (3, 14):
            # asyncio's, which process.py asks only where it is without pidfds.
            watcher = (
                "_PidfdChildWatcher" if _unix_events.can_use_pidfd() else "_ThreadedChildWatcher"
            )
            self._watcher: Any = getattr(_unix_events, watcher)()
        self._listeners: dict[int, _core.Listener] = {}
        # By descriptor: what of them other processes accept from as well (camshaft.master).
        self._shares: dict[int, _core.Share] = {}

    # Running and closing

    def run_forever(self) -> None:
        """Run until ``stop()``; see ``asyncio.loop.run_forever``."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook
            )
            events._set_running_loop(self)
            self._run()
        finally:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def close(self) -> None:
        """Drop what is scheduled and free the loop's descriptors; see ``asyncio.loop.close``."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        try:
            self._close_signals()
        finally:
            super().close()
            for listener in list(self._listeners.values()):
                listener.stop()
            self._listeners.clear()
            self._close()

    def set_debug(self, enabled: bool) -> None:
        """Switch asyncio's debug mode; see ``asyncio.loop.set_debug``."""
        self._debug = bool(enabled)
        if self.is_running():
            self.call_soon_threadsafe(self._set_coroutine_origin_tracking, self._debug)

    # What the C half calls

    def _create_task_by_factory(
        self, coro: Coroutine[Any, Any, Any], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """Make a task as the running Python's asyncio does: task factories, rarer keywords."""
        task: asyncio.Task[Any] = _base_events.BaseEventLoop.create_task(
            self, coro, *args, **kwargs
        )
        return task

    def _report_callback_error(
        self,
        exception: BaseException,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        handle: _core.Handle,
    ) -> None:
        """Pass what a callback raised to the exception handler."""
        source = _format_helpers._format_callback_source(callback, args)
        context: dict[str, Any] = {
            "message": f"Exception in callback {source}",
            "exception": exception,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _report_slow(self, handle: _core.Handle, seconds: float) -> None:
        """Debug mode: warn of a callback that took longer than slow_callback_duration."""
        signalled = getattr(handle._callback, "__self__", None)
        if isinstance(signalled, events.Handle):  # add_signal_handler's, run by its own method
            handle = signalled  # type: ignore[assignment]
        _base_events.logger.warning(
            "Executing %s took %.3f seconds", _base_events._format_handle(handle), seconds
        )

    def _report_slow_step(
        self, owner: object, called: object, method: str | None, seconds: float
    ) -> None:
        """Debug mode: the same for what a transport or a listener (owner) has done in C.

        called is the protocol or factory that it called last, if any, and method the method.
        """
        what = repr(owner)
        if called is not None:
            callback = called if method is None else getattr(called, method, called)
            callback = getattr(callback, "__func__", callback)  # what has a place in the source
            what = f"{_format_helpers._format_callback_source(callback, ())} for {what}"
        _base_events.logger.warning("Executing %s took %.3f seconds", what, seconds)

    def _close_self_pipe(self) -> None:
        """There is none: see signals.py for what wakes the loop up for signals."""

    def _add_callback_signalsafe(self, handle: events.Handle) -> None:
        self.call_soon_threadsafe(handle._run)

    # Streams and listeners

    @functools.wraps(_base_events.BaseEventLoop.create_connection)
    async def create_connection(  # type: ignore[override]  # the signature is given by wraps
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **keywords: Any,
    ) -> tuple[Any, Any]:
        """Connect to a TCP server; see ``asyncio.loop.create_connection``."""
        if host is not None and port is not None and self._is_plain(keywords):
            connector = self._connect(host, port)
            if connector is not None:
                return await self._open_connection(connector, protocol_factory)
        opened: tuple[Any, Any] = await _base_events.BaseEventLoop.create_connection(
            self, protocol_factory, host, port, **keywords
        )
        return opened

    def _is_plain(self, keywords: dict[str, Any]) -> bool:
        """True where create_connection() was asked for nothing but an address."""
        return "sock_connect" not in self.__dict__ and (
            not keywords
            or (
                keywords.keys() <= _CONNECTION_KEYWORDS
                and all(value is None for value in keywords.values())
            )
        )

    async def _open_connection(
        self, connector: _core.Connector, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> tuple[StreamTransport, asyncio.BaseProtocol]:
        try:
            if connector.future is not None:
                await connector.future
            protocol = protocol_factory()
            waiter = self.create_future()
            transport = connector.open(protocol, waiter)
        finally:
            connector.close()
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        **_ignored: Any,
    ) -> StreamTransport:
        return StreamTransport(self, sock, protocol, waiter, extra, server)

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> DatagramTransport:
        self._ensure_fd_no_transport(sock)
        return DatagramTransport(self, sock, protocol, address, waiter, extra)

    async def _sendfile_native(
        self, transport: StreamTransport, file: Any, offset: int, count: int | None
    ) -> int:
        reading = transport.is_reading()
        transport.pause_reading()
        await transport._make_empty_waiter()
        try:
            sock = transport._sock
            if sock is None:
                raise ConnectionError("the transport is closed")
            sent: int = await self.sock_sendfile(sock, file, offset, count, fallback=False)
            return sent
        finally:
            transport._reset_empty_waiter()
            if reading:
                transport.resume_reading()

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: ssl.SSLContext | None = None,
        server: asyncio.Server | None = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
        **more: Any,
    ) -> None:
        if sslcontext is not None:
            super()._start_serving(
                protocol_factory,
                sock,
                sslcontext,
                server,
                backlog,
                ssl_handshake_timeout,
                ssl_shutdown_timeout,
                **more,
            )
            return
        self._listeners[sock.fileno()] = _core.Listener(
            self, sock, protocol_factory, server, backlog, self._shares.get(sock.fileno())
        )

    def _stop_serving(self, sock: socket.socket) -> None:
        listener = self._listeners.pop(sock.fileno(), None)
        if listener is not None:
            listener.stop()
        # Closes the socket; from 3.13 on it also removes the file of a Unix one.
        super()._stop_serving(sock)


EventLoop._adopt_methods()


def new_event_loop() -> EventLoop:
    """A new event loop; the ``loop_factory`` for ``asyncio.Runner`` and uvicorn's ``--loop``."""
    return EventLoop()
