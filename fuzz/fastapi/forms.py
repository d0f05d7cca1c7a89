# SPDX-License-Identifier: MIT
"""Random parameters that are read from a form, and random forms for them."""

import random
from collections.abc import Callable
from urllib.parse import quote_plus

from fuzz.fastapi.taken import SCALARS, Taken

PRELUDE = """
class Entry(BaseModel):
    name: str
    price: float = Field(1.0, gt=0)
    tags: list[str] = []

class Attached(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field("untitled", alias="Title")
    upload: Optional[UploadFile] = None
"""

_ENTRY = [
    Taken("form", "name", "ok"),
    Taken("form", "price", "2.5"),
    Taken("form", "tags", "t", several=True),
]
# Types of models, with what they take.
_MODELS = {
    "Entry": _ENTRY,
    "Optional[Entry]": _ENTRY,
    "Checked": [Taken("form", "name", "ok")],
    "Extras": [Taken("form", "q", "v"), Taken("form", "other", "v", several=True)],
    "Forbidding": [Taken("form", "q", "3")],
    "Union[Forbidding, Entry]": [Taken("form", "q", "3"), Taken("form", "name", "n")],
    "Attached": [Taken("form", "Title", "t"), Taken("file", "upload", "content")],
}
_FILES = {
    "UploadFile": False,
    "Optional[UploadFile]": False,
    "list[UploadFile]": True,
    "bytes": False,
    "Optional[bytes]": False,
    "list[bytes]": True,
}


def limits(choice: random.Random) -> str:
    """Limits for forms, as an option of a route, a router or an application."""
    given = choice.choice(["max_fields': 2", "max_files': 1", "max_part_size': 12"])
    return f"form_limits={{'{given}}}"


def parameters(choice: random.Random, name: Callable[[str], str]) -> tuple[list[str], list[Taken]]:
    """Some parameters of a form, as texts, and what they take. `name` gives them names."""
    texts: list[str] = []
    takes: list[Taken] = []
    for _ in range(choice.choice([1, 1, 2, 3])):
        text, more = _parameter(choice, name)
        texts.append(text)
        takes += more
    return texts, takes


def _parameter(choice: random.Random, name: Callable[[str], str]) -> tuple[str, list[Taken]]:
    draw = choice.random()
    if draw < 0.2:
        kind = choice.choice(list(_MODELS))
        default = " = None" if kind.startswith("Optional") and choice.random() < 0.7 else ""
        return f"{name('form')}: Annotated[{kind}, Form()]{default}", _MODELS[kind]
    if draw < 0.5:
        kind = choice.choice(list(_FILES))
        several = _FILES[kind]
        own = key = name("file")
        marker = "File()"
        if choice.random() < 0.2:
            # Files of one name are shared, with other parameters and with dependencies.
            key = "shared"
            marker = "File(alias='shared')"
        default = ""
        if kind.startswith("Optional"):
            default = " = None"
        elif several and choice.random() < 0.3:
            default = " = []"
        return f"{own}: Annotated[{kind}, {marker}]{default}", [
            Taken("file", key, "content", several)
        ]
    own = key = name("form")
    kind = choice.choice(list(SCALARS))
    example, several = SCALARS[kind], choice.random() < 0.25
    options = []
    if choice.random() < 0.15:
        key = f"{own}-alias"
        options.append(f"alias={key!r}")
    if several:
        kind = choice.choice([f"list[{kind}]", f"set[{kind}]", f"tuple[{kind}, ...]"])
    elif kind == "str" and choice.random() < 0.5:
        options.append("max_length=5")
    default = ""
    if choice.random() < 0.4:
        kind, default = f"Optional[{kind}]", " = None"
    marker = f"Form({', '.join(options)})"
    return f"{own}: Annotated[{kind}, {marker}]{default}", [Taken("form", key, example, several)]


_BOUNDARY = b"--b"
# Of a form that is none, or not all of one.
_ODD = (
    b"",
    b"--b--\r\n",
    b"--b\r\n\r\nno head\r\n--b--\r\n",
    b"--b\r\ncontent-disposition: form-data\r\n\r\nno name\r\n--b--\r\n",
    b"--b\r\nb\xe4d head: 1\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\ncontent-disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--b--\r\n',
    b"no boundary at all",
)
_TYPES = (
    b"multipart/form-data",
    b"multipart/form-data; boundary=other",
    b"Multipart/Form-Data; boundary=b; charset=latin-1",
    b"multipart/mixed; boundary=b",
    b"application/x-www-form-urlencoded; charset=latin-1",
    b"APPLICATION/X-WWW-FORM-URLENCODED",
    b"application/json",
    b"text/plain",
)


def form(
    choice: random.Random, wanted: list[Taken], wrong: float, value: Callable[[Taken], str]
) -> tuple[bytes, bytes]:
    """A body and its content type. `value` gives what a parameter gets."""
    given = [
        (taken, value(taken))
        for taken in wanted
        if choice.random() >= wrong
        for _ in range(choice.choice([1, 1, 2, 3] if taken.several else [1, 1, 1, 1, 1, 1, 1, 2]))
    ]
    if choice.random() < 0.1:
        given.append((Taken("form", "extra", "1"), choice.choice(["1", ""])))
    if choice.random() < 0.2:
        choice.shuffle(given)
    urlencoded = choice.random() < (0.1 if any(each.place == "file" for each in wanted) else 0.7)
    body = _urlencoded(choice, given) if urlencoded else _multipart(choice, given, wrong)
    kind = (
        b"application/x-www-form-urlencoded" if urlencoded else b"multipart/form-data; boundary=b"
    )
    if wrong and choice.random() < 0.1:
        kind = choice.choice(_TYPES)
    if wrong and choice.random() < 0.2:
        at = choice.randrange(len(body) + 1)
        body = choice.choice(
            [body[:at], body[:at] + b"\0\r\n--b" + body[at:], choice.choice(_ODD), body + b"\r\nx"]
        )
    return body, kind


def _urlencoded(choice: random.Random, given: list[tuple[Taken, str]]) -> bytes:
    pairs = [f"{quote_plus(taken.key)}={quote_plus(text)}" for taken, text in given]
    if choice.random() < 0.1:
        pairs.append(choice.choice(["", "=", "a", "%", "a=%FF", "a=b=c", "a=%00", "%61=1;b=2"]))
    return "&".join(pairs).encode()


def _multipart(choice: random.Random, given: list[tuple[Taken, str]], wrong: float) -> bytes:
    body = b""
    for taken, text in given:
        file = taken.place == "file"
        if wrong and choice.random() < 0.1:
            file = not file
        content = text.encode()
        head = b'content-disposition: form-data; name="%s"' % taken.key.encode()
        if file:
            name = choice.choice([b"f.txt", b"f.txt", b"\xc3\xa9.bin", b'q\\"q', b""])
            content = b"" if not name and choice.random() < 0.7 else content
            head += b'; filename="%s"' % name
            if choice.random() < 0.5:
                head += b"\r\ncontent-type: " + choice.choice([b"text/plain", b"x/y; z=1", b""])
            if choice.random() < 0.03:
                content = content * 150_000  # more than is kept in memory
        body += b"%s\r\n%s\r\n\r\n%s\r\n" % (_BOUNDARY, head, content)
    return body + _BOUNDARY + b"--\r\n"
