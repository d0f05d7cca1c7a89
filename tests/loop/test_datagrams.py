# SPDX-License-Identifier: MIT
"""Datagram endpoints: what they are, where they send, what they say of errors."""

import asyncio
import socket
import sys
from typing import Any

import pytest

from tests.loop.endpoints import (
    HEADER,
    SENDS_EMPTY,
    Endpoint,
    echo,
    fill,
    finish,
    open_connected,
    open_endpoint,
    open_pair,
    open_udp,
    temporary,
)
from tests.loop.support import (
    LIMIT,
    ours_only,
    run,
    until,
)

# What an endpoint is


def test_types_and_extra_info(loop):
    async def main():
        transport, protocol = await open_udp()
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.DatagramTransport) or sys.version_info < (3, 12)
        sock = transport.get_extra_info("socket")
        assert type(sock).__name__ == "TransportSocket"
        assert transport.get_extra_info("sockname") == sock.getsockname()
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("peername", 1) is None
        assert transport.get_extra_info("other") is None
        assert transport.get_extra_info("other", 1) == 1
        assert transport.get_protocol() is protocol
        assert transport.get_write_buffer_limits() == (16384, 65536)
        assert transport.get_write_buffer_size() == 0
        assert transport.is_reading()
        assert not transport.is_closing()
        with pytest.raises(NotImplementedError):
            transport.write(b"x")
        client, other = await open_endpoint(remote_addr=sock.getsockname())
        assert client.get_extra_info("peername") == sock.getsockname()
        await finish(client, other)
        await finish(transport, protocol)
        assert transport.get_extra_info("sockname") is not None

    run(loop, main())


def test_repr(loop):
    async def main():
        with temporary() as directory:
            transport, protocol, peer = await open_connected(directory)
            number = transport.get_extra_info("socket").fileno()
            name = type(transport).__name__
            assert repr(transport) == f"<{name} fd={number} read=polling write=<idle, bufsize=0>>"
            transport.pause_reading()
            fill(transport, b"x" * 1000)
            size = 1000 + HEADER
            shown = f"fd={number} read=idle write=<polling, bufsize={size}>>"
            assert repr(transport) == f"<{name} {shown}"
            loop.set_debug(True)
            assert repr(transport) == f"<{name} {shown}"
            transport.close()
            assert repr(transport) == f"<{name} closing {shown}"
            await finish(transport, protocol)
            assert repr(transport) == f"<{name} closed fd={number}>"
            peer.close()

    run(loop, main())


