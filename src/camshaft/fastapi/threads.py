# SPDX-License-Identifier: MIT
"""What `_core.run_in_thread` needs of AnyIO, whose limiter, cancel scopes and names it uses.

It does in C what `anyio.to_thread.run_sync` does in Python, with AnyIO's own objects, so it has to
know AnyIO's source. `find` says whether it does: by the digest of the few functions and classes
that are replaced or relied on. An AnyIO that is not known, or that somebody has patched, is called
itself.
"""

from __future__ import annotations

import ast
import contextvars
import functools
import hashlib
import importlib
import inspect
import operator
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

_T = TypeVar("_T")

KNOWN = frozenset(
    {
        "0eadb0885775648d",  # 4.14.0
        "80cc0c1a3a5e18ed",  # 4.15.0
        "17042a9c653d4def",  # 4.16.0
    }
)
"""Digests of the parts of AnyIO that `_core.run_in_thread`, and generators without a scope, were
compared with."""


class Found(NamedTuple):
    """Objects of AnyIO's; see csrc/py/fastapi/pool_parts.h."""

    run_vars: dict[Any, Any]
    task_states: dict[Any, Any]
    limiter_var: Any
    limiter_type: type
    default_limiter: Callable[[], Any]
    cancel_scope: type
    find_root_task: Callable[[], Any]
    library_var: contextvars.ContextVar[str | None] | None
    thread_locals: threading.local
    new_token: Callable[[Any], Any]
    new_thread: Callable[[Callable[[], None]], threading.Thread]
    worker_thread: type[threading.Thread]
    to_thread: dict[str, Any]
    run_sync: Callable[..., Any]


class WorkerThread(threading.Thread):
    """A thread that is like AnyIO's of this name."""

    def __init__(self, work: Callable[[], None]) -> None:
        options: dict[str, Any] = {}
        if sys.version_info >= (3, 14):
            options["context"] = contextvars.Context()
        super().__init__(target=work, name="AnyIO worker thread", **options)


async def run_by_anyio(func: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
    """`_core.run_in_thread` where AnyIO is not known, or no asyncio runs."""
    from anyio import to_thread

    return await to_thread.run_sync(functools.partial(func, *args, **kwargs))


PARTS = {
    "anyio.to_thread": ("run_sync",),
    "anyio.from_thread": ("_token_or_error",),
    "anyio.lowlevel": ("EventLoopToken", "RunVar"),
    "anyio._core._eventloop": ("set_current_async_library",),
    "anyio._backends._asyncio": (
        "find_root_task",
        "CancelScope",
        "WorkerThread",
        "CapacityLimiter",
        "AsyncIOBackend.checkpoint",
        "AsyncIOBackend.checkpoint_if_cancelled",
        "AsyncIOBackend.cancel_shielded_checkpoint",
        "AsyncIOBackend.run_sync_in_worker_thread",
        "AsyncIOBackend.check_cancelled",
        "AsyncIOBackend.current_default_thread_limiter",
    ),
}
"""What `_core.run_in_thread` does itself or relies on: functions and classes, by module."""


def find() -> Found | None:
    """The objects, or None when this AnyIO is not known. Raises ImportError without AnyIO."""
    import anyio._backends._asyncio as backend
    from anyio import lowlevel, to_thread
    from anyio._core import _eventloop as eventloop

    try:
        if digest() not in KNOWN:
            return None
        tables: tuple[Any, Any] = (lowlevel._run_vars, backend._task_states)
        if any(type(table) is not WeakKeyDictionary for table in tables):
            return None
        sniffio = eventloop.sniffio
        found = Found(
            run_vars=tables[0].data,
            task_states=tables[1].data,
            limiter_var=backend._default_thread_limiter,
            limiter_type=backend.CapacityLimiter,
            default_limiter=backend.AsyncIOBackend.current_default_thread_limiter,
            cancel_scope=backend.CancelScope,
            find_root_task=backend.find_root_task,
            library_var=None if sniffio is None else sniffio.current_async_library_cvar,
            thread_locals=eventloop.threadlocals,
            new_token=functools.partial(lowlevel.EventLoopToken, backend.AsyncIOBackend),
            new_thread=WorkerThread,
            worker_thread=backend.WorkerThread,
            to_thread=to_thread.__dict__,
            run_sync=to_thread.run_sync,
        )
    except (AttributeError, KeyError, OSError, SyntaxError):
        return None  # not made as it was, or its source is not at hand
    _retire_at_exit()
    return found


def digest() -> str:
    """The digest of the source of `PARTS`. AttributeError when one of them was replaced."""
    summary = hashlib.sha256()
    for name, parts in PARTS.items():
        module = importlib.import_module(name)
        source = inspect.getsource(module)
        lines = source.splitlines(keepends=True)
        places = _places_of(ast.parse(source))
        for part in parts:
            found = operator.attrgetter(part)(module)
            if found.__module__ != name or hasattr(found, "__wrapped__"):
                raise AttributeError(part)
            first, last = places[part]
            summary.update("".join(lines[first - 1 : last]).encode())
    return summary.hexdigest()[:16]


def _places_of(module: ast.Module) -> dict[str, tuple[int, int]]:
    """First and last line of functions and classes, and of the functions in classes."""
    places = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            places[node.name] = (node.lineno, node.end_lineno or node.lineno)
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    last = child.end_lineno or child.lineno
                    places[f"{node.name}.{child.name}"] = (child.lineno, last)
    return places


def _retire_at_exit() -> None:
    """Have threads end whose loop was closed under its root task: AnyIO's would be waited for."""
    from camshaft import _core

    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_core._retire_closed)
