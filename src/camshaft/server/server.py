# SPDX-License-Identifier: MIT
"""The server: from a configuration to a process that answers, and back to nothing.

The sequence, the log lines and the exit codes are uvicorn's. What differs: nothing ticks. The
server waits for an event that a signal, or whoever sets `should_exit`, fires; so a process
without requests does not wake up.
"""

import asyncio
import contextlib
import functools
import logging
import math
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from camshaft._core import expect_bodies
from camshaft.config import STARTUP_FAILURE, Config
from camshaft.logging import paint
from camshaft.server.acceptor import Acceptor
from camshaft.server.http import Http, http_server
from camshaft.server.lifespan import Lifespan
from camshaft.server.listeners import ListenError
from camshaft.server.metrics import Metrics
from camshaft.server.python_http import PythonHttp
from camshaft.server.signals import captured, raise_again
from camshaft.server.state import NativeState, ServerState, state_of
from camshaft.server.tls import Certificates

logger = logging.getLogger("uvicorn.error")

# Seconds for what is cancelled or aborted to come to its end.
_CLEANUP_LIMIT = 2.0
# Seconds before the end of timeout_graceful_shutdown; half of it if that is less.
_DISCONNECT_BEFORE = 1.0
# Seconds from the last of limit_max_requests to the end.
_LAST_REQUESTS = 0.1
# Milliseconds for who reads the access log to take the last of it.
_LOG_PATIENCE = 1000
# Seconds after the first signal in which a SIGTERM is none more.
_SAME_WISH = 1.0
# Connections that are named in the log when they have outlasted the end.
_TOLD = 10
# What WebSockets are closed with: RFC 6455's registry has it for a service that restarts.
_WEBSOCKET_CODE = 1012
# Seconds between two looks at the connections while the server is shutting down.
_SHUTDOWN_INTERVAL = 0.02


