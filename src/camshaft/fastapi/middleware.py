# SPDX-License-Identifier: MIT
"""Whether requests may be answered before an application's middleware stack."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

try:
    from fastapi._body_limit import AppBodyLimitMiddleware
    from fastapi.telemetry._asgi import ExceptionTelemetryMiddleware
except ImportError:  # an older release, whose stack is another one
    AppBodyLimitMiddleware = ExceptionTelemetryMiddleware = None  # type: ignore[assignment,misc]


def why_not_alone(app: Any) -> str | None:
    """Return what stands between a server and an application's router, or None for nothing.

    Nothing is what FastAPI itself puts there: a plan does the same. Makes the stack as FastAPI
    does for the first request; after that no middleware can be added.
    """
    for name in ("__call__", "build_middleware_stack"):
        if name in vars(app) or getattr(type(app), name) is not getattr(FastAPI, name):
            return f"`{name}` is not FastAPI's own"
    if app.root_path:
        return "a root_path is set in the application"
    if app.user_middleware:
        return ", ".join(
            getattr(each.cls, "__name__", repr(each.cls)) for each in app.user_middleware
        )
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    expected = (
        ServerErrorMiddleware,
        ExceptionTelemetryMiddleware,
        AppBodyLimitMiddleware,
        ExceptionMiddleware,
        AsyncExitStackMiddleware,
    )
    layer = app.middleware_stack
    for kind in expected:
        if type(layer) is not kind:
            return f"a {type(layer).__name__} in the middleware stack"
        layer = layer.app
        if kind is AppBodyLimitMiddleware and app.router.max_body_size is not None:
            return "a max_body_size of the application"
    return None if layer is app.router else "the stack does not end in the application's router"


def stands_alone(app: Any) -> bool:
    """Whether nothing but FastAPI's own middleware is before an application's router."""
    return why_not_alone(app) is None
