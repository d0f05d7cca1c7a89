# SPDX-License-Identifier: MIT
"""What sock_recv and its family return, whom they ask, and how a wait ends."""

import asyncio
import fcntl
import gc
import os
import select
import socket
import subprocess
import sys
import threading
import warnings
import weakref

import pytest

from tests.loop.support import (
    new_loop,
    not_in_debug_mode,
    open_stream,
    ours_only,
    receive_exactly,
    run,
    run_turns,
)


@pytest.fixture
def pair():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


async def waiting(coroutine):
    """A task that is past its first attempt."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def end(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ---- as coroutines ----


def test_calls_are_coroutines_to_asyncio(loop, pair):
    ours, peer = pair
    call = loop.sock_recv(ours, 10)
    assert asyncio.iscoroutine(call)
    assert not asyncio.isfuture(call)
    assert call.__name__ == "sock_recv"
    call.close()

    async def main():
        peer.send(b"12345")
        assert await loop.create_task(loop.sock_recv(ours, 1)) == b"1"
        assert await asyncio.wait_for(loop.sock_recv(ours, 1), 10) == b"2"
        assert await asyncio.gather(loop.sock_recv(ours, 1), loop.sock_recv(ours, 1)) == [
            b"3",
            b"4",
        ]

    run(loop, main())
    assert loop.run_until_complete(loop.sock_recv(ours, 1)) == b"5"


def test_nothing_happens_before_the_first_step(loop, pair):
    ours, peer = pair
    peer.send(b"x")
    gc.collect()  # what earlier tests have left warns of itself
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.sock_recv(ours, 10)
        gc.collect()
    assert [(w.category, "sock_recv' was never awaited" in str(w.message)) for w in caught] == [
        (RuntimeWarning, True)
    ]
    assert ours.recv(10) == b"x"
    wrong = loop.sock_recv("no socket", 10)
    with pytest.raises(AttributeError):
        run(loop, wrong)


def test_a_call_that_is_done_cannot_be_awaited_again(loop, pair):
    ours, peer = pair

    async def main():
        peer.send(b"x")
        call = loop.sock_recv(ours, 10)
        assert await call == b"x"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            await call

    run(loop, main())


def test_send_throw_and_close_by_hand(loop, pair):
    ours, peer = pair
    call = loop.sock_recv(ours, 10)
    with pytest.raises(TypeError, match="non-None value"):
        call.send(1)
    call.close()
    call = loop.sock_recv(ours, 10)
    with pytest.raises(KeyError):
        call.throw(KeyError("thrown"))
    with pytest.raises(RuntimeError):
        call.send(None)

    async def main():
        call = loop.sock_recv(ours, 10)
        future = call.send(None)
        assert future._asyncio_future_blocking is True
        assert not future.done()
        call.close()
        assert loop.remove_reader(ours) is False  # nothing watches it any more
        call = loop.sock_recv(ours, 10)
        call.send(None)
        peer.send(b"now")
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        assert stop.value.value == b"now"

    run(loop, main())


def test_what_is_yielded_is_a_future(loop, pair):
    ours, peer = pair
    called = []

    async def main():
        call = loop.sock_recv(ours, 10)
        future = call.send(None)
        assert future.get_loop() is loop
        with pytest.raises(asyncio.InvalidStateError):
            future.result()
        future.add_done_callback(called.append)
        future.add_done_callback(called.append)
        future.add_done_callback(len)
        assert future.remove_done_callback(len) == 1
        peer.send(b"x")
        while not future.done():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert called == [future, future]
        assert future.result() is None
        assert future.cancel() is False
        with pytest.raises(StopIteration):
            call.send(None)
        call = loop.sock_recv(ours, 10)
        future = call.send(None)
        assert future.cancel("why") is True
        assert future.cancelled()
        with pytest.raises(asyncio.CancelledError, match="why"):
            future.result()
        call.close()

    run(loop, main())


@pytest.mark.parametrize("arguments", [(), (1, 2, 3, 4)])
def test_the_number_of_arguments(loop, arguments):
    for name in ("sock_recv", "sock_sendall", "sock_accept", "sock_recvfrom_into", "sock_sendto"):
        with pytest.raises(TypeError, match=name):
            getattr(loop, name)(*arguments)
    with pytest.raises(TypeError, match="sock_recv"):
        loop.sock_recv(nonsense=1)


def test_arguments_by_name(loop, pair):
    ours, peer = pair
    peer.send(b"abc")
    assert run(loop, loop.sock_recv(sock=ours, n=1)) == b"a"
    buffer = bytearray(2)
    assert run(loop, loop.sock_recv_into(ours, buf=buffer)) == 2
    run(loop, loop.sock_sendall(sock=ours, data=b"x"))
    assert peer.recv(10) == b"x"


def wrong_calls(loop, sock):
    yield loop.sock_recv(sock, -1)
    yield loop.sock_recv(sock, "1")
    yield loop.sock_recv(sock, 1.5)
    yield loop.sock_recv(sock, 1 << 80)
    yield loop.sock_recv_into(sock, b"constant")
    yield loop.sock_recv_into(sock, 5)
    yield loop.sock_recv_into(sock, memoryview(bytearray(8))[::2])
    yield loop.sock_recvfrom(sock, -1)
    yield loop.sock_recvfrom(sock, None)
    yield loop.sock_recvfrom_into(sock, bytearray(2), 3)
    yield loop.sock_recvfrom_into(sock, bytearray(2), -3)
    yield loop.sock_recvfrom_into(sock, b"constant")
    yield loop.sock_recvfrom_into(sock, 7)
    yield loop.sock_sendall(sock, "text")
    yield loop.sock_sendall(sock, None)
    yield loop.sock_sendto(sock, "text", ("127.0.0.1", 1))
    yield loop.sock_sendto(sock, b"", "no pair")
    yield loop.sock_sendto(sock, b"", ("127.0.0.1", "no port"))
    yield loop.sock_connect(sock, None)
    yield loop.sock_accept(sock)
    yield loop.sock_recv(None, 1)
    yield loop.sock_accept(None)


def outcome(loop, call):
    try:
        return run(loop, call)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("closed", [False, True])
def test_what_is_wrong_is_refused_as_by_asyncio(loop, closed):
    theirs = asyncio.SelectorEventLoop()
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            if closed:
                sock.close()
            for ours, expected in zip(
                wrong_calls(loop, sock), wrong_calls(theirs, sock), strict=True
            ):
                assert outcome(loop, ours) == outcome(theirs, expected)
    finally:
        theirs.close()


def test_tls_sockets_are_refused(loop, client_tls):
    with socket.socket() as plain, client_tls.wrap_socket(plain, server_hostname="x") as sock:
        for call in (
            loop.sock_recv(sock, 1),
            loop.sock_sendall(sock, b""),
            loop.sock_accept(sock),
            loop.sock_connect(sock, ("127.0.0.1", 1)),
        ):
            with pytest.raises(TypeError, match="SSLSocket"):
                run(loop, call)


@not_in_debug_mode("blocking sockets are refused")
@ours_only
def test_a_blocking_socket_does_not_block_the_loop(loop):
    ours, peer = socket.socketpair()
    with ours, peer:

        async def main():
            receiving = await waiting(loop.sock_recv(ours, 10))
            peer.send(b"x")
            assert await receiving == b"x"
            sending = await waiting(loop.sock_sendall(ours, bytes(1 << 22)))
            peer.setblocking(False)
            await receive_exactly(peer, 1 << 22)
            await sending

        run(loop, main())


# ---- whom they ask ----


class Counting(socket.socket):
    """Counts what is asked of it; refuses the first time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked = []

    def _ask(self, name):
        self.asked.append(name)
        if self.asked.count(name) == 1:
            raise InterruptedError if name == "recv" else BlockingIOError

    def recv(self, *args):
        self._ask("recv")
        return super().recv(*args)

    def recv_into(self, *args):
        self._ask("recv_into")
        return super().recv_into(*args)

    def send(self, data, *args):
        self._ask("send")
        return super().send(data[:100_000], *args)


