# SPDX-License-Identifier: MIT
"""What only our transport can get wrong: its write queue, and who owns the descriptor."""

import asyncio
import gc
import os
import socket
from typing import Any

import pytest

from tests.loop.support import Recorder, ours_only, run, until


async def connected(loop: Any, near: socket.socket) -> tuple[Any, Recorder]:
    near.setblocking(False)
    transport, protocol = await loop.create_connection(Recorder, sock=near)
    return transport, protocol


async def read_all(loop: Any, sock: socket.socket) -> bytes:
    received = bytearray()
    while data := await loop.sock_recv(sock, 1 << 20):
        received += data
    return bytes(received)


# Sizes at both sides of where a chunk is full, kept uncopied, or sent at once.
SIZES = [1, 447, 448, 449, 1791, 1792, 1793, 2047, 2048, 2049, 65535, 65536, 65537, 200_000]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_mixture_of_sizes_arrives_in_order(loop: Any, kind: Any) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        transport, protocol = await connected(loop, near)
        expected = bytearray()
        reading = asyncio.create_task(read_all(loop, far))
        number = 0
        for first in SIZES:
            for second in SIZES:
                for size in (first, 1, second):
                    number = (number + 1) % 251
                    part = bytes([number]) * size
                    expected += part
                    transport.write(kind(part))
                lines = [b"", bytes([number]) * 3, bytearray(b"ab"), memoryview(part)]
                transport.writelines(lines)
                expected += b"".join(lines)
                await asyncio.sleep(0)
        transport.close()
        await protocol.lost
        assert await reading == expected
        far.close()

    run(loop, main())


def test_the_loop_keeps_a_connection_that_nobody_holds(loop: Any) -> None:
    """As asyncio's selector does: what is read from stays alive."""

    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        received = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                received.set_result(data)
                self.transport.close()

        near.setblocking(False)
        await loop.create_connection(Protocol, sock=near)
        del near
        gc.collect()
        await loop.sock_sendall(far, b"still there")
        assert await received == b"still there"
        assert await read_all(loop, far) == b""
        far.close()

    run(loop, main())


@ours_only
def test_closing_the_socket_behind_the_transport_closes_nothing(loop: Any) -> None:
    """The number could be another connection's the next moment."""

    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        number = near.fileno()
        transport, protocol = await connected(loop, near)
        near.close()
        others = socket.socketpair()
        assert number not in (others[0].fileno(), others[1].fileno())
        transport.write(b"to the right one")
        transport.close()
        await protocol.lost
        assert await read_all(loop, far) == b"to the right one"
        with pytest.raises(OSError):
            os.fstat(number)
        for sock in (far, *others):
            sock.close()

    run(loop, main())


def test_an_accepted_connections_socket_object(loop: Any) -> None:
    """It is made when asked for, and gone with the transport."""

    async def main() -> None:
        protocols: list[Recorder] = []

        def factory() -> Recorder:
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        client, client_protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        await until(lambda: bool(protocols))
        transport = await protocols[0].made
        sock = transport.get_extra_info("socket")
        assert sock is transport.get_extra_info("socket")
        assert sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert sock.getpeername() == transport.get_extra_info("peername")
        assert sock.getsockname() == client.get_extra_info("peername")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
        await protocols[0].lost
        assert sock.fileno() == -1
        assert transport.get_extra_info("peername") == client.get_extra_info("sockname")
        await client_protocol.lost
        server.close()
        await server.wait_closed()

    run(loop, main())


@pytest.mark.parametrize("native", [True, False])
def test_sendfile_between_writes(loop: Any, tmp_path: Any, native: bool) -> None:
    content = os.urandom(3_000_000)
    path = tmp_path / "content"
    path.write_bytes(content)

    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        transport, protocol = await connected(loop, near)
        if not native:
            transport._sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK
        reading = asyncio.create_task(read_all(loop, far))
        transport.write(b"before" * 100_000)
        with path.open("rb") as file:
            assert await loop.sendfile(transport, file, fallback=not native) == len(content)
        transport.write(b"after")
        transport.close()
        await protocol.lost
        assert await reading == b"before" * 100_000 + content + b"after"
        far.close()

    run(loop, main())
