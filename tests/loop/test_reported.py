# SPDX-License-Identifier: MIT
"""What people have reported of uvloop, tried here. The numbers are those of its issues.

Other reports have their tests where the subject is: tests/README.md has the table.
"""

import asyncio
import gc
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref

import pytest

from tests.loop.support import Echo, Recorder, new_loop, ours_only, run, run_script, until

# ---- descriptors: 645, 738, 763, 100, 262, 414, 560 ----


class Probe(io.FileIO):
    """Notes at each close whether the number was still open, and who would get it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.states = []

    def close(self):
        if not self.closed:
            try:
                os.fstat(self.fileno())
                self.states.append("open")
            except OSError:
                self.states.append("closed by another")
        super().close()


@pytest.mark.parametrize("way", ["read", "write"])
@pytest.mark.parametrize("how", ["close", "abort", "drop"])
def test_a_pipes_descriptor_is_closed_once_and_by_its_file(loop, way, how):
    """763: the transport closed the number, and the file closed it again."""

    async def main():
        reading, writing = os.pipe()
        pipe = Probe(reading, "rb") if way == "read" else Probe(writing, "wb")
        other = writing if way == "read" else reading
        connect = loop.connect_read_pipe if way == "read" else loop.connect_write_pipe
        transport, protocol = await connect(Recorder, pipe)
        number = pipe.fileno()
        if how == "close" or (how == "abort" and way == "read"):
            transport.close()
        elif how == "abort":
            transport.abort()
        else:
            os.close(other)  # the peer goes, then everybody forgets the transport
            if way == "read":
                await protocol.lost
        if how != "drop":
            await protocol.lost
            os.close(other)
        states = pipe.states
        del transport, protocol, pipe
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()
        await until(lambda: states)
        # Whoever has the number now keeps it.
        kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        assert number in kept
        gc.collect()
        await asyncio.sleep(0.001)
        for descriptor in kept:
            os.close(descriptor)
        assert states == ["open"]

    run(loop, main())


@pytest.mark.parametrize("method", ["sock_accept", "sock_recv", "sock_recv_into"])
def test_a_socket_closed_before_the_loop_turns(loop, method):
    """100: epoll was told of a closed descriptor, and the process aborted."""

    async def main():
        sock, peer = socket.socketpair()
        if method == "sock_accept":
            sock.close()
            sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        arguments = {"sock_accept": (), "sock_recv": (10,), "sock_recv_into": (bytearray(10),)}
        waiting = asyncio.ensure_future(getattr(loop, method)(sock, *arguments[method]))
        loop.call_soon(sock.close)
        await asyncio.sleep(0.002)
        waiting.cancel()
        await asyncio.wait([waiting])
        peer.close()
        transport, protocol, other = await connected_pair(loop)
        other.send(b"all is well")
        await until(lambda: protocol.data)
        transport.close()
        other.close()

    run(loop, main())


async def connected_pair(loop):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    return transport, protocol, peer


def test_children_while_a_thread_opens_files(loop, tmp_path):
    """414: a pipe of the child's start was closed twice, the second time a file's number."""

    async def main():
        errors = []
        done = False

        def write_files():
            while not done:
                try:
                    with open(tmp_path / "file", "w") as file:
                        file.write("hello")
                        file.flush()
                        os.fstat(file.fileno())
                except OSError as error:
                    errors.append(error)

        worker = threading.Thread(target=write_files)
        worker.start()
        try:
            for _ in range(20):
                process = await asyncio.create_subprocess_exec("true", preexec_fn=int)
                assert await process.wait() == 0
                with pytest.raises(subprocess.SubprocessError):
                    await asyncio.create_subprocess_exec("true", preexec_fn=lambda: 1 / 0)
        finally:
            done = True
            worker.join()
        assert errors == []

    with current(loop):
        run(loop, main())


class current:
    """The loop as the current one: children before 3.12 are waited for by way of it."""

    def __init__(self, loop):
        self.loop = loop

    def __enter__(self):
        if sys.version_info < (3, 12):
            asyncio.set_event_loop(self.loop)
            asyncio.get_child_watcher().attach_loop(self.loop)

    def __exit__(self, *_):
        if sys.version_info < (3, 12):
            asyncio.get_child_watcher().close()
            asyncio.set_event_loop(None)


def test_the_peers_name_is_known_though_it_has_left(loop):
    """560: it was asked for after accept(), when the connection might be gone."""

    async def main():
        names = []

        class Named(asyncio.Protocol):
            def connection_made(self, transport):
                names.append((transport.get_extra_info("peername"), transport))

        server = await loop.create_server(Named, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        own_name = sock.getsockname()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        await until(lambda: names)
        assert names[0][0] == own_name
        names[0][1].close()
        server.close()

    run(loop, main())


def test_the_socket_of_a_transport_is_a_socket(loop):
    """467: it had none of a socket's methods."""

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname()
        )
        sock = transport.get_extra_info("socket")
        assert sock.getpeername() == server.sockets[0].getsockname()
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.gettimeout() == 0
        duplicate = sock.dup()
        duplicate.close()
        transport.close()
        server.close()

    run(loop, main())


