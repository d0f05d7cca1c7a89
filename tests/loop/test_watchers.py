# SPDX-License-Identifier: MIT
"""add_reader, add_writer and their removal: level-triggered, keyed by descriptor number."""

import asyncio
import contextvars
import os
import socket
import tempfile

import pytest

from tests.loop.support import open_stream, ours_only, run, run_turns


@pytest.fixture
def pair():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


def test_readiness_is_reported_until_it_is_consumed(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
    peer.send(b"abc")
    run_turns(loop, 5)
    assert seen == [b"a", b"b", b"c"]
    assert loop.remove_reader(ours) is True
    assert loop.remove_reader(ours) is False


def test_a_writer_runs_each_turn_while_there_is_room(loop, pair):
    ours, _ = pair
    seen = []
    loop.add_writer(ours, seen.append, 1)
    run_turns(loop, 3)
    assert seen == [1, 1, 1]
    assert loop.remove_writer(ours) is True
    assert loop.remove_writer(ours) is False
    run_turns(loop, 2)
    assert seen == [1, 1, 1]


def test_reader_and_writer_together(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, lambda: (seen.append("read"), ours.recv(10)))
    loop.add_writer(ours, lambda: (seen.append("write"), loop.remove_writer(ours)))
    peer.send(b"x")
    run_turns(loop, 2)
    assert sorted(seen) == ["read", "write"]
    peer.send(b"x")
    run_turns(loop, 2)
    assert sorted(seen) == ["read", "read", "write"]
    loop.remove_reader(ours)


def test_descriptors_may_be_numbers_or_have_fileno(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours.fileno(), seen.append, 1)
    peer.send(b"x")
    run_turns(loop)
    assert seen == [1]
    assert loop.remove_reader(ours) is True


@pytest.mark.parametrize("bad", [-1, "text", None, 1.5])
def test_what_is_no_descriptor(loop, bad):
    with pytest.raises((ValueError, TypeError)):
        loop.add_reader(bad, print)
    with pytest.raises((ValueError, TypeError)):
        loop.add_writer(bad, print)


def test_what_cannot_be_watched_raises(loop):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
    closed = os.open("/dev/null", os.O_RDONLY)
    os.close(closed)
    with pytest.raises(OSError):
        loop.add_reader(closed, print)


@pytest.mark.parametrize("number", [10**8, 2**31 - 1])
def test_a_number_that_is_no_open_descriptor_raises(loop, number):
    with pytest.raises(OSError):
        loop.add_reader(number, print)
    assert loop.remove_reader(number) is False


def test_adding_again_replaces_the_callback(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, seen.append, "old")
    loop.add_reader(ours, seen.append, "new")
    peer.send(b"x")
    run_turns(loop)
    assert seen == ["new"]
    loop.remove_reader(ours)


def test_removed_in_the_turn_it_was_queued_it_does_not_run(loop, pair):
    ours, peer = pair
    seen = []
    peer.send(b"x")

    def first():
        seen.append("first")
        loop.remove_reader(ours)
        loop.remove_writer(ours)

    def only_one():
        seen.append("watcher")
        loop.remove_reader(ours)
        loop.remove_writer(ours)

    loop.add_reader(ours, only_one)
    loop.add_writer(ours, only_one)
    run_turns(loop, 3)
    assert seen == ["watcher"]


def test_removal_inside_the_callback(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, lambda: seen.append(loop.remove_reader(ours)))
    peer.send(b"x")
    run_turns(loop, 3)
    assert seen == [True]


def test_the_end_of_the_peer_wakes_the_reader(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, lambda: (seen.append(ours.recv(1)), loop.remove_reader(ours)))
    peer.close()
    run_turns(loop, 2)
    assert seen == [b""]


def test_a_broken_pipe_wakes_the_writer(loop):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, bytes(65536))
        except BlockingIOError:
            break
    seen = []
    loop.add_writer(writing, lambda: (seen.append("woken"), loop.remove_writer(writing)))
    run_turns(loop, 2)
    assert seen == []
    os.close(reading)
    run_turns(loop, 2)
    assert seen == ["woken"]
    os.close(writing)


def test_an_exception_is_reported_and_the_watcher_stays(loop, pair, reports):
    ours, peer = pair
    seen = []

    def fail():
        seen.append(ours.recv(1))
        raise ValueError("reader")

    loop.add_reader(ours, fail)
    peer.send(b"ab")
    run_turns(loop, 3)
    assert seen == [b"a", b"b"]
    assert [str(report["exception"]) for report in reports] == ["reader", "reader"]
    reports.clear()
    loop.remove_reader(ours)


def test_callbacks_run_in_the_context_they_were_added_in(loop, pair):
    ours, peer = pair
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "added")
    seen = []
    context.run(loop.add_reader, ours, lambda: (seen.append(variable.get()), ours.recv(1)))
    peer.send(b"ab")
    run_turns(loop, 3)
    assert seen == ["added", "added"]
    loop.remove_reader(ours)


def test_watchers_survive_between_runs(loop, pair):
    ours, peer = pair
    seen = []
    loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
    run_turns(loop)
    peer.send(b"x")
    run_turns(loop)
    assert seen == [b"x"]
    loop.remove_reader(ours)


