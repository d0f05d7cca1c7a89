# SPDX-License-Identifier: MIT
"""Calls on sockets that stay the caller's, as far as they are not C (csrc/py/loop/sock.c)."""

from __future__ import annotations

import asyncio
import socket
from asyncio import base_events
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camshaft import _core

    class _Base(_core.Loop, asyncio.SelectorEventLoop):
        """What SocketCalls is mixed into."""

        async def _ensure_resolved(self, *args: Any, **kwargs: Any) -> list[Any]: ...
else:
    _Base = object

_base_events: Any = base_events


class SocketCalls(_Base):
    """``sock_connect``: the look-up in Python, the connection in C."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket; a host that is no address is looked up, as asyncio does.

        Raises OSError ("Connect call failed ...") when nobody answers there.
        """
        _base_events._check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        if sock.family == socket.AF_INET or (
            _base_events._HAS_IPv6 and sock.family == socket.AF_INET6
        ):
            found = await self._ensure_resolved(
                address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
            )
            address = found[0][4]
        await self._sock_connect(sock, address)
