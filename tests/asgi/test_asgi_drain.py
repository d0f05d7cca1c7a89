# SPDX-License-Identifier: MIT
"""A server that ends and lingers: what is asked on connections that could not know is answered."""

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Client, Served, answer, get, read_body
from tests.asgi.websocket import handshake
from tests.certificates import authority

# Seconds: longer than any test takes, and as good as none.
LONG, SHORT = 1000.0, 0.001


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["path"].encode())


class Stream:
    """Answers in pieces: the first at once, the last when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/stream":
            await hello(scope, receive, send)
            return
        await answer(send, b"first", more_body=True)
        await self.go.wait()
        await send({"type": "http.response.body", "body": b"last"})


def drain(served: Served, linger: float) -> None:
    served.call(served.http.shutdown, 1012, linger)


def check_last(client: Client, target: str) -> None:
    """The client's next answer says that it is the last, and is."""
    response = client.read_response()
    assert (response.status, response.body) == (200, target.encode())
    assert response.get("connection") == "close"
    assert client.at_end()


def test_request_of_an_idle_connection(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        client.send(get("/a"))
        assert client.read_response().get("connection") is None
        drain(served, LONG)
        client.send(get("/b"))
        check_last(client, "/b")


def test_first_request_of_a_connection(start: Serve) -> None:
    """One that was made before, one half of whose request was there, one that is made after."""
    served = start(hello)
    with served.connect() as made, served.connect() as half:
        half.send(get("/half")[:-2])
        served.until(lambda: served.http.connections == 2)
        drain(served, LONG)
        made.send(get("/made"))
        check_last(made, "/made")
        half.send(b"\r\n")
        check_last(half, "/half")
    with served.connect() as late:
        late.send(get("/late"))
        check_last(late, "/late")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_head_that_went_out_before(start: Serve, version: str) -> None:
    """It did not say close: there will be another request, and that answer says it."""
    app = Stream()
    served = start(app)
    with served.connect() as client:
        keep = [] if version == "1.1" else ["Connection: keep-alive"]
        client.send(get("/stream", *keep, version=version))
        head = client.read_head()
        if version == "1.0":
            # Without a length its end is the connection's, and needs no word.
            assert head.get("connection") == "close"
            drain(served, LONG)
            served.call(app.go.set)
            assert client.read_all() == b"firstlast"
            return
        assert head.get("connection") is None
        assert client.read_chunk() == b"first"
        drain(served, LONG)
        served.call(app.go.set)
        assert (client.read_chunk(), client.read_chunk()) == (b"last", b"")
        client.send(get("/next"))
        check_last(client, "/next")


def test_http_1_0_keep_alive(start: Serve) -> None:
    served = start(hello)
    request = get("/a", "Connection: keep-alive", version="1.0")
    with served.connect() as client:
        client.send(request)
        assert client.read_response().get("connection") == "keep-alive"
        drain(served, LONG)
        client.send(request)
        check_last(client, "/a")


def test_idle_connections_end_when_the_time_is_over(start: Serve) -> None:
    served = start(hello)
    with served.connect() as made, served.connect() as idle:
        idle.send(get())
        idle.read_response()
        served.until(lambda: served.http.connections == 2)
        drain(served, SHORT)
        assert made.at_end()
        assert idle.at_end()
    served.until(lambda: served.http.connections == 0)


def test_the_time_counts_from_the_last_answer(start: Serve) -> None:
    """Who has been idle for longer is not waited for, and who has just been answered is."""
    served = start(hello, keep_alive=None)
    with served.connect() as old, served.connect() as new:
        old.send(get())
        old.read_response()
        time.sleep(0.5)  # what is measured: that it has been idle
        new.send(get())
        new.read_response()
        drain(served, 0.4)
        assert old.at_end()
        drain(served, LONG)
        new.send(get("/new"))
        check_last(new, "/new")


def test_request_that_was_not_read_in_time(start: Serve) -> None:
    """The loop was busy until after the end: what is in the socket is answered."""
    served = start(hello)
    with served.connect() as client:
        client.send(get("/a"))
        client.read_response()

        def busy() -> None:
            served.http.shutdown(1012, SHORT)
            client.send(get("/b"))
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                time.sleep(0.001)
                served.http._sweep()

        served.call(busy)
        check_last(client, "/b")


def test_time_in_which_the_loop_does_not_run(start: Serve) -> None:
    """The machine stood still for longer than idle connections stay: it is none of theirs."""
    served = start(hello)
    with served.connect() as idle, served.connect() as made:
        idle.send(get("/a"))
        idle.read_response()
        served.until(lambda: served.http.connections == 2)

        def stand_still() -> None:
            served.http.shutdown(1012, 0.4)
            time.sleep(1.0)
            served.http._sweep()
            idle.send(get("/idle"))
            made.send(get("/made"))

        served.call(stand_still)
        check_last(idle, "/idle")
        check_last(made, "/made")


def test_loop_that_stood_still_before_the_end(start: Serve) -> None:
    """Who has been idle for longer than is waited for may be about to ask."""
    served = start(hello)
    with served.connect() as client:
        client.send(get("/a"))
        client.read_response()

        def stand_still() -> None:
            time.sleep(0.5)
            served.http.shutdown(1012, SHORT)
            time.sleep(0.03)  # a slot of the wheel is over
            served.http._sweep()
            client.send(get("/b"))

        served.call(stand_still)
        check_last(client, "/b")


def test_more_patience_later(start: Serve) -> None:
    """What was told last is what holds."""
    served = start(hello, keep_alive=None)
    with served.connect() as client, served.connect() as made:
        client.send(get("/a"))
        client.read_response()
        served.until(lambda: served.http.connections == 2)

        def tell() -> None:
            served.http.shutdown(1012, 1.0)
            served.http.shutdown(1012, LONG)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                time.sleep(0.001)
                served.http._sweep()
            client.send(get("/b"))
            made.send(get("/made"))

        served.call(tell)
        check_last(client, "/b")
        check_last(made, "/made")


def test_pipelined_requests(start: Serve) -> None:
    """Close is said in the last answer, not in one behind which more is asked already."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await hello(scope, receive, send)

    served = start(app)
    with served.connect() as client:
        client.send(get("/0") + get("/1") + get("/2"))
        served.until(lambda: served.http.tasks == 1)
        drain(served, LONG)
        served.call(go.set)
        for at in range(2):
            response = client.read_response()
            assert (response.body, response.get("connection")) == (b"/%d" % at, None)
        check_last(client, "/2")


def test_pipelined_requests_that_come_at_once(start: Serve) -> None:
    """The same when they are read, and answered, in one go."""
    served = start(hello)
    with served.connect() as client:
        client.send(get("/a"))
        client.read_response()
        drain(served, LONG)
        client.send(b"".join(get(f"/{at}") for at in range(5)))
        for at in range(4):
            response = client.read_response()
            assert (response.body, response.get("connection")) == (b"/%d" % at, None)
        check_last(client, "/4")


def test_body_behind_the_head_is_no_next_request(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, await read_body(receive))

    served = start(app)
    with served.connect() as client:
        drain(served, LONG)
        client.send(get("/", "Content-Length: 5", method="POST") + b"hello")
        check_last(client, "hello")


def test_websocket_is_no_longer_begun(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        client.send(get("/a"))
        client.read_response()
        drain(served, LONG)
        client.send(handshake())
        response = client.read_response()
        assert (response.status, response.get("connection")) == (503, "close")
        assert client.at_end()


def test_another_upgrade_is_a_request_as_ever(start: Serve) -> None:
    served = start(hello)
    with served.connect() as client:
        drain(served, LONG)
        client.send(get("/h2c", "Connection: Upgrade", "Upgrade: h2c"))
        check_last(client, "/h2c")


def test_over_tls(start: Serve) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue().configure_cert(server)
    app = Stream()
    served = start(app, ssl_context=server)
    context = ssl.create_default_context()
    authority().ca.configure_trust(context)

    def connect() -> Client:
        sock = socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT)
        return Client(context.wrap_socket(sock, server_hostname="localhost"))

    with connect() as idle, connect() as streamed:
        idle.send(get("/a"))
        idle.read_response()
        streamed.send(get("/stream"))
        streamed.read_head()
        assert streamed.read_chunk() == b"first"
        drain(served, LONG)
        idle.send(get("/b"))
        check_last(idle, "/b")
        served.call(app.go.set)
        assert (streamed.read_chunk(), streamed.read_chunk()) == (b"last", b"")
        streamed.send(get("/next"))
        check_last(streamed, "/next")
    with connect() as late:
        late.send(get("/late"))
        check_last(late, "/late")


@pytest.mark.parametrize("linger", [-1.0, float("nan")])
def test_negative_time(start: Serve, linger: float) -> None:
    served = start(hello)
    with pytest.raises(ValueError, match="linger"):
        drain(served, linger)
    assert served.ask(get("/a")).get("connection") is None


def log(client: str, method: str, target: str, version: str, status: int) -> None:
    pass


@pytest.mark.parametrize("access_log", [log, None])
def test_remaining(start: Serve, access_log: Any) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
        await go.wait()
        await hello(scope, receive, send)

    served = start(app, access_log=access_log)

    def name(client: Client) -> str:
        host, port = client.sock.getsockname()
        return f"{host}:{port}"

    with served.connect() as idle, served.connect() as half, served.connect() as busy:
        half.send(b"GET / HT")
        busy.send(get("/a%0Ab?secret"))
        served.until(lambda: served.http.connections == 3 and served.http.tasks == 1)
        request = r"GET '/a\nb'" if access_log else "a request"

        def told() -> set[str]:
            return set(served.http.remaining())

        expected = {
            f"an idle connection of {name(idle)}",
            f"an incomplete request of {name(half)}",
            f"{request} of {name(busy)}",
        }
        served.until(lambda: told() == expected)
        with served.connect() as ws:
            ws.send(handshake())
            assert ws.read_head().status == 101
            assert f"a WebSocket of {name(ws)}" in served.call(told)
        served.until(lambda: served.http.connections == 3)
        assert len(served.call(served.http.remaining, 2)) == 2
        assert served.call(served.http.remaining, 0) == []
        served.call(go.set)
        busy.read_response()
