# SPDX-License-Identifier: MIT
"""Stream transports: order of calls, reading, writing, flow control, closing, errors."""

import asyncio
import contextvars
import gc
import logging
import socket
import warnings
import weakref

import pytest

from tests.loop.support import (
    Echo,
    Recorder,
    open_stream,
    ours_only,
    receive_all,
    receive_exactly,
    run,
    run_turns,
    until,
)


async def close(transport, protocol, *socks):
    transport.abort()
    await protocol.lost
    for sock in socks:
        sock.close()


def test_the_transport_is_asyncios(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_protocol() is protocol
        assert not transport.is_closing() and transport.is_reading()
        assert transport.can_write_eof()
        assert transport.get_write_buffer_size() == 0
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 5) == 5
        assert "fd=" in repr(transport)
        await close(transport, protocol, peer)
        assert "clos" in repr(transport)

    run(loop, main())


def test_made_then_reading_then_the_waiter(loop):
    """connection_made, the start of reading and the waiter are calls of their own, in order."""
    calls = []

    class Early(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            loop.call_soon(calls.append, "soon after made")

    async def main():
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.send(b"waiting already")
        transport, protocol = await loop.create_connection(lambda: Early(calls), sock=ours)
        calls.append("waiter")
        await until(lambda: protocol.data)
        await close(transport, protocol, peer)

    run(loop, main())
    assert calls == ["made", "soon after made", "waiter", "data", "lost"]


def test_data_then_end_then_loss(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        await loop.sock_sendall(peer, b"some data")
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.calls == ["made", "data", "eof", "lost"]
        assert protocol.data == b"some data"
        assert transport.is_closing()
        peer.close()

    run(loop, main())


def test_exact_bytes_objects_arrive(loop):
    kinds = set()

    class Kinds(Recorder):
        def data_received(self, data):
            kinds.add(type(data))
            super().data_received(data)

    async def main():
        transport, protocol, peer = await open_stream(Kinds)
        total = 0
        for size in (1, 100, 4096, 5000, 65536, 65537, 300_000, 10):
            await loop.sock_sendall(peer, bytes(size))
            total += size
            await until(lambda: len(protocol.data) == total)  # noqa: B023
        await close(transport, protocol, peer)

    run(loop, main())
    assert kinds == {bytes}


@pytest.mark.parametrize("size", [0, 1, 1000, 4096, 70_000, 3_000_000])
def test_whatever_is_sent_comes_back(loop, size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]

    async def main():
        transport, protocol, peer = await open_stream(Echo)
        sending = asyncio.create_task(loop.sock_sendall(peer, data))
        assert await receive_exactly(peer, size) == data
        await sending
        await close(transport, protocol, peer)

    run(loop, main())


@ours_only
def test_the_order_of_mixed_writes(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        expected = bytearray()
        for number in range(400):
            kind = number % 5
            piece = bytes([number % 256]) * (1 + (number * 977) % 9000)
            expected += piece
            if kind == 0:
                transport.write(piece)
            elif kind == 1:
                transport.write(bytearray(piece))
            elif kind == 2:
                transport.write(memoryview(piece))
            elif kind == 3:
                transport.writelines([piece[:7], piece[7:]])
            else:
                transport.writelines(iter([memoryview(piece), b""]))
            if number % 50 == 0:
                await asyncio.sleep(0)
        transport.close()
        assert await receive_all(peer) == expected
        await protocol.lost
        peer.close()

    run(loop, main())


@ours_only
def test_a_buffer_may_change_after_write(loop):
    """What is written is what the buffer held at the call."""

    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        block = bytearray(b"a" * 300_000)
        transport.write(block)
        block[:] = b"b" * len(block)
        small = bytearray(b"c" * 10)
        transport.write(small)
        small[:] = b"d" * 10
        assert await receive_exactly(peer, 300_010) == b"a" * 300_000 + b"c" * 10
        await close(transport, protocol, peer)

    run(loop, main())


@ours_only
def test_wrong_types_are_refused(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        for wrong in ("text", None, 5, ["x"]):
            with pytest.raises(TypeError):
                transport.write(wrong)
        with pytest.raises(TypeError):
            transport.writelines(["text"])
        with pytest.raises(TypeError):
            transport.writelines(None)
        transport.write(b"")
        transport.write(b"still works")
        assert await receive_exactly(peer, 11) == b"still works"
        await close(transport, protocol, peer)

    run(loop, main())


def test_writing_flows_against_a_slow_reader(loop):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.set_write_buffer_limits(high=50_000, low=20_000)
        assert transport.get_write_buffer_limits() == (20_000, 50_000)
        transport.write(bytes(40_000))
        assert "pause" not in protocol.calls
        transport.write(bytes(400_000))
        assert protocol.calls.count("pause") == 1
        size = transport.get_write_buffer_size()
        assert 50_000 < size <= 440_000
        transport.write(bytes(10))
        assert transport.get_write_buffer_size() == size + 10
        assert protocol.calls.count("pause") == 1
        assert len(await receive_exactly(peer, 440_010)) == 440_010
        await until(lambda: "resume" in protocol.calls)
        assert protocol.calls.count("resume") == 1
        assert transport.get_write_buffer_size() <= 20_000
        await close(transport, protocol, peer)

    run(loop, main())


def test_write_buffer_limits(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        for arguments, limits in (
            ({"high": 0}, (0, 0)),
            ({"high": 1000}, (250, 1000)),
            ({"low": 1000}, (1000, 4000)),
            ({"high": 1000, "low": 0}, (0, 1000)),
            ({}, (16 * 1024, 64 * 1024)),
        ):
            transport.set_write_buffer_limits(**arguments)
            assert transport.get_write_buffer_limits() == limits
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high=10, low=20)
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high=10, low=-1)
        await close(transport, protocol, peer)

    run(loop, main())


def test_limits_of_zero_pause_at_any_unsent_byte(loop):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.set_write_buffer_limits(high=0)
        transport.write(b"x")
        assert "pause" not in protocol.calls, "one byte fits into the kernel"
        transport.write(bytes(1_000_000))
        assert "pause" in protocol.calls
        assert len(await receive_exactly(peer, 1_000_001)) == 1_000_001
        await until(lambda: "resume" in protocol.calls)
        assert transport.get_write_buffer_size() == 0
        await close(transport, protocol, peer)

    run(loop, main())


def test_resume_writing_may_write_again(loop):
    class Refill(Recorder):
        rounds = 0

        def resume_writing(self):
            super().resume_writing()
            if self.rounds < 5:
                self.rounds += 1
                self.transport.write(bytes(500_000))

    async def main():
        transport, protocol, peer = await open_stream(Refill, buffer=4096)
        transport.write(bytes(500_000))
        assert len(await receive_exactly(peer, 3_000_000)) == 3_000_000
        await until(lambda: protocol.calls.count("resume") == 6)
        assert protocol.calls.count("pause") == 6
        await close(transport, protocol, peer)

    run(loop, main())


@pytest.mark.parametrize("how", ["close", "write_eof"])
def test_resume_writing_may_write_while_closing(loop, how):
    """TLS does, with its close_notify: the end comes when that is sent too."""

    class Farewell(Recorder):
        def resume_writing(self):
            super().resume_writing()
            if how == "close":
                self.transport.write(b"bye")

    async def main():
        transport, protocol, peer = await open_stream(Farewell, buffer=4096)
        transport.set_write_buffer_limits(high=0)
        transport.write(bytes(500_000))
        getattr(transport, how)()
        data = await receive_all(peer)
        assert len(data) == 500_000 + (3 if how == "close" else 0)
        if how == "write_eof":
            transport.close()
        assert await protocol.lost is None
        peer.close()

    run(loop, main())


@pytest.mark.parametrize("which", ["pause_writing", "resume_writing"])
def test_errors_in_flow_control_are_reported(loop, reports, which):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)

        def fail():
            raise ValueError(which)

        setattr(protocol, which, fail)
        transport.write(bytes(1_000_000))
        assert len(await receive_exactly(peer, 1_000_000)) == 1_000_000
        await until(lambda: reports)
        transport.write(b"goes on")
        assert await receive_exactly(peer, 7) == b"goes on"
        await close(transport, protocol, peer)

    run(loop, main())
    (report,) = reports
    reports.clear()
    assert which in report["message"] and str(report["exception"]) == which
    assert report["transport"] and report["protocol"]


def test_reading_pauses_and_resumes(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        peer.send(b"held back")
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: protocol.data == b"held back")
        await close(transport, protocol, peer)
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()

    run(loop, main())


def test_pausing_inside_data_received(loop):
    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        transport, protocol, peer = await open_stream(Once)
        for round_ in range(1, 6):
            peer.send(b"x")
            peer.send(b"y" * (round_ * 10))
            await until(lambda: protocol.calls.count("data") == round_)  # noqa: B023
            await asyncio.sleep(0.001)
            assert protocol.calls.count("data") == round_
            transport.resume_reading()
        await close(transport, protocol, peer)

    run(loop, main())


def test_write_eof_waits_for_what_was_written(loop):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.write(bytes(500_000))
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"more")
        assert len(await receive_all(peer)) == 500_000
        assert not transport.is_closing()
        await loop.sock_sendall(peer, b"the other way is open")
        await until(lambda: protocol.data == b"the other way is open")
        await close(transport, protocol, peer)

    run(loop, main())


def test_a_protocol_may_keep_the_transport_open_at_eof(loop):
    class Keep(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        transport, protocol, peer = await open_stream(Keep)
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in protocol.calls)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not transport.is_closing()
        assert protocol.calls == ["made", "eof"], "the end is reported once"
        transport.write(b"answer")
        transport.close()
        assert await receive_all(peer) == b"answer"
        await protocol.lost
        peer.close()

    run(loop, main())


def test_close_sends_what_is_left_then_reports_the_loss(loop):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.write(bytes(500_000))
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert "lost" not in protocol.calls
        assert len(await receive_all(peer)) == 500_000
        assert await protocol.lost is None
        assert protocol.calls.count("lost") == 1
        peer.close()

    run(loop, main())


def test_nothing_is_received_after_close(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        peer.send(b"too late")
        transport.close()
        await protocol.lost
        assert protocol.data == b""
        peer.close()

    run(loop, main())


def test_abort_drops_what_is_left(loop):
    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.write(bytes(2_000_000))
        transport.abort()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.calls.count("lost") == 1
        assert len(await receive_all(peer)) < 2_000_000
        assert transport.get_write_buffer_size() == 0
        peer.close()

    run(loop, main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_loss_is_never_reported_inside_the_call(loop, how):
    async def main():
        transport, protocol, peer = await open_stream()
        getattr(transport, how)()
        assert "lost" not in protocol.calls
        await asyncio.sleep(0)
        assert protocol.calls == ["made", "lost"]
        peer.close()

    run(loop, main())


def test_writing_after_close_warns_from_the_fifth_and_never_raises(loop, caplog):
    async def main():
        transport, protocol, peer = await open_stream()
        transport.abort()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(4):
                transport.write(b"x")
            before = len(caplog.records)
            for _ in range(3):
                transport.write(b"x")
        assert (before, len(caplog.records)) in ((0, 3), (0, 2))
        assert "socket.send() raised exception" in caplog.text
        await protocol.lost
        transport.write(b"x")
        peer.close()

    run(loop, main())


def test_a_reset_by_the_peer_while_writing(loop):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        await until(lambda: protocol.made.done())
        peer = socket.socket()
        await close(transport, protocol, peer)
        server.close()
        raw = socket.create_server(("127.0.0.1", 0))
        transport, protocol = await loop.create_connection(Recorder, *raw.getsockname())
        theirs, _ = raw.accept()
        linger = b"\1\0\0\0\0\0\0\0"
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        theirs.close()
        error = await protocol.lost
        assert error is None or isinstance(error, ConnectionError)
        for _ in range(10):
            transport.write(b"x")
        raw.close()

    run(loop, main())


def test_a_broken_pipe_is_given_to_connection_lost(loop):
    class Keep(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        transport, protocol, peer = await open_stream(Keep)
        peer.close()
        await until(lambda: "eof" in protocol.calls)
        transport.write(b"x" * 100)
        error = await protocol.lost
        assert isinstance(error, BrokenPipeError)
        assert transport.is_closing()

    run(loop, main())


@pytest.mark.parametrize("where", ["data_received", "eof_received"])
def test_errors_in_the_protocol_close_the_transport(loop, reports, where):
    error = ValueError("protocol")

    def fail(*_):
        raise error

    async def main():
        _transport, protocol, peer = await open_stream()
        setattr(protocol, where, fail)
        if where == "data_received":
            peer.send(b"x")
        else:
            peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is error
        peer.close()

    run(loop, main())
    (report,) = reports
    reports.clear()
    assert report["exception"] is error
    assert where in report["message"]


@pytest.mark.parametrize("where", ["connection_made", "connection_lost"])
def test_errors_at_either_end_are_reported(loop, reports, where):
    def fail(self, *_):
        getattr(Recorder, where)(self, *_)
        raise ValueError(where)

    failing = type("Failing", (Recorder,), {where: fail})

    async def main():
        transport, protocol, peer = await open_stream(failing)
        await close(transport, protocol, peer)
        await asyncio.sleep(0)

    run(loop, main())
    assert [str(report["exception"]) for report in reports] == [where]
    reports.clear()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["data_received", "eof_received"])
def test_interrupts_in_the_protocol_leave_run_forever(loop, kind, where):
    """uvloop loses a KeyboardInterrupt here."""
    transport, protocol, peer = run(loop, open_stream())

    def interrupt(*_):
        raise kind

    setattr(protocol, where, interrupt)
    if where == "data_received":
        peer.send(b"x")
    else:
        peer.shutdown(socket.SHUT_WR)
    with pytest.raises(kind):
        loop.run_forever()
    delattr(protocol, where)
    run(loop, close(transport, protocol, peer))


@pytest.mark.parametrize("how", ["close", "abort", "drop"])
def test_closing_inside_data_received(loop, how):
    class Closing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"bye")
            if how == "abort":
                self.transport.abort()
            else:
                self.transport.close()
            if how == "drop":
                self.transport = None
                gc.collect()

    async def main():
        transport, protocol, peer = await open_stream(Closing)
        del transport
        peer.send(b"x")
        await protocol.lost
        assert protocol.calls == ["made", "data", "lost"]
        received = await receive_all(peer)
        assert received == b"bye" or how == "abort"
        peer.close()

    run(loop, main())


def test_the_protocol_may_be_replaced_inside_data_received(loop):
    calls = []

    async def main():
        second = Recorder(calls)

        class First(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.set_protocol(second)

        transport, first, peer = await open_stream(First)
        peer.send(b"one")
        await until(lambda: first.data)
        peer.send(b"two")
        await until(lambda: second.data == b"two")
        assert first.data == b"one" and transport.get_protocol() is second
        transport.close()
        await second.lost
        assert "lost" not in first.calls
        peer.close()

    run(loop, main())


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, size=1000):
        self.buffer = bytearray(size)
        self.data = bytearray()
        self.hints = []
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data += self.buffer[:nbytes]

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


def test_buffered_protocols(loop):
    async def main():
        _transport, protocol, peer = await open_stream(Buffered)
        data = bytes(range(256)) * 400
        await loop.sock_sendall(peer, data)
        await until(lambda: len(protocol.data) == len(data))
        assert protocol.data == data
        assert set(protocol.hints) == {-1}
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.calls == ["eof"]
        peer.close()

    run(loop, main())


def test_an_empty_buffer_is_an_error(loop, reports):
    async def main():
        _transport, protocol, peer = await open_stream(lambda: Buffered(0))
        peer.send(b"x")
        assert isinstance(await protocol.lost, RuntimeError)
        peer.close()

    run(loop, main())
    (report,) = reports
    reports.clear()
    assert "get_buffer" in report["message"]


def test_changing_between_plain_and_buffered_protocols(loop):
    async def main():
        transport, plain, peer = await open_stream()
        buffered = Buffered()
        peer.send(b"one")
        await until(lambda: plain.data == b"one")
        transport.set_protocol(buffered)
        peer.send(b"two")
        await until(lambda: buffered.data == b"two")
        transport.set_protocol(plain)
        peer.send(b"three")
        await until(lambda: plain.data == b"onethree")
        await close(transport, plain, peer)

    run(loop, main())


def test_protocol_calls_run_in_the_context_of_the_connection(loop):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Reads(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(("made", variable.get()))

        def data_received(self, data):
            super().data_received(data)
            seen.append(("data", variable.get()))

        def connection_lost(self, exc):
            seen.append(("lost", variable.get()))
            super().connection_lost(exc)

    async def main():
        variable.set("connection")
        transport, protocol, peer = await open_stream(Reads)
        peer.send(b"x")
        await until(lambda: protocol.data)
        transport.close()
        await protocol.lost
        peer.close()

    run(loop, main())
    assert seen == [("made", "connection"), ("data", "connection"), ("lost", "connection")]


def test_a_dropped_transport_warns_and_closes_its_socket(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        transport.pause_reading()
        protocol.transport = None
        protocol.made = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del transport, protocol
            gc.collect()
        assert any(
            w.category is ResourceWarning and "unclosed transport" in str(w.message) for w in caught
        )
        assert await receive_all(peer) == b""
        peer.close()

    run(loop, main())


def test_nothing_keeps_a_finished_connection_alive(loop):
    async def main():
        transport, protocol, peer = await open_stream(Echo)
        gone = [weakref.ref(protocol)]
        try:
            gone.append(weakref.ref(transport))
        except TypeError:
            pass
        peer.send(b"x")
        await receive_exactly(peer, 1)
        transport.close()
        await protocol.lost
        peer.close()
        del transport, protocol
        return gone

    gone = run(loop, main())
    run_turns(loop, 3)
    gc.collect()
    assert [reference() for reference in gone] == [None] * len(gone)


def test_thousands_of_small_writes_arrive_whole(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        expected = b"".join(b"%d," % number for number in range(20_000))
        receiving = asyncio.create_task(receive_exactly(peer, len(expected)))
        for number in range(20_000):
            transport.write(b"%d," % number)
            if number % 1000 == 0:
                await asyncio.sleep(0)
        assert await receiving == expected
        await close(transport, protocol, peer)

    run(loop, main())


def test_a_write_leaves_without_waiting_for_anything_else(loop):
    """What is written in a turn is with the kernel before the loop waits again."""

    async def main():
        transport, protocol, peer = await open_stream()
        transport.write(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert peer.recv(1) == b"x"
        await close(transport, protocol, peer)

    run(loop, main())


def test_what_is_written_before_the_loop_stops_is_sent(loop):
    transport, protocol, peer = run(loop, open_stream())

    def last():
        transport.write(b"last words")
        loop.stop()

    loop.call_soon(last)
    loop.run_forever()
    assert peer.recv(100) == b"last words"
    run(loop, close(transport, protocol, peer))


def test_asyncio_streams(loop):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for number in range(20):
                writer.write(b"line %d\n" % number)
                await writer.drain()
                assert await reader.readline() == b"LINE %d\n" % number
            big = b"x" * 60_000 + b"\n"
            writer.write(big)
            assert await reader.readline() == big.upper()
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(loop, main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_was_written_goes_out_when_an_interrupt_leaves_the_loop(loop, kind):
    class Last(Recorder):
        def data_received(self, data):
            self.transport.write(b"bye")
            raise kind

    _, _, peer = run(loop, open_stream(Last))
    with peer:
        peer.send(b"x")
        with pytest.raises(kind):
            loop.run_forever()
        assert peer.recv(10) == b"bye"


@pytest.mark.parametrize("sizes", [(600, 600, 600), (2000, 600, 1500), (600, 3000, 513, 600)])
def test_messages_that_are_kept_keep_their_contents(loop, sizes):
    """The loop uses a message's memory again only where nobody else has it."""

    class Keeper(Recorder):
        def __init__(self):
            super().__init__()
            self.kept = []
            self.hashes = []

        def data_received(self, data):
            self.hashes.append(hash(data) == hash(bytes(bytearray(data))))
            if data[0] % 3:
                self.kept.append(memoryview(data) if data[0] % 2 else data)
            self.data += data

    async def main():
        transport, protocol, peer = await open_stream(Keeper)
        sent = []
        for number in range(30):
            sent.append(bytes([number]) * sizes[number % len(sizes)])
            peer.send(sent[-1])
            await until(lambda: len(protocol.data) == sum(map(len, sent)))
        assert protocol.data == b"".join(sent)
        assert protocol.kept == [message for message in sent if message[0] % 3]
        assert all(protocol.hashes)
        transport.abort()
        await protocol.lost
        peer.close()

    run(loop, main())


def test_what_was_written_before_an_error_is_sent(loop, reports):
    class Failing(Recorder):
        def data_received(self, data):
            self.transport.write(b"farewell")
            raise LookupError("no more")

    async def main():
        _, protocol, peer = await open_stream(Failing)
        peer.send(b"x")
        assert isinstance(await protocol.lost, LookupError)
        assert await receive_all(peer) == b"farewell"
        peer.close()

    run(loop, main())
    assert len(reports) == 1
    reports.clear()
