# SPDX-License-Identifier: MIT
"""What add_reader() and its kin take for a file, also when it was closed meanwhile."""

import gc
import os
import socket
import weakref

import pytest

from .support import ours_only, run_turns

SIDES = ["reader", "writer"]


def add(loop, side, file, callback=lambda: None):
    return getattr(loop, f"add_{side}")(file, callback)


def remove(loop, side, file):
    return getattr(loop, f"remove_{side}")(file)


@pytest.mark.parametrize("side", SIDES)
def test_closed_socket_is_still_known(loop, side):
    """anyio closes a socket that it waits for and removes it afterwards."""
    left, right = socket.socketpair()
    with right:
        add(loop, side, left)
        left.close()
        assert remove(loop, side, left) is True
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(loop, side, left)


@pytest.mark.parametrize("side", SIDES)
def test_closed_socket_that_was_never_watched(loop, side):
    left, right = socket.socketpair()
    with right:
        left.close()
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(loop, side, left)
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            add(loop, side, left)


@ours_only
def test_both_sides_of_a_closed_socket(loop):
    left, right = socket.socketpair()
    with right:
        loop.add_reader(left, lambda: None)
        loop.add_writer(left, lambda: None)
        left.close()
        assert loop.remove_writer(left) is True
        assert loop.remove_reader(left) is True
        with pytest.raises(ValueError):
            loop.remove_reader(left)


def test_number_of_a_closed_socket_is_free_again(loop):
    """Removing the closed one leaves alone who has its number now."""
    called = []
    left, right = socket.socketpair()
    loop.add_reader(left, called.append, "old")
    number = left.fileno()
    left.close()
    assert loop.remove_reader(left) is True
    other, peer = socket.socketpair()
    with right, other, peer:
        assert number in (other.fileno(), peer.fileno())
        loop.add_reader(other, called.append, "new")
        peer.send(b"x")
        run_turns(loop, 3)
        assert set(called) == {"new"}
        assert loop.remove_reader(other) is True


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("what", ["name", None, 1.5, object()])
def test_no_file(loop, side, what):
    with pytest.raises(ValueError, match="Invalid file object"):
        add(loop, side, what)
    with pytest.raises(ValueError, match="Invalid file object"):
        remove(loop, side, what)


@pytest.mark.parametrize("side", SIDES)
def test_negative_number(loop, side):
    with pytest.raises(ValueError, match="Invalid file descriptor: -3"):
        add(loop, side, -3)
    with pytest.raises(ValueError, match="Invalid file descriptor: -3"):
        remove(loop, side, -3)


def test_fileno_that_raises(loop):
    class File:
        def fileno(self):
            raise OSError("none today")

    with pytest.raises(OSError, match="none today"):
        loop.add_reader(File(), lambda: None)
    with pytest.raises(OSError, match="none today"):
        loop.remove_reader(File())


def test_file_lives_as_long_as_it_is_watched(loop):
    read, write = os.pipe()

    class File:
        def fileno(self):
            return read

    try:
        file = File()
        reference = weakref.ref(file)
        loop.add_reader(file, lambda: None)
        del file
        gc.collect()
        assert reference() is not None
        loop.remove_reader(read)
        gc.collect()
        assert reference() is None
    finally:
        os.close(read)
        os.close(write)
