# SPDX-License-Identifier: MIT
"""Extensions of the ASGI specification: files, early hints and trailers; plain and over TLS."""

import asyncio
import contextlib
import errno
import functools
import os
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import camshaft
from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Client, Served, get

Event = dict[str, Any]


def start_event(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> Event:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def body(data: bytes = b"", more: bool = False) -> Event:
    return {"type": "http.response.body", "body": data, "more_body": more}


def pathsend(path: Any) -> Event:
    return {"type": "http.response.pathsend", "path": path}


def filesend(file: Any, **more: Any) -> Event:
    return {"type": "http.response.zerocopysend", "file": file, **more}


def hint(*links: Any) -> Event:
    return {"type": "http.response.early_hint", "links": links}


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> Event:
    return {"type": "http.response.trailers", "headers": headers, "more_trailers": more}


def sending(*events: Event) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in events:
            await send(event)

    return app


@functools.cache
def certificate() -> Any:
    import trustme

    return trustme.CA().issue_cert("localhost")


class Server:
    """What starts servers, plain or with TLS, and connects to them."""

    def __init__(self, start: Serve, secure: bool) -> None:
        self.start = start
        self.secure = secure

    def __call__(self, app: Any, **options: Any) -> Served:
        if not self.secure:
            return self.start(app, **options)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate().configure_cert(context)
        return self.start(app, ssl_context=context, **options)

    def connect(self, served: Served) -> Client:
        client = served.connect()
        if self.secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            client.sock = context.wrap_socket(client.sock)
            client.sock.settimeout(LIMIT)
        return client

    @contextlib.contextmanager
    def client(self, *events: Event) -> Iterator[tuple[Served, Client]]:
        served = self(sending(*events))
        with self.connect(served) as client:
            yield served, client


@pytest.fixture(params=["plain", "tls"])
def server(start: Serve, request: pytest.FixtureRequest) -> Server:
    return Server(start, request.param == "tls")


SIZES = [0, 1, 4000, 300_000, 5_000_000]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    directory = tmp_path_factory.mktemp("files")
    made = {}
    for size in SIZES:
        made[size] = directory / f"file-{size}"
        made[size].write_bytes(random.Random(size).randbytes(size))
    return made


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- http.response.pathsend ----


def test_unread_small_files_hold_no_descriptors(start: Serve, tmp_path: Path) -> None:
    """A peer that asks for many files and reads none does not use the descriptors up."""
    path = tmp_path / "small"
    path.write_bytes(b"small")
    held: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held.append(descriptors())
        await send(start_event())
        await send(pathsend(str(path)))

    served = start(app)
    served.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(LIMIT)
        sock.connect(("127.0.0.1", served.port))
        client = Client(sock)
        client.send(get() * 600)
        served.until(lambda: len(held) >= 200)
        for _ in range(600):
            assert client.read_response().body == b"small"
    assert max(held) - min(held) < 20


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("told", [True, False])
def test_path(server: Server, files: dict[int, Path], size: int, told: bool) -> None:
    """With or without a Content-Length of the application's; and the connection goes on."""
    headers = [(b"content-length", b"%d" % size)] if told else []
    served = server(sending(start_event(*headers), pathsend(str(files[size]))))
    with server.connect(served) as client:
        for _ in range(2):
            client.send(get())
            response = client.read_response()
            assert response.get("content-length") == str(size)
            assert response.get("transfer-encoding") is None
            assert response.body == files[size].read_bytes()
        assert served.log.records == []
        served.until(lambda: served.http.tasks == 0)
    assert served.loop_errors == []


def test_path_for_head_and_not_modified(server: Server, files: dict[int, Path]) -> None:
    path = str(files[300_000])
    for status, method in ((200, "HEAD"), (304, "GET")):
        served = server(
            sending(start_event((b"content-length", b"300000"), status=status), pathsend(path))
        )
        with server.connect(served) as client:
            for _ in range(2):
                client.send(get(method=method))
                response = client.read_response(method=method)
                assert (response.status, response.get("content-length")) == (status, "300000")
        assert served.log.records == []


def test_path_in_the_old_version(server: Server, files: dict[int, Path]) -> None:
    with server.client(start_event(), pathsend(str(files[300_000]))) as (_, client):
        client.send(get(version="1.0"))
        response = client.read_response()
        assert (response.get("content-length"), response.get("connection")) == ("300000", "close")
        assert response.body == files[300_000].read_bytes()
        assert client.at_end()


def test_path_that_has_grown_is_sent_as_far_as_was_said(
    server: Server, files: dict[int, Path]
) -> None:
    events = start_event((b"content-length", b"1000")), pathsend(str(files[4000]))
    with server.client(*events) as (_, client):
        for _ in range(2):
            client.send(get())
            assert client.read_response().body == files[4000].read_bytes()[:1000]


def bad_path(directory: Path, name: str) -> Any:
    if name == "fifo":
        os.mkfifo(directory / name)
    return {
        "missing": str(directory / "missing"),
        "directory": str(directory),
        "fifo": str(directory / "fifo"),
        "nul": "a\0b",
        "number": 1.5,
        "none": None,
    }[name]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", FileNotFoundError),
        ("directory", ValueError),
        ("fifo", ValueError),
        ("nul", ValueError),
        ("number", TypeError),
        ("none", TypeError),
    ],
)
def test_path_that_cannot_be_sent(server: Server, tmp_path: Path, name: str, error: Any) -> None:
    """The head is not out yet, so the answer is 500."""
    before = descriptors()
    with server.client(start_event(), pathsend(bad_path(tmp_path, name))) as (served, client):
        opened = descriptors() - before
        client.send(get())
        assert client.read_response().status == 500
        assert isinstance(served.log.records[0][2], error)
        served.until(lambda: served.http.tasks == 0)
        assert descriptors() - before <= opened + 1  # the accepted connection


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([start_event((b"content-length", b"9999")), "path"], "shorter than Content-Length"),
        ([start_event(), body(b"a", True), "path"], "nothing may come before it"),
        ([start_event(), "path", body()], "after response already completed"),
        ([start_event(), "path", "path"], "after response already completed"),
        (["path"], "Expected ASGI message 'http.response.start'"),
        ([start_event(), {"type": "http.response.pathsend"}], "has no 'path'"),
    ],
)
def test_path_in_a_wrong_order(
    server: Server, files: dict[int, Path], events: Any, text: str
) -> None:
    app = sending(*(pathsend(str(files[4000])) if e == "path" else e for e in events))
    served = server(app)
    with server.connect(served) as client:
        client.send(get())
        client.read_head()
        served.until(lambda: bool(served.log.records))
    assert text in str(served.log.records[0][2])