# ---- debug mode: 730, 611, 715, 716, 756 ----


def test_asynchronous_generators_dropped_in_debug_mode():
    """They end inside the interpreter's own clearing of frames, where uvloop walked the stack."""
    status, out, err = run_script(
        """
        import asyncio, gc

        async def inner():
            try:
                for i in range(5):
                    yield i
            finally:
                await asyncio.sleep(0)

        async def outer():
            async for item in inner():
                got = yield item
                if got == "stop":
                    return

        async def dropped():
            x = inner()
            await x.__anext__()
            # x goes out of scope as the function's frame is cleared

        async def main():
            for _ in range(50):
                await dropped()
                async for item in outer():
                    if item == 2:
                        break
                generator = outer()
                await generator.asend(None)
                await generator.asend("go on")
                del generator
            gc.collect()
            await asyncio.sleep(0.01)

        for debug in (True, False):
            with asyncio.Runner(debug=debug, loop_factory=new_loop) as runner:
                runner.run(main())
        print("no crash")
        """
    )
    assert (status, out) == (0, "no crash\n"), err


# ---- TLS: aiohttp 6762, 252, 548 ----


def test_closing_tls_does_not_wait_longer_for_the_peer_than_it_may(loop, server_tls, client_tls):
    """The peer never answers close_notify: after the time that is set it is given up."""

    async def main():
        served = []

        def factory():
            served.append(Recorder())
            return served[-1]

        server = await loop.create_server(
            factory, "127.0.0.1", 0, ssl=server_tls, ssl_shutdown_timeout=0.05
        )

        def silent():
            sock = socket.create_connection(server.sockets[0].getsockname())
            return client_tls.wrap_socket(sock, server_hostname="localhost")

        peer = await asyncio.to_thread(silent)
        await until(lambda: served and served[0].made.done())
        # Not read by the peer, so that close() has something to wait for as well.
        served[0].transport.close()
        await served[0].lost
        peer.close()
        server.close()

    run(loop, main())


@pytest.mark.parametrize("tls", [False, True])
def test_a_finished_connection_is_forgotten(loop, server_tls, client_tls, tls):
    """252, 548: memory was held after connections had ended."""

    async def main():
        references = []

        class Remembered(Echo):
            def connection_made(self, transport):
                super().connection_made(transport)
                references.append(weakref.ref(self))

        server = await loop.create_server(
            Remembered, "127.0.0.1", 0, ssl=server_tls if tls else None
        )
        for _ in range(5):
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(),
                ssl=client_tls if tls else None,
                server_hostname="localhost" if tls else None,
            )
            writer.write(bytes(100_000))
            await reader.readexactly(100_000)
            writer.close()
            await writer.wait_closed()
        del reader, writer
        gc.collect()
        await until(lambda: gc.collect() is not None and not any(r() for r in references))
        assert len(references) == 5
        server.close()

    run(loop, main())


# ---- time: 29, 359, 482, 233 ----


def test_the_clock_goes_on_while_the_loop_is_blocked(loop):
    """29, 359: the loop's time was that of the last poll, in milliseconds."""

    async def main():
        before = loop.time()
        time.sleep(0.003)
        after = loop.time()
        assert after - before >= 0.003
        moments = {loop.time() for _ in range(100)}
        assert len(moments) > 1
        handle = loop.call_later(0, int)
        assert handle.when() >= after and isinstance(handle.when(), float)
        handle.cancel()

    run(loop, main())