def test_methods_of_a_subclass_are_called(loop):
    async def main():
        ours, peer = socket.socketpair()
        with Counting(fileno=ours.detach()) as ours, peer:
            ours.setblocking(False)
            peer.setblocking(False)
            peer.send(b"abcd")
            assert await loop.sock_recv(ours, 2) == b"ab"
            buffer = bytearray(2)
            assert await loop.sock_recv_into(ours, buffer) == 2
            data = memoryview(bytes(400_000)).cast("i")
            sending = asyncio.create_task(loop.sock_sendall(ours, data.cast("B")))
            assert len(await receive_exactly(peer, 400_000)) == 400_000
            await sending
            assert ours.asked[:4] == ["recv", "recv", "recv_into", "recv_into"]
            assert ours.asked.count("send") >= 5

    run(loop, main())


@ours_only
def test_items_larger_than_a_byte_are_sent_whole(loop, pair):
    """asyncio takes the number of items for the number of bytes."""
    ours, peer = pair
    run(loop, loop.sock_sendall(ours, memoryview(b"12345678").cast("i")))
    assert peer.recv(100) == b"12345678"


def test_addresses_are_those_of_the_socket_module(loop):
    async def main():
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with (
                socket.socket(family, socket.SOCK_DGRAM) as ours,
                socket.socket(family, socket.SOCK_DGRAM) as peer,
            ):
                ours.setblocking(False)
                ours.bind((host, 0))
                peer.bind((host, 0))
                peer.sendto(b"a", ours.getsockname())
                peer.sendto(b"b", ours.getsockname())
                expected = ours.recvfrom(10)[1]
                assert await loop.sock_recvfrom(ours, 10) == (b"b", expected)
                assert expected == peer.getsockname()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer,
        ):
            ours.setblocking(False)
            ours.bind(f"\0camshaft-test-{os.getpid()}")
            peer.sendto(b"a", ours.getsockname())
            assert await loop.sock_recvfrom(ours, 10) == (b"a", None)
            peer.bind(f"\0camshaft-peer-{os.getpid()}")
            peer.sendto(b"b", ours.getsockname())
            buffer = bytearray(5)
            assert await loop.sock_recvfrom_into(ours, buffer, 3) == (1, peer.getsockname())

    run(loop, main())


