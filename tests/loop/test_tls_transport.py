# SPDX-License-Identifier: MIT
"""The transport of a TLS connection: what it offers, flow control, buffered protocols."""

import asyncio
import gc
import ssl
import tempfile

import pytest

from tests.loop.support import LOOP_NAME, Echo, Recorder, ours_only, run, until
from tests.loop.tls_peer import open_tls, received, settle


class Buffered(asyncio.BufferedProtocol):
    """Gives out buffers of `size` bytes and notes what comes."""

    def __init__(self, size):
        loop = asyncio.get_running_loop()
        self.size = size
        self.hints = []
        self.data = bytearray()
        self.pieces = []
        self.lost = loop.create_future()

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        self.hints.append(sizehint)
        self.buffer = bytearray(self.size)
        # asyncio slices what it gets, which would copy a bytearray.
        return memoryview(self.buffer) if LOOP_NAME == "asyncio" else self.buffer

    def buffer_updated(self, nbytes):
        self.pieces.append(nbytes)
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc):
        self.lost.set_result(exc)


# ---- what it offers ----


def test_what_it_is(loop, server_tls, client_tls):
    async def main():
        transport, protocol, _ = await open_tls(server_tls, client_tls)
        assert isinstance(transport, asyncio.Transport)
        assert "SSL" in type(transport).__name__
        assert transport.get_protocol() is protocol
        assert transport.can_write_eof() is False
        with pytest.raises(NotImplementedError):
            transport.write_eof()
        assert transport.is_reading()
        assert not transport.is_closing()
        assert transport._start_tls_compatible is True
        assert transport._sendfile_compatible is asyncio.constants._SendfileMode.FALLBACK
        assert transport.get_write_buffer_size() == transport.get_read_buffer_size() == 0
        transport.abort()
        await protocol.lost
        repr(transport)

    run(loop, main())


# asyncio's keys, those of the stream below, and after the connection only TLS's own.
def test_extra_info(loop, server_tls, client_tls):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_tls)
        address = server.sockets[0].getsockname()
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_tls, server_hostname="localhost"
        )
        info = transport.get_extra_info
        assert info("sslcontext") is client_tls
        assert isinstance(info("ssl_object"), ssl.SSLObject)
        assert info("ssl_object").version() == "TLSv1.3"
        assert info("peercert") == info("ssl_object").getpeercert()
        assert dict(info("peercert"))["subjectAltName"]
        assert info("cipher") == info("ssl_object").cipher()
        assert info("compression", "default") is None
        assert info("peername") == address
        assert info("sockname") == info("socket").getsockname()
        assert info("nothing") is None
        assert info(name="nothing", default=3) == 3
        transport.close()
        await protocol.lost
        assert info("sslcontext") is client_tls
        assert info("cipher")
        assert info("peername") is None
        assert info("socket", 3) == 3
        server.close()

    run(loop, main())


# Applications' tests replace attributes of a transport.
def test_attributes_can_be_replaced(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, Echo)
        written = []
        transport.write = written.append
        await peer.send(peer.seal(b"data"))
        await until(lambda: written)
        assert written == [b"data"]
        del transport.write
        transport.write(b"more")
        assert await peer.read(4) == b"more"
        transport.anything = 1
        assert transport.anything == 1
        transport._sendfile_compatible = "changed"
        assert transport._sendfile_compatible == "changed"
        transport.abort()
        await protocol.lost

    run(loop, main())


@pytest.mark.parametrize("wrong", [None, "text", 1, [b"x"]])
def test_what_cannot_be_written(loop, server_tls, client_tls, wrong):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        with pytest.raises(TypeError, match="data: expecting a bytes-like instance, got"):
            transport.write(wrong)
        transport.write(b"")
        transport.write(b"right")
        assert await peer.read(5) == b"right"
        transport.abort()
        await protocol.lost

    run(loop, main())


