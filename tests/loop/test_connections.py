# SPDX-License-Identifier: MIT
"""create_connection() to numeric addresses, which C makes, beside asyncio's own."""

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.loop.support import Echo, Recorder, new_loop, ours_only, run, run_script

HOSTS = ["127.0.0.1", "::1"]


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", backlog: int = 16) -> Iterator[tuple[socket.socket, int]]:
    """(socket, port) of a listener; skips where the machine lacks that kind of address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{host} cannot be had here: {error}")
        server.listen(backlog)
        yield server, server.getsockname()[1]


@contextlib.contextmanager
def unanswered() -> Iterator[int]:
    """The port of a listener whose queue is full: connecting to it goes on for seconds."""
    with listening(backlog=0) as (_, port), contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("host", HOSTS)
def test_connects_and_knows_both_ends(loop: asyncio.AbstractEventLoop, host: str) -> None:
    async def main() -> None:
        with listening(host) as (listener, port):
            transport, protocol = await loop.create_connection(Recorder, host, port)
            peer, address = listener.accept()
            with peer:
                assert transport.get_extra_info("peername") == listener.getsockname()
                assert transport.get_extra_info("sockname") == address
                wrapped = transport.get_extra_info("socket")
                assert wrapped.getsockname() == address
                assert wrapped.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                transport.write(b"to the peer")
                await asyncio.sleep(0)
                assert peer.recv(100) == b"to the peer"
                peer.send(b"to us")
                peer.shutdown(socket.SHUT_WR)
                assert await protocol.lost is None
                assert protocol.data == b"to us"

    run(loop, main())


def test_calls_come_in_asyncios_order(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with listening() as (_, port):
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            assert protocol.calls == ["made"]  # before create_connection() returned
            transport.close()
            assert await protocol.lost is None
            assert protocol.calls == ["made", "lost"]

    run(loop, main())


def failure(host: str, port: int, loop: asyncio.AbstractEventLoop) -> BaseException:
    async def main() -> BaseException:
        with pytest.raises(BaseException) as caught:
            await loop.create_connection(Recorder, host, port)
        return caught.value

    error: BaseException = run(loop, main())
    return error


@pytest.mark.parametrize("host", [*HOSTS, "255.255.255.255", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("port", [1, 0])
def test_failures_are_those_of_asyncio(
    loop: asyncio.AbstractEventLoop, host: str, port: int
) -> None:
    theirs = asyncio.SelectorEventLoop()
    try:
        expected = failure(host, port, theirs)
    finally:
        theirs.close()
    before = descriptors()
    found = failure(host, port, loop)
    assert (type(found), found.args) == (type(expected), expected.args)
    assert descriptors() == before


@pytest.mark.parametrize("address", [("127.0.0.1", -1), ("127.0.0.1", 65536), ("127.0.0.1\0", 1)])
def test_impossible_addresses_fail_as_on_asyncio(
    loop: asyncio.AbstractEventLoop, address: tuple[str, int]
) -> None:
    theirs = asyncio.SelectorEventLoop()
    try:
        expected = failure(*address, theirs)
    finally:
        theirs.run_until_complete(theirs.shutdown_default_executor())
        theirs.close()
    assert type(failure(*address, loop)) is type(expected)


def test_cancelling_gives_the_descriptor_back(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with unanswered() as port:
            before = descriptors()
            connecting = asyncio.ensure_future(loop.create_connection(Recorder, "127.0.0.1", port))
            await asyncio.sleep(0.01)
            assert len(descriptors() - before) == 1
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert descriptors() == before

    run(loop, main())


def test_cancelling_when_it_is_there_closes_it(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with listening() as (listener, port):
            before = descriptors()
            connecting = asyncio.ensure_future(loop.create_connection(Recorder, "127.0.0.1", port))
            for _ in range(20):
                await asyncio.sleep(0)
                if len(descriptors() - before) == 1:
                    break
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                transport, _ = await connecting
                transport.abort()
            await asyncio.sleep(0.01)
            assert descriptors() == before
            listener.accept()[0].close()

    run(loop, main())


@ours_only  # asyncio leaves the socket to the collector
def test_a_factory_that_raises_leaves_nothing_open(loop: asyncio.AbstractEventLoop) -> None:
    def factory() -> asyncio.Protocol:
        raise LookupError("no protocol today")

    async def main() -> None:
        with listening() as (_, port):
            before = descriptors()
            with pytest.raises(LookupError, match="today"):
                await loop.create_connection(factory, "127.0.0.1", port)
            assert descriptors() == before

    run(loop, main())


def test_closing_the_loop_while_it_connects(recwarn: pytest.WarningsRecorder) -> None:
    with unanswered() as port:
        before = descriptors()
        loop = new_loop()

        async def main() -> None:
            running = asyncio.get_running_loop()
            running.create_task(running.create_connection(Recorder, "127.0.0.1", port))
            await asyncio.sleep(0.01)

        loop.set_exception_handler(lambda *_: None)  # the task that is destroyed while pending
        loop.run_until_complete(main())
        loop.close()
        del loop
        gc.collect()
        assert descriptors() == before


def test_keywords_that_say_nothing_and_those_unknown(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with listening() as (_, port):
            transport, protocol = await loop.create_connection(
                Recorder, "127.0.0.1", port, ssl=None, local_addr=None, sock=None
            )
            transport.close()
            await protocol.lost
            with pytest.raises(TypeError, match="colour"):
                await loop.create_connection(  # type: ignore[call-overload]
                    Recorder, "127.0.0.1", port, colour=None
                )
            with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
                await loop.create_connection(Recorder, "127.0.0.1", port, server_hostname="")

    run(loop, main())


def test_a_replaced_sock_connect_is_called(loop: Any) -> None:
    seen = []
    stock = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        seen.append(address)
        await stock(sock, address)

    async def main() -> None:
        with listening() as (_, port):
            loop.sock_connect = sock_connect
            try:
                transport, protocol = await loop.create_connection(Echo, "127.0.0.1", port)
            finally:
                del loop.sock_connect
            assert seen == [("127.0.0.1", port)]
            transport.close()
            await protocol.lost

    run(loop, main())


def test_an_audit_hook_sees_and_stops_it() -> None:
    status, out, err = run_script(
        """
        import asyncio, sys

        def hook(event, arguments):
            if event == "socket.connect":
                print(event, arguments[1])
                raise PermissionError("not there")

        async def main():
            try:
                await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 1)
            except PermissionError as error:
                print(error)

        sys.addaudithook(hook)
        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert (status, out) == (0, "socket.connect ('127.0.0.1', 1)\nnot there\n"), err
