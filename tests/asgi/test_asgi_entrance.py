# SPDX-License-Identifier: MIT
"""What comes before HTTP on our own loop: the PROXY header, TLS, and what is neither."""

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from camshaft import _core
from camshaft.middleware.proxy_headers import TrustedHosts
from camshaft.server.tls import TlsInfo, served_certificate
from tests.asgi.harness import LIMIT, LOOPS, Client, Served, answer, get, post, read_body
from tests.certificates import authority

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Entered(Served):
    """An application behind an Entrance, whose log lines are in `lines`."""

    def __init__(self, app: Any, *, entrance: dict[str, Any], **options: Any) -> None:
        self.lines: list[str] = []
        self.settings = {"logger": self, **entrance}
        super().__init__(app, LOOPS["camshaft"], **options)

    def warning(self, message: str, *args: object) -> None:
        self.lines.append(message % args)

    debug = warning

    async def _listen(self) -> None:
        self.http = _core.HttpServer(self.app, loop=self.loop, **self.options)
        self.entrance = _core.Entrance(self.loop, self.http, **self.settings)
        if self.unix_path is not None:
            self.server = await self.loop.create_unix_server(self.entrance, self.unix_path)
        else:
            self.server = await self.loop.create_server(self.entrance, "127.0.0.1", 0)
            self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self.call(self.entrance.close)
        super().close()


@pytest.fixture
def enter() -> Iterator[Any]:
    with ExitStack() as stack:

        def begin(app: Any, **settings: Any) -> Entered:
            served = Entered(app, **settings)
            stack.callback(served.close)
            return served

        yield begin


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue().configure_cert(context)
    return context


async def tell(scope: Any, receive: Any, send: Any) -> None:
    body = await read_body(receive)
    told = [scope["scheme"], scope["client"], scope["server"], len(body)]
    await answer(send, json.dumps(told).encode())


def secure(client: Client) -> Client:
    return Client(authority().client().wrap_socket(client.sock, server_hostname="localhost"))


# ---- TLS ----


def test_tls(enter: Any, context: ssl.SSLContext) -> None:
    info = TlsInfo()
    info.learn(context, served_certificate(context))
    served = enter(tell, entrance={"ssl_context": context}, tls_info=info)
    with secure(served.connect()) as client:
        here = list(client.sock.getsockname())
        for size in (0, 10, 1_000_000):
            client.send(post(b"x" * size))
            told = json.loads(client.read_response().body)
            assert told == ["https", here, ["127.0.0.1", served.port], size]
        client.send(get() + get())
        assert [client.read_response().status for _ in range(2)] == [200, 200]
        assert served.call(lambda: served.entrance.arrivals) == 0
        assert served.http.connections == 1
    served.until(lambda: served.http.connections == 0)
    assert served.lines == served.loop_errors == []


