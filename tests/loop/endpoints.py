# SPDX-License-Identifier: MIT
"""What the tests of datagrams share: a recording protocol, endpoints, raw peers."""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.loop.support import LIMIT, LOOP_NAME

SENDS_EMPTY = sys.version_info >= (3, 13)
HEADER = 8 if SENDS_EMPTY else 0
"""Bytes that asyncio adds to each waiting datagram from Python 3.13 on."""


headers_come_off = pytest.mark.skipif(
    LOOP_NAME == "asyncio" and sys.version_info[:3] == (3, 13, 0),
    reason="asyncio of 3.13.0 counts headers in and never off again",
)


class Endpoint(asyncio.DatagramProtocol):
    """Notes each call in `calls` and what comes in `received`."""

    def __init__(self, on_datagram: Callable[[Any, bytes, Any], None] | None = None) -> None:
        self.calls: list[str] = []
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self._on_datagram = on_datagram

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.calls.append("datagram")
        self.received.append((data, addr))
        if self._on_datagram is not None:
            self._on_datagram(self, data, addr)

    def error_received(self, exc: Exception) -> None:
        self.calls.append("error")
        self.errors.append(exc)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(exc)

    @property
    def data(self) -> list[bytes]:
        return [data for data, _ in self.received]


def echo(endpoint: Endpoint, data: bytes, addr: Any) -> None:
    endpoint.transport.sendto(data, addr)


async def open_endpoint(
    on_datagram: Callable[[Any, bytes, Any], None] | None = None, **keywords: Any
) -> tuple[Any, Endpoint]:
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(lambda: Endpoint(on_datagram), **keywords)


async def open_udp(
    on_datagram: Callable[[Any, bytes, Any], None] | None = None,
) -> tuple[Any, Endpoint]:
    return await open_endpoint(on_datagram, local_addr=("127.0.0.1", 0))


async def open_pair(
    on_datagram: Callable[[Any, bytes, Any], None] | None = None,
) -> tuple[Any, Endpoint, socket.socket]:
    """A transport on one end of a pair of Unix sockets, of which none is lost; the other raw."""
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.setblocking(False)
    transport, protocol = await open_endpoint(on_datagram, sock=ours)
    return transport, protocol, peer


async def open_connected(directory: str, size: int = 0) -> tuple[Any, Endpoint, socket.socket]:
    """A transport that is connected to a raw Unix socket with a name."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.setblocking(False)
    peer.bind(f"{directory}/peer")
    transport, protocol = await open_endpoint(
        family=socket.AF_UNIX, remote_addr=f"{directory}/peer", local_addr=f"{directory}/ours"
    )
    if size:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    return transport, protocol, peer


@contextlib.contextmanager
def temporary() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cam") as directory:  # short: 108 bytes are a path
        yield directory


def fill(transport: Any, item: bytes = b"x" * 1000) -> int:
    """Sends until datagrams wait in the transport; how many the kernel took."""
    taken = 0
    while not transport.get_write_buffer_size():
        transport.sendto(item)
        taken += 1
        assert taken < 100_000
    return taken - 1


def drain(peer: socket.socket) -> list[bytes]:
    items = []
    with contextlib.suppress(BlockingIOError):
        while True:
            items.append(peer.recv(1 << 18))
    return items


async def drain_until(peer: socket.socket, done: Callable[[list[bytes]], bool]) -> list[bytes]:
    items: list[bytes] = []
    async with asyncio.timeout(LIMIT):
        while not done(items):
            items += drain(peer)
            await asyncio.sleep(0)
    return items


async def finish(transport: Any, protocol: Endpoint) -> None:
    transport.abort()
    await protocol.lost