def test_many_descriptors(loop):
    pairs = [socket.socketpair() for _ in range(120)]
    seen = set()
    try:
        for number, (ours, peer) in enumerate(pairs):
            ours.setblocking(False)

            def readable(number=number, ours=ours):
                seen.add(number)
                loop.remove_reader(ours)

            loop.add_reader(ours, readable)
            peer.send(b"x")
        run_turns(loop, 5)
        assert seen == set(range(120))
    finally:
        for ours, peer in pairs:
            loop.remove_reader(ours)
            ours.close()
            peer.close()


def test_a_transports_descriptor_is_refused(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        number = transport.get_extra_info("socket").fileno()
        for call in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="used by transport"):
                call(number, print)
        for call in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="used by transport"):
                call(number)
        transport.close()
        await protocol.lost
        peer.close()

    run(loop, main())


def test_removed_then_closed_then_reused(loop):
    """The number starts afresh: nothing of its former life reaches the new watcher."""
    seen = []
    for life in range(5):
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        loop.add_reader(ours, lambda life=life, ours=ours: seen.append((life, ours.recv(1))))
        peer.send(b"x")
        run_turns(loop)
        loop.remove_reader(ours)
        ours.close()
        peer.close()
    assert seen == [(life, b"x") for life in range(5)]


@ours_only
def test_closed_then_removed_then_reused(loop):
    """As libpq does: it closes its socket, and the driver takes the watchers off afterwards."""
    seen = []
    for life in range(5):
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        number = ours.fileno()
        loop.add_reader(number, seen.append, life)
        loop.add_writer(number, int)
        peer.send(b"x")
        run_turns(loop)
        ours.close()
        assert loop.remove_reader(number) is True
        assert loop.remove_writer(number) is True
        peer.close()
    assert seen == list(range(5))


@ours_only
def test_closed_and_never_removed_then_reused(loop):
    """A registration must not be remembered by number alone (Kludex/zuvloop#74, aiopg#926)."""
    first, peer = socket.socketpair()
    loop.add_reader(first, print)
    number = first.fileno()
    first.close()
    peer.close()
    seen = []
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    if ours.fileno() != number:
        os.dup2(ours.fileno(), number)
    with ours, peer:
        loop.add_reader(number, lambda: seen.append(os.read(number, 1)))
        peer.send(b"x")
        run_turns(loop, 2)
        assert seen == [b"x"]
        loop.remove_reader(number)
    if ours.fileno() != number:
        try:
            os.close(number)
        except OSError:
            pass


def test_readiness_found_before_a_reuse_does_not_reach_the_new_watcher(loop):
    """Two descriptors are ready in one poll; the first's callback replaces the second's file."""
    first, first_peer = socket.socketpair()
    second, second_peer = socket.socketpair()
    seen = []
    number = second.fileno()
    replaced = []

    def replace(which):
        if replaced:
            return
        other = second if which is first else first
        replaced.append(other.fileno())
        loop.remove_reader(other)
        fresh = socket.socketpair()
        os.dup2(fresh[0].fileno(), other.fileno())
        loop.add_reader(other, seen.append, "a watcher with nothing to read")
        kept.extend(fresh)
        loop.remove_reader(which)

    kept = []
    loop.add_reader(first, replace, first)
    loop.add_reader(second, replace, second)
    first_peer.send(b"x")
    second_peer.send(b"x")
    run_turns(loop, 4)
    assert replaced and seen == []
    for sock in (first, second):
        loop.remove_reader(sock)
    for sock in (first, first_peer, second, second_peer, *kept):
        sock.close()
    assert number >= 0


@ours_only
def test_a_transport_on_a_number_that_was_closed_and_never_removed(loop):
    first, peer = socket.socketpair()
    loop.add_reader(first, print)
    number = first.fileno()
    first.close()
    peer.close()
    ours, peer = socket.socketpair()
    if ours.fileno() != number:
        os.dup2(ours.fileno(), number)
        ours.close()
        ours = socket.socket(fileno=number)
    ours.setblocking(False)

    async def main():
        reader, writer = await asyncio.open_connection(sock=ours)
        peer.send(b"x")
        assert await reader.read(10) == b"x"
        writer.close()
        await writer.wait_closed()

    with peer:
        run(loop, main())


def test_callbacks_without_end_do_not_starve_descriptors(loop):
    """Also right after a wait, when one turn goes by without asking the poller."""
    first, first_peer = socket.socketpair()
    second, second_peer = socket.socketpair()
    seen = []
    turns = 0

    def step():
        nonlocal turns
        turns += 1
        if "second" in seen or turns > 100:
            loop.stop()
        else:
            loop.call_soon(step)

    def first_readable():
        loop.remove_reader(first)
        seen.append("first")
        second_peer.send(b"x")
        loop.call_soon(step)

    def second_readable():
        loop.remove_reader(second)
        seen.append("second")

    with first, first_peer, second, second_peer:
        loop.add_reader(first, first_readable)
        loop.add_reader(second, second_readable)
        loop.call_later(0.01, first_peer.send, b"x")
        loop.run_forever()
    assert seen == ["first", "second"]
    assert turns <= 3
