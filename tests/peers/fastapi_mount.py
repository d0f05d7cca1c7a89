# SPDX-License-Identifier: MIT
"""A pytest plugin that puts the native router into every FastAPI application that is made.

``-p camshaft_fastapi_mount`` finds it staged under that name. At the end it writes how many requests
the routers answered natively, replayed and left to FastAPI, summed, to the file of the outcomes.
"""

import functools
from typing import Any

import fastapi
from camshaft_isolate import _write


class _PassThrough:
    """Stands where a router will."""

    native_count = replayed_count = 0

    def __init__(self, original: Any) -> None:
        self.original = original
        self.fallback_count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.fallback_count += scope["type"] == "http"
        await self.original(scope, receive, send)


def _install(app: fastapi.FastAPI) -> Any:
    router = app.router.middleware_stack = _PassThrough(app.router.middleware_stack)
    return router


routers: list[Any] = []

_init = fastapi.FastAPI.__init__


@functools.wraps(_init)
def _mounted(self: fastapi.FastAPI, *args: Any, **options: Any) -> None:
    _init(self, *args, **options)
    router = _install(self)
    if router is not None:
        routers.append(router)


fastapi.FastAPI.__init__ = _mounted  # type: ignore[method-assign]


def pytest_sessionfinish() -> None:
    """Write the counts."""
    for name in ("native", "replayed", "fallback"):
        _write("count", name, str(sum(getattr(router, f"{name}_count") for router in routers)))
