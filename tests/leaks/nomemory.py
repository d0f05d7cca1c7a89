# SPDX-License-Identifier: MIT
"""Out of memory at every allocation in turn: ``python -m tests.leaks.nomemory [--brief] [WORD]…``.

Scenarios of the loop, and of FastAPI's plans, run with the n-th allocation failing, for n = 0, 1,
2 ... until a long row of n has changed nothing: the scenario makes fewer allocations than that.
Whatever fails, nothing may crash, the loop must run on and close, and no descriptor may stay open.
An exception, a report to the loop's handler, or no notice at all are equally right. Each scenario
has a process of its own, as it might crash.

References are not counted here: CPython itself loses some when the first of its allocations in a
frame fails, and a debug build of 3.11 aborts in its own assertions. Under the sanitizers (step
sanitizers) it sees what is used after it was freed. Needs _testcapi. Exit status 1 when something
is wrong, 2 when this interpreter cannot.
"""

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

from tests import interrupts

try:
    import _testcapi
except ImportError:
    _testcapi = None

QUIET = 150
"""So many allocations in a row whose failure changed nothing are taken for the end."""

SCENARIOS = {}


def scenario(function):
    """Enter a function(loop) into the table."""
    SCENARIOS[function.__name__] = function
    return function


def turns(loop, count=1):
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def print_nothing(*arguments):
    pass


@scenario
def scheduling(loop):
    yield
    for count in range(6):
        loop.call_soon(print_nothing, *range(count))
    for _ in range(70):  # the queue grows
        loop.call_soon(int)
    handle = loop.call_soon(int)
    handle.cancel()
    repr(handle)
    loop.call_soon_threadsafe(int)
    turns(loop)


@scenario
def timers(loop):
    yield
    handles = [loop.call_later(3600 + i, int) for i in range(130)]
    for handle in handles[:120]:
        handle.cancel()
    loop.call_later(0, int)
    loop.call_at(0, int)
    turns(loop, 2)
    repr(handles[-1])


@scenario
def failing_callbacks(loop):
    yield

    def fail():
        raise ValueError

    loop.call_soon(fail)
    loop.call_later(0, fail)
    turns(loop, 2)


@scenario
def debug_mode(loop):
    yield
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    loop.call_soon(int)
    loop.call_later(0, int).cancel()
    turns(loop)


@scenario
def watchers(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        yield
        loop.add_reader(ours, ours.recv, 10)
        loop.add_writer(ours, int)
        peer.send(b"x")
        turns(loop)
        loop.remove_writer(ours)
        loop.remove_reader(ours)


@scenario
def tasks(loop):
    yield

    async def child():
        await asyncio.sleep(0)

    async def main():
        await loop.create_task(child(), name="named")
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    loop.run_until_complete(main())


class Talking(asyncio.Protocol):
    """Writes in every way there is, and lets itself be paused."""

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(1000)
        transport.get_extra_info("peername")

    def data_received(self, data):
        self.transport.write(bytes(data))
        self.transport.write(bytearray(data) * 300)
        self.transport.writelines([data, memoryview(data)])


@contextlib.contextmanager
def closing(transport):
    try:
        yield transport
    finally:
        transport.abort()


@scenario
def streams(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.setblocking(False)
        yield
        transport, _ = loop.run_until_complete(loop.create_connection(Talking, sock=ours))
        with closing(transport):
            peer.send(b"hello" * 100)
            turns(loop, 3)
            transport.write(bytes(300_000))
            for _ in range(4):
                with contextlib.suppress(BlockingIOError):
                    peer.recv(1 << 20)
                turns(loop)
            transport.pause_reading()
            transport.resume_reading()
            transport.get_extra_info("socket")
            repr(transport)
            peer.shutdown(socket.SHUT_WR)
            turns(loop, 3)
        turns(loop, 2)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self):
        self.buffer = bytearray(1000)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        pass


@scenario
def buffered_streams(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        yield
        transport, _ = loop.run_until_complete(loop.create_connection(Buffered, sock=ours))
        with closing(transport):
            peer.send(b"hello")
            turns(loop, 2)
        turns(loop, 2)


@scenario
def accepting(loop):
    server = loop.run_until_complete(loop.create_server(Talking, "127.0.0.1", 0))
    peer = socket.create_connection(server.sockets[0].getsockname())
    with closing_later(loop, server), peer:
        yield
        turns(loop, 2)
        peer.send(b"hello")
        turns(loop, 3)
        peer.close()
        turns(loop, 3)


@contextlib.contextmanager
def closing_later(loop, server):
    try:
        yield
    finally:
        server.close()
        turns(loop, 2)


@scenario
def reading_streams(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)

        async def main():
            reader, writer = await asyncio.open_connection(sock=ours)
            with closing(writer.transport):
                writer.write(b"ping")
                peer.send(b"line\nmore")
                await reader.readline()
                await reader.read(100)

        yield
        loop.run_until_complete(main())
        turns(loop, 2)


@scenario
def raw_sockets(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)

        async def main():
            loop.call_soon(peer.send, b"hello")
            await loop.sock_recv(ours, 100)
            await loop.sock_sendall(ours, bytes(1000))
            room = bytearray(10)
            loop.call_soon(peer.send, b"hello")
            await loop.sock_recv_into(ours, room)

        yield
        loop.run_until_complete(main())


class Datagrams(asyncio.DatagramProtocol):
    pass


@scenario
def datagrams(loop):
    yield
    receiving, _ = loop.run_until_complete(
        loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    )
    try:
        name = receiving.get_extra_info("sockname")
        sending, _ = loop.run_until_complete(
            loop.create_datagram_endpoint(Datagrams, remote_addr=name)
        )
        try:
            sending.sendto(b"one")
            receiving.sendto(b"two", name)
            turns(loop, 3)
        finally:
            sending.abort()
    finally:
        receiving.abort()
        turns(loop, 2)


@scenario
def pipes(loop):
    reading, writing = os.pipe()
    source, sink = open(reading, "rb", buffering=0), open(writing, "wb", buffering=0)
    with source, sink:
        yield
        one, _ = loop.run_until_complete(loop.connect_read_pipe(asyncio.Protocol, source))
        try:
            two, _ = loop.run_until_complete(loop.connect_write_pipe(asyncio.Protocol, sink))
            try:
                two.write(b"hello")
                turns(loop, 2)
            finally:
                two.abort()
        finally:
            one.close()
            turns(loop, 3)


@scenario
def signals(loop):
    # os.pipe2 itself loses both ends when it finds no memory for its answer; so this one has made
    # them before, and to hand them out takes none (list.pop() would).
    pair, real = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK), os.pipe2
    handed = {"out": False}

    def hand_out(flags):
        handed["out"] = True
        return pair

    os.pipe2 = hand_out
    try:
        yield
        loop.add_signal_handler(signal.SIGUSR1, int)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            turns(loop, 2)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)
    finally:
        os.pipe2 = real
        if not handed["out"]:
            os.close(pair[0])
            os.close(pair[1])


