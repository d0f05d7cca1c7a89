# SPDX-License-Identifier: MIT
"""Clients in closed loops, that count what they have sent and got no answer to.

Each has one connection, sends the next request in the moment the last is answered, and connects
again when it is told to (`Connection: close`) or finds the connection ended. A request is lost
when its bytes were sent and the connection ended before its answer was whole: the client cannot
know whether it was served. That includes one sent on a connection that the server has just closed.

All on one asyncio loop, so that a client never waits for another.
"""

import asyncio
import base64
import contextlib
import os
import struct
import time
from collections import Counter, deque
from dataclasses import dataclass, field

# Seconds: an answer that takes longer is lost. Longer than any pause of a busy machine.
PATIENCE = 60.0
# Seconds before a refused client tries again.
AGAIN = 0.02
# Of a client's diary, for each request that is lost.
ENTRIES = 12
# Seconds that the driver may not run before that stands in the diaries.
STALL = 0.25


@dataclass
class Loss:
    """One request without an answer."""

    kind: str
    how: str
    at: float  # seconds from the load's beginning
    requests: int  # that the connection had answered before
    worker: str  # the last that answered on it
    diary: list[str]  # what its client has seen last, the oldest first

    def __str__(self) -> str:
        lines = (
            f"{self.kind} lost after {self.at:.3f} s: {self.how}, "
            f"answer {self.requests + 1} of its connection, last of worker {self.worker or '-'}",
            *self.diary,
        )
        return "\n    ".join(lines)


@dataclass
class Count:
    """What the clients have seen."""

    answers: Counter[str] = field(default_factory=Counter)  # by kind
    workers: Counter[str] = field(default_factory=Counter)  # by worker
    lost: list[Loss] = field(default_factory=list)
    refused: int = 0  # connections that were not accepted: nothing was sent
    closes: Counter[int] = field(default_factory=Counter)  # WebSocket close codes
    denied: Counter[int] = field(default_factory=Counter)  # other statuses than 200 and 101

    def lost_by_kind(self) -> Counter[str]:
        return Counter(loss.kind for loss in self.lost)


class Lost(Exception):
    """The connection ended before the answer did; says how."""


class Diary:
    """The last that one client has seen, with the times; and when the driver itself stood still."""

    def __init__(self, began: float, stalls: deque[str]) -> None:
        self._began = began
        self._stalls = stalls
        self._entries: deque[str] = deque(maxlen=ENTRIES)

    def note(self, what: str) -> None:
        self._entries.append(at(self._began, what))

    def lines(self) -> list[str]:
        # All begin with the time, in the same width.
        return sorted([*self._entries, *self._stalls])


def at(began: float, what: str) -> str:
    return f"{time.monotonic() - began:9.3f} s  {what}"


