# SPDX-License-Identifier: MIT
"""What is run: CPython's loop-generic test mixins, its modules, and the tests left out.

A *mixin* asks for a loop by a method, which an adapter class made here overrides. A *module*
makes its loops by asyncio.new_event_loop() or asyncio.run(), which are replaced in the process
that runs it.
"""

import asyncio
import importlib
import importlib.util
import unittest
from collections.abc import Callable
from dataclasses import dataclass

PACKAGE = "test.test_asyncio"


@dataclass(frozen=True)
class Mixin:
    """An adapter to be made: `bases` of `module` with `method` giving the loop."""

    module: str
    bases: tuple[str, ...]
    method: str


MIXINS = {
    "EventLoop": Mixin(
        "test_events",
        ("UnixEventLoopTestsMixin|EventLoopTestsMixin", "SubprocessTestsMixin"),
        "create_event_loop",
    ),
    "LowLevelSockets": Mixin("test_sock_lowlevel", ("BaseSockTestsMixin",), "create_event_loop"),
    "Sendfile": Mixin("test_sendfile", ("SendfileTestsBase",), "create_event_loop"),
    "StartServer": Mixin("test_server", ("BaseStartServer",), "new_loop"),
    "BufferedProtocol": Mixin("test_buffered_proto", ("BaseTestBufferedProtocol",), "new_loop"),
    "StartTLS": Mixin("test_sslproto", ("BaseStartTLS",), "new_loop"),
}

# The longest first, so that two processes end together. Not here: modules that make asyncio's
# selector loop by its name (test_selector_events, test_unix_events, test_base_events; the mixins of
# test_server, test_sendfile and test_buffered_proto are above), and test_runners, which replaces
# the factory itself.
MODULES = (
    "test_ssl",
    "test_tasks",
    "test_subprocess",
    "test_streams",
    "test_timeouts",
    "test_taskgroups",
    "test_waitfor",
    "test_locks",
    "test_queues",
    "test_futures",
    "test_futures2",
    "test_context",
    "test_threads",
    "test_pep492",
    "test_eager_task_factory",
    "test_server",
    "test_staggered",
    "test_free_threading",
    "test_graph",
)

# Tests that cannot hold on any loop but asyncio's own, by the end of their id, with the reason.
EXCLUDED = {
    "EventLoop.test_internal_fds": (
        "counts asyncio's private self-pipe; ours makes none before a signal is handled"
    ),
}


def names() -> list[str]:
    """The suites that the running Python has, mixins first."""
    found = list(MIXINS)
    for module in MODULES:
        if importlib.util.find_spec(f"{PACKAGE}.{module}") is not None:
            found.append(module)
    return found


def _adapter(name: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> type:
    mixin = MIXINS[name]
    module = importlib.import_module(f"{PACKAGE}.{mixin.module}")
    utils = importlib.import_module(f"{PACKAGE}.utils")
    bases: list[type] = []
    for alternatives in mixin.bases:
        first = next(base for base in alternatives.split("|") if hasattr(module, base))
        bases.append(getattr(module, first))
    bases.append(utils.TestCase if mixin.method == "create_event_loop" else unittest.TestCase)
    return type(name, tuple(bases), {mixin.method: lambda self: new_loop(), "__module__": "peers"})


def load(name: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> unittest.TestSuite:
    """The tests of one suite; for a module, asyncio's factories are replaced for good."""
    loader = unittest.defaultTestLoader
    if name in MIXINS:
        return loader.loadTestsFromTestCase(_adapter(name, new_loop))
    asyncio.new_event_loop = asyncio.events.new_event_loop = new_loop  # type: ignore[assignment]
    for policy in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        kind = getattr(asyncio.unix_events, policy, None)
        if kind is not None:
            kind._loop_factory = staticmethod(new_loop)
    return loader.loadTestsFromName(f"{PACKAGE}.{name}")