# ---- datagrams: 319, 338, 276, 196, 403, 85, 91 ----


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        loop = asyncio.get_running_loop()
        self.received = []
        self.errors = []
        self.lost = loop.create_future()

    def datagram_received(self, data, addr):
        self.received.append((data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def endpoints(loop):
    server, heard = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    return server, heard, server.get_extra_info("sockname")


def test_both_addresses_of_a_datagram_endpoint(loop):
    """276, 85: bound and connected at once; and its own name is the one that peers see."""

    async def main():
        server, heard, address = await endpoints(loop)
        client, _ = await loop.create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.1", 0), remote_addr=address
        )
        other, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=address)
        for transport in (client, other):
            assert transport.get_extra_info("peername") == address
            name = transport.get_extra_info("sockname")
            assert name[0] == "127.0.0.1" and name[1] > 0
            transport.sendto(b"from one", None)
            transport.sendto(b"by its name", address)
            with pytest.raises(ValueError):
                transport.sendto(b"to another", ("127.0.0.1", 1))
            await until(lambda: len(heard.received) == 2)
            assert heard.received == [(b"from one", name), (b"by its name", name)]
            heard.received.clear()
        for transport in (client, other, server):
            transport.close()

    run(loop, main())


def test_datagrams_that_cannot_be_sent(loop):
    """338, 120: the endpoint was closed without a word."""

    async def main():
        server, heard, address = await endpoints(loop)
        client, protocol = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
        client.sendto(b"x", ("127.0.0.1", 0))  # no such port
        await until(lambda: protocol.errors)
        assert isinstance(protocol.errors[0], OSError)
        client.sendto(b"still here", address)
        await until(lambda: heard.received)
        for bad in (5, "text", ("127.0.0.1",), ("127.0.0.1", "port"), ("127.0.0.1", 99999)):
            try:
                client.sendto(b"x", bad)
            except (TypeError, OverflowError, ValueError):
                pass
            await asyncio.sleep(0)
            if protocol.lost.done():
                break  # asyncio takes some of them for fatal, and says so
        for transport in (client, server):
            transport.close()

    loop.set_exception_handler(lambda *_: None)
    run(loop, main())


def test_unix_datagrams(loop):
    """196, 403: a path is no name to be looked up, and need not be connected."""

    async def main():
        with tempfile.TemporaryDirectory() as directory:
            there, back = os.path.join(directory, "there"), os.path.join(directory, "back")
            server, heard = await loop.create_datagram_endpoint(
                Datagrams, local_addr=there, family=socket.AF_UNIX
            )
            client, answers = await loop.create_datagram_endpoint(
                Datagrams, local_addr=back, family=socket.AF_UNIX
            )
            client.sendto(b"ping", there)
            await until(lambda: heard.received)
            assert heard.received == [(b"ping", back)]
            server.sendto(b"pong", back)
            await until(lambda: answers.received)
            assert answers.received == [(b"pong", there)]
            client.close()
            server.close()
            await asyncio.gather(heard.lost, answers.lost)

    run(loop, main())


# ---- children: 749, 118 ----


def test_no_fork_hooks_for_a_program():
    """749: they are for children that go on in Python."""
    status, out, err = run_script(
        """
        import asyncio, os, subprocess

        for when in ("before", "after_in_parent", "after_in_child"):
            os.register_at_fork(**{when: lambda when=when: os.write(1, when.encode())})

        async def main():
            for keywords in ({}, {"start_new_session": True}, {"close_fds": False}):
                process = await asyncio.create_subprocess_exec(
                    "true", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **keywords)
                await process.communicate()
                assert process.returncode == 0

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        print("done")
        """
    )
    assert (status, out) == (0, "done\n"), err


# ---- names: 43 ----


def test_numeric_addresses_need_no_thread(loop):
    """43: with the pool full of slow look-ups, nothing could be connected."""
    release = threading.Event()

    async def main():
        from concurrent.futures import ThreadPoolExecutor

        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, release.wait)
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        sock.close()
        endpoint, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
        endpoint.close()
        server.close()
        release.set()
        await blocked

    try:
        run(loop, main())
    finally:
        release.set()


# ---- the server: uvicorn 2145 ----


def test_a_server_of_a_closed_loop_can_be_dropped():
    loop = new_loop()
    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0))
    number = server.sockets[0].fileno()
    loop.close()
    assert "closed=True" in repr(loop)
    server.close()
    with pytest.raises(OSError):
        os.fstat(number)
    del server
    gc.collect()


@ours_only
def test_attributes_of_transports_may_be_replaced(loop):
    """What tests of applications do; uvloop's are read-only."""

    async def main():
        transport, protocol, peer = await connected_pair(loop)
        written = []
        transport.write = written.append
        transport.write(b"caught")
        assert written == [b"caught"]
        del transport.write
        transport.write(b"sent")
        await asyncio.sleep(0)
        assert peer.recv(10) == b"sent"
        transport.close()
        await protocol.lost
        peer.close()

    run(loop, main())
