# SPDX-License-Identifier: MIT
"""Out of descriptors: a listener neither spins nor floods the log, and goes on at once after."""

import asyncio
import errno
import os
import resource
import socket
import subprocess
import sys

from tests.loop.support import Echo, Recorder, ours_only, receive_exactly, run, run_script, until


class Shortage:
    """Nobody in this process gets a new descriptor while it lasts."""

    def __enter__(self):
        # The lowest free number, and every one above it, is out of reach until it is put back.
        probe = os.open("/dev/null", os.O_RDONLY)
        os.close(probe)
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe, self.limits[1]))
        return self

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)


def connecting(server):
    """A socket whose connection waits in the kernel until the server accepts it."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        sock.connect(server.sockets[0].getsockname())
    except BlockingIOError:
        pass
    return sock


@ours_only
def test_the_listener_rests_for_short_and_growing_times_and_reports_once(loop, reports):
    rests = []
    call_later = loop.call_later

    def noting(delay, callback, *args):
        if getattr(callback, "__name__", "") == "_retry":
            rests.append(delay)
            delay = 0  # no need to wait here
        return call_later(delay, callback, *args)

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        peer = connecting(server)
        loop.call_later = noting
        with Shortage():
            await until(lambda: len(rests) >= 8)
        del loop.call_later
        await loop.sock_sendall(peer, b"served after all")
        assert await receive_exactly(peer, 16) == b"served after all"
        peer.close()
        server.close()

    run(loop, main())
    assert rests[:4] == [0.01, 0.02, 0.04, 0.08] and max(rests) == 0.08
    (report,) = reports
    assert report["message"] == "socket.accept() out of system resource"
    assert report["exception"].errno == errno.EMFILE
    assert report["socket"].type is socket.SOCK_STREAM
    reports.clear()


@ours_only
def test_a_connection_that_ends_makes_room_for_the_next_at_once(loop, reports):
    """No timer is needed: those of the listener are never run here."""
    call_later = loop.call_later

    def never(delay, callback, *args):
        if getattr(callback, "__name__", "") == "_retry":
            delay = 3600
        return call_later(delay, callback, *args)

    async def main():
        served = []

        def factory():
            served.append(Recorder())
            return served[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        first = connecting(server)
        await until(lambda: served)
        peers = [connecting(server) for _ in range(3)]
        with Shortage():
            loop.call_later = never
            await until(lambda: reports)
            for count in range(1, 4):
                assert len(served) == count
                served[-1].transport.close()
                await until(lambda: len(served) > count)  # noqa: B023
        del loop.call_later
        for sock in (first, *peers):
            sock.close()
        await asyncio.gather(*(protocol.lost for protocol in served))
        server.close()

    run(loop, main())
    assert len(reports) == 1
    reports.clear()


@ours_only
def test_a_handler_may_stop_the_server_that_reports(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        told = []

        def handler(_, context):
            told.append(context)
            server.close()

        loop.set_exception_handler(handler)
        peer = connecting(server)
        with Shortage():
            await until(lambda: told)
            await asyncio.sleep(0.03)
        peer.close()
        assert len(told) == 1

    run(loop, main())


def hold_connections(port, count):
    """A process that opens connections, says so, and drops them when its input ends."""
    code = (
        "import resource, socket, sys\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        f"held = [socket.create_connection(('127.0.0.1', {port})) for _ in range({count})]\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@ours_only
def test_64_descriptors_and_100_clients():
    """Three seconds of shortage: next to no CPU, few lines; then everybody is served."""
    status, out, err = run_script(
        """
        import asyncio, logging, resource, subprocess, sys, time
        from tests.loop.support import Echo
        from tests.loop.test_exhaustion import hold_connections

        class Lines(logging.Handler):
            count = 0
            def emit(self, record):
                self.count += self.format(record).count("\\n") + 1

        async def main():
            lines = Lines()
            logging.getLogger().addHandler(lines)
            loop = asyncio.get_running_loop()
            served = []

            class Counted(Echo):
                def connection_made(self, transport):
                    super().connection_made(transport)
                    served.append(self)

            server = await loop.create_server(Counted, "127.0.0.1", 0, backlog=256)
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            clients = hold_connections(server.sockets[0].getsockname()[1], 100)
            await asyncio.sleep(0.5)
            while not lines.count:
                await asyncio.sleep(0.01)
            assert len(served) < 64
            before = resource.getrusage(resource.RUSAGE_SELF)
            await asyncio.sleep(3)
            after = resource.getrusage(resource.RUSAGE_SELF)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{used:.4f} s of CPU, {lines.count} lines", file=sys.stderr)
            print(used <= 0.05, lines.count <= 10)
            clients.stdin.close()  # all go: the rest is accepted as room comes
            while len(served) < 100:
                await asyncio.sleep(0.001)
            await asyncio.gather(*(protocol.lost for protocol in served))
            print(clients.wait(), len(served))
            server.close()

        loop = new_loop()
        loop.run_until_complete(asyncio.wait_for(main(), 40))
        loop.close()
        """
    )
    assert (status, out) == (0, "True True\n0 100\n"), err
