# SPDX-License-Identifier: MIT
"""Who owns a descriptor: everything opened, cancelled, closed and reused at random, bytes checked.

Each connection, pipe and datagram carries an identity that no other has, in every sixteen bytes.
A byte that arrives anywhere but where it was sent to is counted as misdirected. Descriptors are
given back the moment they can be, by each of the ways there are (close, abort, cancel, reset,
drop), while threads open and close others, so that numbers are reused all the time.
"""

import asyncio
import contextlib
import gc
import os
import random
import socket
import struct
import subprocess
import threading
import time
import traceback
from collections import Counter

from tests.loop.support import new_loop

FRAMES = 257
ACTORS = 48
PATIENCE = 60.0
"""Seconds for one actor's life, after which it is taken to hang."""


class Misdirected(Exception):
    """Bytes that were sent to somebody else, or in another order."""


class Identity:
    """Endless bytes of one sender, given out and checked in order."""

    issued = 0

    def __init__(self) -> None:
        Identity.issued += 1
        self.number = Identity.issued
        cycle = b"".join(struct.pack(">QQ", self.number, frame) for frame in range(FRAMES))
        self._length = len(cycle)
        self._bytes = cycle
        self.sent = 0
        self.received = 0

    def _piece(self, offset: int, size: int) -> bytes:
        begin = offset % self._length
        whole = self._bytes[begin:] + self._bytes * (size // self._length + 1)
        return whole[:size]

    def take(self, size: int) -> bytes:
        """The next bytes to send."""
        piece = self._piece(self.sent, size)
        self.sent += size
        return piece

    def check(self, data: bytes) -> None:
        """That these are the next bytes."""
        if bytes(data) != self._piece(self.received, len(data)):
            raise Misdirected(f"identity {self.number} at {self.received}: {bytes(data[:64])!r}")
        self.received += len(data)


class Stress:
    """One run: its dice, its counts, and what went wrong."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.misdirected: list[str] = []
        self.reports: list[str] = []
        self.ended = False
        self.servers: dict[int, tuple[Identity, Identity]] = {}
        self.address: tuple[str, int] = ("", 0)
        self.path = ""

    def check(self, identity: Identity, data: bytes) -> None:
        """Count what arrived; a misdirected byte is noted and raised."""
        self.counts["bytes"] += len(data)
        try:
            identity.check(data)
        except Misdirected as error:
            self.misdirected.append(str(error))
            raise

    def size(self) -> int:
        return self.chance.choice((1, 16, 100, 1000, 5000, 20_000, 100_000))

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.choice((0, 0, 0, 0.0005, 0.002)))


# ---- transports ----


class Server(asyncio.Protocol):
    """Learns who it talks to from the first eight bytes, then checks and answers."""

    def __init__(self, stress: Stress) -> None:
        self.stress = stress
        self.head = bytearray()
        self.pair: tuple[Identity, Identity] | None = None
        self.blocked = False

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.stress.counts["accepted"] += 1

    def data_received(self, data: bytes) -> None:
        if self.pair is None:
            self.head += data
            if len(self.head) < 8:
                return
            (number,) = struct.unpack(">Q", self.head[:8])
            self.pair = self.stress.servers.get(number)
            if self.pair is None:
                self.stress.misdirected.append(f"a server was told the number {number}")
                self.transport.abort()
                return
            data = bytes(self.head[8:])
        self.stress.check(self.pair[0], data)
        chance = self.stress.chance
        if chance.random() < 0.02:
            chance.choice((self.transport.abort, self.transport.close))()
        elif not self.blocked:
            self.transport.write(self.pair[1].take(max(1, len(data))))

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False


class Client(asyncio.Protocol):
    """Checks what the server sends."""

    def __init__(self, stress: Stress, identity: Identity) -> None:
        self.stress = stress
        self.identity = identity
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.stress.check(self.identity, data)

    def connection_lost(self, exc) -> None:
        self.lost.set_result(None)


@contextlib.contextmanager
def acquainted(stress: Stress):
    """The identities of a connection's two directions, known to the servers by their number."""
    pair = Identity(), Identity()
    stress.servers[pair[0].number] = pair
    try:
        yield pair
    finally:
        # The server's side may still have bytes of it: the number stays known a little.
        asyncio.get_running_loop().call_later(5, stress.servers.pop, pair[0].number, None)


def reset(transport) -> None:
    """Have the kernel send RST when this is closed."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def by_protocol(stress: Stress) -> None:
    loop = asyncio.get_running_loop()
    chance = stress.chance
    with acquainted(stress) as (there, back):
        if chance.random() < 0.5:
            connect = loop.create_connection(lambda: Client(stress, back), *stress.address)
        else:
            connect = loop.create_unix_connection(lambda: Client(stress, back), stress.path)
        task = asyncio.ensure_future(connect)
        if chance.random() < 0.15:
            await stress.pause()
            task.cancel()
        try:
            transport, client = await task
        except asyncio.CancelledError:
            stress.counts["connects cancelled"] += 1
            return
        transport.write(struct.pack(">Q", there.number))
        for _ in range(chance.randrange(1, 12)):
            transport.write(there.take(stress.size()))
            if chance.random() < 0.2:
                transport.pause_reading()
                await stress.pause()
                transport.resume_reading()
            await stress.pause()
            if client.lost.done():
                break
        how = chance.randrange(5)
        if how == 0:
            transport.abort()
        elif how == 1:
            transport.close()
        elif how == 2 and not transport.is_closing():
            reset(transport)
        elif how == 3 and not transport.is_closing():
            transport.write_eof()
            await stress.pause()
            transport.abort()
        else:
            transport.close()
            transport.abort()
        if chance.random() < 0.7:
            await client.lost
    stress.counts["protocol clients"] += 1


async def by_streams(stress: Stress) -> None:
    chance = stress.chance
    with acquainted(stress) as (there, back):
        reader, writer = await asyncio.open_connection(*stress.address)
        try:
            writer.write(struct.pack(">Q", there.number))
            for _ in range(chance.randrange(1, 8)):
                writer.write(there.take(stress.size()))
                await writer.drain()
                read = asyncio.ensure_future(reader.read(chance.choice((1, 1000, 100_000))))
                if chance.random() < 0.2:
                    await stress.pause()
                    read.cancel()
                try:
                    data = await read
                except asyncio.CancelledError:
                    continue
                if not data:
                    break
                stress.check(back, data)
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            writer.close()
            if chance.random() < 0.5:
                try:
                    await writer.wait_closed()
                except ConnectionError:
                    pass
    stress.counts["stream clients"] += 1


# ---- raw sockets ----


async def by_sock_methods(stress: Stress) -> None:
    """sock_recv, sock_recv_into and sock_sendall on a pair, cancelled at any moment."""
    loop = asyncio.get_running_loop()
    chance = stress.chance
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    identity = Identity()

    async def send() -> None:
        while not stress.ended:
            # A cancelled sendall leaves its place unknown: it ends this direction.
            await loop.sock_sendall(a, identity.take(stress.size()))
            await stress.pause()

    async def receive() -> None:
        room = bytearray(65536)
        for _ in range(chance.randrange(1, 20)):
            if chance.random() < 0.5:
                data = await loop.sock_recv(b, 65536)
            else:
                count = await loop.sock_recv_into(b, room)
                data = bytes(room[:count])
            stress.check(identity, data)

    sender = asyncio.ensure_future(send())
    receiver = asyncio.ensure_future(receive())
    if chance.random() < 0.4:
        await asyncio.sleep(chance.random() * 0.004)
        receiver.cancel()
    await asyncio.wait([receiver])
    sender.cancel()
    if chance.random() < 0.5:
        await asyncio.wait([sender])
    # Else its cancellation is still to be delivered when the number is given back.
    a.close()
    b.close()
    # The number at once for somebody else.
    c, d = socket.socketpair()
    c.setblocking(False)
    other = Identity()
    d.send(other.take(100))
    stress.check(other, await loop.sock_recv(c, 100))
    c.close()
    d.close()
    await asyncio.wait([sender])
    for task in (sender, receiver):
        if not task.cancelled() and isinstance(task.exception(), Misdirected):
            raise task.exception()
    stress.counts["sock_* pairs"] += 1


async def by_accept(stress: Stress) -> None:
    """sock_accept and sock_connect, cancelled, with the listener closed straight after."""
    loop = asyncio.get_running_loop()
    chance = stress.chance
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    accepting = asyncio.ensure_future(loop.sock_accept(listening))
    if chance.random() < 0.4:
        await stress.pause()
        accepting.cancel()
        listening.close()
        await asyncio.wait([accepting])
        stress.counts["accepts cancelled"] += 1
        return
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, listening.getsockname())
    server, _ = await accepting
    listening.close()
    identity = Identity()
    await loop.sock_sendall(client, identity.take(1000))
    client.close()
    received = 0
    while data := await loop.sock_recv(server, 400):
        stress.check(identity, data)
        received += len(data)
    assert received == 1000, received
    server.close()
    stress.counts["accepts"] += 1


async def by_watchers(stress: Stress) -> None:
    """add_reader and add_writer; the descriptor closed with or without being removed."""
    loop = asyncio.get_running_loop()
    chance = stress.chance
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    identity = Identity()
    waiting = loop.create_future()
    left = chance.randrange(1, 20)

    def readable() -> None:
        nonlocal left
        try:
            data = a.recv(chance.choice((10, 1000, 65536)))
        except BlockingIOError:
            return
        except OSError as error:
            stress.misdirected.append(f"a closed descriptor's reader was called: {error}")
            return
        try:
            stress.check(identity, data)
        except Misdirected:
            pass
        left -= 1
        if left <= 0 and not waiting.done():
            waiting.set_result(None)

    def writable() -> None:
        try:
            b.send(identity._piece(identity.sent, 700))
        except BlockingIOError:
            return
        except OSError as error:
            stress.misdirected.append(f"a closed descriptor's writer was called: {error}")
            return
        identity.sent += 700

    loop.add_reader(a, readable)
    loop.add_writer(b, writable)
    if chance.random() < 0.3:
        await stress.pause()
    else:
        await waiting
    loop.remove_writer(b)
    if chance.random() < 0.7:
        loop.remove_reader(a)
        a.close()
    else:
        # As libpq does: closed first, told afterwards, by the number. No turn in between.
        number = a.fileno()
        a.close()
        loop.remove_reader(number)
    b.close()
    stress.counts["watched pairs"] += 1


# ---- datagrams, pipes, children ----


class Datagrams(asyncio.DatagramProtocol):
    """Each datagram is the beginning of its sender's bytes."""

    def __init__(self, stress: Stress) -> None:
        self.stress = stress
        self.known: dict[bytes, Identity] = {}
        self.count = 0
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr) -> None:
        self.count += 1
        self.stress.counts["datagrams"] += 1
        self.stress.counts["bytes"] += len(data)
        identity = self.known.get(data[:8])
        if identity is None or data != identity._piece(0, len(data)):
            self.stress.misdirected.append(f"a datagram of another: {data[:32]!r}")

    def error_received(self, exc) -> None:
        self.stress.counts["datagram errors"] += 1

    def connection_lost(self, exc) -> None:
        self.lost.set_result(None)


