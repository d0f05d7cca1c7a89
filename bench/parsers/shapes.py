# SPDX-License-Identifier: MIT
"""What is parsed, and who is called back."""

import importlib
import operator
from collections import deque
from collections.abc import Callable
from typing import Any

BROWSER = (
    b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n"
    b"Host: www.kittyhell.example\r\n"
    b"User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10.6; rv:115.0) Gecko/20100101 "
    b"Firefox/115.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-us,en;q=0.7,ja;q=0.3\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: first=aaaaaaaaaaaaaaaaaaaaaaaaaaaa.000000000.1234567890; "
    b"second=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; "
    b"third=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%3D%3D%7C%5C\r\n"
    b"Referer: http://www.kittyhell.example/index.html\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n\r\n"
)

SHAPES: dict[str, tuple[str, bool, bytes]] = {
    "get": ("GET, one header", False, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
    "browser": (f"GET, a browser's {len(BROWSER)} bytes", False, BROWSER),
    "post": (
        "POST of 1 KiB",
        False,
        b"POST /items HTTP/1.1\r\nHost: example\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1024\r\nAccept: */*\r\n\r\n" + b"x" * 1024,
    ),
    "chunked": (
        "POST in 10 chunks",
        False,
        b"POST /items HTTP/1.1\r\nHost: example\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"40\r\n"
        + b"x" * 64
        + b"\r\n"
        + (b"40\r\n" + b"x" * 64 + b"\r\n") * 9
        + b"0\r\n\r\n",
    ),
    "response": (
        "response, 8 headers",
        True,
        b"HTTP/1.1 200 OK\r\nDate: Mon, 23 May 2005 22:38:34 GMT\r\nServer: example/1.0\r\n"
        b'Last-Modified: Wed, 08 Jan 2003 23:11:55 GMT\r\nETag: "3f80f-1b6-3e1cb03b"\r\n'
        b"Content-Type: text/html; charset=UTF-8\r\nContent-Length: 13\r\n"
        b"Accept-Ranges: bytes\r\nConnection: keep-alive\r\n\r\nHello, world!",
    ),
}
"""By name: a title, whether it is a response, and the bytes of one message."""

PARSERS = {"httptools": "httptools", "camshaft": "camshaft.http"}
"""The modules, by name."""


class Silent:
    """Has no callbacks."""


class Called:
    """Has all of them; they do nothing."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_status(self, status: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
    def on_chunk_header(self) -> None: ...
    def on_chunk_complete(self) -> None: ...


class InC:
    """Has those with arguments, as functions in C that do next to nothing: what the parsers cost
    and not what is called."""

    def __init__(self) -> None:
        self.on_header = operator.eq
        self.on_url = self.on_body = self.on_status = deque(maxlen=0).append


PROTOCOLS: dict[str, tuple[str, type]] = {
    "none": ("no callbacks", Silent),
    "c": ("callbacks in C", InC),
    "python": ("callbacks in Python", Called),
}
"""By name: a title and the class."""


def feeder(parser: str, shape: str, protocol: str) -> Callable[[int], None]:
    """What parses the shape so many times on one connection. Raises ImportError."""
    module: Any = importlib.import_module(PARSERS[parser])
    _, response, data = SHAPES[shape]
    kind = module.HttpResponseParser if response else module.HttpRequestParser
    feed = kind(PROTOCOLS[protocol][1]()).feed_data

    def run(count: int) -> None:
        for _ in range(count):
            feed(data)

    return run
