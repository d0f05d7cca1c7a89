# SPDX-License-Identifier: MIT
"""Formats of the access log: their atoms, and what they make of what clients send."""

import os
import re
from typing import Any

import pytest

from camshaft.access_format import AccessFormatError, Answered, read_access_format
from camshaft.config import Config
from camshaft.settings import ConfigError


def answered(**changes: Any) -> Answered:
    values: dict[str, Any] = {
        "client": "192.0.2.1:5000",
        "method": "GET",
        "path": "/a%20b?q=1",
        "http_version": "1.1",
        "status": 200,
        "headers": [(b"user-agent", b"agent"), (b"x-a", b"1"), (b"x-a", b"2")],
        "answer_headers": [(b"Content-Type", b"text/plain")],
        "sent": 12,
        "seconds": 1.2345678,
    }
    return Answered(**(values | changes))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("plain 100%%", "plain 100%"),
        ("%(h)s %(l)s %(u)s", "192.0.2.1 - -"),
        ('"%(r)s"', '"GET /a%20b?q=1 HTTP/1.1"'),
        ("%(m)s %(U)s %(q)s %(H)s", "GET /a%20b q=1 HTTP/1.1"),
        ("%(s)s %(B)s %(b)s", "200 12 12"),
        ("%(f)s %(a)s", "- agent"),
        ("%(T)s %(M)s %(D)s %(L)s", "1 1234 1234567 1.234568"),
        # Named, because every process that runs tests has to collect the same ones.
        pytest.param("%(p)s", f"<{os.getpid()}>", id="%(p)s"),
        ("%({X-A}i)s %({x-b}i)s", "1, 2 -"),
        ("%({content-type}o)s %({x-b}o)s", "text/plain -"),
        ("%({CAMSHAFT_NOT_THERE}e)s", "-"),
        ("%(request_id)s", "-"),
    ],
)
def test_atoms(text: str, line: str) -> None:
    assert read_access_format(text)(answered()) == line


def test_time() -> None:
    line = read_access_format("%(t)s")(answered())
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", line)


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        (b"Basic dXNlcjpzZWNyZXQ=", "user"),
        (b"basic dXMiZXI6", 'us\\"er'),
        (b"Basic !", "-"),
        (b"Basic", "-"),
        (b"Bearer dXNlcjpzZWNyZXQ=", "-"),
    ],
)
def test_user(authorization: bytes, user: str) -> None:
    request = answered(headers=[(b"authorization", authorization)])
    assert read_access_format("%(u)s")(request) == user


def test_what_is_not_known() -> None:
    line = read_access_format("%(h)s|%(b)s|%({a}i)s|%({a}o)s")
    assert line(answered(client="", sent=0, headers=None, answer_headers=None)) == "-|-|-|-"
    assert read_access_format("%(h)s")(answered(client="::1:80")) == "::1"


def test_nothing_ends_a_line_or_a_string() -> None:
    evil = b'"\\\r\n\x1b\x7f\xe9'
    line = read_access_format('"%(a)s" "%(r)s"')
    request = answered(headers=[(b"user-agent", evil)], method="GET", path=evil.decode("latin-1"))
    escaped = '\\"\\\\\\x0d\\x0a\\x1b\\x7f\\xc3\\xa9'
    assert line(request) == f'"{escaped}" "GET {escaped} HTTP/1.1"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%(nope)s", "no atom 'nope'"),
        ("%({x}z)s", "no atom '{x}z'"),
        ("%()s", "no atom ''"),
        ("%s", "a percent sign is %%"),
        ("%(h)d", "a percent sign is %%"),
        ("100%", "a percent sign is %%"),
        ("%(h)s\n", "control character"),
    ],
)
def test_what_is_no_format(text: str, said: str) -> None:
    with pytest.raises(AccessFormatError, match=re.escape(said)):
        read_access_format(text)
    with pytest.raises(ConfigError, match=r"^--access-log-format"):
        Config(lambda: None, log_config=None, access_log_format=text)
