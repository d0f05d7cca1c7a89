# SPDX-License-Identifier: MIT
"""The serving stack under a FastAPI app: event loop, HTTP parser and ASGI server in C."""

from camshaft.loop.event_loop import EventLoop, new_event_loop
from camshaft.loop.policy import EventLoopPolicy, install
from camshaft.loop.runner import run

__version__ = "0.1.0"

__all__ = [
    "EventLoop",
    "EventLoopPolicy",
    "__version__",
    "install",
    "new_event_loop",
    "run",
]
