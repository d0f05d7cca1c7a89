# SPDX-License-Identifier: MIT
"""sock_recv and its family: asyncio's coroutines on sockets the caller keeps."""

import asyncio
import socket

import pytest

from tests.loop.support import receive_all, receive_exactly, run


@pytest.fixture
def pair():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


def listening(backlog=10):
    sock = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    sock.setblocking(False)
    return sock


def client():
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def test_receiving_what_is_there_and_what_comes(loop, pair):
    ours, peer = pair

    async def main():
        peer.send(b"there")
        assert await loop.sock_recv(ours, 100) == b"there"
        loop.call_later(0.002, peer.send, b"comes")
        assert await loop.sock_recv(ours, 100) == b"comes"
        peer.send(b"abcdef")
        assert await loop.sock_recv(ours, 3) == b"abc"
        buffer = bytearray(10)
        assert await loop.sock_recv_into(ours, buffer) == 3
        assert buffer[:3] == b"def"
        peer.close()
        assert await loop.sock_recv(ours, 10) == b""

    run(loop, main())


def test_sending_more_than_the_kernel_takes(loop, pair):
    ours, peer = pair
    data = bytes(range(256)) * 16384

    async def main():
        sending = asyncio.create_task(loop.sock_sendall(ours, data))
        assert await receive_exactly(peer, len(data)) == data
        assert await sending is None
        await loop.sock_sendall(ours, memoryview(b"view"))
        await loop.sock_sendall(ours, bytearray(b"array"))
        assert await receive_exactly(peer, 9) == b"viewarray"

    run(loop, main())


def test_connecting_and_accepting(loop):
    async def main():
        with listening() as server, client() as ours:
            accepting = asyncio.create_task(loop.sock_accept(server))
            await loop.sock_connect(ours, server.getsockname())
            theirs, address = await accepting
            with theirs:
                assert address == ours.getsockname()
                assert theirs.getblocking() is False
                await loop.sock_sendall(ours, b"hello")
                assert await loop.sock_recv(theirs, 10) == b"hello"

    run(loop, main())


def test_connecting_to_nobody(loop):
    async def main():
        with listening() as server:
            address = server.getsockname()
        with client() as ours:
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(ours, address)

    run(loop, main())


def test_connecting_by_name(loop):
    async def main():
        with listening() as server, client() as ours:
            port = server.getsockname()[1]
            await loop.sock_connect(ours, ("localhost", port))
            theirs, _ = await loop.sock_accept(server)
            theirs.close()

    run(loop, main())


def test_datagrams(loop):
    async def main():
        with (
            socket.socket(type=socket.SOCK_DGRAM) as ours,
            socket.socket(type=socket.SOCK_DGRAM) as theirs,
        ):
            for sock in (ours, theirs):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            receiving = asyncio.create_task(loop.sock_recvfrom(theirs, 100))
            assert await loop.sock_sendto(ours, b"datagram", theirs.getsockname()) == 8
            assert await receiving == (b"datagram", ours.getsockname())
            buffer = bytearray(20)
            await loop.sock_sendto(ours, b"into", theirs.getsockname())
            count, address = await loop.sock_recvfrom_into(theirs, buffer)
            assert (bytes(buffer[:count]), address) == (b"into", ours.getsockname())

    run(loop, main())


def test_blocking_sockets_are_refused_in_debug_mode(loop, pair):
    ours, _ = pair
    ours.setblocking(True)
    loop.set_debug(True)

    async def main():
        for call in (
            loop.sock_recv(ours, 1),
            loop.sock_recv_into(ours, bytearray(1)),
            loop.sock_sendall(ours, b"x"),
            loop.sock_accept(ours),
            loop.sock_connect(ours, "/nowhere"),
        ):
            with pytest.raises(ValueError, match="non-blocking"):
                await call

    run(loop, main())
    loop.set_debug(False)


def test_a_cancelled_receive_takes_nothing_from_the_next(loop, pair):
    ours, peer = pair

    async def main():
        receiving = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0.001)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        peer.send(b"next")
        assert await loop.sock_recv(ours, 10) == b"next"

    run(loop, main())


@pytest.mark.parametrize("what", ["recv", "sendall", "accept", "connect"])
def test_cancelled_then_closed_then_reused(loop, what):
    """The watcher is gone before the descriptor's number can be another file's."""

    async def main():
        for _ in range(20):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            peer.setblocking(False)
            server = listening(1)
            target = ours
            if what == "recv":
                call = loop.sock_recv(ours, 10)
            elif what == "sendall":
                call = loop.sock_sendall(ours, bytes(1 << 22))
            elif what == "accept":
                target = server
                call = loop.sock_accept(server)
            else:
                target = client()
                call = loop.sock_connect(target, server.getsockname())
            task = asyncio.create_task(call)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for sock in {ours, peer, server, target}:
                sock.close()
            fresh, other = socket.socketpair()
            fresh.setblocking(False)
            other.setblocking(False)
            with fresh, other:
                receiving = asyncio.create_task(loop.sock_recv(fresh, 10))
                await asyncio.sleep(0)
                await loop.sock_sendall(other, b"mine")
                assert await receiving == b"mine"

    run(loop, main())


def test_a_connection_is_not_lost_by_a_cancelled_accept(loop):
    async def main():
        with listening() as server, client() as ours:
            accepting = asyncio.create_task(loop.sock_accept(server))
            await asyncio.sleep(0.001)
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
            await loop.sock_connect(ours, server.getsockname())
            theirs, _ = await loop.sock_accept(server)
            theirs.close()

    run(loop, main())


def test_two_directions_at_once(loop, pair):
    ours, peer = pair
    data = bytes(1 << 20)

    async def main():
        out = asyncio.create_task(loop.sock_sendall(ours, data))
        back = asyncio.create_task(loop.sock_sendall(peer, data))
        received = await asyncio.gather(
            receive_exactly(ours, len(data)), receive_exactly(peer, len(data))
        )
        assert received == [data, data]
        await asyncio.gather(out, back)

    run(loop, main())


def test_errors_are_raised(loop, pair):
    ours, peer = pair

    async def main():
        peer.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                await loop.sock_sendall(ours, bytes(1 << 16))

    run(loop, main())


def test_receive_all_ends(loop, pair):
    ours, peer = pair

    async def main():
        peer.send(b"some")
        peer.shutdown(socket.SHUT_WR)
        assert await receive_all(ours) == b"some"

    run(loop, main())
