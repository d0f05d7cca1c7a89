# SPDX-License-Identifier: MIT
"""`_core.run_in_thread` beside Starlette's `run_in_threadpool`: what is seen must be the same.

Each scenario is a coroutine function that is given one of them and returns what it has seen. It
runs with both, on camshaft's loop and asyncio's; functions in threads are held by events, never by
sleeps.
"""

import asyncio
import contextvars
import gc
import threading
import traceback
import weakref

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import RunVar
from starlette.concurrency import run_in_threadpool

import camshaft
from camshaft import _core
from camshaft.fastapi import threads

LIMIT = 60
"""Seconds for what takes no time, on a machine that is busy with other things."""

LOOPS = {"camshaft": camshaft.new_event_loop, "asyncio": asyncio.new_event_loop}

SCENARIOS = {}


def scenario(function):
    """Enter an async function(run) into the table."""
    SCENARIOS[function.__name__] = function
    return function


def limiter():
    return anyio.to_thread.current_default_thread_limiter()


def tokens():
    statistics = limiter().statistics()
    return statistics.borrowed_tokens, statistics.total_tokens, statistics.tasks_waiting


class Gate:
    """A function that says that it has begun, and ends when it is told to."""

    def __init__(self):
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.ended = threading.Event()

    def __call__(self, result=None):
        self.began.set()
        try:
            assert self.may_end.wait(LIMIT)
            return result
        finally:
            self.ended.set()


async def until(condition):
    """Turn the loop until something holds that another thread makes true."""
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


async def outcome(awaitable):
    """What an await comes to, as something that can be compared."""
    try:
        return "result", await awaitable
    except BaseException as error:
        return type(error).__name__, str(error)


def ended():
    """All worker threads have ended, for the tests that count them."""
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":
            thread.join(LIMIT)
            assert not thread.is_alive()


@pytest.fixture(params=LOOPS)
def loop_factory(request):
    return LOOPS[request.param]


def seen(loop_factory, function, run):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        answer = runner.run(asyncio.wait_for(function(run), LIMIT))
        assert runner.run(_tokens()) == (0, 40, 0)
    ended()
    return answer


async def _tokens():
    return tokens()


# ---- results and errors ----


@scenario
async def callbacks_that_wait_for_threads(run):
    """Beside the step that gives a call to a thread which rests, in the same turn or another."""
    await run(int)
    seen = []
    for turns in range(6):
        ran = threading.Event()
        call = asyncio.ensure_future(run(ran.set))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 2:  # a call is given to a thread in its third step
            seen.append(ran.wait(LIMIT / 2))
        await call
    return seen


@scenario
async def results(run):
    def function(*args, **kwargs):
        return args, kwargs

    answers = [
        await run(function),
        await run(function, 1, 2, 3, 4, 5, 6),
        await run(function, 1, key=2, self=3, args=4),
        await run(dict, a=1),
        await run(str.upper, "text"),
    ]
    return [*answers, await asyncio.create_task(run(function, "as a task"))]


class Special(BaseException):
    pass


@scenario
async def errors(run):
    def fail(error):
        raise error

    answers = []
    for error in (
        ValueError("text"),
        StopIteration(1),
        StopAsyncIteration(),
        asyncio.CancelledError("by the function"),
        Special("text"),
        TimeoutError(),
    ):
        try:
            await run(fail, error)
        except BaseException as raised:
            names = [frame.name for frame in traceback.extract_tb(raised.__traceback__)]
            answers.append(
                (
                    raised is error,
                    type(raised),
                    raised.args,
                    raised.__cause__ is error,
                    raised.__context__,
                    raised.__suppress_context__,
                    names[0],
                    names[-1] if raised is error else None,
                )
            )
    answers.append(await outcome(run(5)))
    answers.append(await outcome(run(fail)))
    return answers


@scenario
async def errors_have_a_context(run):
    def fail():
        raise ValueError("in the thread")

    try:
        raise KeyError("before")
    except KeyError:
        try:
            await run(fail)
        except ValueError as error:
            return repr(error.__context__), repr(error.__cause__)


