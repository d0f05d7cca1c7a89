# SPDX-License-Identifier: MIT
"""Signals: add_signal_handler, the wake-up descriptor, and ^C while the loop waits."""

import asyncio
import ctypes
import gc
import os
import signal
import threading
import weakref

import pytest

from tests.loop.support import (
    new_loop,
    open_stream,
    ours_only,
    run,
    run_script,
    until,
)


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


def test_a_handler_stays_when_another_thread_cannot_replace_it(loop):
    heard = []
    errors = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, 1)

    def work():
        try:
            loop.add_signal_handler(signal.SIGUSR1, heard.append, 2)
        except (ValueError, RuntimeError) as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    os.kill(os.getpid(), signal.SIGUSR1)
    run(loop, asyncio.sleep(0.01))
    assert len(errors) == 1
    assert heard == [1]
    assert loop.remove_signal_handler(signal.SIGUSR1)


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


@ours_only  # asyncio leaves -1 behind
def test_the_wakeup_descriptor_that_was_there_is_put_back(loop):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        signal.set_wakeup_fd(writing)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, print)
        loop.remove_signal_handler(signal.SIGUSR1)
        ours = signal.set_wakeup_fd(writing)
        assert ours not in (-1, writing)
        signal.set_wakeup_fd(ours)
        loop.remove_signal_handler(signal.SIGUSR2)
        assert signal.set_wakeup_fd(writing) == writing
        # Another's, put there meanwhile, stays too.
        loop.add_signal_handler(signal.SIGUSR1, print)
        signal.set_wakeup_fd(writing)
        loop.close()
        assert signal.set_wakeup_fd(-1) == writing
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reading)
        os.close(writing)


@ours_only
def test_nothing_is_left_open_when_the_last_handler_goes(loop):
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        loop.add_signal_handler(signal.SIGUSR1, print)
        loop.add_signal_handler(signal.SIGUSR1, print)
        assert set(os.listdir("/proc/self/fd")) > before
        loop.remove_signal_handler(signal.SIGUSR1)
        assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(RuntimeError):
        loop.add_signal_handler(signal.SIGKILL, print)
    assert set(os.listdir("/proc/self/fd")) == before


@ours_only  # a pair of sockets holds 278 numbers: asyncio forgets SIGUSR2, and prints a warning
def test_a_full_pipe_forgets_no_signal():
    status, out, err = run_script(
        """
        import ctypes, os, signal
        loop = new_loop()
        loop.slow_callback_duration = 60
        counts = {signal.SIGUSR1: 0, signal.SIGUSR2: 0}

        def handler(number):
            counts[number] += 1
            if number == signal.SIGUSR2:
                loop.call_soon(loop.stop)

        for number in counts:
            loop.add_signal_handler(number, handler, number)
        raise_in_c = ctypes.CDLL(None)["raise"]
        for _ in range(70_000):  # the pipe holds 65,536
            raise_in_c(int(signal.SIGUSR1))
        raise_in_c(int(signal.SIGUSR2))
        loop.call_later(20, loop.stop)
        loop.run_forever()
        loop.close()
        print(65_536 <= counts[signal.SIGUSR1] <= 70_000, counts[signal.SIGUSR2])
        """
    )
    assert (status, out, err) == (0, "True 1\n", "")


def test_each_of_a_few_thousand_signals_is_delivered(loop):
    """Those that the kernel did not merge, as asyncio does: nothing coalesces them here."""
    seen = []

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
        for turn in range(20):
            for _ in range(200):
                os.kill(os.getpid(), signal.SIGUSR1)
            await until(lambda: len(seen) >= 200 * (turn + 1))  # noqa: B023

    run(loop, main())
    assert len(seen) == 4000
    loop.remove_signal_handler(signal.SIGUSR1)


# Sends SIGUSR1 to a process at that rate for two seconds, then SIGUSR2.
SENDER = """
import os, signal, sys, time
target, rate, seconds = int(sys.argv[1]), 10_000, 2
begin, sent = time.monotonic(), 0
while sent < rate * seconds:
    due = min(rate * seconds, int((time.monotonic() - begin) * rate))
    while sent < due:
        os.kill(target, signal.SIGUSR1)
        sent += 1
    time.sleep(0.0005)
os.kill(target, signal.SIGUSR2)
"""


def test_ten_thousand_signals_a_second():
    """From another process, while streams, timers and threads work: nothing hangs or is lost."""
    status, out, err = run_script(
        """
        import asyncio, os, signal, subprocess, sys, threading
        from tests.loop.support import Echo
        from tests.loop.test_signals import SENDER

        async def main():
            loop = asyncio.get_running_loop()
            seen, ended = [], asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
            loop.add_signal_handler(signal.SIGUSR2, ended.set)
            server = await loop.create_server(Echo, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            sender = subprocess.Popen([sys.executable, "-c", SENDER, str(os.getpid())])
            posted = [0, 0]

            def hit():
                posted[1] += 1

            def post():
                while not ended.is_set():
                    loop.call_soon_threadsafe(hit)
                    posted[0] += 1
                    ended_soon.wait(0.0005)

            ended_soon = threading.Event()
            poster = threading.Thread(target=post)
            poster.start()
            turns = 0

            async def client(number):
                nonlocal turns
                reader, writer = await asyncio.open_connection(*address)
                while not ended.is_set():
                    text = b"%d %d\\n" % (number, turns)
                    writer.write(text)
                    assert await reader.readline() == text
                    turns += 1
                    await asyncio.sleep(0.001)
                writer.close()

            await asyncio.gather(*(client(i) for i in range(5)))
            ended_soon.set()
            await asyncio.to_thread(poster.join)
            await asyncio.sleep(0.01)
            print(sender.wait(), len(seen) > 0, len(seen) <= 20_000, turns > 0,
                  posted[0] == posted[1])
            print(f"{len(seen)} of 20000 delivered, {turns} turns", file=sys.stderr)
            server.close()

        assert signal.set_wakeup_fd(-1) == -1
        loop = new_loop()
        loop.run_until_complete(asyncio.wait_for(main(), 50))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        print(signal.set_wakeup_fd(-1))
        """
    )
    assert (status, out) == (0, "0 True True True True\n-1\n"), err


