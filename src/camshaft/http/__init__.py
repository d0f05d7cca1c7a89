# SPDX-License-Identifier: MIT
"""HTTP/1.1 in httptools' place: its parsers, exceptions and parse_url() on camshaft's C parser.

``import camshaft.http as httptools`` is all that a program has to change. What is refused that
httptools lets pass stands in docs/http.md.
"""

from typing import TYPE_CHECKING, Any
from typing import Protocol as _TypingProtocol

from camshaft._core import (
    URL,
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
    parse_url,
)

if TYPE_CHECKING:
    from camshaft.http.protocol import Protocol, WebSocketProtocol

__all__ = [
    "URL",
    "HTTPProtocol",
    "HttpParserCallbackError",
    "HttpParserError",
    "HttpParserInvalidMethodError",
    "HttpParserInvalidStatusError",
    "HttpParserInvalidURLError",
    "HttpParserUpgrade",
    "HttpRequestParser",
    "HttpResponseParser",
    "Protocol",
    "WebSocketProtocol",
    "parse_url",
]


def __getattr__(name: str) -> Any:
    # The server is imported when it is asked for: who parses needs none.
    if name not in ("Protocol", "WebSocketProtocol"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from camshaft.http import protocol

    globals()[name] = getattr(protocol, name)
    return globals()[name]


class HTTPProtocol(_TypingProtocol):
    """What a parser may call on its protocol, for type checkers; each method is optional."""

    def on_message_begin(self) -> None:
        """A message begins: its first byte is there."""

    def on_url(self, url: bytes) -> None:
        """A piece of the request target, as sent."""

    def on_status(self, status: bytes) -> None:
        """A piece of a response's reason phrase."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer line: the name as sent, the value without white space around it."""

    def on_headers_complete(self) -> None:
        """The head is complete; the parser can be asked what it says."""

    def on_body(self, body: bytes) -> None:
        """A piece of the body, without its chunked coding."""

    def on_chunk_header(self) -> None:
        """A chunk begins, the last and empty one included."""

    def on_chunk_complete(self) -> None:
        """A chunk is complete; of the last one, the trailers have been told too."""

    def on_message_complete(self) -> None:
        """The message is complete."""
