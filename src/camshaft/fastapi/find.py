# SPDX-License-Identifier: MIT
"""Finds the FastAPI application in what a server is given."""

from __future__ import annotations

import sys
from typing import Any

_LAYERS = 32


def find_application(app: object) -> Any:
    """Return the FastAPI object that an ASGI application is or, as middleware does, wraps in `app`.

    None if there is none. FastAPI is not imported: who has an object of it has it imported.
    """
    fastapi = sys.modules.get("fastapi")
    kind = getattr(fastapi, "FastAPI", None)
    if not isinstance(kind, type):
        return None
    for _ in range(_LAYERS):
        if isinstance(app, kind):
            return app
        app = getattr(app, "__dict__", {}).get("app")
        if app is None:
            break
    return None


def mounted_application(route: object) -> Any:
    """Return the FastAPI object that a route of Starlette's mounts, in middleware or not.

    None for what mounts none.
    """
    from starlette.routing import Mount

    return find_application(getattr(route, "app", None)) if isinstance(route, Mount) else None
