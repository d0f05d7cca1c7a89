# SPDX-License-Identifier: MIT
"""X-Forwarded-Proto and X-Forwarded-For in the server, which does in C what the middleware does."""

import asyncio
import json
import random
from typing import Any

import pytest

from camshaft import _core
from camshaft.middleware.proxy_headers import ProxyHeadersMiddleware, TrustedHosts
from tests.asgi.conftest import Serve
from tests.asgi.harness import Served, answer, get


async def tell(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, json.dumps([scope["scheme"], scope["client"]]).encode())


def told(served: Served, *headers: str) -> Any:
    return json.loads(served.ask(get("/", *headers)).body)


def expected(trusted: Any, client: Any, *headers: str) -> Any:
    """What the middleware makes of the same request."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client = scope["client"]
        seen.extend((scope["scheme"], client and list(client)))

    pairs = [header.split(":", 1) for header in headers]
    scope = {
        "type": "http",
        "scheme": "http",
        "client": client,
        "headers": [
            (name.lower().encode(), value.strip(" \t").encode("latin-1")) for name, value in pairs
        ],
    }
    asyncio.run(ProxyHeadersMiddleware(app, trusted)(scope, None, None))
    return seen


@pytest.mark.parametrize(
    ("trusted", "headers", "answer"),
    [
        ("127.0.0.1", ["X-Forwarded-For: 1.2.3.4"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.0/8", ["x-forwarded-for: 1.2.3.4:56"], ["http", ["1.2.3.4", 56]]),
        ("127.0.0.1", ["X-Forwarded-Proto: https"], ["https", None]),
        ("127.0.0.1", ["X-Forwarded-Proto: wss"], ["wss", None]),
        ("127.0.0.1", ["X-Forwarded-Proto: https\xa0"], ["https", None]),
        ("127.0.0.1", ["X-Forwarded-Proto: gopher"], ["http", None]),
        ("127.0.0.1", ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], ["http", None]),
        ("127.0.0.1", ["X-Forwarded-For: [2001:db8::1]:8080"], ["http", ["2001:db8::1", 8080]]),
        (
            "127.0.0.1",
            ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8, 127.0.0.1"],
            ["http", ["5.6.7.8", 0]],
        ),
        ("127.0.0.1", ["X-Forwarded-For: 9.9.9.9, 127.0.0.1, "], ["http", None]),
        ("*", ["X-Forwarded-For: 1.2.3.4, 5.6.7.8"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.1, unix:", ["X-Forwarded-For: 1.2.3.4, unix:"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.1", ["X-Forwarded-For: 1.2.3.4, unix:"], ["http", ["unix:", 0]]),
        ("127.0.0.1", ["X-Forwarded-For: 1.2.3.4:+8_0"], ["http", ["1.2.3.4", 80]]),
        ("127.0.0.1", ["X-Forwarded-For: 1.2.3.4:8O"], ["http", ["1.2.3.4:8O", 0]]),
        ("127.0.0.1", ["X-Forwarded-For: \xa01.2.3.4"], ["http", ["1.2.3.4", 0]]),
        ("127.0.0.1,fe80::1%a", ["X-Forwarded-For: b, fe80::1%a"], ["http", ["b", 0]]),
        ("127.0.0.1,fe80::1", ["X-Forwarded-For: b, fe80::1%a"], ["http", ["fe80::1%a", 0]]),
        ("127.0.0.2", ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], ["http", None]),
        ("", ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], ["http", None]),
        ([], ["X-Forwarded-For: 1.2.3.4"], ["http", None]),
        ("127.0.0.1", ["X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4"], ["http", None]),
    ],
)
def test_headers(start: Serve, trusted: Any, headers: list[str], answer: Any) -> None:
    served = start(tell, trusted_proxies=TrustedHosts(trusted))
    scheme, client = told(served, *headers)
    if answer[1] is None:
        assert client[0] == "127.0.0.1" and client[1] > 0
        client = None
    assert [scheme, client] == answer
    assert expected(trusted, ("127.0.0.1", 9), *headers)[:1] == answer[:1]
    assert expected(trusted, ("127.0.0.1", 9), *headers)[1] == (answer[1] or ["127.0.0.1", 9])


def test_nobody_is_trusted_by_default(start: Serve) -> None:
    served = start(tell)
    assert told(served, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")[0] == "http"


@pytest.mark.parametrize(("trusted", "believed"), [("*", True), ("127.0.0.1", False)])
def test_unix_socket(start: Serve, tmp_path: Any, trusted: str, believed: bool) -> None:
    """There is no address to trust: all or nobody."""
    served = start(tell, unix_path=str(tmp_path / "socket"), trusted_proxies=TrustedHosts(trusted))
    told_ = told(served, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")
    assert told_ == (["https", ["1.2.3.4", 0]] if believed else ["http", None])


def test_each_request_of_a_connection_is_told_of_its_own(start: Serve) -> None:
    """Also where its headers are byte for byte those of the one before, or of the one before it."""
    lines: list[str] = []
    served = start(
        tell,
        trusted_proxies=TrustedHosts("127.0.0.1"),
        access_log=lambda client, *_: lines.append(client),
    )
    with served.connect() as client:
        port = client.sock.getsockname()[1]
        here = ["127.0.0.1", port]
        a = ("X-Forwarded-For: 1.1.1.1:1",)
        b = ("X-Forwarded-For: 2.2.2.2",)
        sequence: list[tuple[tuple[str, ...], Any]] = [
            ((), here),
            (a, ["1.1.1.1", 1]),
            (a, ["1.1.1.1", 1]),
            ((), here),
            ((), here),
            (b, ["2.2.2.2", 0]),
            (a, ["1.1.1.1", 1]),
        ]
        for headers, who in sequence:
            client.send(get("/", *headers))
            assert json.loads(client.read_response().body)[1] == who
        # The absolute form's header block is not remembered; that before it still is.
        for target, headers, who in (
            ("/", a, ["1.1.1.1", 1]),
            ("http://example/", (), here),
            ("/", a, ["1.1.1.1", 1]),
        ):
            client.send(get(target, *headers))
            assert json.loads(client.read_response().body)[1] == who
        expected = [":".join(map(str, who)) for _, who in sequence]
        expected += ["1.1.1.1:1", f"127.0.0.1:{port}", "1.1.1.1:1"]
    served.until(lambda: len(lines) == len(expected))
    assert lines == expected


def test_hosts_that_fail(start: Serve) -> None:
    """What TrustedHosts raises ends the connection, and the server serves on."""

    class Failing(TrustedHosts):
        def get_trusted_client_address(self, x_forwarded_for: str) -> tuple[str, int]:
            raise ZeroDivisionError("as asked")

    class Odd(TrustedHosts):
        def get_trusted_client_address(self, x_forwarded_for: str) -> Any:
            return "no pair"

    for hosts in (Failing("127.0.0.1"), Odd("127.0.0.1")):
        served = start(tell, trusted_proxies=hosts)
        with pytest.raises((EOFError, ConnectionError)):
            told(served, "X-Forwarded-For: \xa0")
        assert told(served)[0] == "http"


def test_trusted_proxies_that_are_none() -> None:
    class Ranges:
        always_trust = False
        trusted_literals = ()

        def __init__(self, ranges: Any) -> None:
            self.ranges = ranges

    def make(trusted: Any) -> None:
        _core.HttpServer(tell, loop=None, trusted_proxies=trusted)  # type: ignore[arg-type]

    for wrong in (None, [(b"123", 8)], [(b"1234", 33)], [(b"1234", -1)], ["x"]):
        with pytest.raises((TypeError, ValueError)):
            make(Ranges(wrong))
    with pytest.raises(AttributeError):
        make(object())


ATOMS = [
    *("1.2.3.4", "127.0.0.1", "10.0.0.1", "10.255.0.1", "::1", "2001:db8::1", "fe80::1%eth0"),
    *("unix:", "unknown", "", "[", "]", ":", ",", " ", "\t", "+", "_", "0", "80", "99999", "x"),
    *("[::1]", "[2001:db8::1]:443", "\xa0", "é", "%", "1.2.3", "01.2.3.4", "::ffff:10.0.0.1"),
]


@pytest.mark.parametrize(
    "trusted",
    ["127.0.0.1", "*", "127.0.0.0/8, 10.0.0.0/8, ::1, 2001:db8::/32, unknown, fe80::1%eth0"],
)
def test_as_the_middleware_for_anything(start: Serve, trusted: str) -> None:
    served = start(tell, trusted_proxies=TrustedHosts(trusted))
    choose = random.Random(7239)
    with served.connect() as client:
        here = client.sock.getsockname()
        for _ in range(400):
            headers = []
            for _ in range(choose.randrange(1, 3)):
                value = "".join(choose.choices(ATOMS, k=choose.randrange(6)))
                headers.append(f"X-Forwarded-For: {value}")
            if choose.random() < 0.3:
                proto = "".join(choose.choices(["http", "s", "ws", "\xa0", " "], k=2))
                headers.append(f"X-Forwarded-Proto: {proto}")
            client.send(get("/", *headers))
            body = json.loads(client.read_response().body)
            assert body == expected(trusted, here, *headers), headers
