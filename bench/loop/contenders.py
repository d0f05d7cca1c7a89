# SPDX-License-Identifier: MIT
"""The loops that are compared, and how each is made."""

import asyncio
import importlib

# Name: MODULE:ATTRIBUTE of what makes a loop. Ratios are to the one named BASE.
LOOPS = {
    "camshaft": "camshaft:new_event_loop",
    "uvloop": "uvloop:new_event_loop",
    "asyncio": "asyncio:SelectorEventLoop",
    "rloop": "rloop:new_event_loop",
    "rsloop": "rsloop:new_event_loop",
    "zloop": "zloop:new_event_loop",
    "zuvloop": "zuvloop:new_event_loop",
}
BASE = "uvloop"


def make(name: str) -> asyncio.AbstractEventLoop:
    """A new loop. Raises ImportError where that contender is not installed."""
    module, attribute = LOOPS[name].split(":")
    loop: asyncio.AbstractEventLoop = getattr(importlib.import_module(module), attribute)()
    return loop
