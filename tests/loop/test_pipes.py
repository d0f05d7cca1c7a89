# SPDX-License-Identifier: MIT
"""Pipe transports: what they accept, how they end, who owns the descriptor, what they say."""

import asyncio
import contextvars
import gc
import logging
import os
import pty
import signal
import socket
import tty
import warnings
from typing import Any

import pytest

from tests.loop.support import (
    Recorder,
    not_in_debug_mode,
    ours_only,
    run,
    run_script,
    run_turns,
    until,
)


def make_pipe() -> tuple[Any, Any]:
    """(reading, writing): the two ends of a pipe as unbuffered files."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


async def open_reader(loop: Any, factory: Any = Recorder) -> tuple[Any, Any, Any]:
    """(transport, protocol, the file to write into)."""
    reading, writing = make_pipe()
    transport, protocol = await loop.connect_read_pipe(factory, reading)
    return transport, protocol, writing


async def open_writer(loop: Any, factory: Any = Recorder) -> tuple[Any, Any, Any]:
    """(transport, protocol, the file to read from)."""
    reading, writing = make_pipe()
    transport, protocol = await loop.connect_write_pipe(factory, writing)
    return transport, protocol, reading


def fill(transport: Any, size: int = 1 << 20) -> bytes:
    """Write more than a pipe takes; what was written."""
    data = bytes(range(256)) * (size // 256)
    transport.write(data)
    assert transport.get_write_buffer_size() > 0
    return data


async def read_all(file: Any) -> bytes:
    os.set_blocking(file.fileno(), False)
    data = bytearray()
    while True:
        try:
            piece = os.read(file.fileno(), 1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not piece:
            return bytes(data)
        data += piece


# ---- both ends


def test_what_they_are(loop):
    async def main():
        reader, read_protocol, writing = await open_reader(loop)
        writer, write_protocol, reading = await open_writer(loop)
        assert isinstance(reader, asyncio.ReadTransport)
        assert not isinstance(reader, asyncio.WriteTransport)
        assert isinstance(writer, asyncio.WriteTransport)
        for transport, protocol in ((reader, read_protocol), (writer, write_protocol)):
            assert protocol.calls == ["made"]
            assert transport.get_protocol() is protocol
            assert not transport.is_closing()
            assert transport.get_extra_info("pipe").fileno() == transport._fileno
            assert transport.get_extra_info("nothing") is None
            assert transport.get_extra_info("nothing", 3) == 3
            # What applications replace for their tests.
            transport.close, close = "replaced", transport.close
            assert transport.close == "replaced"
            del transport.close
            assert f"fd={transport._fileno}" in repr(transport)
            close()
            assert "closing" in repr(transport)
            assert await protocol.lost is None
            await until(lambda transport=transport: "closed" in repr(transport))
            assert transport.get_protocol() is None
            transport.close()
            assert protocol.calls == ["made", "lost"]
        reading.close()
        writing.close()

    run(loop, main())


def test_only_files_that_can_be_waited_for(loop, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"text")

    async def main():
        with path.open("rb+") as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await loop.connect_read_pipe(Recorder, file)
            with pytest.raises(
                ValueError,
                match=r"^Pipe transport is only for pipes, sockets and character devices",
            ):
                await loop.connect_write_pipe(Recorder, file)
            assert file.read() == b"text"  # still the caller's
        with pytest.raises(ValueError):
            await loop.connect_read_pipe(Recorder, file)

    run(loop, main())


@ours_only
def test_a_closed_loop_takes_no_pipe(loop):
    run(loop, asyncio.sleep(0))
    reading, writing = make_pipe()
    loop.close()
    for make, file in (
        (loop._make_read_pipe_transport, reading),
        (loop._make_write_pipe_transport, writing),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            make(file, asyncio.Protocol())
    os.fstat(reading.fileno())
    reading.close()
    writing.close()
    gc.collect()


def test_the_descriptor_does_not_block(loop):
    async def main():
        reading, writing = make_pipe()
        for file in (reading, writing):
            os.set_blocking(file.fileno(), True)
        ends = (
            await loop.connect_read_pipe(Recorder, reading),
            await loop.connect_write_pipe(Recorder, writing),
        )
        assert not os.get_blocking(reading.fileno())
        assert not os.get_blocking(writing.fileno())
        for transport, protocol in ends:
            transport.close()
            await protocol.lost

    run(loop, main())


@ours_only
def test_the_number_is_the_transports(loop):
    """asyncio lets add_reader() take it away from the transport."""

    async def main():
        reader, read_protocol, writing = await open_reader(loop)
        writer, write_protocol, reading = await open_writer(loop)
        for transport in (reader, writer):
            fd = transport._fileno
            for method in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match=f"File descriptor {fd} is used by transpor"):
                    method(fd, print)
        reader.pause_reading()
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(reader._fileno, print)
        for transport, protocol in ((reader, read_protocol), (writer, write_protocol)):
            transport.close()
            await protocol.lost
        reading.close()
        writing.close()

    run(loop, main())


class Closes:
    """A file object that counts how often it is closed and knows its descriptor."""

    def __init__(self, fd):
        self.fd = fd
        self.closed = 0

    def fileno(self):
        return self.fd

    def close(self):
        self.closed += 1
        os.close(self.fd)


@ours_only
def test_the_file_is_closed_once_and_by_itself(loop):
    """uvloop closes the number too, which is another file's by then (its #763)."""

    async def main():
        read_fd, write_fd = os.pipe()
        ends = Closes(read_fd), Closes(write_fd)
        reader, read_protocol = await loop.connect_read_pipe(Recorder, ends[0])
        writer, write_protocol = await loop.connect_write_pipe(Recorder, ends[1])
        writer.close()
        await write_protocol.lost
        await read_protocol.lost
        await until(lambda: ends[0].closed and ends[1].closed)
        # The numbers are free: what gets them now must stay open.
        others = os.pipe()
        assert set(others) == {read_fd, write_fd}
        for transport in (reader, writer):
            transport.close()
        writer.abort()
        del reader, writer, transport
        gc.collect()
        await asyncio.sleep(0)
        assert [end.closed for end in ends] == [1, 1]
        for fd in others:
            os.fstat(fd)
            os.close(fd)

    run(loop, main())


