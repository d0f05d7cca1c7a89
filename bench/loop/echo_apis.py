# SPDX-License-Identifier: MIT
"""Echo servers by each of the ways that asyncio offers."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import cast

# The certificate and key that environment.certificate() has made.
CERTIFICATE = "CAMSHAFT_BENCH_CERTIFICATE"

# What a program asks sock_recv() and StreamReader.read() for.
RECEIVE = 64 * 1024
RECEIVE_BULK = 256 * 1024

Ended = Callable[[], object]


class Echo(asyncio.Protocol):
    """Writes every piece as it came."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for it."""
        self.ended()


class EchoInTwo(Echo):
    """Answers in two writes, as a server does that writes a head and a body."""

    def data_received(self, data: bytes) -> None:
        """Send it back in two pieces."""
        self.transport.write(data[:100])
        self.transport.write(data[100:])


class EchoBuffered(asyncio.BufferedProtocol):
    """Receives into a buffer of its own."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended
        self.room = memoryview(bytearray(RECEIVE_BULK))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The one buffer."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """Send it back."""
        self.transport.write(self.room[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for it."""
        self.ended()


def server_context() -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ[CERTIFICATE])
    return context


async def serve_protocol(protocol: Callable[[Ended], asyncio.BaseProtocol], ended: Ended) -> int:
    """create_server()."""
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol(ended), "127.0.0.1", 0, backlog=2048
    )
    return int(server.sockets[0].getsockname()[1])


async def serve_tls(ended: Ended) -> int:
    """create_server() with an SSL context."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Echo(ended), "127.0.0.1", 0, backlog=2048, ssl=server_context()
    )
    return int(server.sockets[0].getsockname()[1])


async def serve_streams(ended: Ended) -> int:
    """start_server(); the handler reads what there is and writes it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(RECEIVE_BULK):
            writer.write(data)
        writer.close()
        ended()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=2048)
    return int(server.sockets[0].getsockname()[1])


async def serve_sock(ended: Ended, receive: int = RECEIVE) -> int:
    """sock_accept(), sock_recv(), sock_sendall()."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()

    async def echo(connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := await loop.sock_recv(connection, receive):
                await loop.sock_sendall(connection, data)
        ended()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = loop.create_task(echo(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    tasks.add(loop.create_task(accept()))
    return int(listener.getsockname()[1])


async def serve(api: str, size: int, ended: Ended) -> int:
    """Start an echo server for messages of `size` bytes; its port. It ends with its loop."""
    if api == "protocol":
        return await serve_protocol(Echo, ended)
    if api == "two-writes":
        return await serve_protocol(EchoInTwo, ended)
    if api == "buffered":
        return await serve_protocol(EchoBuffered, ended)
    if api == "streams":
        return await serve_streams(ended)
    if api == "sock":
        return await serve_sock(ended, RECEIVE_BULK if size > RECEIVE else RECEIVE)
    if api == "tls":
        return await serve_tls(ended)
    raise ValueError(f"no way to echo: {api!r}")