class Server:
    """One server, for one run. Its attributes may be read and set from any thread.

    `started` is true once it listens, by `servers`, which asyncio's Server describes.
    `server_state` has the connections and tasks there are, and counts the requests. Setting
    `should_exit` ends it gracefully; setting `force_exit` as well makes that end at once,
    without the application's shutdown. `leaves_backlog` is to be set where the sockets given stay
    open elsewhere: who has connected and waits to be accepted is then left to the next.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started = False
        self.leaves_backlog = False
        self.servers: list[asyncio.AbstractServer] = []
        self.server_state: ServerState | NativeState = ServerState()
        self.lifespan: Lifespan | None = None
        self.http: Http | None = None
        self._acceptor: Acceptor | None = None
        self._should_exit = False
        self._force_exit = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exit_asked = asyncio.Event()
        self._force_asked = asyncio.Event()
        self._captured: list[signal.Signals] = []
        self._capturing = False
        self._signalled: float | None = None  # time.monotonic() of the first signal
        self._raise_later = False
        self._ending: asyncio.Event | None = None
        self._ended = False
        self._metrics: Metrics | None = None

    @property
    def should_exit(self) -> bool:
        """Whether the server is to end, or is ending."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        self._wake()

    @property
    def force_exit(self) -> bool:
        """Whether the end is not to wait for requests, nor for the application."""
        return self._force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._force_exit = value
        self._wake()

    def _wake(self) -> None:
        """Have the loop look at the flags; from any thread, and with no loop yet or any more."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._look)

    @functools.cached_property
    def limit_max_requests(self) -> int | None:
        """After how many requests it ends, the jitter of this run added."""
        limit = self.config.limit_max_requests
        if limit is None:
            return None
        # At least one, so that it is an answer that ends the server.
        return max(1, limit + random.randint(0, self.config.limit_max_requests_jitter))

    def _max_requests_answered(self) -> None:
        """End in a moment: whoever is just connecting is still let in, as with uvicorn's tick."""
        assert self._loop is not None
        self._loop.call_later(_LAST_REQUESTS, self._end_by_limit)

    def _end_by_limit(self) -> None:
        if not self.should_exit:
            logger.info(
                "Maximum request limit of %d exceeded. Terminating process.",
                self.limit_max_requests,
            )
            self.should_exit = True

    def _look(self) -> None:
        for flag, event in (
            (self._should_exit, self._exit_asked),
            (self._force_exit, self._force_asked),
        ):
            if flag:
                event.set()
            else:
                event.clear()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on an event loop of its own until the server is told to end.

        The signal that ended it is raised again when all is closed, so that the process ends by
        it, as uvicorn's does: SIGINT as KeyboardInterrupt, SIGTERM by its default action.
        """
        self._raise_later = True
        expect_bodies()  # the process is the server's
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self.serve(sockets))
        while self._captured:
            signal.raise_signal(self._captured.pop())

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the running loop; `sockets` are used instead of the configured address.

        Raises SystemExit when the server cannot start, as uvicorn's does. When it is cancelled,
        nothing is left behind: it stops listening, cancels the requests, and has the
        application shut down before the cancellation goes on.
        """
        try:
            with self.capture_signals():
                await self._serve(sockets)
        finally:
            if self._acceptor is not None:
                self._acceptor.remove_files()
        if not self._raise_later:
            await raise_again(self._captured)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End the server on SIGINT and SIGTERM while the context lasts.

        With TLS, SIGHUP has the certificate read anew.
        """
        if self._capturing:
            yield
            return
        self._capturing = True
        try:
            with captured(self.handle_exit, self.other_signals()):
                yield
        finally:
            self._capturing = False

    def other_signals(self) -> dict[signal.Signals, Callable[[], None]]:
        """Return what is called for other signals than those that end the server."""
        return {signal.SIGHUP: self.renew_certificate} if self.config.is_ssl else {}

    def make_metrics(self, place: str) -> Metrics:
        """Return what shows the metrics."""
        return Metrics(place)

    def handle_exit(self, sig: signal.Signals, frame: object = None) -> None:
        """Handle a signal: the first ends the server, and another one at once.

        A SIGTERM that comes right after the first signal is the same wish by another way: a
        supervisor may signal a whole group of processes and each of them.
        """
        self._captured.append(sig)
        now = time.monotonic()
        first = now if self._signalled is None else self._signalled
        self._signalled = first
        if self.should_exit and (sig == signal.SIGINT or now - first > _SAME_WISH):
            self.force_exit = True
        else:
            self.should_exit = True

    def renew_certificate(self) -> None:
        """Read certificate and key again, for the connections to come; those there are go on.

        What cannot be used is left, with a line in the log. On the loop's thread.
        """
        if self._acceptor is not None:
            self._acceptor.renew()

    async def _serve(self, sockets: list[socket.socket] | None) -> None:
        process_id = os.getpid()
        if not self.config.loaded:
            self.config.load()
        logger.info(
            "Started server process [%d]",
            process_id,
            extra={"color_message": f"Started server process [{paint('%d', 'cyan')}]"},
        )
        try:
            await self.startup(sockets)
            if not self.started:
                return
            try:
                await self._until_exit()
            except Exception:
                # What callback_notify has raised is no reason to drop what is under way.
                await self.shutdown(sockets)
                raise
            await self.shutdown(sockets)
        except asyncio.CancelledError:
            await self._end_at_once(sockets)
            raise
        logger.info(
            "Finished server process [%d]",
            process_id,
            extra={"color_message": f"Finished server process [{paint('%d', 'cyan')}]"},
        )

    async def _until_exit(self) -> None:
        """Wait until the server is told to end, and notify meanwhile whoever wants it."""
        asked = asyncio.ensure_future(self._exit_asked.wait())
        waited_for: set[asyncio.Future[Any]] = {asked}
        if self.config.callback_notify is not None:
            waited_for.add(asyncio.ensure_future(self._notify(self.config.callback_notify)))
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waited_for:
                each.cancel()
        for each in waited_for:
            if each.done() and not each.cancelled():
                each.result()

    async def _notify(self, callback: Callable[[], Awaitable[None]]) -> None:
        while True:
            await callback()
            await asyncio.sleep(self.config.timeout_notify)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen. Raises SystemExit if either fails."""
        config = self.config
        if not config.loaded:
            config.load()
        self._loop = asyncio.get_running_loop()
        self._look()
        self._ending = None
        self._ended = False
        self.lifespan = config.lifespan_class(config)
        if not await self._unless_forced(self.lifespan.startup()):
            await self.lifespan.cancel()
            return
        if self.lifespan.should_exit:
            raise SystemExit(STARTUP_FAILURE)
        if config.fastapi_mounted is not None:
            config.fastapi_mounted.log_routes()
        certificates = Certificates(config, config.ssl) if config.ssl is not None else None
        tls_info = certificates.info if certificates else None
        self._metrics = self.make_metrics(config.metrics) if config.metrics is not None else None
        self.http = http_server(
            config,
            self._loop,
            self.lifespan.state,
            tls_info,
            self._metrics,
            self.limit_max_requests,
            self._max_requests_answered,
        )
        self.server_state = state_of(self.http, config)
        self._acceptor = Acceptor(config, self._loop, self.http, certificates)
        self.servers = self._acceptor.servers
        try:
            await self._acceptor.start(sockets)
            if self._metrics is not None:
                await self._metrics.listen()
        except (ListenError, OSError) as error:
            logger.error("%s", error)
            self._acceptor.close(sockets)
            await self._unless_forced(self.lifespan.shutdown())
            raise SystemExit(STARTUP_FAILURE) from None
        self._acceptor.log_started()
        if self._metrics is not None:
            self._metrics.log_started()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let the requests under way end, then the application.

        Requests that outlast timeout_graceful_shutdown are cancelled. Called again, it waits
        for the same end.
        """
        assert self.http is not None and self.lifespan is not None
        if self._ending is not None:
            await self._ending.wait()
            return
        self._ending = asyncio.Event()
        try:
            await self._shutdown(self.http, self.lifespan, sockets)
            self._ended = True
        finally:
            self.http.flush_access_log(_LOG_PATIENCE)
            self._ending.set()

    async def _shutdown(
        self, http: Http, lifespan: Lifespan, sockets: list[socket.socket] | None
    ) -> None:
        logger.info("Shutting down")
        if self._acceptor is not None and self.leaves_backlog:
            self._acceptor.stop(sockets)
        if not await self._unless_forced(self._end_requests(http, sockets)):
            http.abort()
        self._stop_listening(sockets)
        if self.force_exit or not await self._unless_forced(lifespan.shutdown()):
            await lifespan.cancel()
        if self._metrics is not None:
            self._metrics.close()

    def _stop_listening(self, sockets: list[socket.socket] | None) -> None:
        if self._acceptor is not None:
            self._acceptor.close(sockets)

    async def _end_at_once(self, sockets: list[socket.socket] | None) -> None:
        """End what a cancelled serve() would leave behind, whatever it has come to."""
        if self._ended or (self._ending is not None and not self._ending.is_set()):
            # It has been shut down by hand, or somebody is about to.
            return
        self._stop_listening(sockets)
        if self._metrics is not None:
            self._metrics.close()
        lifespan = self.lifespan
        try:
            if self.http is not None:
                self.http.shutdown()
                self.http.cancel()
                await self._all_ended(_CLEANUP_LIMIT)
            if lifespan is not None and lifespan.running:
                await lifespan.shutdown()
        except asyncio.CancelledError:
            # A second time: there is no more patience.
            if lifespan is not None:
                await lifespan.cancel()
            raise
        finally:
            if self.http is not None:
                self.http.abort()
                self.http.flush_access_log(_LOG_PATIENCE)
            if lifespan is not None and not lifespan.running:
                await lifespan.cancel()

    async def _stop_accepting(self, http: Http, sockets: list[socket.socket] | None) -> None:
        """Serve those who have connected, and nobody else.

        From the first moment on each answer is a connection's last, those to come included. Where
        idle connections are closed when this is told, it is told after the last are accepted.
        """
        linger = self._linger
        at_once = self._limit == 0 or (linger > 0 and not isinstance(http, PythonHttp))
        if at_once:
            http.shutdown(_WEBSOCKET_CODE, linger)
        try:
            if self._acceptor is not None and not self.leaves_backlog:
                await self._acceptor.finish()
        finally:
            if self._acceptor is not None:
                self._acceptor.stop(sockets)
            if not at_once:
                http.shutdown()
        if self._arriving:
            asyncio.get_running_loop().call_later(linger, self._stop_listening, None)

    @property
    def _limit(self) -> float | None:
        """Seconds that the end may take, None for any."""
        limit = self.config.timeout_graceful_shutdown
        return None if limit == math.inf else limit

    @property
    def _linger(self) -> float:
        """Seconds that idle connections stay: over before the end is.

        Also where what came before them on the connection has been told to end; see _end_requests.
        """
        linger, limit = self._patience, self._limit
        if limit is None:
            return linger
        return min(linger, max(limit / 4, limit / 2 - _DISCONNECT_BEFORE))

    @property
    def _patience(self) -> float:
        """Seconds that idle connections may stay, as far as the end's limit allows."""
        return self.config.timeout_linger

    @property
    def _arriving(self) -> int:
        return 0 if self._acceptor is None else self._acceptor.arriving

    async def _end_requests(self, http: Http, sockets: list[socket.socket] | None) -> None:
        limit = self._limit
        disconnect: asyncio.TimerHandle | None = None
        if limit is not None:
            # Streams that never end by themselves return when they hear of a disconnect. Not
            # earlier than that: others that would have been complete in time would be cut.
            disconnect = asyncio.get_running_loop().call_later(
                limit - min(_DISCONNECT_BEFORE + self._linger, limit / 2), http.disconnect
            )
        try:
            async with asyncio.timeout(limit):
                await self._stop_accepting(http, sockets)
                # What ends by itself at once is not worth a line.
                if not await self._all_ended(0.1):
                    if http.connections:
                        logger.info("Waiting for connections to close. (CTRL+C to force quit)")
                    while http.connections or self._arriving:
                        await asyncio.sleep(_SHUTDOWN_INTERVAL)
                    if http.tasks:
                        logger.info(
                            "Waiting for background tasks to complete. (CTRL+C to force quit)"
                        )
                        while http.tasks:
                            await asyncio.sleep(_SHUTDOWN_INTERVAL)
        except TimeoutError:
            self._tell_remaining(http)
            logger.error(
                "Cancel %s running task(s), timeout graceful shutdown exceeded", http.tasks
            )
            http.cancel()
            # What the requests do in their `finally` needs the application's resources.
            await self._all_ended(_CLEANUP_LIMIT)
            http.abort()
        finally:
            if disconnect is not None:
                disconnect.cancel()

    def _tell_remaining(self, http: Http) -> None:
        count = http.connections
        if count:
            told = http.remaining(_TOLD)
            logger.warning(
                "%d connection(s) did not end within %g s%s%s",
                count,
                self._limit,
                "".join(f"{', ' if at else ': '}{text}" for at, text in enumerate(told)),
                ", and others" if len(told) < count else "",
            )

    async def _all_ended(self, limit: float) -> bool:
        """Wait for the end of all connections and tasks; False if the limit is over before."""
        assert self.http is not None
        try:
            async with asyncio.timeout(limit):
                while self.http.connections or self.http.tasks or self._arriving:
                    await asyncio.sleep(_SHUTDOWN_INTERVAL / 4)
        except TimeoutError:
            return False
        return True

    async def _unless_forced(self, step: Awaitable[None]) -> bool:
        """Wait for a step; False if the server was told to end at once before it was done."""
        task = asyncio.ensure_future(step)
        forced = asyncio.ensure_future(self._force_asked.wait())
        try:
            await asyncio.wait((task, forced), return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
            if not task.done():
                task.cancel()
        if task.cancelled() or not task.done():
            return False
        task.result()
        return True