def test_receiving_nothing_asks_for_nothing(loop):
    """As socket.recv(0) and recv_into() without room: no wait, and no datagram is lost."""

    async def main():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            ours, peer = socket.socketpair(type=kind)
            with ours, peer:
                ours.setblocking(False)
                assert await loop.sock_recv(ours, 0) == b""
                assert await loop.sock_recv_into(ours, bytearray()) == 0
                peer.send(b"x")
                assert await loop.sock_recv(ours, 0) == b""
                assert await loop.sock_recv_into(ours, bytearray()) == 0
                assert await loop.sock_recv(ours, 10) == b"x"

    run(loop, main())


@pytest.mark.parametrize("size", [1, 4000, 100_000, 300_000])
def test_sizes_of_pieces(loop, pair, size):
    ours, peer = pair
    data = os.urandom(size)

    async def main():
        for limit in (1 << 18, 1 << 19):
            sending = asyncio.create_task(loop.sock_sendall(peer, data))
            received = b""
            while len(received) < size:
                received += await loop.sock_recv(ours, limit)
            assert received == data
            await sending

    run(loop, main())


# ---- how a wait ends ----


def test_a_later_waiter_takes_the_place_of_the_earlier(loop, pair):
    ours, peer = pair

    async def main():
        first = await waiting(loop.sock_recv(ours, 10))
        second = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        assert await second == b"x"
        peer.send(b"y")
        await asyncio.sleep(0.002)
        assert not first.done()
        await end(first)
        assert await loop.sock_recv(ours, 10) == b"y"

    run(loop, main())


