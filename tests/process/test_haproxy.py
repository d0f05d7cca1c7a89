# SPDX-License-Identifier: MIT
"""The configurations of deploy/ with the real proxies, in front of three instances."""

import asyncio
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGTERM

import pytest
from command_process import LIMIT, Serving

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"
CLIENTS = 12

APP = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] != "/health":
        await asyncio.sleep(0.02)
    seen = dict(scope["headers"])
    text = f"{os.getpid()} {scope['client'][0]} {scope['scheme']} ".encode() + body
    length = str(len(text)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: proxies put sockets there, and read it as another user."""
    made = Path(tempfile.mkdtemp(prefix="camshaft-proxy-"))
    (made / "served.py").write_text(APP)
    yield made
    shutil.rmtree(made)


class Instances:
    """Three servers, each of which can be restarted on its own port."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.servers = [self.start(at, 0) for at in range(3)]
        self.ports = [server.port for server in self.servers]

    def start(self, at: int, port: int) -> Serving:
        place = self.directory / f"instance{at}"
        place.mkdir(exist_ok=True)
        options = ("--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "60")
        server = Serving(place, "served:app", *options, cwd=self.directory)
        return self.stack.enter_context(server)

    def restart(self, at: int) -> None:
        """As a deployment does: by a signal, and then anew."""
        assert self.servers[at].stop() == -SIGTERM
        self.servers[at] = self.start(at, self.ports[at])


@contextmanager
def instances(directory: Path) -> Iterator[Instances]:
    with ExitStack() as stack:
        yield Instances(directory, stack)


@contextmanager
def proxy(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": SBIN},
        )
    try:
        yield process
    finally:
        # nginx ends its workers by a signal that it hears.
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def replaced(text: str, changes: dict[str, str]) -> str:
    """The file as it is in deploy/ but for places and ports, each of which has to be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until_reached(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        assert process.poll() is None, log.read_text()
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            client.request("GET", "/health")
            if client.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            client.close()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


class Load:
    """Closed-loop clients with a connection each, and what has become of their requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.lost: list[str] = []
        self.processes: set[str] = set()
        self.ending = False

    async def wait_for_processes(self, count: int) -> None:
        """Wait until so many servers have answered."""
        async with asyncio.timeout(LIMIT):
            while len(self.processes) < count:
                await asyncio.sleep(0.02)

    async def client(self, number: int) -> None:
        # What may be repeated and what may not, on connections that stay and such that do not.
        body = f"body of {number}".encode() if number % 2 else b""
        method = "POST" if body else "GET"
        stays = number % 3 != 0
        request = (
            f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n"
        ).encode() + body
        reader = writer = None
        while not self.ending:
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                assert reader is not None
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise ValueError(f"{method}: {head.splitlines()[0]!r}")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                text = await reader.readexactly(length)
                assert text.endswith(b" " + body), text
                self.processes.add(text.split()[0].decode())
                self.answered += 1
                closing = b"connection: close" in head.lower()
            except (OSError, EOFError, ValueError) as error:
                self.lost.append(f"{method} {type(error).__name__} {error}")
                closing = True
            if (closing or not stays) and writer is not None:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()


async def under_load(port: int, work: Callable[[Load], Awaitable[None]]) -> Load:
    load = Load(port)
    clients = [asyncio.ensure_future(load.client(number)) for number in range(CLIENTS)]
    try:
        await work(load)
    finally:
        load.ending = True
        await asyncio.wait_for(asyncio.gather(*clients), LIMIT)
    return load


def haproxy_says(path: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(path))
        client.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def test_rolling_restart_behind_haproxy_loses_nothing(directory: Path) -> None:
    if shutil.which("haproxy", path=SBIN) is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    port, control, log = free_port(), directory / "admin.sock", directory / "haproxy.log"
    with instances(directory) as served:
        config = replaced(
            (DEPLOY / "haproxy" / "haproxy.cfg").read_text(),
            {
                "maxconn 20000": "maxconn 500",
                "bind :80\n": f"bind 127.0.0.1:{port}\n",
                "/run/haproxy/admin.sock": str(control),
                **{f"127.0.0.1:800{at + 1}": f"127.0.0.1:{served.ports[at]}" for at in range(3)},
            },
        )
        (directory / "haproxy.cfg").write_text(config)
        command = ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]
        with proxy(command, log) as process:
            wait_until_reached(port, process, log)

            def up() -> int:
                rows = haproxy_says(control, "show stat").splitlines()
                names = rows[0].lstrip("# ").split(",")
                found = [dict(zip(names, row.split(","), strict=False)) for row in rows[1:] if row]
                return sum(
                    row["pxname"] == "app" and row["svname"] != "BACKEND" and row["status"] == "UP"
                    for row in found
                )

            async def roll(load: Load) -> None:
                await load.wait_for_processes(3)
                for at in range(3):
                    await asyncio.to_thread(served.restart, at)
                    # As a deployment waits: until it is one of three again.
                    deadline = time.monotonic() + LIMIT
                    while await asyncio.to_thread(up) < 3:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.05)
                await load.wait_for_processes(6)

            load = asyncio.run(under_load(port, roll))
            assert load.lost == []
            assert len(load.processes) == 6
            assert load.answered > CLIENTS


def test_nginx_passes_on_who_asks(directory: Path) -> None:
    if shutil.which("nginx", path=SBIN) is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    port, log = free_port(), directory / "nginx.log"
    directory.chmod(0o755)
    with instances(directory) as served:
        config = replaced(
            (DEPLOY / "nginx" / "nginx.conf").read_text(),
            {
                "listen 80;": f"listen 127.0.0.1:{port};",
                "pid /run/": f"pid {directory}/",
                "/var/log/nginx": str(directory),
                "worker_rlimit_nofile 65536;": "worker_rlimit_nofile 1024; daemon off;",
                "worker_connections 16384;": "worker_connections 512;",
                "worker_processes auto;": "worker_processes 1;",
                **{f"127.0.0.1:800{at + 1}": f"127.0.0.1:{served.ports[at]}" for at in range(3)},
            },
        )
        (directory / "nginx.conf").write_text(config)
        command = ["nginx", "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
        with proxy(command, log) as process:
            wait_until_reached(port, process, log)
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            headers = {"X-Forwarded-For": "203.0.113.7"}
            for _ in range(3):
                client.request("POST", "/", body=b"asked", headers=headers)
                _, address, scheme, body = client.getresponse().read().split()
                assert (address, scheme, body) == (b"203.0.113.7", b"http", b"asked")
            client.close()
            # An instance that is not there is not noticed by who asks.
            served.servers[0].stop()
            for _ in range(6):
                client.request("GET", "/")
                response = client.getresponse()
                assert response.status == 200
                response.read()
            client.close()
