# SPDX-License-Identifier: MIT
"""Debug mode, and the exception handler's own rules."""

import asyncio
import contextvars
import logging
import sys
import threading
import time

import pytest

from tests.loop.support import run, run_script, run_turns


def test_debug_is_off_and_can_be_switched(loop):
    assert loop.get_debug() is sys.flags.dev_mode
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False


def test_dev_mode_turns_it_on():
    status, out, err = run_script(
        """
        import os, subprocess, sys
        code = (
            "from tests.loop.support import new_loop; l = new_loop();"
            "print(l.get_debug()); l.close()"
        )
        for flags, name in ((["-X", "dev"], ""), ([], "1"), ([], "")):
            env = dict(os.environ, PYTHONASYNCIODEBUG=name)
            print(subprocess.check_output([sys.executable, *flags, "-c", code], env=env, text=True),
                  end="")
        """
    )
    assert (status, out) == (0, "True\nTrue\nFalse\n"), err


def test_calls_from_the_wrong_thread_are_refused(loop):
    loop.set_debug(True)
    errors = []

    def work():
        for call in (loop.call_soon, lambda f: loop.call_later(0, f), lambda f: loop.call_at(0, f)):
            try:
                call(print)
            except RuntimeError as error:
                errors.append(str(error))

    async def main():
        await asyncio.to_thread(work)

    run(loop, main())
    loop.set_debug(False)
    assert len(errors) == 3
    assert all("Non-thread-safe" in error for error in errors)


def test_threadsafe_calls_are_not(loop):
    loop.set_debug(True)
    worker = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    loop.call_soon(worker.start)
    loop.run_forever()
    worker.join()
    loop.set_debug(False)


def test_coroutines_are_no_callbacks(loop):
    async def coroutine():
        pass

    made = coroutine()
    loop.set_debug(True)
    for call in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        lambda f: loop.call_later(0, f),
        lambda f: loop.call_at(0, f),
        lambda f: loop.run_in_executor(None, f),
    ):
        with pytest.raises(TypeError):
            call(coroutine)
        with pytest.raises(TypeError):
            call(made)
        with pytest.raises(TypeError):
            call(5)
    loop.set_debug(False)
    made.close()


def test_slow_callbacks_are_named(loop, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01

    def sluggish():
        time.sleep(0.03)

    async def sluggish_step():
        time.sleep(0.03)

    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.call_soon(sluggish)
        run_turns(loop)
        assert "sluggish" in caplog.text and "took" in caplog.text
        caplog.clear()
        loop.run_until_complete(sluggish_step())
        assert "sluggish_step" in caplog.text and "Task" in caplog.text
    loop.set_debug(False)


def test_where_a_failing_callback_was_scheduled(loop, reports):
    loop.set_debug(True)

    def fail():
        raise ValueError

    loop.call_soon(fail)
    run_turns(loop)
    loop.set_debug(False)
    (report,) = reports
    reports.clear()
    frames = report["source_traceback"]
    assert any(frame.name == "test_where_a_failing_callback_was_scheduled" for frame in frames)


def test_origin_tracking_is_put_back(loop):
    before = sys.get_coroutine_origin_tracking_depth()
    loop.set_debug(True)
    seen = []
    loop.call_soon(lambda: seen.append(sys.get_coroutine_origin_tracking_depth()))
    run_turns(loop)
    loop.set_debug(False)
    assert seen[0] > 0
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_everything_works_in_debug_mode(loop):
    loop.set_debug(True)

    async def main():
        async def child():
            await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(child())
        handle = loop.call_later(5, print)
        assert "created at" in repr(handle)
        handle.cancel()
        assert "cancelled" in repr(handle)
        await loop.run_in_executor(None, int)

    run(loop, main())
    loop.set_debug(False)


def test_exception_handlers(loop):
    assert callable(loop.get_exception_handler())
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    with pytest.raises(TypeError):
        loop.set_exception_handler("text")
    seen = []
    loop.set_exception_handler(lambda *arguments: seen.append(arguments))
    context = {"message": "told", "exception": ValueError()}
    loop.call_exception_handler(context)
    assert seen == [(loop, context)]


def test_the_default_handler_logs(loop, caplog):
    loop.set_exception_handler(None)

    def fail():
        raise ValueError("logged")

    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_soon(fail)
        run_turns(loop)
    assert "Exception in callback" in caplog.text
    assert "ValueError: logged" in caplog.text


def test_a_handler_that_fails_is_logged(loop, caplog):
    def broken(loop, context):
        raise LookupError("broken handler")

    loop.set_exception_handler(broken)
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_exception_handler({"message": "first"})
    assert "Unhandled error in exception handler" in caplog.text
    loop.set_exception_handler(None)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_handler_may_interrupt(loop, kind):
    def interrupting(loop, context):
        raise kind

    def fail():
        raise ValueError

    loop.set_exception_handler(interrupting)
    loop.call_soon(fail)
    with pytest.raises(kind):
        loop.run_forever()
    loop.set_exception_handler(None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="handlers have the context from 3.12")
def test_the_handler_runs_in_the_failing_callbacks_context(loop):
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "failing")
    seen = []

    def fail():
        raise ValueError

    loop.set_exception_handler(lambda *_: seen.append(variable.get()))
    loop.call_soon(fail, context=context)
    run_turns(loop)
    assert seen == ["failing"]
