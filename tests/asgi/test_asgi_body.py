# SPDX-License-Identifier: MIT
"""Bodies of requests: framing, receive(), 100-continue, flow control, and what nobody reads."""

import asyncio
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import answer, echo, get, post, read_body

CHUNKED = get("/", "Transfer-Encoding: chunked", method="POST")


def test_length_and_chunks(start: Serve) -> None:
    served = start(echo)
    with served.connect() as client:
        for request, body in [
            (post(b""), b""),
            (post(b"hello"), b"hello"),
            (post(b"x" * 200_000), b"x" * 200_000),
            (CHUNKED + b"0\r\n\r\n", b""),
            (CHUNKED + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nTrailer: x\r\n\r\n", b"hello!"),
            (CHUNKED + b"1\r\na\r\n" * 3000 + b"0\r\n\r\n", b"a" * 3000),
            (get(), b""),
        ]:
            client.send(request)
            assert client.read_response().body.partition(b"\n")[2] == body


REQUESTS = (
    post(b"hello", target="/one?q")
    + get("/two", "Transfer-Encoding: chunked", method="PUT")
    + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    + get("/three", "X: y")
)
ANSWERS = [b"POST /one?q\nhello", b"PUT /two?\nabcde", b"GET /three?\n"]


def test_every_split(start: Serve) -> None:
    """Cut in two at every byte, the requests mean the same."""
    served = start(echo)
    for cut in range(1, len(REQUESTS)):
        with served.connect() as client:
            client.send(REQUESTS[:cut])
            # That the first part is read by itself need not be so, but mostly is.
            if cut % 3 == 0:
                served.until(lambda: bool(served.http.connections))
            client.send(REQUESTS[cut:])
            assert [client.read_response().body for _ in ANSWERS] == ANSWERS, cut


def test_byte_by_byte(start: Serve) -> None:
    """Each byte in a read of its own: fed to the protocol, for a socket may join them."""
    served = start(echo)

    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written = b""
            self.closing = False

        def write(self, data: Any) -> None:
            self.written += bytes(data)

        def is_closing(self) -> bool:
            return self.closing

        def close(self) -> None:
            self.closing = True

        abort = close

        def pause_reading(self) -> None:
            pass

        def resume_reading(self) -> None:
            pass

    async def feed(size: int) -> bytes:
        transport = Transport()
        protocol = served.http()
        protocol.connection_made(transport)
        for at in range(0, len(REQUESTS), size):
            protocol.data_received(REQUESTS[at : at + size])
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while ANSWERS[-1] not in transport.written:
                await asyncio.sleep(0)
        protocol.connection_lost(None)
        return transport.written

    for size in (1, 2, 3, 7, 64, 10_000):
        written = served.run(feed(size))
        assert [part in written for part in ANSWERS] == [True] * 3
        assert written.count(b"HTTP/1.1 200 OK") == 3


def test_events(start: Serve) -> None:
    """A body comes as it arrives; after its end receive() waits for the disconnect."""
    events: list[Any] = []
    arrived = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            events.append(await receive())
            arrived.set()

    served = start(app)
    with served.connect() as client:
        client.send(CHUNKED + b"3\r\nabc\r\n")
        served.run(arrived.wait())
        assert events == [{"type": "http.request", "body": b"abc", "more_body": True}]
        client.send(b"2\r\nde\r\n0\r\n\r\n")
        served.until(lambda: sum(len(event["body"]) for event in events) == 5)
    served.until(lambda: events[-1]["type"] == "http.disconnect")


def test_no_body_is_one_event(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.append(await receive())
        await answer(send)
        events.append(await receive())
        events.append(await receive())

    served = start(app)
    served.ask(get())
    served.until(lambda: len(events) == 3)
    assert events == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("first", [1, 2, 255])
def test_pieces_that_nobody_reads_yet(start: Serve, first: int) -> None:
    """Small pieces are put together, also when the first is a single byte."""
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go_on.wait()
        await answer(send, await read_body(receive))

    served = start(app)
    whole = bytes(range(256)) * 20
    with served.connect() as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        served.until(begun.is_set)
        # Pieces that the network puts together make this test easier to pass, no more.
        for piece in (whole[:first], whole[first : first + 1], whole[first + 1 :]):
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            served.run(asyncio.sleep(0.05))
        client.send(b"0\r\n\r\n")
        served.call(go_on.set)
        assert client.read_response().body == whole
    assert served.loop_errors == []


def test_expect_continue(start: Serve) -> None:
    """It is sent when the application asks for the body, and then the connection goes on."""
    served = start(echo)
    request = post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 5")
    with served.connect() as client:
        for _ in range(2):
            client.send(request)
            assert client.read_head().status == 100
            client.send(b"hello")
            assert client.read_response().body.endswith(b"\nhello")


def test_expect_continue_is_not_sent_without_need(start: Serve) -> None:
    """Not when the body is there already, nor when the application does not want it: then nobody
    can tell what comes next, and the connection ends."""
    served = start(echo)
    with served.connect() as client:
        client.send(post(b"hello", "Expect: 100-continue"))
        assert client.read_response().status == 200

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no", 403)

    served = start(refuse)
    with served.connect() as client:
        client.send(post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 5"))
        response = client.read_response()
        assert (response.status, response.get("connection")) == (403, "close")
        assert client.at_end()


def test_inbound_flow_control(start: Serve) -> None:
    """An application that does not read holds the peer up, and little of the body in memory."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        event = await receive()
        first = len(event["body"])
        total = first
        while event["more_body"]:
            event = await receive()
            total += len(event["body"])
        await answer(send, f"{first} {total}".encode())

    served = start(app)
    size = 30_000_000
    with served.connect() as client:
        client.send(post(b"").replace(b"Length: 0", b"Length: %d" % size))
        client.sock.setblocking(False)
        sent = 0
        block = b"x" * 1_000_000
        stalled = 0
        while sent < size and stalled < 100:
            try:
                sent += client.sock.send(block[: size - sent])
                stalled = 0
            except BlockingIOError:
                stalled += 1
                served.run(asyncio.sleep(0.01))
        assert sent < size, "everything was taken, though nobody reads"
        client.sock.settimeout(60)
        served.call(go.set)
        client.send(b"x" * (size - sent))
        first, total = map(int, client.read_response().body.split())
    assert total == size
    # One read beyond the mark of 64 KiB; a read is up to 256 KiB.
    assert first <= 64 * 1024 + 256 * 1024


def test_pipelined_input_is_bounded(start: Serve) -> None:
    """Requests sent ahead hold the peer up as well."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await answer(send, b"x")

    served = start(app)
    request = get("/", "X-Fill: " + "f" * 8000)
    count = 0
    with served.connect() as client:
        client.sock.setblocking(False)
        stalled = 0
        rest = b""
        while stalled < 100 and count < 4000:
            try:
                rest = rest or request
                rest = rest[client.sock.send(rest) :]
                if not rest:
                    count += 1
                stalled = 0
            except BlockingIOError:
                stalled += 1
                served.run(asyncio.sleep(0.01))
        assert count < 4000, "everything was taken, though nothing is answered"
        client.sock.settimeout(60)
        served.call(go.set)
        for _ in range(min(count, 50)):
            assert client.read_response().body == b"x"


@pytest.mark.parametrize("size", [1, 60_000])
def test_small_unread_body_is_dropped(start: Serve, size: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, scope["path"].encode())

    served = start(app)
    with served.connect() as client:
        client.send(post(b"", target="/1").replace(b"Length: 0", b"Length: %d" % size))
        assert client.read_response().body == b"/1"
        client.send(b"x" * size + get("/2"))
        assert client.read_response().body == b"/2"
        client.send(CHUNKED)
        assert client.read_response().body == b"/"
        client.send(b"3\r\nabc\r\n0\r\n\r\n" + get("/3"))
        assert client.read_response().body == b"/3"


def test_large_unread_body_ends_the_connection(start: Serve) -> None:
    """After the peer has had the time to read the answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"done")

    served = start(app)
    with served.connect() as client:
        client.send(post(b"").replace(b"Length: 0", b"Length: 10000000") + b"x" * 1000)
        assert client.read_response().body == b"done"
        assert client.at_end()
    with served.connect() as client:
        client.send(CHUNKED)
        assert client.read_response().body == b"done"
        client.send(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        client.send(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
        assert client.at_end()


@pytest.mark.parametrize("rest", [b"xyz\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-1\r\n", b"\n"])
def test_bad_chunk(start: Serve, rest: bytes) -> None:
    """400 and a close if nothing was answered yet; the application sees a disconnect."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not events or events[-1] == "http.request":
            events.append((await receive())["type"])
        await answer(send, b"dropped")

    served = start(app)
    with served.connect() as client:
        client.send(CHUNKED + b"1\r\na\r\n")
        served.until(lambda: bool(events))
        client.send(rest)
        response = client.read_response()
        assert (response.status, response.get("connection")) == (400, "close")
        assert client.at_end()
    served.until(lambda: served.http.tasks == 0)
    assert events[-1] == "http.disconnect"
    assert served.log.messages == ["Invalid HTTP request received."]


def test_bad_chunk_in_the_middle_of_an_answer(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"begun", more_body=True)
        while (await receive())["type"] != "http.disconnect":
            pass

    served = start(app)
    with served.connect() as client:
        client.send(CHUNKED)
        client.read_head()
        assert client.read_chunk() == b"begun"
        client.send(b"xyz\r\n")
        assert client.at_end()
    served.until(lambda: served.http.tasks == 0)


def test_disconnect_in_the_middle_of_a_body(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not events or events[-1] == "http.request":
            events.append((await receive())["type"])

    served = start(app)
    with served.connect() as client:
        client.send(post(b"").replace(b"Length: 0", b"Length: 5") + b"hel")
        served.until(lambda: bool(events))
    served.until(lambda: events == ["http.request", "http.disconnect"])
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert served.log.messages == []


def test_body_of_a_peer_that_ends_its_direction(start: Serve) -> None:
    """It has been sent in whole, so it is read and answered in whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        await answer(send, body)

    served = start(app)
    with served.connect() as client:
        client.send(post(b"hello"))
        client.sock.shutdown(1)
        assert client.read_response().body == b"hello"
        assert client.at_end()


def test_a_wrong_chunk_after_the_answer_is_not_answered(start: Serve) -> None:
    """A second answer would be taken for that of the next request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    served = start(app)
    with served.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert client.read_response().status == 200
        client.send(b"nonsense\r\n")
        assert client.at_end()