@pytest.mark.parametrize("debug", [False, True])
def test_steps_come_in_order(loop, debug):
    loop.set_debug(debug)

    async def main():
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.bind(("127.0.0.1", 0))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        peer.sendto(b"early", sock.getsockname())
        transport, protocol = await open_endpoint(sock=sock)
        assert protocol.calls == ["made"]
        await until(lambda: len(protocol.calls) > 1)
        assert protocol.received == [(b"early", peer.getsockname())]
        transport.close()
        assert protocol.calls == ["made", "datagram"]
        assert await protocol.lost is None
        transport.close()
        transport.abort()
        await asyncio.sleep(0)
        assert protocol.calls == ["made", "datagram", "lost"]
        peer.close()

    run(loop, main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_echo_over_udp(loop, host):
    async def main():
        try:
            server, at_server = await open_endpoint(echo, local_addr=(host, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {host}: {error}")
        address = server.get_extra_info("sockname")
        client, at_client = await open_endpoint(remote_addr=address[:2])
        items = [b"a", b"bc" * 500, bytes(65_507 if host == "127.0.0.1" else 65_527), b"end"]
        for count, item in enumerate(items, 1):
            client.sendto(item)
            await until(lambda count=count: len(at_client.received) == count)
        assert at_client.data == items
        assert {source for _, source in at_client.received} == {address}
        # Unconnected, to addresses in each form, and from two that take turns.
        other, at_other = await open_endpoint(local_addr=(host, 0))
        forms = [address] if host == "127.0.0.1" else [address[:n] for n in (2, 3, 4)]
        for number, form in enumerate(forms * 2):
            other.sendto(b"%d" % number, form)
            client.sendto(b"c%d" % number, address)
        await until(lambda: len(at_other.received) == 2 * len(forms))
        await until(lambda: len(at_client.received) == len(items) + 2 * len(forms))
        assert at_other.data == [b"%d" % number for number in range(2 * len(forms))]
        sources = [source for _, source in at_server.received[len(items) :]]
        assert set(sources) == {
            other.get_extra_info("sockname"),
            client.get_extra_info("sockname"),
        }
        for transport, protocol in (server, at_server), (client, at_client), (other, at_other):
            await finish(transport, protocol)

    run(loop, main())


def test_sources_are_shown_as_the_socket_module_does(loop):
    async def main():
        transport, protocol = await open_endpoint(local_addr=("0.0.0.0", 0))
        port = transport.get_extra_info("sockname")[1]
        sources = []
        for octet in (1, 9, 10, 11, 99, 100, 101, 109, 110, 199, 200, 254):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                try:
                    sock.bind((f"127.{octet}.{255 - octet}.{octet}", 0))
                except OSError as error:
                    pytest.skip(f"loopback is not all of 127.0.0.0/8 here: {error}")
                sock.sendto(b"x", ("127.0.0.1", port))
                sources.append(sock.getsockname())
        await until(lambda: len(protocol.received) == len(sources))
        assert [source for _, source in protocol.received] == sources
        await finish(transport, protocol)

    run(loop, main())


@pytest.mark.parametrize("form", ["path", "bytes", "abstract", "umlaut"])
def test_echo_over_unix(loop, form):
    async def main():
        with temporary() as directory:
            name: Any = f"{directory}/söckel" if form == "umlaut" else f"{directory}/server"
            if form == "abstract":
                name = "\0" + name
            server, at_server = await open_endpoint(echo, family=socket.AF_UNIX, local_addr=name)
            own = f"{directory}/client"
            client, at_client = await open_endpoint(family=socket.AF_UNIX, local_addr=own)
            target = name if form in ("path", "umlaut") else name.encode()
            client.sendto(b"hello", target)
            await until(lambda: len(at_client.received) == 1)
            shown = name.encode() if form == "abstract" else name
            assert server.get_extra_info("sockname") == shown
            assert at_server.received == [(b"hello", own)]
            assert at_client.received == [(b"hello", shown)]
            # One without a name.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                at_server._on_datagram = None
                nameless.sendto(b"who", target)
                await until(lambda: len(at_server.received) == 2)
                assert at_server.received[1] == (b"who", None)
            await finish(client, at_client)
            await finish(server, at_server)

    run(loop, main())


def test_other_families_go_through_the_socket(loop):
    if not hasattr(socket, "AF_NETLINK"):
        pytest.skip("the system has no netlink sockets")

    async def main():
        ours = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 2)  # NETLINK_USERSOCK
        theirs = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 2)
        with theirs:
            theirs.settimeout(LIMIT)
            for sock in (ours, theirs):
                sock.bind((0, 0))
            ours.connect(theirs.getsockname())
            transport, protocol = await open_endpoint(sock=ours)
            transport.sendto(b"out")
            assert theirs.recv(100) == b"out"
            theirs.sendto(b"in", ours.getsockname())
            await until(lambda: bool(protocol.received))
            assert protocol.received == [(b"in", theirs.getsockname())]
            await finish(transport, protocol)

    run(loop, main())


def test_methods_of_a_socket_class_are_used(loop):
    class Counting(socket.socket):
        calls: list[str] = []

        def recvfrom(self, *args: Any) -> Any:
            self.calls.append("recvfrom")
            return super().recvfrom(*args)

        def sendto(self, *args: Any) -> Any:
            self.calls.append("sendto")
            return super().sendto(*args)

    async def main():
        server, at_server = await open_udp(echo)
        sock = Counting(socket.AF_INET, socket.SOCK_DGRAM)
        client, at_client = await open_endpoint(sock=sock)
        client.sendto(b"x", server.get_extra_info("sockname"))
        await until(lambda: bool(at_client.received))
        assert sock.calls[:2] == ["sendto", "recvfrom"]
        await finish(client, at_client)
        await finish(server, at_server)

    run(loop, main())


# sendto()


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], object()])
def test_sendto_wants_bytes(loop, data):
    async def main():
        transport, protocol = await open_udp()
        with pytest.raises(TypeError) as error:
            transport.sendto(data, ("127.0.0.1", 9))
        kind = type(data).__name__
        assert str(error.value) == f"data argument must be a bytes-like object, not {kind!r}"
        for wrong in ((), (b"x", None, 1)):
            with pytest.raises(TypeError):
                transport.sendto(*wrong)
        with pytest.raises(TypeError):
            transport.sendto(b"x", address=1)
        await finish(transport, protocol)

    run(loop, main())