async def by_datagrams(stress: Stress) -> None:
    loop = asyncio.get_running_loop()
    chance = stress.chance
    receiving, server = await loop.create_datagram_endpoint(
        lambda: Datagrams(stress), ("127.0.0.1", 0)
    )
    sending, client = await loop.create_datagram_endpoint(
        lambda: Datagrams(stress), remote_addr=receiving.get_extra_info("sockname")
    )
    identity = Identity()
    server.known[identity._piece(0, 8)] = identity
    for _ in range(chance.randrange(1, 20)):
        sending.sendto(identity._piece(0, chance.choice((16, 100, 1400))))
        if chance.random() < 0.4:
            await stress.pause()
    first, second = (receiving, sending) if chance.random() < 0.5 else (sending, receiving)
    chance.choice((first.close, first.abort))()
    await stress.pause()
    chance.choice((second.close, second.abort))()
    if chance.random() < 0.7:
        await asyncio.gather(server.lost, client.lost)
    stress.counts["datagram pairs"] += 1


async def by_pipes(stress: Stress) -> None:
    loop = asyncio.get_running_loop()
    chance = stress.chance
    reading, writing = os.pipe()
    identity = Identity()
    source, client = await loop.connect_read_pipe(
        lambda: Client(stress, identity), open(reading, "rb", buffering=0)
    )
    sink, _ = await loop.connect_write_pipe(asyncio.Protocol, open(writing, "wb", buffering=0))
    for _ in range(chance.randrange(1, 8)):
        sink.write(identity.take(chance.choice((1, 100, 5000))))
        await stress.pause()
    if chance.random() < 0.5:
        chance.choice((sink.close, sink.abort))()
        await client.lost
    else:
        source.close()
        sink.abort()
        await client.lost
    stress.counts["pipes"] += 1


