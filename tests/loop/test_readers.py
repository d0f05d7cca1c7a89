# SPDX-License-Identifier: MIT
"""asyncio.StreamReader over our transport: C feeds it, unless anything about it was changed."""

import asyncio
import gc
import hashlib
import random
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.loop.support import ours_only, run, until

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]


async def open_reader(limit: int = 2**16) -> Opened:
    """(reader, writer, peer): a stream on one end of a socket pair, the other end raw."""
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=limit)
    return reader, writer, peer


async def close(writer: asyncio.StreamWriter, peer: socket.socket) -> None:
    peer.close()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def on_reader(
    body: Callable[[Any, Any, socket.socket], Awaitable[None]], limit: int = 2**16
) -> Callable[[asyncio.AbstractEventLoop], None]:
    """A test of `body(reader, writer, peer)`."""

    def test(loop: asyncio.AbstractEventLoop) -> None:
        async def main() -> None:
            reader, writer, peer = await open_reader(limit)
            try:
                await body(reader, writer, peer)
            finally:
                await close(writer, peer)

        run(loop, main())

    return test


async def read_pieces(reader: Any, writer: Any, peer: socket.socket) -> None:
    peer.send(b"one\ntwo")
    assert await reader.readline() == b"one\n"
    assert await reader.read(2) == b"tw"
    peer.send(b"!")
    assert await reader.readexactly(2) == b"o!"
    waiting = asyncio.ensure_future(reader.readuntil(b";"))
    await asyncio.sleep(0)
    peer.send(b"a")
    await asyncio.sleep(0.001)
    peer.send(b"b;c")
    assert await waiting == b"ab;"
    peer.shutdown(socket.SHUT_WR)
    assert await reader.read() == b"c"
    assert reader.at_eof()


test_pieces_lines_and_the_end = on_reader(read_pieces)


def test_a_large_transfer_arrives_whole(loop: asyncio.AbstractEventLoop) -> None:
    data = random.Random(1).randbytes(5_000_000)

    async def main() -> None:
        reader, writer, peer = await open_reader()

        async def send() -> None:
            await asyncio.get_running_loop().sock_sendall(peer, data)
            peer.shutdown(socket.SHUT_WR)

        sending = asyncio.ensure_future(send())
        received = hashlib.sha256()
        sizes = random.Random(2)
        while piece := await reader.read(sizes.choice((1, 100, 70_000, 10**6))):
            received.update(piece)
        await sending
        assert received.digest() == hashlib.sha256(data).digest()
        await close(writer, peer)

    run(loop, main())


@pytest.mark.parametrize("limit", [1000, 1000.0])
def test_reading_pauses_above_twice_the_limit(loop: asyncio.AbstractEventLoop, limit: Any) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        peer.send(bytes(2000))
        await until(lambda: len(reader._buffer) == 2000)
        assert not reader._paused
        assert writer.transport.is_reading()
        peer.send(b"x")
        await until(lambda: reader._paused)
        assert not writer.transport.is_reading()
        assert len(await reader.readexactly(1500)) == 1500
        assert not reader._paused
        assert writer.transport.is_reading()

    on_reader(body, limit)(loop)


def test_reading_in_bulk_pauses_too(loop: asyncio.AbstractEventLoop) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += peer.send(bytes(60_000))
                await asyncio.sleep(0)
        assert reader._paused
        assert len(reader._buffer) > 2 * 2**16
        assert len(await reader.readexactly(sent)) == sent

    on_reader(body)(loop)


@pytest.mark.parametrize("size", [10, 300_000])
def test_what_is_replaced_on_the_reader_is_called(
    loop: asyncio.AbstractEventLoop, size: int
) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(peer, bytes(size))
        await reader.readexactly(size)
        pieces: list[bytes] = []
        reader.feed_data = pieces.append
        peer.send(b"seen")
        await until(lambda: bool(pieces))
        assert pieces == [b"seen"]
        del reader.feed_data
        peer.send(b"again")
        assert await reader.readexactly(5) == b"again"

    on_reader(body, 10**6)(loop)


