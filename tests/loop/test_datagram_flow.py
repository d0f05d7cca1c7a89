# SPDX-License-Identifier: MIT
"""Datagram endpoints: what waits to be sent or to be delivered, contexts, every end."""

import asyncio
import contextlib
import contextvars
import gc
import logging
import random
import socket
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.loop.endpoints import (
    HEADER,
    Endpoint,
    drain,
    drain_until,
    echo,
    fill,
    finish,
    headers_come_off,
    open_connected,
    open_endpoint,
    open_pair,
    open_udp,
    temporary,
)
from tests.loop.support import (
    LIMIT,
    LOOP_NAME,
    new_loop,
    ours_only,
    run,
    run_script,
    run_turns,
    until,
)

# Waiting to be sent


@headers_come_off
def test_what_the_kernel_does_not_take_waits(loop):
    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            taken = fill(transport, b"x" * 1000)
            assert transport.get_write_buffer_size() == 1000 + HEADER
            data = bytearray(b"changed later")
            transport.sendto(data)
            data[:7] = b"CHANGED"
            transport.sendto(b"last", f"{directory}/peer")
            size = 1000 + 13 + 4 + 3 * HEADER
            assert transport.get_write_buffer_size() == size
            items = await drain_until(peer, lambda items: len(items) >= taken + 3)
            assert items == [b"x" * 1000] * (taken + 1) + [b"changed later", b"last"]
            await until(lambda: transport.get_write_buffer_size() == 0)
            assert protocol.calls == ["made"]
            await finish(transport, protocol)
            peer.close()

    run(loop, main())


@headers_come_off
def test_writing_is_paused_and_resumed(loop):
    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            transport.set_write_buffer_limits(high=3000, low=1000)
            assert transport.get_write_buffer_limits() == (1000, 3000)
            taken = fill(transport, b"x" * 1000)
            transport.sendto(b"y" * 1000)
            assert protocol.calls == ["made"]
            transport.sendto(b"z" * 1000)
            transport.sendto(b"z" * 1000)
            assert protocol.calls == ["made", "pause"]
            items = await drain_until(peer, lambda items: len(items) >= taken + 4)
            assert items[-3:] == [b"y" * 1000, b"z" * 1000, b"z" * 1000]
            await until(lambda: len(protocol.calls) > 2)
            assert protocol.calls == ["made", "pause", "resume"]
            await finish(transport, protocol)
            peer.close()

    run(loop, main())


def test_write_buffer_limits_are_checked(loop):
    async def main():
        transport, protocol = await open_udp()
        with pytest.raises(ValueError) as error:
            transport.set_write_buffer_limits(high=1, low=2)
        assert str(error.value) == "high (1) must be >= low (2) must be >= 0"
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        await finish(transport, protocol)

    run(loop, main())


@headers_come_off
def test_pausing_raises_and_is_reported(loop, reports):
    class Raising(Endpoint):
        def pause_writing(self) -> None:
            raise ZeroDivisionError

        def resume_writing(self) -> None:
            raise ZeroDivisionError

    async def main():
        with temporary() as directory:
            transport, _, peer = await open_connected(directory)
            protocol = Raising()
            transport.set_protocol(protocol)
            transport.set_write_buffer_limits(high=0)
            fill(transport)
            assert [report["message"] for report in reports] == ["protocol.pause_writing() failed"]
            await drain_until(peer, lambda _: len(reports) > 1)
            assert reports[1]["message"] == "protocol.resume_writing() failed"
            assert reports[1]["transport"] is transport
            assert reports[1]["protocol"] is protocol
            reports.clear()
            await finish(transport, protocol)
            peer.close()

    run(loop, main())


def test_close_sends_what_waits(loop):
    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            taken = fill(transport)
            for number in range(100):
                transport.sendto(b"%d" % number)
            transport.close()
            assert transport.is_closing()
            await asyncio.sleep(0)
            assert protocol.calls[-1] != "lost"
            transport.sendto(b"after close()")
            items = await drain_until(peer, lambda items: len(items) >= taken + 102)
            assert items[-2:] == [b"99", b"after close()"]
            assert await protocol.lost is None
            peer.close()

    run(loop, main())