def test_ending_a_displaced_wait_leaves_the_other_alone(loop, pair):
    ours, peer = pair

    async def main():
        first = await waiting(loop.sock_recv(ours, 10))
        second = await waiting(loop.sock_recv(ours, 10))
        await end(first)
        peer.send(b"x")
        assert await second == b"x"

    run(loop, main())


def test_add_reader_and_a_wait(loop, pair):
    ours, peer = pair
    seen = []

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        loop.add_reader(ours, lambda: seen.append(ours.recv(10)))
        peer.send(b"x")
        await asyncio.sleep(0.002)
        assert seen == [b"x"]
        assert not receiving.done()
        await end(receiving)
        assert loop.remove_reader(ours) is True
        # And the other way round.
        loop.add_reader(ours, seen.append, "never")
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"y")
        assert await receiving == b"y"
        assert loop.remove_reader(ours) is False
        # remove_reader() takes a wait away.
        receiving = await waiting(loop.sock_recv(ours, 10))
        assert loop.remove_reader(ours) is True
        peer.send(b"z")
        await asyncio.sleep(0.002)
        assert not receiving.done()
        await end(receiving)
        assert await loop.sock_recv(ours, 10) == b"z"

    run(loop, main())


def test_a_writer_is_called_every_turn_beside_a_wait(loop, pair):
    ours, peer = pair
    calls = []

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        loop.add_writer(ours, calls.append, 1)
        while len(calls) < 5:
            await asyncio.sleep(0)
        peer.send(b"x")
        assert await receiving == b"x"
        count = len(calls)
        while len(calls) < count + 5:
            await asyncio.sleep(0)
        receiving = await waiting(loop.sock_recv(ours, 10))
        assert loop.remove_writer(ours) is True
        peer.send(b"y")
        assert await receiving == b"y"

    run(loop, main())


def test_a_transport_may_take_over_a_socket_that_was_waited_on(loop, pair):
    ours, peer = pair

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        assert await receiving == b"x"
        reader, writer = await asyncio.open_connection(sock=ours)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(ours, 10)
        writer.write(b"out")
        peer.send(b"in")
        assert await reader.readexactly(2) == b"in"
        assert await loop.sock_recv(peer, 10) == b"out"
        writer.close()
        await writer.wait_closed()

    run(loop, main())


def test_an_exception_in_the_task_is_its_own(loop, pair):
    ours, peer = pair

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.close()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert await receiving == b""
        sending = loop.sock_sendall(ours, b"x")
        with pytest.raises(BrokenPipeError):
            await sending

    run(loop, main())


def test_interrupts_leave_the_loop(loop, pair):
    ours, peer = pair

    async def main():
        await loop.sock_recv(ours, 10)
        raise KeyboardInterrupt

    task = loop.create_task(main())
    run_turns(loop, 2)
    peer.send(b"x")
    with pytest.raises(KeyboardInterrupt):
        run_turns(loop, 3)
    with pytest.raises(KeyboardInterrupt):
        task.result()


def test_a_closed_loop(pair):
    ours, _ = pair
    loop = new_loop()
    waits = loop.create_task(loop.sock_recv(ours, 10))
    run_turns(loop, 2)
    loop.close()
    assert not waits.done()
    call = loop.sock_recv(ours, 10)
    with pytest.raises(RuntimeError, match="closed"):
        call.send(None)
    waits._log_destroy_pending = False


