# SPDX-License-Identifier: MIT
"""Debug mode, and the exception handler's own rules."""

import asyncio
import contextvars
import gc
import logging
import os
import signal
import sys
import threading
import time
import weakref

import pytest

from tests.loop.support import (
    Recorder,
    new_loop,
    open_stream,
    ours_only,
    run,
    run_script,
    run_turns,
    until,
)


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
            env = dict(os.environ, PYTHONASYNCIODEBUG=name, PYTHONDEVMODE="")
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


def test_a_slow_task_is_named_with_the_place_it_was_made_at(loop, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01

    async def sluggish_step():
        time.sleep(0.03)

    async def main():
        await loop.create_task(sluggish_step(), name="the slow one")

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(loop, main())
    loop.set_debug(False)
    # main(), which waits for it, may be slow as well on a busy machine.
    named = "Executing <Task finished name='the slow one'"
    (message,) = [text for text in caplog.messages if text.startswith(named)]
    assert "sluggish_step" in message and "created at" in message
    assert "test_debug.py" in message and "took" in message


class Slow(Recorder):
    """Its method of a name takes longer than debug mode likes."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        if name == "factory":
            time.sleep(0.03)

    def connection_made(self, transport):
        super().connection_made(transport)
        self.linger("connection_made")

    def data_received(self, data):
        super().data_received(data)
        self.linger("data_received")

    def eof_received(self):
        self.linger("eof_received")

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self.linger("connection_lost")

    def linger(self, name):
        if name == self.name:
            time.sleep(0.03)


@ours_only
@pytest.mark.parametrize(
    "name", ["factory", "connection_made", "data_received", "eof_received", "connection_lost"]
)
def test_slow_protocols_are_named(loop, caplog, name):
    """What a transport calls from C is timed as a callback is."""
    loop.set_debug(True)
    loop.slow_callback_duration = 0.02

    async def main():
        made = []

        def slow_factory():
            made.append(Slow(name))
            return made[0]

        server = await loop.create_server(slow_factory, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        writer.write_eof()
        await until(lambda: made)
        await made[0].lost
        await asyncio.sleep(0)  # it is reported once it has returned
        writer.close()
        server.close()

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(loop, main())
    loop.set_debug(False)
    expected = "slow_factory() at" if name == "factory" else f"Slow.{name}"
    owner = "<Listener fd=" if name == "factory" else "<Stream"
    named = [text for text in caplog.messages if expected in text and owner in text]
    assert len(named) == 1 and "test_debug.py" in named[0] and "took" in named[0], caplog.text


@ours_only
def test_a_slow_protocol_that_fails_is_reported_once_and_kept_by_nothing(loop, reports, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0

    class Failing(Recorder):
        def data_received(self, data):
            raise ValueError("while slow")

    async def main():
        _, protocol, peer = await open_stream(Failing)
        peer.send(b"x")
        await protocol.lost
        peer.close()
        return weakref.ref(protocol)

    with caplog.at_level(logging.WARNING, "asyncio"):
        reference = run(loop, main())
    loop.set_debug(False)
    (report,) = reports
    assert str(report["exception"]) == "while slow"
    reports.clear()
    del report
    gc.collect()
    assert reference() is None


def test_debug_mode_is_switched_while_the_loop_runs(loop):
    depths = []

    async def main():
        for enabled in (True, False, True):
            loop.set_debug(enabled)
            await asyncio.sleep(0.001)
            depths.append(sys.get_coroutine_origin_tracking_depth())
        transport, protocol, peer = await open_stream()
        peer.send(b"x")
        loop.set_debug(False)
        await until(lambda: protocol.data)
        loop.set_debug(True)
        transport.close()
        await protocol.lost
        peer.close()

    before = sys.get_coroutine_origin_tracking_depth()
    loop.set_debug(False)
    run(loop, main())
    loop.set_debug(False)
    assert depths[1] == before and depths[0] == depths[2] > before
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_a_dropped_loop_warns_and_gives_its_descriptors_back():
    before = set(os.listdir("/proc/self/fd"))
    loop = new_loop()
    loop.call_later(3600, print)
    loop.call_soon(print, loop)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        gc.collect()
    assert set(os.listdir("/proc/self/fd")) <= before


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


@ours_only
def test_slow_signal_handlers_and_pipes_are_named(loop, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.02

    def slow_handler(*_):
        time.sleep(0.05)

    class SlowReader(asyncio.Protocol):
        def data_received(self, data):
            time.sleep(0.05)

    class SlowParent(asyncio.SubprocessProtocol):
        def pipe_data_received(self, fd, data):
            time.sleep(0.05)

        def process_exited(self):
            ended.set_result(None)

    async def main():
        nonlocal ended
        ended = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, slow_handler)
        os.kill(os.getpid(), signal.SIGUSR1)
        reading, writing = os.pipe()
        transport, _ = await loop.connect_read_pipe(SlowReader, open(reading, "rb", 0))
        os.write(writing, b"x")
        child, _ = await loop.subprocess_exec(SlowParent, "echo", "x")
        await ended
        await until(lambda: all(name in "\n".join(caplog.messages) for name in names))
        loop.remove_signal_handler(signal.SIGUSR1)
        transport.close()
        child.close()
        os.close(writing)
        await asyncio.sleep(0.01)

    ended = None
    names = ("slow_handler", "SlowReader.data_received", "SlowParent.pipe_data_received")
    with caplog.at_level(logging.WARNING, "asyncio"):
        run(loop, main())
    slow = "\n".join(caplog.messages)
    assert all(name in slow for name in names)
