# SPDX-License-Identifier: MIT
"""What is not a request: each gets its status and a close, whichever way the bytes arrive."""

from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Client, echo, get

HOST = b"Host: a\r\n"


def with_line(line: bytes, *, method: bytes = b"POST") -> bytes:
    return method + b" / HTTP/1.1\r\n" + HOST + line + b"\r\n\r\n"


BAD: dict[str, tuple[bytes, int]] = {
    # request line and target
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "no version": (b"GET /\r\n" + HOST + b"\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method": (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "asterisk": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "relative": (b"GET foo HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "control in target": (b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "0xFF in target": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    # host
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (with_line(b"Host: b", method=b"GET"), 400),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    # header lines
    "long line": (with_line(b"A: " + b"a" * 20_000), 431),
    "8 MB line": (with_line(b"A: " + b"a" * 8_000_000), 431),
    "many lines": (with_line(b"\r\n".join([b"A: b"] * 1000)), 431),
    "100k lines": (with_line(b"\r\n".join([b"A: b"] * 100_000)), 431),
    "large head": (with_line(b"\r\n".join([b"A: " + b"b" * 10_000] * 10)), 431),
    "space before colon": (with_line(b"Transfer-Encoding : chunked"), 400),
    "leading space": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "folded": (with_line(b"A: b\r\n c"), 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR": (with_line(b"A: b\rc"), 400),
    "NUL": (with_line(b"A: \0"), 400),
    "no colon": (with_line(b"A"), 400),
    # framing
    "CL and TE": (with_line(b"Content-Length: 5\r\nTransfer-Encoding: chunked"), 400),
    "CL differ": (with_line(b"Content-Length: 5\r\nContent-Length: 6"), 400),
    "CL repeated": (with_line(b"Content-Length: 5\r\nContent-Length: 5"), 400),
    "CL list": (with_line(b"Content-Length: 5, 5"), 400),
    "CL empty": (with_line(b"Content-Length: "), 400),
    "CL 5 0": (with_line(b"Content-Length: 5 0"), 400),
    "CL 0x5": (with_line(b"Content-Length: 0x5"), 400),
    "CL +5": (with_line(b"Content-Length: +5"), 400),
    "CL -1": (with_line(b"Content-Length: -1"), 400),
    "CL 0_5": (with_line(b"Content-Length: 0_5"), 400),
    "CL 2^64+5": (with_line(b"Content-Length: 18446744073709551621"), 413),
    "TE twice": (with_line(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400),
    "TE chunked, identity": (with_line(b"Transfer-Encoding: chunked, identity"), 400),
    "TE gzip, chunked": (with_line(b"Transfer-Encoding: gzip, chunked"), 501),
    "TE identity": (with_line(b"Transfer-Encoding: identity"), 400),
    "TE gzip": (with_line(b"Transfer-Encoding: gzip"), 400),
    "TE VT chunked": (with_line(b"Transfer-Encoding: \x0bchunked"), 400),
    "TE in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
}


def refused(client: Client, status: int) -> None:
    """What comes is one whole answer with the status, and then the end."""
    response = client.read_response()
    assert response.status == status
    assert response.get("connection") == "close"
    assert response.get("content-type") == "text/plain; charset=utf-8"
    assert response.body.endswith(b"\n")
    assert client.at_end()


def send_until_refused(client: Client, data: bytes) -> None:
    """Send more than may ever be read."""
    try:
        client.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


@pytest.mark.parametrize("name", BAD)
def test_bad_request(start: Serve, name: str) -> None:
    data, status = BAD[name]
    served = start(echo)
    with served.connect() as client:
        send_until_refused(client, data)
        refused(client, status)
    [message] = served.log.messages
    if status in (413, 414, 431):
        assert message.startswith(f"Request refused with {status}: ")
    else:
        assert message == "Invalid HTTP request received."
    assert served.http.requests == 0


def test_bad_request_after_good_ones(start: Serve) -> None:
    """The good ones are answered before it, and what follows it is not looked at."""
    served = start(echo)
    with served.connect() as client:
        client.send(get("/1") + get("/2") + b"nonsense\r\n\r\n" + get("/3"))
        assert client.read_response().body == b"GET /1?\n"
        assert client.read_response().body == b"GET /2?\n"
        refused(client, 400)
    assert served.http.requests == 2


@pytest.mark.parametrize("name", ["bare CR", "long line", "CL and TE", "HTTP/2.0", "two hosts"])
def test_bad_request_in_pieces(start: Serve, name: str) -> None:
    data, status = BAD[name]
    served = start(echo)
    for cut in {1, 10, len(data) // 2, len(data) - 1}:
        with served.connect() as client:
            client.send(data[:cut])
            served.until(lambda: bool(served.http.connections))
            send_until_refused(client, data[cut:])
            refused(client, status)
        served.until(lambda: served.http.connections == 0)


def test_peer_that_goes_on_sending_can_read_the_answer(start: Serve) -> None:
    """The connection is not reset under an answer that has not been read."""
    served = start(echo)
    with served.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        for _ in range(20):
            send_until_refused(client, b"x" * 10_000)
        assert client.read_response().status == 400


def test_bad_request_and_gone(start: Serve) -> None:
    served = start(echo)
    for _ in range(10):
        with served.connect() as client:
            client.send(b"nonsense\r\n\r\n")
    served.until(lambda: len(served.log.records) == 10 and served.http.connections == 0)


GOOD: dict[str, bytes] = {
    "unknown method": b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty lines first": b"\r\n\r\nFOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty host": b"FOO / HTTP/1.1\r\nHost:\r\n\r\n",
    "IPv6 host": b"FOO / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "obs-text": b"FOO / HTTP/1.1\r\n" + HOST + b"A: \xe9\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_good_request(start: Serve, name: str) -> None:
    assert start(echo).ask(GOOD[name]).body == b"FOO /?\n"


@pytest.mark.parametrize("token", ["h2c", "TLS/1.0"])
def test_upgrade_is_not_made(start: Serve, token: str) -> None:
    """The request is answered as if it had not asked, with its body, and so is the next one."""
    served = start(echo)
    with served.connect() as client:
        upgrade: tuple[Any, ...] = ("Connection: Upgrade", f"Upgrade: {token}")
        request = get("/u", *upgrade, "Content-Length: 4", method="POST") + b"body"
        client.send(request + get("/next"))
        assert client.read_response().body == b"POST /u?\nbody"
        assert client.read_response().body == b"GET /next?\n"
    assert served.log.messages == ["Unsupported upgrade request."]
