# SPDX-License-Identifier: MIT
"""Environment files, as --env-file loads them: NAME=value lines in python-dotenv's syntax."""

import os
import re
from collections.abc import MutableMapping

# One assignment: `export` is optional; a quoted value may run over several lines; an unquoted
# one ends at a comment, which begins with # after a blank.
_LINE = re.compile(
    r"""
    [ \t]* (?: export [ \t]+ )?
    (?P<name> [A-Za-z_][A-Za-z0-9_.]* )
    [ \t]* (?: = [ \t]*
        (?: ' (?P<single> (?: [^'\\] | \\. )* ) '
          | " (?P<double> (?: [^"\\] | \\. )* ) "
          | (?P<plain> (?! ['"] ) [^\r\n]*? )
        )
    )?
    [ \t]* (?: (?<= [ \t] ) \# [^\r\n]* )? (?: \r?\n | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r?\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(?P<name>[^}:]+)(?::-(?P<default>[^}]*))?\}")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class EnvFileError(ValueError):
    """A line of an environment file that is no assignment; the message names it."""


def parse_env(text: str, environ: MutableMapping[str, str]) -> dict[str, str]:
    """Return the variables that a file's text sets.

    `${NAME}` and `${NAME:-default}` are replaced outside of single quotes: by `environ` first,
    then by the lines above, because what is already set wins (see load_env_file). Raises
    EnvFileError.
    """
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank is not None:
            at = blank.end()
            continue
        line = _LINE.match(text, at)
        if line is None:
            number = text.count("\n", 0, at) + 1
            raise EnvFileError(f"line {number} is not NAME=value")
        at = line.end()

        def replace(variable: re.Match[str]) -> str:
            name = variable["name"]
            return environ.get(name, values.get(name, variable["default"] or ""))

        if line["single"] is not None:
            value = re.sub(r"\\([\\'])", r"\1", line["single"])
        elif line["double"] is not None:
            value = _ESCAPE.sub(_unescape, line["double"])
            value = _VARIABLE.sub(replace, value)
        else:
            value = _VARIABLE.sub(replace, line["plain"] or "")
        values[line["name"]] = value
    return values


def _unescape(escape: re.Match[str]) -> str:
    letter = escape[1]
    if letter in "\\'\"":
        return letter
    return _CONTROLS.get(letter, escape[0])


def load_env_file(
    path: str | os.PathLike[str], environ: MutableMapping[str, str] = os.environ
) -> None:
    """Set the variables of a file (UTF-8) that are not set already.

    Raises OSError, UnicodeDecodeError and EnvFileError.
    """
    with open(path, encoding="utf-8-sig") as file:
        values = parse_env(file.read(), environ)
    for name, value in values.items():
        environ.setdefault(name, value)
