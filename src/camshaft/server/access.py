# SPDX-License-Identifier: MIT
"""The access log: one line for each response.

The server calls `log` for each, unless `plain` says that a line which it makes
itself looks the same and goes to the same place (csrc/py/asgi/access_log.h).
"""

import codecs
import io
import logging
import types
from collections.abc import Callable
from typing import Any

from camshaft.access_format import Answered
from camshaft.logging import LOGGING_CONFIG, AccessFormatter, status_phrase

logger = logging.getLogger("uvicorn.access")

_MESSAGE = '%s - "%s %s HTTP/%s" %d'
_ARGUMENTS = ("client", "method", "path", "http_version", "status")
_FORMAT = LOGGING_CONFIG["formatters"]["access"]["fmt"]
# Each "200 OK" as bytes, by the status; what is no status is never asked for.
_PHRASES = tuple(status_phrase(status).encode() for status in range(600))
# The encodings in which a line, which is ASCII, is the same bytes.
_ENCODINGS = frozenset(("ascii", "utf-8", "iso8859-1", "iso8859-15", "cp1252"))

# Everything between logger.info() and the file. What patches one of them (Sentry does, and tracing)
# wants to see the records.
_PATCHABLE: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        logging.Logger,
        ("info", "isEnabledFor", "_log", "makeRecord", "handle", "callHandlers"),
    ),
    (logging.Filterer, ("filter",)),
    (logging.Handler, ("handle", "format")),
    (logging.StreamHandler, ("emit", "flush")),
    (logging.Formatter, ("format", "formatMessage")),
    (AccessFormatter, ("formatMessage", "values", "get_status_code")),
)

_METHODS = frozenset(name for _, names in _PATCHABLE for name in names)

AccessLog = Callable[[str, str, str, str, int], None]
Description = tuple[int, bool, Any, tuple[bytes, ...], tuple[tuple[Any, Any, Any], ...]]


def log(client_addr: str, method: str, full_path: str, http_version: str, status: int) -> None:
    """Log a response, with uvicorn's message and arguments."""
    logger.info(_MESSAGE, client_addr, method, full_path, http_version, status)


def detailed(line: Callable[[Answered], str] | None) -> Callable[..., None]:
    """Return what an HttpServer with `access_details` calls at the end of a response.

    Without `line` the message and its arguments are those of `log`; with it, the message is what
    that returns. Either way the record has `bytes` and `duration`, in seconds.
    """

    def log_details(*arguments: Any) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        answered = Answered(*arguments)
        extra: dict[str, Any] = {"bytes": answered.sent, "duration": round(answered.seconds, 6)}
        if line is None:
            logger.info(_MESSAGE, *arguments[: len(_ARGUMENTS)], extra=extra)
            return
        extra |= dict(zip(_ARGUMENTS, arguments[: len(_ARGUMENTS)], strict=True))
        logger.info("%s", line(answered), extra=extra)

    return log_details


def access_log(*, enabled: bool) -> AccessLog | None:
    """Return `log`, or None when it is disabled or no handler would show the lines.

    Then nothing is spent on them.
    """
    return log if enabled and logger.hasHandlers() else None


def _patched() -> bool:
    for owner, names in _PATCHABLE:
        source = "camshaft" if owner is AccessFormatter else logging.Logger.__module__
        for name in names:
            function = vars(owner).get(name)
            if not isinstance(function, types.FunctionType):
                return True
            if function.__globals__.get("__name__", "").partition(".")[0] != source:
                return True
    return logging.getLogRecordFactory() is not logging.LogRecord


def _output(stream: Any) -> int | None:
    """Return the descriptor that a stream writes to, if nothing in between changes the bytes."""
    if type(stream) is not io.TextIOWrapper or stream.closed:
        return None
    # With PYTHONUNBUFFERED there is no buffer between the two.
    file: Any = stream.buffer
    if type(file) is io.BufferedWriter:
        file = file.raw
    if type(file) is not io.FileIO or codecs.lookup(stream.encoding).name not in _ENCODINGS:
        return None
    return stream.fileno()


def plain() -> Description | None:
    """Return where and how the server may write lines itself; None if it may not.

    That is descriptor, whether in colours, what flushes the stream, the texts of statuses, and all
    that must stay as it is: (dict, key, value), (dict, None, size), (list, None, only element).
    """
    handlers = logger.handlers
    if type(logger) is not logging.Logger or len(handlers) != 1 or logger.filters:
        return None
    handler = handlers[0]
    formatter = handler.formatter
    if (
        logger.propagate
        or logger.disabled
        or not 0 < logger.level <= logging.INFO
        or logger.manager.disable >= logging.INFO
        or type(handler) is not logging.StreamHandler
        or handler.filters
        or handler.level > logging.INFO
        or handler.terminator != "\n"
        or type(formatter) is not AccessFormatter
        or formatter._fmt != _FORMAT
        or type(formatter._style) is not logging.PercentStyle
        or any(vars(thing).keys() & _METHODS for thing in (logger, handler, formatter))
        or _patched()
    ):
        return None
    descriptor = _output(handler.stream)
    if descriptor is None:
        return None
    objects = (logger, handler, formatter, formatter._style, logger.manager)
    watched: list[tuple[Any, Any, Any]] = [
        (vars(thing), None, len(vars(thing))) for thing in objects
    ]
    for thing, names in (
        (logger, ("handlers", "filters", "level", "disabled", "propagate")),
        (handler, ("filters", "level", "formatter", "stream")),
        (formatter, ("_fmt", "_style", "use_colors")),
        (formatter._style, ("_fmt",)),
        (logger.manager, ("_disable",)),
    ):
        watched += [(vars(thing), name, vars(thing)[name]) for name in names]
    watched += [(handlers, None, handler), (logger.filters, None, None)]
    watched += [(handler.filters, None, None)]
    flush = handler.stream.flush
    return descriptor, bool(formatter.use_colors), flush, _PHRASES, tuple(watched)
