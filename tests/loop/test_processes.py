# SPDX-License-Identifier: MIT
"""Child processes, datagrams and sendfile."""

import asyncio
import signal
import sys

import pytest

from tests.loop.support import Recorder, new_loop, open_stream, receive_exactly, run, until

CAT = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"


@pytest.fixture
def current(loop):
    """The loop as the current one, which child watchers of 3.11 look for."""
    if sys.version_info < (3, 12):
        asyncio.set_event_loop(loop)
        yield loop
        asyncio.set_event_loop(None)
    else:
        yield loop


def test_input_and_output(current):
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CAT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        data = b"x" * 300_000
        out, _ = await process.communicate(data)
        assert out == data
        assert process.returncode == 0

    run(current, main())


def test_exit_status_and_shell(current):
    async def main():
        process = await asyncio.create_subprocess_shell("exit 7")
        assert await process.wait() == 7
        process = await asyncio.create_subprocess_shell(
            "echo out; echo err >&2",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert await process.communicate() == (b"out\n", b"err\n")

    run(current, main())


def test_signals_to_a_child(current):
    async def main():
        for send, number in (("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "import time; time.sleep(60)"
            )
            getattr(process, send)()
            assert await process.wait() == -number

    run(current, main())


def test_a_program_that_is_not_there(current):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/nowhere/at/all")

    run(current, main())


def test_several_children_at_once(current):
    async def one(number):
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {number}")
        return await process.wait()

    async def main():
        assert await asyncio.gather(*map(one, range(8))) == list(range(8))

    run(current, main())


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.received.append((data, address))


def test_datagrams(loop):
    async def main():
        server, received = await loop.create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.1", 0)
        )
        address = server.get_extra_info("sockname")
        client, answers = await loop.create_datagram_endpoint(Datagrams, remote_addr=address)
        client.sendto(b"question")
        await until(lambda: received.received)
        data, sender = received.received[0]
        assert data == b"question"
        server.sendto(b"answer", sender)
        await until(lambda: answers.received)
        assert answers.received[0][0] == b"answer"
        for transport in (client, server):
            transport.close()
        await asyncio.sleep(0)

    run(loop, main())


def test_sendfile(loop, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)

    async def main():
        received = Recorder()
        server = await loop.create_server(lambda: received, "127.0.0.1", 0)
        transport, _protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        transport.write(b"before ")
        with path.open("rb") as file:
            assert await loop.sendfile(transport, file) == 256_000
        transport.write(b" after")
        transport.close()
        await received.lost
        assert received.data == b"before " + path.read_bytes() + b" after"
        server.close()

    run(loop, main())


def test_resume_reading_during_sendfile(loop, tmp_path):
    """The transport must not take the descriptor back before the file is sent."""
    path = tmp_path / "file"
    size = 4_000_000
    path.write_bytes(bytes(size))

    async def main():
        transport, protocol, peer = await open_stream()
        with path.open("rb") as file, peer:
            sending = loop.create_task(loop.sendfile(transport, file))
            await until(lambda: not transport.is_reading())
            await asyncio.sleep(0.01)
            assert not sending.done()
            transport.resume_reading()
            peer.send(b"x")
            assert len(await receive_exactly(peer, size)) == size
            assert await sending == size
            await until(lambda: protocol.data == b"x")
            transport.close()
            await protocol.lost

    run(loop, main())


def test_a_child_of_a_loop_in_another_thread():
    """With 3.12 and later, and with 3.11's threaded watcher, which is the default one."""
    import threading

    results = []

    def work():
        async def main():
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 3")
            return await process.wait()

        own = new_loop()
        try:
            results.append(own.run_until_complete(asyncio.wait_for(main(), 30)))
        finally:
            own.close()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert results == [3]
