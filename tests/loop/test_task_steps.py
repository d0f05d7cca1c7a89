# SPDX-License-Identifier: MIT
"""Tasks at their edges: what a step may raise, await, cancel or free, and who may look at it.

Each holds for tasks that the loop drives itself, for asyncio's on our loop and for asyncio.
"""

import asyncio
import collections.abc
import contextvars
import copy
import gc
import pickle
import sys
import threading
import types
import weakref

import pytest

from tests.loop.support import (
    TASK_KINDS,
    new_loop,
    ours_only,
    run,
    run_script,
    run_turns,
    with_tasks,
)


@pytest.fixture(params=TASK_KINDS)
def loop(loop, request):
    return with_tasks(loop, request.param)


@pytest.fixture
def other_loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@types.coroutine
def give(value):
    """await give(x) yields x to the task."""
    return (yield value)


async def nothing():
    pass


# What is awaited


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "Task got bad yield: 5"),
        (object, "Task got bad yield: <class 'object'>"),
        (
            (number for number in ()),
            r"yield was used instead of yield from for generator in task <Task .*> with <generator",
        ),
    ],
)
def test_what_may_not_be_yielded(loop, value, text):
    async def main():
        with pytest.raises(RuntimeError, match=text):
            await give(value)
        return "went on"

    assert run(loop, main()) == "went on"


def test_a_future_that_is_yielded_without_await(loop):
    async def main():
        text = r"yield was used instead of yield from in task <Task .*> with <"
        with pytest.raises(RuntimeError, match=text):
            await give(loop.create_future())
        task = loop.create_task(nothing())
        with pytest.raises(RuntimeError, match=text):
            await give(task)
        await task

    run(loop, main())


def test_a_task_that_awaits_itself(loop):
    async def main():
        with pytest.raises(RuntimeError, match="Task cannot await on itself: <Task "):
            await asyncio.current_task()

    loop.run_until_complete(loop.create_task(main()))


def test_a_future_of_another_loop(loop, other_loop):
    async def main(awaited):
        text = r"Task <Task .*> got Future <.*> attached to a different loop"
        with pytest.raises(RuntimeError, match=text):
            await awaited

    future = other_loop.create_future()
    loop.run_until_complete(main(future))
    task = other_loop.create_task(nothing())
    loop.run_until_complete(main(task))
    other_loop.run_until_complete(task)


class Promise:
    """A future of somebody else's, with the least that asyncio asks for."""

    def __init__(self, loop):
        self._loop = loop
        self._asyncio_future_blocking = False
        self.callbacks = []
        self.cancelled_with = []

    def get_loop(self):
        return self._loop

    def add_done_callback(self, callback, *, context=None):
        self.callbacks.append((callback, context))

    def cancel(self, msg=None):
        self.cancelled_with.append(msg)
        return True

    def result(self):
        return self.outcome

    def __await__(self):
        self._asyncio_future_blocking = True
        yield self
        return self.result()

    def resolve(self, outcome):
        self.outcome = outcome
        for callback, context in self.callbacks:
            self._loop.call_soon(callback, self, context=context)


def test_a_future_of_a_third_party(loop):
    promise = Promise(loop)

    async def main():
        return await promise

    task = loop.create_task(main())
    run_turns(loop)
    assert task._fut_waiter is promise and promise._asyncio_future_blocking is False
    if sys.version_info >= (3, 12):
        assert promise.callbacks[0][1] is task.get_context()
    assert task.cancel("why") and promise.cancelled_with == ["why"]
    promise.resolve("value")
    assert run(loop, asyncio.wait_for(task, None)) == "value"


def test_a_third_party_without_get_loop_or_with_errors(loop):
    class Bare(Promise):
        get_loop = property(lambda self: self.refuse())

        def refuse(self):
            raise AttributeError

    class Broken(Promise):
        def get_loop(self):
            raise ZeroDivisionError

    async def main(promise):
        return await promise

    bare = Bare(loop)
    task = loop.create_task(main(bare))
    run_turns(loop)
    bare.resolve(3)
    assert loop.run_until_complete(task) == 3