# ---- http.response.zerocopysend ----


@pytest.mark.parametrize("chunked", [True, False])
def test_parts_of_a_file_between_bytes(
    server: Server, files: dict[int, Path], chunked: bool
) -> None:
    """From where the file stands, or an offset; mixed with ordinary body events."""
    data = files[300_000].read_bytes()
    whole = b"begin" + data[:1000] + data[1000:5000] + b"-" + data[200_000:] + data[10:20] + b"end"
    headers = [] if chunked else [(b"content-length", b"%d" % len(whole))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with open(files[300_000], "rb", buffering=0) as file:
            await send(start_event(*headers))
            await send(body(b"begin", True))
            await send(filesend(file, count=1000, more_body=True))
            await send(filesend(file, count=4000, more_body=True))
            await send(body(b"-", True))
            await send(filesend(file.fileno(), offset=200_000, more_body=True))
            await send(filesend(file, offset=10, count=10, more_body=True))
            await send(filesend(file, offset=400_000, more_body=True))
            assert file.tell() == 5000
        await send(body(b"end"))

    served = server(app)
    with server.connect(served) as client:
        for _ in range(2):
            client.send(get())
            response = client.read_response()
            assert (response.get("transfer-encoding") == "chunked") is chunked
            assert response.body == whole
    assert served.log.records == []


@pytest.mark.parametrize("size", SIZES)
def test_file_as_the_whole_body(server: Server, files: dict[int, Path], size: int) -> None:
    """The application closes its file at once, and has a length told for it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start_event())
        with open(files[size], "rb") as file:
            await send(filesend(file))

    served = server(app)
    with server.connect(served) as client:
        for _ in range(2):
            client.send(get())
            response = client.read_response()
            assert response.get("content-length") == str(size)
            assert response.body == files[size].read_bytes()
    assert served.log.records == []


class Opened:
    """Descriptors of several kinds, by name."""

    def __init__(self, path: Path) -> None:
        self.read = os.open(path, os.O_RDONLY)
        self.write = os.open(path, os.O_WRONLY)
        self.pipe, self.other = os.pipe()

    def close(self) -> None:
        for fd in (self.read, self.write, self.pipe, self.other):
            os.close(fd)


@pytest.mark.parametrize(
    ("kind", "more", "error", "text"),
    [
        ("read", {"count": 4001}, ValueError, "4000 bytes from 0 on, not 4001"),
        ("read", {"offset": 3999, "count": 2}, ValueError, "1 bytes from 3999 on"),
        ("read", {"offset": -1}, ValueError, "offset cannot be negative"),
        ("read", {"count": -1}, ValueError, "count cannot be negative"),
        ("read", {"count": "1"}, TypeError, ""),
        ("read", {"offset": 1.0}, TypeError, ""),
        ("read", {"offset": 2**70}, OverflowError, ""),
        ("write", {}, OSError, os.strerror(errno.EBADF)),
        ("pipe", {}, ValueError, "only a regular file"),
        (None, {}, TypeError, "fileno"),
        ("a name", {}, TypeError, ""),
        (-5, {}, ValueError, ""),
        (99999, {}, OSError, os.strerror(errno.EBADF)),
    ],
)
def test_file_that_cannot_be_sent(
    server: Server, files: dict[int, Path], kind: Any, more: Any, error: Any, text: str
) -> None:
    opened = Opened(files[4000])
    file = getattr(opened, kind, kind) if isinstance(kind, str) else kind
    try:
        with server.client(start_event(), filesend(file, **more)) as (served, client):
            client.send(get())
            assert client.read_response().status == 500
            raised = served.log.records[0][2]
            assert isinstance(raised, error)
            assert text in str(raised)
    finally:
        opened.close()


def test_file_that_becomes_shorter(server: Server, tmp_path: Path) -> None:
    """What was promised cannot be kept: the connection ends, and not as if all was sent."""
    path = tmp_path / "shrinking"
    size = 50_000_000
    with open(path, "wb") as file:
        file.truncate(size)
    with server.client(start_event(), pathsend(str(path))) as (served, client):
        client.send(get())
        client.read_head()
        os.truncate(path, 1000)
        got = 0
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while data := client.read_some():
                got += len(data)
        assert got < size
    served.until(lambda: served.http.connections == 0 and served.http.tasks == 0)


def test_peer_that_does_not_read_a_file(server: Server, tmp_path: Path) -> None:
    """Little of it is in memory, others are served meanwhile, and nothing is left of it."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(200_000_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start_event())
        if scope["path"] == "/file":
            await send(pathsend(str(path)))
        else:
            await send(body(b"small"))

    served = server(app)
    before = descriptors()
    with server.connect(served) as slow, server.connect(served) as other:
        slow.send(get("/file"))
        assert slow.read_head().get("content-length") == "200000000"
        for _ in range(20):
            other.send(get())
            assert other.read_response().body == b"small"
    served.until(lambda: served.http.connections == 0 and served.http.tasks == 0)
    assert served.log.messages == []
    assert served.loop_errors == []
    served.until(lambda: descriptors() <= before)


def test_nothing_else_is_sent_while_a_file_is(server: Server, files: dict[int, Path]) -> None:
    """Its place in the body is known from the moment of send(), and others come behind it."""
    data = files[300_000].read_bytes()
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start_event())
        with open(files[300_000], "rb") as file:
            first = asyncio.ensure_future(send(filesend(file, more_body=True)))
        try:
            await send(body(b"between", True))
        except RuntimeError as error:
            errors.append(str(error))
        await first
        await send(body(b"behind"))

    served = server(app)
    with server.connect(served) as client:
        client.send(get())
        got = client.read_response().body
    if errors:
        assert errors == ["Unexpected ASGI message 'http.response.body' while a file is sent."]
        assert got == data + b"behind"
    else:
        assert got == data + b"betweenbehind"
    assert served.log.records == []


