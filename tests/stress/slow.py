# SPDX-License-Identifier: MIT
"""Slow clients of every kind beside one that is not: ``python -m tests.stress slow``.

A server with short limits is asked at a steady rate by another process, first alone, then beside
hundreds of clients that send a head or a body byte by byte, send nothing, do not read, or stay.
Each of those must be closed when its time is over. The steady client's p99 shall be no more than
twice what it was alone, which says something on a machine that does nothing else. slowhttptest,
where it is installed, does its own kinds afterwards; whether its connections are closed is asked of
the kernel, as it does not see the end of those that it does not read.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

TIMEOUT = 3
"""Seconds: of each of the server's limits."""

CLOSED_WITHIN = 10 * TIMEOUT
"""Seconds after which a slow client that is still connected counts as forgotten."""

RATE = 100
"""Requests a second of the steady client."""

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
LARGE = 32 * 1024 * 1024


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body; answers with little, or at /large with more than anybody buffers."""
    if scope["type"] != "http":
        raise RuntimeError("HTTP only")
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        if not event["more_body"]:
            break
    size = LARGE if scope["path"] == "/large" else 2
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while size > 0:
        piece = bytes(min(size, 65536))
        size -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": size > 0})


# ---- the slow ones: each returns when the server has ended its connection ----


async def _drip(address: Any, begin: bytes) -> None:
    """Sends a beginning, then a byte in each half second."""
    reader, writer = await asyncio.open_connection(*address)
    ended = asyncio.ensure_future(reader.read())
    with contextlib.suppress(ConnectionError):
        writer.write(begin)
        while not ended.done():
            await asyncio.wait((ended,), timeout=0.5)
            writer.write(b"x")
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        await ended
    writer.close()


async def slow_head(address: Any) -> None:
    await _drip(address, HEAD + b"X-Slow: ")


async def slow_body(address: Any) -> None:
    await _drip(address, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")


async def silent(address: Any) -> None:
    reader, writer = await asyncio.open_connection(*address)
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def idle(address: Any) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HEAD + b"\r\n")
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def not_reading(address: Any) -> None:
    """Asks for much and reads nothing: it is reset, which is seen without reading."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, HEAD.replace(b"/ ", b"/large ") + b"\r\n")
        while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            await asyncio.sleep(0.2)
    finally:
        sock.close()


KINDS: dict[str, Callable[[Any], Coroutine[Any, Any, None]]] = {
    "a head byte by byte": slow_head,
    "a body byte by byte": slow_body,
    "nothing sent": silent,
    "idle after an answer": idle,
    "an answer not read": not_reading,
}


async def attack(address: Any, each: int) -> dict[str, tuple[int, float]]:
    """So many of each kind at once: how many were left connected, and the longest time taken."""

    async def timed(kind: Callable[[Any], Coroutine[Any, Any, None]]) -> float | None:
        begin = time.monotonic()
        try:
            await asyncio.wait_for(kind(address), CLOSED_WITHIN)
        except TimeoutError:
            return None
        return time.monotonic() - begin

    tasks = {
        name: [asyncio.ensure_future(timed(kind)) for _ in range(each)]
        for name, kind in KINDS.items()
    }
    found: dict[str, tuple[int, float]] = {}
    for name, waited in tasks.items():
        times = await asyncio.gather(*waited)
        ended = [taken for taken in times if taken is not None]
        found[name] = (len(times) - len(ended), max(ended, default=0.0))
    return found


# ---- the steady one ----


def steady(port: int, seconds: float) -> list[float]:
    """Ask at RATE, each time counted from when it was due: sorted seconds."""
    request = HEAD + b"\r\n"
    taken: list[float] = []
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=CLOSED_WITHIN) as sock:
        for number in range(int(seconds * RATE)):
            due = begin + number / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            sock.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n\0\0"):
                piece = sock.recv(4096)
                if not piece:
                    raise RuntimeError("the steady client's connection was closed")
                answer += piece
            taken.append(time.monotonic() - due)
    return sorted(taken)