def test_errors_of_a_third_party_reach_the_handler(loop, reports):
    class Broken(Promise):
        def get_loop(self):
            raise ZeroDivisionError

    async def main():
        await Broken(loop)

    task = loop.create_task(main())
    run_turns(loop, 2)
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    assert reports[0]["message"].startswith("Exception in callback ")
    assert asyncio.isfuture(task) and not task.done()
    reports.clear()
    task._log_destroy_pending = False
    assert asyncio.current_task(loop) is None


def test_subclasses_of_futures_and_tasks_are_asked_by_their_methods(loop):
    seen = []

    class Future(asyncio.Future):
        def add_done_callback(self, callback, *, context=None):
            seen.append("future")
            super().add_done_callback(callback, context=context)

    class Task(asyncio.Task):
        def add_done_callback(self, callback, *, context=None):
            seen.append("task")
            super().add_done_callback(callback, context=context)

        def result(self):
            seen.append("result")
            return super().result()

    async def main():
        future = Future(loop=loop)
        loop.call_soon(future.set_result, 1)
        task = Task(asyncio.sleep(0, 2), loop=loop)
        return await future + await task

    assert run(loop, main()) == 3
    assert seen == ["future", "task", "result"]


def test_stock_and_driven_tasks_await_each_other(loop):
    async def level(depth):
        if depth == 0:
            await asyncio.sleep(0)
            return [asyncio.current_task()]
        if depth % 2:
            task = asyncio.Task(level(depth - 1), loop=loop)
        else:
            task = loop.create_task(level(depth - 1))
        return [*await task, asyncio.current_task()]

    tasks = run(loop, level(6))
    assert len(set(tasks)) == 7 and all(type(task) is asyncio.Task for task in tasks)


def test_many_wait_for_one(loop):
    order = []

    async def waiter(number, task):
        order.append((number, await task))

    async def main():
        task = loop.create_task(asyncio.sleep(0.001, "value"))
        waiters = [loop.create_task(waiter(number, task)) for number in range(4)]
        task.add_done_callback(lambda _: order.append("callback"))
        await asyncio.sleep(0)
        assert len(task._callbacks) == 5
        assert "cb=[" in repr(task) and "task_wakeup()" in repr(task)
        assert "wait_for=<Task pending" in repr(waiters[0])
        await asyncio.gather(*waiters)
        assert task._callbacks is None

    run(loop, main())
    assert order == ["callback", *((number, "value") for number in range(4))]


# What a step raises


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("awaits", [False, True])
def test_interrupts_leave_the_loop(loop, kind, awaits):
    async def interrupted():
        if awaits:
            await loop.create_task(asyncio.sleep(0))
        raise kind("stop")

    ran = []
    task = loop.create_task(interrupted())
    with pytest.raises(kind, match="stop"):
        loop.run_forever()
    assert isinstance(task.exception(), kind)
    assert asyncio.current_task(loop) is None
    loop.call_soon(ran.append, 1)
    run_turns(loop)
    assert ran == [1]


def test_an_error_of_one_that_is_awaited_keeps_its_traceback(loop):
    async def fail():
        raise ValueError("one")

    async def main():
        task = loop.create_task(fail())
        with pytest.raises(ValueError, match="one") as caught:
            await task
        names = [entry.name for entry in caught.traceback]
        assert names[-1] == "fail"
        assert task.exception() is caught.value

    run(loop, main())


def test_an_error_nobody_retrieves(loop, reports):
    async def fail():
        raise ValueError("one")

    task = loop.create_task(fail())
    run_turns(loop, 2)
    text = repr(task)
    del task
    gc.collect()
    assert [report["message"] for report in reports] == ["Task exception was never retrieved"]
    assert "exception=ValueError('one')" in text
    assert isinstance(reports.pop()["exception"], ValueError)


