# SPDX-License-Identifier: MIT
"""A TLS peer whose ciphertext a test holds in its hands, on the raw end of a socket pair."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any


class Peer:
    """The other end of a connection: an SSLObject, and the socket that its bytes go through."""

    def __init__(self, context: ssl.SSLContext, sock: socket.socket, *, server_side: bool) -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        name = None if server_side else "localhost"
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=name
        )
        self.ended = False
        """The raw stream has ended."""

    async def flush(self) -> None:
        """Send what TLS has to say."""
        if self.outgoing.pending:
            await asyncio.get_running_loop().sock_sendall(self.sock, self.outgoing.read())

    async def receive(self) -> None:
        """Take what comes next off the socket."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 18)
        self.ended = not data
        self.incoming.write(data)

    async def _drive(self, call: Callable[..., Any], *args: int) -> Any:
        while True:
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                if self.ended:
                    raise
                await self.receive()
            else:
                await self.flush()
                return result

    async def handshake(self) -> None:
        await self._drive(self.tls.do_handshake)

    async def read(self, count: int) -> bytes:
        """`count` bytes of data, or fewer at the end."""
        data = b""
        while len(data) < count:
            piece = await self._drive(self.tls.read, count - len(data))
            if not piece:
                break
            data += piece
        return data

    async def read_end(self) -> bytes:
        """What comes before the other side's close_notify."""
        data = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while piece := await self._drive(self.tls.read, 1 << 16):
                data += piece
        return data

    async def unwrap(self) -> None:
        """Send close_notify and await the other's."""
        await self._drive(self.tls.unwrap)

    def seal(self, *pieces: bytes) -> bytes:
        """The ciphertext of some data, a record or more for each piece; not sent."""
        for piece in pieces:
            self.tls.write(piece)
        return self.outgoing.read()

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)


async def open_tls(
    ours: ssl.SSLContext,
    theirs: ssl.SSLContext,
    factory: Callable[[], asyncio.BaseProtocol],
    *,
    buffer: int | None = None,
    **options: Any,
) -> tuple[Any, Any, Peer]:
    """(transport, protocol, peer): ours is the server's side, and the handshake is done.

    `buffer` sets the kernel's buffers on both ends, in bytes; other options are those of
    ``connect_accepted_socket``.
    """
    left, right = socket.socketpair()
    for end in (left, right):
        end.setblocking(False)
        if buffer is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    loop = asyncio.get_running_loop()
    peer = Peer(theirs, right, server_side=False)
    (transport, protocol), _ = await asyncio.gather(
        loop.connect_accepted_socket(factory, left, ssl=ours, **options), peer.handshake()
    )
    # The tickets that follow a handshake are out of the way then.
    transport.write(b"!")
    assert await peer.read(1) == b"!"
    return transport, protocol, peer