@scenario
async def errors_are_let_go_of(run):
    class Mark(Exception):
        pass

    def fail():
        raise Mark

    reference = None
    try:
        await run(fail)
    except Mark as error:
        reference = weakref.ref(error)
    await until(lambda: gc.collect() is None or reference() is None)
    return True


@scenario
async def arguments_are_let_go_of(run):
    class Mark:
        pass

    def function(mark):
        return weakref.ref(mark)

    reference = await run(function, Mark())
    await until(lambda: gc.collect() is None or reference() is None)
    return True


@scenario
async def nothing_runs_before_it_is_awaited(run):
    calls = []
    waiting = run(calls.append, 1)
    await asyncio.sleep(0.01)
    before = list(calls)
    await waiting
    return before, calls


@scenario
async def steps(run):
    """How many turns of the loop pass before a function is called, and in which order."""
    log = []

    async def count():
        for number in range(6):
            log.append(number)
            await asyncio.sleep(0)

    def function():
        anyio.from_thread.run_sync(log.append, "in the thread")

    await asyncio.gather(run(function), count())
    async with asyncio.timeout(LIMIT):
        coroutine = run(function)
        yielded = [coroutine.send(None), coroutine.send(None)]
        future = coroutine.send(None)
        blocking = future._asyncio_future_blocking
        while not future.done():
            await asyncio.sleep(0.001)
        with pytest.raises(StopIteration):
            coroutine.send(None)
    first = log.index("in the thread")
    return first >= 3, yielded, isinstance(future, asyncio.Future), blocking


# ---- where it runs ----

variable = contextvars.ContextVar("variable", default="default")


@scenario
async def contexts(run):
    def function(value):
        before = variable.get()
        variable.set(value)
        return before, variable.get()

    answers = [await run(function, "of the thread"), variable.get()]
    variable.set("of the task")
    answers += [await run(function, "of the thread"), variable.get()]
    answers += [await run(function, "again"), variable.get()]
    return answers


@scenario
async def threads_are_named(run):
    thread = await run(threading.current_thread)
    return (
        thread.name,
        type(thread).__name__,
        isinstance(thread, threading.Thread),
        thread.daemon,
        thread is not threading.main_thread(),
        thread in threading.enumerate(),
    )


@scenario
async def thread_locals_are_kept(run):
    local = threading.local()

    def count():
        local.calls = getattr(local, "calls", 0) + 1
        return local.calls

    return [await run(count) for _ in range(20)]


@scenario
async def one_thread_is_enough_for_one_caller(run):
    return len({await run(threading.get_ident) for _ in range(50)})


@scenario
async def threads_end_with_the_loop(run):
    barrier = threading.Barrier(5)
    await asyncio.gather(*(run(barrier.wait) for _ in range(5)))
    return sum(thread.name == "AnyIO worker thread" for thread in threading.enumerate())


@scenario
async def threads_end_when_they_are_idle(run):
    from anyio._backends import _asyncio

    barrier = threading.Barrier(5)
    idents = await asyncio.gather(
        *(run(lambda: (barrier.wait(LIMIT), threading.get_ident())[1]) for _ in range(5))
    )

    def alive():
        return {thread.ident for thread in threading.enumerate()} & set(idents)

    before = len(alive())
    limit = _asyncio.WorkerThread.MAX_IDLE_TIME
    _asyncio.WorkerThread.MAX_IDLE_TIME = 0
    try:
        last = await run(threading.get_ident)
        async with asyncio.timeout(LIMIT):
            # Each call ends those that rest; one may not have come to rest before it.
            while len(alive()) != 1:
                await asyncio.sleep(0.001)
                last = await run(threading.get_ident)
    finally:
        _asyncio.WorkerThread.MAX_IDLE_TIME = limit
    return before, alive() == {last}, await run(threading.get_ident) == last


@scenario
async def as_many_at_once_as_there_are_tokens(run):
    barrier = threading.Barrier(40)
    await asyncio.gather(*(run(barrier.wait, LIMIT) for _ in range(80)))
    return True


