# SPDX-License-Identifier: MIT
"""TLS over our transports: ssl= on both sides, start_tls, and asyncio's streams."""

import asyncio
import socket
import ssl

import pytest

from tests.loop.support import Echo, Recorder, run, until


async def serve(loop, tls, factory=Echo):
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls)
    return server, server.sockets[0].getsockname()


def test_both_sides(loop, server_tls, client_tls):
    data = bytes(range(256)) * 2000

    async def main():
        server, address = await serve(loop, server_tls)
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_tls, server_hostname="localhost"
        )
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_extra_info("peername") == address
        assert transport.get_extra_info("cipher")
        assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
        assert not transport.can_write_eof()
        transport.write(data)
        await until(lambda: len(protocol.data) == len(data))
        assert protocol.data == data
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()

    run(loop, main())


def test_a_certificate_that_is_not_trusted(loop, server_tls, reports):
    async def main():
        server, address = await serve(loop, server_tls)
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(
                Recorder, *address, ssl=ssl.create_default_context(), server_hostname="localhost"
            )
        server.close()

    run(loop, main())
    reports.clear()  # debug mode tells of the server's side


def test_a_name_that_does_not_match(loop, server_tls, client_tls, reports):
    async def main():
        server, address = await serve(loop, server_tls)
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(
                Recorder, *address, ssl=client_tls, server_hostname="example.org"
            )
        server.close()

    run(loop, main())
    reports.clear()  # debug mode tells of the server's side


def test_a_peer_that_does_not_speak_tls(loop, client_tls):
    async def main():
        class Plain(Recorder):
            def data_received(self, data):
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.close()

        server, address = await serve(loop, None, Plain)
        with pytest.raises(ssl.SSLError):
            await loop.create_connection(
                Recorder, *address, ssl=client_tls, server_hostname="localhost"
            )
        server.close()

    run(loop, main())


def test_a_peer_that_hangs_up_in_the_handshake(loop, client_tls):
    async def main():
        class Silent(Recorder):
            def data_received(self, data):
                self.transport.abort()

        server, address = await serve(loop, None, Silent)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await loop.create_connection(
                Recorder, *address, ssl=client_tls, server_hostname="localhost"
            )
        server.close()

    run(loop, main())


def test_the_handshakes_time_limit(loop, client_tls):
    async def main():
        server, address = await serve(loop, None, Recorder)
        with pytest.raises(ConnectionError, match="handshake"):
            await loop.create_connection(
                Recorder,
                *address,
                ssl=client_tls,
                server_hostname="localhost",
                ssl_handshake_timeout=0.05,
            )
        server.close()

    run(loop, main())


def test_start_tls(loop, server_tls, client_tls):
    """As asyncpg does it: a byte in the clear, then TLS on the same connection."""

    served = []

    class Upgrading(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"S":
                self.transport.write(b"Y")
                self.task = loop.create_task(self.upgrade())

        async def upgrade(self):
            protocol = Recorder()
            secure = await loop.start_tls(self.transport, protocol, server_tls, server_side=True)
            served.append(protocol)
            secure.write(b"welcome")
            await protocol.lost

    async def main():
        server, address = await serve(loop, None, Upgrading)
        transport, plain = await loop.create_connection(Recorder, *address)
        transport.write(b"S")
        await until(lambda: plain.data == b"Y")
        protocol = Recorder()
        secure = await loop.start_tls(transport, protocol, client_tls, server_hostname="localhost")
        await until(lambda: protocol.data == b"welcome")
        secure.write(b"secret" * 10_000)
        await until(lambda: len(served[0].data) == 60_000)
        assert secure.get_extra_info("socket").family == socket.AF_INET
        assert secure.get_extra_info("peername") == address
        secure.close()
        await protocol.lost
        await served[0].lost
        server.close()

    run(loop, main())


def test_streams(loop, server_tls, client_tls):
    async def echo(reader, writer):
        while data := await reader.read(10_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_tls)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(
            *address, ssl=client_tls, server_hostname="localhost"
        )
        data = b"x" * 200_000
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
        server.close()

    run(loop, main())


def test_many_at_once(loop, server_tls, client_tls):
    async def one(address):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_tls, server_hostname="localhost"
        )
        transport.write(b"ping")
        await until(lambda: protocol.data == b"ping")
        transport.close()
        await protocol.lost

    async def main():
        server, address = await serve(loop, server_tls)
        await asyncio.gather(*(one(address) for _ in range(20)))
        server.close()

    run(loop, main())


def test_writelines_of_views(loop, server_tls, client_tls):
    async def main():
        server, address = await serve(loop, server_tls)
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_tls, server_hostname="localhost"
        )
        transport.writelines([memoryview(b"hello"), bytearray(b"wor"), b"ld"])
        await until(lambda: len(protocol.data) == 10)
        assert protocol.data == b"helloworld"
        transport.close()
        await protocol.lost
        server.close()

    run(loop, main())
