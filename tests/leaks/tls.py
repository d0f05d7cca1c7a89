# SPDX-License-Identifier: MIT
"""Scenarios of TLS: handshakes that succeed and fail, every way to close, TLS within TLS."""

import asyncio
import contextlib
import functools
import os
import socket
import ssl

from tests.leaks.scenario import Table, coroutine
from tests.leaks.streams import Echo, Protocol, exchange
from tests.tls_peer import open_tls

SCENARIOS: Table = {}


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's, made once: what is measured is the connections.

    The certificate is in a file: a debug interpreter has no packages to make one with.
    """
    file = os.path.join(os.path.dirname(__file__), "localhost.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)


@contextlib.asynccontextmanager
async def opened(factory=Protocol, **options):
    """(transport, protocol, peer); whatever is left of them is ended."""
    server, client = contexts()
    transport, protocol, peer = await open_tls(server, client, factory, **options)
    try:
        yield transport, protocol, peer
    finally:
        transport.abort()
        await protocol.lost
        peer.sock.close()


@coroutine(SCENARIOS)
async def both_sides(loop):
    server_tls, client_tls = contexts()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_tls)
    transport, protocol = await loop.create_connection(
        Protocol, *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
    )
    for name in ("sslcontext", "ssl_object", "peercert", "cipher", "compression", "peername"):
        repr(transport.get_extra_info(name))
    repr(transport)
    await exchange(transport, protocol)
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def streams(loop):
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server_tls, client_tls = contexts()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls)
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
    )
    writer.write(b"line\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def every_size_and_kind(loop):
    async with opened(Echo) as (transport, _, peer):
        for size in (1, 100, 5000, 70_000):
            data = bytes(size)
            for kind in (bytes, bytearray, memoryview):
                transport.write(kind(data))
            transport.writelines([data, bytearray(data)])
            await peer.read(5 * size)
            await peer.send(peer.seal(data))
            await peer.read(size)
        with contextlib.suppress(TypeError):
            transport.write("text")
        with contextlib.suppress(TypeError):
            transport.writelines([b"x", None])
        with contextlib.suppress(NotImplementedError):
            transport.write_eof()


@coroutine(SCENARIOS)
async def flow_control(loop):
    async with opened(buffer=4096) as (transport, protocol, peer):
        transport.write(bytes(1_000_000))
        await peer.read(1_000_000)
        transport.pause_reading()
        sending = asyncio.ensure_future(peer.send(peer.seal(bytes(400_000))))
        while transport.get_read_buffer_size() < 256 * 1024:
            await asyncio.sleep(0)
        transport.resume_reading()
        await sending
        while protocol.received < 400_000:
            await asyncio.sleep(0)
        transport.write(bytes(1_000_000))


@coroutine(SCENARIOS)
async def buffered_protocols(loop):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(100)
            self.received = 0
            self.lost = loop.create_future()

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            self.received += nbytes

        def connection_lost(self, exc):
            self.lost.set_result(None)

    async with opened(Buffered) as (_, protocol, peer):
        await peer.send(peer.seal(bytes(10_000)))
        while protocol.received < 10_000:
            await asyncio.sleep(0)
        protocol.buffer = bytearray()
        await peer.send(peer.seal(b"x"))
        await protocol.lost


@coroutine(SCENARIOS)
async def handshakes_that_fail(loop):
    _, client_tls = contexts()
    for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.setblocking(False)
        task = asyncio.create_task(
            loop.create_connection(Protocol, sock=ours, ssl=client_tls, server_hostname="localhost")
        )
        await loop.sock_recv(peer, 1 << 16)
        if answer:
            await loop.sock_sendall(peer, answer)
        peer.close()
        await asyncio.gather(task, return_exceptions=True)
        del task


@coroutine(SCENARIOS)
async def handshakes_given_up(loop):
    _, client_tls = contexts()
    for turns in range(5):
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        task = asyncio.create_task(
            loop.create_connection(Protocol, sock=ours, ssl=client_tls, server_hostname="localhost")
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ours.close()
        peer.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@coroutine(SCENARIOS)
async def a_handshake_that_takes_too_long(loop):
    _, client_tls = contexts()
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with contextlib.suppress(ConnectionAbortedError):
        await loop.create_connection(
            Protocol,
            sock=ours,
            ssl=client_tls,
            server_hostname="localhost",
            ssl_handshake_timeout=0.001,
        )
    peer.close()


@coroutine(SCENARIOS)
async def the_peers_close(loop):
    async with opened() as (_, protocol, peer):
        await peer.unwrap()
        await protocol.lost


@coroutine(SCENARIOS)
async def a_close_that_is_not_answered(loop):
    async with opened(ssl_shutdown_timeout=0.001) as (transport, protocol, _):
        transport.write(b"x")
        transport.close()
        await protocol.lost
        for _ in range(7):
            transport.write(b"after the end")


@coroutine(SCENARIOS)
async def the_end_within_a_record(loop):
    async with opened() as (_, protocol, peer):
        await peer.send(peer.seal(b"cut")[:-1])
        peer.sock.close()
        await protocol.lost


@coroutine(SCENARIOS)
async def corrupted_records(loop):
    async with opened() as (_, protocol, peer):
        ciphertext = bytearray(peer.seal(b"data", b"more"))
        ciphertext[-1] ^= 1
        await peer.send(ciphertext)
        await protocol.lost


@coroutine(SCENARIOS)
async def callbacks_that_raise(loop):
    class Failing(Protocol):
        def data_received(self, data):
            raise ValueError("on purpose")

        eof_received = pause_writing = resume_writing = lambda self: self.data_received(b"")

    async with opened(Failing) as (_, protocol, peer):
        await peer.send(peer.seal(b"x"))
        await protocol.lost
    async with opened(Failing) as (_, protocol, peer):
        with contextlib.suppress(ssl.SSLWantReadError):
            await peer.unwrap()
        await protocol.lost
    async with opened(Failing, buffer=4096) as (transport, protocol, peer):
        transport.write(bytes(2_000_000))
        await peer.read(2_000_000)


@coroutine(SCENARIOS)
async def tls_within_tls(loop):
    server_tls, client_tls = contexts()
    served = []

    class Outer(Protocol):
        def data_received(self, data):
            self.task = loop.create_task(self.upgrade())

        async def upgrade(self):
            inner = Echo()
            inner.transport = await loop.start_tls(
                self.transport, inner, server_tls, server_side=True
            )
            served.append(inner)

    server = await loop.create_server(Outer, "127.0.0.1", 0, ssl=server_tls)
    outer, _ = await loop.create_connection(
        Protocol, *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
    )
    outer.write(b"S")
    protocol = Protocol()
    inner = await loop.start_tls(outer, protocol, client_tls, server_hostname="localhost")
    await exchange(inner, protocol)
    await served[0].lost
    served.clear()
    server.close()
    await server.wait_closed()
