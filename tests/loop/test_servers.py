# SPDX-License-Identifier: MIT
"""create_server, create_connection and their Unix forms; asyncio.Server."""

import asyncio
import errno
import os
import resource
import socket
import sys
import time

import pytest

from tests.loop.support import Echo, Recorder, ours_only, receive_all, run, until


def address_of(server):
    return server.sockets[0].getsockname()


async def exchange(loop, transport, protocol, data=b"ping"):
    transport.write(data)
    await until(lambda: len(protocol.data) >= len(data))
    assert protocol.data == data
    transport.close()
    await protocol.lost


def test_a_tcp_server_and_its_client(loop):
    served = []

    class Served(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            served.append(self)

    async def main():
        server = await loop.create_server(Served, "127.0.0.1", 0)
        assert server.is_serving() and server.get_loop() is loop
        address = address_of(server)
        transport, protocol = await loop.create_connection(Recorder, *address)
        assert transport.get_extra_info("peername") == address
        sockname = transport.get_extra_info("sockname")
        await until(lambda: served)
        theirs = served[0].transport
        assert isinstance(theirs, asyncio.Transport)
        assert theirs.get_extra_info("peername") == sockname
        assert theirs.get_extra_info("sockname") == address
        for end in (transport, theirs):
            sock = end.get_extra_info("socket")
            assert sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockname() == end.get_extra_info("sockname")
            assert sock.fileno() > 2
            with sock.dup() as copy:
                assert copy.getpeername() == end.get_extra_info("peername")
        await exchange(loop, transport, protocol)
        await served[0].lost
        server.close()
        await server.wait_closed()
        assert not server.is_serving() and len(server.sockets) == 0

    run(loop, main())


def test_ipv6_addresses(loop):
    async def main():
        try:
            server = await loop.create_server(Echo, "::1", 0)
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        transport, protocol = await loop.create_connection(Recorder, *address_of(server)[:2])
        assert transport.get_extra_info("peername") == address_of(server)
        assert len(transport.get_extra_info("sockname")) == 4
        await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())


@pytest.mark.parametrize("abstract", [False, True])
def test_a_unix_server_and_its_client(loop, tmp_path, abstract):
    path = f"\0camshaft-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    served = []

    class Served(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            served.append(transport)

    async def main():
        server = await loop.create_unix_server(Served, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        peername = transport.get_extra_info("peername")
        assert peername == (path.encode() if abstract else path)
        await until(lambda: served)
        theirs = served[0]
        assert theirs.get_extra_info("peername") == ""
        assert theirs.get_extra_info("sockname") == peername
        assert theirs.get_extra_info("socket").family == socket.AF_UNIX
        await exchange(loop, transport, protocol)
        server.close()
        await server.wait_closed()

    run(loop, main())


def test_a_stale_unix_socket_is_replaced_and_a_file_is_not(loop, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))

    async def main():
        server = await loop.create_unix_server(Echo, path)
        transport, protocol = await loop.create_unix_connection(Recorder, str(path))
        await exchange(loop, transport, protocol)
        server.close()
        await server.wait_closed()
        (tmp_path / "file").write_text("kept")
        with pytest.raises(OSError) as caught:
            await loop.create_unix_server(Echo, str(tmp_path / "file"))
        assert caught.value.errno == errno.EADDRINUSE
        assert (tmp_path / "file").read_text() == "kept"
        if sys.version_info >= (3, 13):
            assert not path.exists(), "3.13 removes the socket's file"

    run(loop, main())


def test_a_thousand_connections_at_once(loop):
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1000, (soft - 100) // 2)

    async def one(address):
        transport, protocol = await loop.create_connection(Recorder, *address)
        await exchange(loop, transport, protocol)

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=count)
        await asyncio.gather(*(one(address_of(server)) for _ in range(count)))
        server.close()
        await server.wait_closed()

    run(loop, main())


def test_connecting_to_nobody(loop):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = sock.getsockname()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, *address)
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await loop.create_unix_connection(Recorder, "/nowhere/at/all")
        with pytest.raises(OSError):
            await loop.create_server(Recorder, "192.0.2.1", 0)

    run(loop, main())


