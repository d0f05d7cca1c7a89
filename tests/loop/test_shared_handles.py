# SPDX-License-Identifier: MIT
"""Handles of call_soon_threadsafe(): other threads wait for a run that is under way (3.14)."""

import asyncio
import sys
import threading

import pytest

from .support import LIMIT

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="asyncio's handles wait from Python 3.14 on"
)


def ask_during_the_run(loop, ask, threads=1):
    """What `ask` gives to threads that call it while the handle is run, and if the run was over."""
    entered = threading.Event()
    asked = threading.Semaphore(0)
    finished = threading.Event()
    answers = []

    def callback():
        entered.set()
        for _ in range(threads):
            assert asked.acquire(timeout=LIMIT)
        finished.set()

    def asker():
        assert entered.wait(LIMIT)
        asked.release()
        answer = ask(handle)
        answers.append((answer, finished.is_set()))
        loop.call_soon_threadsafe(count_down)

    left = threads

    def count_down():
        nonlocal left
        left -= 1
        if left == 0:
            loop.stop()

    handle = loop.call_soon_threadsafe(callback)
    helpers = [threading.Thread(target=asker) for _ in range(threads)]
    for helper in helpers:
        helper.start()
    loop.run_forever()
    for helper in helpers:
        helper.join(LIMIT)
        assert not helper.is_alive()
    return answers


def test_cancelled_waits(loop):
    assert ask_during_the_run(loop, lambda handle: handle.cancelled()) == [(False, True)]


def test_cancel_waits(loop):
    assert ask_during_the_run(loop, lambda handle: handle.cancel()) == [(None, True)]


def test_several_threads_wait(loop):
    answers = ask_during_the_run(loop, lambda handle: handle.cancelled(), threads=5)
    assert answers == [(False, True)] * 5


def test_callback_may_cancel_itself(loop):
    handles = []

    def callback():
        handles[0].cancel()
        assert handles[0].cancelled()
        loop.stop()

    handles.append(loop.call_soon_threadsafe(callback))
    loop.run_forever()
    assert handles[0].cancelled()


def test_kind(loop):
    assert isinstance(loop.call_soon_threadsafe(print), asyncio.events._ThreadSafeHandle)
    assert not isinstance(loop.call_soon(print), asyncio.events._ThreadSafeHandle)
