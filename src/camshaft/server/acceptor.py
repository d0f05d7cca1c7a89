# SPDX-License-Identifier: MIT
"""What accepts the connections of a server, on all that it listens on."""

import asyncio
import contextvars
import inspect
import socket
from collections.abc import Callable
from typing import Any, cast

from camshaft import _core
from camshaft.config import Config
from camshaft.loop.event_loop import EventLoop
from camshaft.middleware.proxy_headers import TrustedHosts
from camshaft.server import backlog
from camshaft.server.listeners import ListenError, Listening, log_started, open_listeners
from camshaft.server.tls import Certificates

# Seconds that a listener which takes no new ones gives to connections that have begun elsewhere in
# the network: less than the one after which TCP begins again.
_ON_THEIR_WAY = 0.25
# Seconds for the loop to accept what is queued, unless more come without end.
_QUEUED = 0.5
# Seconds between two looks at the queue.
_INTERVAL = 0.005


class Acceptor:
    """Listens for one server, which makes a protocol of `http` for each connection.

    On our own loop TLS and the PROXY protocol are the entrance's, in C. On another, TLS is that
    loop's, and there is no PROXY protocol. All is done on the loop's thread.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        http: Callable[[], asyncio.Protocol],
        certificates: Certificates | None,
    ) -> None:
        self.servers: list[asyncio.AbstractServer] = []
        self._config = config
        self._loop = loop
        self._http = http
        self._certificates = certificates
        self._entrance: _core.Entrance | None = None
        self._opened: list[Listening] = []
        self._listening_anew: asyncio.Task[None] | None = None
        self._pauses = config.limit_concurrency_mode == "pause"
        self._paused = False
        self._closed = False
        self._context = contextvars.copy_context()

    async def start(self, sockets: list[socket.socket] | None) -> None:
        """Listen on these sockets, or else on what the configuration says: on all, or on none.

        Raises ListenError, and OSError for sockets that were given.
        """
        self._make_entrance()
        if sockets is None:
            self._opened = await open_listeners(self._config)
            sockets = [sock for listening in self._opened for sock in listening.sockets]
        if self._pauses:
            self._watch_full()
        try:
            for sock in sockets:
                sock.setblocking(False)
                self.servers.append(await self._listen_on(sock))
            if self._pauses:
                self._listen_one_by_one()
        except BaseException:
            self.close(sockets)
            self.remove_files()
            raise

    def _make_entrance(self) -> None:
        config = self._config
        if not isinstance(self._loop, _core.Loop):
            if config.proxy_protocol:
                raise ListenError("--proxy-protocol needs camshaft's own loop: leave --loop auto.")
            return
        if self._certificates is None and not config.proxy_protocol:
            return
        self._entrance = _core.Entrance(
            self._loop,
            self._http,
            ssl_context=self._certificates.context if self._certificates else None,
            proxies=TrustedHosts(config.proxy_allow_from) if config.proxy_protocol else None,
            time_limit=config.ssl_handshake_timeout,
            limit=config.limit_handshakes,
        )

    # Waiting beyond the limit of connections. What asyncio has for a listening socket is to begin
    # and, closing it, to end: between the two the loop's listener is stopped and made anew.

    def _watch_full(self) -> None:
        if not isinstance(self._loop, EventLoop):
            raise ListenError(
                "--limit-concurrency-mode pause needs camshaft's own loop: leave --loop auto."
            )
        watch_full = getattr(self._http, "watch_full")  # noqa: B009  # of native servers
        watch_full(self._set_full)

    def _set_full(self, full: bool) -> None:
        if self._closed or full == self._paused:
            return
        self._paused = full
        if full:
            self._stop_accepting()
        else:
            self._accept()

    def _pause_no_more(self) -> None:
        """Let in who waits, however many they are: the server ends, and nobody is to be lost."""
        self._closed = True
        if self._paused:
            self._paused = False
            self._accept()

    def _listeners(self) -> dict[int, _core.Listener]:
        assert isinstance(self._loop, EventLoop)
        return self._loop._listeners

    def _stop_accepting(self) -> None:
        listeners = self._listeners()
        for server in self.servers:
            for sock in cast(asyncio.Server, server).sockets:
                listener = listeners.pop(sock.fileno(), None)
                if listener is not None:
                    listener.stop()

    def _accept(self) -> None:
        listeners = self._listeners()
        # In our own context: this may be called from a request's.
        context = self._context.copy()
        for server in self.servers:
            for sock in cast(asyncio.Server, server).sockets:
                listeners[sock.fileno()] = context.run(self._listener, sock, server)

    def _listener(self, sock: socket.socket, server: asyncio.AbstractServer) -> _core.Listener:
        assert isinstance(self._loop, EventLoop)
        factory: Callable[[], Any] = self._entrance or self._http
        # One at a time, lest there be more of them than it takes to be full.
        return _core.Listener(self._loop, sock, factory, cast(asyncio.Server, server), backlog=1)

    def _listen_one_by_one(self) -> None:
        self._stop_accepting()
        if not self._paused:
            self._accept()

    async def _listen_on(self, sock: socket.socket) -> asyncio.AbstractServer:
        unix = sock.family == socket.AF_UNIX
        create: Any = self._loop.create_unix_server if unix else self._loop.create_server
        options: dict[str, Any] = {}
        if self._certificates is not None and self._entrance is None:
            options["ssl"] = self._certificates.context
            options["ssl_handshake_timeout"] = self._config.ssl_handshake_timeout
        if unix and _keeps_file(create):
            options["cleanup_socket"] = False
        server: asyncio.AbstractServer = await create(
            self._entrance or self._http, sock=sock, backlog=self._config.backlog, **options
        )
        return server

    def log_started(self) -> None:
        """Say where the server is reached: a line for each thing that it listens on."""
        for listening in self._opened:
            log_started(listening)

    def renew(self) -> None:
        """Read the certificate again, for the connections to come; see Certificates."""
        if self._certificates is None or not self._certificates.renew():
            return
        if self._entrance is not None:
            self._entrance.ssl_context = self._certificates.context
        elif self._listening_anew is None or self._listening_anew.done():
            self._listening_anew = self._loop.create_task(self._listen_anew())

    async def _listen_anew(self) -> None:
        """Accept with the new certificate: the same sockets, by other descriptors.

        An asyncio server keeps the context that it was made with.
        """
        assert self._certificates is not None
        used = None
        while used is not self._certificates.context:
            used = self._certificates.context
            for at, server in enumerate(self.servers):
                for sock in cast(asyncio.Server, server).sockets:
                    self.servers[at] = await self._listen_on(sock.dup())
                server.close()

    @property
    def arriving(self) -> int:
        """How many connections are accepted and have not got past the entrance."""
        return 0 if self._entrance is None else self._entrance.arrivals

    async def finish(self) -> None:
        """Accept what waits to be accepted; nothing is left to be reset when it is closed.

        Sockets that were opened here are ours alone, and take no new connections from now on. Who
        gave us others may have others accept.
        """
        self._pause_no_more()
        listeners = [sock for server in self.servers for sock in _sockets_of(server)]
        alone = [sock for listening in self._opened if listening.ours for sock in listening.sockets]
        turned = [sock for sock in alone if backlog.turn_away(sock)]
        if not all(backlog.is_local(sock) for sock in turned):
            await asyncio.sleep(_ON_THEIR_WAY)
        end = self._loop.time() + _QUEUED
        pending = True
        while pending and self._loop.time() < end:
            # Also after the last: what it has sent is read.
            await asyncio.sleep(_INTERVAL)
            pending = backlog.has_pending(listeners)

    def stop(self, sockets: list[socket.socket] | None) -> None:
        """Accept no more. Connections that have not got past the entrance go on."""
        self._closed = True
        if self._listening_anew is not None:
            self._listening_anew.cancel()
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()

    def close(self, sockets: list[socket.socket] | None) -> None:
        """Accept no more, and drop the connections that have not got past the entrance."""
        self.stop(sockets)
        if self._entrance is not None:
            self._entrance.close()

    def remove_files(self) -> None:
        """Remove the files of Unix sockets, but for those that another server has put there."""
        for listening in self._opened:
            listening.remove_file()


def _sockets_of(server: asyncio.AbstractServer) -> list[socket.socket]:
    """Return the sockets of an asyncio server, none any more once it is closed."""
    return list(getattr(server, "sockets", None) or ())


def _keeps_file(create_unix_server: Any) -> bool:
    """Whether it can be told to leave the socket's file, which is ours to remove, when it ends.

    asyncio's from Python 3.13 on would remove it.
    """
    try:
        return "cleanup_socket" in inspect.signature(create_unix_server).parameters
    except ValueError:
        # It is not Python.
        return False