def test_an_address_in_use(loop):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        with pytest.raises(OSError) as caught:
            await loop.create_server(Recorder, *address_of(server))
        assert caught.value.errno == errno.EADDRINUSE
        server.close()

    run(loop, main())


def test_arguments_that_contradict(loop):
    async def main():
        with socket.socket() as sock:
            with pytest.raises(ValueError):
                await loop.create_server(Recorder, "127.0.0.1", 0, sock=sock)
            with pytest.raises(ValueError):
                await loop.create_connection(Recorder, "127.0.0.1", 0, sock=sock)
        with pytest.raises(ValueError):
            await loop.create_server(Recorder)
        with pytest.raises(ValueError):
            await loop.create_connection(Recorder)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ValueError):
                await loop.create_server(Recorder, sock=sock)

    run(loop, main())


def test_a_cancelled_connect_leaves_nothing(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        for _ in range(20):
            task = asyncio.create_task(loop.create_connection(Recorder, *address_of(server)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        transport, protocol = await loop.create_connection(Recorder, *address_of(server))
        await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())


def test_start_serving_later(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        transport, protocol = await loop.create_connection(Recorder, *address_of(server))
        await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())


def test_closing_wakes_serve_forever(loop):
    """asyncio cancels serve_forever's future; uvloop leaves it blocked."""

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await serving

    run(loop, main())


def test_serve_forever_cancelled_closes_the_server(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()

    run(loop, main())


def test_the_server_is_a_context_manager(loop):
    async def main():
        async with await loop.create_server(Echo, "127.0.0.1", 0) as server:
            address = address_of(server)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, *address)

    run(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 12, 1), reason="wait_closed waits from 3.12.1")
def test_wait_closed_waits_for_connections(loop):
    async def main():
        served = loop.create_future()

        class Served(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                served.set_result(self)

        server = await loop.create_server(Served, "127.0.0.1", 0)
        _transport, protocol = await loop.create_connection(Recorder, *address_of(server))
        theirs = await served
        server.close()
        waiting = asyncio.create_task(server.wait_closed())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        theirs.transport.close()
        await waiting
        await protocol.lost

    run(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients came with 3.13")
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_closing_the_clients(loop, how):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        ends = [await loop.create_connection(Recorder, *address_of(server)) for _ in range(5)]
        for transport, protocol in ends:
            transport.write(b"x")
            await until(lambda: protocol.data)  # noqa: B023
        server.close()
        getattr(server, how)()
        await server.wait_closed()
        for _, protocol in ends:
            await protocol.lost

    run(loop, main())


def test_a_factory_that_fails_is_reported_and_the_server_goes_on(loop, reports):
    """asyncio reports it in debug mode alone."""
    loop.set_debug(True)
    failures = [ValueError("factory")]

    def factory():
        if failures:
            raise failures.pop()
        return Echo()

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0)
        refused, protocol = await loop.create_connection(Recorder, *address_of(server))
        await until(lambda: reports)
        refused.abort()
        transport, protocol = await loop.create_connection(Recorder, *address_of(server))
        await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())
    loop.set_debug(False)
    assert [str(report["exception"]) for report in reports] == ["factory"]
    reports.clear()


def test_a_listening_socket_of_our_own(loop):
    async def main():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            server = await loop.create_server(Echo, sock=sock)
            transport, protocol = await loop.create_connection(Recorder, *sock.getsockname())
            await exchange(loop, transport, protocol)
            server.close()
            await server.wait_closed()

    run(loop, main())


def test_several_addresses(loop):
    async def main():
        server = await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2"], 0)
        assert len(server.sockets) == 2
        for sock in server.sockets:
            transport, protocol = await loop.create_connection(Recorder, *sock.getsockname())
            await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())


