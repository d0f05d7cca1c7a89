# SPDX-License-Identifier: MIT
"""An HttpServer on a loop in a thread of its own, and a client that sends exactly what it is told.

Nothing here depends on time but the limits after which a hang is called one.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import camshaft
from camshaft import _core

# Seconds. Generous: the slowest run is that under sanitizers on a busy machine.
LIMIT = 60.0

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "camshaft": camshaft.new_event_loop,
    "asyncio": asyncio.SelectorEventLoop,
}

App = Callable[[Any, Any, Any], Awaitable[Any]]


class Log:
    """What the server logs, as (level, message, exception)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, BaseException | None]] = []

    def debug(self, message: str) -> None:
        self.records.append(("debug", message, None))

    def info(self, message: str, *args: Any) -> None:
        self.records.append(("info", message % args, None))

    def warning(self, message: str) -> None:
        self.records.append(("warning", message, None))

    def error(self, message: str, exc_info: BaseException | None = None) -> None:
        self.records.append(("error", message, exc_info))

    @property
    def messages(self) -> list[str]:
        """What is logged above the level of debugging."""
        return [message.strip() for level, message, _ in self.records if level != "debug"]


class Served:
    """A served application. `run` and `call` do something on the loop's thread."""

    def __init__(
        self,
        app: App,
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
        *,
        ssl_context: ssl.SSLContext | None = None,
        unix_path: str | None = None,
        **options: Any,
    ) -> None:
        self.app = app
        self.log = Log()
        self.loop_errors: list[dict[str, Any]] = []
        self.loop = loop_factory()
        self.loop.set_exception_handler(lambda _, context: self.loop_errors.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.unix_path = unix_path
        self.ssl_context = ssl_context
        self.options: dict[str, Any] = {"logger": self.log, **options}
        self.run(self._listen())

    async def _listen(self) -> None:
        self.http = _core.HttpServer(self.app, loop=self.loop, **self.options)
        if self.unix_path is not None:
            self.server = await self.loop.create_unix_server(self.http, self.unix_path)
        else:
            self.server = await self.loop.create_server(
                self.http, "127.0.0.1", 0, ssl=self.ssl_context
            )
            self.port = self.server.sockets[0].getsockname()[1]

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        result: Future[Any] = Future()

        def step() -> None:
            try:
                result.set_result(function(*args))
            except BaseException as error:
                result.set_exception(error)

        self.loop.call_soon_threadsafe(step)
        return result.result(LIMIT)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, looked at on the loop's thread."""

        async def poll() -> None:
            async with asyncio.timeout(LIMIT):
                while not condition():
                    await asyncio.sleep(0.005)

        self.run(poll())

    def connect(self) -> "Client":
        if self.unix_path is not None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(LIMIT)
            sock.connect(self.unix_path)
        else:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(sock)

    def ask(self, data: bytes, *, method: str = "GET") -> "Response":
        """Send one request on a connection of its own and return its answer."""
        with self.connect() as client:
            client.send(data)
            return client.read_response(method=method)

    def close(self) -> None:
        async def end() -> None:
            self.server.close()
            self.http.cancel()
            self.http.abort()
            async with asyncio.timeout(LIMIT):
                while self.http.connections or self.http.tasks:
                    await asyncio.sleep(0.005)
            # What the streams of asyncio's TLS still have to do.
            await asyncio.sleep(0)

        try:
            self.run(end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(LIMIT)
            assert not self.thread.is_alive()
            self.loop.close()


class Response:
    def __init__(
        self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Client:
    """A socket, and what was read from it and not used."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.held = bytearray()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_some(self) -> bytes:
        """Return what there is, at least one byte; nothing at the end of the connection."""
        return self._take(len(self.held)) if self.held else self.sock.recv(65536)

    def _take(self, size: int) -> bytes:
        data = bytes(self.held[:size])
        del self.held[:size]
        return data

    def _read_more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self.held[:1000])!r}")
        self.held += data

    def read_until(self, end: bytes) -> bytes:
        while end not in self.held:
            self._read_more()
        return self._take(self.held.index(end) + len(end))

    def read_exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            self._read_more()
        return self._take(size)

    def read_all(self) -> bytes:
        """Return everything up to the end of the connection."""
        while data := self.sock.recv(65536):
            self.held += data
        return self._take(len(self.held))

    def at_end(self) -> bool:
        """Wait for the end of the connection; False if there are bytes before it."""
        try:
            return not self.held and not self.sock.recv(1)
        except ConnectionResetError:
            return True

    def read_head(self) -> Response:
        lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers = []
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name == name.lower()
            headers.append((name, value))
        return Response(int(status), reason, headers, b"")

    def read_chunk(self) -> bytes:
        size = int(self.read_until(b"\r\n"), 16)
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_response(self, *, method: str = "GET") -> Response:
        response = self.read_head()
        length = response.get("content-length")
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            pass
        elif response.get("transfer-encoding") == "chunked":
            assert length is None
            while chunk := self.read_chunk():
                response.body += chunk
        elif length is not None:
            response.body = self.read_exactly(int(length))
        else:
            response.body = self.read_all()
        return response


@contextlib.contextmanager
def serve(
    app: App, loop_factory: Callable[[], asyncio.AbstractEventLoop], **options: Any
) -> Iterator[Served]:
    served = Served(app, loop_factory, **options)
    try:
        yield served
    finally:
        served.close()


def get(target: str = "/", *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, target: str = "/") -> bytes:
    """Return a request with a body of known length."""
    return get(target, f"Content-Length: {len(body)}", *headers, method="POST") + body


async def read_body(receive: Any) -> bytes:
    body = b""
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        body += event["body"]
        if not event["more_body"]:
            return body


async def answer(
    send: Any, body: bytes = b"", status: int = 200, headers: Any = (), **more: Any
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, **more})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the request: its line, then its body."""
    body = await read_body(receive)
    line = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}\n"
    await answer(send, line.encode() + body)
