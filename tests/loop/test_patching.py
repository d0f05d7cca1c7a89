# SPDX-License-Identifier: MIT
"""What applications and tests put something else in the place of, they can, as on asyncio."""

import asyncio
import gc
import weakref
from asyncio import futures, tasks
from unittest import mock

import pytest

from .support import Recorder, open_stream, run

METHODS = [
    "write",
    "writelines",
    "write_eof",
    "can_write_eof",
    "close",
    "abort",
    "is_closing",
    "is_reading",
    "pause_reading",
    "resume_reading",
    "set_protocol",
    "get_protocol",
    "set_write_buffer_limits",
    "get_write_buffer_limits",
    "get_write_buffer_size",
    "get_extra_info",
]


@pytest.mark.parametrize("name", METHODS)
def test_method_of_a_stream_transport(loop, name):
    async def main():
        transport, _, peer = await open_stream(Recorder)
        original = getattr(transport, name)
        with mock.patch.object(transport, name) as replaced:
            getattr(transport, name)("argument")
            assert replaced.mock_calls == [mock.call("argument")]
        assert getattr(transport, name) == original
        transport.abort()
        peer.close()

    run(loop, main())


def test_stream_writer_uses_what_was_put_in_place(loop):
    written = []

    async def main():
        transport, protocol, peer = await open_stream(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader())
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        transport.write = written.append
        writer.write(b"one")
        del transport.write
        writer.write(b"two")
        await writer.drain()
        received = await loop.sock_recv(peer, 100)
        writer.close()
        peer.close()
        return received

    assert run(loop, main()) == b"two"
    assert written == [b"one"]


def test_transport_that_holds_itself_is_collected(loop):
    async def main():
        transport, _, peer = await open_stream(Recorder)
        transport.own = transport
        transport.abort()
        await asyncio.sleep(0)
        peer.close()
        return weakref.ref(transport)

    reference = run(loop, main())
    gc.collect()
    assert reference() is None


def test_task_class(loop, monkeypatch):
    """asyncio looks at asyncio.tasks.Task in each create_task()."""
    monkeypatch.setattr(tasks, "Task", tasks._PyTask)

    async def child():
        return "done"

    async def main():
        task = loop.create_task(child(), name="child")
        assert type(task) is tasks._PyTask
        assert task.get_name() == "child"
        return await task

    assert loop.run_until_complete(main()) == "done"


def test_future_class(loop, monkeypatch):
    """asyncio looks at asyncio.futures.Future in each create_future()."""
    monkeypatch.setattr(futures, "Future", futures._PyFuture)
    future = loop.create_future()
    assert type(future) is futures._PyFuture
    assert future.get_loop() is loop
    monkeypatch.undo()
    assert type(loop.create_future()) is asyncio.Future


def test_future_class_that_is_gone(loop, monkeypatch):
    monkeypatch.delattr(futures, "Future")
    with pytest.raises(AttributeError, match="Future"):
        loop.create_future()