def test_what_is_replaced_on_the_protocol_is_called(loop: asyncio.AbstractEventLoop) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        pieces: list[bytes] = []
        writer.transport.get_protocol().data_received = pieces.append
        peer.send(b"seen")
        await until(lambda: bool(pieces))
        assert pieces == [b"seen"]

    on_reader(body)(loop)


def test_what_is_replaced_on_the_class_is_called(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        pieces: list[bytes] = []
        stock = asyncio.StreamReader.feed_data

        def feed_data(self: asyncio.StreamReader, data: bytes) -> None:
            pieces.append(data)
            stock(self, data)

        monkeypatch.setattr(asyncio.StreamReader, "feed_data", feed_data)
        peer.send(b"seen")
        assert await reader.read(100) == b"seen"
        assert pieces == [b"seen"]

    on_reader(body)(loop)


def test_a_reader_of_a_class_of_its_own_is_fed_by_its_method(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Upper(asyncio.StreamReader):
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data.upper())

    async def main() -> None:
        ours, peer = socket.socketpair()
        running = asyncio.get_running_loop()
        reader = Upper(loop=running)
        protocol = asyncio.StreamReaderProtocol(reader, loop=running)
        transport, _ = await running.create_connection(lambda: protocol, sock=ours)
        peer.send(b"seen")
        assert await reader.read(100) == b"SEEN"
        transport.close()
        await asyncio.sleep(0)
        peer.close()

    run(loop, main())


def test_a_cancelled_reader_leaves_the_data(loop: asyncio.AbstractEventLoop) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        waiting = asyncio.ensure_future(reader.read(10))
        await asyncio.sleep(0)
        peer.send(b"kept")
        waiting.cancel()  # its waiter is cancelled, and still the reader's, when the data comes
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await reader.read(10) == b"kept"

    on_reader(body)(loop)


@pytest.mark.parametrize("size", [5, 300_000])
def test_an_exported_buffer_is_reported_as_asyncio_does(
    loop: asyncio.AbstractEventLoop, reports: list[dict[str, Any]], size: int
) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(peer, bytes(size))
        await until(lambda: len(reader._buffer) == size)
        with memoryview(reader._buffer):
            peer.send(b"x")
            await until(lambda: bool(reports))
        assert reports[0]["message"] == "Fatal error: protocol.data_received() call failed."
        assert isinstance(reports[0]["exception"], BufferError)
        assert writer.transport.is_closing()
        reports.clear()
        with pytest.raises(BufferError):
            await reader.read(1)

    on_reader(body, 10**6)(loop)


def test_data_after_feed_eof_is_reported_as_asyncio_does(
    loop: asyncio.AbstractEventLoop, reports: list[dict[str, Any]]
) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        reader.feed_eof()
        peer.send(b"x")
        await until(lambda: bool(reports))
        assert "feed_data after feed_eof" in str(reports[0]["exception"])
        reports.clear()

    on_reader(body)(loop)


def test_data_for_a_reader_that_is_gone_is_dropped(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        ours, peer = socket.socketpair()
        running = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=running)
        protocol = asyncio.StreamReaderProtocol(reader, loop=running)
        transport, _ = await running.create_connection(lambda: protocol, sock=ours)
        del reader
        gc.collect()
        peer.send(b"for nobody")
        peer.shutdown(socket.SHUT_WR)
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not transport.is_closing()  # as asyncio: eof_received() answers true
        transport.close()
        await asyncio.sleep(0)
        peer.close()

    run(loop, main())


def test_a_future_belongs_to_the_loop_that_made_it() -> None:
    from tests.loop.support import new_loop

    first, second = new_loop(), new_loop()
    try:

        async def main() -> None:
            assert first.create_future().get_loop() is first
            assert second.create_future().get_loop() is second
            assert first.create_future().get_loop() is first

        first.run_until_complete(main())
        assert second.create_future().get_loop() is second
    finally:
        first.close()
        second.close()


@ours_only
def test_stock_readers_are_fed_without_python(loop: asyncio.AbstractEventLoop) -> None:
    async def body(reader: Any, writer: Any, peer: socket.socket) -> None:
        called = set()
        sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name))
        try:
            peer.send(b"seen")
            assert await reader.read(100) == b"seen"
        finally:
            sys.setprofile(None)
        assert "_wait_for_data" in called
        assert "feed_data" not in called

    on_reader(body)(loop)
