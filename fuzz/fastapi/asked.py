# SPDX-License-Identifier: MIT
"""Random requests for the routes of a program: what fits, and what does not."""

import json
import random
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from fuzz.fastapi import forms, layers
from fuzz.fastapi.apps import Program, Route
from fuzz.fastapi.taken import Taken

WRONG = [
    "",
    "x",
    "-1",
    "1e9",
    "é",
    "null",
    "[1]",
    "1,2",
    " 7 ",
    "99999999999999999999",
    "boom",
    "a",
]


@dataclass
class Asked:
    """One request as ASGI has it, and what happens to it."""

    method: str
    path: str  # as in the request line
    query: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: tuple[bytes, ...] = (b"",)  # the messages it comes in
    disconnects: bool = False  # before the body has come to its end
    cancel: int = 0  # at which of the application's pauses its task is cancelled
    fails: int = 0  # which send() raises OSError
    root_path: str = ""
    scheme: str = "http"

    def scope(self) -> dict[str, object]:
        """A new scope."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": self.scheme,
            "path": unquote(self.root_path + self.path),
            "raw_path": (self.root_path + self.path).encode(),
            "query_string": self.query.encode("latin-1"),
            "root_path": self.root_path,
            "headers": list(self.headers),
            "client": ("127.0.0.1", 1234),
            "server": ("testserver", 80),
            "state": {},
        }


def _value(choice: random.Random, taken: Taken, wrong: float) -> str:
    if choice.random() < wrong:
        return choice.choice(WRONG)
    return str(taken.example)


def _json(choice: random.Random, route: Route, wrong: float) -> bytes:
    wanted = [taken for taken in route.takes if taken.place == "body"]
    value: object
    if route.embedded:
        value = {taken.key: taken.example for taken in wanted if choice.random() >= wrong}
    else:
        value = wanted[0].example
    draw = choice.random() if wrong else 0.32
    if draw < 0.15:
        value = choice.choice([None, [], {}, 1, "s", [None], {"name": "bad"}, {"a": "x", "z": 1}])
    elif draw < 0.3 and isinstance(value, dict) and value:
        key = choice.choice(sorted(value))
        if choice.random() < 0.5:
            value = {name: item for name, item in value.items() if name != key}
        else:
            value = value | {key: choice.choice([None, "x", -1, [1], {"a": 1}, "bad", 1e400])}
    elif draw < 0.35 and isinstance(value, dict):
        value = value | {"more": 1}
    text = json.dumps(value, ensure_ascii=choice.random() < 0.5)
    draw = choice.random() if wrong else choice.uniform(0.15, 1)
    if draw < 0.03:
        return text.encode("utf-16")
    if draw < 0.06:
        return b"\xef\xbb\xbf" + text.encode()
    if draw < 0.12:
        cut = choice.randrange(len(text) + 1)
        return (
            text[:cut] + choice.choice(["", "}", "\x00", "\\ud800", "NaN"]) + text[cut:]
        ).encode()
    if wrong and draw < 0.15:
        return choice.choice(
            [
                b"",
                b"\xff",
                b'"\\ud800"',
                b'{"a":1,"a":2}',
                b"[" * 2000,
                b"-0",
                b"1e999",
                b" \n1 ",
                b"{}x",
            ]
        )
    if draw < 0.2:
        return b" \r\n\t" + text.encode() + b"\n"
    return text.encode()


def ask(choice: random.Random, program: Program) -> Asked:
    """One request."""
    draw = choice.random()
    if draw < 0.04 or not program.routes:
        paths = ["/", "/docs", "/openapi.json", "/nothing", "/sub/inside", "//", "/%00", "/é"]
        return Asked("GET", quote(choice.choice(paths), safe="/%"), headers=_headers(choice, []))
    route = choice.choice(program.routes)
    # Most requests are good ones: a bad value among ten hides what becomes of the others.
    wrong = 0.0 if choice.random() < 0.65 else 0.25
    path = route.path
    queries: list[str] = []
    takes: list[Taken] = []
    cookies: list[str] = []
    for taken in route.takes:
        if taken.place == "path":
            value = _value(choice, taken, wrong)
            if wrong and choice.random() < 0.2:
                value = choice.choice(
                    ["a%2Fb", "a/b", "%C3%A9", "%FF", "a%0A", "a b", "%20", "..", "+"]
                )
            else:
                value = quote(value, safe="")
            for suffix in ("", ":int", ":path"):
                path = path.replace("{" + taken.key + suffix + "}", value)
            continue
        if choice.random() < wrong:
            continue
        for _ in range(choice.choice([1, 1, 1, 2, 3] if taken.several else [1, 1, 1, 1, 1, 2])):
            value = _value(choice, taken, wrong)
            if taken.place == "query":
                value = value if choice.random() < 0.1 else quote(value)
                queries.append(f"{taken.key}={value}")
            elif taken.place == "header":
                takes.append(Taken("header", taken.key, value))
            elif taken.place == "cookie":
                cookies.append(f"{taken.key}={value}")
    path = path.replace("{tenant}", "acme")
    if choice.random() < 0.15:
        queries.append(
            choice.choice(["extra=1", "", "=", "a", "q", "%", "a=%FF", "a=b=c", "q=%00", "é=é"])
        )
    choice.shuffle(queries)
    draw = choice.random()
    if draw < 0.04:
        path = path.rstrip("/") if path.endswith("/") else path + "/"
    elif draw < 0.06:
        path += choice.choice(["%0A", "%2F", "/x", "%00"])
    method = route.method
    if choice.random() < 0.04:
        method = choice.choice(["HEAD", "OPTIONS", "GET", "POST", "DELETE", "get", "BREW"])
    headers = _headers(choice, takes)
    if choice.random() < 0.05:
        method = "OPTIONS"
        headers += layers.preflight(choice)
    for cookie in [";".join(cookies)] if choice.random() < 0.9 else cookies:
        if cookie:
            headers.append((b"cookie", cookie.encode("utf-8")))
    if choice.random() < 0.05:
        headers.append((b"cookie", choice.choice([b"", b";", b"a", b'q="x y"', b"=v", b"\xe9=1"])))

    body = b""
    wanted = [taken for taken in route.takes if taken.place in ("body", "form", "file")]
    if wanted and all(taken.place == "body" for taken in wanted):
        body = _json(choice, route, wrong)
        kind = b"application/json"
        if choice.random() < 0.15:
            kind = choice.choice(
                [
                    *(b"", b"text/plain", b"application/vnd.api+json", b"application/x+jsonx"),
                    *(b"APPLICATION/JSON; charset=latin-1", b"application/json;", b"json"),
                    *(b"application/geo+json; v=1", b"application/problem+xml"),
                ]
            )
        if kind:
            headers.append((b"content-type", kind))
    elif wanted:
        body, kind = forms.form(choice, wanted, wrong, lambda taken: _value(choice, taken, wrong))
        headers.append((b"content-type", kind))
    elif choice.random() < 0.05:
        body = b"{}"
    draw = choice.random()
    if body and draw < 0.75:
        headers.append((b"content-length", b"%d" % len(body)))
    elif body and draw < 0.9:
        headers.append((b"transfer-encoding", b"chunked"))
    elif draw > 0.98:
        headers.append((b"content-length", choice.choice([b"0", b"9", b"+5", b"1000", b"x"])))
    pieces = (body,)
    if choice.random() < 0.2:
        cut = choice.randrange(len(body) + 1)
        pieces = choice.choice([(body[:cut], body[cut:]), (b"", body), (body, b"")])
    if choice.random() < 0.2:
        choice.shuffle(headers)
    return Asked(
        method,
        path,
        "&".join(queries),
        headers,
        pieces,
        disconnects=choice.random() < 0.03,
        cancel=choice.randrange(1, 4) if choice.random() < 0.06 else 0,
        fails=choice.randrange(1, 3) if choice.random() < 0.04 else 0,
        root_path=choice.choice(["", "", "", "", "", "", "", "", "", "/mounted"]),
        scheme=choice.choice(["http", "https"]),
    )


def _headers(choice: random.Random, takes: list[Taken]) -> list[tuple[bytes, bytes]]:
    headers = [(b"host", layers.host(choice)), *layers.headers(choice)]
    if choice.random() < 0.3:
        headers.append((b"accept", b"*/*"))
    if choice.random() < 0.03:
        headers += [(b"x-odd", b"\xff\xe9"), (b"x-empty", b"")]
    for taken in takes:
        headers.append((taken.key.lower().encode(), str(taken.example).encode()))
    return headers
