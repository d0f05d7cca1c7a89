# SPDX-License-Identifier: MIT
"""A loop in a forked child: every use is refused in words, and the parent notices nothing."""

import os
import sys

import pytest

from tests.loop.support import ours_only, run_script

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    ours_only,
]

# What a child might do with the loop it has inherited, by name: an expression, or a coroutine.
USES = {
    "call_soon": "loop.call_soon(print)",
    "call_soon_threadsafe": "loop.call_soon_threadsafe(print)",
    "call_later": "loop.call_later(0, print)",
    "call_at": "loop.call_at(0, print)",
    "run_forever": "loop.run_forever()",
    "run_until_complete": "loop.run_until_complete(future)",
    "add_reader": "loop.add_reader(spare, print)",
    "add_writer": "loop.add_writer(spare, print)",
    "create_task": "made(loop.create_task)",
    "run_in_executor": "loop.run_in_executor(None, print)",
    "set_result": "(future.add_done_callback(print), future.set_result(None))",
    "add_signal_handler": "loop.add_signal_handler(signal.SIGUSR2, print)",
    "sock_recv": "step(loop.sock_recv(spare, 1))",
    "sock_accept": "step(loop.sock_accept(listening))",
    "create_connection": "step(loop.create_connection(asyncio.Protocol, sock=spare))",
    "create_server": "step(loop.create_server(asyncio.Protocol, sock=listening))",
    "subprocess_exec": "step(loop.subprocess_exec(asyncio.SubprocessProtocol, 'true'))",
    "stream write": "transport.write(b'from the child')",
    "stream write_eof": "transport.write_eof()",
    "stream close": "transport.close()",
    "stream abort": "transport.abort()",
    "stream resume": "(transport.pause_reading(), transport.resume_reading())",
    "server close": "server.close()",
    "remove_reader": "loop.remove_reader(watched)",
    "remove_signal_handler": "loop.remove_signal_handler(signal.SIGUSR1)",
    "close": "loop.close()",
    "drop": "drop()",
}

# Those that a child may do: they change nothing of its parent's.
ALLOWED = {
    "server close",
    "remove_reader",
    "remove_signal_handler",
    "close",
    "drop",
}

SCRIPT = """
import asyncio, gc, os, signal, socket, sys, warnings

warnings.simplefilter("ignore")

async def nothing():
    pass

def made(create_task):
    coroutine = nothing()
    try:
        create_task(coroutine)
    except RuntimeError:
        coroutine.close()
        raise

def step(coroutine):
    \"\"\"Runs a coroutine by hand until it ends or waits.\"\"\"
    try:
        coroutine.send(None)
    except StopIteration:
        return
    # It waits for something: whatever that is, it must not have reached the poller.
    coroutine.close()
    raise SystemExit("it waits")

def drop():
    global loop
    loop = None
    gc.collect()

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def prepare():
    global transport, server, client, watched, watched_peer, spare, spare_peer, listening, seen
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    client, peer = socket.socketpair()
    client.setblocking(False)
    peer.setblocking(False)
    transport, _ = await loop.create_connection(Echo, sock=peer)
    watched, watched_peer = socket.socketpair()
    watched.setblocking(False)
    spare, spare_peer = socket.socketpair()
    spare.setblocking(False)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    seen = []
    loop.add_reader(watched, lambda: seen.append(watched.recv(10)))
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")

async def prove():
    \"\"\"That everything of the parent's works as before.\"\"\"
    await loop.sock_sendall(client, b"ping")
    assert await loop.sock_recv(client, 100) == b"ping"
    watched_peer.send(b"x")
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.close()
    await asyncio.sleep(0.02)
    assert seen == [b"x"], seen
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.02)
    assert seen == [b"x", "signal"], seen

loop = new_loop()
future = loop.create_future()
loop.run_until_complete(prepare())
child = os.fork()
if not child:
    # A signal to the child must not be heard by its parent.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    try:
        {use}
    except RuntimeError as error:
        os._exit(10 if "fork" in str(error) else 11)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(12)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
loop.run_until_complete(asyncio.wait_for(prove(), 20))
transport.close()
server.close()
loop.run_until_complete(asyncio.sleep(0.01))
loop.close()
print(status)
"""


@pytest.mark.parametrize("name", USES)
def test_in_the_child(name):
    status, out, err = run_script(SCRIPT.replace("{use}", USES[name]))
    expected = "0\n" if name in ALLOWED else "10\n"
    assert (status, out) == (0, expected), err


def test_a_child_of_multiprocessing_runs_a_loop_of_its_own():
    status, out, err = run_script(
        """
        import asyncio, multiprocessing, subprocess
        import camshaft

        async def work():
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            out, _ = await process.communicate(b"through a grandchild")
            return out, process.returncode

        def child(queue):
            asyncio._set_running_loop(None)
            queue.put(camshaft.run(work()))

        async def main():
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(await asyncio.to_thread(queue.get, True, 20))
            await asyncio.to_thread(process.join, 20)
            print(process.exitcode)
            print(await work())

        camshaft.run(main())
        """
    )
    expected = "(b'through a grandchild', 0)"
    assert (status, out.splitlines()) == (0, [expected, "0", expected]), err


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter has no such warning")
def test_forking_while_a_loop_runs_warns_as_the_interpreter_does():
    status, out, err = run_script(
        """
        import asyncio, os, warnings

        async def main():
            await asyncio.to_thread(int)  # the executor's thread is what the warning is about
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                child = os.fork()
                if not child:
                    os._exit(0)
            os.waitpid(child, 0)
            print([w.category.__name__ for w in caught])

        loop = new_loop()
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        """
    )
    assert (status, out) == (0, "['DeprecationWarning']\n"), err
