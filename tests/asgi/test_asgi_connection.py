# SPDX-License-Identifier: MIT
"""The life of a connection: kept alive, pipelined, timed out, shut down, lost; and over TLS."""

import asyncio
import errno
import gc
import socket
import ssl
import time
import weakref
from typing import Any

import pytest

import camshaft
from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Client, answer, echo, get, post, read_body


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["path"].encode())


class Gate:
    """An application that answers when it is let, and knows how many requests wait."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.ended: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.waiting += 1
        try:
            await self.open.wait()
            await answer(send, b"late")
            self.ended.append("answered")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        except camshaft.ClientDisconnected:
            self.ended.append("disconnected")


def test_keep_alive(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        for at in range(20):
            client.send(get(f"/{at}"))
            response = client.read_response()
            assert response.body == b"/%d" % at
            assert response.get("connection") is None
        assert served.call(lambda: served.http.connections) == 1
    assert served.call(lambda: served.http.requests) == 20
    served.until(lambda: served.http.connections == 0)


def test_pipelined_requests_are_answered_in_order(start: Serve) -> None:
    """One at a time, though the first takes the longest."""
    running = most = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        body = await read_body(receive)
        for _ in range(20 - int(scope["path"][1:])):
            await asyncio.sleep(0)
        running -= 1
        await answer(send, scope["path"].encode() + body)

    served = start(app)
    with served.connect() as client:
        client.send(
            b"".join(get(f"/{n}") if n % 2 else post(b"!", target=f"/{n}") for n in range(20))
        )
        for n in range(20):
            assert client.read_response().body == b"/%d" % n + (b"" if n % 2 else b"!")
    assert most == 1


def test_deep_pipeline(start: Serve) -> None:
    """Thousands in one piece, which must not become thousands of calls inside of each other."""
    served = start(hello)
    with served.connect() as client:
        client.send(get("/x") * 5000)
        for _ in range(5000):
            assert client.read_response().body == b"/x"


def test_next_request_does_not_wait_for_background_work(start: Serve) -> None:
    """The answer ends a request, not its task."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, scope["path"].encode())
        await go.wait()

    served = start(app)
    with served.connect() as client:
        client.send(get("/1") + get("/2"))
        assert client.read_response().body == b"/1"
        assert client.read_response().body == b"/2"
        assert served.call(lambda: served.http.tasks) == 2
        served.call(go.set)
        served.until(lambda: served.http.tasks == 0)


def test_idle_connection_is_closed(start: Serve) -> None:
    served = start(hello, keep_alive=0.05)
    with served.connect() as client:
        client.send(get("/1"))
        assert client.read_response().body == b"/1"
        assert client.at_end()
    served.until(lambda: served.http.connections == 0)


def test_keep_alive_does_not_end_a_request(start: Serve) -> None:
    gate = Gate()
    served = start(gate, keep_alive=0.01)
    with served.connect() as client:
        client.send(get())
        served.until(lambda: gate.waiting == 1)
        served.run(asyncio.sleep(1.2))  # a sweep comes at least once a second
        served.call(gate.open.set)
        assert client.read_response().body == b"late"
        assert client.at_end()


def test_head_that_does_not_come(start: Serve) -> None:
    """Half of a head is answered with 408; none at all is closed without a word."""
    served = start(hello, head_timeout=0.05)
    with served.connect() as client:
        client.send(get()[:-2])
        response = client.read_response()
        assert (response.status, response.get("connection")) == (408, "close")
        assert client.at_end()
    with served.connect() as client:
        assert client.at_end()
    served.until(lambda: served.http.connections == 0)


def test_head_that_comes_drop_by_drop(start: Serve) -> None:
    """Each byte does not begin the time anew."""
    served = start(hello, head_timeout=0.2)
    with served.connect() as client:
        client.sock.settimeout(0.05)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nA: ")
        data = b""
        for _ in range(int(LIMIT / 0.05)):
            try:
                client.send(b"a")
                data = client.sock.recv(65536)
                break
            except TimeoutError:
                pass
        assert data.startswith(b"HTTP/1.1 408 ")


def test_body_may_take_its_time(start: Serve) -> None:
    served = start(echo, head_timeout=0.05, keep_alive=0.05)
    with served.connect() as client:
        client.send(post(b"hello")[:-5])
        served.run(asyncio.sleep(1.2))
        client.send(b"hello")
        assert client.read_response().body.endswith(b"hello")


