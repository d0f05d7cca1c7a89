# SPDX-License-Identifier: MIT
"""`_core.run_in_thread` where loops, threads and processes go away under it."""

import asyncio
import subprocess
import sys
import textwrap
import threading

import anyio.to_thread
import pytest

from camshaft import _core
from camshaft.fastapi import threads
from tests.fastapi.test_pool import LIMIT, LOOPS, Gate, ended, tokens, until


@pytest.fixture(params=LOOPS)
def loop_factory(request):
    return LOOPS[request.param]


@pytest.fixture
def loop(loop_factory):
    loop = loop_factory()
    yield loop
    loop.close()
    ended()


@pytest.fixture
def thread_errors(monkeypatch):
    errors = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    monkeypatch.setattr(sys, "unraisablehook", errors.append)
    return errors


def python(code, *arguments):
    """Run a program, which must end by itself; what it has printed."""
    program = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


# ---- the loop ends ----


def test_a_loop_closed_while_a_worker_runs(loop, thread_errors):
    gate = Gate()

    async def main():
        task = asyncio.ensure_future(_core.run_in_thread(gate))
        await until(gate.began.is_set)
        return task

    task = loop.run_until_complete(main())
    task._log_destroy_pending = False
    loop.close()
    gate.may_end.set()
    ended()
    assert gate.ended.is_set()
    assert thread_errors == []


def test_calls_that_wait_when_the_root_task_ends_are_made(loop, thread_errors):
    gate = Gate()
    calls = []

    def last():
        calls.append(1)
        gate.may_end.set()

    async def main():
        tasks = [asyncio.ensure_future(_core.run_in_thread(gate))]
        await until(gate.began.is_set)
        tasks.append(asyncio.ensure_future(_core.run_in_thread(last)))
        while tasks[1]._fut_waiter is None:
            await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(main())
    ended()
    assert calls == [1]
    loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks), LIMIT))
    assert thread_errors == []


def test_a_loop_runs_again_with_other_threads(loop):
    async def main():
        return await _core.run_in_thread(threading.current_thread)

    first = loop.run_until_complete(main())
    ended()
    second = loop.run_until_complete(main())
    assert second is not first
    assert not first.is_alive()


def test_two_loops_at_once(loop_factory):
    barrier = threading.Barrier(2)
    seen = {}

    def serve(name):
        async def main():
            await _core.run_in_thread(barrier.wait, LIMIT)
            return {await _core.run_in_thread(threading.get_ident) for _ in range(50)}

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            seen[name] = runner.run(main())

    servers = [threading.Thread(target=serve, args=(name,)) for name in "ab"]
    for server in servers:
        server.start()
    for server in servers:
        server.join(LIMIT)
    assert not seen["a"] & seen["b"]
    ended()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_loop_ends_it_from_a_thread(loop, error):
    def leave():
        raise error(3)

    async def main():
        await _core.run_in_thread(leave)

    with pytest.raises(error) as raised:
        loop.run_until_complete(main())
    assert raised.value.args == (3,)
    assert loop.run_until_complete(_tokens()) == (0, 40, 0)


async def _tokens():
    return tokens()


# ---- threads ----