def test_callbacks_that_fail_are_reported(loop, reports):
    def fail(task):
        raise ValueError("callback")

    async def main():
        task = loop.create_task(nothing())
        task.add_done_callback(fail)
        await task
        await asyncio.sleep(0)

    run(loop, main())
    report = reports.pop()
    assert report["message"].startswith("Exception in callback test_callbacks_that_fail")
    assert ".fail" in report["message"]
    assert isinstance(report["handle"], asyncio.Handle)


def test_a_step_within_a_step(loop, reports):
    """Running a task inside of another's step is refused, and loses neither."""

    async def inner():
        return asyncio.current_task()

    async def main():
        other = loop.create_task(inner())
        asyncio.tasks._leave_task(loop, asyncio.current_task())
        asyncio.tasks._enter_task(loop, other)
        asyncio.tasks._leave_task(loop, other)
        asyncio.tasks._enter_task(loop, asyncio.current_task(loop) or task)
        assert asyncio.current_task() is task
        return await other

    task = loop.create_task(main())
    found = loop.run_until_complete(task)
    assert found is not task


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="from 3.14 on only the running loop's tasks can be entered"
)
def test_a_task_that_is_entered_already(loop, reports):
    task = loop.create_task(nothing())
    asyncio.tasks._enter_task(loop, task)
    run_turns(loop)
    error = reports.pop()["exception"]
    assert isinstance(error, RuntimeError)
    assert str(error).startswith("Cannot enter into task <Task pending")
    assert "while another task <Task pending" in str(error)
    asyncio.tasks._leave_task(loop, task)
    task._log_destroy_pending = False
    task.get_coro().close()


def test_a_step_that_leaves_its_task(loop, reports):
    async def main():
        asyncio.tasks._leave_task(loop, asyncio.current_task())
        return 5

    task = loop.create_task(main())
    run_turns(loop, 2)
    assert task.result() == 5
    text = (
        "does not match the current task None"
        if sys.version_info < (3, 14)
        else "while task None is entered"
    )
    assert text in str(reports.pop()["exception"])


def test_a_context_that_is_entered(loop, reports):
    context = contextvars.copy_context()
    task = loop.create_task(nothing(), context=context)
    context.run(run_turns, loop)
    if sys.version_info < (3, 12):  # from then on the handler would have to enter it, too
        assert "cannot enter context" in str(reports.pop()["exception"])
    assert not task.done()
    task._log_destroy_pending = False
    task.get_coro().close()


# Cancelling


def test_cancelled_before_the_first_step(loop):
    ran = []

    async def main():
        ran.append(1)

    task = loop.create_task(main())
    assert task.cancel("early") and task._must_cancel and task.cancelling() == 1
    with pytest.raises(asyncio.CancelledError, match="early"):
        loop.run_until_complete(task)
    assert ran == [] and task.cancelled()


def test_cancelled_while_another_ignores_it(loop):
    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "ignored"

    async def outer(task):
        return await task

    async def main():
        inner = loop.create_task(stubborn())
        task = loop.create_task(outer(inner))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.cancel() and task._fut_waiter is inner
        assert await task == "ignored"
        assert task.cancelling() == 1 and task.uncancel() == 0

    run(loop, main())


def test_cancelled_from_within(loop):
    async def main():
        task = asyncio.current_task()
        task.cancel("self")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            assert error.args == ("self",)
        task.uncancel()
        task.cancel("last")
        return 5

    task = loop.create_task(main())
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert task.cancelled() and task._cancel_message == "last"


def test_cancelled_before_it_awaits(loop):
    async def main():
        future = loop.create_future()
        asyncio.current_task().cancel("now")
        try:
            await future
        finally:
            assert future.cancelled()

    task = loop.create_task(main())
    with pytest.raises(asyncio.CancelledError, match="now"):
        loop.run_until_complete(task)


def test_cancelling_the_one_that_is_awaited(loop):
    async def main():
        inner = loop.create_task(asyncio.sleep(60))
        outer = loop.create_task(asyncio.wait_for(inner, 60))
        await asyncio.sleep(0)
        inner.cancel("inner")
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert inner.cancelled()

    run(loop, main())