def test_hello_byte_by_byte(enter: Any, context: ssl.SSLContext) -> None:
    served = enter(tell, entrance={"ssl_context": context})
    with served.connect() as raw:
        to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority().client().wrap_bio(to_us, to_them, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in to_them.read():
                    raw.send(bytes([byte]))
                to_us.write(raw.read_some())
        tls.write(get())
        raw.send(to_them.read())
        served.until(lambda: served.http.requests == 1)


def test_the_next_context(enter: Any, context: ssl.SSLContext) -> None:
    served = enter(tell, entrance={"ssl_context": context})
    new = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority().issue()
    leaf.configure_cert(new)
    with secure(served.connect()) as old:
        served.call(setattr, served.entrance, "ssl_context", new)
        assert served.call(lambda: served.entrance.ssl_context) is new
        with secure(served.connect()) as client:
            client.send(get())
            assert client.read_response().status == 200
            assert client.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(
                leaf.cert_chain_pems[0].bytes().decode()
            )
        old.send(get())
        assert old.read_response().status == 200
    for wrong in (None,):
        with pytest.raises(ValueError):
            served.call(setattr, served.entrance, "ssl_context", wrong)
    with pytest.raises(ValueError):
        served.call(delattr, served.entrance, "ssl_context")


def test_context_that_is_none(enter: Any) -> None:
    served = enter(tell, entrance={"ssl_context": object()})
    with served.connect() as client:
        client.send(b"\x16\3\1\0\x05hello")
        assert client.at_end()
    served.until(lambda: len(served.loop_errors) == 1)
    assert isinstance(served.loop_errors.pop()["exception"], AttributeError)
    assert served.entrance.arrivals == 0


def test_no_tls_at_all(enter: Any, context: ssl.SSLContext) -> None:
    served = enter(tell, entrance={"ssl_context": context})
    with served.connect() as client:
        client.send(b"\0\1\2\3\4\5\6\7")
        client.read_all()
    with served.connect() as client:
        client.send(b"\x16\x09\x09\0\x05hello")
        client.read_all()
    with served.connect():
        pass
    served.until(lambda: served.entrance.arrivals == 0)
    assert served.http.connections == 0
    with secure(served.connect()) as client:
        client.send(get())
        assert client.read_response().status == 200


@pytest.mark.parametrize(
    "request_", [get(), post(b"x" * 10_000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_plain_text(enter: Any, context: ssl.SSLContext, request_: bytes) -> None:
    served = enter(tell, entrance={"ssl_context": context})
    with served.connect() as client:
        client.send(request_)
        response = client.read_response()
        assert response.status == 400
        assert response.body == b"This port speaks TLS: ask by https://\n"
        assert client.at_end()
        port = client.sock.getsockname()[1]
    served.until(lambda: served.entrance.arrivals == 0)
    assert served.lines == [f"A request in plain text on a TLS port: 127.0.0.1:{port}"]
    assert served.loop_errors == []


def test_plain_text_without_end(enter: Any, context: ssl.SSLContext) -> None:
    """What is sent on is read for a while, and then the connection is dropped."""
    served = enter(tell, entrance={"ssl_context": context})
    with served.connect() as client:
        with pytest.raises(OSError):
            while True:
                client.send(b"GET " * 10_000)
    served.until(lambda: served.entrance.arrivals == 0)


def test_handshakes_have_a_time(enter: Any, context: ssl.SSLContext) -> None:
    served = enter(tell, entrance={"ssl_context": context, "time_limit": 1.0})
    with served.connect() as silent, served.connect() as slow:
        slow.send(b"\x16\3\1\0\x50")
        for client in (silent, slow):
            assert client.read_all() == b""
        port = slow.sock.getsockname()[1]
    served.until(lambda: served.entrance.arrivals == 0)
    assert served.lines == [
        f"Connection closed, as its TLS handshake took too long: 127.0.0.1:{port}"
    ]


def test_only_so_many_handshakes(enter: Any, context: ssl.SSLContext) -> None:
    """The oldest has to go; those that have arrived are not counted."""
    served = enter(tell, entrance={"ssl_context": context, "limit": 3})
    with ExitStack() as stack:
        arrived = [stack.enter_context(secure(served.connect())) for _ in range(5)]
        served.until(lambda: served.http.connections == 5)
        waiting = []
        for number in range(3):
            waiting.append(stack.enter_context(served.connect()))
            served.until(lambda number=number: served.entrance.arrivals == number + 1)
        waiting[1].send(b"\x16\3\1\0\x50")
        for number in range(2):
            waiting.append(stack.enter_context(served.connect()))
            assert waiting[number].at_end()
        assert served.entrance.arrivals == 3
        for client in arrived:
            client.send(get())
            assert client.read_response().status == 200
        # Said once in a while, lest a flood of them fills the log.
        assert len(served.lines) == 1
        assert served.lines[0].startswith(
            "Too many connections that have not begun, the oldest is closed: 127.0.0.1:"
        )


def test_close(enter: Any, context: ssl.SSLContext) -> None:
    served = enter(tell, entrance={"ssl_context": context})
    with served.connect() as waiting, secure(served.connect()) as client:
        served.until(lambda: served.entrance.arrivals == 1 and served.http.connections == 1)
        served.call(served.entrance.close)
        assert waiting.at_end()
        client.send(get())
        assert client.read_response().status == 200
        with served.connect() as late:
            assert late.at_end()


# ---- the PROXY protocol ----


def v2(source: Any, target: Any, family: int = socket.AF_INET, more: bytes = b"") -> bytes:
    code = {socket.AF_INET: 0x11, socket.AF_INET6: 0x21}[family]
    ends = b"".join(socket.inet_pton(family, host) for host, _ in (source, target))
    ends += struct.pack("!HH", source[1], target[1])
    return SIGNATURE + struct.pack("!BBH", 0x21, code, len(ends + more)) + ends + more


HEADERS = [
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", ["1.2.3.4", 9], ["5.6.7.8", 10]),
    (b"PROXY TCP6 2001:db8::1 ::2 65535 443\r\n", ["2001:db8::1", 65535], ["::2", 443]),
    (b"PROXY UNKNOWN what ever\r\n", None, None),
    (v2(("1.2.3.4", 9), ("5.6.7.8", 10)), ["1.2.3.4", 9], ["5.6.7.8", 10]),
    (
        v2(("2001:db8::1", 1), ("::2", 2), socket.AF_INET6, b"\4\0\x10" + b"x" * 16),
        ["2001:db8::1", 1],
        ["::2", 2],
    ),
    (SIGNATURE + b"\x20\0\0\0", None, None),
    (
        SIGNATURE + b"\x21\x31\0\xd8" + b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0"),
        [],
        ["/b", None],
    ),
]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("header", "source", "target"), HEADERS)
def test_proxy_header(
    enter: Any, context: ssl.SSLContext, header: bytes, source: Any, target: Any, tls: bool
) -> None:
    lines: list[str] = []
    served = enter(
        tell,
        entrance={
            "proxies": TrustedHosts("127.0.0.1"),
            "ssl_context": context if tls else None,
        },
        access_log=lambda client, *_: lines.append(client),
    )
    for cut in (len(header), 1, len(header) // 2):
        with served.connect() as raw:
            here = list(raw.sock.getsockname())
            for at in range(0, len(header), cut):
                raw.send(header[at : at + cut])
            client = secure(raw) if tls else raw
            with client:
                for _ in range(2):
                    client.send(get())
                    scheme, peer, server, _ = json.loads(client.read_response().body)
                    assert scheme == ("https" if tls else "http")
                    assert peer == (here if source is None else source or None)
                    assert server == (["127.0.0.1", served.port] if target is None else target)
    served.until(lambda: len(lines) == 6)
    if source:
        assert set(lines) == {f"{source[0]}:{source[1]}"}
    assert served.lines == []


def test_header_and_requests_in_one_piece(enter: Any) -> None:
    served = enter(tell, entrance={"proxies": TrustedHosts("127.0.0.1")})
    with served.connect() as client:
        client.send(HEADERS[0][0] + get() + post(b"abc"))
        assert json.loads(client.read_response().body)[1] == ["1.2.3.4", 9]
        assert json.loads(client.read_response().body)[3] == 3


def test_forwarded_headers_after_it(enter: Any) -> None:
    """What the proxy tells of is the peer that has to be trusted."""
    served = enter(
        tell,
        entrance={"proxies": TrustedHosts("127.0.0.1")},
        trusted_proxies=TrustedHosts("1.2.3.4"),
    )
    for header, peer in (
        (HEADERS[0][0], "9.9.9.9"),
        (b"PROXY TCP4 4.3.2.1 5.6.7.8 9 10\r\n", "4.3.2.1"),
    ):
        with served.connect() as client:
            client.send(header + get("/", "X-Forwarded-For: 9.9.9.9"))
            assert json.loads(client.read_response().body)[1][0] == peer


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (get(), "it does not begin with a PROXY header"),
        (b"\x16\3\1\0\x50", "it does not begin with a PROXY header"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n", "the line of its PROXY header is malformed"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 x\r\n", "its PROXY header has a wrong address or port"),
        (b"PROXY UNKNOWN " + b"x" * 100, "the line of its PROXY header is malformed"),
        (
            SIGNATURE + b"\x31",
            "its PROXY header is of an unknown version, command or family",
        ),
        (
            SIGNATURE + b"\x21\x11\0\x01\0",
            "its PROXY header is shorter than its addresses",
        ),
    ],
)
def test_wrong_header(enter: Any, sent: bytes, reason: str) -> None:
    served = enter(tell, entrance={"proxies": TrustedHosts("127.0.0.1")})
    with served.connect() as client:
        client.send(sent)
        assert client.at_end()
        port = client.sock.getsockname()[1]
    assert served.lines == [f"Connection closed, as {reason}: 127.0.0.1:{port}"]
    assert served.http.requests == served.entrance.arrivals == 0


def test_header_that_does_not_come(enter: Any) -> None:
    served = enter(tell, entrance={"proxies": TrustedHosts("127.0.0.1"), "time_limit": 1.0})
    with served.connect() as client:
        client.send(b"PROXY ")
        assert client.at_end()
    assert served.lines[0].startswith(
        "Connection closed, as its PROXY header did not come in time: 127.0.0.1:"
    )


def test_header_that_ends_early(enter: Any) -> None:
    served = enter(tell, entrance={"proxies": TrustedHosts("127.0.0.1")})
    with served.connect() as client:
        client.send(b"PROXY ")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
    assert served.lines[0].startswith(
        "Connection closed, as it ended within its PROXY header: 127.0.0.1:"
    )
    # Looking whether anybody listens is nothing to complain of.
    with served.connect():
        pass
    served.until(lambda: served.entrance.arrivals == 0)
    assert len(served.lines) == 1


def test_peers_that_are_not_listed(enter: Any) -> None:
    """They are served without a header, and one is no request."""
    served = enter(tell, entrance={"proxies": TrustedHosts("10.0.0.0/8, ::1")})
    assert served.ask(get()).status == 200
    assert served.ask(HEADERS[0][0] + get()).status == 400


@pytest.mark.parametrize(
    ("proxies", "listed"), [("unix:", True), ("*", True), ("127.0.0.1", False)]
)
def test_unix_sockets(enter: Any, tmp_path: Any, proxies: str, listed: bool) -> None:
    served = enter(
        tell, entrance={"proxies": TrustedHosts(proxies)}, unix_path=str(tmp_path / "socket")
    )
    request = (HEADERS[0][0] if listed else b"") + get()
    peer = json.loads(served.ask(request).body)[1]
    assert peer == (["1.2.3.4", 9] if listed else None)


# ---- the object ----


def test_arguments() -> None:
    loop: Any = LOOPS["camshaft"]()
    try:
        make = _core.Entrance
        for wrong in ({"limit": 0}, {"time_limit": 0}, {"time_limit": float("nan")}):
            with pytest.raises(ValueError):
                make(loop, tell, **wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="loop must be"):
            make(None, tell)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            make(loop, tell, proxies=object())  # type: ignore[arg-type]
        entrance = make(loop, tell, time_limit=1e300)
        with pytest.raises(TypeError):
            entrance(1)
        with pytest.raises(ValueError):
            entrance.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert isinstance(entrance(), _core.Arrival)
    finally:
        loop.close()


def test_tls_below(enter: Any, context: ssl.SSLContext) -> None:
    """An arrival is the protocol of a stream, and of nothing on top of one."""
    served = enter(tell, entrance={"ssl_context": context})

    async def listen() -> int:
        server = await served.loop.create_server(
            served.entrance, "127.0.0.1", 0, ssl=served.entrance.ssl_context
        )
        port: int = server.sockets[0].getsockname()[1]
        return port

    served.port = served.run(listen())
    with secure(served.connect()) as client:
        assert client.at_end()
    served.until(lambda: len(served.loop_errors) == 1)
    assert isinstance(served.loop_errors.pop()["exception"], TypeError)


@pytest.mark.parametrize("header", [HEADERS[1][0], HEADERS[-1][0]])
def test_socket_behind_a_proxy(header: bytes) -> None:
    """The socket object is what the descriptor is, whatever the proxy has told."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        made: asyncio.Future[Any] = loop.create_future()

        class Noting(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.set_result(transport)

        entrance = _core.Entrance(loop, Noting, proxies=TrustedHosts("127.0.0.1"))
        server = await loop.create_server(entrance, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        writer.write(header)
        transport = await made
        sock = transport.get_extra_info("socket")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.getsockname() == address
        assert transport.get_extra_info("sockname") != address
        transport.abort()
        writer.close()
        entrance.close()
        server.close()

    with asyncio.Runner(loop_factory=LOOPS["camshaft"]) as runner:
        runner.run(asyncio.wait_for(main(), LIMIT))


def test_protocols_of_any_kind() -> None:
    """What came along with the header reaches buffered protocols, and one that takes over."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    class Buffered(asyncio.BufferedProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.buffer = bytearray(4)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.transport.write(self.buffer[:nbytes])

    class Successor(Buffered):
        """Leaves the connection to another protocol in the midst of its bytes."""

        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            following = Echo()
            following.connection_made(self.transport)
            self.transport.set_protocol(following)

    class Changing(Echo):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            following = Echo()
            following.connection_made(transport)
            transport.set_protocol(following)

    class Closing(Buffered):
        def get_buffer(self, sizehint: int) -> bytearray:
            self.transport.write(b"hello world")
            self.transport.close()
            self.transport.abort()
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            raise AssertionError("it is closed")

    async def main(factory: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        errors: list[Any] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        entrance = _core.Entrance(loop, factory, proxies=TrustedHosts("127.0.0.1"))
        server = await loop.create_server(entrance, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(HEADERS[0][0] + b"hello world")
        assert await reader.readexactly(11) == b"hello world"
        writer.close()
        entrance.close()
        server.close()
        assert errors == []

    for factory in (Echo, Buffered, Successor, Changing, Closing):
        with asyncio.Runner(loop_factory=LOOPS["camshaft"]) as runner:
            runner.run(asyncio.wait_for(main(factory), LIMIT))


def test_any_protocol(context: ssl.SSLContext) -> None:
    """The factory may be anybody's, and may fail."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def main(tls: bool) -> None:
        loop: Any = asyncio.get_running_loop()
        errors: list[Any] = []
        loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
        made: list[Any] = [Echo, ZeroDivisionError]

        def factory() -> Any:
            kind = made.pop(0)
            if kind is ZeroDivisionError:
                raise kind
            return kind()

        entrance = _core.Entrance(
            loop,
            factory,
            ssl_context=context if tls else None,
            proxies=TrustedHosts("127.0.0.1"),
            logger=logging.getLogger("uvicorn.error"),
        )
        server = await loop.create_server(entrance, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for number in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEADERS[0][0])
            if tls:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.start_tls(authority().client(), server_hostname="localhost")
            if number == 0:
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
            else:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
        assert [type(error) for error in errors] == [ZeroDivisionError]
        entrance.close()
        server.close()

    for tls in (False, True):
        with asyncio.Runner(loop_factory=LOOPS["camshaft"]) as runner:
            runner.run(asyncio.wait_for(main(tls), LIMIT))