def measuring(port: int, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stress.slow", str(port), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def p99(process: subprocess.Popen[str]) -> float:
    """The milliseconds that a process of measuring() has found."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the steady client failed")
    return float(output)


# ---- all of it ----


@contextlib.contextmanager
def served() -> Iterator[int]:
    """A server process with short limits: its port."""
    options = [
        f"--{name}={TIMEOUT}"
        for name in (
            "timeout-keep-alive",
            "timeout-request-header",
            "timeout-request-body",
            "timeout-response-write",
        )
    ]
    command = [sys.executable, "-m", "camshaft", "tests.stress.slow:app", "--port=0"]
    command += ["--no-access-log", "--lifespan=off", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("the server did not start")
        # It must not wait for who reads its log.
        with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL):
            try:
                yield int(found[1])
            finally:
                process.send_signal(signal.SIGINT)
                process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


SLOWHTTPTEST = {
    "slowhttptest -H (head)": ["-H"],
    "slowhttptest -B (body)": ["-B"],
    "slowhttptest -R (ranges)": ["-R"],
    "slowhttptest -X (read)": ["-X", "-w", "1", "-y", "1", "-n", "1", "-z", "1", "-k", "1"],
}
CONNECTIONS = 500
"""Of slowhttptest, 200 in each second."""

LISTENING = "0A"
OPEN = {"01", "08"}
"""States of /proc/net/tcp: established, and closed by the peer alone."""


def connections(port: int) -> dict[str, bool]:
    """The far ends of the connections accepted on a port, and which are open on our end (Linux)."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, near, far, state, *_ = line.split()
        if near.endswith(f":{port:04X}") and state != LISTENING:
            found[far] = state in OPEN
    return found


def tool(path: str, options: list[str], port: int) -> tuple[int, int, float]:
    """Run slowhttptest until the server has closed what it had, or for CLOSED_WITHIN.

    Returns how many connections it made, how many of them were left, and the seconds it took.
    Connections that are there already are not its.
    """
    url = f"http://127.0.0.1:{port}/{'large' if '-X' in options else ''}"
    command = [path, *options, "-c", str(CONNECTIONS), "-r", "200", "-i", "1"]
    command += ["-l", str(CLOSED_WITHIN), "-u", url]
    others = connections(port)
    begin = time.monotonic()
    seen: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while True:
            now = connections(port)
            seen |= now.keys() - others.keys()
            left = sum(opened for far, opened in now.items() if far not in others)
            taken = time.monotonic() - begin
            if (len(seen) >= CONNECTIONS and not left) or taken > CLOSED_WITHIN:
                break
            time.sleep(0.1)
        process.terminate()
    return len(seen), left, taken


def run(seconds: float, seed: int) -> tuple[bool, str]:
    """Whether a promise was broken, and what was found. `seconds` is the steady client's time."""
    lines: list[str] = []
    broken = False
    each = 200

    def tell(name: str, beside: float) -> bool:
        ratio = beside / alone
        lines.append(f"p99 beside {name}: {beside:.2f} ms, {ratio:.2f} times")
        return ratio > 2

    lines.append(f"load before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    with served() as port:
        p99(measuring(port, 1))  # warm
        alone = statistics.median(p99(measuring(port, seconds)) for _ in range(3))
        lines.append(f"p99 alone: {alone:.2f} ms")
        client = measuring(port, seconds)
        found = asyncio.run(attack(("127.0.0.1", port), each))
        broken |= tell(f"{each} of each kind", p99(client))
        for name, (left, longest) in found.items():
            lines.append(f"{name}: {left} of {each} left connected, the last after {longest:.1f} s")
            broken |= left > 0
    path = shutil.which("slowhttptest")
    if path is None:
        lines.append("slowhttptest: not installed (apt install slowhttptest)")
    for name, options in SLOWHTTPTEST.items() if path else ():
        with served() as port:  # none of its connections were anybody's before
            p99(measuring(port, 1))
            client = measuring(port, seconds)
            while not any(connections(port).values()):
                time.sleep(0.01)
            made, left, taken = tool(str(path), options, port)
            broken |= tell(name, p99(client)) or left > 0 or made < CONNECTIONS
        lines.append(f"{name}: {left} of {made} left connected after {taken:.1f} s")
    return broken, "\n".join(["", *lines])


if __name__ == "__main__":
    latencies = steady(int(sys.argv[1]), float(sys.argv[2]))
    print(latencies[int(len(latencies) * 0.99)] * 1e3)
