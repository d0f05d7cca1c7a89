# SPDX-License-Identifier: MIT
"""Ctrl-C as a terminal would have it, also where the tests run in the background.

A shell starts background jobs with SIGINT ignored, and an ignored signal stays ignored in every
child: each test that interrupts a process would wait for ever.
"""

import signal


def restore() -> None:
    """Give SIGINT and SIGTERM their usual meaning in this process and those it starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
