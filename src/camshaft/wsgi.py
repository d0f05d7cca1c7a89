# SPDX-License-Identifier: MIT
"""WSGI applications (PEP 3333) behind the ASGI server: each request in a thread of a pool.

Nothing is collected: what the application reads is received as it reads, and what it yields waits
until it is sent. Header names with an underscore are left out of the environ, where they could not
be told from those with a hyphen that a proxy has set.
"""

import asyncio
import concurrent.futures
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Sized
from types import TracebackType
from typing import Any, TypeVar
from wsgiref.util import FileWrapper

from camshaft.application import Message, Receive, Scope, Send

logger = logging.getLogger("uvicorn.error")

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_T = TypeVar("_T")


def make_environ(scope: Scope, body: object) -> Environ:
    """Return the environ of a request, with `body` as its wsgi.input.

    Text is what PEP 3333 calls native strings: Latin-1 for the bytes that came, of the path after
    percent-decoding.
    """
    path = _native(scope["path"])
    root = _native(scope.get("root_path", ""))
    server = scope.get("server") or ("localhost", None)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": path.removeprefix(root),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        # The input ends with the request, also when that has no Content-Length.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    for name_bytes, value_bytes in scope["headers"]:
        if b"_" in name_bytes:
            continue
        name = name_bytes.decode("latin-1").upper().replace("-", "_")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        value = value_bytes.decode("latin-1")
        if name in environ:
            # RFC 9110, 5.3; but RFC 6265, 5.4 for cookies.
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ


def _native(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


class WSGIAdapter:
    """Makes a WSGI application into an ASGI 3 one; `workers` requests run at once, in threads.

    It has no use for a lifespan and says yes to it; it refuses WebSockets.
    """

    def __init__(self, app: WSGIApplication, workers: int = 10) -> None:
        self.app = app
        self.executor = concurrent.futures.ThreadPoolExecutor(workers, "camshaft-wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await _Request(self.app, scope, receive, send).run(self.executor)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif kind == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.executor.shutdown(wait=False)
            await send({"type": "lifespan.shutdown.complete"})


class _Request:
    """One request: the calls of the application's thread, done by the loop.

    Once it has ended for the loop, because it was cancelled, its thread waits no more: what it
    still wants fails.
    """

    def __init__(self, app: WSGIApplication, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        # Over what the thread waits for, and whether it still may.
        self._lock = threading.Lock()
        self._waited_for: concurrent.futures.Future[Any] | None = None
        self._over = False
        self._start: Message | None = None
        self._started = False

    async def run(self, executor: concurrent.futures.Executor) -> None:
        context = contextvars.copy_context()
        try:
            await self._loop.run_in_executor(executor, context.run, self._serve)
        finally:
            with self._lock:
                self._over = True
                if self._waited_for is not None:
                    self._waited_for.cancel()

    def wait(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Have the loop do a step, and wait for it; in the application's thread.

        Raises ConnectionAbortedError when the request is over.
        """
        with self._lock:
            if self._over:
                step.close()
                raise ConnectionAbortedError("the request is over")
            self._waited_for = waited_for = asyncio.run_coroutine_threadsafe(step, self._loop)
        try:
            return waited_for.result()
        except concurrent.futures.CancelledError:
            raise ConnectionAbortedError("the request is over") from None

    def receive(self) -> Message:
        """Return the next message, in the application's thread."""

        async def step() -> Message:
            return await self._receive()

        return self.wait(step())

    def _serve(self) -> None:
        body = io.BufferedReader(_Body(self), 65536)
        result = self._app(make_environ(self._scope, body), self._start_response)
        try:
            # Known to be all there is: it goes out with the head, with its length.
            alone = isinstance(result, Sized) and len(result) == 1
            for part in result:
                if alone:
                    self._write_all(part, last=True)
                    return
                if part:
                    self._write(part)
            self._write_all(b"", last=True)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response: once, or again with an exception before anything is sent."""
        if exc_info is not None:
            try:
                if self._started:
                    raise exc_info[1].with_traceback(exc_info[2])
                logger.error("Exception in WSGI application\n", exc_info=exc_info)
            finally:
                exc_info = None  # it refers to this frame
        elif self._start is not None:
            raise RuntimeError("start_response() was called a second time, without exc_info")
        self._start = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
        }
        return self._write

    def _write(self, data: bytes) -> None:
        self._write_all(data, last=False)

    def _write_all(self, data: bytes, *, last: bool) -> None:
        if self._start is None:
            raise RuntimeError("the application has not called start_response()")
        messages: list[Message] = []
        if not self._started:
            self._started = True
            messages.append(self._start)
        messages.append({"type": "http.response.body", "body": data, "more_body": not last})

        async def step() -> None:
            for message in messages:
                await self._send(message)

        self.wait(step())


class _Body(io.RawIOBase):
    """A request's body, received while it is read."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._left = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as what is there goes; 0 at the end of the body.

        Raises ConnectionResetError when the client has gone before that.
        """
        while not self._left:
            if not self._more:
                return 0
            message = self._request.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client has disconnected")
            self._left = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
