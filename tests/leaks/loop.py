# SPDX-License-Identifier: MIT
"""Scenarios of scheduling: handles, timers, tasks, watchers, threads, loops themselves."""

import asyncio
import concurrent.futures
import contextvars
import gc
import signal
import socket
import threading
import types

import camshaft
from tests.leaks.scenario import Table, coroutine, plain, turns

SCENARIOS: Table = {}


def nothing(*arguments):
    pass


def fail(*arguments):
    raise ValueError("on purpose")


@plain(SCENARIOS)
def call_soon(loop):
    for count in range(6):
        loop.call_soon(nothing, *range(count))
    loop.call_soon(nothing, context=contextvars.copy_context())
    loop.call_soon(nothing).cancel()
    turns(loop)


@plain(SCENARIOS)
def call_soon_refused(loop):
    for arguments in ((), (nothing, 1)):
        try:
            loop.call_soon(*arguments, unknown=1)
        except TypeError:
            pass
    loop.set_debug(True)
    try:
        loop.call_soon(5)
    except TypeError:
        pass
    loop.set_debug(False)


@plain(SCENARIOS)
def handles_looked_at(loop):
    loop.set_debug(True)
    handle = loop.call_soon(nothing, "text")
    timer = loop.call_later(100, nothing, "text")
    for each in (handle, timer):
        repr(each)
        each.cancelled()
        each.cancel()
        repr(each)
    timer.when()
    turns(loop)
    loop.set_debug(False)


@plain(SCENARIOS)
def timers(loop):
    for delay in (0, -1, 0.0001, 0.0002):
        loop.call_later(delay, nothing, delay)
    loop.call_at(loop.time() + 0.001, loop.stop)
    loop.run_forever()


@plain(SCENARIOS)
def timers_cancelled(loop):
    handles = [loop.call_later(1000 + number, nothing, number) for number in range(200)]
    for handle in handles[::2]:
        handle.cancel()
    turns(loop)
    for handle in handles:
        handle.cancel()
    turns(loop)


@plain(SCENARIOS)
def timers_refused(loop):
    for delay in (None, "text"):
        try:
            loop.call_later(delay, nothing)
        except TypeError:
            pass


@plain(SCENARIOS)
def errors_in_callbacks(loop):
    loop.call_soon(fail)
    loop.call_later(0, fail)
    turns(loop, 2)


@plain(SCENARIOS)
def errors_without_a_handler(loop):
    handler = loop.get_exception_handler()
    loop.set_exception_handler(None)
    loop.call_soon(fail)
    turns(loop)
    loop.set_exception_handler(fail)
    loop.call_soon(fail)
    turns(loop)
    loop.set_exception_handler(handler)


@plain(SCENARIOS)
def interrupts(loop):
    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    loop.call_soon(nothing)
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        pass
    turns(loop)


@coroutine(SCENARIOS)
async def tasks_and_futures(loop):
    future = loop.create_future()
    future.add_done_callback(nothing)
    loop.call_soon(future.set_result, None)
    await future
    await asyncio.gather(*(asyncio.sleep(0, number) for number in range(10)))
    await loop.create_task(asyncio.sleep(0), name="named")
    await loop.create_task(asyncio.sleep(0), context=contextvars.copy_context())


@coroutine(SCENARIOS)
async def tasks_cancelled(loop):
    task = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    try:
        async with asyncio.timeout(0.0001):
            await loop.create_future()
    except TimeoutError:
        pass


@coroutine(SCENARIOS)
async def task_groups_that_fail(loop):
    async def failing():
        raise ValueError("on purpose")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            group.create_task(asyncio.sleep(1000))
    except* ValueError:
        pass


