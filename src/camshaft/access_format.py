# SPDX-License-Identifier: MIT
"""Lines of the access log in a format of the user's own: gunicorn's atoms.

``%(h)s "%(r)s" %(s)s %(b)s %(D)s`` is a text with atoms in it. They are gunicorn's, so that its
formats can be taken along, and `request_id`. An atom that there is not is refused when the format
is read, where gunicorn writes "-" for ever.
"""

import base64
import binascii
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from camshaft.request_ids import current_request_id

Fields = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and its answer, as the server tells of them when the answer is at an end."""

    client: str
    """Address and port of the client, as `scope["client"]` has them; empty without one."""
    method: str
    path: str
    """Percent-encoded, with the query string."""
    http_version: str
    status: int
    headers: Fields | None
    answer_headers: Fields | None
    """Those of the application."""
    sent: int
    """Bytes of the body, without its chunked coding."""
    seconds: float
    """From the request's head to the end of the answer."""

    def header(self, name: bytes) -> str:
        return _value(self.headers, name)

    def answer_header(self, name: bytes) -> str:
        return _value(self.answer_headers, name)


def _value(fields: Fields | None, name: bytes) -> str:
    """Return the values of a header, "-" for none, with nothing in them that could end a line."""
    found = [value for field, value in fields or () if field.lower() == name]
    return escaped(b", ".join(found).decode("latin-1")) if found else "-"


def escaped(text: str) -> str:
    r"""Return a text with quotes, backslashes and what is no visible ASCII as \" or \xNN."""
    return re.sub(r'["\\]|[^ -~]', _escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if char in '"\\':
        return "\\" + char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def _host(answered: Answered) -> str:
    """Return the address without the port."""
    return answered.client.rpartition(":")[0] or "-"


def _user(answered: Answered) -> str:
    """Return the name of a user who was asked for it by HTTP's Basic scheme (RFC 7617)."""
    scheme, _, credentials = answered.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        name = base64.b64decode(credentials, validate=True).partition(b":")[0]
    except binascii.Error:
        return "-"
    return escaped(name.decode("utf-8", "replace")) or "-"


def _now(answered: Answered) -> str:
    """Return the time in Apache's way. Its months are English, whatever the locale."""
    now = time.localtime()
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][
        now.tm_mon - 1
    ]
    zone = time.strftime("%z", now)
    return time.strftime(f"[%d/{month}/%Y:%H:%M:%S {zone}]", now)


_ATOMS: dict[str, Callable[[Answered], str]] = {
    "h": _host,
    "l": lambda answered: "-",
    "u": _user,
    "t": _now,
    "r": lambda a: escaped(f"{a.method} {a.path} HTTP/{a.http_version}"),
    "m": lambda a: escaped(a.method),
    "U": lambda a: escaped(a.path.partition("?")[0]),
    "q": lambda a: escaped(a.path.partition("?")[2]),
    "H": lambda a: f"HTTP/{a.http_version}",
    "s": lambda a: str(a.status),
    "B": lambda a: str(a.sent),
    "b": lambda a: str(a.sent or "-"),
    "f": lambda a: a.header(b"referer"),
    "a": lambda a: a.header(b"user-agent"),
    "T": lambda a: str(int(a.seconds)),
    "M": lambda a: str(int(a.seconds * 1e3)),
    "D": lambda a: str(int(a.seconds * 1e6)),
    "L": lambda a: f"{a.seconds:.6f}",
    "p": lambda a: f"<{os.getpid()}>",
    "request_id": lambda a: current_request_id.get() or "-",
}

# "%%", an atom, or a percent sign that begins neither.
_TOKEN = re.compile(r"%(?:(?P<percent>%)|\((?P<atom>[^)]*)\)s)?")
_BRACED = re.compile(r"\{(?P<name>[^{}]+)\}(?P<kind>[ioe])")


class AccessFormatError(ValueError):
    """A format that cannot be used; the message is a clause for the user."""


def _getter(atom: str) -> Callable[[Answered], str]:
    known = _ATOMS.get(atom)
    if known is not None:
        return known
    braced = _BRACED.fullmatch(atom)
    if braced is None:
        raise AccessFormatError(
            f"there is no atom {atom!r}: {', '.join(_ATOMS)}, {{header}}i, {{header}}o, "
            "{variable}e"
        )
    name = braced["name"]
    if braced["kind"] == "e":
        return lambda answered: escaped(os.environ.get(name, "-"))
    field = name.lower().encode("latin-1", "replace")
    if braced["kind"] == "i":
        return lambda answered: answered.header(field)
    return lambda answered: answered.answer_header(field)


def read_access_format(text: str) -> Callable[[Answered], str]:
    """Return what makes a line of an answer. Raises AccessFormatError."""
    parts: list[str | Callable[[Answered], str]] = []
    at = 0
    for found in _TOKEN.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found["percent"]:
            parts.append("%")
        elif found["atom"] is not None:
            parts.append(_getter(found["atom"]))
        else:
            raise AccessFormatError(f"a percent sign is %%, and an atom %(h)s: {text[at - 1 :]!r}")
    parts.append(text[at:])
    if any(not char.isprintable() for char in text):
        raise AccessFormatError("it has a control character, and a line of the log is one line")

    def line(answered: Answered) -> str:
        return "".join(part if isinstance(part, str) else part(answered) for part in parts)

    return line