def test_abort_drops_what_waits(loop):
    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            taken = fill(transport)
            transport.sendto(b"dropped")
            transport.abort()
            if LOOP_NAME == "camshaft":  # asyncio forgets to set it back, until 3.15
                assert transport.get_write_buffer_size() == 0
            assert "lost" not in protocol.calls
            assert await protocol.lost is None
            assert len(drain(peer)) == taken
            assert protocol.calls.count("lost") == 1
            peer.close()

    run(loop, main())


@headers_come_off
def test_an_error_drops_one_waiting_datagram(loop):
    """The others follow: each is on its own."""

    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            fill(transport)
            peer.close()
            await until(lambda: bool(protocol.errors))
            assert isinstance(protocol.errors[0], ConnectionRefusedError)
            await until(lambda: transport.get_write_buffer_size() <= HEADER)
            assert not transport.is_closing()
            transport.close()
            assert await protocol.lost is None

    run(loop, main())


@ours_only
def test_a_waiting_datagram_may_need_the_socket(loop):
    """A name to resolve between others that the kernel can be given as they are."""

    async def main():
        with temporary() as directory:
            target = f"{directory}/söckel"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                peer.bind(target)
                transport, protocol = await open_endpoint(
                    family=socket.AF_UNIX, local_addr=f"{directory}/ours"
                )
                while not transport.get_write_buffer_size():
                    transport.sendto(b"x" * 1000, target)
                for number in range(100):
                    odd = number % 3 == 0
                    transport.sendto(b"%d" % number, target if odd else target.encode())
                items = await drain_until(peer, lambda items: items[-1:] == [b"99"])
                assert items[-100:] == [b"%d" % number for number in range(100)]
                await finish(transport, protocol)

    run(loop, main())


def test_sending_after_the_end(loop, caplog):
    async def main():
        server, at_server = await open_udp()
        client, at_client = await open_endpoint(remote_addr=server.get_extra_info("sockname"))
        await finish(server, at_server)
        client.close()
        with caplog.at_level(logging.WARNING, logger="asyncio"):
            for _ in range(4):
                client.sendto(b"x")
            assert not caplog.records
            client.sendto(b"x")
        assert [record.message for record in caplog.records] == ["socket.send() raised exception."]
        assert await at_client.lost is None
        assert at_client.calls == ["made", "lost"]

    run(loop, main())


@ours_only
def test_sending_on_a_finished_endpoint(loop):
    """asyncio raises AttributeError there, out of its own handling of another."""

    async def main():
        transport, protocol = await open_udp()
        await finish(transport, protocol)
        for _ in range(10):
            transport.sendto(b"x", ("127.0.0.1", 9))
        transport.close()
        transport.abort()
        transport.pause_reading()
        transport.resume_reading()
        transport.set_protocol(protocol)
        assert transport.get_protocol() is None
        assert protocol.calls == ["made", "lost"]

    run(loop, main())


# Receiving


def test_close_inside_datagram_received(loop):
    def close(endpoint: Endpoint, data: bytes, addr: Any) -> None:
        endpoint.transport.close()
        assert "lost" not in endpoint.calls

    async def main():
        transport, protocol, peer = await open_pair(close)
        for number in range(5):
            peer.send(b"%d" % number)
        assert await protocol.lost is None
        assert protocol.calls == ["made", "datagram", "lost"]
        assert transport.is_closing()
        peer.close()

    run(loop, main())


def test_pause_inside_datagram_received(loop):
    def pause(endpoint: Endpoint, data: bytes, addr: Any) -> None:
        endpoint.transport.pause_reading()
        assert not endpoint.transport.is_reading()

    async def main():
        _, protocol, peer = await open_pair(pause)
        transport = protocol.transport
        items = [b"%d" % number for number in range(10)]
        for item in items:
            peer.send(item)
        for count in range(1, 11):
            await until(lambda count=count: len(protocol.received) == count)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert protocol.data == items[:count]
            transport.resume_reading()
            transport.resume_reading()
        peer.send(b"more")
        await until(lambda: len(protocol.received) == 11)
        await finish(transport, protocol)
        peer.close()

    run(loop, main())


def test_resume_and_pause_again_before_delivery(loop):
    async def main():
        def pause(endpoint: Endpoint, data: bytes, addr: Any) -> None:
            endpoint.transport.pause_reading()

        transport, protocol, peer = await open_pair(pause)
        for number in range(3):
            peer.send(b"%d" % number)
        await until(lambda: bool(protocol.received))
        transport.resume_reading()
        transport.pause_reading()
        await asyncio.sleep(0.01)
        assert len(protocol.received) == 1
        # What waits is dropped with the transport.
        await finish(transport, protocol)
        assert len(protocol.received) == 1
        peer.close()

    run(loop, main())


