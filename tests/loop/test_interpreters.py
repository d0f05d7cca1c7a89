# SPDX-License-Identifier: MIT
"""Subinterpreters are refused in one line; several loops run in several threads at once."""

import asyncio
import importlib
import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.loop.support import LIMIT, Echo, new_loop, ours_only

interpreters = None
for _name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(_name)
        break
    except ImportError:
        pass

# Text, as it runs in an interpreter that shares no object with this one.
IMPORT = """
import os, sys
sys.path[:] = {path!r}
try:
    import camshaft._core
except ImportError as error:
    answer = str(error)
else:
    answer = "imported"
os.write({fd}, answer.encode())
"""


@ours_only
@pytest.mark.skipif(interpreters is None, reason="this Python shows no subinterpreters")
@pytest.mark.parametrize("isolated", [True, False])
def test_a_subinterpreter_is_refused(isolated):
    """Also one that shares its GIL, which CPython itself would let in (mod_wsgi makes such)."""
    if sys.version_info >= (3, 13):
        made = interpreters.create("isolated" if isolated else "legacy")
    else:
        made = interpreters.create(isolated=isolated)
    reading, writing = os.pipe()
    try:
        interpreters.run_string(made, IMPORT.format(path=sys.path, fd=writing))
        os.close(writing)
        answer = os.read(reading, 4096).decode()
    finally:
        os.close(reading)
        interpreters.destroy(made)
    assert "camshaft._core does not support loading in subinterpreters" in answer
    assert "\n" not in answer
    # The main one is none the worse for it.
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_several_loops_in_several_threads():
    """Each with its server, clients, timers, executor calls and a child process."""
    results = []

    async def main(number):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def client(which):
            reader, writer = await asyncio.open_connection(*address)
            for turn in range(20):
                message = f"loop {number}, client {which}, turn {turn}\n".encode()
                writer.write(message)
                assert await reader.readline() == message
                if turn % 5 == 0:
                    await asyncio.sleep(0.001)
            writer.close()
            await writer.wait_closed()

        async def blocking():
            assert await loop.run_in_executor(None, threading.get_ident) != loop._thread_id

        async def child():
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            text = f"from loop {number}".encode()
            out, _ = await process.communicate(text)
            assert (out, process.returncode) == (text, 0)

        await asyncio.gather(*(client(i) for i in range(10)), blocking(), child())
        server.close()
        return number

    def work(number):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            results.append(runner.run(asyncio.wait_for(main(number), LIMIT)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    if sys.version_info < (3, 12):
        # Children are watched through the main thread's watcher there, which a thread of its own
        # serves: asyncio's ThreadedChildWatcher needs no loop in the main thread.
        asyncio.get_event_loop_policy().get_child_watcher()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert sorted(results) == list(range(6))


def test_loops_of_two_threads_talk_by_threadsafe_calls():
    """Each wakes the other up, thousands of times: a lost wake-up would hang."""
    count = 3000
    loops = [new_loop(), new_loop()]
    seen = [0, 0]

    def hit(side):
        seen[side] += 1
        if seen[side] < count:
            loops[1 - side].call_soon_threadsafe(hit, 1 - side)
        else:
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)

    threads = [threading.Thread(target=loop.run_forever) for loop in loops]
    for thread in threads:
        thread.start()
    loops[0].call_soon_threadsafe(hit, 0)
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    for loop in loops:
        loop.close()
    assert seen[0] == count


def test_a_descriptor_given_back_in_one_thread_is_used_in_another():
    """Sockets close in one loop and their numbers open in the other: nobody hears the wrong one."""
    failures = []

    async def churn(mark):
        loop = asyncio.get_running_loop()
        for _ in range(300):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 16))
            await asyncio.sleep(0)
            peer.send(mark)
            received = await waiting
            if received != mark:
                failures.append((mark, received))
            reading = asyncio.ensure_future(loop.sock_recv(ours, 16))
            await asyncio.sleep(0)
            reading.cancel()
            try:
                await reading
            except asyncio.CancelledError:
                pass
            ours.close()
            peer.close()

    def work(mark):
        loop = new_loop()
        loop.run_until_complete(asyncio.wait_for(churn(mark), LIMIT))
        loop.close()

    threads = [threading.Thread(target=work, args=(b"%d" % i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert failures == []
