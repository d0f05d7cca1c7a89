# SPDX-License-Identifier: MIT
"""Running, stopping and closing; run_until_complete; asynchronous generators; forks."""

import asyncio
import gc
import logging
import os
import sys
import warnings
import weakref

import pytest

from tests.loop.support import LOOP_NAME, new_loop, ours_only, run, run_script, run_turns


def test_states(loop):
    assert not loop.is_running() and not loop.is_closed()
    seen = []
    loop.call_soon(lambda: seen.append((loop.is_running(), asyncio.get_running_loop() is loop)))
    run_turns(loop)
    assert seen == [(True, True)]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    loop.close()
    assert loop.is_closed() and not loop.is_running()
    loop.close()


def test_it_is_an_event_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)
    text = repr(loop)
    assert "running=False" in text and "closed=False" in text and "debug=" in text


@ours_only
def test_it_is_ours(loop):
    import camshaft

    assert type(loop) is camshaft.EventLoop


@ours_only  # 3.13.0 forgets that the outer loop runs
def test_a_running_loop_cannot_be_run_again(loop):
    async def main():
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        pending = loop.create_future()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_until_complete(pending)

    run(loop, main())


@ours_only
def test_only_one_loop_runs_in_a_thread(loop):
    async def main():
        other = new_loop()
        try:
            with pytest.raises(RuntimeError, match="another loop is running"):
                other.run_forever()
            assert not other.is_running()
            assert asyncio.get_running_loop() is loop
        finally:
            other.close()

    run(loop, main())


def test_a_running_loop_cannot_be_closed(loop):
    async def main():
        with pytest.raises(RuntimeError, match="running"):
            loop.close()

    run(loop, main())
    assert not loop.is_closed()


def test_a_closed_loop_refuses(loop):
    loop.close()
    coroutine = asyncio.sleep(0)
    for call in (
        loop.run_forever,
        lambda: loop.run_until_complete(coroutine),
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.create_task(coroutine),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.add_reader(0, print),
        lambda: loop.add_writer(0, print),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    coroutine.close()


def test_closing_drops_what_was_queued(loop):
    class Target:
        def method(self):
            raise AssertionError

    target = Target()
    gone = weakref.ref(target)
    loop.call_soon(target.method)
    loop.call_later(5, target.method)
    del target
    loop.close()
    gc.collect()
    assert gone() is None


def test_a_dropped_loop_warns_and_is_closed():
    loop = new_loop()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert any(
        w.category is ResourceWarning and "unclosed event loop" in str(w.message) for w in caught
    )


def test_loops_give_their_descriptors_back():
    def count():
        return len(os.listdir("/proc/self/fd"))

    new_loop().close()
    before = count()
    for _ in range(20):
        loop = new_loop()
        run_turns(loop)
        loop.close()
    assert count() == before


def test_run_until_complete_returns_and_raises(loop):
    async def give(value):
        await asyncio.sleep(0)
        return value

    async def fail():
        raise KeyError("x")

    assert loop.run_until_complete(give(5)) == 5
    with pytest.raises(KeyError):
        loop.run_until_complete(fail())
    future = loop.create_future()
    loop.call_soon(future.set_result, "done")
    assert loop.run_until_complete(future) == "done"
    assert loop.run_until_complete(future) == "done"


def test_run_until_complete_refuses_what_it_cannot_await(loop):
    with pytest.raises(TypeError):
        loop.run_until_complete("text")
    with pytest.raises(TypeError):
        loop.run_until_complete(None)


def test_run_until_complete_refuses_a_future_of_another_loop(loop):
    other = new_loop()
    try:
        with pytest.raises(ValueError, match="loop"):
            loop.run_until_complete(other.create_future())
    finally:
        other.close()


def test_stopped_before_the_future_completed(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed"):
        loop.run_until_complete(future)
    # Its callback was taken off: completing it now must not stop the next run.
    seen = []
    loop.call_soon(future.set_result, None)
    loop.call_later(0.01, lambda: (seen.append("ran on"), loop.stop()))
    loop.run_forever()
    assert seen == ["ran on"]


def test_an_interrupted_task_of_its_own_is_not_reported(loop, caplog):
    """run_until_complete retrieves the exception of the task that it made itself."""

    async def interrupted():
        raise KeyboardInterrupt

    with caplog.at_level(logging.ERROR, "asyncio"):
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(interrupted())
        gc.collect()
    assert "never retrieved" not in caplog.text


def test_exceptions_never_retrieved_are_reported(loop, reports):
    async def fail():
        raise ValueError("lost")

    async def main():
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    run(loop, main())
    gc.collect()
    (report,) = reports
    reports.clear()
    assert "never retrieved" in report["message"]
    assert str(report["exception"]) == "lost"


def test_run_forever_again_and_again(loop):
    seen = []
    for number in range(5):
        loop.call_soon(seen.append, number)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert seen == list(range(5))


def test_an_idle_loop_does_not_wake_up():
    """It waits once, whatever it serves: the thread gives up the processor a few times at most."""
    status, out, err = run_script(
        """
        import asyncio, resource

        async def main():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
            loop.call_later(3600, print)
            await asyncio.sleep(0.05)
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            await asyncio.sleep(0.5)
            print(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)

        loop = new_loop()
        loop.run_until_complete(main())
        """
    )
    assert status == 0, err
    assert int(out) <= 5


def test_stop_from_another_callback_while_waiting(loop):
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert not loop.is_running()


def test_async_generators_are_closed_at_shutdown(loop):
    closed = []

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def main():
        kept = generator()
        assert await anext(kept) == 1
        await loop.shutdown_asyncgens()
        assert closed == ["closed"]
        return kept

    run(loop, main())


def test_a_dropped_async_generator_is_closed_by_the_loop(loop):
    closed = []

    async def generator():
        try:
            yield 1
        finally:
            closed.append("closed")

    async def main():
        async for _ in generator():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert closed == ["closed"]

    run(loop, main())


def test_async_generator_hooks_are_put_back(loop):
    def first(generator):
        pass

    previous = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=first)
    try:
        seen = []
        loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks().firstiter))
        run_turns(loop)
        assert seen[0] is not first
        assert sys.get_asyncgen_hooks().firstiter is first
    finally:
        sys.set_asyncgen_hooks(*previous)


