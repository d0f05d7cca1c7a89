# SPDX-License-Identifier: MIT
"""Three parsers behind one function: the bytes of a connection in, what they made of them out."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h11
import httptools

CHECKOUT = Path(__file__).resolve().parents[2]
OPTIONS = ["-O2", "-D_GNU_SOURCE", "-shared", "-fPIC"]


@dataclass
class Request:
    """A request that is complete."""

    method: bytes
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool = True
    body: bytes = b""


@dataclass
class Outcome:
    """What a parser made of a connection.

    `error` is the reason of a refusal, `closed` says that the last request was the last one to be
    read, `switched` that the parser stopped after a request to change protocols.
    """

    requests: list[Request] = field(default_factory=list)
    error: str | None = None
    closed: bool = False
    switched: bool = False


Parser = Callable[[bytes], Outcome]


def build_ours() -> Parser:
    """Compile our parser as it is in this checkout."""
    compiler = shutil.which("cc") or "gcc"
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "ours.so"
        sources = [Path(__file__).with_name("ours.c")]
        for part in ("base", "http"):
            sources += CHECKOUT.glob(f"csrc/core/{part}/*.c")
        include = [f"-I{CHECKOUT / place}" for place in ("csrc/core", "tests/c")]
        subprocess.run(
            [compiler, *OPTIONS, "-o", library, *include, *sources],
            check=True,
        )
        read = ctypes.CDLL(str(library)).differential_read
    read.restype = ctypes.POINTER(ctypes.c_char)
    read.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)]
    length = ctypes.c_size_t()

    def ours(data: bytes) -> Outcome:
        text = read(data, len(data), ctypes.byref(length))
        return outcome_of(ctypes.string_at(text, length.value) if length.value else b"")

    return ours


def outcome_of(text: bytes) -> Outcome:
    """Read the text of tests/c/http1_wire.h."""
    outcome = Outcome()
    request: Request | None = None
    at = 0
    while at < len(text):
        end = text.index(b"\n", at)
        line = text[at:end]
        at = end + 1
        if line.startswith(b" "):
            assert request is not None
            name, _, value = line[1:].partition(b": ")
            request.headers.append((name.lower(), value))
        elif line.startswith(b"request "):
            _, method, target, version, rest = line.split(b" ", 4)
            request = Request(method, target, version[5:].decode(), [])
            request.keep_alive = re.search(rb" keep-alive (chunked|none|length=)", rest) is not None
        elif line.startswith(b"body "):
            size, _, _ = line[5:].partition(b":")
            start = end - len(line) + 5 + len(size) + 1
            at = start + int(size) + 1
            if request is not None:
                request.body = text[start : at - 1]
        elif line == b"end":
            assert request is not None
            outcome.requests.append(request)
        elif line == b"closed":
            outcome.closed = True
        elif line.startswith(b"error "):
            outcome.error = line.split(b" ")[2].decode()
        else:
            assert line == b"more", line
    return outcome


class LlhttpEvents:
    """What httptools calls."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.parser = httptools.HttpRequestParser(self)
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.request = Request(b"", b"", "", [])
        self.in_trailers = False

    def on_url(self, url: bytes) -> None:
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come by the same call; uvicorn adds them to the headers.
        if not self.in_trailers:
            self.request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.in_trailers = True
        self.request.method = self.parser.get_method()
        self.request.version = self.parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        self.request.body += body

    def on_message_complete(self) -> None:
        self.request.keep_alive = self.parser.should_keep_alive()
        self.outcome.requests.append(self.request)
        self.outcome.closed = not self.request.keep_alive


def llhttp(data: bytes) -> Outcome:
    """Read with llhttp, by httptools and as it comes: without leniencies."""
    events = LlhttpEvents()
    try:
        events.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        events.outcome.switched = True
    except httptools.HttpParserError as error:
        events.outcome.error = str(error)
    return events.outcome


def h11_outcome(data: bytes) -> Outcome:
    """Read with h11, answering every request with 404."""
    outcome = Outcome()
    connection = h11.Connection(our_role=h11.SERVER)
    connection.receive_data(data)
    request = Request(b"", b"", "", [])
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = Request(
                    event.method, event.target, event.http_version.decode(), list(event.headers)
                )
            elif isinstance(event, h11.Data):
                request.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                request.keep_alive = connection.their_state is h11.DONE
                outcome.requests.append(request)
                outcome.closed = not request.keep_alive
                if outcome.closed:
                    return outcome
                connection.start_next_cycle()
            else:
                return outcome
    except h11.RemoteProtocolError as error:
        outcome.error = re.sub(r"\(.*|b?['\"].*|\{.*|\d+", "", str(error)).strip(" :")
    return outcome


PEERS: dict[str, Parser] = {"llhttp": llhttp, "h11": h11_outcome}