async def by_child(stress: Stress) -> None:
    chance = stress.chance
    if chance.random() < 0.9:
        return  # dear
    identity, wanted = Identity(), chance.choice((10, 1000, 200_000))
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if chance.random() < 0.3:
        process.kill()
        await process.wait()
        process._transport.close()
    else:
        out, _ = await process.communicate(identity.take(wanted))
        stress.check(identity, out)
        assert len(out) == wanted
    stress.counts["children"] += 1


async def by_churn(stress: Stress) -> None:
    """Descriptors of no interest to the loop, to move the numbers on."""
    held = []
    for _ in range(stress.chance.randrange(1, 10)):
        held.append(os.open("/dev/null", os.O_RDONLY))
        if stress.chance.random() < 0.3:
            await stress.pause()
    stress.chance.shuffle(held)
    for number in held:
        os.close(number)


def elsewhere(stress: Stress) -> None:
    """A thread whose sockets no loop knows: nobody else may read or write them, nor close them."""
    while not stress.ended:
        identity = Identity()
        a, b = socket.socketpair()
        with a, b:
            for _ in range(20):
                try:
                    a.sendall(identity.take(500))
                    data = b.recv(500, socket.MSG_WAITALL)
                    identity.check(data)
                    stress.counts["bytes"] += len(data)
                except (OSError, Misdirected) as error:
                    stress.misdirected.append(f"a thread's own socket: {error!r}")
                    return
                time.sleep(0.0002)
        stress.counts["threads' pairs"] += 1


