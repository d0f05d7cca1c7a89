# SPDX-License-Identifier: MIT
"""``getaddrinfo`` and ``getnameinfo``: answered at once where nothing has to be looked up."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camshaft import _core

    class _Base(_core.Loop, asyncio.SelectorEventLoop):
        """What NameLookups is mixed into."""

else:
    _Base = object

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class NameLookups(_Base):
    """Look-ups: the same answers and exceptions as asyncio's, which come from the executor."""

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As ``socket.getaddrinfo``; an address with a number for a port needs no thread."""
        if not self._debug:
            found = self._numeric_addresses(host, port, family, type, proto, flags)
            if found is not None:
                return found
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]:
        """As ``socket.getnameinfo``; numbers that are to stay numbers need no thread."""
        if flags == _NUMERIC:
            self._check_closed()
            return socket.getnameinfo(sockaddr, flags)
        return await super().getnameinfo(sockaddr, flags)