def test_cancel_from_a_callback_of_the_same_task(loop):
    async def main():
        task = loop.create_task(nothing())
        answers = []
        task.add_done_callback(lambda task: answers.append(task.cancel()))
        await task
        await asyncio.sleep(0)
        assert answers == [False] and not task.cancelled()

    run(loop, main())


def test_a_cancelled_error_raised_by_the_coroutine(loop):
    async def main():
        async def give_up():
            raise asyncio.CancelledError("own")

        task = loop.create_task(give_up())
        with pytest.raises(asyncio.CancelledError, match="own"):
            await task
        assert task.cancelled() and task.cancelling() == 0

    run(loop, main())


# Callbacks


def test_callbacks_keep_their_order_among_others(loop):
    order = []

    async def main():
        task = loop.create_task(nothing())
        for number in range(3):
            task.add_done_callback(lambda _, number=number: order.append(number))
        loop.call_soon(order.append, "before")
        await asyncio.sleep(0)
        loop.call_soon(order.append, "after")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(loop, main())
    assert order == ["before", 0, 1, 2, "after"]


def test_callbacks_run_in_their_contexts(loop):
    variable = contextvars.ContextVar("variable")
    outside = variable.set("outside")
    context = contextvars.copy_context()
    variable.reset(outside)  # lest the test's own context keeps the variable
    context.run(variable.set, "given")
    seen = []

    async def main():
        variable.set("task")
        task = loop.create_task(nothing())
        task.add_done_callback(lambda _: seen.append(variable.get()), context=context)
        task.add_done_callback(lambda _: seen.append(variable.get()))
        variable.set("later")
        await task
        task.add_done_callback(lambda _: seen.append(variable.get()))
        await asyncio.sleep(0)

    run(loop, main())
    assert seen == ["given", "task", "later"]


def test_a_callback_that_waits_cannot_be_removed_any_more(loop):
    called = []

    async def main():
        task = loop.create_task(nothing())
        callback = called.append
        task.add_done_callback(lambda task: called.append(task.remove_done_callback(callback)))
        task.add_done_callback(callback)
        await task
        await asyncio.sleep(0)
        assert called == [0, task]

    run(loop, main())


def test_removing_callbacks(loop):
    async def main():
        called = []
        task = loop.create_task(asyncio.sleep(0))
        for _ in range(3):
            task.add_done_callback(called.append)
        task.add_done_callback(print)
        assert task.remove_done_callback(called.append) == 3
        assert task.remove_done_callback(print) == 1
        assert task._callbacks is None
        awaiting = loop.create_task(asyncio.wait_for(asyncio.shield(task), None))
        await asyncio.sleep(0)
        await awaiting
        assert called == []

    run(loop, main())


def test_a_wakeup_that_is_taken_away_and_given_back(loop):
    """A debugger may look at the callbacks: what it finds there resumes the task when called."""

    async def outer(task):
        return await task

    async def main():
        release = loop.create_future()
        inner = loop.create_task(asyncio.wait_for(release, None))
        task = loop.create_task(outer(inner))
        await asyncio.sleep(0)
        ((wakeup, context),) = inner._callbacks
        assert wakeup.__self__ is task
        assert inner.remove_done_callback(wakeup) == 1
        release.set_result("value")
        await inner
        await asyncio.sleep(0)
        assert not task.done()
        with pytest.raises(TypeError):
            wakeup(1, 2)
        with pytest.raises(TypeError):
            wakeup(future=inner)
        inner.add_done_callback(wakeup, context=context)
        assert await task == "value"

    run(loop, main())


# Methods that are called by way of the class


def test_methods_of_the_classes(loop):
    """map(asyncio.Task.done, tasks) and the like."""

    async def main():
        coroutine = asyncio.sleep(60)
        task = loop.create_task(coroutine, name="one")
        assert asyncio.Task.get_name(task) == "one"
        assert asyncio.Task.get_coro(task) is coroutine
        assert asyncio.Future.get_loop(task) is loop
        assert not asyncio.Future.done(task)
        await asyncio.sleep(0)
        assert asyncio.Task.cancel(task)
        await asyncio.wait([task])
        assert asyncio.Future.done(task) and asyncio.Task.cancelled(task)

    run(loop, main())