@pytest.mark.parametrize("end", ["read", "write"])
def test_a_dropped_transport_warns_and_closes(loop, end):
    async def main():
        if end == "read":
            transport, protocol, other = await open_reader(loop)
            transport.pause_reading()
        else:
            # A terminal is not watched until it is full.
            master, slave = pty.openpty()
            other = os.fdopen(slave, "rb", 0)
            transport, protocol = await loop.connect_write_pipe(
                Recorder, os.fdopen(master, "wb", 0)
            )
        fd = transport._fileno
        protocol.transport = None
        await asyncio.sleep(0)  # the steps that hold it
        with pytest.warns(ResourceWarning, match="unclosed transport <.*fd="):
            del transport, protocol
            gc.collect()
        with pytest.raises(OSError):
            os.fstat(fd)
        other.close()

    run(loop, main())


def test_the_loop_keeps_a_pipe_that_nobody_holds(loop):
    async def main():
        transport, protocol, writing = await open_reader(loop)
        protocol.transport = None
        del transport
        gc.collect()
        writing.write(b"still there")
        await until(lambda: protocol.data == b"still there")
        writing.close()
        assert await protocol.lost is None

    run(loop, main())


def test_a_loop_that_is_closed_first(loop):
    async def main():
        reader, protocol, writing = await open_reader(loop)
        protocol.transport = None
        writer, protocol, reading = await open_writer(loop)
        protocol.transport = None
        return reader, writer, reading, writing

    reader, writer, reading, writing = run(loop, main())
    loop.close()
    assert "open" in repr(reader)
    assert "open" in repr(writer)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        reader.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del reader, writer
        gc.collect()
    with pytest.raises(BrokenPipeError):
        writing.write(b"x")  # its reader was closed
    assert reading.read(1) == b""
    reading.close()
    writing.close()