def test_idle_server_plans_nothing(loop_name: str, start: Serve) -> None:
    """Without connections there is no timer, so nothing wakes the process up."""
    served = start(hello)
    planned: list[Any] = []
    original = served.loop.call_later

    def call_later(*args: Any, **kwargs: Any) -> Any:
        handle = original(*args, **kwargs)
        planned.append(handle)
        return handle

    served.call(lambda: setattr(served.loop, "call_later", call_later))
    for _ in range(3):
        assert served.ask(get("/x")).body == b"/x"
    served.until(lambda: served.http.connections == 0)
    del served.loop.call_later  # type: ignore[attr-defined]
    assert planned
    assert all(handle.cancelled() for handle in planned)


def test_shutdown(start: Serve) -> None:
    """Idle connections end at once, the others after their answer, which says so."""
    gate = Gate()
    served = start(gate)
    with served.connect() as idle, served.connect() as half, served.connect() as busy:
        half.send(b"GET / HTTP/1.1\r\n")
        busy.send(get() + get("/never"))
        served.until(lambda: gate.waiting == 1 and served.http.connections == 3)
        served.call(served.http.shutdown)
        assert idle.at_end()
        assert half.at_end()
        assert served.call(lambda: served.http.connections) >= 1
        assert served.call(lambda: served.http.tasks) == 1
        served.call(gate.open.set)
        response = busy.read_response()
        assert (response.body, response.get("connection")) == (b"late", "close")
        assert busy.at_end()
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert gate.waiting == 1
    with served.connect() as late:
        assert late.at_end()


def test_shutdown_in_the_middle_of_an_answer(start: Serve) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"a", more_body=True)
        await go.wait()
        await send({"type": "http.response.body", "body": b"b"})

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_chunk() == b"a"
        served.call(served.http.shutdown)
        served.call(go.set)
        assert (client.read_chunk(), client.read_chunk()) == (b"b", b"")
        assert client.at_end()


def test_cancel(start: Serve) -> None:
    """Requests are told; the answer, if there was none, is 500."""
    gate = Gate()
    served = start(gate)
    with served.connect() as client:
        client.send(get())
        served.until(lambda: gate.waiting == 1)
        served.call(served.http.cancel)
        assert client.read_response().status == 500
    served.until(lambda: served.http.tasks == 0)
    assert gate.ended == ["cancelled"]


def test_cancel_before_the_first_step(start: Serve) -> None:
    gate = Gate()
    served = start(gate)

    async def once() -> None:
        _, protocol = await served.loop.create_connection(
            lambda: served.http(),
            sock=left,  # the server's side of a pair
        )
        protocol.data_received(get())
        assert served.http.tasks == 1
        served.http.cancel()  # in the very callback that has made the task

    left, right = socket.socketpair()
    left.setblocking(False)
    right.settimeout(LIMIT)
    served.run(once())
    with Client(right) as client:
        assert client.read_response().status == 500
    assert gate.waiting == 0
    served.until(lambda: served.http.tasks == 0)


def test_abort(start: Serve) -> None:
    gate = Gate()
    served = start(gate)
    with served.connect() as idle, served.connect() as busy:
        busy.send(get())
        served.until(lambda: gate.waiting == 1 and served.http.connections == 2)
        served.call(served.http.abort)
        assert idle.at_end()
        assert busy.at_end()
    served.until(lambda: served.http.connections == 0)
    served.call(gate.open.set)
    served.until(lambda: gate.ended == ["disconnected"])


def test_disconnect_while_the_application_waits_for_it(start: Serve) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"a", more_body=True)
        events.append(await receive())

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
    served.until(lambda: events == [{"type": "http.disconnect"}])
    served.until(lambda: served.http.tasks == 0)
    served.until(lambda: served.http.connections == 0)
    assert served.log.messages == []


