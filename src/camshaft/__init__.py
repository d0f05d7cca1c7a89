# SPDX-License-Identifier: MIT
"""The serving stack under a FastAPI app: event loop, HTTP parser and ASGI server in C."""

from typing import TYPE_CHECKING, Any

from camshaft._core import ClientDisconnected
from camshaft.loop.event_loop import EventLoop, new_event_loop
from camshaft.loop.policy import EventLoopPolicy, install
from camshaft.loop.runner import run

if TYPE_CHECKING:
    from camshaft.config import Config
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

# The server's parts are imported when they are asked for: who uses the loop alone needs none.
_SERVER = {
    "Config": "camshaft.config",
    "Server": "camshaft.server.server",
    "serve": "camshaft.server.serve",
}


def __getattr__(name: str) -> Any:
    if name not in _SERVER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_SERVER[name]), name)
    globals()[name] = value
    return value