# A wrong item among right ones: nothing is sent. asyncio ends the connection.
@ours_only
def test_a_wrong_item_in_writelines(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        with pytest.raises(TypeError):
            transport.writelines([b"lost", "text"])
        with pytest.raises(TypeError):
            transport.writelines(3)
        transport.writelines(iter([b"ri", b"ght"]))
        assert await peer.read(5) == b"right"
        transport.abort()
        await protocol.lost

    run(loop, main())


# ---- flow control ----


def test_limits(loop, server_tls, client_tls):
    async def main():
        transport, protocol, _ = await open_tls(server_tls, client_tls)
        kinds = (
            (transport.set_write_buffer_limits, transport.get_write_buffer_limits, 512),
            (transport.set_read_buffer_limits, transport.get_read_buffer_limits, 256),
        )
        for set_limits, get_limits, default in kinds:
            assert get_limits() == (default * 256, default * 1024)
            set_limits(high=100)
            assert get_limits() == (25, 100)
            set_limits(low=100)
            assert get_limits() == (100, 400)
            set_limits(5, 5)
            assert get_limits() == (5, 5)
            for wrong in ({"high": 1, "low": 2}, {"low": -1}):
                with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\)"):
                    set_limits(**wrong)
            assert get_limits() == (5, 5)
            set_limits()
            assert get_limits() == (default * 256, default * 1024)
        transport.abort()
        await protocol.lost

    run(loop, main())


