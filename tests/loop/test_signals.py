# SPDX-License-Identifier: MIT
"""Signals: add_signal_handler, the wake-up descriptor, and ^C while the loop waits."""

import asyncio
import ctypes
import os
import signal
import threading

import pytest

from tests.loop.support import new_loop, open_stream, run, run_script, until


def test_a_handler_runs_in_the_loop(loop):
    seen = []

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: seen)
        assert loop.remove_signal_handler(signal.SIGUSR1) is True
        assert loop.remove_signal_handler(signal.SIGUSR1) is False

    run(loop, main())
    assert seen == ["signal"]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_waiting_loop_is_woken(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    loop.run_forever()
    timer.join()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_handlers_that_fail_are_reported(loop, reports):
    def fail():
        raise ValueError("in handler")

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, fail)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: reports)
        loop.remove_signal_handler(signal.SIGUSR1)

    run(loop, main())
    assert str(reports[0]["exception"]) == "in handler"
    reports.clear()


def test_a_new_handler_replaces_the_old(loop):
    seen = []

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "old")
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "new")
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: seen)

    run(loop, main())
    assert seen == ["new"]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_several_signals(loop):
    seen = []
    signals = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

    async def main():
        for number in signals:
            loop.add_signal_handler(number, seen.append, number)
        for number in signals:
            os.kill(os.getpid(), number)
        await until(lambda: len(seen) == len(signals))

    run(loop, main())
    assert sorted(seen) == sorted(signals)
    for number in signals:
        assert loop.remove_signal_handler(number)


def test_what_cannot_be_handled(loop):
    async def coroutine():
        pass

    with pytest.raises(TypeError):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)
    with pytest.raises(RuntimeError):
        loop.add_signal_handler(signal.SIGKILL, print)
    with pytest.raises(ValueError):
        loop.add_signal_handler(1000, print)
    with pytest.raises(TypeError):
        loop.add_signal_handler("SIGUSR1", print)
    with pytest.raises(TypeError):
        loop.remove_signal_handler("SIGUSR1")


def test_closing_removes_handlers_and_the_wakeup_descriptor():
    assert signal.set_wakeup_fd(-1) == -1
    loop = new_loop()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_no_wakeup_descriptor_is_left_after_a_run(loop):
    assert signal.set_wakeup_fd(-1) == -1
    run(loop, asyncio.sleep(0.001))
    assert signal.set_wakeup_fd(-1) == -1


def test_not_outside_the_main_thread(loop):
    errors = []

    def work():
        own = new_loop()
        try:
            own.add_signal_handler(signal.SIGUSR1, print)
        except (ValueError, RuntimeError) as error:
            errors.append(error)
        finally:
            own.close()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert len(errors) == 1


def test_interrupt_while_waiting_leaves_run_forever():
    status, out, err = run_script(
        """
        import os, signal, threading
        loop = new_loop()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("left", loop.is_running())
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        """
    )
    assert (status, out) == (0, "left False\n"), err


def test_interrupt_cancels_the_runners_main_task():
    """asyncio.Runner turns ^C into a cancellation of the main task, then KeyboardInterrupt."""
    status, out, err = run_script(
        """
        import asyncio, os, signal, threading

        async def main():
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled")
                raise

        with asyncio.Runner(loop_factory=new_loop) as runner:
            try:
                runner.run(main())
            except KeyboardInterrupt:
                print("interrupted")
        """
    )
    assert (status, out) == (0, "cancelled\ninterrupted\n"), err


def test_a_plain_python_signal_handler_runs_while_the_loop_waits():
    """signal.signal's handler runs at once, and may call into the loop."""
    status, out, err = run_script(
        """
        import os, signal, threading
        loop = new_loop()
        signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(loop.stop))
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        loop.run_forever()
        loop.close()
        print("stopped")
        """
    )
    assert (status, out) == (0, "stopped\n"), err


def test_an_exception_in_a_plain_signal_handler_leaves_run_forever():
    status, out, err = run_script(
        """
        import os, signal, threading

        def handler(*_):
            raise LookupError("from the handler")

        loop = new_loop()
        signal.signal(signal.SIGUSR1, handler)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            loop.run_forever()
        except LookupError as error:
            print(error)
        loop.close()
        """
    )
    assert (status, out) == (0, "from the handler\n"), err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_burst_of_signals_loses_no_signal_number(loop):
    """Signals may merge, as POSIX allows; each number that was sent is seen at least once."""
    seen = set()

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, seen.add, 1)
        loop.add_signal_handler(signal.SIGUSR2, seen.add, 2)
        for _ in range(200):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
        await until(lambda: seen == {1, 2})

    run(loop, main())
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.remove_signal_handler(signal.SIGUSR2)


@pytest.mark.parametrize("reply", ["timer", "write"])
def test_what_a_plain_handler_starts_just_before_the_wait_is_not_left_waiting(loop, reply):
    """The signal comes while no Python code is left to run before the loop blocks."""
    raise_in_c = ctypes.CDLL(None)["raise"]

    async def main():
        transport, _, peer = await open_stream()

        def handler(*_):
            if reply == "timer":
                loop.call_later(0, transport.write, b"x")
            else:
                transport.write(b"x")

        previous = signal.signal(signal.SIGUSR1, handler)
        try:
            loop.call_soon(raise_in_c, int(signal.SIGUSR1))
            assert await loop.sock_recv(peer, 10) == b"x"
        finally:
            signal.signal(signal.SIGUSR1, previous)
            transport.close()
            peer.close()

    run(loop, main())
