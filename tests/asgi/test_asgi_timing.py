# SPDX-License-Identifier: MIT
"""Peers that send or read too slowly, or not at all; and the one timer that finds them.

What is asserted is what the peer gets, not when: limits that shall end a connection are short, and
those that shall not are hours.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, LOOPS, Client, Served, answer, echo, get, post, serve

HOUR = 3600.0
CHUNKED = get("/", "Transfer-Encoding: chunked", method="POST")


class Body:
    """An application that reads its body and then answers, and notes what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.size = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            event = await receive()
            self.events.append(event["type"])
            self.size += len(event.get("body", b""))
            if not event.get("more_body"):
                break
        await answer(send, b"%d" % self.size)


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """An answer without an end, in pieces of 16 KiB."""
    await answer(send, b"", more_body=True)
    while True:
        await send({"type": "http.response.body", "body": bytes(16384), "more_body": True})
        await asyncio.sleep(0)  # send() does not wait any more once the peer is gone


def small(served: Served) -> Client:
    """Connect with a receive buffer that fills up soon."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(LIMIT)
    sock.connect(("127.0.0.1", served.port))
    return Client(sock)


def trickle(client: Client, data: bytes, pause: float) -> bytes:
    """Send byte by byte until there is an answer; return what there is of it."""
    client.sock.settimeout(pause)
    for at in range(len(data)):
        try:
            client.send(data[at : at + 1])
            return client.read_some()
        except TimeoutError:
            pass
    client.sock.settimeout(LIMIT)
    return client.read_some()


@pytest.mark.parametrize("begun", [post(b"hello")[:-2], CHUNKED + b"5\r\nhel", CHUNKED])
def test_body_that_stops(start: Serve, begun: bytes) -> None:
    """408 and the end; the application is told of a disconnect. Others are served."""
    app = Body()
    served = start(app, body_timeout=0.05)
    with served.connect() as client:
        client.send(begun)
        response = client.read_response()
        assert (response.status, response.get("connection")) == (408, "close")
        assert client.at_end()
    served.until(lambda: served.http.tasks == 0)
    assert app.events[-1] == "http.disconnect"
    assert served.ask(post(b"hello")).status == 200


def test_body_that_stops_once_the_answer_has_begun(start: Serve) -> None:
    """Half of an answer is out: it must not look like a whole one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun", more_body=True)
        while (await receive()).get("more_body"):
            pass

    served = start(app, body_timeout=0.05)
    with served.connect() as client:
        client.send(post(b"hello")[:-2])
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_response()
    served.until(lambda: served.http.connections == served.http.tasks == 0)


def test_body_that_trickles(start: Serve) -> None:
    """Each byte comes in time, and all together do not."""
    app = Body()
    served = start(app, body_timeout=0.2, body_rate=10_000)
    with served.connect() as client:
        client.send(get("/", "Content-Length: 100000", method="POST"))
        assert trickle(client, bytes(10_000), 0.02).startswith(b"HTTP/1.1 408 ")
    served.until(lambda: served.http.tasks == 0)
    assert app.events[-1] == "http.disconnect"


def test_body_that_trickles_without_a_rate(start: Serve) -> None:
    """Any byte begins the time-out anew, however few they are."""
    app = Body()
    served = start(app, body_timeout=0.6, body_rate=None)
    with served.connect() as client:
        client.send(post(bytes(20))[:-20])
        slow, last = 0.0, time.monotonic()
        for _ in range(20):
            served.run(asyncio.sleep(0.05))
            client.send(b"x")
            now = time.monotonic()
            slow, last = max(slow, now - last), now
        if slow < 0.3:  # or this machine was as slow as a peer that is cut off
            assert client.read_response().body == b"20"


