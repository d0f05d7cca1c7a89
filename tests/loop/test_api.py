# SPDX-License-Identifier: MIT
"""The methods are those of the running Python's asyncio, parameter by parameter.

loop.md §1, our column: a member that asyncio has and we lack, or a keyword that we would refuse,
fails here on the Python that brings it.
"""

import asyncio
import inspect
import socket

import pytest

from tests.loop.support import new_loop, ours_only, run, run_turns

# The loop that asyncio itself makes on this system.
THEIRS = asyncio.SelectorEventLoop

METHODS = sorted(
    name
    for name in dir(asyncio.AbstractEventLoop)
    if not name.startswith("_") and callable(getattr(THEIRS, name))
)


def parameters(function):
    """The parameters after self."""
    return list(inspect.signature(function).parameters.values())[1:]


@ours_only
@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_what_asyncios_takes(loop, name):
    method = getattr(type(loop), name)
    assert method is not getattr(asyncio.AbstractEventLoop, name), "only the abstract one"
    own = {parameter.name: parameter for parameter in parameters(method)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in own.values())
    for theirs in parameters(getattr(THEIRS, name)):
        if theirs.name not in own:
            assert takes_any and theirs.kind in (theirs.KEYWORD_ONLY, theirs.VAR_KEYWORD), theirs
            continue
        ours = own.pop(theirs.name)
        assert (ours.kind, ours.default) == (theirs.kind, theirs.default)
    # What we take beyond that must not be asked for.
    for extra in own.values():
        assert extra.kind in (extra.VAR_KEYWORD, extra.VAR_POSITIONAL) or (
            extra.default is not extra.empty
        ), extra
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert [p.name for p in parameters(method) if p.kind in positional] == [
        p.name for p in parameters(getattr(THEIRS, name)) if p.kind in positional
    ]


# What these return is a coroutine to asyncio (test_socket_calls.py), but inspect takes only
# functions that have Python code for coroutine functions, and they are C.
IN_C = {
    "sock_accept",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
}


@ours_only
@pytest.mark.parametrize("name", [name for name in METHODS if name not in IN_C])
def test_coroutine_functions_are_the_same(loop, name):
    assert inspect.iscoroutinefunction(getattr(loop, name)) == inspect.iscoroutinefunction(
        getattr(THEIRS, name)
    )


def test_positional_parameters_may_be_named(loop):
    seen = []
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.call_soon(callback=lambda: seen.append("soon"))
        loop.call_soon_threadsafe(callback=lambda: seen.append("threadsafe"))
        loop.call_later(delay=0, callback=lambda: seen.append("later"))
        loop.call_later(0, callback=lambda: seen.append("half"))
        loop.call_at(when=0, callback=lambda: seen.append("at"))
        loop.add_writer(fd=ours, callback=lambda: seen.append("writer"))
        run_turns(loop, 2)
        assert loop.remove_writer(fd=ours) is True
        peer.send(b"x")
        loop.add_reader(ours, callback=lambda: seen.append("reader"))
        run_turns(loop)
        assert loop.remove_reader(fd=ours) is True
    assert set(seen) == {"soon", "threadsafe", "later", "half", "at", "writer", "reader"}

    async def named():
        return asyncio.current_task().get_name()

    assert run(loop, loop.create_task(coro=named(), name="called so")) == "called so"


@pytest.mark.parametrize(
    "arguments, keywords",
    [
        ((), {}),
        ((), {"args": ()}),
        ((), {"callback": print, "other": 1}),
        ((print,), {"callback": print}),
    ],
)
@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe"])
def test_what_call_soon_refuses(loop, method, arguments, keywords):
    with pytest.raises(TypeError):
        getattr(loop, method)(*arguments, **keywords)


@pytest.mark.parametrize(
    "arguments, keywords",
    [
        ((), {}),
        ((1,), {}),
        ((), {"callback": print}),
        ((1,), {"delay": 1, "callback": print}),
        ((1, print), {"other": 1}),
    ],
)
def test_what_call_later_refuses(loop, arguments, keywords):
    with pytest.raises(TypeError):
        loop.call_later(*arguments, **keywords)


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_what_the_watchers_methods_refuse(loop, method):
    call = getattr(loop, method)
    for arguments, keywords in (((), {}), ((), {"fd": 0, "other": 1}), ((0,), {"other": 1})):
        with pytest.raises(TypeError):
            call(*arguments, **keywords)
    if method.startswith("remove"):
        with pytest.raises(TypeError):
            call(0, 1)


@ours_only
def test_what_others_read_of_the_loop(loop):
    """Attributes without a public name that libraries and CPython's own tests look at."""
    assert loop._default_executor is None
    assert loop._thread_id is None
    assert loop._closed is False and loop._stopping is False and loop._debug in (True, False)
    assert loop._clock_resolution > 0


TRANSPORTS = {
    "Transport": asyncio.Transport,
    "ReadTransport": asyncio.ReadTransport,
    "WriteTransport": asyncio.WriteTransport,
}


@ours_only
@pytest.mark.parametrize("base", TRANSPORTS)
def test_the_streams_methods_take_what_asyncios_take(loop, base):
    async def main():
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        assert isinstance(transport, TRANSPORTS[base])
        for name in dir(TRANSPORTS[base]):
            if name.startswith("_"):
                continue
            theirs = parameters(getattr(TRANSPORTS[base], name))
            own = {p.name: p for p in parameters(getattr(type(transport), name))}
            for parameter in theirs:
                assert own[parameter.name].default == parameter.default, name
        transport.close()
        peer.close()

    run(loop, main())


@ours_only
def test_a_new_loop_has_every_public_attribute_of_asyncios():
    loop, reference = new_loop(), THEIRS()
    try:
        missing = [
            name for name in dir(reference) if not name.startswith("_") and not hasattr(loop, name)
        ]
    finally:
        loop.close()
        reference.close()
    assert missing == []
