# SPDX-License-Identifier: MIT
"""Scenarios of datagram endpoints: traffic, errors, waiting in both directions, every end."""

import asyncio
import contextlib
import gc
import socket

from tests.leaks.scenario import Table, coroutine, plain

SCENARIOS: Table = {}


class Protocol(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = 0
        self.errors = 0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.received += 1

    def error_received(self, exc):
        self.errors += 1

    def connection_lost(self, exc):
        self.lost.set_result(None)


class Echo(Protocol):
    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


class Pausing(Protocol):
    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.pause_reading()


class Raising(Protocol):
    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        raise ZeroDivisionError

    def error_received(self, exc):
        super().error_received(exc)
        raise ZeroDivisionError


@contextlib.asynccontextmanager
async def opened(factory=Protocol, **keywords):
    """(transport, protocol), ended afterwards."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(factory, **keywords)
    try:
        yield transport, protocol
    finally:
        transport.abort()
        await protocol.lost


@contextlib.asynccontextmanager
async def paired(factory=Protocol):
    """(transport, protocol, raw peer) of a pair of Unix sockets."""
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.setblocking(False)
    with peer:
        async with opened(factory, sock=ours) as (transport, protocol):
            yield transport, protocol, peer


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


@coroutine(SCENARIOS)
async def echo_over_udp(loop):
    async with opened(Echo, local_addr=("127.0.0.1", 0)) as (server, _):
        address = server.get_extra_info("sockname")
        async with opened(remote_addr=address) as (client, at_client):
            for data in (b"x", bytearray(b"y"), memoryview(b"z" * 9000)):
                client.sendto(data)
            client.sendto(b"", addr=address)
            await until(lambda: at_client.received >= 3)
        async with opened(local_addr=("127.0.0.1", 0)) as (client, at_client):
            client.sendto(b"x", ("127.0.0.1", address[1]))
            client.sendto(b"x", ("localhost", address[1]))
            await until(lambda: at_client.received == 2)


@coroutine(SCENARIOS)
async def datagrams_that_wait_both_ways(loop):
    async with paired(Pausing) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=10)
        for _ in range(9):
            peer.send(b"x" * 100)
        while not transport.get_write_buffer_size():
            transport.sendto(b"y" * 1000)
        for _ in range(40):
            transport.sendto(b"y" * 1000)
        while protocol.received < 5:
            transport.resume_reading()
            await asyncio.sleep(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(20):
                peer.recv(2000)
        await asyncio.sleep(0)
        # The rest of both goes with the transport.


@coroutine(SCENARIOS)
async def close_sends_what_waits(loop):
    async with paired() as (transport, protocol, peer):
        while not transport.get_write_buffer_size():
            transport.sendto(b"y" * 1000)
        transport.close()
        while not protocol.lost.done():
            with contextlib.suppress(BlockingIOError):
                peer.recv(2000)
            await asyncio.sleep(0)


@coroutine(SCENARIOS)
async def errors_and_wrong_addresses(loop):
    async with opened(local_addr=("127.0.0.1", 0)) as (transport, protocol):
        for wrong in ((b"x", ("::1", 9)), (b"x" * 70_000, ("127.0.0.1", 9))):
            transport.sendto(*wrong)
        with contextlib.suppress(TypeError):
            transport.sendto("text", None)
        transport.sendto(b"x", "nonsense")
        await protocol.lost
        for _ in range(7):
            transport.sendto(b"x", ("127.0.0.1", 9))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = probe.getsockname()
    async with opened(remote_addr=nowhere) as (transport, protocol):
        with contextlib.suppress(ValueError):
            transport.sendto(b"x", ("127.0.0.1", 1))
        transport.sendto(b"x")
        await until(lambda: protocol.errors)


@coroutine(SCENARIOS)
async def protocols_that_raise(loop):
    async with paired(Raising) as (transport, protocol, peer):
        peer.send(b"x")
        peer.send(b"y")
        await until(lambda: protocol.received == 2)
        peer.close()
        with contextlib.suppress(ZeroDivisionError):
            transport.sendto(b"x")


@plain(SCENARIOS)
def dropped_without_close(loop):
    async def main():
        ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with peer:
            transport, protocol = await loop.create_datagram_endpoint(Protocol, sock=ours)
            transport.mark = protocol
            transport.pause_reading()
            protocol.transport = None

    loop.run_until_complete(main())
    gc.collect()