def test_one_terminal_read_and_written_through_one_file(loop):
    """The number can be watched for one of the two alone: the other has a duplicate."""

    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        file = os.fdopen(master, "r+b", 0)
        before = len(os.listdir("/proc/self/fd"))
        reader, read_protocol = await loop.connect_read_pipe(Recorder, file)
        writer, write_protocol = await loop.connect_write_pipe(Recorder, file)
        os.write(slave, b"to us")
        await until(lambda: read_protocol.data == b"to us")
        data = fill(writer, 200_000)
        received = bytearray()
        os.set_blocking(slave, False)

        def receive():
            received.extend(os.read(slave, 1 << 16))

        loop.add_reader(slave, receive)
        await until(lambda: len(received) == len(data))
        assert received == data
        os.write(slave, b" again")
        await until(lambda: read_protocol.data == b"to us again")
        loop.remove_reader(slave)
        writer.close()
        await write_protocol.lost
        reader.close()
        await read_protocol.lost
        os.close(slave)
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before - 2

    run(loop, main())


def test_a_fifo(loop, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        reading = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        reader, protocol = await loop.connect_read_pipe(Recorder, reading)
        with path.open("wb", 0) as writing:
            writing.write(b"through a name")
        assert await protocol.lost is None
        assert protocol.data == b"through a name"
        reader.close()

    run(loop, main())


def test_sockets_in_one_direction(loop):
    async def main():
        near, far = socket.socketpair()
        reader, read_protocol = await loop.connect_read_pipe(Recorder, near)
        writer, write_protocol = await loop.connect_write_pipe(Recorder, far)
        writer.write(b"hello")
        await until(lambda: read_protocol.data == b"hello")
        reader.close()
        await read_protocol.lost
        assert await write_protocol.lost is None  # it sees that its reader is gone
        assert near.fileno() == far.fileno() == -1
        assert writer.is_closing()

    run(loop, main())


def test_the_standard_descriptors():
    """0 and 1 are numbers like others."""
    status, out, err = run_script(
        """
        import asyncio, os, sys
        read, write = os.pipe()
        os.dup2(read, 0)
        os.write(write, b"input")
        os.close(read)
        os.close(write)

        async def main():
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader()
            await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0)
            )
            transport, protocol = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, os.fdopen(1, "wb", 0)
            )
            writer = asyncio.StreamWriter(transport, protocol, None, loop)
            writer.write(await reader.read())
            await writer.drain()
            transport.close()
            await asyncio.sleep(0.01)

        loop = new_loop()
        loop.run_until_complete(main())
        try:
            os.fstat(1)
        except OSError:
            print("closed", file=sys.stderr)
        loop.close()
        """
    )
    assert (status, out, err) == (0, "input", "closed\n")


# ---- the reading end


def test_data_end_and_loss_in_order(loop):
    async def main():
        transport, protocol, writing = await open_reader(loop)
        assert transport.is_reading()
        writing.write(b"a")
        await until(lambda: protocol.data == b"a")
        writing.write(b"b" * 50_000)
        await until(lambda: len(protocol.data) == 50_001)
        writing.write(b"c" * 60_000)  # read straight into its bytes object
        await until(lambda: len(protocol.data) == 110_001)
        writing.write(b"last")
        writing.close()
        assert await protocol.lost is None
        assert bytes(protocol.data) == b"a" + b"b" * 50_000 + b"c" * 60_000 + b"last"
        assert protocol.calls[0] == "made"
        assert protocol.calls[-2:] == ["eof", "lost"]
        assert protocol.calls.count("lost") == 1
        assert not transport.is_reading()
        assert transport.is_closing()

    run(loop, main())


def test_pause_and_resume_reading(loop):
    async def main():
        transport, protocol, writing = await open_reader(loop)
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        writing.write(b"early")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: protocol.data == b"early")
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        await protocol.lost
        transport.pause_reading()
        transport.resume_reading()
        writing.close()

    run(loop, main())


def test_paused_from_the_start(loop):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        transport, protocol, writing = await open_reader(loop, Paused)
        writing.write(b"x")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        await until(lambda: protocol.data == b"x")
        transport.close()
        await protocol.lost
        writing.close()

    run(loop, main())