def test_results_given_from_outside(loop):
    """asyncio.Future's methods on a task, as some try to end one."""

    async def main():
        task = loop.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        waiting = loop.create_task(asyncio.wait_for(task, None))
        await asyncio.sleep(0)
        asyncio.Future.set_result(task, "forced")
        assert await waiting == "forced" and task.result() == "forced"
        with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
            task.set_result(1)

    run(loop, main())


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="3.15 refuses to initialise a task twice")
def test_a_task_made_anew_while_its_step_waits(loop, reports):
    """As far as one can: the step that waits is one too many then."""

    async def give_five():
        return 5

    first = nothing()
    task = loop.create_task(first)
    task.__init__(give_five(), loop=loop)
    first.close()
    run_turns(loop, 2)
    assert task.result() == 5
    assert "_step(): already done: <Task finished" in str(reports.pop()["exception"])


# Introspection


def test_all_tasks_and_what_becomes_of_them(loop):
    async def main():
        tasks = [loop.create_task(asyncio.sleep(0.001)) for _ in range(5)]
        assert asyncio.all_tasks() == {*tasks, asyncio.current_task()}
        await asyncio.gather(*tasks)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        references = [weakref.ref(task) for task in tasks]
        tasks.clear()
        await asyncio.sleep(0)
        gc.collect()
        assert [reference() for reference in references] == [None] * 5

    loop.run_until_complete(main())


def test_the_set_of_tasks_is_iterated_while_tasks_end(loop):
    known = getattr(asyncio.tasks, "_scheduled_tasks", None)
    if known is None:
        known = asyncio.tasks._all_tasks

    async def main():
        others = len(list(known))  # which other tests have left
        tasks = [loop.create_task(nothing()) for _ in range(20)]
        iterator = iter(known)
        next(iterator)
        await asyncio.gather(*tasks)
        tasks.clear()
        await asyncio.sleep(0)
        gc.collect()
        left = len(list(iterator))
        assert left <= others + 1
        del iterator
        gc.collect()
        assert len(known.data) <= others + 3

    if sys.version_info >= (3, 14):
        pytest.skip("3.14 keeps asyncio's tasks elsewhere")
    gc.collect()
    run(loop, main())


def test_third_parties_may_unregister_a_task(loop):
    async def main():
        task = loop.create_task(asyncio.sleep(0))
        asyncio.tasks._unregister_task(task)
        assert task not in asyncio.all_tasks()
        await task

    run(loop, main())


def test_stacks(loop, capsys):
    async def inner():
        await asyncio.sleep(60)

    async def main():
        task = loop.create_task(inner())
        await asyncio.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["inner"]
        task.print_stack(file=sys.stdout)
        assert "await asyncio.sleep(60)" in capsys.readouterr().out
        task.cancel()
        await asyncio.wait([task])

    run(loop, main())


def test_names_count_upwards(loop):
    async def main():
        tasks = [loop.create_task(nothing()) for _ in range(3)]
        numbers = [int(task.get_name().removeprefix("Task-")) for task in reversed(tasks)]
        assert numbers[0] == numbers[1] + 1 == numbers[2] + 2
        tasks[0].set_name(5)
        assert tasks[0].get_name() == "5"
        assert loop.create_task(nothing(), name=7).get_name() == "7"
        assert "name='5'" in repr(tasks[0])
        await asyncio.sleep(0)

    run(loop, main())


def test_what_is_no_coroutine(loop):
    async def main():
        for wrong in (5, None, nothing, loop.create_future()):
            with pytest.raises(TypeError, match="a coroutine was expected, got "):
                loop.create_task(wrong)
        with pytest.raises(TypeError):
            loop.create_task()

    run(loop, main())


