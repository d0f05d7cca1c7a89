# SPDX-License-Identifier: MIT
"""What the loop's tests share: the loop under test, recording protocols, connected pairs."""

import asyncio
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Coroutine
from subprocess import PIPE, Popen
from typing import Any

import pytest

LOOP_NAME = os.environ.get("CAMSHAFT_TEST_LOOP", "camshaft")

LIMIT = 30.0
"""Seconds after which a test is taken to hang. Never reached by one that passes."""

ours_only = pytest.mark.skipif(
    LOOP_NAME != "camshaft", reason="asyncio leaves this undefined or does worse; ours promises it"
)

DEBUG = sys.flags.dev_mode or bool(os.environ.get("PYTHONASYNCIODEBUG"))
"""Loops are made in debug mode."""


def not_in_debug_mode(reason: str) -> pytest.MarkDecorator:
    """For what debug mode does otherwise, on purpose or on asyncio as well."""
    return pytest.mark.skipif(DEBUG, reason=f"in debug mode {reason}")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the kind under test, not set as the current one."""
    if LOOP_NAME == "asyncio":
        return asyncio.SelectorEventLoop()
    import camshaft

    return camshaft.new_event_loop()


TASK_KINDS = ("driven", "stock") if LOOP_NAME == "camshaft" else ("stock",)
"""Who runs the tasks of a loop: the loop itself, or asyncio's own code."""


def with_tasks(loop: Any, kind: str) -> Any:
    """The loop with tasks of a kind; skips where the loop cannot drive the running Python's."""
    if kind == "driven" and not loop.fast_tasks:
        pytest.skip("the loop drives tasks on CPython 3.11 to 3.13")
    if LOOP_NAME == "camshaft":
        loop.fast_tasks = kind == "driven"
    return loop


def run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; TimeoutError when it takes longer than LIMIT."""
    return loop.run_until_complete(asyncio.wait_for(coroutine, LIMIT))


def run_turns(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run `count` turns of the loop, each with a poll that does not block."""
    for _ in range(count):
        loop.stop()
        loop.run_forever()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that no future tells; TimeoutError after LIMIT."""
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


class Recorder(asyncio.Protocol):
    """Notes each call in `calls`, the bytes in `data`, and sets futures at the two ends."""

    def __init__(self, calls: list[str] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.calls = [] if calls is None else calls
        self.data = bytearray()
        self.made: asyncio.Future[Any] = loop.create_future()
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport
        self.made.set_result(transport)

    def data_received(self, data: bytes) -> None:
        self.calls.append("data")
        self.data += data

    def eof_received(self) -> bool | None:
        self.calls.append("eof")
        return None

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(exc)


class Echo(Recorder):
    """Sends back what arrives."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


async def open_stream(
    factory: Callable[[], asyncio.BaseProtocol] = Recorder,
    *,
    buffer: int | None = None,
) -> tuple[Any, Any, socket.socket]:
    """(transport, protocol, peer): a transport on one end of a socket pair, the other end raw.

    The raw end does not block. `buffer` sets the kernel's buffers on both ends, in bytes.
    """
    ours, peer = socket.socketpair()
    for end in (ours, peer):
        end.setblocking(False)
        if buffer is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(factory, sock=ours)
    return transport, protocol, peer


async def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """`count` bytes from a raw socket, or fewer if it ends."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < count:
        piece = await loop.sock_recv(sock, min(1 << 18, count - len(data)))
        if not piece:
            break
        data += piece
    return bytes(data)


async def receive_all(sock: socket.socket) -> bytes:
    """Everything from a raw socket until its end."""
    return await receive_exactly(sock, sys.maxsize)


# What every script begins with. On a busy machine any callback may be a slow one: in debug mode
# that would stand among what the script itself says on stderr.
SCRIPT_HEAD = """\
from tests.loop.support import new_loop
import logging
logging.getLogger("asyncio").addFilter(lambda record: not record.msg.startswith("Executing "))
"""


def run_script(body: str, *, arguments: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of Python code run in a process of its own.

    `new_loop` is defined for it. The process is killed after LIMIT, which gives a negative status.
    """
    environment = dict(os.environ, CAMSHAFT_TEST_LOOP=LOOP_NAME)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with Popen(
        [sys.executable, "-c", SCRIPT_HEAD + textwrap.dedent(body), *arguments],
        cwd=root,
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=2 * LIMIT)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err
