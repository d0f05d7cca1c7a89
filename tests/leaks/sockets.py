# SPDX-License-Identifier: MIT
"""Scenarios of calls on the caller's own sockets: every way they end."""

import asyncio
import contextlib
import socket
import warnings

from tests.leaks.scenario import Table, coroutine, plain

SCENARIOS: Table = {}


@contextlib.contextmanager
def pairs():
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.setblocking(False)
        yield ours, peer


async def cancelled(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@coroutine(SCENARIOS)
async def received_and_sent(loop):
    with pairs() as (ours, peer):
        for size in (1, 5000, 300_000):
            sending = asyncio.create_task(loop.sock_sendall(ours, bytes(size)))
            while size > 0:
                size -= len(await loop.sock_recv(peer, 1 << 18))
            await sending
        receiving = asyncio.create_task(loop.sock_recv_into(ours, bytearray(5)))
        await asyncio.sleep(0)
        await loop.sock_sendall(peer, b"x")
        await receiving


@coroutine(SCENARIOS)
async def datagrams(loop):
    with (
        socket.socket(type=socket.SOCK_DGRAM) as ours,
        socket.socket(type=socket.SOCK_DGRAM) as peer,
    ):
        for sock in (ours, peer):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        for _ in range(2):
            receiving = asyncio.create_task(loop.sock_recvfrom(ours, 10))
            await asyncio.sleep(0)
            await loop.sock_sendto(peer, b"x", ours.getsockname())
            await receiving
        await loop.sock_sendto(peer, b"x", ours.getsockname())
        await loop.sock_recvfrom_into(ours, bytearray(10))


@coroutine(SCENARIOS)
async def accepted_and_connected(loop):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        server.setblocking(False)
        ours.setblocking(False)
        address = server.getsockname()
        accepting = asyncio.create_task(loop.sock_accept(server))
        await asyncio.sleep(0)
        await loop.sock_connect(ours, address)
        theirs, _ = await accepting
        theirs.close()
    with socket.socket() as ours:
        ours.setblocking(False)
        try:
            await loop.sock_connect(ours, address)
        except OSError:
            pass


@coroutine(SCENARIOS)
async def cancelled_displaced_and_wrong(loop):
    with pairs() as (ours, peer):
        first = asyncio.create_task(loop.sock_recv(ours, 10))
        second = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        await cancelled(first)
        await cancelled(second)
        third = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        loop.add_reader(ours, int)
        loop.add_writer(ours, int)
        await cancelled(third)
        fourth = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        peer.send(b"x")
        await fourth
        loop.remove_reader(ours)
        loop.remove_writer(ours)
        for call in (
            loop.sock_recv(ours, -1),
            loop.sock_recv_into(ours, b""),
            loop.sock_sendall(ours, "text"),
            loop.sock_recv(None, 1),
        ):
            try:
                await call
            except (TypeError, ValueError, AttributeError):
                pass


@coroutine(SCENARIOS)
async def closed_while_waiting(loop):
    with pairs() as (ours, peer):
        waiting = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        ours.close()
        await cancelled(waiting)
    sending = None
    with pairs() as (ours, peer):
        sending = asyncio.create_task(loop.sock_sendall(ours, bytes(1 << 22)))
        await asyncio.sleep(0)
        peer.close()
        await asyncio.gather(sending, return_exceptions=True)


@plain(SCENARIOS)
def steps_by_hand(loop):
    with pairs() as (ours, _peer):
        call = loop.sock_recv(ours, 10)
        future = call.send(None)
        future.add_done_callback(lambda _: None)
        future.add_done_callback(int)
        future.remove_done_callback(int)
        repr(future)
        repr(call)
        future.cancel("why")
        try:
            future.result()
        except asyncio.CancelledError:
            pass
        call.close()
        call = loop.sock_sendall(ours, memoryview(b"x"))
        try:
            call.throw(ValueError("on purpose"))
        except ValueError:
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.sock_recv(ours, 10)
        loop.stop()
        loop.run_forever()
