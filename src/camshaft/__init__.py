# SPDX-License-Identifier: MIT
"""The serving stack under a FastAPI app: event loop, HTTP parser and ASGI server in C."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camshaft._core import ClientDisconnected
    from camshaft.config import Config
    from camshaft.loop.event_loop import EventLoop, new_event_loop
    from camshaft.loop.policy import EventLoopPolicy, install
    from camshaft.loop.runner import run
    from camshaft.server.serve import serve
    from camshaft.server.server import Server

__version__ = "0.1.0"

__all__ = [
    "ClientDisconnected",
    "Config",
    "EventLoop",
    "EventLoopPolicy",
    "Server",
    "__version__",
    "install",
    "new_event_loop",
    "run",
    "serve",
]

# Imported when it is asked for: who uses the loop alone needs no server, and a master that waits
# for its workers needs neither (see camshaft.master).
_HOMES = {
    "ClientDisconnected": "camshaft._core",
    "Config": "camshaft.config",
    "EventLoop": "camshaft.loop.event_loop",
    "EventLoopPolicy": "camshaft.loop.policy",
    "Server": "camshaft.server.server",
    "install": "camshaft.loop.policy",
    "new_event_loop": "camshaft.loop.event_loop",
    "run": "camshaft.loop.runner",
    "serve": "camshaft.server.serve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
