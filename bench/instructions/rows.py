# SPDX-License-Identifier: MIT
"""The operations whose instructions and system calls are counted.

Each is a coroutine function that is given numbers of operations one after the other and does that
many; what happens between two numbers (marks, see worker.py) is not its business. What it sets up
before the first is counted nowhere; what every number costs once, whatever it is, falls out with
the difference of two counts.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from bench.loop import cases, echo_apis

Run = Callable[[Iterator[int]], Awaitable[None]]

KIB = 1024
LARGE = 100_000
CHUNK = 64 * KIB


class Row(NamedTuple):
    """One operation."""

    title: str
    run: Run
    counts: tuple[int, int]
    """Operations of the two counts whose difference is taken, under callgrind."""
    needs_peer: bool = False
    """The worker's output goes to peer.py, which is the other end."""


def repeat(case: cases.Case) -> Run:
    """One of the timed cases."""

    async def run(counts: Iterator[int]) -> None:
        for count in counts:
            await case(count)

    return run


def echo(api: str, size: int) -> Run:
    """A message to a server and back on one connection; the server is counted."""

    async def run(counts: Iterator[int]) -> None:
        ended: asyncio.Queue[None] = asyncio.Queue()
        port = await echo_apis.serve(api, size, lambda: ended.put_nowait(None))
        command = "tls" if api == "tls" else "echo"
        for count in counts:
            print(command, port, size, count, flush=True)
            await ended.get()

    return run


async def threadsafe_wake_up(counts: Iterator[int]) -> None:
    """Another thread wakes the sleeping loop and waits until its callback has run; both counted."""
    loop = asyncio.get_running_loop()
    for count in counts:
        ran = threading.Lock()
        ran.acquire()
        finished = loop.create_future()

        def other_thread(
            count: int = count,
            ran: threading.Lock = ran,
            finished: asyncio.Future[None] = finished,
        ) -> None:
            for _ in range(count):
                loop.call_soon_threadsafe(ran.release)
                ran.acquire()
            loop.call_soon_threadsafe(finished.set_result, None)

        thread = threading.Thread(target=other_thread)
        thread.start()
        await finished
        thread.join()


async def connect_close(counts: Iterator[int]) -> None:
    """A connection made by create_connection() and closed; the kernel answers, nobody accepts."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    address = listener.getsockname()

    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost = loop.create_future()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(None)

    for count in counts:
        for _ in range(count):
            transport, protocol = await loop.create_connection(Client, *address)
            transport.close()
            await protocol.lost


async def accept_close(counts: Iterator[int]) -> None:
    """A connection accepted by create_server() and closed at once."""
    loop = asyncio.get_running_loop()
    left = 0
    done = loop.create_future()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                done.set_result(None)

    server = await loop.create_server(Server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for count in counts:
        left, done = count, loop.create_future()
        print("connect", port, count, flush=True)
        await done


def datagrams(peers: int) -> Run:
    """UDP datagrams of 1 KiB echoed; each of `peers` sends one, then all wait for theirs."""

    async def run(counts: Iterator[int]) -> None:
        loop = asyncio.get_running_loop()
        left = 0
        done = loop.create_future()

        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                nonlocal left
                self.transport.sendto(data, addr)
                left -= 1
                if left == 0:
                    done.set_result(None)

        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        for count in counts:
            left, done = count, loop.create_future()
            print("datagrams", port, KIB, count, peers, flush=True)
            await done
        transport.close()

    return run


async def spawn(counts: Iterator[int]) -> None:
    """A process that does nothing, awaited. The child is not counted."""
    for count in counts:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()


async def pipes(counts: Iterator[int]) -> None:
    """CHUNK bytes to `cat` and back through its pipes. cat is not counted."""
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2 * CHUNK
    )
    assert process.stdin is not None
    assert process.stdout is not None
    message = b"p" * CHUNK
    for count in counts:
        for _ in range(count):
            process.stdin.write(message)
            await process.stdout.readexactly(CHUNK)
    process.stdin.close()
    await process.wait()


MANY = (2000, 6000)
SOME = (200, 600)
FEW = (40, 120)

ROWS = {
    "chain": Row("call_soon chain", repeat(cases.call_soon_chain), MANY),
    "burst": Row("call_soon burst", repeat(cases.call_soon_burst), MANY),
    "timer": Row("call_later + cancel", repeat(cases.call_later_cancel), MANY),
    "sleep": Row("sleep(0)", repeat(cases.sleep_zero), MANY),
    "task": Row("create_task + await", repeat(cases.create_task_await), MANY),
    "gather": Row("gather, per task", repeat(cases.gather), MANY),
    "threadsafe": Row("call_soon_threadsafe wake-up", threadsafe_wake_up, SOME),
    "executor": Row("run_in_executor", repeat(cases.run_in_executor), SOME),
    "getaddrinfo": Row("numeric getaddrinfo", repeat(cases.getaddrinfo_numeric), SOME),
    "protocol-1k": Row("echo, protocol, 1 KiB", echo("protocol", KIB), SOME, True),
    "two-writes-1k": Row("echo, protocol, 1 KiB in 2 writes", echo("two-writes", KIB), SOME, True),
    "buffered-1k": Row("echo, buffered protocol, 1 KiB", echo("buffered", KIB), SOME, True),
    "streams-1k": Row("echo, streams, 1 KiB", echo("streams", KIB), SOME, True),
    "sock-1k": Row("echo, sock_*, 1 KiB", echo("sock", KIB), SOME, True),
    "tls-1k": Row("echo, TLS, 1 KiB", echo("tls", KIB), SOME, True),
    "protocol-100k": Row("echo, protocol, 100 KB", echo("protocol", LARGE), FEW, True),
    "buffered-100k": Row("echo, buffered protocol, 100 KB", echo("buffered", LARGE), FEW, True),
    "streams-100k": Row("echo, streams, 100 KB", echo("streams", LARGE), FEW, True),
    "sock-100k": Row("echo, sock_*, 100 KB", echo("sock", LARGE), FEW, True),
    "tls-100k": Row("echo, TLS, 100 KB", echo("tls", LARGE), FEW, True),
    "udp-1k": Row("echo, UDP, 1 KiB", datagrams(1), SOME, True),
    "udp-peers-1k": Row("echo, UDP, 1 KiB, 20 peers at once", datagrams(20), SOME, True),
    "connect": Row("connect + close", connect_close, FEW),
    "accept": Row("accept + close", accept_close, FEW, True),
    "spawn": Row("subprocess spawn", spawn, (3, 9)),
    "pipes": Row("subprocess pipes, 64 KiB there and back", pipes, FEW),
}