def test_body_of_a_conversation_has_no_least_rate(start: Serve) -> None:
    """An answer that has begun may go with a body that comes now and then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"", more_body=True)
        more = True
        while more:
            event = await receive()
            more = event["more_body"]
            await send({"type": "http.response.body", "body": event["body"], "more_body": more})

    served = start(app, body_timeout=HOUR, body_rate=10**9)
    with served.connect() as client:
        client.send(post(b"hello")[:-5])
        client.read_head()
        for letter in (b"h", b"e", b"l", b"l", b"o"):
            served.run(asyncio.sleep(0.02))
            client.send(letter)
            assert client.read_chunk() == letter
        assert client.read_chunk() == b""


def test_unread_body_is_not_the_peers_fault(start: Serve) -> None:
    """While the application does not read, and the peer is not read from, no time is counted."""
    size = 8_000_000
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await Body()(scope, receive, send)

    served = start(app, body_timeout=0.3, body_rate=240)
    with served.connect() as client:
        client.sock.setblocking(False)
        head = get("/", f"Content-Length: {size}", method="POST")
        client.send(head)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            # All but the last byte, if this system's buffers hold as much.
            while sent < size - 1:
                sent += client.sock.send(bytes(min(1 << 16, size - 1 - sent)))
        served.run(asyncio.sleep(0.8))
        served.call(go.set)
        client.sock.settimeout(LIMIT)
        client.send(bytes(size - sent))
        assert client.read_response().body == b"%d" % size


def test_time_is_counted_again_once_the_application_reads(start: Serve) -> None:
    """A peer that then says no more is ended."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await Body()(scope, receive, send)

    served = start(app, body_timeout=0.05)
    with served.connect() as client:
        client.send(get("/", "Content-Length: 8000000", method="POST") + bytes(500_000))
        served.call(go.set)
        assert client.read_response().status == 408


def test_waiting_for_100_continue_is_not_slow(start: Serve) -> None:
    """The peer sends when it is told to, and is timed from then on."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await Body()(scope, receive, send)

    served = start(app, body_timeout=0.05)
    with served.connect() as client:
        client.send(post(b"hello", "Expect: 100-continue")[:-5])
        served.run(asyncio.sleep(0.4))
        served.call(go.set)
        assert client.read_head().status == 100
        assert client.read_response().status == 408


def test_peer_that_never_reads(start: Serve) -> None:
    """It is dropped, and the application, which waits in send(), is not left waiting."""
    served = start(endless, write_timeout=0.2)
    with small(served) as client:
        client.send(get())
        served.until(lambda: served.http.tasks == 1)
        served.until(lambda: served.http.connections == 0)
        served.call(served.http.cancel)
    served.until(lambda: served.http.tasks == 0)
    assert "Connection dropped: the client does not read its response." in served.log.messages


@pytest.mark.parametrize(
    "head", [get(), get("/", "Connection: close"), b"nonsense\r\n\r\n" + get()]
)
def test_peer_that_never_reads_the_end_of_an_answer(start: Serve, head: bytes) -> None:
    """Complete for the application, but not for the peer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, bytes(8_000_000))

    served = start(app, write_timeout=0.2, keep_alive=0.05)
    with small(served) as client:
        client.send(head)
        served.until(lambda: served.http.requests == 1 or head.startswith(b"nonsense"))
        served.until(lambda: served.http.connections == 0)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"1")]])
