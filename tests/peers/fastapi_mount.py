# SPDX-License-Identifier: MIT
"""A pytest plugin that puts the native router into every FastAPI application that is made.

``-p camshaft_fastapi_mount`` finds it staged under that name. At the end it writes how many
requests the routers answered natively, replayed and left to FastAPI, summed, to the file of the
outcomes.
"""

import functools
from typing import Any

import fastapi
from camshaft_isolate import _write

from camshaft.fastapi import mount

routers: list[Any] = []

_init = fastapi.FastAPI.__init__


@functools.wraps(_init)
def _mounted(self: fastapi.FastAPI, *args: Any, **options: Any) -> None:
    _init(self, *args, **options)
    routers.append(mount.install(self, "asgi"))


fastapi.FastAPI.__init__ = _mounted  # type: ignore[method-assign]


def pytest_sessionfinish() -> None:
    """Write the counts."""
    native, replayed, fallback = (
        sum(getattr(router, f"{name}_count") for router in routers)
        for name in ("native", "replayed", "fallback")
    )
    _write("count", "requests", str(native + fallback))
    _write("count", "started in a plan", str(native))
    _write("count", "ended in the plan", str(native - replayed))
