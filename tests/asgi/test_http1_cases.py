# SPDX-License-Identifier: MIT
"""The cases of tests/cases/http1 against a running server: what a client sends, whole and byte by
byte, what it is answered, whether the connection stays, and what the application saw.

The clients run on the server's own loop, many at a time, so that every byte can be a packet.
"""

import asyncio
import socket
from collections import defaultdict
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Served, answer
from tests.cases.http1 import Case, Request, read_cases

CASES = read_cases()
# Those that the server's options can express; the others are for the core alone.
PLAYED = [case for case in CASES if not case.limited]

# Longer inputs are cut into pieces of more than one byte.
BYTE_BY_BYTE = 2000
TOGETHER = 64

PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


class Recorder:
    """An application that answers every whole request with 200, and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: defaultdict[int, list[tuple[dict[str, Any], bytes, bool]]] = defaultdict(list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                break
            body += event["body"]
            more = event["more_body"]
        self.seen[scope["client"][1]].append((scope, body, not more))
        if not more:
            await answer(send, b"ok", headers=[(b"content-length", b"2")])


class Replies:
    """Reads the answers of one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.held = b""

    async def more(self) -> bool:
        try:
            data = await asyncio.wait_for(self.loop.sock_recv(self.sock, 65536), LIMIT)
        except ConnectionResetError:
            return False
        self.held += data
        return bool(data)

    async def status(self, method: str) -> int | None:
        """Return the status of the next answer, None at the end; interim ones are passed over."""
        while True:
            while b"\r\n\r\n" not in self.held:
                if not await self.more():
                    assert not self.held, self.held
                    return None
            head, _, self.held = self.held.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            status = int(lines[0].split(b" ")[1])
            if status >= 200:
                break
        length = 0
        for line in lines[1:]:
            name, _, value = line.partition(b": ")
            if name.lower() == b"content-length" and method != "HEAD":
                length = int(value)
        while len(self.held) < length:
            assert await self.more(), "the end within a body"
        self.held = self.held[length:]
        return status


async def send(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, data: bytes, step: int
) -> None:
    try:
        for at in range(0, len(data), step):
            await loop.sock_sendall(sock, data[at : at + step])
            await asyncio.sleep(0)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has been refused, and said so


async def talk(port: int, case: Case, step: int) -> tuple[int, list[int | None]]:
    """Play a case; the client's port, and the statuses up to the end of the connection.

    Where the connection is to stay, another request is the proof, and ends it.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stays = not case.waits and not case.closes
        await send(loop, sock, case.data + (PROBE if stays else b""), step)
        if case.waits:
            sock.shutdown(socket.SHUT_WR)
        replies = Replies(loop, sock)
        methods = [request.method for request in case.requests if request.whole]
        statuses = [await replies.status(method) for method in methods]
        while (statuses or [0])[-1] is not None:
            statuses.append(await replies.status("GET"))
        return sock.getsockname()[1], statuses


def expected_statuses(case: Case) -> list[int | None]:
    if case.data.startswith(b"\x16"):
        # A TLS handshake, to which the server says nothing: its client would not understand it.
        return [None]
    statuses: list[int | None] = [200 for request in case.requests if request.whole]
    if case.status is not None:
        statuses.append(case.status)
    elif not case.waits and not case.closes:
        statuses.append(200)
    return [*statuses, None]


def expected_headers(request: Request) -> list[tuple[bytes, bytes]]:
    headers = [(name.lower(), value) for name, value in request.headers]
    scheme, mark, rest = request.target.partition(b"://")
    if mark and scheme.lower() in (b"http", b"https"):  # RFC 9112 section 3.2.2
        host = rest.split(b"/")[0].split(b"?")[0]
        headers = [(name, host if name == b"host" else value) for name, value in headers]
    return headers


def fault_of_request(request: Request, scope: dict[str, Any], body: bytes) -> str | None:
    pairs = {
        "method": (scope["method"], request.method.upper()),
        "raw_path": (scope["raw_path"], request.path),
        "query_string": (scope["query_string"], request.query),
        "http_version": (scope["http_version"], request.version.removeprefix("HTTP/")),
        "headers": (list(scope["headers"]), expected_headers(request)),
        "body": (body, request.body),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            return f"{name} {found!r} for {expected!r}"
    return None


def fault_of_case(
    case: Case,
    statuses: list[int | None],
    seen: list[tuple[dict[str, Any], bytes, bool]],
) -> str | None:
    """Return what is wrong with the outcome of a case."""
    if statuses != expected_statuses(case):
        return f"answers {statuses} for {expected_statuses(case)}"
    whole = [(scope, body) for scope, body, complete in seen if complete]
    requests = [request for request in case.requests if request.whole]
    if not case.waits and not case.closes:
        if not whole or whole.pop()[0]["raw_path"] != b"/probe":
            return "the probe was not seen"
    if len(whole) != len(requests):
        return f"{len(whole)} requests seen of {len(requests)}"
    for request, (scope, body) in zip(requests, whole, strict=True):
        fault = fault_of_request(request, scope, body)
        if fault is not None:
            return fault
    return None


async def play_all(port: int, recorder: Recorder, by_bytes: bool) -> list[str]:
    faults = []
    slots = asyncio.Semaphore(TOGETHER)

    async def play(case: Case) -> None:
        step = len(case.data) + len(PROBE)
        if by_bytes:
            step = 1 if len(case.data) <= BYTE_BY_BYTE else 997
        async with slots:
            client, statuses = await talk(port, case, step)
        fault = fault_of_case(case, statuses, recorder.seen.pop(client, []))
        if fault is not None:
            faults.append(f"{case.place}: {fault} ({case.section}): {case.data[:300]!r}")

    await asyncio.gather(*[play(case) for case in PLAYED])
    return faults


def test_there_are_enough() -> None:
    assert len(CASES) >= 600
    assert len(PLAYED) >= 600


@pytest.mark.parametrize("by_bytes", [False, True], ids=["whole", "bytes"])
def test_cases(start: Serve, by_bytes: bool) -> None:
    recorder = Recorder()
    # Without WebSocket, of which the cases say nothing: an offer of it is one to be declined.
    served: Served = start(recorder, websocket=False)
    faults = served.run(play_all(served.port, recorder, by_bytes))
    assert not faults, "\n".join([f"{len(faults)} cases", *faults[:20]])
    assert not served.loop_errors
