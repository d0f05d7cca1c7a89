# SPDX-License-Identifier: MIT
"""What the application is told about a request (ASGI specification, "HTTP Connection Scope")."""

from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import answer, get, post


class Recorder:
    """An application that keeps its scopes and answers with nothing."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await answer(send)


def test_whole_scope(start: Serve) -> None:
    app = Recorder()
    served = start(app, state={"pool": 1}, asgi_version="3.0")
    with served.connect() as client:
        client.send(get("/a%20b/%C3%A9?x=%20&y", "X-Custom: One", "Accept:  */*  "))
        client.read_response()
        address = client.sock.getsockname()
    scope = app.scopes[0]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "server": ("127.0.0.1", served.port),
        "client": address,
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": "/a b/é",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"x=%20&y",
        "headers": [(b"host", b"example"), (b"x-custom", b"One"), (b"accept", b"*/*")],
        "state": {"pool": 1},
        "extensions": {
            "http.response.trailers": {},
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "http.response.early_hint": {},
        },
    }
    assert list(scope) == [
        *("type", "asgi", "http_version", "server", "client", "scheme", "root_path", "method"),
        *("path", "raw_path", "query_string", "headers", "state", "extensions"),
    ]


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/?", "/", b"/", b""),
        ("/a?b?c", "/a", b"/a", b"b?c"),
        ("/%zz%4", "/%zz%4", b"/%zz%4", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
        ("/%00%0a", "/\0\n", b"/%00%0a", b""),
        ("/%2F", "//", b"/%2F", b""),
        ("/a//b/../c", "/a//b/../c", b"/a//b/../c", b""),
        ("http://other:80/p?q", "/p", b"/p", b"q"),
        ("http://other", "/", b"/", b""),
    ],
)
def test_target(start: Serve, target: str, path: str, raw_path: bytes, query: bytes) -> None:
    app = Recorder()
    assert start(app).ask(get(target)).status == 200
    scope = app.scopes[0]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_root_path_goes_before_the_path(start: Serve) -> None:
    app = Recorder()
    served = start(app, root_path="/api")
    served.ask(get("/items"))
    served.ask(get("*", method="OPTIONS"))
    first, second = app.scopes
    assert (first["root_path"], first["path"], first["raw_path"]) == (
        "/api",
        "/api/items",
        b"/api/items",
    )
    assert (second["path"], second["raw_path"]) == ("*", b"*")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PROPFIND", "get"])
def test_method_is_in_upper_case(start: Serve, method: str) -> None:
    app = Recorder()
    start(app).ask(get(method=method))
    assert app.scopes[0]["method"] == method.upper()


def test_old_version(start: Serve) -> None:
    app = Recorder()
    start(app).ask(b"GET / HTTP/1.0\r\n\r\n")
    assert app.scopes[0]["http_version"] == "1.0"
    assert app.scopes[0]["headers"] == []


def test_each_request_has_objects_of_its_own(start: Serve) -> None:
    """Also when the header block is the same, byte for byte, and its tuples are used again."""
    app = Recorder()
    pool: list[int] = []
    served = start(app, state={"pool": pool})
    with served.connect() as client:
        for _ in range(3):
            client.send(get("/", "X-A: 1"))
            client.read_response()
            scope = app.scopes[-1]
            assert scope["headers"] == [(b"host", b"example"), (b"x-a", b"1")]
            assert scope["state"] == {"pool": []}
            assert scope["state"]["pool"] is pool
            assert scope["asgi"]["spec_version"] == "2.5"
            scope["headers"].clear()
            scope["state"]["mine"] = scope["asgi"]["spec_version"] = 1
            scope["client"] = scope["extra"] = None
    assert len({id(scope["headers"]) for scope in app.scopes}) == 3


def test_headers_that_change_from_request_to_request(start: Serve) -> None:
    app = Recorder()
    served = start(app)
    sent = [("a", "1"), ("a", "2"), ("ab", ""), ("a", "2"), ("a", "2"), ("b", "x" * 5000)]
    with served.connect() as client:
        for name, value in sent:
            client.send(get("/", f"{name}: {value}"))
            client.read_response()
    got = [scope["headers"][1] for scope in app.scopes]
    assert got == [(name.encode(), value.encode()) for name, value in sent]


def test_body_headers_are_remembered_with_their_meaning(start: Serve) -> None:
    """The same block again means the same body length; the same but for it means another."""
    bodies = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        bodies.append((await receive())["body"])
        await answer(send)

    served = start(app)
    with served.connect() as client:
        for body in (b"abc", b"def", b"xx", b"yy"):
            client.send(post(body))
            client.read_response()
    assert bodies == [b"abc", b"def", b"xx", b"yy"]


def test_unix_socket(start: Serve, tmp_path: Any) -> None:
    app = Recorder()
    path = str(tmp_path / "s")
    start(app, unix_path=path).ask(get())
    assert app.scopes[0]["server"] == (path, None)
    assert app.scopes[0]["client"] is None
