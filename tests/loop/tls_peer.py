# SPDX-License-Identifier: MIT
"""Connections whose other end is a tests.tls_peer.Peer, and waiting for what they bring."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from tests import tls_peer
from tests.loop.support import Recorder, until
from tests.tls_peer import Peer

__all__ = ["Peer", "open_tls", "received", "settle"]


async def open_tls(
    ours: ssl.SSLContext,
    theirs: ssl.SSLContext,
    factory: Callable[[], asyncio.BaseProtocol] = Recorder,
    **options: Any,
) -> tuple[Any, Any, Peer]:
    """``tests.tls_peer.open_tls`` with a Recorder."""
    return await tls_peer.open_tls(ours, theirs, factory, **options)


async def settle(turns: int = 20) -> None:
    """Let the loop run some turns; for what must not happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def received(protocol: Any, count: int) -> bytes:
    """What a Recorder has, once it has that much."""
    await until(lambda: len(protocol.data) >= count)
    return bytes(protocol.data)
