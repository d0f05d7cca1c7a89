# SPDX-License-Identifier: MIT
"""call_soon and the order of a turn (asyncio.BaseEventLoop._run_once)."""

import asyncio
import contextvars
import gc
import socket
import sys

import pytest

from tests.loop.support import new_loop, run_turns


def test_callbacks_run_in_the_order_given(loop):
    seen = []
    for number in range(5000):
        loop.call_soon(seen.append, number)
    run_turns(loop)
    assert seen == list(range(5000))


def test_the_queue_keeps_its_order_while_it_grows_and_wraps(loop):
    seen = []
    expected = []

    def add(depth):
        if depth == 0:
            return
        for number in range(depth * 7):
            expected.append((depth, number))
            loop.call_soon(seen.append, (depth, number))
        loop.call_soon(add, depth - 1)

    add(40)
    run_turns(loop, 42)
    assert seen == expected


@pytest.mark.parametrize("count", range(8))
def test_any_number_of_arguments(loop, count):
    seen = []
    loop.call_soon(lambda *arguments: seen.append(arguments), *range(count))
    run_turns(loop)
    assert seen == [tuple(range(count))]


def test_a_callback_added_during_a_turn_waits_for_the_next(loop):
    seen = []

    def first():
        seen.append("first")
        loop.call_soon(seen.append, "third")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    run_turns(loop)
    assert seen == ["first", "second"]
    run_turns(loop)
    assert seen == ["first", "second", "third"]


def test_stop_ends_the_turn_it_is_called_in(loop):
    seen = []

    def stop():
        loop.stop()
        loop.call_soon(seen.append, "next turn")

    loop.call_soon(stop)
    loop.call_soon(seen.append, "this turn")
    loop.run_forever()
    assert seen == ["this turn"]
    run_turns(loop)
    assert seen == ["this turn", "next turn"]


def test_stop_before_running_gives_one_turn(loop):
    seen = []
    loop.call_soon(loop.call_soon, seen.append, "second turn")
    loop.call_soon(seen.append, "first turn")
    loop.stop()
    loop.run_forever()
    assert seen == ["first turn"]


def test_descriptors_then_timers_join_behind_what_is_ready(loop):
    seen = []
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.add_reader(ours, lambda: (seen.append("descriptor"), loop.remove_reader(ours)))

        def start():
            loop.call_later(0, seen.append, "timer")
            peer.send(b"x")
            loop.call_soon(seen.append, "soon")
            loop.call_soon(loop.stop)

        loop.call_soon(start)
        loop.run_forever()
    assert seen == ["soon", "descriptor", "timer"]


def test_what_a_turn_adds_runs_after_what_the_poll_finds(loop):
    seen = []
    ours, peer = socket.socketpair()
    with ours, peer:

        def readable():
            seen.append("descriptor")
            loop.remove_reader(ours)
            loop.call_soon(seen.append, "from descriptor")

        def timer():
            seen.append("timer")
            loop.call_soon(seen.append, "from timer")

        loop.add_reader(ours, readable)
        loop.call_later(0, timer)
        peer.send(b"x")
        run_turns(loop)
        assert seen == ["descriptor", "timer"]
        run_turns(loop)
    assert seen == ["descriptor", "timer", "from descriptor", "from timer"]


def test_a_cancelled_handle_does_not_run(loop):
    seen = []
    handle = loop.call_soon(seen.append, "cancelled")
    kept = loop.call_soon(seen.append, "kept")
    assert not handle.cancelled()
    handle.cancel()
    handle.cancel()
    assert handle.cancelled() and not kept.cancelled()
    run_turns(loop)
    assert seen == ["kept"]


def test_a_handle_is_cancelled_though_it_cannot_be_shown(loop):
    called = []

    class Callback:
        def __call__(self):
            called.append(self)

        def __repr__(self):
            raise ZeroDivisionError

    loop.set_debug(True)
    handle = loop.call_soon(Callback())
    with pytest.raises(ZeroDivisionError):
        handle.cancel()
    assert handle.cancelled()
    run_turns(loop)
    assert called == []


def test_a_handle_cancelled_earlier_in_its_turn_does_not_run(loop):
    seen = []
    loop.call_soon(lambda: later.cancel())
    later = loop.call_soon(seen.append, "later")
    run_turns(loop)
    assert seen == []


def test_cancelling_after_the_run_is_harmless(loop):
    seen = []
    handle = loop.call_soon(seen.append, 1)
    run_turns(loop)
    handle.cancel()
    assert seen == [1] and handle.cancelled()


def test_repr_of_handles(loop):
    def named():
        pass

    handle = loop.call_soon(named)
    assert "Handle" in repr(handle) and "named" in repr(handle)
    handle.cancel()
    assert "cancelled" in repr(handle)
    timer = loop.call_later(100, named)
    assert "TimerHandle" in repr(timer) and "when=" in repr(timer)
    timer.cancel()