@coroutine(SCENARIOS)
async def tasks_that_await_tasks(loop):
    async def level(depth):
        if depth:
            await loop.create_task(level(depth - 1))
        await asyncio.sleep(0)

    task = loop.create_task(level(5))
    task.add_done_callback(nothing)
    waiters = [loop.create_task(asyncio.wait_for(task, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    repr(task)
    task.get_stack()
    ((first, _), *_) = task._callbacks
    task.remove_done_callback(first)
    waiters[-1].cancel()
    await asyncio.gather(*waiters, return_exceptions=True)


@coroutine(SCENARIOS)
async def tasks_that_misbehave(loop):
    @types.coroutine
    def give(value):
        yield value

    async def misbehave(value):
        try:
            await give(value)
        except RuntimeError:
            await asyncio.sleep(0)
        return value

    for value in (5, loop.create_future(), (number for number in ())):
        await loop.create_task(misbehave(value))
    for wrong in (5, nothing):
        try:
            loop.create_task(wrong)
        except TypeError:
            pass
    task = loop.create_task(asyncio.sleep(0))
    task.add_done_callback(fail)
    task.add_done_callback(fail)
    await task
    task.cancel()


@coroutine(SCENARIOS)
async def tasks_that_fail(loop):
    async def failing(error):
        raise error

    for error in (ValueError("on purpose"), asyncio.CancelledError("on purpose")):
        task = loop.create_task(failing(error))
        try:
            await task
        except (ValueError, asyncio.CancelledError):
            pass
    loop.create_task(failing(ValueError("that nobody retrieves")))
    await asyncio.sleep(0)


@plain(SCENARIOS)
def tasks_that_interrupt(loop):
    async def interrupt():
        raise KeyboardInterrupt

    async def waiting(task):
        await task

    task = loop.create_task(interrupt())
    waiter = loop.create_task(waiting(task))
    for _ in range(2):
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            pass
    waiter.done()


@plain(SCENARIOS)
def tasks_entered_twice(loop):
    task = loop.create_task(asyncio.sleep(0))
    asyncio.tasks._enter_task(loop, task)
    turns(loop)
    asyncio.tasks._leave_task(loop, task)
    task.get_coro().close()


@plain(SCENARIOS)
def tasks_dropped(loop):
    async def waiting():
        kept = asyncio.current_task()
        await loop.create_future()
        return kept

    loop.create_task(waiting())
    turns(loop)
    loop.create_task(asyncio.sleep(0)).get_coro().close()
    gc.collect()


@plain(SCENARIOS)
def tasks_of_a_closed_loop(_):
    loop = camshaft.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    waiting = loop.create_task(asyncio.sleep(60))
    turns(loop)
    loop.create_task(asyncio.sleep(0)).get_coro().close()
    waiting.cancel()
    loop.close()
    gc.collect()


@coroutine(SCENARIOS)
async def tasks_in_debug_mode(loop):
    early = loop.create_task(asyncio.sleep(0))
    loop.set_debug(True)
    await loop.create_task(asyncio.sleep(0))
    await early
    loop.set_debug(False)


@coroutine(SCENARIOS)
async def tasks_on_a_replaced_call_soon(loop):
    original = loop.call_soon
    early = loop.create_task(asyncio.sleep(0))
    loop.call_soon = lambda *args, **keywords: original(*args, **keywords)
    await loop.create_task(asyncio.sleep(0))
    await early
    del loop.call_soon


@coroutine(SCENARIOS)
async def tasks_left_to_asyncio(loop):
    loop.fast_tasks = False
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
    loop.fast_tasks = True


@plain(SCENARIOS)
def task_factories(loop):
    def factory(loop, coroutine, **keywords):
        return asyncio.Task(coroutine, loop=loop, **keywords)

    loop.set_task_factory(factory)
    loop.run_until_complete(asyncio.sleep(0))
    loop.get_task_factory()
    loop.set_task_factory(None)


@plain(SCENARIOS)
def run_until_complete_that_stops_early(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    try:
        loop.run_until_complete(future)
    except RuntimeError:
        pass


@coroutine(SCENARIOS)
async def async_generators(loop):
    async def generator():
        yield 1
        yield 2

    async for _ in generator():
        break
    kept = generator()
    await anext(kept)
    await kept.aclose()


@coroutine(SCENARIOS)
async def threads(loop):
    worker = threading.Thread(target=loop.call_soon_threadsafe, args=(nothing, 1))
    worker.start()
    await loop.run_in_executor(None, worker.join)
    loop.call_soon_threadsafe(nothing).cancel()
    try:
        await loop.run_in_executor(None, fail)
    except ValueError:
        pass


@plain(SCENARIOS)
def readers_and_writers(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.add_reader(ours, nothing, "first")
        loop.add_reader(ours, nothing, "second")
        loop.add_writer(ours, nothing, 1, 2, 3, 4, 5)
        peer.send(b"x")
        turns(loop, 2)
        loop.remove_reader(ours)
        loop.remove_writer(ours)
        loop.remove_writer(ours)


@plain(SCENARIOS)
def readers_that_fail(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.add_reader(ours, fail)
        peer.send(b"x")
        turns(loop, 2)
        loop.remove_reader(ours)
    for bad in (-1, "text", 10_000):
        try:
            loop.add_reader(bad, nothing)
        except (ValueError, TypeError, OSError):
            pass


@plain(SCENARIOS)
def readers_closed_before_removal(loop):
    ours, peer = socket.socketpair()
    number = ours.fileno()
    loop.add_reader(number, nothing)
    loop.add_writer(number, nothing)
    ours.close()
    peer.close()
    turns(loop)
    loop.remove_reader(number)
    loop.remove_writer(number)


@coroutine(SCENARIOS)
async def socket_calls(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.setblocking(False)
        receiving = asyncio.create_task(loop.sock_recv(ours, 100))
        await asyncio.sleep(0)
        await loop.sock_sendall(peer, b"data")
        await receiving
        cancelled = asyncio.create_task(loop.sock_recv(ours, 100))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)


@plain(SCENARIOS)
def signal_handlers(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


@coroutine(SCENARIOS)
async def addresses(loop):
    await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


@plain(SCENARIOS)
def loops_made_and_closed(_):
    loop = camshaft.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    try:
        loop.call_soon(nothing)
    except RuntimeError:
        pass


@plain(SCENARIOS)
def loops_closed_with_work_left(_):
    loop = camshaft.new_event_loop()
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.call_soon(nothing, loop)
        loop.call_later(1000, nothing, loop)
        loop.call_later(1000, nothing, loop).cancel()
        loop.add_reader(ours, nothing, loop)
        loop.add_signal_handler(signal.SIGUSR1, nothing)
        loop.close()


@plain(SCENARIOS)
def loops_dropped_with_work_left(_):
    loop = camshaft.new_event_loop()
    loop.call_soon(nothing, loop)
    loop.call_later(1000, nothing, loop)
    loop.cycle = loop
    del loop
    gc.collect()


@plain(SCENARIOS)
def run_and_runner(_):
    camshaft.run(asyncio.sleep(0))
    with asyncio.Runner(loop_factory=camshaft.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


@coroutine(SCENARIOS)
async def futures_of_executors(loop):
    class Manual:
        def submit(self, function, *args):
            self.future = concurrent.futures.Future()
            return self.future

    executor = Manual()
    for end in (
        lambda source, future: source.set_result(1),
        lambda source, future: source.set_exception(KeyError("on purpose")),
        lambda source, future: source.cancel(),
        lambda source, future: future.cancel(),
        lambda source, future: None,
    ):
        future = loop.run_in_executor(executor, int)
        end(executor.future, future)
        await asyncio.wait([future], timeout=0.001)
        if future.done() and not future.cancelled():
            future.exception()
    await loop.getaddrinfo("127.0.0.1", 80)
    await loop.getaddrinfo("::1", None)
    loop._numeric_addresses("no address", 80, 0, 0, 0, 0)