def test_file_that_is_never_awaited(server: Server, files: dict[int, Path]) -> None:
    """The answer cannot be completed, the descriptor is closed all the same."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start_event())
        waiting = send(pathsend(str(files[300_000])))
        if hasattr(waiting, "cr_frame"):
            waiting.close()

    served = server(app)
    before = descriptors()
    with server.connect(served) as client:
        client.send(get())
        assert client.read_response().status in (200, 500)
    served.until(lambda: served.http.connections == 0 and served.http.tasks == 0)
    assert descriptors() <= before


def test_files_of_starlette(server: Server, files: dict[int, Path]) -> None:
    """Its FileResponse and StaticFiles use pathsend where a server has it."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    class Through(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    static = Mount("/", StaticFiles(directory=files[4000].parent))
    sent: list[str] = []

    def recording(app: Any) -> Any:
        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            async def note(event: Any) -> None:
                sent.append(event["type"])
                await send(event)

            await app(scope, receive, note)

        return recorded

    for middleware in ([], [Middleware(Through)], [Middleware(GZipMiddleware)]):
        served = server(recording(Starlette(routes=[static], middleware=middleware)))
        with server.connect(served) as client:
            for size in SIZES:
                client.send(get(f"/file-{size}"))
                assert client.read_response().body == files[size].read_bytes()
            client.send(get("/file-4000", "Range: bytes=10-19"))
            response = client.read_response()
            assert (response.status, response.body) == (206, files[4000].read_bytes()[10:20])
            client.send(get("/file-4000", method="HEAD"))
            assert client.read_response(method="HEAD").get("content-length") == "4000"
            client.send(get("/none"))
            assert client.read_response().status == 404
        assert served.log.records == []
    assert sent.count("http.response.pathsend") >= 2 * len(SIZES)