@scenario
async def calls_that_wait_for_each_other(run):
    """No call may wait for one that is queued behind it and could run."""
    await run(int)
    for count in (2, 3, 7):
        barrier = threading.Barrier(count)
        await asyncio.gather(*(run(barrier.wait, LIMIT) for _ in range(count * 4)))
    events = [threading.Event() for _ in range(20)]

    def link(number):
        if number + 1 < len(events):
            assert events[number + 1].wait(LIMIT)
        events[number].set()

    await asyncio.gather(*(run(link, number) for number in range(len(events))))
    return True


# ---- from the thread ----


@scenario
async def from_thread(run):
    loop = asyncio.get_running_loop()
    run_variable = RunVar("run variable")
    run_variable.set("of the loop")

    async def inside(value):
        await asyncio.sleep(0)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        with anyio.move_on_after(LIMIT):
            await anyio.sleep(0)
        task = anyio.get_current_task()
        return value, asyncio.get_running_loop() is loop, task.parent_id, variable.get()

    def function():
        variable.set("of the thread")
        answers = [
            anyio.from_thread.run(inside, 1),
            anyio.from_thread.run_sync(run_variable.get),
            anyio.from_thread.run_sync(tokens),
            anyio.from_thread.check_cancelled(),
        ]
        try:
            anyio.from_thread.run(outcome, run(5))
            anyio.from_thread.run(asyncio.sleep, "no number")
        except TypeError as error:
            answers.append(type(error))
        with anyio.from_thread.start_blocking_portal() as portal:
            answers.append(portal.call(inside, 2)[0])
        return answers

    return await run(function)


@scenario
async def names_of_the_thread(run):
    from anyio._core._eventloop import threadlocals

    loop = asyncio.get_running_loop()

    def function():
        token = threadlocals.current_token
        return (
            type(token).__name__,
            token.native_token is loop,
            token.backend_class.__name__,
            hasattr(threadlocals, "current_cancel_scope"),
            sorted(vars(threadlocals)),
        )

    return await run(function), vars(threadlocals)


@scenario
async def another_loop_in_the_thread(run):
    def function():
        async def main():
            return await run(threading.current_thread().__class__.__name__.upper)

        return asyncio.run(main()), anyio.run(main)

    return await run(function)


@scenario
async def check_cancelled(run):
    gate = Gate()
    log = []

    def function():
        gate()
        try:
            anyio.from_thread.check_cancelled()
        except BaseException as error:
            log.append((type(error).__name__, str(error).partition(" scope ")[0]))
            raise

    for shield in (False, True):
        gate = Gate()
        with anyio.CancelScope() as outer, anyio.CancelScope(shield=shield) as inner:
            async with anyio.create_task_group() as group:
                group.start_soon(run, function)
                await until(gate.began.is_set)
                outer.cancel()
                gate.may_end.set()
        log.append((outer.cancelled_caught, inner.cancelled_caught))
    return log


# ---- the limiter ----


@scenario
async def tokens_are_borrowed(run):
    gates = [Gate() for _ in range(3)]
    tasks = [asyncio.create_task(run(gate)) for gate in gates]
    await until(lambda: all(gate.began.is_set() for gate in gates))
    during = tokens(), set(limiter().statistics().borrowers) == set(tasks)
    for gate in gates:
        gate.may_end.set()
    await asyncio.gather(*tasks)
    return during, tokens()


@scenario
async def tokens_are_given_in_order(run):
    limiter().total_tokens = 1
    order = []
    gate = Gate()
    tasks = [asyncio.create_task(run(gate))]
    await until(gate.began.is_set)
    tasks += [asyncio.create_task(run(order.append, number)) for number in range(10)]
    await until(lambda: tokens()[2] == 10)
    during = tokens()
    gate.may_end.set()
    await asyncio.gather(*tasks)
    limiter().total_tokens = 40
    return during, order


