# SPDX-License-Identifier: MIT
"""The stream transport, ``_core.Stream``: an ``asyncio.Transport`` written in C."""

from camshaft._core import Stream as StreamTransport

__all__ = ["StreamTransport"]