KINDS = (
    by_protocol,
    by_protocol,
    by_streams,
    by_sock_methods,
    by_sock_methods,
    by_accept,
    by_watchers,
    by_watchers,
    by_datagrams,
    by_pipes,
    by_child,
    by_churn,
)


async def play(stress: Stress, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Server(stress), "127.0.0.1", 0),
        await loop.create_unix_server(lambda: Server(stress), f"\0camshaft-{os.getpid()}"),
    ]
    stress.address = servers[0].sockets[0].getsockname()
    stress.path = f"\0camshaft-{os.getpid()}"
    deadline = loop.time() + seconds

    async def actor() -> None:
        while loop.time() < deadline and not stress.misdirected:
            kind = stress.chance.choice(KINDS)
            try:
                await asyncio.wait_for(kind(stress), PATIENCE)
            except Misdirected:
                return
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                stress.reports.append(f"{kind.__name__}: {error!r} at {where.name}:{where.lineno}")
                return

    threads = [threading.Thread(target=elsewhere, args=(stress,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        await asyncio.gather(*(actor() for _ in range(ACTORS)))
    finally:
        stress.ended = True
        for server in servers:
            server.close()
        for thread in threads:
            await asyncio.to_thread(thread.join)


def run(seconds: float, seed: int) -> tuple[bool, str]:
    """(whether a promise was broken, the counts in words)."""
    stress = Stress(seed)
    loop = new_loop()

    def report(loop, context) -> None:
        exception = context.get("exception")
        if not isinstance(exception, Misdirected):
            stress.reports.append(f"{context['message']}: {exception!r}")

    loop.set_exception_handler(report)
    before = len(os.listdir("/proc/self/fd"))
    try:
        loop.run_until_complete(play(stress, seconds))
        # Connections whose other side has gone end by themselves.
        deadline = time.monotonic() + PATIENCE
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
            loop.run_until_complete(asyncio.sleep(0.05))
            gc.collect()
        left = len(os.listdir("/proc/self/fd")) - before
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    text = ", ".join(f"{count:,} {what}" for what, count in sorted(stress.counts.items()))
    text += f"; {len(stress.misdirected)} misdirected, {left} descriptors left"
    for line in (stress.misdirected + stress.reports)[:10]:
        text += f"\n  {line}"
    return bool(stress.misdirected or stress.reports or left), text
