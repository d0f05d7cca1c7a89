# SPDX-License-Identifier: MIT
"""Memory that connections take, and that it is given back to the system once they are gone."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.loop.support import ours_only, run_script


@ours_only
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer's allocator keeps what was freed, to know it again",
)
@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(sys, "getallocatedblocks"),
    reason="reads /proc/self/smaps_rollup, and only glibc is told to give memory back",
)
def test_a_wave_of_connections_leaves_little_memory_behind() -> None:
    status, out, err = run_script(
        """
        import asyncio, gc, resource, socket

        WAVE = 4000
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        count = min(WAVE, (hard - 50) // 2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 50, hard))

        def resident():
            with open("/proc/self/smaps_rollup") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Rss"))

        async def wave(count):
            loop = asyncio.get_running_loop()
            pairs = [socket.socketpair() for _ in range(count)]
            streams = []
            for ours, _ in pairs:
                streams.append((await loop.create_connection(asyncio.Protocol, sock=ours))[0])
            await asyncio.sleep(0.01)
            most = resident()
            for transport in streams:
                transport.abort()
            for _, peer in pairs:
                peer.close()
            del streams, pairs
            await asyncio.sleep(0.01)
            gc.collect()
            await asyncio.sleep(0.01)
            return most

        loop = new_loop()
        loop.run_until_complete(wave(100))
        base = resident()
        most = loop.run_until_complete(wave(count))
        print(count, base, most, resident())
        """
    )
    assert status == 0, err
    count, base, most, left = (int(word) for word in out.split())
    if count < 2000:
        pytest.skip(f"only {count} connections fit the limit of open files")
    # Arenas of small blocks go back only when they are wholly free, so some half is left. Without
    # trimming all of it is.
    assert most - base > count / 2
    assert left - base < (most - base) * 3 / 4


@ours_only
def test_the_table_by_descriptor_shrinks_and_grows_again() -> None:
    """Events of a number that was freed with the table's end must not reach its next owner."""
    status, out, err = run_script(
        """
        import asyncio, os, resource, socket

        HIGH = 3000
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < HIGH + 50:
            raise SystemExit(77)

        def high(sock):
            # The same socket with a large number.
            os.dup2(sock.fileno(), HIGH)
            family, kind = sock.family, sock.type
            sock.close()
            sock = socket.socket(family, kind, fileno=HIGH)
            sock.setblocking(False)
            return sock

        async def main():
            loop = asyncio.get_running_loop()
            low, low_peer = socket.socketpair()
            low_transport, _ = await loop.create_connection(asyncio.Protocol, sock=low)
            copies = []
            for round in range(3):
                heard = []

                class Protocol(asyncio.Protocol):
                    def data_received(self, data):
                        heard.append(data)
                ours, peer = socket.socketpair()
                transport, _ = await loop.create_connection(Protocol, sock=high(ours))
                peer.send(b"%d" % round)
                while not heard:
                    await asyncio.sleep(0)
                assert heard == [b"%d" % round], heard
                transport.abort()
                peer.close()
                await asyncio.sleep(0)
                # Watched by its number and closed behind the loop's back, but alive elsewhere: the
                # poller goes on to report it.
                stale, stale_peer = socket.socketpair()
                stale = high(stale)
                loop.add_reader(HIGH, heard.append, b"stale")
                await asyncio.sleep(0.01)
                assert heard == [b"%d" % round], heard
                copies += stale.dup(), stale_peer
                stale.close()
                loop.remove_reader(HIGH)
                stale_peer.send(b"x")
                # Few enough are left: the loop looks, and the end of the table goes.
                others = [socket.socketpair() for _ in range(8)]
                transports = []
                for one, _ in others:
                    transports.append(
                        (await loop.create_connection(asyncio.Protocol, sock=one))[0])
                for each in transports:
                    each.abort()
                for _, other in others:
                    other.close()
                await asyncio.sleep(0.01)
                assert heard == [b"%d" % round], heard
            for copy in copies:
                copy.close()
            low_transport.abort()
            low_peer.close()
            await asyncio.sleep(0)

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    )
    if status == 77:
        pytest.skip("3,000 descriptors are not allowed here")
    assert (status, out, err) == (0, "", "")


@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer's allocator maps large blocks one by one",
)
@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc's allocator")
def test_a_readers_buffer_is_not_mapped_anew_with_every_message() -> None:
    """Each page of it that the kernel has to make costs more than receiving what goes there."""
    # In a process that imports little: one that has freed a large block has no such trouble.
    code = """
        import asyncio, resource, camshaft

        SIZE, MESSAGES = 100_000, 300

        async def main():
            async def echo(reader, writer):
                while data := await reader.read(1 << 20):
                    writer.write(data)
                writer.close()
                ended.set()

            ended = asyncio.Event()
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for number in range(MESSAGES):
                if number == MESSAGES // 3:
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                writer.write(bytes(SIZE))
                await reader.readexactly(SIZE)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
            writer.close()
            await ended.wait()
            server.close()

        camshaft.run(main())
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 200 * 5