def test_local_addresses_and_happy_eyeballs(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        port = address_of(server)[1]
        transport, protocol = await loop.create_connection(
            Recorder, "127.0.0.1", port, local_addr=("127.0.0.1", 0)
        )
        await exchange(loop, transport, protocol)
        transport, protocol = await loop.create_connection(
            Recorder, "localhost", port, happy_eyeballs_delay=0.1, interleave=1
        )
        await exchange(loop, transport, protocol)
        server.close()

    run(loop, main())


def test_connect_accepted_socket(loop):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
        accepted.setblocking(False)
        _transport, protocol = await loop.connect_accepted_socket(Echo, accepted)
        peer.setblocking(False)
        await loop.sock_sendall(peer, b"x")
        assert await loop.sock_recv(peer, 1) == b"x"
        peer.close()
        await protocol.lost

    run(loop, main())


def test_out_of_descriptors(loop, reports):
    """Accepting stops for a second, is reported, and begins again (asyncio's EMFILE back-off)."""

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        peer = socket.socket()
        peer.setblocking(False)
        # The lowest free number, and every one above it, is out of reach until it is put back.
        probe = os.open("/dev/null", os.O_RDONLY)
        os.close(probe)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
        try:
            try:
                peer.connect(address_of(server))
            except BlockingIOError:
                pass
            await until(lambda: reports)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert reports[0]["exception"].errno == errno.EMFILE
        await loop.sock_sendall(peer, b"served after all")
        peer.shutdown(socket.SHUT_WR)
        assert await receive_all(peer) == b"served after all"
        peer.close()
        server.close()

    run(loop, main())
    reports.clear()


def test_a_listening_socket_closed_behind_our_back_does_not_spin(loop):
    async def main():
        sock = socket.create_server(("127.0.0.1", 0))
        server = await loop.create_server(Echo, sock=sock)
        sock.close()
        before = time.process_time()
        await asyncio.sleep(0.2)
        assert time.process_time() - before < 0.15
        try:
            server.close()
        except ValueError:
            pass  # asyncio's answer, as the socket has no number any more

    run(loop, main())


def test_getaddrinfo_gives_what_the_system_gives(loop):
    questions = [
        (("127.0.0.1", 80), {"type": socket.SOCK_STREAM}),
        (("127.0.0.1", "80"), {}),
        (("::1", 80), {"type": socket.SOCK_STREAM}),
        (("127.1", 80), {"type": socket.SOCK_STREAM}),
        (("localhost", 80), {"type": socket.SOCK_STREAM}),
        ((None, 80), {"flags": socket.AI_PASSIVE, "type": socket.SOCK_STREAM}),
        (("", 80), {"type": socket.SOCK_STREAM, "family": socket.AF_INET}),
        (("127.0.0.1", 80), {"family": socket.AF_INET6, "type": socket.SOCK_STREAM}),
        (("127.0.0.1", None), {"proto": socket.IPPROTO_UDP}),
        ((b"127.0.0.1", 80), {"type": socket.SOCK_STREAM}),
        (("::1%lo", 80), {"type": socket.SOCK_STREAM}),
        (("127.0.0.1", 80), {"flags": socket.AI_CANONNAME, "type": socket.SOCK_STREAM}),
    ]

    async def main():
        for arguments, keywords in questions:
            try:
                expected = socket.getaddrinfo(*arguments, **keywords)
            except OSError as error:
                expected = type(error), error.errno
            try:
                found = await loop.getaddrinfo(*arguments, **keywords)
            except OSError as error:
                found = type(error), error.errno
            assert found == expected, arguments
        name = await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
        assert name == socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)

    run(loop, main())


@ours_only
def test_connections_taken_over_from_c_have_contexts_of_their_own(loop):
    """As uvicorn's WebSocket protocols do with camshaft.http's."""
    import contextvars
    import gc

    from camshaft import _core

    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Takes(asyncio.Protocol):
        def data_received(self, data):
            seen.append((data, variable.get()))
            variable.set(data)

    async def main():
        http = _core.HttpServer(None, loop=loop)
        server = await loop.create_server(http, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [socket.create_connection(address) for _ in range(2)]
        await until(lambda: http.connections == 2)
        streams = [
            thing
            for thing in gc.get_objects()
            if type(thing) is _core.Stream and type(thing.get_protocol()) is _core.HttpProtocol
        ]
        assert len(streams) == 2
        for stream in streams:
            stream.set_protocol(Takes())
        for count, client in enumerate(clients * 2):
            client.send(b"%d" % count)
            await until(lambda count=count: len(seen) > count)
            await asyncio.sleep(0)
        for client in clients:
            client.close()
        server.close()
        for stream in streams:
            stream.abort()
        await asyncio.sleep(0)

    run(loop, main())
    assert seen == [(b"0", "unset"), (b"1", "unset"), (b"2", b"0"), (b"3", b"1")]