def test_a_wait_begun_by_another_thread(loop, pair):
    ours, peer = pair

    async def main():
        loop2 = loop
        started = threading.Event()

        def elsewhere():
            future = asyncio.run_coroutine_threadsafe(loop2.sock_recv(ours, 10), loop2)
            started.set()
            results.append(future.result(30))

        results = []
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while not started.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        peer.send(b"x")
        await asyncio.to_thread(thread.join)
        assert results == [b"x"]

    run(loop, main())


@pytest.mark.parametrize("debug", [False, True])
def test_the_task_goes_on_in_its_context(loop, pair, debug):
    import contextvars

    ours, peer = pair
    variable = contextvars.ContextVar("variable", default=0)
    loop.set_debug(debug)

    async def receive():
        variable.set(7)
        await loop.sock_recv(ours, 10)
        return variable.get()

    async def main():
        receiving = await waiting(receive())
        peer.send(b"x")
        assert await receiving == 7
        assert variable.get() == 0

    run(loop, main())
    loop.set_debug(False)


# ---- descriptors that come and go ----


@ours_only
def test_a_number_used_again_waits_on_the_new_file(loop):
    """The old socket was registered when it was closed; its registration is worth nothing."""

    async def main():
        seen = set()
        for index in range(50):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            seen.add(ours.fileno())
            receiving = await waiting(loop.sock_recv(ours, 10))
            message = b"message %d" % index
            peer.send(message)
            assert await receiving == message
            ours.close()
            peer.close()
            del ours, peer  # so that the next one may even be the same object in memory
        assert len(seen) < 50

    run(loop, main())


def test_closed_while_waiting_then_used_again(loop):
    async def main():
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        number = ours.fileno()
        old = await waiting(loop.sock_recv(ours, 10))
        ours.close()
        fresh, other = socket.socketpair()
        fresh.setblocking(False)
        with fresh, other, peer:
            assert fresh.fileno() == number
            receiving = await waiting(loop.sock_recv(fresh, 10))
            await end(old)
            other.send(b"mine")
            assert await receiving == b"mine"

    run(loop, main())


def pollers():
    """The epoll descriptors of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                found.add(int(name))
        except OSError:
            pass  # the directory's own, closed by now
    return found


def idles(loop):
    """Whether the poller, after some turns, has nothing more to say: it would be asked again at
    once for ever."""
    (poller,) = pollers()
    loop.run_until_complete(asyncio.sleep(0.01))
    run_turns(loop, 3)
    return select.select([poller], [], [], 0)[0] == []


@ours_only
@pytest.mark.parametrize("how", ["dup", "child"])
def test_a_connection_that_lives_on_elsewhere_does_not_spin(loop, how):
    """Its descriptor is closed here, its registration is not: the kernel has only one of it."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        assert await receiving == b"x"

    run(loop, main())
    if how == "dup":
        copy = ours.dup()
        ours.close()
        peer.send(b"for the copy")
        idle = idles(loop)
        copy.close()
    else:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[ours.fileno()]
        )
        ours.close()
        peer.send(b"for the child")
        idle = idles(loop)
        child.communicate(b"\n")
    peer.close()
    assert idle


@ours_only
def test_data_that_nobody_waits_for_does_not_spin(loop, pair):
    ours, peer = pair

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        await receiving

    run(loop, main())
    peer.send(b"more")
    assert idles(loop)
    assert run(loop, loop.sock_recv(ours, 10)) == b"more"


@pytest.mark.parametrize("busy", [False, pytest.param(True, marks=ours_only)])
def test_another_file_put_under_the_same_socket(loop, pair, busy):
    """dup2() over the descriptor of a socket object: the wait is for what is there now, also on a
    loop that never rests."""
    ours, peer = pair

    def spin():
        loop.call_soon(spin)

    async def main():
        if busy:
            spin()
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        await receiving
        fresh, other = socket.socketpair()
        with fresh, other:
            os.dup2(fresh.fileno(), ours.fileno())
            receiving = await waiting(loop.sock_recv(ours, 10))
            other.send(b"y")
            assert await receiving == b"y"

    run(loop, main())


