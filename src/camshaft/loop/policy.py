# SPDX-License-Identifier: MIT
"""Making camshaft the loop that ``asyncio.run`` and ``asyncio.new_event_loop`` give.

Policies are deprecated since Python 3.14 and gone in 3.16; there, pass
``loop_factory=camshaft.EventLoop`` to ``asyncio.run`` or use ``camshaft.run``.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING, Any

from camshaft.loop.event_loop import EventLoop

HAS_POLICIES = sys.version_info < (3, 16)

if TYPE_CHECKING:
    _Base = asyncio.DefaultEventLoopPolicy
elif HAS_POLICIES:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _Base = asyncio.DefaultEventLoopPolicy
else:
    _Base = object


class EventLoopPolicy(_Base):
    """An event loop policy whose ``new_event_loop()`` makes ``camshaft.EventLoop``.

    Raises RuntimeError on Pythons without policies (3.16 and later).
    """

    _loop_factory: Any = EventLoop

    def __init__(self) -> None:
        if not HAS_POLICIES:
            raise RuntimeError(
                "this Python has no event loop policies; "
                "use asyncio.run(main(), loop_factory=camshaft.EventLoop)"
            )
        super().__init__()


def install() -> None:
    """Make ``asyncio.new_event_loop()`` and ``asyncio.run()`` use camshaft in this process.

    Raises RuntimeError on Pythons without policies (3.16 and later).
    """
    policy = EventLoopPolicy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(policy)
