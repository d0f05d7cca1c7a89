# SPDX-License-Identifier: MIT
"""CPython's asyncio tests: its loop-generic mixins and its modules.

A *mixin* asks for a loop by a method, which an adapter class made here overrides. A *module*
makes its loops by asyncio.new_event_loop() or asyncio.run(), which are replaced in every process
that runs it (stage.inject).
"""

import asyncio
import importlib
import importlib.util
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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

# Not here: modules that make asyncio's selector loop by its name or look into its parts
# (test_selector_events, test_unix_events, test_base_events, test_sslproto, test_events; what of
# them is generic is a mixin above), those of Windows, and those that use no loop.
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
    "test_runners",
    "test_free_threading",
    "test_graph",
    "test_tools",
)

# CPython's tests of its task type, with tasks that our loop drives: made by its create_task(), on
# our loop wherever a test does not bring a loop with a clock of its own.
DRIVEN_TASKS = "DrivenTasks"
DRIVEN_CLASSES = ("CTask_CFuture_Tests", "CTask_PyFuture_Tests")


def exists() -> bool:
    """True if this Python has asyncio's tests."""
    return (
        importlib.util.find_spec("test") is not None
        and importlib.util.find_spec(PACKAGE) is not None
    )


def names() -> list[str]:
    """The suites that the running Python has, mixins first."""
    found = list(MIXINS)
    for module in MODULES:
        if importlib.util.find_spec(f"{PACKAGE}.{module}") is not None:
            found.append(module)
    return [*found, DRIVEN_TASKS]


def _driven_methods() -> dict[str, Any]:
    """What makes the loops and tasks of a test by camshaft."""
    import camshaft

    utils = importlib.import_module(f"{PACKAGE}.utils")

    def new_test_loop(self: Any, gen: Any = None) -> asyncio.AbstractEventLoop:
        if gen is not None:
            loop: asyncio.AbstractEventLoop = utils.TestCase.new_test_loop(self, gen)
            return loop
        loop = camshaft.new_event_loop()
        self.set_event_loop(loop)
        return loop

    def new_task(
        self: Any, loop: Any, coro: Any, name: Any = "TestTask", context: Any = None, **more: Any
    ) -> Any:
        if not isinstance(loop, camshaft.EventLoop) or any(more.values()):
            return asyncio.Task(coro, loop=loop, name=name, context=context, **more)
        # These tests set a task factory that comes here.
        factory = loop.get_task_factory()
        loop.set_task_factory(None)
        try:
            return loop.create_task(coro, name=name, context=context)
        finally:
            loop.set_task_factory(factory)

    return {"new_test_loop": new_test_loop, "new_task": new_task}


def _load_driven(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> unittest.TestSuite:
    module = importlib.import_module(f"{PACKAGE}.test_tasks")
    methods = _driven_methods() if new_loop is not asyncio.SelectorEventLoop else {}
    suite = unittest.TestSuite()
    for name in DRIVEN_CLASSES:
        kind = type(f"Driven{name}", (getattr(module, name),), {"__module__": "peers", **methods})
        suite.addTest(unittest.defaultTestLoader.loadTestsFromTestCase(kind))
    return suite


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
    """The tests of one suite; a module's loops come from asyncio's factories (stage.inject)."""
    loader = unittest.defaultTestLoader
    if name in MIXINS:
        return loader.loadTestsFromTestCase(_adapter(name, new_loop))
    if name == DRIVEN_TASKS:
        return _load_driven(new_loop)
    return loader.loadTestsFromName(f"{PACKAGE}.{name}")
