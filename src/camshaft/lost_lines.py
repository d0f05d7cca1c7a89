# SPDX-License-Identifier: MIT
"""Lines of the log that their output does not take: a full disk, a terminal that is gone.

A server goes on without them. `logging` shows a traceback for each, on a stream that is likely to
be full as well; here the first of a handler is shown, and all are counted. A handler with a
handleError() of its own is told of each: it may have another place for the line.
"""

import functools
import logging
import sys
from collections.abc import Iterable

_count = 0


def lost_lines() -> int:
    """Return how many lines this process has lost so far."""
    return _count


def count_lost_lines(loggers: Iterable[logging.Logger]) -> None:
    """Count what the handlers of loggers lose from now on."""
    for logger in loggers:
        for handler in logger.handlers:
            if "handleError" not in vars(handler):
                handler.handleError = functools.partial(  # type: ignore[method-assign]
                    _lose, handler, []
                )


def _lose(handler: logging.Handler, told: list[bool], record: logging.LogRecord) -> None:
    global _count
    if not isinstance(sys.exc_info()[1], OSError):
        # A mistake in the call, say, which is to be seen each time.
        type(handler).handleError(handler, record)
        return
    _count += 1
    if not told or type(handler).handleError is not logging.Handler.handleError:
        told.append(True)
        type(handler).handleError(handler, record)
