# SPDX-License-Identifier: MIT
"""Dependencies with `yield` where something goes wrong, or the response is an object of its own.

Called by csrc/py/fastapi/generators.c and camshaft.fastapi.calls. What a plan has entered by itself
is put on an exit stack like FastAPI's here, which leaves it as FastAPI does.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import CancelScope
from anyio.lowlevel import checkpoint_if_cancelled
from fastapi import concurrency, routing
from fastapi.dependencies.utils import _solve_generator
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Generators that were entered, the first one first, and FastAPI's cancel scope around them, if
#: there has to be one; None: there are none.
Entered = tuple[tuple[AsyncGenerator[Any, None], ...], CancelScope | None] | None


def enter(dependant: Any, stack: Any, values: dict[str, Any], request: Request) -> Awaitable[Any]:
    """Enter a dependency with yield on FastAPI's exit stack."""
    return _solve_generator(dependant=dependant, stack=stack, sub_values=values, request=request)


def open_scope() -> CancelScope:
    """Enter FastAPI's cancel scope around generators."""
    return CancelScope().__enter__()


class _Manager:
    """The context manager of a generator that has been entered."""

    def __init__(self, generator: Any) -> None:
        self._manager = asynccontextmanager(lambda: generator)()

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._manager.__aexit__(*error)


async def _enter_again(stack: AsyncExitStack, entered: Entered) -> None:
    """Put generators on an exit stack, as FastAPI has them there."""
    if entered is None:
        return
    generators, cleanup = entered
    scope: Any = cleanup
    if cleanup is None:
        # With nothing around it that could be cancelled it shields from nothing.
        scope = types.SimpleNamespace(shield=False)
        stack.callback(check_scopes)
    else:
        stack.push(cleanup)
    shielded = concurrency._asynccontextmanager_with_shielded_exit
    for generator in generators:
        await stack.enter_async_context(shielded(_Manager(generator), scope))


def check_scopes() -> None:
    """Raise AnyIO's RuntimeError if the task is still in a scope that was opened in FastAPI's.

    That is what it does when FastAPI's own is left.
    """
    from anyio._backends._asyncio import _task_states

    task = asyncio.current_task()
    state = None if task is None else _task_states.get(task)
    if state is None or state.cancel_scope is None:
        return
    outer = CancelScope().__enter__()
    with CancelScope():
        outer.__exit__(None, None, None)


async def pass_on(last: bool) -> None:
    """Do what FastAPI does behind a generator that has stopped, and behind the last of all."""
    await checkpoint_if_cancelled()
    if last:
        check_scopes()


async def leave(entered: Entered, exception: BaseException | None, answered: bool) -> None:
    """Leave all generators, with an exception that was raised before, or since it was `answered`.

    Raises what comes of it.
    """
    async with AsyncExitStack() as stack:
        await _enter_again(stack, entered)
        del entered
        if exception is not None:
            try:
                raise exception
            finally:
                del exception  # its traceback has this frame
    if not answered:
        raise await swallowed()


def respond_within(response: Any, entered: Entered) -> ASGIApp:
    """An ASGI application: the Response sends itself, then the generators are left."""
    if entered is None:
        application: ASGIApp = response
        return application

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        sent = False
        async with AsyncExitStack() as stack:
            await _enter_again(stack, entered)
            await response(scope, receive, send)
            sent = True
        if not sent:
            raise await swallowed()

    return within


class _Again:
    """A generator that has yielded once more."""

    def __init__(self, generator: Any) -> None:
        self.aclose = generator.aclose

    async def __anext__(self) -> None:
        pass


async def refuse_to_go_on(generator: Any) -> None:
    """Raise what contextlib does when a generator yields once more, after closing it if it does."""
    await asynccontextmanager(lambda: _Again(generator))().__aexit__(None, None, None)  # type: ignore[arg-type,return-value]


async def swallowed() -> Exception:
    """Return what FastAPI raises when a dependency has swallowed an exception."""

    async def handler(request: Request) -> Response:
        request.scope["fastapi_inner_astack"].push(lambda *_: True)
        raise ValueError

    try:
        await routing.request_response(handler)({"type": "http"}, _nobody, _nothing)
    except Exception as exception:
        return exception
    raise AssertionError("it was to be raised")


async def _nothing(message: Message) -> None:
    pass


async def _nobody() -> Message:
    return {"type": "http.disconnect"}
