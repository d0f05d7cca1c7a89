# SPDX-License-Identifier: MIT
"""The transports written in C: asyncio's classes of them are among their bases."""

from camshaft._core import Datagram as DatagramTransport
from camshaft._core import Stream as StreamTransport

__all__ = ["DatagramTransport", "StreamTransport"]