def test_protocol_changes_between_two_datagrams(loop):
    async def main():
        second = Endpoint()

        def change(endpoint: Endpoint, data: bytes, addr: Any) -> None:
            endpoint.transport.set_protocol(second)

        transport, first, peer = await open_pair(change)
        peer.send(b"one")
        peer.send(b"two")
        await until(lambda: bool(second.received))
        assert (first.data, second.data) == ([b"one"], [b"two"])
        transport.close()
        await second.lost
        assert "lost" not in first.calls
        peer.close()

    run(loop, main())


def test_a_protocol_that_raises_goes_on(loop, reports):
    def fail(endpoint: Endpoint, data: bytes, addr: Any) -> None:
        raise ZeroDivisionError(data.decode())

    async def main():
        transport, protocol, peer = await open_pair(fail)
        peer.send(b"one")
        peer.send(b"two")
        await until(lambda: len(protocol.received) == 2)
        await until(lambda: len(reports) == 2)
        assert [str(report["exception"]) for report in reports] == ["one", "two"]
        for report in reports:
            assert report["message"].startswith("Exception in callback ")
        assert not transport.is_closing()
        reports.clear()
        await finish(transport, protocol)
        peer.close()

    run(loop, main())


@pytest.mark.parametrize("where", ["connection_made", "connection_lost", "error_received"])
def test_other_exceptions_of_protocols_are_reported(loop, reports, where):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            nowhere = probe.getsockname()
        with mock.patch.object(Endpoint, where, side_effect=ZeroDivisionError):
            transport, _ = await open_endpoint(remote_addr=nowhere)
            transport.sendto(b"x")
            if where == "error_received":
                await until(lambda: bool(reports))
            else:
                await asyncio.sleep(0.01)
            assert not transport.is_closing()
            transport.close()
            await until(lambda: "closed" in repr(transport))
        (report,) = reports
        assert report["message"].startswith("Exception in callback ")
        assert isinstance(report["exception"], ZeroDivisionError)
        reports.clear()

    run(loop, main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_leave_the_loop_and_lose_nothing(loop, kind):
    def interrupt(endpoint: Endpoint, data: bytes, addr: Any) -> None:
        if data == b"1":
            raise kind

    transport, protocol, peer = loop.run_until_complete(open_pair(interrupt))
    for number in range(5):
        peer.send(b"%d" % number)
    with pytest.raises(kind):
        loop.run_forever()
    assert protocol.data == [b"0", b"1"]
    run(loop, until(lambda: len(protocol.received) == 5))
    assert protocol.data == [b"%d" % number for number in range(5)]
    run(loop, finish(transport, protocol))
    peer.close()


def test_stop_ends_the_turn_after_one_datagram(loop):
    """As on asyncio, which receives one in a turn: run_until_complete() ends with the first."""

    def stop(endpoint: Endpoint, data: bytes, addr: Any) -> None:
        loop.stop()

    transport, protocol, peer = loop.run_until_complete(open_pair(stop))
    for number in range(4):
        peer.send(b"%d" % number)
    for count in range(1, 5):
        loop.run_forever()
        assert len(protocol.received) == count
    protocol._on_datagram = None
    for number in range(4):
        peer.send(b"%d" % number)
    for _ in range(8):
        run_turns(loop)
    assert protocol.data == [b"0", b"1", b"2", b"3"] * 2
    run(loop, finish(transport, protocol))
    peer.close()


def test_a_flood_does_not_starve_others(loop):
    async def main():
        _, protocol, peer = await open_pair(lambda endpoint, data, addr: refill())
        sent = 0

        def refill() -> None:
            nonlocal sent
            if sent < 1000:
                with contextlib.suppress(BlockingIOError):
                    peer.send(b"x")
                    sent += 1

        for _ in range(5):
            refill()
        turns = 0
        async with asyncio.timeout(LIMIT):
            while len(protocol.received) < 1000:
                await asyncio.sleep(0)
                turns += 1
        assert turns >= 1000 // 16
        await finish(protocol.transport, protocol)
        peer.close()

    run(loop, main())


def test_long_datagrams_are_cut(loop):
    async def main():
        transport, protocol, peer = await open_pair()
        assert transport.max_size == 256 * 1024
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            peer.send(bytes(300_000))
        except OSError as error:
            pytest.skip(f"the kernel takes no Unix datagram of 300,000 bytes: {error}")
        await until(lambda: bool(protocol.received))
        assert len(protocol.data[0]) == 256 * 1024
        transport.max_size = 10
        peer.send(b"0123456789abcdef")
        await until(lambda: len(protocol.received) == 2)
        assert protocol.data[1] == b"0123456789"
        await finish(transport, protocol)
        peer.close()

    run(loop, main())


# What surrounds a transport


def test_contexts(loop):
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: dict[str, str] = {}

    class Seeing(Endpoint):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            seen["made"] = variable.get()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            seen["datagram"] = variable.get()

        def error_received(self, exc: Exception) -> None:
            seen["error"] = variable.get()

    async def main():
        variable.set("endpoint")
        with temporary() as directory:
            transport, protocol = await loop.create_datagram_endpoint(
                Seeing, family=socket.AF_UNIX, local_addr=f"{directory}/ours"
            )
            variable.set("sender")
            transport.sendto(b"x", f"{directory}/ours")
            transport.sendto(b"x", f"{directory}/nobody")
            assert seen["error"] == "sender"
            await until(lambda: bool(protocol.received))
            await finish(transport, protocol)
        assert seen == {"made": "endpoint", "datagram": "endpoint", "error": "sender"}

    run(loop, main())


def test_descriptor_belongs_to_the_transport(loop):
    async def main():
        transport, protocol, peer = await open_pair()
        sock = transport.get_extra_info("socket")
        for wanted in (
            lambda: loop.add_reader(sock, print),
            lambda: loop.add_writer(sock, print),
            lambda: loop.remove_reader(sock),
            lambda: loop.remove_writer(sock),
        ):
            with pytest.raises(RuntimeError) as error:
                wanted()
            text = f"File descriptor {sock!r} is used by transport {transport!r}"
            assert str(error.value) == text
        with pytest.raises(RuntimeError) as error:
            loop.add_reader(sock.fileno(), print)
        text = f"File descriptor {sock.fileno()} is used by transport {transport!r}"
        assert str(error.value) == text
        # Paused, it still is.
        transport.pause_reading()
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(sock, print)
        if LOOP_NAME == "camshaft" or sys.version_info >= (3, 12):
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.create_datagram_endpoint(Endpoint, sock=transport._sock)
        # sock_recv() asks only when it has to wait.
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(transport._sock, 10)
        await finish(transport, protocol)
        peer.close()

    run(loop, main())


def test_descriptor_belongs_to_the_transport_at_once(loop):
    async def main():
        ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

        class Asking(Endpoint):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                with pytest.raises(RuntimeError, match="is used by transport"):
                    loop.add_reader(ours, print)

        transport, protocol = await loop.create_datagram_endpoint(Asking, sock=ours)
        await finish(transport, protocol)
        peer.close()

    run(loop, main())


def test_attributes_can_be_patched(loop):
    async def main():
        transport, protocol = await open_udp()
        with mock.patch.object(transport, "sendto") as patched:
            transport.sendto(b"x", ("127.0.0.1", 9))
            patched.assert_called_once_with(b"x", ("127.0.0.1", 9))
        transport.mark = 5
        assert transport.mark == 5
        transport.close = mock.Mock()
        transport.close()
        transport.close.assert_called_once_with()
        await finish(transport, protocol)

    run(loop, main())


@ours_only
def test_closing_the_socket_object_is_harmless(loop):
    """asyncio's transport would go on with a descriptor that may be another's."""

    async def main():
        server, at_server = await open_udp(echo)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client, at_client = await open_endpoint(sock=sock)
        sock.close()
        client.sendto(b"x", server.get_extra_info("sockname"))
        await until(lambda: bool(at_client.received))
        await finish(client, at_client)
        assert sock.fileno() == -1
        await finish(server, at_server)

    run(loop, main())


def test_unclosed_transports_are_told_of(loop):
    async def main():
        transport, protocol, peer = await open_pair()
        transport.pause_reading()
        protocol.transport = None
        number = transport.get_extra_info("socket").fileno()
        with pytest.warns(ResourceWarning, match=rf"unclosed transport <.* fd={number} "):
            del transport, protocol
            gc.collect()
        assert peer.getpeername() == ""
        with pytest.raises(ConnectionRefusedError):
            peer.send(b"x")
        peer.close()

    run(loop, main())


def test_a_closed_loop_leaves_a_warning():
    loop = new_loop()
    transport, protocol, peer = loop.run_until_complete(open_pair())
    loop.close()
    name = f"{type(transport).__name__} fd="
    assert name in repr(transport)
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        protocol.transport = None
        del transport, protocol, loop
        gc.collect()
    peer.close()


@ours_only
def test_wrong_arguments_of_the_transport(loop):
    from camshaft.loop.transport import DatagramTransport

    async def main():
        protocol = Endpoint()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with pytest.raises(TypeError, match="loop must be"):
                DatagramTransport(object(), sock, protocol)
            closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            closed.close()
            with pytest.raises(ValueError, match="the socket is closed"):
                DatagramTransport(loop, closed, protocol)
            unmade = DatagramTransport.__new__(DatagramTransport)
            unmade.sendto(b"x", ("127.0.0.1", 9))
            unmade.close()
            unmade.abort()
            assert "closed" in repr(unmade)
            transport = DatagramTransport(loop, sock, protocol)
            with pytest.raises(RuntimeError, match="already initialized"):
                transport.__init__(loop, sock, protocol)
            await asyncio.sleep(0)
            await finish(transport, protocol)

    run(loop, main())


@ours_only
def test_a_forked_child_may_not_send(loop):
    status, out, err = run_script(
        """
        import asyncio, os, socket
        loop = new_loop()
        async def main():
            ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, sock=ours)
            child = os.fork()
            if child == 0:
                try:
                    transport.sendto(b"x")
                except RuntimeError as error:
                    os._exit("process that forked" in str(error))
                os._exit(2)
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == 1, status
            transport.sendto(b"parent")
            assert peer.recv(10) == b"parent"
            transport.close()
            peer.close()
            await asyncio.sleep(0)
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert (status, out, err) == (0, "", "")


# At random


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_random_traffic(loop, kind):
    """Sends, pauses, resumes and closes at random: in order, nothing twice, nothing changed.

    A Unix socket loses nothing. Of UDP there are never more bytes under way than the receive
    buffer holds, so that loopback loses nothing either.
    """
    chance = random.Random(20261124)

    def item_of(sender: int, number: int) -> bytes:
        size = chance.choice((0, 1, 100, 1400, 9000))
        return b"%d:%d:" % (sender, number) + bytes([number & 255]) * size

    async def main():
        with temporary() as directory:
            unix = {"family": socket.AF_UNIX, "local_addr": f"{directory}/server"}
            server, at_server = await open_endpoint(
                **(unix if kind == "unix" else {"local_addr": ("127.0.0.1", 0)})
            )
            address = server.get_extra_info("sockname")
            clients = []
            for number in range(5):
                own = {"family": socket.AF_UNIX, "local_addr": f"{directory}/{number}"}
                if kind == "udp":
                    own = {}
                clients.append(await open_endpoint(remote_addr=address, **own))
            sent: list[list[bytes]] = [[] for _ in clients]
            total = 0
            for _ in range(400):
                for _ in range(chance.randrange(8)):
                    who = chance.randrange(len(clients))
                    item = item_of(who, len(sent[who]))
                    clients[who][0].sendto(item)
                    sent[who].append(item)
                    total += 1
                if chance.random() < 0.3:
                    server.pause_reading()
                    await asyncio.sleep(0)
                server.resume_reading()
                if kind == "udp":
                    await until(lambda total=total: len(at_server.received) == total)
                else:
                    await asyncio.sleep(0)
            await until(lambda: len(at_server.received) == total)
            for who, (transport, protocol) in enumerate(clients):
                name = transport.get_extra_info("sockname")
                assert [data for data, source in at_server.received if source == name] == sent[who]
                assert protocol.errors == []
                await finish(transport, protocol)
            await finish(server, at_server)

    run(loop, main())


def test_stale_sockets_are_removed(loop):
    async def main():
        with temporary() as directory:
            path = f"{directory}/server"
            for _ in range(2):
                transport, protocol = await open_endpoint(family=socket.AF_UNIX, local_addr=path)
                await finish(transport, protocol)
                assert Path(path).is_socket()

    run(loop, main())
