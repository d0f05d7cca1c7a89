# SPDX-License-Identifier: MIT
"""What database drivers ask of a loop, without a database.

asyncpg's buffers, libpq's descriptors as psycopg watches them, SQLAlchemy's aborts from
finalizers and its greenlets, aiosqlite's threads.
"""

import asyncio
import ctypes
import gc
import socket
import threading
import warnings

import pytest

from tests.loop.support import (
    Recorder,
    open_stream,
    ours_only,
    receive_exactly,
    run,
    run_turns,
    until,
)


class Unsized(ctypes.Structure):
    """A buffer that has no len(), as asyncpg's WriteBuffer."""

    _fields_ = [("text", ctypes.c_char * 8)]


@ours_only
def test_writelines_takes_buffers_without_a_length(loop):
    with pytest.raises(TypeError):
        len(Unsized())

    async def main():
        transport, protocol, peer = await open_stream()
        transport.writelines([Unsized(b"12345678"), memoryview(Unsized(b"abcdefgh"))])
        transport.write(memoryview(Unsized(b"ABCDEFGH")))
        assert await receive_exactly(peer, 24) == b"12345678abcdefghABCDEFGH"
        transport.abort()
        await protocol.lost
        peer.close()

    run(loop, main())


def test_a_view_is_not_read_after_its_owner_changed_it(loop):
    """Either the export is held until it is sent, or the bytes were taken at once."""

    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        owner = bytearray(b"q" * 500_000)
        transport.write(memoryview(owner))
        try:
            owner.clear()
        except BufferError:
            pass
        else:
            owner += b"z" * 500_000
        assert await receive_exactly(peer, 500_000) == b"q" * 500_000
        await until(lambda: transport.get_write_buffer_size() == 0)
        owner.clear()
        transport.abort()
        await protocol.lost
        peer.close()

    run(loop, main())


@pytest.mark.parametrize("pending", [False, True])
def test_abort_from_a_finalizer_inside_the_collector(loop, pending):
    """SQLAlchemy's pool aborts connections from weakref callbacks, whenever gc runs."""

    class Connection:
        def __init__(self, transport):
            self.transport = transport
            self.cycle = self

        def __del__(self):
            self.transport.abort()

    async def main():
        lost = []
        peers = []
        for _ in range(20):
            transport, protocol, peer = await open_stream(buffer=4096)
            if pending:
                transport.write(bytes(100_000))
            peer.send(b"unread")
            Connection(transport)
            lost.append(protocol.lost)
            peers.append(peer)
            del transport, protocol
        loop.call_soon(gc.collect)
        await asyncio.gather(*lost)
        for peer in peers:
            peer.close()

    run(loop, main())


def test_abort_from_a_finalizer_after_the_loop_closed(loop):
    transport, _protocol, peer = run(loop, open_stream())
    transport.abort()
    run_turns(loop, 2)
    loop.close()
    transport.abort()
    transport.close()
    peer.close()


def test_a_transport_left_open_when_its_loop_closes(loop):
    transport, protocol, peer = run(loop, open_stream())
    loop.close()
    try:
        transport.abort()
    except RuntimeError as error:
        assert "closed" in str(error)
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() != -1:
        sock._sock.close()
    peer.close()
    del sock
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        protocol.transport = protocol.made = None
        del transport, protocol
        gc.collect()


def test_a_closed_loop_raises_runtime_error_to_driver_threads(loop):
    """aiosqlite's thread posts each result with call_soon_threadsafe."""
    future = loop.create_future()
    loop.close()
    errors = []

    def work():
        try:
            loop.call_soon_threadsafe(future.set_result, 1)
        except RuntimeError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert len(errors) == 1


def test_a_thread_posting_results_at_the_rate_of_a_driver(loop):
    import queue

    requests = queue.SimpleQueue()

    def work():
        while (item := requests.get()) is not None:
            future, value = item
            loop.call_soon_threadsafe(future.set_result, value)

    async def main():
        for number in range(500):
            future = loop.create_future()
            requests.put((future, number))
            assert await future == number

    worker = threading.Thread(target=work)
    worker.start()
    try:
        run(loop, main())
    finally:
        requests.put(None)
        worker.join()


def test_watching_around_every_wait_as_psycopg_does(loop):
    """add_reader, wait, remove_reader; the library closes and reopens descriptors meanwhile."""

    async def wait_readable(number):
        ready = loop.create_future()

        def wake():
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(number, wake)
        try:
            await asyncio.wait_for(ready, 20)
        finally:
            loop.remove_reader(number)

    async def main():
        for _ in range(30):
            ours, peer = socket.socketpair()
            number = ours.fileno()
            for _ in range(3):
                loop.call_soon(peer.send, b"x")
                await wait_readable(number)
                assert ours.recv(10) == b"x"
            ours.close()
            peer.close()
            with pytest.raises((OSError, ValueError)):
                loop.add_reader(number, print)
            assert loop.remove_reader(number) is False

    run(loop, main())


def test_a_wait_that_times_out_leaves_no_watcher(loop):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer:
            for _ in range(20):
                event = asyncio.Event()
                loop.add_reader(ours, event.set)
                loop.add_writer(ours, int)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(event.wait(), 0.001)
                assert loop.remove_reader(ours) and loop.remove_writer(ours)
            peer.send(b"x")
            await asyncio.sleep(0.002)
            assert not event.is_set()

    run(loop, main())


def test_callbacks_may_switch_greenlets(loop):
    """A greenlet overlays the C stack: the loop may keep no pointer into it while code runs."""
    greenlet = pytest.importorskip("greenlet", reason="SQLAlchemy brings it")

    def spawn(function):
        """SQLAlchemy's greenlet_spawn, in short: await_() inside switches to the coroutine."""

        async def drive():
            child = greenlet.greenlet(function)
            value = child.switch()
            while not child.dead:
                value = child.switch(await value)
            return value

        return drive()

    def await_(awaitable):
        return greenlet.getcurrent().parent.switch(awaitable)

    async def main():
        transport, protocol, peer = await open_stream()

        def work(name):
            total = 0
            for number in range(20):
                total += await_(asyncio.sleep(0, number))
                transport.write(name)
                await_(asyncio.sleep(0.0001))
            return total

        results = await asyncio.gather(*(spawn(lambda n=n: work(n)) for n in (b"a", b"b", b"c")))
        assert results == [190] * 3
        received = await receive_exactly(peer, 60)
        assert sorted(received) == sorted(b"abc" * 20)
        transport.abort()
        await protocol.lost
        peer.close()

    run(loop, main())


def test_the_socket_that_asyncpg_asks_for(loop):
    """family, setsockopt and dup are used on get_extra_info("socket")."""

    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        sock = transport.get_extra_info("socket")
        assert sock.family == socket.AF_INET
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        with sock.dup() as copy:
            assert copy.fileno() != sock.fileno()
        transport.abort()
        await protocol.lost
        server.close()

    run(loop, main())
