# SPDX-License-Identifier: MIT
"""The stream transport: asyncio's own, until _core.Stream takes its place."""

from asyncio import selector_events
from typing import Any


def StreamTransport(
    loop: Any, sock: Any, protocol: Any, waiter: Any, extra: Any, server: Any
) -> Any:
    return selector_events._SelectorSocketTransport(loop, sock, protocol, waiter, extra, server)
