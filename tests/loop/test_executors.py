# SPDX-License-Identifier: MIT
"""run_in_executor and what lies between the executor's future and the loop's."""

import asyncio
import concurrent.futures
import gc
import sys
import threading
import weakref

import pytest

from tests.loop.support import new_loop, ours_only, run, run_turns


class Manual(concurrent.futures.Executor):
    """Gives out futures that the test completes."""

    def __init__(self, factory=concurrent.futures.Future):
        self.factory = factory
        self.futures = []

    def submit(self, function, /, *args, **kwargs):
        self.futures.append(self.factory())
        return self.futures[-1]


class Own(concurrent.futures.Future):
    """Not exactly the class that is read directly."""


@pytest.fixture(params=[concurrent.futures.Future, Own])
def manual(request):
    return Manual(request.param)


def test_a_result_comes(loop, manual):
    future = loop.run_in_executor(manual, int)
    assert isinstance(future, asyncio.Future)
    assert future.get_loop() is loop
    manual.futures[0].set_result("result")
    assert not future.done()
    run_turns(loop)
    assert future.result() == "result"


def test_what_is_done_already(loop, manual):
    done = manual.factory()
    done.set_result(5)
    manual.factory = lambda: done
    future = loop.run_in_executor(manual, int)
    assert not future.done()
    assert run(loop, asyncio.wait_for(future, 10)) == 5


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyError("why"), KeyError),
        (concurrent.futures.TimeoutError("late"), asyncio.TimeoutError),
        (concurrent.futures.InvalidStateError("state"), asyncio.InvalidStateError),
    ],
)
def test_an_exception_comes(loop, manual, raised, expected):
    future = loop.run_in_executor(manual, int)
    manual.futures[0].set_exception(raised)
    run_turns(loop)
    assert type(future.exception()) is expected
    assert future.exception().args == raised.args


def test_an_exception_in_a_thread_has_its_traceback(loop):
    def fails():
        raise ValueError("here")

    async def main():
        with pytest.raises(ValueError, match="here") as caught:
            await loop.run_in_executor(None, fails)
        assert caught.traceback[-1].name == "fails"

    run(loop, main())


def test_cancelling_goes_to_the_executor(loop, manual):
    future = loop.run_in_executor(manual, int)
    future.cancel()
    run_turns(loop)
    assert manual.futures[0].cancelled()


def test_cancelling_what_runs_leaves_it_running(loop, manual, reports):
    future = loop.run_in_executor(manual, int)
    assert manual.futures[0].set_running_or_notify_cancel()
    future.cancel()
    run_turns(loop)
    assert not manual.futures[0].cancelled()
    manual.futures[0].set_result(1)
    run_turns(loop)
    assert future.cancelled()
    assert reports == []


def test_cancelling_comes_from_the_executor(loop, manual):
    future = loop.run_in_executor(manual, int)
    manual.futures[0].cancel()
    run_turns(loop)
    assert future.cancelled()


def test_a_future_completed_by_somebody_else_is_reported(loop, manual, reports):
    future = loop.run_in_executor(manual, int)
    future.set_result("mine")
    manual.futures[0].set_result("late")
    run_turns(loop)
    assert future.result() == "mine"
    assert [type(report["exception"]) for report in reports] in (
        [AssertionError],
        [asyncio.InvalidStateError],
    )
    reports.clear()


def test_a_loop_closed_meanwhile(manual):
    loop = new_loop()
    future = loop.run_in_executor(manual, int)
    loop.close()
    manual.futures[0].set_result(1)  # raises nothing in the executor's thread
    assert not future.done()


def test_a_closed_loop_takes_nothing(manual):
    loop = new_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(manual, int)
    assert manual.futures == []


def test_what_is_no_future(loop):
    executor = Manual(object)
    with pytest.raises(AssertionError, match=r"concurrent\.futures\.Future is expected, got <obj"):
        loop.run_in_executor(executor, int)
    executor = Manual(loop.create_future)
    assert loop.run_in_executor(executor, int) is executor.futures[0]
    with pytest.raises(AttributeError, match="submit"):
        loop.run_in_executor(object(), int)


def test_coroutines_are_refused_in_debug_mode(loop):
    async def coroutine():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"coroutines cannot be used with run_in_executor\(\)"):
        loop.run_in_executor(None, coroutine)
    with pytest.raises(TypeError, match="a callable object was expected by run_in_executor"):
        loop.run_in_executor(None, 5)
    loop.set_debug(False)


def test_the_default_executor(loop):
    async def main():
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert name.startswith("asyncio_")
        executor = loop._default_executor
        assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)
        await loop.run_in_executor(None, int)
        assert loop._default_executor is executor
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, int)

    run(loop, main())


def test_only_threads_for_the_default(loop):
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(Manual())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the keyword came with 3.12")
def test_shutdown_takes_no_longer_than_it_is_given(loop):
    goes_on = threading.Event()

    async def main():
        running = loop.run_in_executor(None, goes_on.wait)
        with pytest.warns(RuntimeWarning, match=r"within 0\.01 seconds"):
            await loop.shutdown_default_executor(timeout=0.01)
        assert not goes_on.is_set()
        goes_on.set()
        await running

    run(loop, main())


def test_many_at_once(loop):
    async def main():
        results = await asyncio.gather(
            *(loop.run_in_executor(None, pow, 2, number) for number in range(200))
        )
        assert results == [2**number for number in range(200)]

    run(loop, main())


def test_another_process(loop):
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert run(loop, asyncio.wait_for(loop.run_in_executor(pool, pow, 2, 5), 30)) == 32


@ours_only
def test_what_is_done_is_let_go(loop):
    """The executor's future keeps its callbacks; they must keep nothing of the loop's."""

    manual = Manual()
    future = loop.run_in_executor(manual, int)
    manual.futures[0].set_result(None)
    run_turns(loop, 2)
    gone = weakref.ref(future)
    gc.disable()
    try:
        del future
        assert gone() is None
    finally:
        gc.enable()