def test_sendto_takes_keywords_and_any_bytes(loop):
    async def main():
        server, at_server = await open_udp()
        client, at_client = await open_endpoint(remote_addr=server.get_extra_info("sockname"))
        client.sendto(data=b"a")
        client.sendto(bytearray(b"b"), addr=None)
        client.sendto(memoryview(b"xcx")[1:2], server.get_extra_info("sockname"))
        await until(lambda: len(at_server.received) == 3)
        assert at_server.data == [b"a", b"b", b"c"]
        await finish(client, at_client)
        await finish(server, at_server)

    run(loop, main())


def test_sendto_another_than_the_remote_address(loop):
    async def main():
        server, at_server = await open_udp()
        address = server.get_extra_info("sockname")
        client, at_client = await open_endpoint(remote_addr=address)
        with pytest.raises(ValueError) as error:
            client.sendto(b"x", ("127.0.0.1", 1))
        assert str(error.value) == f"Invalid address: must be None or {address}"
        with pytest.raises(ValueError):
            client.sendto(b"x", "nonsense")
        client.sendto(b"good", list(address) and tuple(address))
        await until(lambda: bool(at_server.received))
        assert at_server.data == [b"good"]
        await finish(client, at_client)
        await finish(server, at_server)

    run(loop, main())


def test_empty_datagrams(loop):
    async def main():
        server, at_server = await open_udp(echo)
        client, at_client = await open_endpoint(remote_addr=server.get_extra_info("sockname"))
        for empty in (b"", bytearray(), memoryview(b"")):
            client.sendto(empty)
        client.sendto(b"end")
        expected = [b"", b"", b"", b"end"] if SENDS_EMPTY else [b"end"]
        await until(lambda: len(at_client.received) == len(expected))
        assert at_server.data == at_client.data == expected
        # One from elsewhere is always received.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            at_server._on_datagram = None
            other.sendto(b"", server.get_extra_info("sockname"))
            await until(lambda: len(at_server.received) == len(expected) + 1)
            assert at_server.data[-1] == b""
        await finish(client, at_client)
        await finish(server, at_server)

    run(loop, main())


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", 5, None, (), ("127.0.0.1",), ("127.0.0.1", "9"), (5, 9), ("127.0.0.1", 70_000)],
    ids=str,
)
def test_wrong_address_is_fatal(loop, reports, address):
    async def main():
        transport, protocol = await open_udp()
        transport.sendto(b"x", address)
        assert protocol.calls == ["made"]
        reason = await protocol.lost
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            try:
                other.sendto(b"x", address)
            except (TypeError, OverflowError) as error:
                assert (type(reason), str(reason)) == (type(error), str(error))
        assert len(reports) == 1
        assert reports[0]["message"] == "Fatal write error on datagram transport"
        assert reports[0]["exception"] is reason
        assert reports[0]["transport"] is transport
        assert reports[0]["protocol"] is protocol
        reports.clear()

    run(loop, main())


