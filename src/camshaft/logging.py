# SPDX-License-Identifier: MIT
"""How the server's log lines look: uvicorn's loggers, lines and colours.

The loggers keep uvicorn's names (`uvicorn.error` for the server, `uvicorn.access` for requests),
because people's logging configurations name them.
"""

import http
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from camshaft.request_ids import current_request_id

TRACE_LOG_LEVEL = 5

LOG_LEVELS: dict[str, int] = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE_LOG_LEVEL,
}

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "camshaft.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "camshaft.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
        },
    },
    "handlers": {
        "default": {
            "class": "logging.StreamHandler",
            "formatter": "default",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "access",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}

_RESET = "\033[0m"
_BOLD = "\033[1m"
_CODES = {
    "red": 31,
    "green": 32,
    "yellow": 33,
    "blue": 34,
    "cyan": 36,
    "bright_red": 91,
    "bright_white": 97,
}
_LEVEL_COLORS = {
    TRACE_LOG_LEVEL: "blue",
    logging.DEBUG: "cyan",
    logging.INFO: "green",
    logging.WARNING: "yellow",
    logging.ERROR: "red",
    logging.CRITICAL: "bright_red",
}
# By the status's first digit.
_STATUS_COLORS = {1: "bright_white", 2: "green", 3: "yellow", 4: "red", 5: "bright_red"}
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


def status_phrase(status: int) -> str:
    """Return a status with its phrase, which is empty for an unregistered one."""
    return f"{status} {_PHRASES.get(status, '')}"


def paint(text: str, color: str | None = None, *, bold: bool = False) -> str:
    """Return the text between ANSI escapes that give it a colour, and end it."""
    start = f"\033[{_CODES[color]}m" if color else ""
    return f"{start}{_BOLD if bold else ''}{text}{_RESET}"


def _shown(values: dict[str, Any]) -> logging.LogRecord:
    """Return a record of these attributes for a format to read.

    The record that is being formatted goes to other handlers as well and must stay as it is. It
    is not copied with `copy`, which takes longer than all the rest of an access log's line.
    """
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__ = values
    return record


class ColourizedFormatter(logging.Formatter):
    """Adds `levelprefix`, the level's name padded to a column, to what a format may use.

    And `request_id`, of the request that is being served, or "-".

    With colours, a record's `color_message` (given by `extra=`) is shown for its message.
    `use_colors` None asks whether standard output is a terminal, as uvicorn does.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)
        self.use_colors = sys.stdout.isatty() if use_colors is None else use_colors

    def color_level_name(self, level_name: str, level_no: int) -> str:
        """Return a level's name in its colour; other levels than logging's have none."""
        color = _LEVEL_COLORS.get(level_no)
        return paint(level_name, color) if color else level_name

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(_shown(self.values(record)))

    def values(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the format may use: the record's attributes and those added here."""
        values = dict(record.__dict__)
        name = record.levelname
        padding = " " * (8 - len(name))
        if self.use_colors:
            name = self.color_level_name(name, record.levelno)
            colored = values.get("color_message")
            if colored is not None:
                values["message"] = str(colored) % record.args if record.args else str(colored)
        values["levelprefix"] = f"{name}:{padding}"
        values["request_id"] = current_request_id.get() or "-"
        return values


class DefaultFormatter(ColourizedFormatter):
    """For the server's own lines."""


class AccessFormatter(ColourizedFormatter):
    """For a request's line: adds `client_addr`, `request_line` and `status_code`.

    The record's arguments are client address, method, path with query, HTTP version and status.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A line of --access-log-format is complete.
        if len(record.args or ()) != len(_ACCESS):
            return record.message
        return super().formatMessage(record)

    def get_status_code(self, status_code: int) -> str:
        """Return the status with its phrase; the phrase is empty for an unregistered one."""
        text = status_phrase(status_code)
        color = _STATUS_COLORS.get(status_code // 100)
        return paint(text, color) if self.use_colors and color else text

    def values(self, record: logging.LogRecord) -> dict[str, Any]:
        arguments: Any = record.args
        client_addr, method, full_path, http_version, status_code = arguments
        request_line = f"{method} {full_path} HTTP/{http_version}"
        if self.use_colors:
            request_line = paint(request_line, bold=True)
        values = super().values(record)
        values["client_addr"] = client_addr
        values["request_line"] = request_line
        values["status_code"] = self.get_status_code(int(status_code))
        return values


# What every record has, and what is for other formatters: the rest came by `extra=`.
_NO_EXTRAS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """A line of JSON for each record, as log shippers read it.

    `time` (UTC, RFC 3339), `level`, `logger`, `message`; `exception` with the traceback if there is
    one; of a request `client`, `method`, `path`, `http_version` and `status`; `request_id` of what
    is logged while a request with an id is served; and whatever a record was given by `extra=`. All
    is ASCII, so that nothing in it can begin a line of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        values: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        values |= self.request(record)
        request_id = current_request_id.get()
        if request_id is not None:
            values["request_id"] = request_id
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            values["stack"] = self.formatStack(record.stack_info)
        for name, value in vars(record).items():
            if name not in _NO_EXTRAS:
                values.setdefault(name, value)
        return json.dumps(values, default=str)

    def request(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the arguments of a line of uvicorn.access are."""
        arguments: Any = record.args
        if record.name != "uvicorn.access" or len(arguments or ()) != len(_ACCESS):
            return {}
        return dict(zip(_ACCESS, arguments, strict=True))


_ACCESS = ("client", "method", "path", "http_version", "status")
