# SPDX-License-Identifier: MIT
"""camshaft.http:Protocol inside of uvicorn's own server, on both loops and as a process."""

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

GET = b"GET /path?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope, receive, send):
    """Answers what it was asked; /wait waits for the end of the connection first."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"].upper()})
        await send({"type": "websocket.close"})
        return
    assert scope["type"] == "http"
    if scope["path"] == "/raise":
        raise ZeroDivisionError
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    body = b"%s %s" % (scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Running:
    """A uvicorn.Server in a thread of its own."""

    def __init__(self, loop: str, **options: Any) -> None:
        options = {
            "lifespan": "off",
            "log_config": None,
            "http": "camshaft.http:Protocol",
            **options,
        }
        config = uvicorn.Config(options.pop("app", app), loop=loop, port=0, **options)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            time.sleep(0.01)
        assert self.thread.is_alive()
        self.address = self.server.servers[0].sockets[0].getsockname()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()

    @property
    def state(self) -> Any:
        return self.server.server_state


@pytest.fixture(params=["camshaft:new_event_loop", "asyncio"])
def start(request: pytest.FixtureRequest) -> Iterator[Any]:
    running: list[Running] = []

    def begin(**options: Any) -> Running:
        running.append(Running(request.param, **options))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    assert len(body) == length
    return head, body


def eventually(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests(start, caplog):
    caplog.set_level(logging.INFO, "uvicorn.access")
    running = start(headers=[("X-Ours", "yes")])
    with running.connect() as connection:
        connection.sendall(GET)
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == b"/path "
        lines = head.split(b"\r\n")
        assert lines.count(b"server: uvicorn") == 1 and b"x-ours: yes" in lines
        assert sum(line.startswith(b"date: ") for line in lines) == 1
        assert len(running.state.connections) == 1
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
        )
        assert answer(connection)[1] == b"/ " + b"x" * 100_000
        connection.sendall(GET * 3)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3 or not data.endswith(b"/path "):
            data += connection.recv(65536)
    eventually(lambda: not running.state.connections and not running.state.tasks)
    assert running.state.total_requests == 5
    messages = [record.getMessage() for record in caplog.records]
    assert sum('"GET /path?q=1 HTTP/1.1" 200' in message for message in messages) == 4


def test_what_is_no_request(start):
    running = start()
    with running.connect() as connection:
        connection.sendall(b"GET /\r\n\r\n")
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 400 ") and b"Invalid HTTP request received." in body
        assert connection.recv(1) == b""


def test_an_application_that_raises(start):
    running = start()
    with running.connect() as connection:
        connection.sendall(GET.replace(b"path", b"raise"))
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 500 ") and body == b"Internal Server Error"


def test_concurrency_is_limited(start):
    running = start(limit_concurrency=2)
    with running.connect() as first:
        first.sendall(GET)
        assert answer(first)[0].startswith(b"HTTP/1.1 200 ")
        with running.connect() as second:
            second.sendall(GET)
            head, body = answer(second)
            assert head.startswith(b"HTTP/1.1 503 ") and body == b"Service Unavailable"
            assert second.recv(1) == b""


def test_idle_connections_are_closed(start):
    running = start(timeout_keep_alive=1)
    with running.connect() as connection:
        connection.sendall(GET)
        answer(connection)
        assert connection.recv(1) == b""
    eventually(lambda: not running.state.connections)


def test_shutdown_ends_idle_connections_and_waits_for_others(start):
    running = start()
    with running.connect() as idle, running.connect() as busy:
        idle.sendall(GET)
        answer(idle)
        busy.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        eventually(lambda: running.state.tasks)
        running.server.should_exit = True
        assert idle.recv(1) == b""
        busy.sendall(b"b")
        head, body = answer(busy)
        assert body == b"/ ab" and b"connection: close" in head.split(b"\r\n")
        assert busy.recv(1) == b""
    running.stop()


def test_shutdown_with_a_limit_cancels(start):
    running = start(timeout_graceful_shutdown=1)
    with running.connect() as connection:
        connection.sendall(GET.replace(b"path", b"wait"))
        eventually(lambda: running.state.tasks)
        running.stop()


def test_a_limit_of_requests_ends_the_server(start):
    running = start(limit_max_requests=2)
    with running.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            answer(connection)
    running.thread.join(30)
    assert not running.thread.is_alive()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("pipelined", [False, True])
def test_websockets_are_handed_over(start, together, pipelined):
    pytest.importorskip("websockets", reason="uvicorn needs it for its WebSocket protocol")
    running = start(ws="websockets-sansio")
    request = (
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frame = b"\x81\x82\x00\x00\x00\x00hi"
    with running.connect() as connection:
        head = request + frame if together else request
        if pipelined:
            connection.sendall(GET + head)
        else:
            connection.sendall(GET)  # one request before, on the same connection
            answer(connection)
            connection.sendall(head)
        data = b""
        while b"\r\n\r\n" not in data.partition(b"HTTP/1.1 101 ")[2]:
            data += connection.recv(65536)
        assert data.startswith(b"HTTP/1.1 200 " if pipelined else b"HTTP/1.1 101 ")
        if not together:
            connection.sendall(frame)
        while b"\x81\x02HI" not in data:
            part = connection.recv(65536)
            assert part
            data += part
    eventually(lambda: not running.state.connections)


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
OURS = "camshaft.http:WebSocketProtocol"


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame, with a mask of zeros."""
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    return data


