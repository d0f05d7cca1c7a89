# SPDX-License-Identifier: MIT
"""What a loop is made to do, so many times, in process. Each case is a coroutine function."""

import asyncio
import functools
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import cast

from bench.loop import echo_apis

# How many callbacks, timers or tasks wait at once in the cases that pile them up.
BATCH = 1000

# Bytes through a child process and back.
PIPED = 4 << 20

Case = Callable[[int], Awaitable[None]]


async def call_soon_chain(count: int) -> None:
    """One callback a turn: each schedules the next."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def step() -> None:
        nonlocal count
        count -= 1
        if count > 0:
            loop.call_soon(step)
        else:
            done.set_result(None)

    loop.call_soon(step)
    await done


async def call_soon_burst(count: int) -> None:
    """BATCH callbacks a turn."""
    loop = asyncio.get_running_loop()

    def callback() -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(callback)
        await asyncio.sleep(0)


async def call_soon_burst_args(count: int) -> None:
    """BATCH callbacks a turn, with two arguments each."""
    loop = asyncio.get_running_loop()

    def callback(first: int, second: str) -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(callback, 1, "two")
        await asyncio.sleep(0)


async def call_later_cancel(count: int) -> None:
    """A timer made and cancelled at once, as a time-out that does not come to pass."""
    loop = asyncio.get_running_loop()

    def callback() -> None:
        pass

    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_later(10.0, callback).cancel()
        await asyncio.sleep(0)


async def create_task_await(count: int) -> None:
    """A task at a time, awaited."""
    loop = asyncio.get_running_loop()

    async def nothing() -> None:
        pass

    for _ in range(count):
        await loop.create_task(nothing())


async def gather(count: int) -> None:
    """BATCH tasks at a time; the operation counted is one task."""

    async def nothing() -> None:
        pass

    for _ in range(count // BATCH):
        await asyncio.gather(*[nothing() for _ in range(BATCH)])


async def sleep_zero(count: int) -> None:
    """A bare yield to the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def call_soon_threadsafe(count: int) -> None:
    """Callbacks from another thread; CPU of both threads is counted."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def callback() -> None:
        pass

    def other_thread() -> None:
        for _ in range(count - 1):
            loop.call_soon_threadsafe(callback)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=other_thread)
    thread.start()
    await done
    thread.join()


async def getaddrinfo_numeric(count: int) -> None:
    """An address that needs no resolver."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


async def run_in_executor(count: int) -> None:
    """A function run in a thread of the default executor, one at a time."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, int)


class EchoClient(asyncio.Protocol):
    """Sends a message, waits until it is back whole, and so on."""

    def __init__(self, size: int, count: int) -> None:
        self.message = bytes(size)
        self.left = count
        self.missing = size
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        """Send the next once this one is complete."""
        self.missing -= len(data)
        if self.missing == 0:
            self.missing = len(self.message)
            self.left -= 1
            if self.left > 0:
                self.transport.write(self.message)
            else:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for it."""
        if self.left == 0:
            self.done.set_result(None)
        else:
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


async def echo_protocol(size: int, count: int) -> None:
    """A protocol on each side."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: echo_apis.Echo(lambda: None), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    _, client = await loop.create_connection(lambda: EchoClient(size, count), *address)
    await client.done
    server.close()


async def echo_streams(size: int, count: int) -> None:
    """Streams on each side."""
    ended = asyncio.Event()
    port = await echo_apis.serve_streams(ended.set)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = bytes(size)
    for _ in range(count):
        writer.write(message)
        await reader.readexactly(size)
    writer.close()
    await ended.wait()


async def echo_sock(size: int, count: int) -> None:
    """Sockets on each side."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    port = await echo_apis.serve("sock", size, ended.set)
    message = bytes(size)
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            await loop.sock_sendall(client, message)
            missing = size
            while missing > 0:
                missing -= len(await loop.sock_recv(client, echo_apis.RECEIVE))
    await ended.wait()


async def connect_close(count: int) -> None:
    """A connection, made and closed by the client; both sides."""
    loop = asyncio.get_running_loop()

    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost = loop.create_future()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(None)

    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for _ in range(count):
        transport, client = await loop.create_connection(Client, *address)
        transport.close()
        await client.lost
    server.close()


async def subprocess_spawn(count: int) -> None:
    """A process that does nothing, awaited."""
    for _ in range(count):
        process = await asyncio.create_subprocess_exec("/bin/true")
        await process.wait()


async def subprocess_pipes(count: int) -> None:
    """PIPED bytes through `cat`, which is started for it; its CPU is not counted."""
    message = bytes(PIPED)
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(message)
        if len(output) != PIPED:
            raise RuntimeError("cat has lost some")


CASES: dict[str, Case] = {
    "call_soon-chain": call_soon_chain,
    "call_soon-burst": call_soon_burst,
    "call_soon-burst-args": call_soon_burst_args,
    "call_later-cancel": call_later_cancel,
    "create_task-await": create_task_await,
    "gather": gather,
    "sleep-0": sleep_zero,
    "call_soon_threadsafe": call_soon_threadsafe,
    "run_in_executor": run_in_executor,
    "getaddrinfo-numeric": getaddrinfo_numeric,
    "protocol-1k": functools.partial(echo_protocol, 1024),
    "protocol-100k": functools.partial(echo_protocol, 100_000),
    "streams-1k": functools.partial(echo_streams, 1024),
    "streams-100k": functools.partial(echo_streams, 100_000),
    "sock-1k": functools.partial(echo_sock, 1024),
    "sock-100k": functools.partial(echo_sock, 100_000),
    "connect-close": connect_close,
    "subprocess-spawn": subprocess_spawn,
    "subprocess-pipes": subprocess_pipes,
}

TITLES = {
    "call_soon-chain": "call_soon chain",
    "call_soon-burst": f"call_soon burst of {BATCH}",
    "call_soon-burst-args": f"call_soon burst of {BATCH}, 2 arguments",
    "call_later-cancel": "call_later + cancel",
    "create_task-await": "create_task + await",
    "gather": f"gather of {BATCH}, per task",
    "sleep-0": "sleep(0)",
    "call_soon_threadsafe": "call_soon_threadsafe",
    "run_in_executor": "run_in_executor",
    "getaddrinfo-numeric": "getaddrinfo of a numeric address",
    "protocol-1k": "echo by protocols, 1 KiB",
    "protocol-100k": "echo by protocols, 100 KB",
    "streams-1k": "echo by streams, 1 KiB",
    "streams-100k": "echo by streams, 100 KB",
    "sock-1k": "echo by sock_*, 1 KiB",
    "sock-100k": "echo by sock_*, 100 KB",
    "connect-close": "connect + close",
    "subprocess-spawn": "subprocess spawn",
    "subprocess-pipes": "subprocess pipes, 4 MiB there and back",
}

# Operations to begin with, where it is not BATCH.
FIRST = {
    "run_in_executor": 200,
    "protocol-1k": 200,
    "protocol-100k": 100,
    "streams-1k": 200,
    "streams-100k": 100,
    "sock-1k": 200,
    "sock-100k": 100,
    "connect-close": 100,
    "subprocess-spawn": 5,
    "subprocess-pipes": 2,
}