@scenario
async def tokens_with_others(run):
    """Beside AnyIO's own calls, and others who take tokens of the limiter."""
    limiter().total_tokens = 2
    order = []
    async with limiter():
        gate = Gate()
        tasks = [asyncio.create_task(run(gate))]
        await until(gate.began.is_set)
        tasks.append(asyncio.create_task(anyio.to_thread.run_sync(order.append, 1)))
        await until(lambda: tokens()[2] == 1)
        tasks.append(asyncio.create_task(run(order.append, 2)))
        await until(lambda: tokens()[2] == 2)
        tasks.append(asyncio.create_task(anyio.to_thread.run_sync(order.append, 3)))
        await until(lambda: tokens()[2] == 3)
        during = tokens()
        gate.may_end.set()
        await asyncio.gather(*tasks)
    limiter().total_tokens = 40
    return during, order


@scenario
async def a_task_that_has_a_token_gets_no_other(run):
    async with limiter():
        return await outcome(run(int)), tokens()


@scenario
async def the_limiter_is_resized(run):
    limiter().total_tokens = 0
    gates = [Gate() for _ in range(4)]
    tasks = [asyncio.create_task(run(gate, number)) for number, gate in enumerate(gates)]
    await until(lambda: tokens()[2] == 4)
    log = [[gate.began.is_set() for gate in gates]]
    limiter().total_tokens = 2
    await until(lambda: all(gate.began.is_set() for gate in gates[:2]))
    log += [tokens(), [gate.began.is_set() for gate in gates]]
    limiter().total_tokens = float("inf")
    await until(lambda: all(gate.began.is_set() for gate in gates))
    log.append(tokens()[0])
    limiter().total_tokens = 1
    for gate in gates:
        gate.may_end.set()
    log.append(await asyncio.gather(*tasks))
    limiter().total_tokens = 40
    return log


# ---- cancellation ----


