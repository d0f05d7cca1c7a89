# SPDX-License-Identifier: MIT
"""TLS records: cut anywhere, of any size, corrupted; what of them becomes one call."""

import asyncio
import contextlib
import hashlib
import random
import ssl

import pytest

from tests.loop.support import Echo, Recorder, ours_only, run, until
from tests.loop.tls_peer import open_tls, received, settle

MESSAGES = (b"first", b"", b"the second, a little longer", b"3")


def pieces_of(data, cuts):
    begin = 0
    for cut in (*cuts, len(data)):
        yield data[begin:cut]
        begin = cut


# A record may come in two pieces, wherever it is cut.
def test_records_cut_at_every_place(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        expected = b""
        length = len(peer.seal(*filter(None, MESSAGES)))
        expected += b"".join(MESSAGES)
        # The ciphertext above was never sent: its sequence numbers are gone, begin anew.
        peer.sock.close()
        await protocol.lost
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        for cut in range(length + 1):
            protocol.data.clear()
            ciphertext = peer.seal(*filter(None, MESSAGES))
            assert len(ciphertext) == length
            for piece in pieces_of(ciphertext, [cut]):
                if piece:
                    await peer.send(piece)
                    await settle(3)
            assert await received(protocol, len(expected)) == expected
        transport.abort()
        await protocol.lost

    run(loop, main())


# Byte by byte, every record is delivered as soon as its last byte has come.
def test_records_byte_by_byte(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        for message in filter(None, MESSAGES):
            ciphertext = peer.seal(message)
            protocol.data.clear()
            for at in range(len(ciphertext)):
                assert protocol.data == b""
                await peer.send(ciphertext[at : at + 1])
                await settle(2)
            assert await received(protocol, len(message)) == message
        transport.abort()
        await protocol.lost

    run(loop, main())


# The records of one wake-up are one call of data_received.
@pytest.mark.parametrize("count,size", [(2, 1), (500, 1), (40, 1000), (6, 16_384)])
def test_records_of_a_wakeup_are_one_call(loop, server_tls, client_tls, count, size):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        data = random.Random(size).randbytes(count * size)
        transport.pause_reading()
        await peer.send(peer.seal(*(data[i : i + size] for i in range(0, len(data), size))))
        await until(lambda: transport.get_read_buffer_size() > len(data))
        assert protocol.data == b""
        transport.resume_reading()
        assert await received(protocol, len(data)) == data
        assert protocol.calls == ["made", "data"]
        transport.abort()
        await protocol.lost

    run(loop, main())


def count_records(ciphertext):
    count = at = 0
    while at < len(ciphertext):
        at += 5 + int.from_bytes(ciphertext[at + 3 : at + 5])
        count += 1
    assert at == len(ciphertext)
    return count


# Small writes of one turn share a record; the bytes keep their order.
@ours_only
def test_writes_of_a_turn_share_a_record(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        for number in range(100):
            transport.write(b"%02d" % number)
        transport.writelines([b"a", bytearray(b"b"), memoryview(b"c"), b""])
        ciphertext = await loop.sock_recv(peer.sock, 1 << 18)
        assert count_records(ciphertext) == 1
        peer.incoming.write(ciphertext)
        assert await peer.read(203) == b"".join(b"%02d" % n for n in range(100)) + b"abc"
        transport.abort()
        await protocol.lost

    run(loop, main())


# Pieces of any size arrive as they were written, whatever they are joined with or cut into.
def test_writes_of_every_size(loop, server_tls, client_tls):
    async def main():
        chance = random.Random(1)
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        sizes = [1, 10, 1000, 2047, 2048, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000]
        written = []
        for _ in range(3):
            chance.shuffle(sizes)
            for size in sizes:
                written.append(chance.randbytes(size))
                kind = chance.choice([bytes, bytearray, memoryview])
                transport.write(kind(written[-1]))
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
        data = b"".join(written)
        assert await peer.read(len(data)) == data
        transport.abort()
        await protocol.lost

    run(loop, main())


# What is written is taken at once: its owner may change it afterwards.
def test_a_buffer_changed_after_write(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        for size in (3, 5000, 200_000):
            data = bytearray(b"x" * size)
            transport.write(data)
            transport.write(memoryview(data)[1:])
            transport.writelines([data])
            data[:] = b"y" * size
            data.clear()  # no export is left behind either
            assert await peer.read(3 * size - 1) == b"x" * (3 * size - 1)
        transport.abort()
        await protocol.lost

    run(loop, main())


def test_much_both_ways(loop, server_tls, client_tls):
    data = random.Random(2).randbytes(4 << 20)

    class Sum(Recorder):
        def __init__(self):
            super().__init__()
            self.sum = hashlib.sha256()
            self.count = 0

        def data_received(self, piece):
            self.sum.update(piece)
            self.count += len(piece)

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_tls)
        transport, protocol = await loop.create_connection(
            Sum, *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
        )
        for at in range(0, len(data), 1 << 18):
            transport.write(data[at : at + (1 << 18)])
            await asyncio.sleep(0)
        await until(lambda: protocol.count == len(data))
        assert protocol.sum.digest() == hashlib.sha256(data).digest()
        transport.close()
        await protocol.lost
        server.close()

    run(loop, main())


# A byte that was changed on the way ends the connection with an SSLError; what the application got
# is a beginning of what was sent, never the changed data.
def test_corrupted_ciphertext(loop, server_tls, client_tls):
    chance = random.Random(3)

    async def one():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        messages = [chance.randbytes(chance.choice([1, 20, 700, 16_384])) for _ in range(5)]
        ciphertext = bytearray(peer.seal(*messages))
        # The two bytes of a record's length are left alone here: they could make it wait.
        starts, at = [], 0
        while at < len(ciphertext):
            starts.append(at)
            at += 5 + int.from_bytes(ciphertext[at + 3 : at + 5])
        at = chance.randrange(len(ciphertext))
        if any(at - start in (3, 4) for start in starts):
            return transport.abort()
        ciphertext[at] ^= 1 << chance.randrange(8)
        cuts = sorted(chance.randrange(len(ciphertext)) for _ in range(chance.randrange(4)))
        with contextlib.suppress(ConnectionError):  # it may be refused before all is sent
            for piece in pieces_of(bytes(ciphertext), cuts):
                await peer.send(piece)
                await settle(2)
        reason = await protocol.lost
        # A version that is not the record layer's is allowed to pass by some TLS libraries.
        if reason is None:
            assert protocol.data == b"".join(messages)
        else:
            assert isinstance(reason, ssl.SSLError)
            assert b"".join(messages).startswith(protocol.data)
            assert len(protocol.data) < sum(map(len, messages))
        peer.sock.close()

    async def main():
        for _ in range(60):
            await one()

    run(loop, main())


# What decrypts is delivered although the record behind it does not: asyncio drops it.
@ours_only
def test_data_before_a_corrupted_record(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        good, bad = peer.seal(b"good"), bytearray(peer.seal(b"bad"))
        bad[-1] ^= 1
        await peer.send(good + bad)
        assert isinstance(await protocol.lost, ssl.SSLError)
        assert protocol.data == b"good"
        assert transport.is_closing()

    run(loop, main())


# What is no TLS at all after the handshake is refused, however short.
def test_foreign_bytes_after_the_handshake(loop, server_tls, client_tls):
    async def main():
        for foreign in (b"HTTP/1.1 400 Bad Request\r\n", b"\0" * 5, b"\x17\x03\x03\xff\xff"):
            _, protocol, peer = await open_tls(server_tls, client_tls)
            await peer.send(foreign)
            assert isinstance(await protocol.lost, ssl.SSLError)
            assert protocol.data == b""

    run(loop, main())


# Random bytes in the place of a handshake, in random pieces, fail or time out; nothing else.
def test_random_bytes_for_a_handshake(loop, server_tls, reports):
    chance = random.Random(4)

    async def main():
        server = await loop.create_server(
            Recorder, "127.0.0.1", 0, ssl=server_tls, ssl_handshake_timeout=0.2
        )
        for _ in range(40):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            head = chance.choice(
                [b"", b"\x16\x03\x01\x00\x40", b"\x16\x03\x01\x00\x40\x01\0\0\x3c"]
            )
            with contextlib.suppress(OSError):
                for _ in range(3):
                    writer.write(head + chance.randbytes(chance.randrange(100)))
                    await asyncio.sleep(0)
                writer.write_eof()
                while await reader.read(1000):
                    pass
            writer.close()
        server.close()

    run(loop, main())
    reports.clear()  # debug mode tells of each


# A ciphertext that ends within a record: the whole records are delivered, then the end is.
def test_end_within_a_record(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        await peer.send(peer.seal(b"whole") + peer.seal(b"cut")[:-1])
        peer.sock.close()
        assert await protocol.lost is None
        assert protocol.data == b"whole"
        assert protocol.calls == ["made", "data", "eof", "lost"]
        assert transport.is_closing()

    run(loop, main())