def test_two_tasks_of_a_request_may_wait(start: Serve) -> None:
    """And cancelling one of them does not take the event from the other."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        first = asyncio.ensure_future(receive())
        second = asyncio.create_task(receive())
        await asyncio.sleep(0)
        first.cancel()
        await answer(send, b"a")
        events.append(await second)
        with pytest.raises(asyncio.CancelledError):
            await first
        events.append("cancelled")

    served = start(app)
    assert served.ask(get()).body == b"a"
    served.until(lambda: events == [{"type": "http.disconnect"}, "cancelled"])


def test_reset_by_the_peer(start: Serve) -> None:
    gate = Gate()
    served = start(gate)
    client = served.connect()
    client.send(get())
    served.until(lambda: gate.waiting == 1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sock.close()
    served.until(lambda: served.http.connections == 0)
    served.call(gate.open.set)
    served.until(lambda: gate.ended == ["disconnected"])
    assert served.loop_errors == []


def test_end_of_a_connection_that_is_reset(start: Serve) -> None:
    """To end it may then fail; that is no fault of anybody's, and it is closed."""

    class Reset(asyncio.Transport):
        closed = False

        def write(self, data: Any) -> None:
            pass

        def can_write_eof(self) -> bool:
            return True

        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def is_closing(self) -> bool:
            return self.closed

        def close(self) -> None:
            self.closed = True

    served = start(hello)

    def refuse() -> bool:
        transport, protocol = Reset(), served.http()
        protocol.connection_made(transport)
        protocol.data_received(b"nonsense\r\n\r\n")
        protocol.connection_lost(None)
        return transport.closed

    assert served.call(refuse)


def test_peer_that_ends_its_direction(start: Serve) -> None:
    """As `printf ... | nc -N` does: all that it has sent is answered, then the connection ends."""
    served = start(hello)
    with served.connect() as client:
        client.send(get("/1") + get("/2") + get("/3"))
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.read_response().body for _ in range(3)] == [b"/1", b"/2", b"/3"]
        assert client.at_end()
    with served.connect() as client:
        client.send(get("/1") + post(b"12345", target="/2")[:-3])
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.read_response().body for _ in range(2)] == [b"/1", b"/2"]
        assert client.at_end()
    with served.connect() as client:
        client.send(get("/1") + get("/2")[:-3])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_response().body == b"/1"
        assert client.at_end()
    served.until(lambda: served.http.connections == 0)