def test_head_does_not_wait_for_its_body_for_ever(
    start: Serve, version: str, length: list[tuple[bytes, bytes]]
) -> None:
    """The peer learns that there will be an answer, though the body is an hour away."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await go.wait()
        await send({"type": "http.response.body", "body": b"x"})

    served = start(app)
    with served.connect() as client:
        client.send(get(version=version))
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        chunked = b"transfer-encoding: chunked" in head
        assert chunked == (version == "1.1" and not length)
        served.call(go.set)
        rest = b"1\r\nx\r\n0\r\n\r\n" if chunked else b"x"
        assert client.read_exactly(len(rest)) == rest


@pytest.mark.parametrize("length", [[], [(b"content-length", b"5")]])
def test_file_whose_head_has_gone(
    start: Serve, tmp_path: Path, length: list[tuple[bytes, bytes]]
) -> None:
    """It is the whole body all the same."""
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await go.wait()
        await send({"type": "http.response.pathsend", "path": str(path)})

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_until(b"\r\n\r\n")
        served.call(go.set)
        rest = b"hello" if length else b"5\r\nhello\r\n0\r\n\r\n"
        assert client.read_exactly(len(rest)) == rest


def test_head_waits_for_an_application_that_may_still_ask_for_the_body(start: Serve) -> None:
    """There is no "100 Continue" after it."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go.wait()
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    served = start(app)
    with served.connect() as client, served.connect() as later:
        client.send(post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 5"))
        served.until(lambda: served.http.tasks == 1)
        later.send(get())
        later.read_until(b"\r\n\r\n")
        served.call(go.set)
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert client.read_until(b"hello").startswith(b"HTTP/1.1 200")


def test_application_that_raises_after_its_head_has_gone(start: Serve) -> None:
    """It can no longer be answered with 500: the answer is cut."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go.wait()
        raise RuntimeError("later")

    served = start(app)
    with served.connect() as client:
        client.send(get())
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        served.call(go.set)
        assert client.at_end()


@pytest.mark.parametrize("size", [4096, 65536])
def test_little_is_taken_for_a_peer_that_never_reads(size: int) -> None:
    """A crowd of them costs the others neither the time to copy megabytes nor the memory.

    Our own loop sees to it: with asyncio's the kernel takes what it likes.
    """
    taken: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"", more_body=True)
        while served.http.connections:
            await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
            taken.append(size)

    with serve(app, LOOPS["camshaft"], write_timeout=0.3) as served, small(served) as client:
        client.send(get())
        served.until(lambda: bool(taken))
        served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert sum(taken) < 512 * 1024


def far_end_of(client: Client) -> socket.socket:
    """The server's socket of a connection, which is in this process."""
    for name in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found = socket.socket(fileno=os.dup(int(name.name)))
            if found.getpeername() == client.sock.getsockname():
                return found
            found.close()
    raise AssertionError("no such connection")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells what is unsent")
def test_more_is_taken_for_a_peer_that_waits_for_a_busy_loop() -> None:
    """Who has read everything before the loop comes by again is given more to read meanwhile."""
    least = 96 * 1024
    limit = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal limit
        with far_end_of(client) as sock:
            await answer(send, b"", more_body=True)
            while limit <= least:
                await send(
                    {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
                )
                limit = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            await send({"type": "http.response.body", "body": b"enough"})

    async def be_busy() -> None:
        while limit <= least:
            time.sleep(0.005)
            await asyncio.sleep(0)

    with serve(app, LOOPS["camshaft"]) as served, served.connect() as client:
        client.send(get())
        busy = threading.Thread(target=served.run, args=(be_busy(),))
        busy.start()
        end = b""
        while not end.endswith(b"enough\r\n0\r\n\r\n"):
            end = (end + client.read_some())[-16:]
        busy.join()
    assert limit in [least << step for step in range(1, 5)]


def test_peer_that_never_reads_what_little_there_is(start: Serve) -> None:
    """Less than the transport's high-water mark is in the way, so nobody is told to pause."""

    class Transport(asyncio.Transport):
        aborted = False

        def write(self, data: Any) -> None:
            pass

        def get_write_buffer_size(self) -> int:
            return 1000

        def abort(self) -> None:
            self.aborted = True
            served.loop.call_soon(protocol.connection_lost, None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"", more_body=True)
        while (await receive())["type"] != "http.disconnect":
            pass

    served = start(app, write_timeout=0.05, keep_alive=0.05)
    transport, protocol = Transport(), served.call(served.http)
    served.call(protocol.connection_made, transport)
    served.call(protocol.data_received, get())
    served.until(lambda: transport.aborted)
    served.until(lambda: served.http.connections == served.http.tasks == 0)


def test_peer_that_reads_too_slowly(start: Serve) -> None:
    """A little now and then is not enough."""
    served = start(endless, write_timeout=0.3, write_rate=50_000_000)
    with small(served) as client:
        client.send(get())
        with pytest.raises((ConnectionResetError, EOFError)):
            for _ in range(int(LIMIT / 0.01)):
                if not client.sock.recv(100):
                    raise EOFError
                served.run(asyncio.sleep(0.01))
    served.call(served.http.cancel)
    served.until(lambda: served.http.connections == served.http.tasks == 0)


def test_peer_that_reads_slowly_without_a_rate(start: Serve) -> None:
    """It gets all of it, in many times the time-out: its system acknowledges what it takes."""
    size = 3_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, bytes(size))

    served = start(app, write_timeout=0.5, write_rate=None)
    with small(served) as client:
        client.send(get())
        slow, last = 0.0, time.monotonic()
        left = size
        client.read_head()
        left -= len(client.held)
        while left > 0:
            piece = client.sock.recv(min(left, 20_000))
            if not piece:
                break
            left -= len(piece)
            if left > size - 1_000_000:
                served.run(asyncio.sleep(0.02))
            now = time.monotonic()
            slow, last = max(slow, now - last), now
        if slow < 0.1:  # or this machine was as slow as a peer that does not read
            assert left == 0


def test_collector_leaves_a_connection_that_nothing_else_holds(start: Serve) -> None:
    """Reading is paused, and the application waits in receive(): no poller knows of either."""
    first = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await receive()
            first.set()
            event = await receive()
            assert event["type"] == "http.disconnect"
        else:
            await answer(send, b"x")

    served = start(app)
    with served.connect() as client:
        client.sock.setblocking(False)
        client.send(get("/wait"))
        served.run(first.wait())
        with pytest.raises(BlockingIOError):
            while True:
                client.sock.send(get("/more") * 1000)
        for _ in range(3):
            served.call(gc.collect)
        assert served.call(lambda: (served.http.connections, served.http.tasks)) == (1, 1)
        assert served.loop_errors == []


# The wheel.


def test_all_idle_connections_are_found(start: Serve) -> None:
    served = start(echo, keep_alive=0.05)
    clients = [served.connect() for _ in range(300)]
    for client in clients:
        client.send(get())
        assert client.read_response().status == 200
    for client in clients:
        assert client.at_end()
        client.sock.close()
    served.until(lambda: served.http.connections == 0)


def test_what_is_farther_away_than_the_wheel_is_round(start: Serve) -> None:
    """Looked at too early, filed again, and closed in the end; not before."""
    served = start(echo, keep_alive=0.01, head_timeout=1.5)
    with served.connect() as early, served.connect() as late:
        begun = time.monotonic()
        early.send(get()[:-2])
        late.send(get()[:-2])
        served.run(asyncio.sleep(0.8))
        early.send(b"\r\n")
        if time.monotonic() - begun < 1.4:  # or this machine was slower than the limit
            assert early.read_response().status == 200
        assert late.read_response().status == 408


def test_connections_that_wait_long_wake_nobody(loop_name: str, start: Serve) -> None:
    """No timer for each, and none that ticks: one for the first that is due."""
    served = start(echo, keep_alive=HOUR, head_timeout=HOUR)
    planned: list[float] = []
    original = served.loop.call_later

    def call_later(delay: float, *args: Any, **kwargs: Any) -> Any:
        planned.append(delay)
        return original(delay, *args, **kwargs)

    clients = [served.connect() for _ in range(100)]
    for client in clients:
        client.send(get())
        assert client.read_response().status == 200
    served.call(lambda: setattr(served.loop, "call_later", call_later))
    for client in clients[:50]:
        client.send(get())
        assert client.read_response().status == 200
    # The one that sheds what idle connections keep, and then that of the wheel's next turn.
    served.run(asyncio.sleep(2.5))
    del served.loop.call_later  # type: ignore[attr-defined]
    assert len(planned) <= 10
    for client in clients:
        client.sock.close()
