# SPDX-License-Identifier: MIT
"""call_later, call_at and the clock."""

import asyncio
import gc
import math
import time
import weakref

import pytest

from tests.loop.support import ours_only, run, run_turns


def test_the_clock_is_monotonic(loop):
    before = time.monotonic()
    now = loop.time()
    after = time.monotonic()
    assert before - 1e-6 <= now <= after + 1e-6


def test_timers_are_never_early(loop):
    late = []

    def check(when):
        late.append(loop.time() - when)

    base = loop.time()
    for step in range(200):
        when = base + step * 0.00037
        loop.call_at(when, check, when)
    loop.call_at(base + 0.1, loop.stop)
    loop.run_forever()
    assert len(late) == 200
    assert min(late) >= 0


def test_timers_run_by_deadline(loop):
    seen = []
    base = loop.time() + 0.005
    for number in (5, 3, 9, 1, 7, 0, 8, 2, 6, 4):
        loop.call_at(base + number * 0.001, seen.append, number)
    loop.call_at(base + 0.05, loop.stop)
    loop.run_forever()
    assert seen == list(range(10))


@ours_only
def test_equal_deadlines_keep_their_order(loop):
    seen = []
    when = loop.time() + 0.005
    for number in range(300):
        loop.call_at(when, seen.append, number)
    loop.call_at(when, loop.stop)
    loop.run_forever()
    assert seen == list(range(300))


def test_due_timers_run_in_one_turn(loop):
    seen = []
    for number in range(10):
        loop.call_later(-number, seen.append, number)
    run_turns(loop)
    assert sorted(seen) == list(range(10))


def test_when_is_what_was_asked(loop):
    handle = loop.call_at(123456.75, print)
    assert handle.when() == 123456.75
    before = loop.time()
    later = loop.call_later(50, print)
    assert before + 50 <= later.when() <= loop.time() + 50
    assert handle.cancelled() is False
    handle.cancel()
    later.cancel()
    assert handle.cancelled() is True


def test_zero_and_negative_delays_have_a_time_too(loop):
    for delay in (0, -1, -0.5):
        handle = loop.call_later(delay, print)
        assert isinstance(handle.when(), float)
        handle.cancel()


def test_delays_must_be_numbers(loop):
    with pytest.raises(TypeError):
        loop.call_later(None, print)
    with pytest.raises(TypeError):
        loop.call_at(None, print)
    with pytest.raises(TypeError):
        loop.call_later("1", print)


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e12, 10**9])
def test_far_away_timers_neither_fire_nor_overflow(loop, delay):
    seen = []
    handle = loop.call_later(delay, seen.append, "far")
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert seen == []
    handle.cancel()


def test_a_cancelled_timer_does_not_run_nor_hold_its_callback(loop):
    class Target:
        def method(self):
            raise AssertionError

    target = Target()
    gone = weakref.ref(target)
    handle = loop.call_later(0.001, target.method)
    del target
    handle.cancel()
    gc.collect()
    assert gone() is None
    loop.call_later(0.01, loop.stop)
    loop.run_forever()


def test_a_timer_cancelled_by_one_due_with_it_does_not_run(loop):
    seen = []
    when = loop.time()
    loop.call_at(when - 1, lambda: other.cancel())
    other = loop.call_at(when, seen.append, "other")
    run_turns(loop)
    assert seen == []


def test_many_cancelled_timers_are_forgotten(loop):
    """They are compacted once they are many; those that are left still run in order."""
    seen = []
    base = loop.time()
    handles = [loop.call_at(base + 1000 + number, print) for number in range(5000)]
    for number in range(20):
        loop.call_at(base + 0.001 * number, seen.append, number)
    for handle in handles:
        handle.cancel()
    loop.call_at(base + 0.03, loop.stop)
    loop.run_forever()
    assert seen == list(range(20))


def test_cancelling_the_earliest_timer_leaves_the_next(loop):
    seen = []
    first = loop.call_later(0.002, seen.append, "first")
    loop.call_later(0.004, seen.append, "second")
    loop.call_later(0.008, loop.stop)
    first.cancel()
    loop.run_forever()
    assert seen == ["second"]


def test_a_timer_added_by_a_timer_runs_in_a_later_turn(loop):
    seen = []

    def again():
        seen.append("first")
        loop.call_later(0, seen.append, "second")

    loop.call_later(0, again)
    run_turns(loop)
    assert seen == ["first"]
    run_turns(loop)
    assert seen == ["first", "second"]


def test_sleep_takes_its_time(loop):
    async def main():
        begin = loop.time()
        await asyncio.sleep(0.02)
        return loop.time() - begin

    assert loop.run_until_complete(main()) >= 0.02


def test_timers_survive_between_runs(loop):
    seen = []
    loop.call_later(0.003, seen.append, "kept")
    run_turns(loop)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert seen == ["kept"]


def test_what_the_end_of_a_cancelled_timer_schedules(loop):
    timers = [loop.call_later(1000 + number, print) for number in range(300)]
    fired = []
    watchers = [
        weakref.ref(timer, lambda _, number=number: loop.call_later(0, fired.append, number))
        for number, timer in enumerate(timers[::2] + timers[1:100:2])
    ]
    for timer in timers[::2] + timers[1:100:2]:
        timer.cancel()
    del timer
    timers = timers[101::2]
    loop.call_later(0, fired.append, -1)  # sweeps the cancelled ones out
    run(loop, asyncio.sleep(0.01))
    assert sorted(fired) == list(range(-1, len(watchers)))
    assert [timer.when() for timer in timers] == sorted(timer.when() for timer in timers)