def test_closing_outside_the_main_thread_is_refused_but_closes(loop):
    """asyncio's rule: only the main thread can remove handlers."""
    own = new_loop()
    own.add_signal_handler(signal.SIGUSR1, print)
    errors = []

    def work():
        try:
            own.close()
        except ValueError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert len(errors) == 1 and own.is_closed()
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


@ours_only
def test_the_interpreter_keeps_no_loop_alive_by_its_handler():
    loop = new_loop()
    loop.add_signal_handler(signal.SIGUSR1, int)
    reference = weakref.ref(loop)
    with pytest.warns(ResourceWarning):
        del loop
        gc.collect()
    assert reference() is None
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


INTERRUPTIONS = {
    "a callback": "loop.call_soon(interrupt)",
    "a task": "task = loop.create_task(interrupting())",
    "a timer": "loop.call_later(0.001, interrupt)",
    "a signal handler": (
        "loop.add_signal_handler(signal.SIGUSR1, interrupt); os.kill(os.getpid(), signal.SIGUSR1)"
    ),
    "an executor's callback": (
        "loop.run_in_executor(None, int).add_done_callback(lambda _: interrupt())"
    ),
    "the protocol": "protocol = talking('data_received')",
    "the protocol's end": "protocol = talking('connection_lost')",
}


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("where", INTERRUPTIONS)
def test_an_interrupt_is_never_lost(where, kind):
    """uvloop swallows it in protocols and in run_forever."""
    status, out, err = run_script(
        f"""
        import asyncio, os, signal, socket
        loop = new_loop()

        def interrupt(*_):
            raise {kind}("on purpose")

        async def interrupting():
            interrupt()

        def talking(method):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            protocol = type("Talking", (asyncio.Protocol,), {{method: interrupt}})()
            loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
            peer.send(b"x")
            peer.close()
            return protocol

        {INTERRUPTIONS[where]}
        loop.call_later(20, loop.stop)
        try:
            loop.run_forever()
        except {kind} as error:
            print(error, loop.is_running())
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        print("closed")
        """
    )
    assert (status, out) == (0, "on purpose False\nclosed\n"), err


@ours_only
@pytest.mark.parametrize("busy", [False, True])
def test_interrupting_camshaft_run(busy):
    """As asyncio.run: the main task is cancelled first, and the second ^C ends it at once."""
    status, out, err = run_script(
        f"""
        import asyncio, os, signal, threading
        import camshaft

        async def main():
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                while {busy}:
                    await asyncio.sleep(0)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled")
                raise
            finally:
                print("cleaned up")

        try:
            camshaft.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

        async def stubborn():
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    print("no")
                    if asyncio.current_task().cancelling() > 1:
                        raise

        try:
            camshaft.run(stubborn())
        except KeyboardInterrupt:
            print("interrupted at once")
        """
    )
    expected = "cancelled\ncleaned up\ninterrupted\nTrue\nno\nno\ninterrupted at once\n"
    assert (status, out) == (0, expected), err


@ours_only
def test_camshaft_run_is_asyncio_run():
    import camshaft

    async def fail():
        raise LookupError("of the coroutine")

    with pytest.raises(LookupError, match="of the coroutine"):
        camshaft.run(fail())
    with pytest.raises((ValueError, TypeError)):
        camshaft.run(5)

    left = []

    async def lingering():
        try:
            await asyncio.sleep(3600)
        finally:
            left.append("cancelled")

    async def main():
        task = asyncio.ensure_future(lingering())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="running event loop"):
            camshaft.run(coroutine := asyncio.sleep(0))
        coroutine.close()
        return task, asyncio.get_running_loop().get_debug()

    task, debug = camshaft.run(main(), debug=True)
    assert task.cancelled() and left == ["cancelled"] and debug
    assert camshaft.run(main(), debug=False)[1] is False
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@ours_only
def test_the_pipe_of_a_loop_closed_elsewhere_is_closed_with_the_next(loop):
    """Until then the interpreter may write to it: its number must not be another's."""
    before = set(os.listdir("/proc/self/fd"))
    own = new_loop()
    own.add_signal_handler(signal.SIGUSR1, print)

    def close():
        with pytest.raises(ValueError):
            own.close()

    worker = threading.Thread(target=close)
    worker.start()
    worker.join()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert own.is_closed()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.remove_signal_handler(signal.SIGUSR1)
    assert set(os.listdir("/proc/self/fd")) == before
    assert signal.set_wakeup_fd(-1) == -1