@scenario
async def cancelled_in_each_turn(run):
    """task.cancel() before the function is given away: it never runs."""
    log = []
    for turns in range(3):
        calls = []
        task = asyncio.create_task(run(calls.append, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        log.append(task.cancel("by the test"))
        log.append((await outcome(task), task.cancelled(), tokens(), calls))
    return log


@scenario
async def cancelled_by_itself(run):
    calls = []

    async def main():
        asyncio.current_task().cancel()
        await run(calls.append, 1)

    return await outcome(asyncio.create_task(main())), calls


@scenario
async def cancelled_while_it_runs(run):
    """task.cancel() does not wait for the thread."""
    gate = Gate()
    task = asyncio.create_task(run(gate))
    await until(gate.began.is_set)
    before = tokens()
    task.cancel("by the test")
    log = [before, await outcome(task), task.cancelled(), gate.ended.is_set(), tokens()]
    gate.may_end.set()
    await until(gate.ended.is_set)
    return [*log, await run(int)]


@scenario
async def cancelled_before_a_thread_takes_it(run):
    """The loop's thread holds the GIL from giving it away to cancelling it, so nobody took it."""
    calls = []
    log = []
    for _ in range(5):
        task = asyncio.create_task(run(calls.append, 1))
        while task._fut_waiter is None:
            await asyncio.sleep(0)
        task.cancel()
        log.append(await outcome(task))
    await run(int)
    return log, len(calls) <= 5


@scenario
async def cancelled_while_it_waits_for_a_token(run):
    limiter().total_tokens = 1
    log = []
    gate = Gate()
    first = asyncio.create_task(run(gate))
    await until(gate.began.is_set)
    tasks = [asyncio.create_task(run(log.append, number)) for number in range(3)]
    await until(lambda: tokens()[2] == 3)
    tasks[0].cancel()
    log += [await outcome(tasks[0]), tokens()]
    with anyio.move_on_after(0.01) as scope:
        await run(log.append, "never")
    log += [scope.cancelled_caught, tokens()]
    gate.may_end.set()
    await asyncio.gather(first, *tasks[1:])
    limiter().total_tokens = 40
    return log


@scenario
async def cancelled_with_the_token_just_given(run):
    limiter().total_tokens = 1
    log = []
    gate = Gate()
    first = asyncio.create_task(run(gate))
    await until(gate.began.is_set)
    second = asyncio.create_task(run(log.append, "second"))
    third = asyncio.create_task(run(log.append, "third"))
    await until(lambda: tokens()[2] == 2)
    gate.may_end.set()
    await first
    second.cancel()
    log.append(await outcome(second))
    await third
    limiter().total_tokens = 40
    return [entry for entry in log if entry != "second"][-1]


@scenario
async def a_scope_waits_for_the_thread(run):
    log = []
    task = asyncio.current_task()
    for inner in (False, True):
        gate = Gate()

        async def end_it(scope, gate=gate):
            await until(gate.began.is_set)
            scope.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            log.append((gate.ended.is_set(), task.cancelling()))
            gate.may_end.set()

        with anyio.CancelScope() as scope:
            ender = asyncio.create_task(end_it(scope))
            if inner:
                with anyio.CancelScope():
                    log.append(await run(gate, "result"))
            else:
                log.append(await run(gate, "result"))
            log.append("after it")
            await anyio.sleep(0)
            log.append("never")
        await ender
        log.append((scope.cancelled_caught, gate.ended.is_set(), task.cancelling()))
        log.append(await run(int))
    return log


@scenario
async def a_scope_that_was_cancelled_before(run):
    calls = []
    log = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run(calls.append, 1)
        log.append("never")
    log.append(scope.cancelled_caught)
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await run(calls.append, 2)
        log.append("after the shield")
    log.append(scope.cancelled_caught)
    return log, calls, asyncio.current_task().cancelling()


@scenario
async def a_task_group_fails(run):
    gate = Gate()
    log = []

    async def fail():
        await until(gate.began.is_set)
        asyncio.get_running_loop().call_later(0.01, gate.may_end.set)
        raise ValueError("of the sibling")

    async def call():
        try:
            log.append(await run(gate, "result"))
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            log.append(("cancelled", gate.ended.is_set(), str(error).partition(" scope ")[0]))
            raise

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            group.start_soon(fail)
    except ExceptionGroup as errors:
        log.append([repr(error) for error in errors.exceptions])
    return log


@scenario
async def timeouts(run):
    log = []
    for timeout in (asyncio.timeout, anyio.fail_after):
        gate = Gate()
        asyncio.get_running_loop().call_later(0.2, gate.may_end.set)
        with_timeout = timeout(0.02)
        try:
            if timeout is asyncio.timeout:
                async with with_timeout:
                    log.append(await run(gate, "result"))
            else:
                with with_timeout:
                    log.append(await run(gate, "result"))
                    await anyio.sleep(0)
        except TimeoutError:
            log.append(("timeout", gate.ended.is_set(), asyncio.current_task().cancelling()))
        gate.may_end.set()
    return log


@scenario
async def closed_and_thrown_into(run):
    class Mark(Exception):
        pass

    log = []
    for steps_before in range(4):
        for ending in ("close", "throw", "drop"):
            gate = Gate()
            gate.may_end.set()
            coroutine = run(gate)
            for _ in range(steps_before):
                coroutine.send(None)
            log.append(tokens()[0])
            if ending == "close":
                log.append(coroutine.close())
                with pytest.raises(RuntimeError):
                    coroutine.send(None)
            elif ending == "throw":
                with pytest.raises(Mark):
                    coroutine.throw(Mark())
            del coroutine
            gc.collect()
            if ending == "drop" and steps_before == 3:
                # Who let go of the call does not know it: here the token returns with the thread.
                await until(lambda: tokens()[0] == 0)
            log.append((ending, tokens()))
            if steps_before == 3:
                await until(gate.ended.is_set)
    return log


@scenario
async def a_loop_that_is_held_up(run):
    """The loop's thread may wait for what a thread does."""
    gate = Gate()
    task = asyncio.create_task(run(gate, "result"))
    while task._fut_waiter is None:
        await asyncio.sleep(0)
    assert gate.began.wait(LIMIT)
    gate.may_end.set()
    return await task


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_it_is_seen_as_anyio_is(name, loop_factory):
    assert threads.find() is not None, "this AnyIO is not known: nothing would be compared"
    function = SCENARIOS[name]
    expected = seen(loop_factory, function, run_in_threadpool)
    assert seen(loop_factory, function, _core.run_in_thread) == expected
