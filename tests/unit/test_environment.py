# SPDX-License-Identifier: MIT
"""Environment files."""

from pathlib import Path

import pytest

from camshaft.environment import EnvFileError, load_env_file, parse_env


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("# comment\n\n  \nA=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("export=1", {"export": "1"}),
        ("  A = b c \n", {"A": "b c"}),
        ("A=", {"A": ""}),
        ("A", {"A": ""}),
        ("A=b # comment", {"A": "b"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=#c", {"A": "#c"}),
        ("A= # comment", {"A": ""}),
        ("URL=postgresql://u:p@h/d?x=1&y=2", {"URL": "postgresql://u:p@h/d?x=1&y=2"}),
        ("A='b # c' # comment", {"A": "b # c"}),
        ('A="b # c" # comment', {"A": "b # c"}),
        ("A='it''s'", None),
        (r"A='it\'s \n'", {"A": r"it's \n"}),
        (r'A="two\nlines \"quoted\" \q"', {"A": 'two\nlines "quoted" \\q'}),
        ('A="two\nlines"\nB=1', {"A": "two\nlines", "B": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\nB=${A}2", {"A": "1", "B": "12"}),
        ('A=1\nB="${A}2"', {"A": "1", "B": "12"}),
        ("A=1\nB='${A}2'", {"A": "1", "B": "${A}2"}),
        ("B=${A}|${A:-none}", {"B": "|none"}),
        ("B=$A", {"B": "$A"}),
        ("HOME=/elsewhere\nB=${HOME}", {"HOME": "/elsewhere", "B": "/home/me"}),
    ],
)
def test_syntax(text: str, values: dict[str, str] | None) -> None:
    environ = {"HOME": "/home/me"}
    if values is None:
        with pytest.raises(EnvFileError):
            parse_env(text, environ)
    else:
        assert parse_env(text, environ) == values


@pytest.mark.parametrize(
    ("text", "line"), [("1A=2", 1), ("A=1\n=2\n", 2), ("\nA='open\n", 2), ('A="b"c', 1)]
)
def test_an_error_names_the_line(text: str, line: int) -> None:
    with pytest.raises(EnvFileError, match=f"line {line} is not NAME=value"):
        parse_env(text, {})


def test_what_is_set_already_wins(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text("\ufeffA=file\nB=file\n", encoding="utf-8")
    environ = {"A": "process"}
    load_env_file(path, environ)
    assert environ == {"A": "process", "B": "file"}


def test_long_values_take_no_time() -> None:
    """No input makes the expression backtrack: an unclosed quote is the worst of them."""
    with pytest.raises(EnvFileError):
        parse_env("A='" + "\\" * 200_001, {})
    assert parse_env("A=" + " " * 20_000 + "b", {}) == {"A": "b"}