class Load:
    """The clients of one address. `async with` runs them; `stop()` ends each after its answer."""

    def __init__(self, host: str, port: int, **clients: int) -> None:
        """`clients`: how many of each kind: plain, stream, ws, fresh (a connection for each)."""
        self.count = Count()
        self.host, self.port = host, port
        self.began = time.monotonic()
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self._stalls: deque[str] = deque(maxlen=ENTRIES)

    async def __aenter__(self) -> "Load":
        self.began = time.monotonic()
        for kind, number in self._clients.items():
            run = {"ws": self._talk}.get(kind, self._ask)
            self._tasks += [asyncio.create_task(run(kind)) for _ in range(number)]
        self._tasks.append(asyncio.create_task(self._watch_itself()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Let each client have its last answer, then end it."""
        self._ending = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def answered(self, more: int, limit: float = PATIENCE) -> None:
        """Wait until so many more requests have been answered."""
        wanted = sum(self.count.answers.values()) + more
        async with asyncio.timeout(limit):
            while sum(self.count.answers.values()) < wanted:
                await asyncio.sleep(0.01)

    async def _watch_itself(self) -> None:
        while not self._ending:
            before = time.monotonic()
            await asyncio.sleep(STALL / 4)
            late = time.monotonic() - before - STALL / 4
            if late > STALL:
                self._stalls.append(at(self.began, f"the driver stood still for {late:.3f} s"))

    def _lose(self, kind: str, how: str, requests: int, worker: str, diary: Diary) -> None:
        now = time.monotonic() - self.began
        self.count.lost.append(Loss(kind, how, now, requests, worker, diary.lines()))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while not self._ending:
            try:
                return await asyncio.open_connection(self.host, self.port)
            except OSError:
                self.count.refused += 1
                await asyncio.sleep(AGAIN)
        return None

    async def _ask(self, kind: str) -> None:
        path = {"plain": "/", "fresh": "/quick"}.get(kind, f"/{kind}")
        more = "Connection: close\r\n" if kind == "fresh" else ""
        request = f"GET {path} HTTP/1.1\r\nHost: load\r\n{more}\r\n".encode()
        diary = Diary(self.began, self._stalls)
        while (connection := await self._connect()) is not None:
            reader, writer = connection
            diary.note(f"connected, from port {port_of(writer)}")
            requests, worker, goes_on = 0, "", True
            try:
                while goes_on and not self._ending:
                    if requests and reader.at_eof():
                        diary.note("ended, before another request")
                        break
                    writer.write(request)
                    diary.note("asked")
                    async with asyncio.timeout(PATIENCE):
                        status, headers = await read_head(reader)
                        diary.note(f"head: {status}, connection: {headers.get('connection')}")
                        await read_body(reader, headers)
                    requests += 1
                    worker = headers.get("x-worker", "")
                    self.count.workers[worker] += 1
                    if status == 200:
                        self.count.answers[kind] += 1
                    else:
                        self.count.denied[status] += 1
                    diary.note(f"answered by {worker}")
                    goes_on = headers.get("connection", "").lower() != "close"
            except Lost as how:
                self._lose(kind, str(how), requests, worker, diary)
            except TimeoutError:
                self._lose(kind, "no answer", requests, worker, diary)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _talk(self, kind: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        handshake = (
            "GET /ws HTTP/1.1\r\nHost: load\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
        diary = Diary(self.began, self._stalls)
        while (connection := await self._connect()) is not None:
            reader, writer = connection
            diary.note(f"connected, from port {port_of(writer)}")
            messages, worker = 0, ""
            try:
                async with asyncio.timeout(PATIENCE):
                    writer.write(handshake)
                    status, headers = await read_head(reader)
                    diary.note(f"head: {status}")
                    if status != 101:
                        await read_body(reader, headers)
                        self.count.denied[status] += 1
                        await asyncio.sleep(AGAIN)
                        continue
                while not self._ending:
                    writer.write(frame(1, b"hello"))
                    diary.note("sent")
                    async with asyncio.timeout(PATIENCE):
                        opcode, payload = await read_message(reader, writer)
                    diary.note(f"frame {opcode}: {payload!r}")
                    if opcode == 8:
                        self.count.closes[struct.unpack("!H", payload[:2])[0]] += 1
                        writer.write(frame(8, payload[:2]))
                        break
                    messages += 1
                    worker = payload.split()[0].decode()
                    self.count.answers[kind] += 1
                    self.count.workers[worker] += 1
            except Lost as how:
                self._lose(kind, str(how), messages, worker, diary)
            except TimeoutError:
                self._lose(kind, "no answer", messages, worker, diary)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


def port_of(writer: asyncio.StreamWriter) -> int:
    port: int = writer.get_extra_info("sockname")[1]
    return port


async def exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise Lost(
            "end of the connection" + (" within an answer" if error.partial else "")
        ) from None
    except OSError as error:
        raise Lost(type(error).__name__) from None


async def until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    try:
        return await reader.readuntil(end)
    except asyncio.IncompleteReadError as error:
        raise Lost(
            "end of the connection" + (" within an answer" if error.partial else "")
        ) from None
    except OSError as error:
        raise Lost(type(error).__name__) from None


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await until(reader, b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split()[1]), headers


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await until(reader, b"\r\n"), 16):
            await exactly(reader, size + 2)
        await exactly(reader, 2)
    elif "content-length" in headers:
        await exactly(reader, int(headers["content-length"]))
    else:
        await reader.read()


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def read_message(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[int, bytes]:
    """The next frame that is no ping; pings are answered."""
    while True:
        opcode, payload = await read_frame(reader)
        if opcode != 9:
            return opcode, payload
        writer.write(frame(10, payload))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await exactly(reader, 2)
    if size == 126:
        size = struct.unpack("!H", await exactly(reader, 2))[0]
    return first & 0x0F, await exactly(reader, size)
