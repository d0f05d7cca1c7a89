# SPDX-License-Identifier: MIT
"""Tasks and futures: real ones, every keyword of the running Python, factories, cancellation."""

import asyncio
import contextvars
import sys

import pytest

from tests.loop.support import TASK_KINDS, run, with_tasks

NEW_KEYWORDS = sys.version_info >= (3, 14)
"""create_task(**kwargs) hands everything to the factory (gh-128307)."""


@pytest.fixture(params=TASK_KINDS)
def loop(loop, request):
    return with_tasks(loop, request.param)


def test_tasks_and_futures_are_asyncios(loop):
    async def main():
        assert type(asyncio.current_task()) is asyncio.Task
        assert type(loop.create_future()) is asyncio.Future
        assert asyncio.current_task() in asyncio.all_tasks()
        assert asyncio.current_task().get_loop() is loop

    run(loop, main())


def test_names_and_contexts(loop):
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    async def give():
        return variable.get()

    async def main():
        task = loop.create_task(give(), name="named")
        assert task.get_name() == "named"
        assert await task == "none"
        assert await loop.create_task(give(), context=context) == "given"
        assert loop.create_task(give()).get_name().startswith("Task-")
        await asyncio.sleep(0)

    run(loop, main())


def test_a_task_factory(loop):
    made = []

    def factory(loop_, coroutine, **keywords):
        assert loop_ is loop
        made.append(sorted(keywords))
        return asyncio.Task(coroutine, loop=loop_, **keywords)

    async def give():
        return asyncio.current_task().get_name()

    async def main():
        assert await loop.create_task(give(), name="named") == "named"
        assert await loop.create_task(give(), context=contextvars.copy_context())

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.run_until_complete(main())
    assert len(made) == 3
    assert "context" in made[2]
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    with pytest.raises(TypeError):
        loop.set_task_factory("text")


def test_a_factory_of_two_arguments(loop):
    """The oldest contract: factory(loop, coroutine), with the name set afterwards."""
    if NEW_KEYWORDS:
        pytest.skip("from 3.14 a factory is given the keywords")

    def factory(loop_, coroutine):
        return asyncio.Task(coroutine, loop=loop_)

    async def give():
        return asyncio.current_task().get_name()

    async def main():
        return await loop.create_task(give(), name="named")

    loop.set_task_factory(factory)
    assert loop.run_until_complete(main()) == "named"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(loop):
    async def give():
        return 5

    async def main():
        task = loop.create_task(give())
        assert task.done() and task.result() == 5
        assert await asyncio.create_task(asyncio.sleep(0, "later")) == "later"

    async def set_up():
        loop.set_task_factory(asyncio.eager_task_factory)
        await main()

    run(loop, set_up())


@pytest.mark.skipif(not NEW_KEYWORDS, reason="eager_start is a keyword of 3.14")
def test_eager_start(loop):
    async def give():
        return 5

    async def main():
        task = loop.create_task(give(), eager_start=True)
        assert task.done() and task.result() == 5

    run(loop, main())


def test_unknown_keywords_are_refused(loop):
    async def main():
        coroutine = asyncio.sleep(0)
        with pytest.raises(TypeError):
            loop.create_task(coroutine, unknown=1)
        coroutine.close()

    run(loop, main())


def test_cancellation_and_timeouts(loop):
    async def main():
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel("message")
        with pytest.raises(asyncio.CancelledError, match="message"):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 0.005)
        assert await asyncio.wait_for(asyncio.sleep(0, "value"), 60) == "value"

    run(loop, main())


def test_gather_wait_and_groups(loop):
    async def fail():
        await asyncio.sleep(0)
        raise ValueError("one")

    async def main():
        assert await asyncio.gather(*(asyncio.sleep(0, n) for n in range(50))) == list(range(50))
        results = await asyncio.gather(fail(), asyncio.sleep(0, 2), return_exceptions=True)
        assert isinstance(results[0], ValueError) and results[1] == 2
        slow = asyncio.create_task(asyncio.sleep(60))
        done, pending = await asyncio.wait(
            [slow, asyncio.create_task(asyncio.sleep(0))], return_when=asyncio.FIRST_COMPLETED
        )
        assert len(done) == 1 and pending == {slow}
        slow.cancel()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                cancelled = group.create_task(asyncio.sleep(60))
        assert isinstance(caught.value.exceptions[0], ValueError)
        assert cancelled.cancelled()

    run(loop, main())


def test_queues_and_locks(loop):
    async def main():
        queue = asyncio.Queue(2)
        lock = asyncio.Lock()
        seen = []

        async def produce():
            for number in range(50):
                await queue.put(number)
            await queue.put(None)

        async def consume():
            while (number := await queue.get()) is not None:
                async with lock:
                    seen.append(number)

        await asyncio.gather(produce(), consume())
        assert seen == list(range(50))

    run(loop, main())


def test_a_future_is_bound_to_its_loop(loop):
    async def main():
        future = loop.create_future()
        assert future.get_loop() is loop
        order = []
        future.add_done_callback(lambda _: order.append("callback"))
        loop.call_soon(order.append, "soon")
        future.set_result(1)
        assert order == []
        await asyncio.sleep(0)
        assert order == ["soon", "callback"]

    run(loop, main())


def test_steps_of_tasks_interleave_in_order(loop):
    seen = []

    async def steps(name):
        for number in range(3):
            seen.append((number, name))
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(steps(name) for name in "abc"))

    run(loop, main())
    assert seen == [(number, name) for number in range(3) for name in "abc"]


def test_current_task_inside_callbacks(loop):
    """Drivers take asyncio.current_task() as their key: none in a callback, the own in a task."""
    seen = []

    async def main():
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        future = loop.create_future()
        future.add_done_callback(lambda _: seen.append(asyncio.current_task()))
        future.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(loop, main())
    assert seen == [None, None]
