# SPDX-License-Identifier: MIT
"""Scenarios of connections: every way they begin, move bytes, fail and end."""

import asyncio
import contextlib
import functools
import gc
import socket

import camshaft
from tests.leaks.scenario import Table, coroutine, plain

SCENARIOS: Table = {}


class Protocol(asyncio.Protocol):
    """Keeps what a scenario asks about."""

    def __init__(self):
        self.received = 0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += len(data)

    def connection_lost(self, exc):
        self.lost.set_result(None)


class Echo(Protocol):
    def data_received(self, data):
        self.transport.write(data)


@contextlib.asynccontextmanager
async def opened(factory=Protocol, buffer=None):
    """(transport, protocol, peer socket); whatever is left of them is ended."""
    ours, peer = socket.socketpair()
    for end in (ours, peer):
        end.setblocking(False)
        if buffer is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(factory, sock=ours)
    try:
        yield transport, protocol, peer
    finally:
        transport.abort()
        await protocol.lost
        peer.close()


async def drain(peer, count):
    loop = asyncio.get_running_loop()
    while count > 0:
        data = await loop.sock_recv(peer, 1 << 16)
        if not data:
            return
        count -= len(data)


async def exchange(transport, protocol):
    transport.write(b"ping")
    while not protocol.received:
        await asyncio.sleep(0)
    transport.close()
    await protocol.lost


@coroutine(SCENARIOS)
async def echo_over_a_pair(loop):
    async with opened(Echo) as (transport, _, peer):
        for size in (1, 100, 5000, 70_000):
            sending = asyncio.create_task(loop.sock_sendall(peer, bytes(size)))
            await drain(peer, size)
            await sending
        transport.close()


@coroutine(SCENARIOS)
async def tcp_server_and_clients(loop):
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for _ in range(3):
        transport, protocol = await loop.create_connection(Protocol, *address)
        for name in ("socket", "peername", "sockname", "nothing"):
            repr(transport.get_extra_info(name))
        repr(transport)
        await exchange(transport, protocol)
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def unix_server_and_clients(loop):
    path = "\0camshaft-leaks"
    server = await loop.create_unix_server(Echo, path)
    transport, protocol = await loop.create_unix_connection(Protocol, path)
    repr(transport.get_extra_info("peername"))
    await exchange(transport, protocol)
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def asyncio_streams(loop):
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"line\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def every_kind_of_write(loop):
    async with opened() as (transport, _, peer):
        total = 0
        for size in (1, 100, 5000, 100_000):
            data = bytes(size)
            for piece in (data, bytearray(data), memoryview(data)):
                transport.write(piece)
            transport.writelines([data, memoryview(data)])
            total += 5 * size
        for wrong in (None, "text"):
            try:
                transport.write(wrong)
            except TypeError:
                pass
        try:
            transport.writelines([b"sent", None])
        except TypeError:
            pass
        transport.write_eof()
        try:
            transport.write(b"too late")
        except RuntimeError:
            pass
        await drain(peer, total)


@coroutine(SCENARIOS)
async def flow_control(loop):
    async with opened(buffer=4096) as (transport, _, peer):
        transport.set_write_buffer_limits(high=1000)
        transport.get_write_buffer_limits()
        for _ in range(3):
            transport.write(bytes(300_000))
            await drain(peer, 300_000)
        transport.pause_reading()
        peer.send(b"x")
        await asyncio.sleep(0)
        transport.resume_reading()
        await asyncio.sleep(0)


@coroutine(SCENARIOS)
async def flow_control_that_fails(loop):
    class Failing(Protocol):
        def pause_writing(self):
            raise ValueError("on purpose")

        resume_writing = pause_writing

    async with opened(Failing, buffer=4096) as (transport, _, peer):
        transport.write(bytes(300_000))
        await drain(peer, 300_000)
        await asyncio.sleep(0)


@coroutine(SCENARIOS)
async def aborted_with_bytes_unsent(loop):
    async with opened(buffer=4096) as (transport, _, _peer):
        transport.write(bytes(300_000))
        transport.write(bytearray(300_000))
        transport.abort()
        for _ in range(7):
            transport.write(b"after the end")


@coroutine(SCENARIOS)
async def ended_by_the_peer(loop):
    async with opened() as (_, protocol, peer):
        peer.send(b"data")
        peer.close()
        await protocol.lost