def test_a_name_that_cannot_be_told(loop, reports):
    class Nameless:
        def __str__(self):
            raise ZeroDivisionError

    coroutine = nothing()
    with pytest.raises(ZeroDivisionError):
        loop.create_task(coroutine, name=Nameless())
    coroutine.close()
    assert [report["message"] for report in reports] == ["Task was destroyed but it is pending!"]
    reports.clear()


class Coroutine(collections.abc.Coroutine):
    """No native coroutine: `steps` are what its send() does, one after the other."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.thrown = []

    def send(self, value):
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    def throw(self, error, *rest):
        self.thrown.append(error)
        return self.send(None)

    def close(self):
        pass

    def __await__(self):
        return self


def test_coroutines_that_are_objects(loop):
    coroutine = Coroutine(None, 5, None, StopIteration("value"))

    async def main():
        return await loop.create_task(coroutine)

    assert run(loop, main()) == "value"
    assert [str(error) for error in coroutine.thrown] == ["Task got bad yield: 5"]


def test_copies_are_refused(loop):
    async def main():
        task = loop.create_task(nothing())
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"cannot pickle '_asyncio\.Task' object"):
                refused(task)
        await task

    run(loop, main())


# Being freed


def test_a_pending_task_that_is_dropped(loop, reports):
    async def main():
        future = loop.create_future()
        kept = asyncio.current_task()  # task -> coroutine -> frame -> task
        await future
        return kept

    task = loop.create_task(main())
    run_turns(loop)
    reference = weakref.ref(task)
    del task
    gc.collect()
    assert [report["message"] for report in reports] == ["Task was destroyed but it is pending!"]
    reports.clear()  # the report holds the task, which 3.15 lets weak references see
    gc.collect()
    assert reference() is None


def test_tasks_that_a_closed_loop_leaves_behind(loop, reports):
    task = loop.create_task(nothing())
    waiting = loop.create_task(asyncio.sleep(60))
    run_turns(loop)
    again = loop.create_task(nothing())
    assert task.done()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        coroutine = nothing()
        try:
            loop.create_task(coroutine)
        finally:
            coroutine.close()
    again.get_coro().close()
    del waiting, again
    gc.collect()
    assert {report["message"] for report in reports} == {"Task was destroyed but it is pending!"}
    assert len(reports) == 2
    reports.clear()


def test_the_last_reference_goes_inside_of_a_step(loop):
    ended = []

    class Ends:
        def __del__(self):
            ended.append(asyncio.current_task(loop))

    async def step(kept):
        await asyncio.sleep(0)
        del kept
        await asyncio.sleep(0)

    async def main():
        loop.create_task(step(Ends()))
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()

    run(loop, main())
    assert len(ended) == 1 and ended[0] is not None


def test_cycles_of_done_tasks_are_collected(loop):
    async def main():
        task = asyncio.current_task()
        task.itself = task
        return task

    references = []
    for _ in range(3):
        task = loop.create_task(main())
        loop.run_until_complete(task)
        references.append(weakref.ref(task))
    del task
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


# Who else is at work


def test_debug_mode_comes_and_goes(loop, caplog):
    async def steps():
        for _ in range(6):
            await asyncio.sleep(0)
        return asyncio.current_task()

    async def main():
        task = loop.create_task(steps())
        await asyncio.sleep(0)
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0
        inner = loop.create_task(nothing())
        assert inner._source_traceback
        await inner
        await asyncio.sleep(0)
        loop.slow_callback_duration = 1000.0
        loop.set_debug(False)
        return await task is task

    assert run(loop, main())
    assert any("Executing <Task" in record.getMessage() for record in caplog.records)


def test_a_call_soon_that_is_replaced_sees_everything(loop):
    """Tests and tracers put theirs in its place."""
    calls = []
    original = loop.call_soon

    def call_soon(callback, *args, context=None):
        calls.append(callback)
        return original(callback, *args, context=context)

    async def main():
        early = loop.create_task(asyncio.sleep(0))
        loop.call_soon = call_soon
        task = loop.create_task(nothing())
        assert len(calls) == 1
        await task
        assert len(calls) == 3  # the other step of `early` too, and that this one is resumed
        await early
        del loop.call_soon
        before = len(calls)
        await asyncio.sleep(0)
        await loop.create_task(nothing())
        assert len(calls) == before

    loop.run_until_complete(main())


def test_other_threads(loop):
    async def give(value):
        await asyncio.sleep(0)
        return value, asyncio.current_task()

    async def main():
        def work():
            future = asyncio.run_coroutine_threadsafe(give("value"), loop)
            results.append(future.result(30))
            loop.call_soon_threadsafe(done.set_result, None)

        results = []
        done = loop.create_future()
        thread = threading.Thread(target=work)
        thread.start()
        await done
        thread.join()
        return results

    ((value, task),) = run(loop, main())
    assert value == "value" and task.done()


def test_a_loop_in_each_of_two_threads(loop):
    async def steps():
        for _ in range(200):
            assert asyncio.current_task() in asyncio.all_tasks()
            await asyncio.sleep(0)
        return asyncio.current_task().get_loop()

    def work():
        other = new_loop()
        try:
            found.append(other.run_until_complete(steps()) is other)
        finally:
            other.close()

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    found.append(loop.run_until_complete(steps()) is loop)
    thread.join()
    assert found == [True, True]


def test_a_factory_set_in_between(loop):
    async def main():
        first = loop.create_task(asyncio.sleep(0, 1))
        loop.set_task_factory(lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))
        second = loop.create_task(asyncio.sleep(0, 2))
        loop.set_task_factory(None)
        return await first + await second

    assert run(loop, main()) == 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_inside_of_others(loop):
    async def eager():
        inside = asyncio.current_task()
        await asyncio.sleep(0)
        return inside is asyncio.current_task()

    async def main():
        outer = asyncio.current_task()
        task = asyncio.eager_task_factory(loop, eager())
        assert asyncio.current_task() is outer
        assert task in asyncio.all_tasks()
        return await task

    assert run(loop, main())


# The switch


@ours_only
def test_the_loop_drives_tasks_where_it_can():
    fast = sys.version_info < (3, 14)
    fresh = new_loop()
    try:
        assert fresh.fast_tasks is fast
        fresh.fast_tasks = False
        assert fresh.fast_tasks is False
        fresh.fast_tasks = True
        assert fresh.fast_tasks is fast
    finally:
        fresh.close()


@ours_only
@pytest.mark.parametrize("value", ["stock", "driven", "others"])
def test_the_environment_chooses(monkeypatch, value):
    monkeypatch.setenv("CAMSHAFT_TASKS", value)
    status, out, err = run_script("print(new_loop().fast_tasks)")
    if value == "others":
        assert status == 1
        assert err.splitlines()[-1] == (
            "ValueError: CAMSHAFT_TASKS is 'others'; it may be 'driven' or 'stock'"
        )
    else:
        assert (status, out) == (0, f"{value == 'driven' and sys.version_info < (3, 14)}\n")


def test_a_result_does_not_replace_the_one_that_was_given_from_inside(loop, reports):
    """task.set_result() is refused, but nothing keeps anybody from calling Future's."""

    async def main():
        asyncio.Future.set_result(asyncio.current_task(), "first")
        return "second"

    task = loop.create_task(main())
    run_turns(loop, 2)
    assert task.result() == "first"
    assert [type(report["exception"]) for report in reports] == [asyncio.InvalidStateError]
    reports.clear()


@ours_only
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the loop drives tasks up to 3.13")
def test_an_asyncio_that_is_not_as_known_is_left_alone():
    """Python's own Task, put in the place of C's before camshaft is imported."""
    status, out, err = run_script(
        """
        import asyncio
        asyncio.Task = asyncio.tasks.Task = asyncio.tasks._PyTask

        async def main():
            return type(asyncio.current_task())

        loop = new_loop()
        print(loop.fast_tasks, loop.run_until_complete(main()) is asyncio.tasks._PyTask)
        loop.close()
        """
    )
    assert (status, out.split(), err) == (0, ["False", "True"], "")