def test_the_runner_uses_it():
    async def main():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop = runner.run(main())
        assert runner.get_loop() is loop
        assert runner.run(main()) is loop
    assert loop.is_closed()


@ours_only
def test_camshaft_run():
    import camshaft

    async def main():
        return type(asyncio.get_running_loop())

    assert camshaft.run(main()) is camshaft.EventLoop


@ours_only
@pytest.mark.skipif(sys.version_info >= (3, 16), reason="policies are gone from asyncio")
def test_install_makes_asyncio_use_it():
    status, out, err = run_script(
        """
        import asyncio, warnings
        import camshaft
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            print(type(asyncio.get_running_loop()) is camshaft.EventLoop)

        camshaft.install()
        asyncio.run(main())
        loop = asyncio.new_event_loop()
        print(type(loop) is camshaft.EventLoop)
        loop.close()
        """
    )
    assert (status, out) == (0, "True\nTrue\n"), err


@ours_only
@pytest.mark.skipif(sys.version_info >= (3, 16), reason="policies are gone from asyncio")
def test_the_policy_makes_our_loops():
    import camshaft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = camshaft.EventLoopPolicy().new_event_loop()
    assert isinstance(loop, camshaft.EventLoop)
    loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@ours_only
def test_a_forked_child_cannot_use_its_parents_loop(loop):
    """The poller's descriptor is shared: a child's changes would be the parent's."""

    async def main():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                loop.call_soon(print)
            except RuntimeError as error:
                os._exit(7 if "fork" in str(error) else 8)
            except BaseException:
                os._exit(9)
            os._exit(1)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)

    assert run(loop, main()) == 7
    # The parent's loop goes on.
    run(loop, asyncio.sleep(0.001))


@ours_only
def test_a_child_forked_in_a_callback_leaves_the_loop():
    status, out, err = run_script(
        """
        import os

        loop = new_loop()
        children = []

        def fork():
            children.append(os.fork())
            if children[0]:
                loop.stop()

        loop.call_soon(fork)
        try:
            loop.run_forever()
        except RuntimeError:
            os._exit(7 if children == [0] else 8)
        if children == [0]:
            os._exit(9)
        print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
        loop.close()
        """
    )
    assert (status, out) == (0, "7\n"), err


@ours_only
def test_a_forked_child_leaves_its_parents_watchers_alone():
    status, out, err = run_script(
        """
        import os, socket

        loop = new_loop()
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        seen = []
        loop.add_reader(ours, lambda: (seen.append(ours.recv(10)), loop.stop()))
        loop.add_writer(ours, int)
        child = os.fork()
        if not child:
            try:
                loop.remove_reader(ours)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        peer.send(b"x")
        loop.call_later(20, loop.stop)
        loop.run_forever()
        print(seen)
        loop.close()
        """
    )
    assert (status, out) == (0, "[b'x']\n"), err


@ours_only
def test_a_forked_child_does_not_send_what_its_parent_wrote():
    status, out, err = run_script(
        """
        import asyncio, os, socket

        async def main():
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            _, writer = await asyncio.open_connection(sock=ours)
            writer.write(b"once")
            child = os.fork()
            if not child:
                for use in writer.close, writer.transport.abort, lambda: writer.write(b"more"):
                    try:
                        use()
                    except RuntimeError:
                        pass
                os._exit(0)
            os.waitpid(child, 0)
            writer.close()
            await writer.wait_closed()
            received = b""
            while piece := peer.recv(100):
                received += piece
            print(received)
            peer.close()

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert (status, out) == (0, "b'once'\n"), err


def test_a_forked_child_may_run_a_loop_of_its_own(loop):
    async def main():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                asyncio._set_running_loop(None)
                own = new_loop()
                own.run_until_complete(asyncio.sleep(0.001))
                own.close()
                os._exit(7)
            except BaseException:
                os._exit(9)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)

    assert run(loop, main()) == 7


def test_the_loop_under_test_is_the_one_asked_for(loop):
    module = type(loop).__module__
    assert module.startswith(LOOP_NAME)


@ours_only
def test_a_selector_is_refused_in_one_line():
    status, out, err = run_script(
        """
        import camshaft, selectors
        camshaft.EventLoop(None).close()
        try:
            camshaft.EventLoop(selectors.PollSelector())
        except TypeError as error:
            print(error)
        """
    )
    assert status == 0
    assert out.startswith("camshaft's loop polls by itself and takes no selector, got <selectors.")
    assert err == ""