def test_names_are_resolved_or_reported(loop):
    async def main():
        server, at_server = await open_udp()
        port = server.get_extra_info("sockname")[1]
        client, at_client = await open_endpoint(family=socket.AF_INET)
        client.sendto(b"by name", ("localhost", port))
        await until(lambda: bool(at_server.received))
        client.sendto(b"x", ("::1", port))
        assert isinstance(at_client.errors[0], socket.gaierror)
        client.sendto(b"still open", ("127.0.0.1", port))
        await until(lambda: len(at_server.received) == 2)
        await finish(client, at_client)
        await finish(server, at_server)

    run(loop, main())


@pytest.mark.parametrize(
    "address",
    [("::1", 9, 1 << 20, 0), ("::1", 9, -1, 0), ("::1", -1), ("::1", 9, 0, 0, 0), ("::1%x", 9)],
    ids=str,
)
def test_wrong_ipv6_address_is_what_the_socket_says(loop, reports, address):
    async def main():
        try:
            transport, protocol = await open_endpoint(local_addr=("::1", 0))
        except OSError as error:
            pytest.skip(f"this machine has no ::1: {error}")
        transport.sendto(b"x", address)
        if protocol.errors:
            told: Any = protocol.errors[0]
            await finish(transport, protocol)
        elif transport.is_closing():
            told = await protocol.lost
        else:
            told = None
            await finish(transport, protocol)
        reports.clear()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            try:
                other.sendto(b"x", address)
            except Exception as error:
                assert (type(told), str(told)) == (type(error), str(error))
            else:
                assert told is None

    run(loop, main())


def test_refused_connection_is_received_as_an_error(loop):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            nowhere = probe.getsockname()
        client, protocol = await open_endpoint(remote_addr=nowhere)
        client.sendto(b"one")
        await until(lambda: bool(protocol.errors))
        assert isinstance(protocol.errors[0], ConnectionRefusedError)
        # By sendto(), before the loop looks at the socket again.
        client.sendto(b"two")
        client.sendto(b"three")
        assert [type(error) for error in protocol.errors] == [ConnectionRefusedError] * 2
        assert not client.is_closing()
        await finish(client, protocol)

    run(loop, main())


def test_errors_of_sendto_are_received(loop):
    async def main():
        with temporary() as directory:
            transport, protocol = await open_endpoint(
                family=socket.AF_UNIX, local_addr=f"{directory}/ours"
            )
            transport.sendto(b"x", f"{directory}/nobody")
            transport.sendto(b"x", b"y" * 107 + b"nobody")
            kinds = [type(error) for error in protocol.errors]
            assert kinds == [FileNotFoundError, OSError]
            transport.sendto(bytes(1 << 24), f"{directory}/ours")
            assert len(protocol.errors) == 3
            await finish(transport, protocol)

    run(loop, main())


def test_error_received_raises_to_the_caller(loop):
    class Raising(Endpoint):
        def error_received(self, exc: Exception) -> None:
            raise ZeroDivisionError

    async def main():
        with temporary() as directory:
            transport, protocol = await loop.create_datagram_endpoint(
                Raising, family=socket.AF_UNIX, local_addr=f"{directory}/ours"
            )
            with pytest.raises(ZeroDivisionError):
                transport.sendto(b"x", f"{directory}/nobody")
            await finish(transport, protocol)

    run(loop, main())


@ours_only
def test_one_end_of_a_pair_sends_without_an_address(loop):
    """asyncio passes None on to socket.sendto() there, and closes the transport for it."""

    async def main():
        transport, protocol, peer = await open_pair()
        transport.sendto(b"to the peer")
        assert peer.recv(100) == b"to the peer"
        peer.send(b"back")
        await until(lambda: bool(protocol.received))
        assert protocol.received == [(b"back", None)]
        await finish(transport, protocol)
        peer.close()

    run(loop, main())
