# SPDX-License-Identifier: MIT
"""Puts the native router into an application, and says at start-up what it makes of it.

It stands at `app.router.middleware_stack`, which FastAPI's router calls for each request, so that
all middleware stays where it is. With the mode "native" or "strict" our server calls the router's
entrance in place of the application, which also passes over a middleware stack that can be stood in
for: FastAPI's own, and of the user's what is Starlette's.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from camshaft._core import FastAPIRouter
from camshaft.fastapi.compiler import Compiler, count_routes
from camshaft.fastapi.find import mounted_application
from camshaft.fastapi.plan import Table

logger = logging.getLogger("uvicorn.error")


@dataclasses.dataclass(frozen=True, slots=True)
class Mounted:
    """An application with its router."""

    router: FastAPIRouter
    compiler: Compiler
    # The FastAPI applications that are mounted in it, with routers of their own.
    inner: tuple[Mounted, ...] = ()

    def count_routes(self, table: Table) -> tuple[int, int]:
        """Return how many of all path operations have plans; `table` is the application's own."""
        native, operations = count_routes(table)
        for each in self.inner:
            of_inner = each.count_routes(each.compiler.look())
            native, operations = native + of_inner[0], operations + of_inner[1]
        return native, operations

    def log_routes(self) -> None:
        """Say in a line how many routes are native, and have the first request find them ready."""
        import fastapi

        table = self.compiler.look()
        native, operations = self.count_routes(table)
        behind = f", behind the middleware ({table.behind})" if native and table.behind else ""
        logger.info(
            "FastAPI %s: %d of %d routes native%s",
            fastapi.__version__,
            native,
            operations,
            behind,
        )
        self.router.prepare()


def mount(app: Any, mode: str = "native") -> Mounted:
    """Put a router before the routes of a FastAPI application.

    `mode` is "asgi", "native" or "strict", as the setting `fastapi`. A second time the router that
    is there stays, with the mode it has.
    """
    stack = app.router.middleware_stack
    if isinstance(stack, FastAPIRouter):
        return Mounted(stack, Compiler(app, mode))
    compiler = Compiler(app, mode)
    router = FastAPIRouter(stack, compiler, app)
    app.router.middleware_stack = router
    # Behind this application's middleware, and their own: these have no entrance.
    inner_mode = mode if mode == "strict" else "asgi"
    inner = (mount(each, inner_mode) for each in _applications_in(app))
    return Mounted(router, compiler, tuple(inner))


def _applications_in(app: Any) -> list[Any]:
    """Return the FastAPI applications that are mounted in one and have no router yet, each once."""
    from fastapi import APIRouter

    found: list[Any] = []
    for route in app.router.routes:
        mounted = mounted_application(route)
        router = getattr(mounted, "router", None)
        if (
            isinstance(router, APIRouter)
            and not isinstance(router.middleware_stack, FastAPIRouter)
            and not any(mounted is each for each in found)
        ):
            found.append(mounted)
    return found


def install(app: Any, mode: str = "native") -> FastAPIRouter:
    """Put a router before the routes of a FastAPI application, as mount does, and return it."""
    return mount(app, mode).router