def test_half_a_request_begun_after_the_peers_end(start: Serve) -> None:
    """The rest of its body never comes: the application is told, not left to wait for it."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # The first request waits for the end, so that the second is begun behind it.
        while (await receive())["type"] != "http.disconnect":
            pass
        told.append(scope["path"])
        await answer(send, b"x")

    served = start(app)
    with served.connect() as client:
        client.send(get("/1") + post(b"12345", target="/2")[:-3])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_response().body == b"x"
        served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert told == ["/1", "/2"]


def test_peer_that_ends_its_direction_and_reads_late(start: Serve) -> None:
    """Requests that wait for it to read are not forgotten."""
    size = 5_000_000
    count = 8

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * size)

    served = start(app)
    with served.connect() as client:
        client.send(get() * count)
        served.until(lambda: served.http.requests > 0)
        client.sock.shutdown(socket.SHUT_WR)
        served.run(asyncio.sleep(0.2))
        for _ in range(count):
            assert len(client.read_response().body) == size
        assert client.at_end()
    assert served.call(lambda: served.http.requests) == count


def test_connection_made_twice_is_one_connection(start: Serve) -> None:
    """As start_tls() and set_protocol() may do it."""
    served = start(hello)

    async def make() -> Any:
        protocol = served.http()
        for _ in range(2):
            protocol.connection_made(asyncio.Transport())
        count = served.http.connections
        protocol.connection_lost(None)
        return count

    assert served.run(make()) == 1
    assert served.call(lambda: served.http.connections) == 0
    assert served.ask(get("/1")).body == b"/1"


def test_task_that_only_waits_is_kept(start: Serve) -> None:
    """A watcher that the application has no reference to hears of the peer's end all the same."""
    heard: list[str] = []
    gate = asyncio.Event()

    async def watch(receive: Any) -> None:
        while (event := await receive())["type"] != "http.disconnect":
            pass
        heard.append(event["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().create_task(watch(receive))
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        await gate.wait()
        await answer(send, b"late")

    served = start(app)
    with served.connect() as client:
        client.send(get())
        served.call(gate.set)
        assert client.read_response().body == b"late"
    served.until(lambda: bool(heard))
    assert served.loop_errors == []


def test_slow_peers_get_their_answer(start: Serve) -> None:
    """Also when their body is not read, and the connection must end: once they have the answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * int(scope["path"][1:]))

    served = start(app)
    size = 30_000_000
    with served.connect() as reader, served.connect() as sender:
        reader.send(get(f"/{size}", "Content-Length: 10000000", method="POST"))
        sender.send(get("/5", "Content-Length: 10000000", method="POST"))
        slow = last = 0.0
        for _ in range(20):
            sender.send(b"x" * 1000)
            now = time.monotonic()
            slow, last = max(slow, now - last if last else 0.0), now
            time.sleep(0.2)
        if slow < 1:  # or this machine was as slow as a peer that says no more
            assert sender.read_response().body == b"x" * 5
            assert sender.at_end()
        assert len(reader.read_response().body) == size
        assert reader.at_end()
    served.until(lambda: served.http.connections == 0)


def test_many_connections(start: Serve) -> None:
    served = start(hello)
    clients = [served.connect() for _ in range(200)]
    for _ in range(2):
        for at, client in enumerate(clients):
            client.send(get(f"/{at}"))
        for at, client in enumerate(clients):
            assert client.read_response().body == b"/%d" % at
    assert served.call(lambda: served.http.connections) == 200
    for client in clients:
        client.sock.close()
    served.until(lambda: served.http.connections == 0)


def test_nothing_is_left_behind(start: Serve) -> None:
    """Scopes are freed when their requests have ended, without the garbage collector."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Body(bytes):
        pass

    class Mark:
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["mark"] = Mark()
        alive.add(scope["mark"])
        await read_body(receive)
        if scope["path"] == "/boom":
            raise ValueError("boom")
        await answer(send, b"x")

    served = start(app)
    gc.collect()
    gc.disable()
    try:
        with served.connect() as client:
            for _ in range(3):
                client.send(get("/x") + post(b"abc", target="/y"))
                assert client.read_response().body == b"x"
                assert client.read_response().body == b"x"
        served.until(lambda: served.http.connections == served.http.tasks == 0)
        served.until(lambda: len(alive) == 0)
    finally:
        gc.enable()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    import trustme

    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_tls(start: Serve, contexts: Any) -> None:
    """Over TLS, which on our loop is driven without Python; the scope says so."""
    schemes: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        schemes.append(scope["scheme"])
        await answer(send, await read_body(receive))

    served = start(app, ssl_context=contexts[0])

    def connect() -> Client:
        raw = socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT)
        return Client(contexts[1].wrap_socket(raw, server_hostname="localhost"))

    with connect() as client:
        for body in (b"", b"hello", b"x" * 3_000_000):
            client.send(post(body))
            assert client.read_response().body == body
        client.send(post(b"1") + post(b"2"))
        assert [client.read_response().body for _ in range(2)] == [b"1", b"2"]
    with connect() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
        assert client.read_all() == b""
    assert set(schemes) == {"https"}


def test_an_answer_does_not_wait_for_the_next_of_pipelined_requests(start: Serve) -> None:
    goes_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await goes_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    served = start(app)
    with served.connect() as client:
        paths = ("/1", "/2", "/slow", "/3")
        client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % p.encode() for p in paths))
        assert client.read_response().body == b"/1"
        assert client.read_response().body == b"/2"
        # A request that is not whole yet: what was answered before it is not kept for it.
        served.call(goes_on.set)
        assert client.read_response().body == b"/slow"
        assert client.read_response().body == b"/3"
        client.send(b"GET /4 HTTP/1.1\r\nHost: a\r\n\r\nGET /5 HTTP/1.1\r\nHo")
        assert client.read_response().body == b"/4"
        client.send(b"st: a\r\n\r\nGET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.read_response().body == b"/5"
        assert client.read_response().body == b"/6"


def test_many_pipelined_answers_leave_before_the_last(start: Serve) -> None:
    body = bytes(5000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    served = start(app)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        for _ in range(200):
            assert client.read_response().body == body


def test_tls_on_a_plain_port(start: Serve, contexts: Any) -> None:
    """It is closed without an answer, which a TLS client could not read, and with a line."""
    served = start(echo)
    for send in (1, 3, 1000):
        to_them = ssl.MemoryBIO()
        hello = contexts[1].wrap_bio(ssl.MemoryBIO(), to_them, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        with served.connect() as client:
            client.send(to_them.read()[:send])
            assert client.at_end()
    line = "A TLS handshake on a port without TLS: the connection is closed."
    assert served.log.messages == [line] * 3
    # Later on it is a wrong request like any other.
    with served.connect() as client:
        client.send(get())
        assert client.read_response().status == 200
        client.send(b"\x16\3\1")
        assert client.read_response().status == 400