@not_in_debug_mode("asyncio's connect_read_pipe asks the closed file for its number")
@pytest.mark.parametrize("when", ["connection_made", "data_received"])
def test_closed_by_its_protocol(loop, when):
    class Closer(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            if when == "connection_made":
                transport.close()

        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    async def main():
        reading, writing = make_pipe()
        writing.write(b"first")
        _transport, protocol = await loop.connect_read_pipe(Closer, reading)
        assert await protocol.lost is None
        assert protocol.data == (b"" if when == "connection_made" else b"first")
        assert "eof" not in protocol.calls
        writing.close()

    run(loop, main())


def test_another_protocol(loop):
    async def main():
        transport, protocol, writing = await open_reader(loop)
        other = Recorder()
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        writing.write(b"for the other")
        writing.close()
        await other.lost
        assert other.data == b"for the other"
        assert protocol.calls == ["made"]

    run(loop, main())


def test_a_stream_reader(loop):
    async def main():
        reading, writing = make_pipe()
        reader = asyncio.StreamReader(limit=100_000)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), reading
        )
        writing.write(b"line\nrest")
        assert await reader.readline() == b"line\n"
        for _ in range(3):
            writing.write(b"x" * 50_000)
            writing.write(b"y\n")
            await asyncio.sleep(0.001)
        assert await reader.readline() == b"rest" + b"x" * 50_000 + b"y\n"
        # More than twice the limit would wait: the transport is paused, and resumed by reading.
        reader._limit = 10
        os.set_blocking(writing.fileno(), False)
        await until(lambda: not transport.is_reading() or not writing.write(b"z"))
        reader._limit = 1 << 20
        writing.close()
        text = await reader.read()
        assert text.startswith(b"x" * 50_000 + b"y\n" + b"x" * 50_000 + b"y\n")
        assert text.rstrip(b"z").endswith(b"y\n")

    run(loop, main())


def test_a_terminal_whose_other_side_is_gone(loop, reports, caplog):
    async def main():
        master, slave = pty.openpty()
        transport, protocol = await loop.connect_read_pipe(Recorder, os.fdopen(master, "rb", 0))
        os.write(slave, b"bye")
        await until(lambda: protocol.data == b"bye")
        os.close(slave)
        lost = await protocol.lost
        assert isinstance(lost, OSError)
        assert lost.errno == 5
        assert "eof" not in protocol.calls
        assert transport.is_closing()

    loop.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(loop, main())
    assert "Fatal read error on pipe transport" in caplog.text


def test_a_read_error_is_reported(loop, reports):
    async def main():
        reading, writing = make_pipe()
        transport, protocol = await loop.connect_read_pipe(Recorder, reading)
        # A directory in its place: readable for the poller's idea of it, EISDIR for read().
        other = os.open(".", os.O_RDONLY)
        kept = os.dup(reading.fileno())
        os.write(writing.fileno(), b"x")  # ready before the number changes
        os.dup2(other, reading.fileno())
        lost = await protocol.lost
        assert isinstance(lost, IsADirectoryError)
        for fd in (other, kept):
            os.close(fd)
        writing.close()
        assert transport.is_closing()

    run(loop, main())
    (report,) = reports
    assert report["message"] == "Fatal read error on pipe transport"
    assert isinstance(report["exception"], IsADirectoryError)
    assert {"transport", "protocol"} <= set(report)
    reports.clear()


@not_in_debug_mode("asyncio's connect_read_pipe asks the closed file for its number")
@ours_only
def test_what_cannot_be_polled_ends_with_the_error(loop, reports):
    """On asyncio the transport would wait for ever."""

    async def main():
        transport, protocol = await loop.connect_read_pipe(Recorder, open("/dev/null", "rb", 0))
        assert isinstance(await protocol.lost, PermissionError)
        assert transport.is_closing()

    run(loop, main())
    assert [report["message"] for report in reports] == ["Fatal read error on pipe transport"]
    reports.clear()


@pytest.mark.parametrize("name", ["connection_made", "data_received", "eof_received"])
def test_an_exception_is_reported_and_closes_nothing(loop, reports, name):
    class Fails(Recorder):
        pass

    def fail(self, *arguments):
        getattr(Recorder, name)(self, *arguments)
        raise ZeroDivisionError

    setattr(Fails, name, fail)

    async def main():
        transport, protocol, writing = await open_reader(loop, Fails)
        writing.write(b"one")
        await until(lambda: protocol.data == b"one")
        assert not transport.is_closing()
        writing.write(b" two")
        await until(lambda: protocol.data == b"one two")
        writing.close()
        assert await protocol.lost is None

    run(loop, main())
    assert len(reports) == (2 if name == "data_received" else 1)
    for report in reports:
        assert "xception in callback" in report["message"]
        assert isinstance(report["exception"], ZeroDivisionError)
    reports.clear()


