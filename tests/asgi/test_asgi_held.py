# SPDX-License-Identifier: MIT
"""What a connection holds: of a body nobody reads, of requests sent ahead, and when it is idle."""

import asyncio
import fcntl
import gc
import socket
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.asgi import websocket
from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, LOOPS, Served, answer, echo, get, read_body
from tests.asgi.websocket import BINARY, frame, open_websocket

HIGH = 64 * 1024


@pytest.fixture
def ours(start: Serve, loop_name: str) -> Serve:
    """On another loop the size of a read is not ours to choose."""
    if loop_name != "camshaft":
        pytest.skip("asyncio's transport reads as much as it likes: docs/server/limits.md")
    return start


def fill(served: Served, head: bytes, data: bytes) -> int:
    """Send until the server takes no more; return how many bytes are in the kernel or beyond."""
    sock = served.connect().sock
    sock.sendall(head)
    sock.setblocking(False)
    sent = len(head)
    for _ in range(3):
        try:
            while True:
                sent += sock.send(data)
        except BlockingIOError:
            served.run(asyncio.sleep(0.2))
    served.clients.append(sock)  # type: ignore[attr-defined]
    return sent


def unread(sock_port: int, served: Served) -> int:
    """Bytes that wait in the server's kernel, by the pairs of /proc/net/tcp."""
    total = 0
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            local = int(fields[1].split(":")[1], 16)
            remote = int(fields[2].split(":")[1], 16)
            transmit, receive = (int(part, 16) for part in fields[4].split(":"))
            if local == served.port and remote == sock_port:
                total += receive
            if local == sock_port and remote == served.port:
                total += transmit
    return total


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [100, 5000, 1 << 20])
def test_body_that_nobody_reads(ours: Serve, size: int, chunked: bool) -> None:
    """At most 64 KiB of it are in the process; the rest is in kernels, counted there."""
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send)

    served = ours(app)
    served.clients = []  # type: ignore[attr-defined]
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000000000000"
    head = get("/", framing, method="POST")
    data = b"%x\r\n%s\r\n" % (size, bytes(size)) if chunked else bytes(size)
    sent = fill(served, head, data)
    [sock] = served.clients  # type: ignore[attr-defined]
    held = sent - len(head) - unread(sock.getsockname()[1], served)
    held = held * size // len(data)  # without what frames the chunks, which is not kept
    assert HIGH // 2 < held <= HIGH
    sock.close()
    served.call(gate.set)
    served.until(lambda: served.http.connections == 0)


def test_body_that_is_read_comes_in_large_pieces(ours: Serve) -> None:
    """The bound is on what nobody waits for: who waits gets all that a read brings."""
    sizes: list[int] = []
    ready = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            ready.set()
            event = await receive()
            sizes.append(len(event["body"]))
            more = event["more_body"]
        await answer(send)

    served = ours(app)
    with served.connect() as client:
        client.send(get("/", "Content-Length: 20000000", method="POST"))
        served.run(ready.wait())
        client.send(bytes(20_000_000))
        assert client.read_response().status == 200
    assert sum(sizes) == 20_000_000
    assert max(sizes) > HIGH


def test_requests_sent_ahead(ours: Serve) -> None:
    """At most 64 KiB of what comes behind a request are in the process."""
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send, b"x")

    served = ours(app)
    served.clients = []  # type: ignore[attr-defined]
    sent = fill(served, get("/first"), get("/more") * 100) - len(get("/first"))
    [sock] = served.clients  # type: ignore[attr-defined]
    held = sent - unread(sock.getsockname()[1], served)
    assert HIGH // 2 < held <= HIGH
    sock.close()
    served.call(gate.set)
    served.until(lambda: served.http.connections == 0)