@scenario
def left_open(loop):
    """Everything still there when the loop is closed."""
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        yield
        transport, _ = loop.run_until_complete(loop.create_connection(Talking, sock=ours))
        transport.write(bytes(500_000))
        loop.call_soon(int)
        loop.call_later(3600, int)
        loop.close()


def scenarios():
    """All of them, by name; those of FastAPI are not imported for the others' processes."""
    from tests.leaks import nomemory_fastapi

    return SCENARIOS | nomemory_fastapi.SCENARIOS


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class Trial:
    """One scenario with one allocation failing."""

    def __init__(self, function):
        self.function = function
        self.effects = 0

    def note(self, *_):
        self.effects += 1

    def run(self, n):
        """How often anything was noticed; raises what must not happen."""
        import camshaft

        self.effects = 0
        loop = camshaft.new_event_loop()
        loop.set_exception_handler(self.note)
        # A wake-up that finds no memory is lost, as asyncio's is: who waits for it waits for ever.
        watchdog = loop.call_later(0.1, loop.stop)
        steps = self.function(loop)
        next(steps)  # what it needs, made while there is memory
        _testcapi.set_nomemory(n, n + 1)
        try:
            next(steps, None)
        except Exception:  # whatever a MemoryError becomes on its way
            self.effects += 1
        finally:
            _testcapi.remove_mem_hooks()
        # Its place in asyncio is CPython's to clear, by an allocation that may have failed.
        asyncio._set_running_loop(None)
        watchdog.cancel()
        if not loop.is_closed():
            # It works on.
            done = []
            loop.call_soon(done.append, True)
            turns(loop, 3)
            for task in asyncio.all_tasks(loop):
                task.cancel()
            turns(loop, 3)
            assert done, "the loop does not run any more"
            loop.close()
        del loop
        gc.collect()
        return self.effects


def run_one(name, step):
    trial = Trial(SCENARIOS[name] if name in SCENARIOS else scenarios()[name])
    sys.unraisablehook = trial.note
    for _ in range(3):
        usual = trial.run(1 << 30)
    gc.collect()
    gc.freeze()  # what is imported need not be looked through in each trial
    open_before = descriptors()
    quiet = n = failures = 0
    while quiet < QUIET:
        failures += 1
        quiet = 0 if trial.run(n) != usual else quiet + step
        if descriptors() > open_before:
            raise AssertionError(f"n={n}: {descriptors() - open_before} descriptors left open")
        n += step
    print(f"{name}: {failures} allocations failed in turn", flush=True)
    return 0


def main():
    interrupts.restore()
    arguments = sys.argv[1:]
    if _testcapi is None:
        print(f"{sys.executable} has no _testcapi", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    if "--one" in arguments:
        faulthandler.enable()
        import logging

        logging.disable(logging.CRITICAL)
        return run_one(arguments[1], int(arguments[2]))
    step = 1
    if "--brief" in arguments:
        arguments.remove("--brief")
        step = 11
    names = [n for n in scenarios() if not arguments or any(word in n for word in arguments)]
    bad = []
    begin = time.monotonic()
    for name in names:
        command = [sys.executable, "-m", "tests.leaks.nomemory", "--one", name, str(step)]
        try:
            status = subprocess.run(command, timeout=1800).returncode
        except subprocess.TimeoutExpired:
            status = "no end in 30 minutes"
        if status:
            print(f"{name}: {status}", flush=True)
            bad.append(name)
    print(f"{len(names) - len(bad)} passed, {len(bad)} failed in {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