def test_a_thread_that_cannot_be_started(loop, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await _core.run_in_thread(int)
        assert tokens() == (0, 40, 0)
        assert await _core.run_in_thread(int) == 0
        gate = Gate()
        first = asyncio.ensure_future(_core.run_in_thread(gate))
        await until(gate.began.is_set)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await _core.run_in_thread(int)
        gate.may_end.set()
        await first
        return await _core.run_in_thread(int)

    assert loop.run_until_complete(main()) == 0


def test_a_call_behind_others_when_no_thread_can_be_started(loop, monkeypatch):
    """Two calls are given to one thread; that the second needs another is seen when the first
    has begun."""
    log = []

    def start(self):
        raise RuntimeError("can't start new thread")

    async def main():
        await _core.run_in_thread(int)
        gates = [Gate(), Gate()]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            tasks = [asyncio.ensure_future(_core.run_in_thread(gate)) for gate in gates]
            await until(gates[0].began.is_set)
            for _ in range(50):
                await asyncio.sleep(0.001)
            log.append(tasks[1].done())
            for gate in gates:
                gate.may_end.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    answers = loop.run_until_complete(main())
    assert answers[0] is None
    assert answers[1] is None or str(answers[1]) == "can't start new thread"
    assert log == [answers[1] is not None]


def test_threads_see_trace_and_profile_functions(loop):
    seen = []

    def function():
        pass

    def trace(frame, event, argument):
        seen.append(frame.f_code.co_name)

    async def main():
        await _core.run_in_thread(function)

    threading.settrace(trace)
    try:
        loop.run_until_complete(main())
        ended()
    finally:
        threading.settrace(None)
    assert "function" in seen


# ---- processes ----

FORK = """
    import asyncio, os, sys
    import camshaft
    from camshaft import _core

    def fork():
        child = os.fork()
        if child == 0:
            return "child"
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def main():
        await _core.run_in_thread(int)
        return await _core.run_in_thread(fork)

    factory = getattr(camshaft if sys.argv[1] == "camshaft" else asyncio, "new_event_loop")
    with asyncio.Runner(loop_factory=factory) as runner:
        print(runner.run(main()))
"""


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.filterwarnings("ignore")
def test_a_fork_in_a_worker(name):
    """The child has that thread alone: it ends, where AnyIO's would wait for ever."""
    assert (
        python("import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(FORK), name)[
            -1
        ]
        == "0"
    )


@pytest.mark.parametrize("name", LOOPS)
def test_a_new_loop_in_a_forked_child(name):
    answer = python(
        """
        import asyncio, os, sys, threading, warnings
        import camshaft
        from camshaft import _core
        warnings.simplefilter("ignore")

        factory = getattr(camshaft if sys.argv[1] == "camshaft" else asyncio, "new_event_loop")

        async def call():
            return await _core.run_in_thread(int, "5")

        async def main():
            barrier = threading.Barrier(3)
            await asyncio.gather(*(_core.run_in_thread(barrier.wait) for _ in range(3)))
            child = os.fork()
            if child == 0:
                return "child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        loop = factory()
        try:
            answer = loop.run_until_complete(main())
        except RuntimeError:
            answer = "child"
        if answer == "child":
            asyncio._set_running_loop(None)
            other = factory()
            assert other.run_until_complete(call()) == 5
            os._exit(7)
        print(answer)
        """,
        name,
    )
    assert answer == ["7"]


@pytest.mark.parametrize("name", LOOPS)
def test_a_process_ends_though_its_loop_was_left(name):
    """The root task never ends: AnyIO's idle thread would keep the process."""
    assert python(
        """
        import asyncio, sys, warnings
        import camshaft
        from camshaft import _core
        warnings.simplefilter("ignore")

        factory = getattr(camshaft if sys.argv[1] == "camshaft" else asyncio, "new_event_loop")

        async def main():
            print(await _core.run_in_thread(int))
            loop.stop()
            await asyncio.sleep(1000)

        loop = factory()
        loop.set_exception_handler(lambda *arguments: None)
        task = loop.create_task(main())
        task._log_destroy_pending = False
        try:
            loop.run_until_complete(task)
        except RuntimeError:
            pass
        loop.close()
        """,
        name,
    ) == ["0"]


def test_a_daemon_thread_at_the_end_of_the_process():
    assert python(
        """
        import asyncio, threading, time
        import camshaft
        from camshaft import _core

        began = threading.Event()

        def work():
            began.set()
            time.sleep(1000)

        async def main():
            await asyncio.gather(_core.run_in_thread(work), _core.run_in_thread(int))

        def serve():
            with asyncio.Runner(loop_factory=camshaft.new_event_loop) as runner:
                runner.run(main())

        threading.Thread(target=serve, daemon=True).start()
        began.wait()
        print("end")
        """
    ) == ["end"]


# ---- where AnyIO has to do it ----


def test_without_a_loop():
    with pytest.raises(BaseException) as native:
        _core.run_in_thread(int).send(None)
    with pytest.raises(BaseException) as stock:
        anyio.to_thread.run_sync(int).send(None)
    assert type(native.value) is type(stock.value)
    assert str(native.value) == str(stock.value)


def test_a_replaced_run_sync_is_called(loop, monkeypatch):
    calls = []

    async def run_sync(function, *arguments):
        calls.append(function())
        await asyncio.sleep(0)
        return "of the replacement"

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)

    async def main():
        return await _core.run_in_thread(dict, [("a", 1)], b=2)

    assert loop.run_until_complete(main()) == "of the replacement"
    assert calls == [{"a": 1, "b": 2}]


def test_an_anyio_that_is_not_known_is_called():
    answer = python(
        """
        import asyncio
        import camshaft
        from camshaft import _core
        from camshaft.fastapi import threads

        threads.KNOWN = frozenset()
        assert threads.find() is None

        def fail():
            raise ValueError("text")

        async def main():
            for function, arguments in ((int, ("5",)), (fail, ())):
                try:
                    print(await _core.run_in_thread(function, *arguments))
                except ValueError as error:
                    print(error)
            task = asyncio.ensure_future(_core.run_in_thread(int))
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
            waiting = _core.run_in_thread(int)
            waiting.send(None)
            waiting.close()

        with asyncio.Runner(loop_factory=camshaft.new_event_loop) as runner:
            runner.run(main())
        """
    )
    assert answer == ["5", "text", "cancelled"]


def test_no_other_than_a_function_is_taken():
    with pytest.raises(TypeError, match="takes a function"):
        _core.run_in_thread()


def test_this_anyio_is_known():
    """Else AnyIO is called itself, and a new entry in KNOWN is wanted (after these tests)."""
    assert threads.digest() in threads.KNOWN
    assert threads.find() is not None


def test_a_part_that_was_replaced_makes_it_unknown(monkeypatch):
    from anyio._backends import _asyncio as backend

    monkeypatch.setattr(backend, "find_root_task", lambda: None)
    assert threads.find() is None


def test_it_is_a_coroutine_to_asyncio():
    waiting = _core.run_in_thread(int)
    assert asyncio.iscoroutine(waiting)
    waiting.close()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        waiting.send(None)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        waiting.throw(ValueError())
