# SPDX-License-Identifier: MIT
"""Scopes beside uvicorn's: the same requests, byte for byte, to both."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.harness import LIMIT, LOOPS, answer, get, post, serve

uvicorn = pytest.importorskip("uvicorn", reason="it is what scopes are compared with")

Scopes = dict[str, Any]


class Recorder:
    def __init__(self) -> None:
        self.scopes: list[Scopes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await answer(send)


@contextlib.contextmanager
def uvicorn_s(app: Any, root_path: str, unix_path: str | None) -> Iterator[Any]:
    """Run uvicorn in a thread and yield what connects to it."""
    config = uvicorn.Config(
        app, port=0, uds=unix_path, root_path=root_path, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    turn = threading.Event()
    while not server.started:
        assert thread.is_alive()
        turn.wait(0.01)
    address = server.servers[0].sockets[0].getsockname()

    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX if unix_path else socket.AF_INET)
        sock.settimeout(LIMIT)
        sock.connect(address)
        return sock

    try:
        yield connect
    finally:
        server.should_exit = True
        thread.join(LIMIT)
        assert not thread.is_alive()


def ask(sock: socket.socket, request: bytes) -> None:
    """Send a request and wait for the head of its answer."""
    with sock:
        sock.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            assert more, data
            data += more


def compared(scope: Scopes) -> Scopes:
    """Return what is to be the same: not the ports, nor what is only ours."""
    shown = dict(scope)
    shown["asgi"] = {"version": scope["asgi"]["version"]}
    shown.pop("extensions", None)
    for name in ("server", "client"):
        host, port = scope[name] or (None, None)
        shown[name] = host, port is None
    shown["headers"] = [tuple(pair) for pair in scope["headers"]]
    return shown


REQUESTS = [
    get(),
    get("/a/b/?x=1&y=%20&z"),
    get("/?"),
    get("/?a?b"),
    get("//double//slash"),
    get("/%41%2f%2F%61"),
    get("/%C3%A9/%e2%82%ac"),
    get("/%FF%fe/%C3"),
    get("/%25/%2541"),
    get("/plus+and%20space"),
    get("/..;/../a"),
    get("/a;b=c,d:e@f"),
    get("/" + "x" * 3000),
    get("/", "X-Case: Value", "x-case: again", "Empty:", "Cookie: a=b; c=d"),
    get("/", "A: 1", "B: 2", "A: 3", "B:  4\t"),
    get("/", "X-Latin: \xe9\xff"),
    get(method="DELETE"),
    get(method="OPTIONS"),
    get(version="1.0"),
    get("/", "Connection: close"),
    post(b"hello", "Content-Type: text/plain"),
]


@pytest.mark.parametrize("root_path", ["", "/api", "/deep/er"])
@pytest.mark.parametrize("unix", [False, True])
def test_scopes_are_uvicorn_s(tmp_path: Path, root_path: str, unix: bool) -> None:
    theirs, ours = Recorder(), Recorder()
    unix_path = str(tmp_path / "theirs") if unix else None
    with uvicorn_s(theirs, root_path, unix_path) as connect:
        for request in REQUESTS:
            ask(connect(), request)
    unix_path = str(tmp_path / "ours") if unix else None
    with serve(ours, LOOPS["camshaft"], root_path=root_path, unix_path=unix_path) as served:
        for request in REQUESTS:
            ask(served.connect().sock, request)
    assert len(ours.scopes) == len(theirs.scopes) == len(REQUESTS)
    for our, their, request in zip(ours.scopes, theirs.scopes, REQUESTS, strict=True):
        if unix:
            assert our["server"] == (str(tmp_path / "ours"), None)
            our["server"] = their["server"]
        assert compared(our) == compared(their), request
        assert our.keys() - their.keys() == {"extensions"}