def test_a_socket_object_made_anew(loop, pair):
    ours, peer = pair

    async def main():
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        await receiving
        number = ours.fileno()
        ours.close()
        fresh, other = socket.socketpair()
        assert fresh.fileno() == number
        ours.__init__(fileno=fresh.detach())
        ours.setblocking(False)
        with other:
            receiving = await waiting(loop.sock_recv(ours, 10))
            other.send(b"y")
            assert await receiving == b"y"

    run(loop, main())


@ours_only
def test_a_socket_is_not_kept_alive_by_a_finished_call(loop):
    import weakref

    ours, peer = socket.socketpair()
    ours.setblocking(False)

    async def main(ours):
        receiving = await waiting(loop.sock_recv(ours, 10))
        peer.send(b"x")
        await receiving

    run(loop, main(ours))
    reference = weakref.ref(ours)
    os.close(ours.detach())  # it would warn of being dropped open
    del ours
    gc.collect()
    assert reference() is None
    peer.close()


@ours_only
@pytest.mark.parametrize("threshold", range(1, 8))
def test_the_garbage_collector_may_watch_descriptors_while_a_wait_begins(loop, pair, threshold):
    """On 3.11 allocations run it. The table by descriptor moves; the sanitizers see it if a step
    goes on in the old one."""
    ours, peer = pair
    numbers = [fcntl.fcntl(peer, fcntl.F_DUPFD, least) for least in (100, 200, 400, 800)]

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            for number in numbers:
                loop.add_reader(number, id, number)

    async def main():
        call = loop.sock_recv(ours, 10)
        thresholds = gc.get_threshold()
        gc.collect()
        Garbage()
        gc.set_threshold(threshold)
        try:
            future = call.send(None)
        finally:
            gc.set_threshold(*thresholds)
        future.add_done_callback(lambda _: done.set())
        done = asyncio.Event()
        peer.send(b"x")
        await done.wait()
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        assert stop.value.value == b"x"
        gc.collect()

    run(loop, main())
    for number in numbers:
        loop.remove_reader(number)
        os.close(number)


@ours_only
def test_a_wait_with_several_callbacks_can_be_collected(pair):
    ours, _ = pair

    class Waiter:
        def called(self, future):
            pass

    def abandon():
        loop = new_loop()
        future = loop.sock_recv(ours, 10).send(None)
        waiters = [Waiter() for _ in range(3)]
        for waiter in waiters:
            waiter.loop = loop
            future.add_done_callback(waiter.called)
        return [weakref.ref(waiter) for waiter in waiters]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        waiters = abandon()
        gc.collect()
    assert [waiter() for waiter in waiters] == [None] * 3


def test_both_directions_of_one_socket(loop, pair):
    ours, peer = pair
    data = bytes(1 << 20)

    async def main():
        for _ in range(3):
            receiving = await waiting(loop.sock_recv(ours, 10))
            sending = await waiting(loop.sock_sendall(ours, data))
            assert len(await receive_exactly(peer, len(data))) == len(data)
            await sending
            assert not receiving.done()
            peer.send(b"x")
            assert await receiving == b"x"

    run(loop, main())


def test_a_stream_beside_a_raw_peer(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        for index in range(10):
            receiving = await waiting(loop.sock_recv(peer, 10))
            transport.write(b"%d" % index)
            assert await receiving == b"%d" % index
        transport.abort()
        await protocol.lost
        peer.close()

    run(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__release_buffer__ came with Python 3.12")
def test_data_that_closes_the_call_when_it_is_released(loop, pair):
    released = []

    class Data:
        def __buffer__(self, flags):
            return memoryview(bytes(10_000_000))

        def __release_buffer__(self, view):
            released.append(len(view))
            call.close()
            view.release()

    call = loop.sock_sendall(pair[0], Data())
    call.send(None)
    call.close()
    assert released == [10_000_000]
