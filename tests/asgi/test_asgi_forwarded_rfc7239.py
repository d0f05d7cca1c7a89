# SPDX-License-Identifier: MIT
"""Forwarded (RFC 7239) in the server, which does in C what the middleware does."""

import asyncio
import json
import random
from typing import Any

import pytest

from camshaft.middleware.proxy_headers import ProxyHeadersMiddleware, TrustedHosts
from tests.asgi.conftest import Serve
from tests.asgi.harness import Served, get
from tests.asgi.test_asgi_forwarded import tell, told


def expected(trusted: Any, client: Any, *headers: str) -> Any:
    """What the middleware makes of the same request."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope["scheme"], list(scope["client"])))

    pairs = [header.split(":", 1) for header in headers]
    scope = {
        "type": "http",
        "scheme": "http",
        "client": client,
        "headers": [
            (name.lower().encode(), value.strip(" \t").encode("latin-1")) for name, value in pairs
        ],
    }
    middleware = ProxyHeadersMiddleware(app, trusted, forwarded_header="forwarded")
    asyncio.run(middleware(scope, None, None))
    return seen


def serve(start: Serve, trusted: Any) -> Served:
    return start(tell, trusted_proxies=TrustedHosts(trusted), forwarded=True)


@pytest.mark.parametrize(
    ("trusted", "headers", "answer"),
    [
        ("127.0.0.1", ["Forwarded: for=1.2.3.4"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.1", ["FORWARDED: For=1.2.3.4;Proto=HTTPS"], ["https", ["1.2.3.4", 0]]),
        ("127.0.0.1", ["Forwarded: proto=https"], ["https", None]),
        ("127.0.0.1", ["Forwarded: proto=gopher"], ["http", None]),
        ("127.0.0.1", ["Forwarded: proto=httpshttps"], ["http", None]),
        ("127.0.0.1", ["Forwarded: proto=wss"], ["wss", None]),
        ("127.0.0.1", ['Forwarded: for="1.2.3.4:56";by=_x'], ["http", ["1.2.3.4", 56]]),
        ("127.0.0.1", ['Forwarded: for="[2001:db8::1]:80"'], ["http", ["2001:db8::1", 80]]),
        ("127.0.0.1", ['Forwarded: for="[2001:db8::1]"'], ["http", ["2001:db8::1", 0]]),
        ("127.0.0.1", ["Forwarded: for=unknown"], ["http", ["unknown", 0]]),
        ("127.0.0.1", ['Forwarded: for="_hidden:_port"'], ["http", ["_hidden", 0]]),
        # The last that is not trusted, its scheme with it; over all lines.
        (
            "127.0.0.1,10.0.0.0/8",
            ["Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https, for=10.0.0.1;proto=http"],
            ["https", ["1.2.3.4", 0]],
        ),
        (
            "127.0.0.1,10.0.0.0/8",
            ["Forwarded: for=1.2.3.4, for=10.0.0.1;proto=https"],
            ["http", ["1.2.3.4", 0]],
        ),
        (
            "127.0.0.1,10.0.0.0/8",
            ["Forwarded: for=1.2.3.4", "Forwarded: for=10.0.0.1,"],
            ["http", ["1.2.3.4", 0]],
        ),
        # Without "for" nobody knows who it was: what is before it is not believed.
        (
            "127.0.0.1,10.0.0.0/8",
            ["Forwarded: for=6.6.6.6;proto=https, by=_x, for=10.0.0.1"],
            ["http", None],
        ),
        # All are trusted: the first.
        (
            "127.0.0.1,10.0.0.0/8",
            ["Forwarded: for=10.0.0.2;proto=https, for=10.0.0.1"],
            ["https", ["10.0.0.2", 0]],
        ),
        ("*", ["Forwarded: for=1.2.3.4;proto=https, for=5.6.7.8"], ["https", ["1.2.3.4", 0]]),
        # Obfuscated identifiers may be trusted as literals are.
        ("127.0.0.1,_cdn", ["Forwarded: for=1.2.3.4, for=_cdn"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.1", ["Forwarded: for=1.2.3.4, for=_cdn"], ["http", ["_cdn", 0]]),
        # What is malformed anywhere is nothing everywhere.
        ("127.0.0.1", ["Forwarded: for=::1, for=1.2.3.4;proto=https"], ["http", None]),
        ("127.0.0.1", ["Forwarded: for=1.2.3.4;proto=https, for=["], ["http", None]),
        ("127.0.0.1", ["Forwarded: for=1.2.3.4", 'Forwarded: for="'], ["http", None]),
        ("127.0.0.1", ["Forwarded: for=1.2.3.4:80"], ["http", None]),
        ("127.0.0.1", ["Forwarded: "], ["http", None]),
        # Of a peer that is not trusted, and the other headers, nothing is believed.
        ("127.0.0.2", ["Forwarded: for=1.2.3.4;proto=https"], ["http", None]),
        ("127.0.0.1", ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], ["http", None]),
        (
            "127.0.0.1",
            ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=1.2.3.4"],
            ["http", ["1.2.3.4", 0]],
        ),
    ],
)
def test_headers(start: Serve, trusted: Any, headers: list[str], answer: Any) -> None:
    scheme, client = told(serve(start, trusted), *headers)
    if answer[1] is None:
        assert client[0] == "127.0.0.1" and client[1] > 0
        client = None
    assert [scheme, client] == answer
    here = ["127.0.0.1", 9]
    assert expected(trusted, here, *headers) == [answer[0], answer[1] or here]


def test_each_request_of_a_connection_is_told_of_its_own(start: Serve) -> None:
    served = serve(start, "127.0.0.1")
    with served.connect() as client:
        here = list(client.sock.getsockname())
        a, b = "Forwarded: for=1.1.1.1", "Forwarded: for=2.2.2.2"
        sequence: list[tuple[tuple[str, ...], Any]] = [
            ((), here),
            ((a,), ["1.1.1.1", 0]),
            ((a,), ["1.1.1.1", 0]),
            ((b,), ["2.2.2.2", 0]),
            ((), here),
        ]
        for headers, who in sequence:
            client.send(get("/", *headers))
            assert json.loads(client.read_response().body)[1] == who


def test_hosts_that_fail(start: Serve) -> None:
    """What TrustedHosts raises ends the connection, and the server serves on."""

    class Failing(TrustedHosts):
        def __contains__(self, host: str | None) -> bool:
            if host == "_odd":
                raise ZeroDivisionError("as asked")
            return super().__contains__(host)

    served = start(tell, trusted_proxies=Failing("127.0.0.1,_cdn"), forwarded=True)
    with pytest.raises((EOFError, ConnectionError)):
        told(served, "Forwarded: for=1.2.3.4, for=_odd")
    assert told(served, "Forwarded: for=1.2.3.4, for=_cdn") == ["http", ["1.2.3.4", 0]]


ATOMS = [
    *("for=1.2.3.4", "for=127.0.0.1", "for=10.0.0.1", 'for="[::1]"', 'for="[2001:db8::1]:443"'),
    *("for=_cdn", "for=_hidden", "for=unknown", "FOR=UNKNOWN", 'for="1.2.3.4:80"', "for=1.2.3.4:8"),
    *("proto=https", "proto=http", 'proto="WSS"', "proto=x", "by=_b", "host=a", 'x="a, b;\\""'),
    *('for="\\1.2.3.4"', 'for="', "for=", "for", "=", "x=", '"', "\\", "é", "é=1", "x=é", 'x="é"'),
]
BETWEEN = [";", ";", ";", ",", ", ", " , ", " ; ", ",,", ";;", " ", "\t", ""]


@pytest.mark.parametrize("trusted", ["127.0.0.1", "*", "127.0.0.0/8, 10.0.0.0/8, ::1, _cdn"])
def test_as_the_middleware_for_anything(start: Serve, trusted: str) -> None:
    served = serve(start, trusted)
    choose = random.Random(7239)
    believed = 0
    with served.connect() as client:
        here = list(client.sock.getsockname())
        for number in range(600):
            headers = []
            for _ in range(choose.randrange(1, 3)):
                # Half of them of what is well-formed.
                atoms = ATOMS[: 20 if number % 2 else None]
                between = BETWEEN[: 9 if number % 2 else None]
                value = "".join(
                    choose.choice(atoms) + choose.choice(between)
                    for _ in range(choose.randrange(1, 5))
                )
                headers.append(f"Forwarded: {value}")
            client.send(get("/", *headers))
            body = json.loads(client.read_response().body)
            assert body == expected(trusted, here, *headers), headers
            believed += body != ["http", here]
    assert believed > 100
