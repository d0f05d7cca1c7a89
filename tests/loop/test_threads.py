# SPDX-License-Identifier: MIT
"""What other threads may do: call_soon_threadsafe, run_coroutine_threadsafe, executors."""

import asyncio
import concurrent.futures
import contextvars
import threading
import time

import pytest

from tests.loop.support import LIMIT, new_loop, run, run_turns


def test_calls_from_many_threads_all_run_in_each_threads_order(loop):
    threads, calls = 8, 500
    seen = []

    def call(name):
        for number in range(calls):
            loop.call_soon_threadsafe(note, name, number)

    def note(name, number):
        seen.append((name, number))
        if len(seen) == threads * calls:
            loop.stop()

    workers = [threading.Thread(target=call, args=(name,)) for name in range(threads)]
    for worker in workers:
        worker.start()
    loop.run_forever()
    for worker in workers:
        worker.join()
    for name in range(threads):
        assert [n for who, n in seen if who == name] == list(range(calls))


def test_more_calls_than_one_turn_is_given(loop):
    """From so many on, the thread lets the loop run in between."""
    seen = []

    def call():
        for number in range(20_000):
            loop.call_soon_threadsafe(seen.append, number)
        loop.call_soon_threadsafe(loop.stop)

    worker = threading.Thread(target=call)
    worker.start()
    loop.run_forever()
    worker.join()
    assert seen == list(range(20_000))


def test_many_calls_before_the_loop_runs(loop):
    for _ in range(3000):
        loop.call_soon_threadsafe(int)
    worker = threading.Thread(target=lambda: [loop.call_soon_threadsafe(int) for _ in range(3000)])
    worker.start()
    worker.join()
    run_turns(loop)


def test_a_blocked_loop_is_woken(loop):
    """Once per round, with the loop having nothing else to wait for."""
    rounds = []
    again = threading.Semaphore(0)

    def call():
        for _ in range(50):
            again.acquire()
            time.sleep(0.0005)
            loop.call_soon_threadsafe(done)

    def done():
        rounds.append(1)
        if len(rounds) == 50:
            loop.stop()
        again.release()

    worker = threading.Thread(target=call)
    worker.start()
    loop.call_soon(again.release)
    loop.run_forever()
    worker.join()
    assert len(rounds) == 50


def test_from_the_loops_own_thread(loop):
    seen = []
    loop.call_soon_threadsafe(seen.append, 1)
    loop.call_soon(seen.append, 2)
    loop.call_soon_threadsafe(seen.append, 3)
    run_turns(loop)
    assert seen == [1, 2, 3]


def test_it_gives_a_handle_and_takes_a_context(loop):
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.Context()
    context.run(variable.set, "given")
    seen = []
    loop.call_soon_threadsafe(lambda: seen.append(variable.get()), context=context)
    loop.call_soon_threadsafe(seen.append, "cancelled").cancel()
    run_turns(loop)
    assert seen == ["given"]


def test_a_closed_loop_refuses_calls_from_threads(loop):
    """aiosqlite's threads rely on the RuntimeError (database.md: aiosqlite#241)."""
    loop.close()
    errors = []

    def call():
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            errors.append(str(error))

    worker = threading.Thread(target=call)
    worker.start()
    worker.join()
    assert errors == ["Event loop is closed"]


def test_closing_while_threads_call(loop):
    """Each call either queues or raises RuntimeError, and none crashes."""
    errors = []
    go = threading.Event()

    def call():
        go.wait()
        try:
            while True:
                loop.call_soon_threadsafe(int)
        except RuntimeError as error:
            errors.append(str(error))

    workers = [threading.Thread(target=call) for _ in range(4)]
    for worker in workers:
        worker.start()
    loop.call_soon(go.set)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    for worker in workers:
        worker.join()
    assert errors == ["Event loop is closed"] * 4


def test_run_coroutine_threadsafe(loop):
    async def add(a, b):
        await asyncio.sleep(0.001)
        return a + b

    def work():
        return asyncio.run_coroutine_threadsafe(add(2, 3), loop).result(LIMIT)

    async def main():
        return await asyncio.to_thread(work)

    assert run(loop, main()) == 5


def test_a_loop_runs_in_any_thread():
    results = []

    def work(number):
        async def main():
            await asyncio.sleep(0.001)
            return number

        own = new_loop()
        try:
            results.append(own.run_until_complete(main()))
        finally:
            own.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(results) == [0, 1, 2, 3]


def test_executor_results_and_errors(loop):
    async def main():
        assert await loop.run_in_executor(None, lambda: 5) == 5
        assert await loop.run_in_executor(None, max, 1, 2) == 2
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [loop.run_in_executor(pool, str, number) for number in range(20)]
            assert await asyncio.gather(*futures) == [str(number) for number in range(20)]

    run(loop, main())


def test_set_default_executor(loop):
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="named")
    loop.set_default_executor(pool)

    async def main():
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert name.startswith("named")

    run(loop, main())
    with pytest.raises(TypeError):
        loop.set_default_executor("text")


def test_shutdown_default_executor_twice(loop):
    async def main():
        await loop.run_in_executor(None, int)
        await loop.shutdown_default_executor()
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            loop.run_in_executor(None, int)

    run(loop, main())


def test_to_thread_keeps_the_context(loop):
    variable = contextvars.ContextVar("variable", default="none")

    async def main():
        variable.set("set")
        return await asyncio.to_thread(variable.get)

    assert run(loop, main()) == "set"
