# SPDX-License-Identifier: MIT
"""Log lines and their colours."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from camshaft.logging import TRACE_LOG_LEVEL, AccessFormatter, DefaultFormatter, JsonFormatter
from camshaft.lost_lines import count_lost_lines, lost_lines

DEFAULT = "%(levelprefix)s %(message)s"
ACCESS = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
LINE = '%s - "%s %s HTTP/%s" %d'
REQUEST = ("127.0.0.1:5000", "GET", "/a%20b?c=d", "1.1")


def record(message: str, *args: Any, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("uvicorn.error", level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ("level", "prefix", "color"),
    [
        (logging.DEBUG, "DEBUG:    ", 36),
        (logging.INFO, "INFO:     ", 32),
        (logging.WARNING, "WARNING:  ", 33),
        (logging.ERROR, "ERROR:    ", 31),
        (logging.CRITICAL, "CRITICAL: ", 91),
    ],
)
def test_levels_are_a_column(level: int, prefix: str, color: int) -> None:
    plain = DefaultFormatter(DEFAULT, use_colors=False)
    assert plain.format(record("text", level=level)) == f"{prefix}text"
    colored = DefaultFormatter(DEFAULT, use_colors=True)
    name = prefix.rstrip(" :")
    assert colored.format(record("text", level=level)) == (
        f"\033[{color}m{name}\033[0m{prefix.removeprefix(name)}text"
    )


def test_other_levels_have_no_color() -> None:
    formatter = DefaultFormatter(DEFAULT, use_colors=True)
    assert formatter.format(record("text", level=33)) == "Level 33: text"


def test_trace_has_a_color() -> None:
    formatter = DefaultFormatter(DEFAULT, use_colors=True)
    assert formatter.format(record("text", level=TRACE_LOG_LEVEL)).startswith("\033[34m")


def test_color_message_is_for_colors_alone() -> None:
    entry = record("process %d", 7, color_message="process <%d>")
    assert DefaultFormatter(DEFAULT, use_colors=False).format(entry).endswith("process 7")
    assert DefaultFormatter(DEFAULT, use_colors=True).format(entry).endswith("process <7>")
    # The record is another handler's too.
    assert entry.msg == "process %d"
    assert "levelprefix" not in entry.__dict__


def test_colors_follow_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert DefaultFormatter(DEFAULT).use_colors
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert not DefaultFormatter(DEFAULT).use_colors


def test_access_line() -> None:
    formatter = AccessFormatter(ACCESS, use_colors=False)
    entry = record(LINE, *REQUEST, 404)
    expected = 'INFO:     127.0.0.1:5000 - "GET /a%20b?c=d HTTP/1.1" 404 Not Found'
    assert formatter.format(entry) == expected


def test_access_line_of_an_unregistered_status() -> None:
    formatter = AccessFormatter(ACCESS, use_colors=False)
    assert formatter.format(record(LINE, *REQUEST, 599)).endswith('HTTP/1.1" 599 ')


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (100, "\033[97m100 Continue\033[0m"),
        (200, "\033[32m200 OK\033[0m"),
        (301, "\033[33m301 Moved Permanently\033[0m"),
        (404, "\033[31m404 Not Found\033[0m"),
        (500, "\033[91m500 Internal Server Error\033[0m"),
        (999, "999 "),
    ],
)
def test_access_line_in_colors(status: int, shown: str) -> None:
    formatter = AccessFormatter(ACCESS, use_colors=True)
    line = formatter.format(record(LINE, *REQUEST, status))
    assert line.endswith(f'"\033[1mGET /a%20b?c=d HTTP/1.1\033[0m" {shown}')


def as_json(**attributes: Any) -> dict[str, Any]:
    record = logging.makeLogRecord({"created": 0.25, "levelname": "INFO", **attributes})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert line.isascii()
    values: dict[str, Any] = json.loads(line)
    return values


def test_json() -> None:
    assert as_json(name="uvicorn.error", msg="pid %d\nä", args=(7,), color_message="x") == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "uvicorn.error",
        "message": "pid 7\nä",
    }


def test_json_of_a_request() -> None:
    values = as_json(
        name="uvicorn.access",
        msg='%s - "%s %s HTTP/%s" %d',
        args=("127.0.0.1:5", "GET", "/a?b", "1.1", 200),
    )
    assert values["message"] == '127.0.0.1:5 - "GET /a?b HTTP/1.1" 200'
    assert {name: values[name] for name in list(values)[4:]} == {
        "client": "127.0.0.1:5",
        "method": "GET",
        "path": "/a?b",
        "http_version": "1.1",
        "status": 200,
    }


def test_json_of_what_only_looks_like_a_request() -> None:
    assert "status" not in as_json(name="uvicorn.access", msg="%s", args=("a",))
    assert "status" not in as_json(name="other", msg="%s%s%s%s%s", args=tuple("abcde"))


def test_json_of_an_exception_and_extras() -> None:
    try:
        raise KeyError("a key")
    except KeyError:
        values = as_json(msg="no", exc_info=sys.exc_info(), request_id="r1", path_object=Path("/x"))
    assert values["exception"].endswith("KeyError: 'a key'")
    assert (values["request_id"], values["path_object"]) == ("r1", "/x")
    # What a line says of itself, extras do not replace.
    assert as_json(msg="m", level="forged")["level"] == "INFO"


@pytest.mark.parametrize("own", [False, True])
def test_lost_lines(own: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """All are counted; who has a use for each is told of each, else the first is shown."""
    told = []

    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError("no space left")
            except OSError:
                self.handleError(record)

    class Telling(Failing):
        def handleError(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger = logging.Logger("lost")
    logger.addHandler(Telling() if own else Failing())
    count_lost_lines([logger])
    before = lost_lines()
    for text in ("one", "two", "three"):
        logger.error(text)
    assert lost_lines() == before + 3
    assert told == (["one", "two", "three"] if own else [])
    assert capsys.readouterr().err.count("\nOSError: no space left\n") == (0 if own else 1)
