# SPDX-License-Identifier: MIT
"""Scenarios of pipes and child processes."""

import asyncio
import contextlib
import gc
import os
import pty
import signal
import socket

from camshaft import _core
from tests.leaks.scenario import Table, coroutine, plain, turns
from tests.leaks.streams import Protocol

SCENARIOS: Table = {}

PIPE = asyncio.subprocess.PIPE


def ends():
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


@coroutine(SCENARIOS)
async def both_ends_of_a_pipe(loop):
    reading, writing = ends()
    reader, read_protocol = await loop.connect_read_pipe(Protocol, reading)
    writer, write_protocol = await loop.connect_write_pipe(Protocol, writing)
    for size in (1, 100, 5000, 100_000):
        for kind in (bytes, bytearray):
            writer.write(kind(size))
    writer.writelines([b"a", b"b"])
    for transport in (reader, writer):
        repr(transport)
        transport.attribute = object()
        transport.get_extra_info("pipe")
    reader.pause_reading()
    reader.resume_reading()
    writer.write_eof()
    await write_protocol.lost
    await read_protocol.lost


@coroutine(SCENARIOS)
async def pipes_that_break(loop):
    reading, writing = ends()
    writer, protocol = await loop.connect_write_pipe(Protocol, writing)
    protocol.pause_writing = protocol.resume_writing = lambda: None
    writer.write(bytes(200_000))
    reading.close()
    await protocol.lost
    writer.write(b"late")
    writer.close()
    reading, writing = ends()
    writer, protocol = await loop.connect_write_pipe(Protocol, writing)
    reading.close()
    writer.write(b"early")
    await protocol.lost
    master, slave = pty.openpty()
    reader, protocol = await loop.connect_read_pipe(Protocol, os.fdopen(master, "rb", 0))
    os.close(slave)
    await protocol.lost
    repr(reader)


@coroutine(SCENARIOS)
async def files_that_are_no_pipes(loop):
    with open(__file__, "rb") as file:
        for connect in (loop.connect_read_pipe, loop.connect_write_pipe):
            try:
                await connect(Protocol, file)
            except ValueError:
                pass


@coroutine(SCENARIOS)
async def one_terminal_for_two_transports(loop):
    master, slave = pty.openpty()
    file = os.fdopen(master, "r+b", 0)
    reader, read_protocol = await loop.connect_read_pipe(Protocol, file)
    writer, write_protocol = await loop.connect_write_pipe(Protocol, file)
    write_protocol.pause_writing = write_protocol.resume_writing = lambda: None
    writer.write(bytes(100_000))
    writer.abort()
    reader.close()
    await write_protocol.lost
    await read_protocol.lost
    os.close(slave)


@coroutine(SCENARIOS)
async def pipes_into_stream_readers(loop):
    reading, writing = ends()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), reading)
    for size in (10, 50_000, 60_000):
        writing.write(bytes(size))
        await reader.readexactly(size)
    writing.close()
    await reader.read()


@coroutine(SCENARIOS)
async def protocols_that_fail(loop):
    class Fails(Protocol):
        def data_received(self, data):
            raise ZeroDivisionError

    reading, writing = ends()
    _transport, protocol = await loop.connect_read_pipe(Fails, reading)
    writing.write(b"x")
    await asyncio.sleep(0.001)
    writing.close()
    await protocol.lost


@plain(SCENARIOS)
def pipes_dropped(loop):
    reading, writing = ends()
    # The one that is dropped takes the other with it, which the loop holds.
    _core.ReadPipe(loop, reading, asyncio.Protocol()).pause_reading()
    _core.WritePipe(loop, writing, asyncio.Protocol(), gather=True).write(b"x")
    near, far = socket.socketpair()
    _core.ReadPipe(loop, near, asyncio.Protocol()).pause_reading()
    turns(loop, 3)
    far.close()
    turns(loop, 2)
    gc.collect()
    _core.ReadPipe.__new__(_core.ReadPipe)
    _core.WritePipe.__new__(_core.WritePipe)
    for arguments in ((), (loop, 1, 2), (1, reading, 2)):
        for kind in (_core.ReadPipe, _core.WritePipe):
            with contextlib.suppress(TypeError, AttributeError, ValueError):
                kind(*arguments)


@coroutine(SCENARIOS)
async def children(loop):
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    repr(process._transport)
    await process.communicate(bytes(100_000))
    process = await asyncio.create_subprocess_shell("exit 3")
    await process.wait()


@coroutine(SCENARIOS)
async def children_that_are_not_started(loop):
    for keywords in ({}, {"stdin": PIPE, "stdout": PIPE}):
        with contextlib.suppress(OSError):
            await asyncio.create_subprocess_exec("/nowhere", **keywords)


@coroutine(SCENARIOS)
async def children_that_are_killed(loop):
    for act in ("kill", "close", "cancel"):
        starting = loop.create_task(
            loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/sleep", "60", stderr=None)
        )
        if act == "cancel":
            await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            continue
        transport, _ = await starting
        if act == "kill":
            transport.send_signal(signal.SIGKILL)
            await transport._wait()
        transport.close()
        await transport._wait()