@coroutine(SCENARIOS)
async def broken_pipes(loop):
    class Keep(Protocol):
        def eof_received(self):
            return True

    async with opened(Keep) as (transport, protocol, peer):
        peer.close()
        await asyncio.sleep(0.0005)
        transport.write(b"x")
        transport.write(b"x")
        await protocol.lost


@coroutine(SCENARIOS)
async def errors_in_data_received(loop):
    class Failing(Protocol):
        def data_received(self, data):
            raise ValueError("on purpose")

    async with opened(Failing) as (_, protocol, peer):
        peer.send(b"x")
        await protocol.lost


@coroutine(SCENARIOS)
async def errors_in_eof_received(loop):
    class Failing(Protocol):
        def eof_received(self):
            raise ValueError("on purpose")

    async with opened(Failing) as (_, protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        await protocol.lost


@coroutine(SCENARIOS)
async def errors_at_both_ends(loop):
    class Failing(Protocol):
        def connection_made(self, transport):
            raise ValueError("on purpose")

        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ValueError("on purpose")

    async with opened(Failing):
        pass


@coroutine(SCENARIOS)
async def factories_that_fail(loop):
    def factory():
        raise ValueError("on purpose")

    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(Protocol, *address)
    await asyncio.sleep(0.0005)
    transport.abort()
    await protocol.lost
    server.close()
    await server.wait_closed()


@coroutine(SCENARIOS)
async def connections_refused(loop):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    try:
        await loop.create_connection(Protocol, *address)
    except ConnectionRefusedError:
        pass


@coroutine(SCENARIOS)
async def connections_cancelled(loop):
    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for turns in range(4):
        task = asyncio.create_task(loop.create_connection(Protocol, *address))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, tuple):
            result[0].abort()
            await result[1].lost
        del result
    server.close()


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
        await loop.sock_sendall(peer, bytes(1000))
        while protocol.received < 1000:
            await asyncio.sleep(0)
        protocol.buffer = bytearray()
        peer.send(b"x")
        await protocol.lost


@coroutine(SCENARIOS)
async def protocols_replaced(loop):
    async with opened() as (transport, protocol, peer):
        second = Echo()
        second.connection_made(transport)
        transport.set_protocol(second)
        transport.get_protocol()
        peer.send(b"x")
        await drain(peer, 1)
        transport.set_protocol(protocol)


@coroutine(SCENARIOS)
async def transports_dropped(loop):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    transport, protocol = await loop.create_connection(Protocol, sock=ours)
    transport.pause_reading()
    transport.write(b"unsent")
    del transport, protocol, ours
    gc.collect()
    peer.close()


@plain(SCENARIOS)
def transports_left_when_the_loop_closes(_):
    loop = camshaft.new_event_loop()
    ours, peer = socket.socketpair()
    ours.setblocking(False)

    async def start():
        transport, _ = await loop.create_connection(Protocol, sock=ours)
        transport.write(bytes(3_000_000))
        await loop.create_server(Protocol, "127.0.0.1", 0)

    loop.run_until_complete(start())
    loop.close()
    peer.close()
    ours.close()


@coroutine(SCENARIOS)
async def send_a_file(loop):
    with open(__file__, "rb") as file:
        async with opened() as (transport, _, peer):
            count = await loop.sendfile(transport, file)
            await drain(peer, count)


@coroutine(SCENARIOS)
async def stream_readers(loop):
    """A reader fed in small pieces and in bulk, paused, fed through Python, and cut off."""
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=1000)
    for size in (10, 3000, 50_000):
        sending = asyncio.ensure_future(loop.sock_sendall(peer, bytes(size)))
        await reader.readexactly(size)
        await sending
    stock = reader.feed_data
    reader.feed_data = functools.partial(stock)
    peer.send(b"through Python")
    await reader.read(100)
    waiting = asyncio.ensure_future(reader.read(1))
    await asyncio.sleep(0)
    peer.close()
    await waiting
    del reader.feed_data, stock
    writer.close()
    await writer.wait_closed()


@coroutine(SCENARIOS)
async def connect_to_an_address(loop):
    """Made, refused, and given up on while it is being made."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        transport, protocol = await loop.create_connection(Protocol, "127.0.0.1", port)
        transport.close()
        await protocol.lost
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                for _ in range(4):  # more than the queue holds
                    transport, protocol = await loop.create_connection(Protocol, "127.0.0.1", port)
                    transport.abort()
    with contextlib.suppress(OSError):
        await loop.create_connection(Protocol, "127.0.0.1", port)