@pytest.mark.parametrize("http", ["camshaft.http:Protocol", "h11", "httptools"])
def test_websockets_of_ours(start, http):
    """From any HTTP protocol, behind a request on the same connection."""
    if http == "httptools":
        pytest.importorskip("httptools", reason="uvicorn needs it for that protocol")
    running = start(ws=OURS, http=http)
    with running.connect() as connection:
        connection.sendall(GET)
        answer(connection)
        connection.sendall(HANDSHAKE)
        head = read_until(connection, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and b"\r\nserver: uvicorn\r\n" in head
        assert len(running.state.connections) == 1 and len(running.state.tasks) == 1
        connection.sendall(masked(1, b"hi"))
        data = read_until(connection, b"\x88\x02\x03\xe8")
        assert data == b"\x81\x02HI\x88\x02\x03\xe8"
        connection.sendall(masked(8, b"\x03\xe8"))
        assert connection.recv(1) == b""
    eventually(lambda: not running.state.connections and not running.state.tasks)


async def echo(scope, receive, send):
    """Answers every message of a WebSocket; waits with /late before it accepts."""
    assert scope["type"] == "websocket"
    await receive()
    if scope["path"] == "/late":
        await receive()
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("http", ["camshaft.http:Protocol", "h11"])
def test_many_messages_to_websockets_of_ours(start, http):
    running = start(ws=OURS, http=http, app=echo)
    with running.connect() as connection:
        connection.sendall(HANDSHAKE)
        read_until(connection, b"\r\n\r\n")
        for number in range(20):
            connection.sendall(masked(1, b"%d" % number))
            read_until(connection, b"%d" % number)
        connection.sendall(b"".join(masked(1, b"%d" % number) for number in range(100)))
        read_until(connection, b"99")


@pytest.mark.parametrize("http", ["camshaft.http:Protocol", "h11"])
@pytest.mark.parametrize("path", [b"/ws", b"/late"])
def test_shutdown_ends_websockets_of_ours(start, http, path):
    running = start(ws=OURS, http=http, app=echo)
    with running.connect() as connection:
        connection.sendall(HANDSHAKE.replace(b"/ws", path))
        if path == b"/ws":
            read_until(connection, b"\r\n\r\n")
        eventually(lambda: running.state.tasks)
        running.server.should_exit = True
        if path == b"/ws":
            assert read_until(connection, b"\x03\xf4") == b"\x88\x02\x03\xf4"  # 1012
        else:
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    running.stop()


def test_handshakes_that_are_wrong_or_too_many(start):
    running = start(ws=OURS, app=echo, limit_concurrency=2)
    with running.connect() as connection:
        connection.sendall(HANDSHAKE.replace(b"Version: 13", b"Version: 7"))
        assert answer(connection)[0].startswith(b"HTTP/1.1 426 ")
    eventually(lambda: not running.state.connections)
    with running.connect() as first:
        first.sendall(HANDSHAKE)
        read_until(first, b"HTTP/1.1 101 ")
        with running.connect() as second:
            second.sendall(HANDSHAKE)
            assert read_until(second, b"Unavailable").startswith(b"HTTP/1.1 503 ")


def test_upgrades_that_nobody_serves_are_plain_requests(start, caplog):
    running = start(ws="none")
    with running.connect() as connection:
        connection.sendall(GET[:-2] + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert answer(connection)[1] == b"/path "
    messages = [record.getMessage() for record in caplog.records]
    assert "Unsupported upgrade request." in messages
    assert any(message.startswith("No supported WebSocket library") for message in messages)


def test_default_headers_are_the_servers_present_ones(start):
    """Whoever changes ServerState.default_headers changes what responses begin with."""
    running = start(date_header=False)
    with running.connect() as connection:
        connection.sendall(GET)
        assert b"server: uvicorn" in answer(connection)[0]
        running.server.config.encoded_headers = [(b"X-Later", b"1"), (b"Server", b"other")]
        eventually(lambda: len(running.state.default_headers) == 2)
        connection.sendall(GET)
        lines = answer(connection)[0].split(b"\r\n")
        assert b"x-later: 1" in lines and b"server: other" in lines
        assert b"server: uvicorn" not in lines


def test_the_uvicorn_command(tmp_path):
    """A process as users start it, from its first line to its last."""
    (tmp_path / "module.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    import asyncio, camshaft\n"
        "    body = type(asyncio.get_running_loop()).__name__.encode()\n"
        "    headers = [(b'content-length', b'%d' % len(body))]\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    command = [sys.executable, "-m", "uvicorn", "module:app", "--port", "0", "--lifespan", "off"]
    command += ["--loop", "camshaft:new_event_loop", "--http", "camshaft.http:Protocol"]
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
        output = []
        for line in process.stdout:
            output.append(line)
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            if found:
                break
        else:
            pytest.fail("".join(output))
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=30) as connection:
            connection.sendall(GET)
            assert answer(connection)[1] == b"EventLoop"
            process.send_signal(signal.SIGTERM)
            assert connection.recv(1) == b""
        rest = process.stdout.read()
        process.wait(30)
    assert '"GET /path?q=1 HTTP/1.1" 200 OK' in rest
    assert "Finished server process" in rest, rest
