# SPDX-License-Identifier: MIT
"""What programs written for uvloop rely on, beyond what asyncio promises."""

import asyncio
import contextvars
import os
import select
import socket
import ssl

import pytest
import trustme

from .support import Recorder, open_stream, ours_only, run, until

pytestmark = ours_only


def test_pausing_runs_in_the_context_of_the_connection(loop):
    """asyncio calls pause_writing() in the context of whoever wrote."""
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Pauses(Recorder):
        def pause_writing(self):
            super().pause_writing()
            seen.append(variable.get())

        def resume_writing(self):
            super().resume_writing()
            seen.append(variable.get())

    async def fill(transport):
        variable.set("writer")
        while transport.get_write_buffer_size() == 0:
            transport.write(bytes(65536))

    async def main():
        variable.set("connection")
        transport, _, peer = await open_stream(Pauses)
        transport.set_write_buffer_limits(high=256, low=128)
        await asyncio.create_task(fill(transport))
        while len(seen) < 2:
            await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
        transport.abort()
        peer.close()

    run(loop, main())
    assert seen == ["connection", "connection"]


def test_pausing_within_a_call_of_the_protocol(loop):
    """The connection's context is entered already: a copy of it serves."""
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Pauses(Recorder):
        def data_received(self, data):
            variable.set("changed")
            self.transport.write(bytes(1 << 24))

        def pause_writing(self):
            seen.append(variable.get())

    async def main():
        transport, _, peer = await open_stream(Pauses)
        peer.send(b"x")
        await until(lambda: seen)
        transport.abort()
        peer.close()

    run(loop, main())
    assert len(seen) == 1


class _Duck(asyncio.BaseProtocol):
    """Has a BufferedProtocol's methods and is none."""

    def __init__(self):
        self.buffer = bytearray(3)
        self.data = b""
        self.lost = False

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.data += self.buffer[:count]

    def eof_received(self):
        pass

    def connection_lost(self, exc):
        self.lost = True


def test_buffered_protocol_is_known_by_its_methods(loop):
    async def main():
        transport, protocol, peer = await open_stream(_Duck)
        peer.send(b"seven b")
        peer.close()
        await until(lambda: protocol.lost)
        return transport, protocol

    _, protocol = run(loop, main())
    assert protocol.data == b"seven b"


def test_data_received_comes_before_get_buffer(loop):
    """As on asyncio, a protocol that has both and is no BufferedProtocol is given bytes."""

    class Both(_Duck):
        def data_received(self, data):
            self.data += b"bytes:" + data

    async def main():
        _, protocol, peer = await open_stream(Both)
        peer.send(b"x")
        peer.close()
        await until(lambda: protocol.lost)
        return protocol

    assert run(loop, main()).data == b"bytes:x"


def test_transport_tells_its_state(loop):
    async def main():
        transport, _, peer = await open_stream(Recorder)
        states = [(transport._paused, transport._closing)]
        transport.pause_reading()
        states.append((transport._paused, transport._closing))
        transport.resume_reading()
        transport.close()
        states.append((transport._paused, transport._closing))
        peer.close()
        return states

    assert run(loop, main()) == [(False, False), (True, False), (False, True)]


def test_backend_watches_what_the_loop_watches(loop):
    """remove_reader() takes the descriptor out of the poller at once."""
    left, right = socket.socketpair()
    poller = select.epoll.fromfd(os.dup(loop._get_backend_id()))
    with left, right, poller:
        loop.add_reader(left, lambda: None)
        poller.modify(left.fileno(), select.EPOLLIN)
        loop.remove_reader(left)
        with pytest.raises(FileNotFoundError):
            poller.modify(left.fileno(), select.EPOLLIN)


@pytest.mark.parametrize("how", ["path", "socket"])
def test_cleanup_socket_removes_the_file(loop, tmp_path, how):
    """On every Python; asyncio has the keyword from 3.13 on."""
    path = str(tmp_path / "socket")

    async def main():
        if how == "path":
            options = {"path": path}
        else:
            options = {"sock": socket.socket(socket.AF_UNIX)}
            options["sock"].bind(path)
        server = await loop.create_unix_server(asyncio.Protocol, cleanup_socket=True, **options)
        assert server.is_serving()
        assert os.path.exists(path)
        server.close()
        await server.wait_closed()

    run(loop, main())
    assert not os.path.exists(path)


def test_cleanup_socket_leaves_what_took_its_place(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        server = await loop.create_unix_server(asyncio.Protocol, path, cleanup_socket=True)
        os.rename(path, path + ".old")
        with open(path, "w"):
            pass
        server.close()
        await server.wait_closed()

    run(loop, main())
    assert os.path.exists(path)


def test_cleanup_socket_can_be_declined(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        server = await loop.create_unix_server(
            asyncio.Protocol, path, cleanup_socket=False, start_serving=False
        )
        assert not server.is_serving()
        server.close()
        await server.wait_closed()

    run(loop, main())
    assert os.path.exists(path)


def test_tls_keeps_the_context_of_the_connection(loop):
    """start_tls() and whoever fills the buffer may run in any."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Notes(Recorder):
        def data_received(self, data):
            super().data_received(data)
            seen.append(("data", variable.get()))

        def pause_writing(self):
            super().pause_writing()
            seen.append(("pause", variable.get()))

    async def fill(transport):
        variable.set("writer")
        while not seen[1:]:
            transport.write(bytes(65536))

    async def main():
        variable.set("connection")
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        transport, protocol = await loop.create_connection(Notes, sock=ours)
        variable.set("start_tls")
        (secure, (peer, _)) = await asyncio.gather(
            loop.start_tls(transport, protocol, client_side, server_hostname="localhost"),
            loop.connect_accepted_socket(Recorder, theirs, ssl=server_side),
        )
        peer.write(b"x")
        await until(lambda: seen)
        peer.pause_reading()
        await asyncio.create_task(fill(secure))
        secure.abort()
        peer.abort()

    run(loop, main())
    assert seen == [("data", "connection"), ("pause", "connection")]
