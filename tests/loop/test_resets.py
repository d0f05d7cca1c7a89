# SPDX-License-Identifier: MIT
"""RST at every byte of a request and of its answer: the server outlives each, nothing is left."""

import asyncio
import os
import socket
import ssl
import struct

import pytest

from tests.loop.support import Recorder, receive_all, run, until

REQUEST = b"GET /of/some/length HTTP/1.0\r\nHost: localhost\r\n\r\n"
ANSWER = b"".join(b"%04d " % i for i in range(60))


class Server:
    """Counts the connections that were made and lost, and serves each by one of two ways."""

    def __init__(self):
        self.made = 0
        self.lost = 0

    def protocol(self):
        return Answering(self)

    async def stream(self, reader, writer):
        self.made += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces(ANSWER):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
        finally:
            self.lost += 1


def pieces(data):
    return [data[i : i + 100] for i in range(0, len(data), 100)]


class Answering(asyncio.Protocol):
    """Answers the request in pieces, one a turn; notes that it was lost, once."""

    def __init__(self, server):
        self.server = server
        self.data = b""
        self.lost = 0

    def connection_made(self, transport):
        self.transport = transport
        self.server.made += 1

    def data_received(self, data):
        self.data += data
        if self.data.endswith(b"\r\n\r\n"):
            self.answer(pieces(ANSWER))

    def answer(self, left):
        if left:
            self.transport.write(left[0])
            asyncio.get_running_loop().call_soon(self.answer, left[1:])
        else:
            self.transport.close()

    def connection_lost(self, exc):
        self.server.lost += 1
        self.lost += 1
        assert self.lost == 1


async def connect(address):
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


def reset(sock):
    """Closes it with RST, whatever it has sent or not read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def start(loop, server, how, context=None):
    if how == "protocol":
        return await loop.create_server(server.protocol, "127.0.0.1", 0, ssl=context)
    return await asyncio.start_server(server.stream, "127.0.0.1", 0, ssl=context)


def descriptors():
    """Those that are open. One that something else has left may be closed at any time."""
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("how", ["protocol", "streams"])
def test_at_every_byte_of_the_request(loop, how):
    async def main():
        server = Server()
        listening = await start(loop, server, how)
        address = listening.sockets[0].getsockname()
        before = descriptors()
        for sent in range(len(REQUEST) + 1):
            for wait in (False, True):
                sock = await connect(address)
                await loop.sock_sendall(sock, REQUEST[:sent])
                if wait:
                    await asyncio.sleep(0.0005)
                reset(sock)
        # The last is served, so all before it were accepted.
        sock = await connect(address)
        await loop.sock_sendall(sock, REQUEST)
        assert await receive_all(sock) == ANSWER
        sock.close()
        await until(lambda: server.lost == server.made)
        await until(lambda: descriptors() <= before)
        listening.close()
        return server.made

    # A connection that is reset before it is accepted may or may not be seen.
    assert run(loop, main()) > len(REQUEST)


@pytest.mark.parametrize("how", ["protocol", "streams"])
def test_at_every_byte_of_the_answer(loop, how):
    async def main():
        server = Server()
        listening = await start(loop, server, how)
        address = listening.sockets[0].getsockname()
        before = descriptors()
        for wanted in range(len(ANSWER) + 1):
            sock = await connect(address)
            await loop.sock_sendall(sock, REQUEST)
            received = b""
            while len(received) < wanted:
                received += await loop.sock_recv(sock, wanted - len(received))
            assert ANSWER.startswith(received)
            reset(sock)
        await until(lambda: server.made == len(ANSWER) + 1 == server.lost)
        await until(lambda: descriptors() <= before)
        listening.close()

    run(loop, main())


class Counting:
    """A TLS client over a raw socket that ends it after so many bytes sent or received."""

    def __init__(self, context, sock, sending, receiving):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.sock = sock
        self.sent = 0
        self.received = 0
        self.sending = sending
        self.receiving = receiving

    async def exchange(self):
        """Does the handshake, sends the request, reads the answer. True when it came to the end."""
        steps = [self.tls.do_handshake, lambda: self.tls.write(REQUEST)]
        data = b""
        loop = asyncio.get_running_loop()
        while True:
            try:
                if steps:
                    steps[0]()
                    steps.pop(0)
                else:
                    piece = self.tls.read(1 << 16)
                    data += piece
                    if not piece:
                        return data == ANSWER
                waits = False
            except ssl.SSLWantReadError:
                waits = True
            except ssl.SSLZeroReturnError:
                return data == ANSWER
            out = self.outgoing.read()[: self.sending - self.sent]
            self.sent += len(out)
            await loop.sock_sendall(self.sock, out)
            if self.sent == self.sending:
                return False
            if waits:
                piece = await loop.sock_recv(
                    self.sock, min(1 << 16, self.receiving - self.received)
                )
                self.received += len(piece)
                self.incoming.write(piece)
                if not piece:
                    self.incoming.write_eof()
                if self.received == self.receiving:
                    return False


@pytest.mark.parametrize("how", ["protocol", "streams"])
@pytest.mark.parametrize("direction", ["sent", "received"])
def test_at_every_byte_of_a_tls_connection(loop, reports, server_tls, client_tls, how, direction):
    """Every byte of the client's; of the server's, which are many more, every seventeenth."""
    far = 1 << 30

    async def main():
        server = Server()
        listening = await start(loop, server, how, server_tls)
        address = listening.sockets[0].getsockname()
        before = descriptors()
        whole = Counting(client_tls, await connect(address), far, far)
        assert await whole.exchange()
        whole.sock.close()
        total = getattr(whole, direction)
        # An ECDSA signature has a byte or two more or less from one connection to the next.
        for count in range(1, total - 8, 1 if direction == "sent" else 17):
            limits = (count, far) if direction == "sent" else (far, count)
            client = Counting(client_tls, await connect(address), *limits)
            assert not await client.exchange()
            assert getattr(client, direction) == count
            reset(client.sock)
        after = Counting(client_tls, await connect(address), far, far)
        assert await after.exchange()
        after.sock.close()
        await until(lambda: server.made == server.lost)
        await until(lambda: descriptors() <= before)
        listening.close()
        return total

    assert run(loop, main()) > 500
    # A handshake that a peer broke off is no error of ours: debug mode alone tells of it.
    assert all(isinstance(r.get("exception"), OSError) for r in reports), reports
    assert not reports or loop.get_debug()
    reports.clear()


def test_while_a_peer_that_reads_nothing_is_owed_much(loop):
    async def main():
        protocols = []

        class Writing(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                protocols.append(self)
                transport.write(bytes(30_000_000))

        listening = await loop.create_server(Writing, "127.0.0.1", 0)
        address = listening.sockets[0].getsockname()
        before = descriptors()
        for number, count in enumerate((0, 1, 1000, 100_000), 1):
            sock = await connect(address)
            if count:
                await loop.sock_recv(sock, count)
            await until(lambda: len(protocols) == number)  # noqa: B023
            await until(lambda: protocols[-1].transport.get_write_buffer_size())
            reset(sock)
            protocol = protocols[-1]
            assert isinstance(await protocol.lost, ConnectionError)
            assert protocol.calls.count("lost") == 1
            assert protocol.transport.get_write_buffer_size() == 0
        await until(lambda: descriptors() <= before)
        listening.close()

    run(loop, main())
