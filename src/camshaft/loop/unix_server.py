# SPDX-License-Identifier: MIT
"""create_unix_server with ``cleanup_socket`` (asyncio: from Python 3.13 on) on all Pythons."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # What is below is read by the type checker as on any Python.
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object

HAS_CLEANUP = sys.version_info >= (3, 13)


class UnixServerMixin(_Base):
    """Comes before asyncio's loop in EventLoop's bases."""

    _unix_server_sockets: dict[Any, int]

    if not HAS_CLEANUP:

        async def create_unix_server(
            self,
            protocol_factory: Callable[[], asyncio.BaseProtocol],
            path: Any = None,
            *,
            start_serving: bool = True,
            cleanup_socket: bool = False,
            **options: Any,
        ) -> asyncio.Server:
            """See ``asyncio.loop.create_unix_server``.

            Differs from asyncio before 3.13: with `cleanup_socket`, the server's file is removed
            when it is closed, unless another has taken its place by then.
            """
            if not cleanup_socket:
                return await super().create_unix_server(
                    protocol_factory, path, start_serving=start_serving, **options
                )
            server = await super().create_unix_server(
                protocol_factory, path, start_serving=False, **options
            )
            for sock in server.sockets:
                name = sock.getsockname()
                if name and name[0] not in (0, "\x00"):  # an abstract one has no file
                    try:
                        self._unix_server_sockets[sock.fileno()] = os.stat(name).st_ino
                    except FileNotFoundError:
                        pass
            if start_serving:
                await server.start_serving()
            return server

        def _stop_serving(self, sock: socket.socket) -> None:
            inode = self._unix_server_sockets.pop(sock.fileno(), None)
            name = sock.getsockname() if inode is not None else None
            super()._stop_serving(sock)  # type: ignore[misc]
            if name is None:
                return
            try:
                if os.stat(name).st_ino == inode:
                    os.unlink(name)
            except FileNotFoundError:
                pass
            except OSError as exc:
                logging.getLogger("asyncio").error(
                    "Unable to clean up listening UNIX socket %r: %r", name, exc
                )