def test_an_exception_from_connection_lost(loop, reports):
    class Fails(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def main():
        transport, protocol, writing = await open_reader(loop, Fails)
        fd = transport._fileno
        transport.close()
        await protocol.lost
        with pytest.raises(OSError):
            os.fstat(fd)  # closed all the same
        writing.close()

    run(loop, main())
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    reports.clear()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("name", ["connection_made", "data_received", "connection_lost"])
def test_interrupts_leave_the_loop(loop, kind, name):
    class Interrupted(Recorder):
        armed = True

    def interrupt(self, *arguments):
        getattr(Recorder, name)(self, *arguments)
        if Interrupted.armed:
            Interrupted.armed = False
            raise kind

    setattr(Interrupted, name, interrupt)
    reading, writing = make_pipe()
    made = []

    async def main():
        transport, protocol = await loop.connect_read_pipe(
            lambda: made.append(Interrupted()) or made[0], reading
        )
        writing.write(b"x")
        await until(lambda: protocol.data == b"x")
        transport.close()
        await protocol.lost
        await asyncio.sleep(0.01)

    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    loop.run_until_complete(task)
    assert made[0].calls == ["made", "data", "lost"]
    writing.close()


def test_protocols_have_the_context_of_the_connect_call(loop):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Looks(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(("made", variable.get()))

        def data_received(self, data):
            super().data_received(data)
            seen.append(("data", variable.get()))

        def eof_received(self):
            seen.append(("eof", variable.get()))

        def connection_lost(self, exc):
            super().connection_lost(exc)
            seen.append(("lost", variable.get()))

    async def main():
        variable.set("connecting")
        _transport, protocol, writing = await open_reader(loop, Looks)
        variable.set("later")
        writing.write(b"x")
        await until(lambda: protocol.data)
        writing.close()
        await protocol.lost

    run(loop, main())
    assert seen == [(what, "connecting") for what in ("made", "data", "eof", "lost")]


def test_what_debug_mode_logs(loop, caplog):
    async def main():
        transport, protocol, writing = await open_reader(loop)
        transport.pause_reading()
        transport.resume_reading()
        writing.close()
        await protocol.lost
        writer, write_protocol, reading = await open_writer(loop)
        reading.close()
        await write_protocol.lost
        assert writer.is_closing()

    loop.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(loop, main())
    said = [record.getMessage() for record in caplog.records]
    for text in ("> pauses reading", "> resumes reading"):
        assert any(line.endswith(text) for line in said), text
    assert sum(line.endswith("> was closed by peer") for line in said) == 2


# ---- the writing end


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_everything_arrives(loop, kind):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        receiving = loop.create_task(read_all(reading))
        expected = b""
        for size in (1, 447, 2048, 5000, 70_000, 3, 300_000):
            piece = bytes([size % 251]) * size
            expected += piece
            source = kind(piece)
            transport.write(source)
            if kind is bytearray:
                source[:] = bytes(len(source))  # it was copied
        transport.write(b"")
        transport.writelines([b"li", bytearray(b"ne"), memoryview(b"s")])
        transport.close()
        assert await receiving == expected + b"lines"
        assert await protocol.lost is None
        reading.close()

    run(loop, main())


def test_a_write_goes_out_at_once(loop):
    """Each is a record of its own to who reads, and others may write to the same pipe."""

    async def main():
        transport, protocol, reading = await open_writer(loop)
        for record in (b"one", b"two"):
            transport.write(record)
            assert os.read(reading.fileno(), 100) == record
        transport.close()
        await protocol.lost
        reading.close()

    run(loop, main())


@ours_only
def test_gathered_writes_go_out_together():
    """What a child's standard input does."""
    status, out, err = run_script(
        """
        import asyncio, os
        from camshaft import _core

        async def main():
            loop = asyncio.get_running_loop()
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            transport = _core.WritePipe(
                loop, os.fdopen(writing, "wb", 0), asyncio.Protocol(), gather=True
            )
            transport.write(b"one ")
            transport.write(bytearray(b"two"))
            assert transport.get_write_buffer_size() == 7
            await asyncio.sleep(0)
            assert transport.get_write_buffer_size() == 0
            print(os.read(reading, 100))
            transport.write(b"x" * 70_000)  # more than can be left waiting
            assert transport.get_write_buffer_size() < 70_000
            os.read(reading, 1 << 20)
            transport.write(b"last")
            transport.close()
            await asyncio.sleep(0.01)
            data = b""
            while piece := os.read(reading, 1 << 20):
                data += piece
            assert data.endswith(b"xlast"), data[-10:]
            transport = _core.WritePipe(
                loop, os.fdopen(os.dup(1), "wb", 0), asyncio.Protocol(), gather=True
            )
            transport.write(b"before abort\\n")
            transport.abort()
            await asyncio.sleep(0)

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert (status, err) == (0, "")
    assert sorted(out.splitlines()) == ["b'one two'", "before abort"]


def test_flow_control(loop):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=1000, low=100)
        assert transport.get_write_buffer_limits() == (100, 1000)
        data = fill(transport)
        assert protocol.calls == ["made", "pause"]
        transport.write(b"more")
        assert protocol.calls == ["made", "pause"]
        receiving = loop.create_task(read_all(reading))
        await until(lambda: "resume" in protocol.calls)
        assert transport.get_write_buffer_size() <= 100
        transport.close()
        assert await receiving == data + b"more"
        await protocol.lost
        assert protocol.calls == ["made", "pause", "resume", "lost"]
        reading.close()

    run(loop, main())


def test_new_limits_count_at_once(loop):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        transport.set_write_buffer_limits(high=1 << 30)
        fill(transport)
        assert protocol.calls == ["made"]
        transport.set_write_buffer_limits(0)
        assert protocol.calls == ["made", "pause"]
        for arguments in ({"high": 1, "low": 2}, {"low": -1, "high": 5}):
            with pytest.raises(ValueError, match="must be >= low"):
                transport.set_write_buffer_limits(**arguments)
        transport.abort()
        await protocol.lost
        reading.close()

    run(loop, main())


@pytest.mark.parametrize("act", ["write", "close", "raise"])
def test_what_resume_writing_may_do(loop, reports, act):
    class Resumed(Recorder):
        def resume_writing(self):
            super().resume_writing()
            if act == "write" and self.calls.count("resume") == 1:
                self.transport.write(b"w" * 500_000)
            elif act == "close":
                self.transport.close()
            elif act == "raise":
                raise ZeroDivisionError

    async def main():
        transport, protocol, reading = await open_writer(loop, Resumed)
        data = fill(transport)
        receiving = loop.create_task(read_all(reading))
        await until(lambda: "resume" in protocol.calls)
        transport.close()
        assert await protocol.lost is None
        extra = b"w" * 500_000 if act == "write" else b""
        assert await receiving == data + extra
        reading.close()

    run(loop, main())
    if act == "raise":
        assert [report["message"] for report in reports] == ["protocol.resume_writing() failed"]
        reports.clear()


def test_an_exception_from_pause_writing(loop, reports):
    class Fails(Recorder):
        def pause_writing(self):
            raise ZeroDivisionError

    async def main():
        transport, protocol, reading = await open_writer(loop, Fails)
        fill(transport)
        transport.abort()
        await protocol.lost
        reading.close()

    run(loop, main())
    (report,) = reports
    assert report["message"] == "protocol.pause_writing() failed"
    assert {"exception", "transport", "protocol"} <= set(report)
    reports.clear()


@pytest.mark.parametrize("method", ["close", "write_eof"])
def test_closing_waits_for_what_is_unsent(loop, method):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        assert transport.can_write_eof()
        data = fill(transport)
        getattr(transport, method)()
        assert transport.is_closing()
        transport.write(b"lost")  # no error: dropped
        getattr(transport, method)()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not protocol.lost.done()
        assert await read_all(reading) == data
        assert await protocol.lost is None
        reading.close()

    run(loop, main())


@ours_only
def test_abort_does_not_wait(loop):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        data = fill(transport)
        transport.abort()
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        assert len(await read_all(reading)) < len(data)
        reading.close()

    run(loop, main())


def test_a_reader_that_goes_away(loop):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        reading.close()
        assert await protocol.lost is None  # nothing was unsent
        assert transport.is_closing()
        transport, protocol, reading = await open_writer(loop)
        fill(transport)
        reading.close()
        assert isinstance(await protocol.lost, BrokenPipeError)
        transport, protocol, reading = await open_writer(loop)
        fill(transport)
        transport.close()
        reading.close()
        assert isinstance(await protocol.lost, BrokenPipeError)

    run(loop, main())


def test_writing_after_the_reader_went_away(loop, caplog):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        reading.close()
        for _ in range(8):
            transport.write(b"x")
        assert isinstance(await protocol.lost, BrokenPipeError)
        transport.write(b"x")
        assert transport.get_write_buffer_size() == 0

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(loop, main())
    # The first broke it, four are silent.
    assert [record.getMessage() for record in caplog.records] == [
        "pipe closed by peer or os.write(pipe, data) raised exception."
    ] * 4


def test_what_is_no_data(loop):
    async def main():
        transport, protocol, reading = await open_writer(loop)
        for wrong in ("text", None, 5, [b"x"]):
            with pytest.raises((TypeError, AssertionError)):
                transport.write(wrong)
        with pytest.raises(TypeError):
            transport.writelines([b"x", "text"])
        transport.write(b"fine")
        assert os.read(reading.fileno(), 100) == b"fine"
        transport.close()
        await protocol.lost
        reading.close()

    run(loop, main())


def test_a_terminal_is_written(loop):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        transport, protocol = await loop.connect_write_pipe(Recorder, os.fdopen(slave, "wb", 0))
        data = fill(transport, 300_000)
        transport.close()
        received = bytearray()
        os.set_blocking(master, False)
        while len(received) < len(data):
            try:
                received += os.read(master, 1 << 16)
            except BlockingIOError:
                await asyncio.sleep(0)
        assert received == data
        assert await protocol.lost is None
        os.close(master)

    run(loop, main())


def test_a_null_device_is_written(loop):
    async def main():
        transport, protocol = await loop.connect_write_pipe(Recorder, open("/dev/null", "wb", 0))
        transport.write(b"x" * 1_000_000)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert await protocol.lost is None

    run(loop, main())


def test_a_stream_writer(loop):
    async def main():
        reading, writing = make_pipe()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, writing
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        receiving = loop.create_task(read_all(reading))
        for _ in range(20):
            writer.write(b"s" * 100_000)
            await writer.drain()
        transport.close()
        assert await receiving == b"s" * 2_000_000
        reading.close()

    run(loop, main())


def test_a_cancelled_connect_closes_the_pipe(loop):
    async def main():
        for connect, index in ((loop.connect_read_pipe, 0), (loop.connect_write_pipe, 1)):
            ends = make_pipe()
            protocol = Recorder()
            task = loop.create_task(connect(lambda protocol=protocol: protocol, ends[index]))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await protocol.lost is None
            await asyncio.sleep(0)
            assert ends[index].closed
            ends[1 - index].close()

    run(loop, main())


def test_a_signal_for_a_broken_pipe_is_the_applications():
    """As on asyncio: CPython ignores it, and who takes the default back has the default."""
    body = """
        import asyncio, os, signal

        async def main():
            loop = asyncio.get_running_loop()
            reading, writing = os.pipe()
            transport, _ = await loop.connect_write_pipe(
                asyncio.Protocol, os.fdopen(writing, "wb", 0)
            )
            os.close(reading)
            transport.write(b"x")
            await asyncio.sleep(0)
            print("alive")

        {}
        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    assert run_script(body.format("")) == (0, "alive\n", "")
    restored = body.format("signal.signal(signal.SIGPIPE, signal.SIG_DFL)")
    assert run_script(restored)[0] == -signal.SIGPIPE


@ours_only
def test_a_forked_child_does_not_write_for_its_parent(loop):
    async def main():
        return await open_writer(loop)

    transport, protocol, reading = run(loop, main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            transport.write(b"child")
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    transport.write(b"parent")
    assert os.read(reading.fileno(), 100) == b"parent"
    transport.close()
    run_turns(loop, 2)
    assert protocol.lost.done()
    reading.close()