def read_calls() -> int:
    """How often this process has called read(2) so far."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        pytest.skip("this kernel does not count system calls (/proc/self/io)")
    return int(dict(line.split(": ") for line in lines)["syscr"])


def test_message_that_is_there_comes_in_one_read(ours: Serve) -> None:
    """One of 64 KiB, with the head of its frame, though no more is read that nobody waits for."""
    served = ours(websocket.echo)
    count = 30

    def block(blocked: threading.Event, go: threading.Event) -> None:
        blocked.set()
        go.wait(LIMIT)

    with open_websocket(served) as ws:

        def calls(size: int) -> int:
            data = frame(BINARY, bytes(size))
            before = read_calls()
            for _ in range(count):
                blocked, go = threading.Event(), threading.Event()
                served.loop.call_soon_threadsafe(block, blocked, go)
                assert blocked.wait(LIMIT)
                ws.send(data)
                while fcntl.ioctl(ws.client.sock, termios.TIOCOUTQ, bytes(4)) != bytes(4):
                    time.sleep(0.001)  # until all is in the server's kernel
                go.set()
                assert ws.read_frame().payload == bytes(size)
            return read_calls() - before

        assert calls(HIGH) < calls(1000) + count // 2


def test_large_head_within_its_limit(start: Serve) -> None:
    """More than is held of anything else, and still no reason not to read."""
    served = start(echo, head_bytes=300_000, header_line=None)
    for size in (60_000, 65_536, 70_000, 250_000):
        with served.connect() as client:
            client.send(get("/", "A: " + "a" * size))
            assert client.read_response().status == 200
    with served.connect() as client:
        client.send(get("/", "A: " + "a" * 300_000))
        assert client.read_response().status == 431


def test_every_size_of_body(start: Serve) -> None:
    """Round the bound, with an application that begins to read late."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await answer(send, b"%d" % len(await read_body(receive)))

    served = start(app)
    for size in [0, 1, *(HIGH + extra for extra in (-5000, -4097, -4096, -100, -1, 0, 1, 4096))]:
        with served.connect() as client:
            client.send(get("/", f"Content-Length: {size}", method="POST") + bytes(size))
            assert client.read_response().body == b"%d" % size


def test_idle_connection_sheds_and_goes_on(start: Serve) -> None:
    """What was kept for the next request is gone, and the next is none the worse for it."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(send, b"x")

    lines: list[Any] = []
    served = start(app, keep_alive=60.0, access_log=lambda *line: lines.append(line))

    def protocols() -> list[Any]:
        return [thing for thing in gc.get_objects() if type(thing).__name__ == "HttpProtocol"]

    def kept() -> list[Any]:
        [protocol] = protocols()
        return [thing for thing in gc.get_referents(protocol) if type(thing) in (dict, list)]

    with served.connect() as client:
        for _ in range(2):
            for _ in range(3):
                client.send(get("/path?query", "Accept: */*"))
                assert client.read_response().body == b"x"
            assert served.call(kept) != []
            served.until(lambda: kept() == [])
    served.until(lambda: len(lines) == 6)
    for scope in scopes:
        scope.pop("state")
    assert scopes[0]["client"] is not None
    assert all(scope == scopes[0] for scope in scopes)
    assert len(set(lines)) == 1


# The end of the server.


def test_disconnect_of_those_that_wait(start: Serve) -> None:
    """Streams are told, may still send, and return; a body that has come is not lost by it."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun ", more_body=True)
        while (event := await receive())["type"] != "http.disconnect":
            events.append(event)
        await send({"type": "http.response.body", "body": b"ended"})

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_chunk() == b"begun "
        served.until(lambda: len(events) == 1)
        served.call(served.http.shutdown)
        served.call(served.http.disconnect)
        assert (client.read_chunk(), client.read_chunk()) == (b"ended", b"")
        assert client.at_end()
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert events == [{"type": "http.request", "body": b"", "more_body": False}]
    assert served.log.messages == []


def test_disconnect_of_one_that_then_gives_up(start: Serve) -> None:
    """As if the client had left: cut, without a word in the log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun", more_body=True)
        while (await receive())["type"] != "http.disconnect":
            pass

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_chunk() == b"begun"
        served.call(served.http.disconnect)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_chunk()
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert served.log.messages == []


def test_reset_in_odd_places(start: Serve) -> None:
    """Whatever a client has sent when it resets, others are served and nothing stays."""
    served = start(echo)
    whole = get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n"
    with served.connect() as other:
        for cut in range(0, len(whole), 3):
            client = served.connect()
            client.send(whole[:cut])
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sock.close()
            other.send(get("/other"))
            assert other.read_response().status == 200
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert served.loop_errors == []


def test_loops_are_known() -> None:
    """The skip above names all the others."""
    assert list(LOOPS) == ["camshaft", "asyncio"]