# ---- http.response.early_hint ----


def test_early_hints(server: Server) -> None:
    """RFC 8297: before the head, any number of them, at once."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(hint(b"</a.css>; rel=preload", b"</b.js>; rel=preload"))
        await send(start_event((b"link", b"</a.css>; rel=preload")))
        await send(hint(b"</c>; rel=x"))
        await go.wait()
        await send(body(b"hello", True))
        await send(hint(b"</late>"))
        await send(body())

    served = server(app)
    with server.connect(served) as client:
        client.send(get())
        first, second = client.read_head(), client.read_head()
        assert (first.status, first.reason) == (103, "Early Hints")
        assert first.headers == [
            ("link", "</a.css>; rel=preload"),
            ("link", "</b.js>; rel=preload"),
        ]
        assert (second.status, second.headers) == (103, [("link", "</c>; rel=x")])
        served.call(go.set)
        response = client.read_response()
        assert (response.status, response.body) == (200, b"hello")
        assert response.all("link") == ["</a.css>; rel=preload"]
    assert served.log.records == []


def test_no_early_hints_to_the_old_version(server: Server) -> None:
    """RFC 9110, 15.2: a server sends no 1xx to it."""
    with server.client(start_event(), hint(b"</a>"), body(b"a")) as (_, client):
        client.send(get(version="1.0"))
        assert client.read_response().status == 200


@pytest.mark.parametrize(
    ("links", "error"),
    [
        ([b"</a>\r\nx: y"], RuntimeError),
        ([b"\0"], RuntimeError),
        (["</a>"], TypeError),
        (1, TypeError),
    ],
)
def test_bad_early_hints(server: Server, links: Any, error: Any) -> None:
    event = {"type": "http.response.early_hint", "links": links}
    with server.client(start_event(), event) as (served, client):
        client.send(get())
        assert client.read_response().status == 500
        assert isinstance(served.log.records[0][2], error)


def test_early_hints_of_nothing(server: Server) -> None:
    with server.client(start_event(), hint(), body(b"a")) as (_, client):
        client.send(get())
        assert client.read_response().status == 200


# ---- http.response.trailers ----


def read_trailers(client: Client) -> tuple[bytes, bytes]:
    """Return the body in chunks that is next, and the lines of its trailer section."""
    data = b""
    while size := int(client.read_until(b"\r\n"), 16):
        data += client.read_exactly(size)
        assert client.read_exactly(2) == b"\r\n"
    lines = b""
    while (line := client.read_until(b"\r\n")) != b"\r\n":
        lines += line
    return data, lines


TE = "TE: gzip, Trailers"


@pytest.mark.parametrize("parts", [[b"hello"], [b"he", b"", b"llo"], [b"hello", b""], [b""]])
def test_trailers(server: Server, parts: list[bytes]) -> None:
    """RFC 9112, 7.1.2: after the last chunk, to those who ask for them."""
    bodies = [body(part, at < len(parts) - 1) for at, part in enumerate(parts)]
    ends = trailers((b"X-Sum", b"1"), more=True), trailers((b"x-b", b""), (b"x-b", b"2"))
    served = server(sending(start_event((b"trailer", b"x-sum"), trailers=True), *bodies, *ends))
    with server.connect(served) as client:
        for _ in range(2):
            client.send(get("/", TE))
            head = client.read_head()
            assert head.get("transfer-encoding") == "chunked"
            assert head.get("trailer") == "x-sum"
            assert read_trailers(client) == (b"".join(parts), b"x-sum: 1\r\nx-b: \r\nx-b: 2\r\n")
    assert served.log.records == []


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        (get(), []),
        (get("/", "TE: gzip"), []),
        (get("/", TE, version="1.0"), []),
        (get("/", TE), [(b"content-length", b"5")]),
        (get("/", TE, method="HEAD"), []),
    ],
    ids=["not asked for", "other coding", "old version", "length", "head"],
)
def test_trailers_that_are_dropped(server: Server, request_: bytes, headers: Any) -> None:
    """To the application it is all the same; and the connection goes on where it can."""
    served = server(
        sending(start_event(*headers, trailers=True), body(b"hello"), trailers((b"x-a", b"1")))
    )
    method = request_.split(b" ")[0].decode()
    with server.connect(served) as client:
        for _ in range(1 if b"HTTP/1.0" in request_ else 2):
            client.send(request_)
            response = client.read_response(method=method)
            assert response.body == (b"" if method == "HEAD" else b"hello")
            assert response.get("x-a") is None
    served.until(lambda: served.http.tasks == 0)
    assert served.log.records == []


def test_trailers_are_asked_for_in_each_request(server: Server) -> None:
    """Also when a header block is the same as the one before, which is then not parsed."""
    served = server(sending(start_event(trailers=True), body(b"a"), trailers((b"x-a", b"1"))))
    with server.connect(served) as client:
        for asked in (True, True, False, False, True, True):
            client.send(get("/", *([TE] if asked else [])))
            head = client.read_head()
            if asked:
                assert read_trailers(client) == (b"a", b"x-a: 1\r\n")
            else:
                assert head.get("content-length") == "1"
                assert client.read_exactly(1) == b"a"


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("event", "text"),
    [
        (trailers((b"content-length", b"5")), "cannot be a trailer"),
        (trailers((b"Transfer-Encoding", b"chunked")), "cannot be a trailer"),
        (trailers((b"a b", b"")), "Invalid HTTP header name"),
        (trailers((b"a", b"b\r\nc: d")), "Invalid HTTP header value"),
        (trailers(("a", b"b")), "must be bytes"),  # type: ignore[arg-type]
        (body(b"more"), "Expected ASGI message 'http.response.trailers'"),
        (start_event(), "Expected ASGI message 'http.response.trailers'"),
    ],
)
def test_bad_trailers(server: Server, asked: bool, event: Event, text: str) -> None:
    """The body is out: the connection ends, and the answer is not taken for a complete one."""
    with server.client(start_event(trailers=True), body(b"a"), event) as (served, client):
        client.send(get("/", *([TE] if asked else [])))
        client.read_head()
        rest = client.read_all()
        assert rest == (b"1\r\na\r\n" if asked else b"a")
    assert text in str(served.log.records[0][2])


def test_trailers_that_were_not_announced(server: Server) -> None:
    with server.client(start_event(), body(b"a", True), trailers()) as (served, client):
        client.send(get("/", TE))
        client.read_head()
        client.read_all()
    assert "Expected ASGI message 'http.response.body'" in str(served.log.records[0][2])


def test_trailers_that_never_come(server: Server) -> None:
    with server.client(start_event(trailers=True), body(b"a")) as (served, client):
        client.send(get("/", TE))
        client.read_head()
        assert client.read_all() == b"1\r\na\r\n"
    assert served.log.messages == ["ASGI callable returned without completing response."]


# ---- after a disconnect ----


def test_files_to_nobody(server: Server, files: dict[int, Path]) -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start_event())
        try:
            with open(files[5_000_000], "rb") as file:
                while True:
                    await send(filesend(file, offset=0, more_body=True))
        except OSError as error:
            ended.append(type(error))
            raise

    served = server(app)
    before = descriptors()
    client = server.connect(served)
    client.send(get())
    client.read_head()
    client.sock.close()
    served.until(lambda: bool(ended) and served.http.tasks == 0)
    assert ended == [camshaft.ClientDisconnected]
    assert served.log.messages == []
    served.until(lambda: served.http.connections == 0)
    served.until(lambda: descriptors() <= before)