def test_an_exception_is_reported_and_the_rest_runs(loop, reports):
    seen = []
    error = ValueError("broken")

    def fail():
        raise error

    handle = loop.call_soon(fail)
    loop.call_soon(seen.append, "rest")
    run_turns(loop)
    assert seen == ["rest"]
    (report,) = reports
    reports.clear()
    assert report["exception"] is error
    assert report["handle"] is handle
    assert "fail" in report["message"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_leave_run_forever_and_the_rest_stays_queued(loop, kind):
    seen = []

    def interrupt():
        raise kind("enough")

    loop.call_soon(interrupt)
    loop.call_soon(seen.append, "rest")
    with pytest.raises(kind, match="enough"):
        loop.run_forever()
    assert not loop.is_running()
    assert seen == []
    run_turns(loop)
    assert seen == ["rest"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_from_timers_and_readers_leave_too(loop, kind):
    def interrupt():
        raise kind

    loop.call_later(0, interrupt)
    with pytest.raises(kind):
        loop.run_forever()
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.send(b"x")
        loop.add_reader(ours, interrupt)
        with pytest.raises(kind):
            loop.run_forever()
        loop.remove_reader(ours)


def test_contexts_are_captured_when_scheduling(loop):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []
    variable.set("outer")
    loop.call_soon(lambda: seen.append(variable.get()))
    variable.set("changed")
    loop.call_soon(lambda: seen.append(variable.get()))
    context = contextvars.Context()
    context.run(variable.set, "given")
    loop.call_soon(lambda: seen.append(variable.get()), context=context)
    loop.call_later(0, lambda: seen.append(variable.get()), context=context)
    loop.call_soon(variable.set, "lost")
    run_turns(loop)
    assert seen == ["outer", "changed", "given", "given"]
    assert variable.get() == "changed"
    variable.set("none")


def test_what_a_callback_sets_stays_in_the_given_context(loop):
    variable = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()

    def count():
        variable.set(variable.get() + 1)

    for _ in range(3):
        loop.call_soon(count, context=context)
    run_turns(loop)
    assert context[variable] == 3
    assert variable.get() == 0


def test_callbacks_must_be_given(loop):
    with pytest.raises(TypeError):
        loop.call_soon()
    with pytest.raises(TypeError):
        loop.call_later(1)
    with pytest.raises(TypeError):
        loop.call_soon(print, unknown=1)


def test_a_turn_that_raises_can_be_followed_by_another(loop, reports):
    """The default handler's own failures do not end the loop either."""

    def broken_handler(loop, context):
        raise RuntimeError("handler failed")

    def fail():
        raise ValueError

    seen = []
    loop.set_exception_handler(broken_handler)
    loop.call_soon(fail)
    loop.call_soon(seen.append, "rest")
    run_turns(loop)
    assert seen == ["rest"]


def test_finished_handles_let_their_callback_go(loop):
    import gc
    import weakref

    class Target:
        def method(self, *arguments):
            pass

    for schedule in (loop.call_soon, lambda *a: loop.call_later(0, *a)):
        target = Target()
        gone = weakref.ref(target)
        handle = schedule(target.method, target, target, target, target)
        del target
        assert gone() is not None
        run_turns(loop)
        gc.collect()
        assert gone() is None or not handle.cancelled()
        handle.cancel()
        gc.collect()
        assert gone() is None


def test_a_report_may_run_the_handle_again(loop):
    runs = []

    def fail(number):
        runs.append(number)
        raise ValueError

    contexts = []

    def handler(_, context):
        contexts.append(context)
        if len(contexts) == 1:
            context["handle"]._run()

    loop.set_exception_handler(handler)
    loop.call_soon(fail, 1)
    run_turns(loop)
    # From 3.12 on the handler runs in the handle's context, which cannot be entered twice.
    assert runs == ([1, 1] if sys.version_info < (3, 12) else [1])
    assert len(contexts) == (2 if sys.version_info < (3, 12) else 1)


def test_handles_are_asyncios_for_whoever_asks(loop):
    handle = loop.call_soon(int)
    timer = loop.call_later(10, int)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert handle._loop is loop
    assert timer._when == timer.when()
    assert timer._scheduled
    assert timer._context is timer.get_context()
    timer.cancel()


@pytest.mark.parametrize("threshold", range(1, 5))
def test_a_future_belongs_to_its_loop_whatever_the_garbage_collector_runs(loop, threshold):
    other = new_loop()
    other.set_debug(True)
    loop.set_debug(True)  # in which the constructor is called

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            other.create_future()

    thresholds = gc.get_threshold()
    gc.collect()
    Garbage()
    gc.set_threshold(threshold)
    try:
        future = loop.create_future()
    finally:
        gc.set_threshold(*thresholds)
    assert future.get_loop() is loop
    gc.collect()
    other.close()