# A peer that does not read pauses the application's writing; what was written arrives.
def test_a_peer_that_does_not_read(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        count = 0
        while "pause" not in protocol.calls:
            transport.write(bytes(50_000))
            count += 50_000
            assert count < 3_000_000
        assert transport.get_write_buffer_size() >= 512 * 1024
        assert len(await peer.read(count)) == count
        assert protocol.calls == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await protocol.lost

    run(loop, main())


# One large write pauses at once, if the socket does not take it: asyncio encrypts all of it first.
@ours_only
def test_one_large_write(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        transport.write(bytes(2_000_000))
        assert protocol.calls == ["made", "pause"]
        assert len(await peer.read(2_000_000)) == 2_000_000
        assert protocol.calls == ["made", "pause", "resume"]
        transport.set_write_buffer_limits(high=0)
        transport.write(b"x")
        assert await peer.read(1) == b"x"
        transport.abort()
        await protocol.lost

    run(loop, main())


# Paused reading holds what comes back, within a bound: the peer cannot send for ever.
def test_paused_reading_holds_the_peer_back(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        data = bytes(2_000_000)
        sending = asyncio.ensure_future(peer.send(peer.seal(data)))
        await until(lambda: transport.get_read_buffer_size() >= 256 * 1024)
        await settle()
        assert not sending.done()
        assert transport.get_read_buffer_size() <= 512 * 1024
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        assert await received(protocol, len(data)) == data
        await sending
        transport.abort()
        await protocol.lost

    run(loop, main())


# Paused within data_received: nothing comes until resumed.
def test_pausing_within_data_received(loop, server_tls, client_tls):
    class Pausing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, Pausing)
        for number in range(5):
            await peer.send(peer.seal(b"%d" % number))
        await received(protocol, 1)
        await settle()
        while len(protocol.data) < 5:
            before = len(protocol.data)
            await settle()
            assert len(protocol.data) == before
            transport.resume_reading()
            await received(protocol, before + 1)
        assert protocol.data == b"01234"
        transport.abort()
        await protocol.lost

    run(loop, main())


# Data in both directions at once, each side reading only when it has written.
def test_both_directions_full(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        data = bytes(1_500_000)
        transport.write(data)
        sending = asyncio.ensure_future(peer.send(peer.seal(data)))
        assert await received(protocol, len(data)) == data
        await sending
        assert await peer.read(len(data)) == data
        transport.abort()
        await protocol.lost

    run(loop, main())


# ---- protocols ----


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000, 1_000_000])
def test_buffered_protocols(loop, server_tls, client_tls, size):
    async def main():
        transport, protocol, peer = await open_tls(
            server_tls, client_tls, lambda: Buffered(size), buffer=1 << 20
        )
        data = bytes(range(256)) * (20 if size < 1000 else 800)
        await peer.send(peer.seal(data[:100], data[100:101], data[101:]))
        assert await received(protocol, len(data)) == data
        assert max(protocol.pieces) <= size
        await peer.unwrap()
        assert await protocol.lost is None
        assert transport.is_closing()

    run(loop, main())


@ours_only
def test_an_empty_buffer(loop, server_tls, client_tls, reports):
    async def main():
        _, protocol, peer = await open_tls(server_tls, client_tls, lambda: Buffered(0))
        await peer.send(peer.seal(b"data"))
        assert isinstance(await protocol.lost, RuntimeError)

    run(loop, main())
    assert [report["message"] for report in reports] == ["Fatal error on SSL protocol"]
    reports.clear()


# A protocol replaced within its own callback gets nothing more; the next one does, of any kind.
def test_protocols_replaced_within_callbacks(loop, server_tls, client_tls):
    class Replacing(Recorder):
        next = None

        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(self.next)

    async def main():
        transport, first, peer = await open_tls(server_tls, client_tls, Replacing)
        second, third = Buffered(3), Replacing()
        first.next = second
        await peer.send(peer.seal(b"one"))
        await received(first, 3)
        assert transport.get_protocol() is second
        del first.next, first
        gc.collect()
        await peer.send(peer.seal(b"second"))
        assert await received(second, 6) == b"second"
        transport.set_protocol(third)
        third.transport, third.next = transport, Recorder()
        await peer.send(peer.seal(b"third"))
        await received(third, 5)
        await peer.unwrap()
        assert await third.next.lost is None
        assert not third.lost.done()

    run(loop, main())


# Anything may be done within a callback.
@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received"])
@pytest.mark.parametrize("action", ["close", "abort", "pause", "write", "all"])
def test_actions_within_callbacks(loop, server_tls, client_tls, callback, action):
    actions = {
        "close": lambda transport: transport.close(),
        "abort": lambda transport: transport.abort(),
        "pause": lambda transport: (transport.pause_reading(), transport.resume_reading()),
        "write": lambda transport: transport.write(bytes(100_000)),
    }

    class Acting(Recorder):
        def act(self):
            for name, do in actions.items():
                if action in (name, "all"):
                    do(self.transport)

        def connection_made(self, transport):
            super().connection_made(transport)
            if callback == "connection_made":
                self.act()

        def data_received(self, data):
            super().data_received(data)
            if callback == "data_received":
                self.act()

        def eof_received(self):
            super().eof_received()
            if callback == "eof_received":
                self.act()

    async def main():
        served = []
        server = await loop.create_server(
            lambda: served.append(Acting()) or served[-1], "127.0.0.1", 0, ssl=server_tls
        )
        try:
            transport, protocol = await loop.create_connection(
                Recorder,
                *server.sockets[0].getsockname(),
                ssl=client_tls,
                server_hostname="localhost",
            )
        except OSError:
            pass  # aborted before the client had finished
        else:
            transport.write(b"data")
            await until(lambda: served[0].calls != ["made"])
            transport.close()
            await protocol.lost
        await served[0].lost
        assert served[0].calls.count("lost") == 1
        server.close()

    run(loop, main())


# loop.sendfile falls back to reading and writing.
def test_sendfile(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        with tempfile.TemporaryFile() as file:
            file.write(bytes(range(256)) * 1000)
            file.seek(100)
            with pytest.raises(RuntimeError):
                await loop.sendfile(transport, file, fallback=False)
            sending = asyncio.ensure_future(loop.sendfile(transport, file, 100))
            assert await peer.read(255_900) == (bytes(range(256)) * 1000)[100:]
            assert await sending == 255_900
        assert transport.get_protocol() is protocol
        transport.abort()
        await protocol.lost

    run(loop, main())
