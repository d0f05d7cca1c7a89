# SPDX-License-Identifier: MIT
"""Where TLS begins: csrc/py/transport/tls*.c in the place of asyncio's SSLProtocol."""

from __future__ import annotations

import asyncio
from asyncio import streams
from typing import TYPE_CHECKING, Any

from camshaft import _core
from camshaft.loop.transport import StreamTransport

if TYPE_CHECKING:
    import socket
    import ssl

    _Loop = _core.Loop
else:
    _Loop = object


class TlsMethods(_Loop):
    """The methods of the event loop by which TLS begins; to be mixed into ``_core.Loop``."""

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        **_ignored: Any,
    ) -> _core.SSLTransport:
        tls: Any = _core.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        transport: _core.SSLTransport = tls._app_transport
        StreamTransport(self, rawsock, tls, None, extra, server)
        return transport

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> _core.SSLTransport:
        """Begin TLS on an open connection; the transport that `protocol` is to use from now on.

        As ``asyncio.loop.start_tls``. What a StreamReader of the server's side had received already
        is taken for the beginning of TLS, on every Python (CPython's, from 3.14 on).

        TypeError for a context that is none and for a transport that cannot; what the handshake
        ends with (ssl.SSLError, ConnectionError), the transport being closed then.
        """
        try:
            import ssl
        except ImportError:
            raise RuntimeError("Python ssl module is not available") from None
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        tls = _core.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            call_connection_made=False,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        secure = tls._app_transport
        assert secure is not None
        if server_side and isinstance(protocol, streams.StreamReaderProtocol):
            reader: Any = getattr(protocol, "_stream_reader", None)
            if reader is not None and reader._buffer:
                tls._feed(reader._buffer)
                reader._buffer.clear()
        # Nothing may be received between the two protocols.
        transport.pause_reading()
        transport.set_protocol(tls)
        begin = self.call_soon(tls.connection_made, transport)
        read_on = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            begin.cancel()
            read_on.cancel()
            raise
        finally:
            # An exception in it would keep all of this alive, in a circle with its traceback.
            del waiter
        return secure
