# SPDX-License-Identifier: MIT
"""The cases of tests/cases/http1, read by the format that its README.md tells."""

import re
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path(__file__).parent / "http1"

PLAIN = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "s": b" ", "\\": b"\\"}
ESCAPE = re.compile(r"\\(?:([rnt0s\\])|x([0-9a-f]{2})|\*(\d+)\((.*?)\))|([^\\])")


def unescape(text: str) -> bytes:
    """Return what an escaped text stands for."""
    out = bytearray()
    end = 0
    for match in ESCAPE.finditer(text):
        assert match.start() == end, text
        end = match.end()
        plain, code, count, repeated, other = match.groups()
        if plain is not None:
            out += PLAIN[plain]
        elif code is not None:
            out.append(int(code, 16))
        elif count is not None:
            out += unescape(repeated) * int(count)
        else:
            out += other.encode("latin-1")
    assert end == len(text), text
    return bytes(out)


@dataclass
class Request:
    """A request that is accepted. Headers are as sent, without white space round the values."""

    method: str
    target: bytes
    version: str
    keep_alive: bool
    length: int | None = None
    chunked: bool = False
    expect: bool = False
    upgrade: bool = False
    path: bytes = b""
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = True


@dataclass
class Case:
    """What is sent on a connection and what comes of it.

    `status` and `reason` are those of the refusal it ends with, `waits` says that the rest of a
    head or body is waited for, `limited` that the case is for other limits than the default.
    """

    place: str
    section: str
    data: bytes = b""
    requests: list[Request] = field(default_factory=list)
    status: int | None = None
    reason: str | None = None
    waits: bool = False
    limited: bool = False

    @property
    def closes(self) -> bool:
        """Whether the connection is closed after the last answer."""
        return self.status is not None or not self.requests[-1].keep_alive


def plain_headers(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the header lines of the head that data begins with, and the length of the head."""
    skipped = len(data) - len(data.lstrip(b"\r\n"))
    end = data.index(b"\r\n\r\n", skipped)
    headers = []
    for line in data[skipped:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    return headers, end + 4


def chunked_length(data: bytes) -> int:
    """Return the length of the well-formed chunked body that data begins with."""
    at = 0
    size = -1
    while size != 0:
        end = data.index(b"\r\n", at)
        size = int(re.split(rb"[;\s]", data[at:end], maxsplit=1)[0], 16)
        at = end + 2 + (size + 2 if size else 0)
    while not data.startswith(b"\r\n", at):
        at = data.index(b"\r\n", at) + 2
    return at + 2


class Reader:
    """Reads one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: list[Case] = []
        self.section = ""
        self.case: Case | None = None
        self.at = 0
        self.own_headers = False
        for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
            self.take(number, line)
        self.end()

    def end(self) -> None:
        self.case = None

    def take(self, number: int, line: str) -> None:
        mark, text = line[:1], line[2:]
        if mark in ("", "@"):
            self.end()
            self.section = text if mark else self.section
            return
        if mark == "#":
            return
        assert line == mark or line[1] == " ", f"{self.path.name}:{number}"
        if self.case is None:
            self.case = Case(f"{self.path.name}:{number}", self.section)
            self.cases.append(self.case)
            self.at = 0
        case = self.case
        after = text.split()[-1:] == ["after"]
        if mark == "%":
            case.limited = True
        elif mark == ">":
            case.data += unescape(text)
        elif mark == "<":
            self.begin_request(case, text)
        elif mark == ":":
            request = case.requests[-1]
            if not self.own_headers:
                request.headers = []
                self.own_headers = True
            name, _, value = unescape(text).partition(b": ")
            request.headers.append((name, value))
        elif mark == "+":
            case.requests[-1].body += unescape(text)
        else:
            assert mark in "!~", f"{self.path.name}:{number}"
            if case.requests and not after:
                last = case.requests[-1]
                last.whole = not (last.chunked or last.length)
            if mark == "~":
                case.waits = True
            else:
                status, case.reason = text.split()[:2]
                case.status = int(status)

    def begin_request(self, case: Case, text: str) -> None:
        if case.requests:
            last = case.requests[-1]
            rest = case.data[self.at :]
            self.at += chunked_length(rest) if last.chunked else last.length or 0
        method, target, version, keep_alive, *attributes = text.split(" ")
        headers, length = plain_headers(case.data[self.at :])
        self.at += length
        request = Request(
            method, unescape(target), version, keep_alive == "keep-alive", headers=headers
        )
        request.path, _, request.query = request.target.partition(b"?")
        for attribute in attributes:
            name, _, value = attribute.partition("=")
            if name == "length":
                request.length = int(value)
            elif name in ("path", "query"):
                setattr(request, name, value.encode("latin-1"))
            elif name != "host":
                setattr(request, name, True)
        self.own_headers = False
        case.requests.append(request)


def read_cases() -> list[Case]:
    """Return all cases."""
    return [case for path in sorted(DIRECTORY.glob("*.txt")) for case in Reader(path).cases]
