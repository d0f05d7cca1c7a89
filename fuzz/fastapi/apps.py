# SPDX-License-Identifier: MIT
"""Random applications, each as the text of a module in parts that can be left out one by one.

Every function of an application calls `note()`, which says where and in which context it runs; the
parts name what they take from the request, so that requests can be made that fit.
"""

import random
from dataclasses import dataclass, field

from fuzz.fastapi import forms
from fuzz.fastapi.layers import layers
from fuzz.fastapi.taken import SCALARS, Taken

PRELUDE = (
    '''\
import asyncio, contextvars, dataclasses, datetime, decimal, enum, threading, uuid
from typing import Annotated, Any, Literal, Optional, Union
from fastapi import (APIRouter, BackgroundTasks, Body, Cookie, Depends, FastAPI, File, Form, Header,
    HTTPException, Path, Query, Request, Response, Security, UploadFile)
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection
from fastapi.responses import (HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse,
    StreamingResponse)
from fastapi.security import (APIKeyCookie, APIKeyHeader, HTTPBasic, HTTPBearer,
    OAuth2PasswordBearer, SecurityScopes)
from pydantic import BaseModel, ConfigDict, Field, field_validator

setting = contextvars.ContextVar("setting", default="unset")
log = []
probe = {}
files = []

def note(what):
    """Say what runs, in which kind of thread and task, and what the context variable is."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    loop = threading.get_ident() == probe.get("thread")
    whose = "no" if task is None else "the request's" if task is probe.get("task") else "another"
    log.append((what, "loop" if loop else "worker", whose, setting.get()))

async def pause(where):
    """Let others run; the request's task is cancelled at the place that the request names."""
    note("at " + where)
    probe["pauses"] = probe.get("pauses", 0) + 1
    if probe["pauses"] == probe.get("cancel"):
        asyncio.current_task().cancel()
    await asyncio.sleep(0)

def show(values):
    """Arguments as something that compares."""
    return {name: seen(value) for name, value in sorted(values.items())}

def keys(scope):
    """Its keys, without those that only tell FastAPI's parts of each other (settled)."""
    return sorted(set(scope) - {
        "fastapi_function_astack", "fastapi_inner_astack",
        "starlette.max_body_size", "starlette._body_limit_responder"})

def seen(value):
    if isinstance(value, (Request, HTTPConnection)):
        scope = value.scope
        return [type(value).__name__, keys(scope), scope["path"],
            sorted(scope["path_params"].items()), str(value.url),
            getattr(scope.get("endpoint"), "__name__", None),
            getattr(scope.get("route"), "path", None)]
    if isinstance(value, (Response, BackgroundTasks)):
        return type(value).__name__
    if isinstance(value, SecurityScopes):
        return ["scopes", value.scopes, value.scope_str]
    if isinstance(value, UploadFile):
        files.append(value.file)
        at = "closed" if value.file.closed else value.file.tell()
        return ["file", value.filename, value.content_type, value.size, at]
    if isinstance(value, list):
        return [seen(each) for each in value]
    return repr(value)

class Item(BaseModel):
    name: str
    price: float = Field(gt=0)
    tags: list[str] = []

class Nested(BaseModel):
    item: Item
    when: Optional[datetime.datetime] = None
    counts: dict[str, int] = {}

class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int
    b: str = "b"

class Aliased(BaseModel):
    some_id: int = Field(alias="someId")
    other: str = Field("o", serialization_alias="otherName")

class Checked(BaseModel):
    name: str
    @field_validator("name")
    @classmethod
    def check(cls, value):
        note("validator")
        if value == "bad":
            raise ValueError("bad name")
        return value.upper()

class Page(BaseModel):
    limit: int = Field(10, le=100)
    offset: int = 0
    order: Literal["up", "down"] = "up"
    tags: list[str] = []

class Extras(BaseModel):
    model_config = ConfigDict(extra="allow")
    q: Optional[str] = None

class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    q: int = 1

class Head(BaseModel):
    x_token: str = "none"
    accept: Optional[str] = None

class Biscuits(BaseModel):
    session: Optional[str] = None
    visits: int = 0

@dataclasses.dataclass
class Data:
    x: int
    y: str = "y"

class Color(enum.Enum):
    red = "red"
    blue = "blue"

class Plain(PlainTextResponse):
    pass
'''
    + forms.PRELUDE
)

BODIES = {
    "Item": {"name": "n", "price": 2.5},
    "Nested": {"item": {"name": "n", "price": 1, "tags": ["t"]}, "counts": {"a": 1}},
    "Strict": {"a": 1},
    "Aliased": {"someId": 3},
    "Checked": {"name": "ok"},
    "list[Item]": [{"name": "n", "price": 1}],
    "list[int]": [1, 2],
    "dict[str, Any]": {"k": [1, None, True, "é"]},
    "dict[int, float]": {"1": 2.0},
    "Union[Strict, Item]": {"name": "n", "price": 3},
    "Data": {"x": 1},
    "Any": {"x": [1.5, "y"]},
    "Optional[Item]": None,
    "int": 5,
    "str": "text",
}


@dataclass
class Route:
    """A path operation, as requests need to know it."""

    method: str
    path: str
    takes: list[Taken]
    embedded: bool
    part: str  # of the program


@dataclass
class Program:
    """An application in parts; `text()` is a module that runs."""

    parts: list[str] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)

    def text(self, parts: list[str] | None = None) -> str:
        """The module."""
        return "\n\n".join([PRELUDE, *(self.parts if parts is None else parts)]) + "\n"


class Maker:
    """Makes one program."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.program = Program()
        self.count = 0
        self.dependencies: list[tuple[str, list[Taken]]] = []

    def chance(self, probability: float) -> bool:
        return self.choice.random() < probability

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def make(self) -> Program:
        """A program with everything in it."""
        self.application()
        for _ in range(self.choice.randint(1, 4)):
            self.dependency()
        routers = [("app", "")]
        for _ in range(self.choice.choice([0, 0, 1, 2, 3])):
            self.router(routers)
        for _ in range(self.choice.randint(2, 6)):
            self.route(*self.choice.choice(routers))
        self.program.parts.extend(self.includes[::-1])
        if self.chance(0.1):
            self.program.parts.append(
                "sub = FastAPI()\n@sub.get('/inside')\ndef inside():\n    note('inside')\n"
                "    return {'inside': 1}\napp.mount('/sub', sub)"
            )
        return self.program

    def application(self) -> None:
        self.includes: list[str] = []
        options = []
        if self.chance(0.1):
            options.append("redirect_slashes=False")
        if self.chance(0.1):
            options.append(f"max_body_size={self.choice.choice([20, 60, 300])}")
        if self.chance(0.05):
            options.append(forms.limits(self.choice))
        if self.chance(0.1):
            options.append(
                "default_response_class=Plain" if self.chance(0.3) else "openapi_url=None"
            )
        if self.chance(0.05):
            options.append("strict_content_type=False")
        parts = self.program.parts
        if self.chance(0.15):
            parts.append("async def everywhere():\n    note('everywhere')")
            options.append("dependencies=[Depends(everywhere)]")
        parts.append(f"app = FastAPI({', '.join(options)})")
        if self.chance(0.15):
            parts.append(
                "@app.exception_handler(HTTPException)\nasync def on_http(request, exc):\n"
                "    note('on_http')\n    return JSONResponse({'error': exc.detail,"
                " 'path': request.url.path, 'body': repr(getattr(request, '_body', None))},"
                " exc.status_code, exc.headers)"
            )
        if self.chance(0.15):
            parts.append(
                "@app.exception_handler(ValueError)\ndef on_value(request, exc):\n"
                "    note('on_value')\n    return PlainTextResponse(f'value: {exc}', 418)"
            )
        if self.chance(0.1):
            parts.append(
                "@app.exception_handler(RequestValidationError)\n"
                "async def on_invalid(request, exc):\n"
                "    note('on_invalid')\n    return JSONResponse({'n': len(exc.errors()),"
                " 'body': repr(exc.body)}, 422)"
            )
        if self.chance(0.05):
            parts.append(
                "@app.exception_handler(500)\nasync def on_500(request, exc):\n"
                "    note('on_500')\n    return PlainTextResponse('oops', 500)"
            )
        if self.chance(0.08):
            parts.append(
                "@app.middleware('http')\nasync def around(request, call_next):\n"
                "    note('around')\n    setting.set('around')\n"
                "    response = await call_next(request)\n    note('around again')\n"
                "    response.headers['x-around'] = '1'\n    return response"
            )
        if self.chance(0.1):
            parts.append(
                "class Pure:\n    def __init__(self, app):\n        self.app = app\n"
                "    async def __call__(self, scope, receive, send):\n        note('pure')\n"
                "        setting.set('pure')\n        async def sending(message):\n"
                "            note('sends ' + message['type'])\n            await send(message)\n"
                "        await self.app(scope, receive, sending)\n"
                '        note(f\'pure again {keys(scope)} {scope.get("path_params")}'
                ' {getattr(scope.get("endpoint"), "__name__", None)}'
                ' {getattr(scope.get("route"), "path", None)}'
                ' {sorted(scope.get("fastapi", {}))}\')\n'
                "app.add_middleware(Pure)"
            )
        parts.extend(layers(self.choice))

    def router(self, routers: list[tuple[str, str]]) -> None:
        name = self.name("router")
        parent, above = self.choice.choice(routers)
        prefix = self.choice.choice(["", "/r", "/api", "/{tenant}"])
        options = []
        if self.chance(0.2) and self.dependencies:
            options.append(f"dependencies=[Depends({self.choice.choice(self.dependencies)[0]})]")
        if self.chance(0.1):
            options.append(f"max_body_size={self.choice.choice([20, 40, 300])}")
        if self.chance(0.05):
            options.append(forms.limits(self.choice))
        own = f"prefix={prefix!r}" if prefix and self.chance(0.5) else ""
        self.program.parts.append(f"{name} = APIRouter({own})")
        if prefix and not own:
            options.append(f"prefix={prefix!r}")
        # Included last, innermost first, so that all routes are there.
        self.includes.append(f"{parent}.include_router({', '.join([name, *options])})")
        routers.append((name, above + prefix))

    def parameter(self, path: str | None = None) -> tuple[str, list[Taken]]:
        """One parameter of a function, as text, and what it takes."""
        choice = self.choice
        if path is not None:
            kind = choice.choice(list(SCALARS))
            metadata = "Path(title='p')" if self.chance(0.5) else None
            if kind == "int" and self.chance(0.3):
                metadata = "Path(ge=1, le=1000)"
            note = f"Annotated[{kind}, {metadata}]" if metadata else kind
            return f"{path}: {note}", [Taken("path", path, SCALARS[kind])]
        name = self.name("p")
        place = choice.choice(["query"] * 4 + ["header"] * 2 + ["cookie", "model"])
        if place == "model":
            model, where = choice.choice(
                [
                    ("Page", "query"),
                    ("Extras", "query"),
                    ("Forbidding", "query"),
                    ("Head", "header"),
                    ("Biscuits", "cookie"),
                ]
            )
            marker = where.capitalize()
            keys = {
                "Page": [("limit", "5"), ("order", "down"), ("tags", "t")],
                "Extras": [("q", "q")],
                "Forbidding": [("q", "2")],
                "Head": [("x-token", "t")],
                "Biscuits": [("session", "s"), ("visits", "3")],
            }[model]
            return f"{name}: Annotated[{model}, {marker}()]", [
                Taken(where, key, example) for key, example in keys
            ]
        kind = choice.choice(list(SCALARS))
        example: object = SCALARS[kind]
        options = []
        several = False
        if place != "cookie" and self.chance(0.2):
            several = True
            kind = (
                choice.choice(["list", "list", "set", "tuple"])
                + f"[{choice.choice(['int', 'str'])}"
            )
            kind += ", ...]" if kind.startswith("tuple") else "]"
            example = "3"
        key = name.replace("_", "-") if place == "header" else name
        if self.chance(0.2):
            key = choice.choice([f"x-{name}", f"{name}Alias", f"{name}.a"])
            options.append(f"alias={key!r}")
        if kind in ("int", "float") and self.chance(0.4):
            options.append(choice.choice(["ge=0", "le=100", "gt=1", "multiple_of=2"]))
        if kind == "str" and self.chance(0.4):
            options.append(choice.choice(["min_length=2", "max_length=5", "pattern='^a'"]))
        if self.chance(0.1):
            options.append(choice.choice(["deprecated=True", "include_in_schema=False"]))
        default = ""
        draw = choice.random()
        if draw < 0.3:
            kind, default = f"Optional[{kind}]", " = None"
        elif draw < 0.45:
            default = (
                " = []" if several else f" = {kind}({example!r})" if kind in ("str", "int") else ""
            )
        elif draw < 0.5 and kind.startswith("list"):
            options.append("default_factory=list")
        marker = place.capitalize()
        if options or place != "query" or several or self.chance(0.5):
            kind = f"Annotated[{kind}, {marker}({', '.join(options)})]"
        return f"{name}: {kind}{default}", [Taken(place, key, example, several)]

    def injected(self) -> str:
        name = self.name("given")
        return self.choice.choice(
            [
                f"{name}: Request",
                f"{name}: HTTPConnection",
                f"{name}: Response",
                f"{name}: BackgroundTasks",
                f"{name}: SecurityScopes",
            ]
        )

    def depends(self) -> tuple[str, list[Taken]]:
        name = self.name("d")
        if self.chance(0.1):
            scheme, taken = self.choice.choice(
                [
                    ("HTTPBearer()", Taken("header", "authorization", "Bearer t")),
                    ("HTTPBearer(auto_error=False)", Taken("header", "authorization", "Bearer t")),
                    ("HTTPBasic()", Taken("header", "authorization", "Basic dTpw")),
                    ("APIKeyHeader(name='x-key')", Taken("header", "x-key", "k")),
                    ("APIKeyCookie(name='key')", Taken("cookie", "key", "k")),
                    ("OAuth2PasswordBearer('token')", Taken("header", "authorization", "Bearer t")),
                ]
            )
            return f"{name}: Annotated[Any, Depends({scheme})]", [taken]
        call, takes = self.choice.choice(self.dependencies)
        options = ", use_cache=False" if self.chance(0.15) else ""
        if self.chance(0.1):
            return f"{name}: Annotated[Any, Security({call}, scopes=['s{self.count}'])]", takes
        return f"{name}: Annotated[Any, Depends({call}{options})]", takes

    def signature(self, paths: list[str]) -> tuple[str, list[Taken]]:
        texts = []
        takes: list[Taken] = []
        for path in paths:
            text, more = self.parameter(path)
            texts.append(text)
            takes += more
        for _ in range(self.choice.choice([0, 0, 1, 1, 2, 3])):
            text, more = self.parameter()
            texts.append(text)
            takes += more
        while self.dependencies and self.chance(0.35):
            text, more = self.depends()
            texts.append(text)
            takes += more
        if self.chance(0.2):
            texts.append(self.injected())
        # FastAPI takes them by keyword, and Python wants those with defaults last.
        return "*, " + ", ".join(texts) if texts else "", takes

    def dependency(self) -> None:
        name = self.name("dep")
        signature, takes = self.signature([])
        if self.chance(0.1):
            given, more = forms.parameters(self.choice, self.name)
            signature = ", ".join([signature or "*", *given])
            takes = takes + more
        kind = self.choice.choice(
            ["def", "async def", "async def", "yield", "async yield", "async yield", "class"]
        )
        raises = self.choice.choice(
            ["", "", "", "if 'boom' in str(values): raise HTTPException(409, 'boom')"]
        )
        inside = f"values = show(locals()); note(f'{name} {{values}}')"
        if kind == "class":
            # A class is called in the loop's thread, as its instances' making is not awaited.
            more = signature.removeprefix("*, ")
            text = f"class {name}:\n    def __init__(self{', *, ' + more if more else ''}):\n"
            text += "        values = show({k: v for k, v in locals().items() if k != 'self'})\n"
            text += f"        note(f'{name} {{values}}')\n        self.values = values\n"
            text += f"    def __repr__(self):\n        return f'{name}{{self.values}}'"
        else:
            prefix = "async " if kind.startswith("async") else ""
            text = f"{prefix}def {name}({signature}):\n    {inside}\n"
            if raises:
                text += f"    {raises}\n"
            text += "".join(f"    {line}\n" for line in self.reading(signature, bool(prefix)))
            if prefix and self.chance(0.4):
                text += f"    await pause({name!r})\n"
            if self.chance(0.3):
                text += f"    setting.set({name!r})\n"
            if "yield" in kind:
                clean = f"        note('{name} leaves')\n"
                if prefix and self.chance(0.3):
                    clean += f"        await pause('{name} leaving')\n"
                if self.chance(0.3):
                    text += "    try:\n"
                    text += f"        yield {name!r}\n"
                    text += "    except BaseException as error:\n"
                    text += f"        note(f'{name} {{type(error).__name__}}')\n"
                    if self.chance(0.7):
                        text += "        raise\n"
                    elif self.chance(0.5):
                        text += "        raise HTTPException(410, 'from yield')\n"
                    text += f"    finally:\n{clean}"
                else:
                    text += f"    try:\n        yield {name!r}\n    finally:\n{clean}"
            else:
                text += f"    return [{name!r}, repr(values)]"
        self.program.parts.append(text)
        self.dependencies.append((name, takes))

    def reading(self, signature: str, asynchronous: bool) -> list[str]:
        """What a function does with the files that it is given."""
        lines = []
        for given in signature.split(", "):
            name, _, kind = given.partition(": ")
            if kind == "Annotated[UploadFile" and self.chance(0.5):
                lines.append(
                    self.choice.choice([f"note(await {name}.read(3))", f"await {name}.close()"])
                    if asynchronous and self.chance(0.7)
                    else f"note({name}.file.read(2))"
                )
        return lines

    def body(self, name: str) -> tuple[str, list[Taken], bool]:
        """Parameters for a body: text, what they take, and whether by names."""
        choice = self.choice
        draw = choice.random()
        if draw < 0.3:
            texts, takes = forms.parameters(choice, self.name)
            return ", ".join(texts), takes, False
        kind = choice.choice(list(BODIES))
        example = BODIES[kind]
        if draw < 0.67:
            marker = "Body()" if kind in ("int", "str", "Any") or choice.random() < 0.3 else None
            text = f"{name}: Annotated[{kind}, {marker}]" if marker else f"{name}: {kind}"
            text += " = None" if kind.startswith("Optional") else ""
            return text, [Taken("body", "", example)], False
        if draw < 0.8:
            return (
                f"{name}: Annotated[{kind}, Body(embed=True)]",
                [Taken("body", name, example)],
                True,
            )
        other = self.name("body")
        second = choice.choice(list(BODIES))
        return (
            f"{name}: Annotated[{kind}, Body()], {other}: Annotated[{second}, Body()]",
            [Taken("body", name, example), Taken("body", other, BODIES[second])],
            True,
        )

    def route(self, router: str, above: str) -> None:
        choice = self.choice
        name = self.name("endpoint")
        own = choice.choice(["/" + name, "/" + name + "/", "/items/{a}", f"/{name}/{{a}}"])
        own = choice.choice(
            [own, own, own, f"/{name}/{{a:int}}", f"/{name}/{{a:path}}", "/{a}/{b}"]
        )
        paths = [part[1:].split(":")[0].rstrip("}") for part in own.split("/") if part[:1] == "{"]
        if "tenant" in above and choice.random() < 0.5:
            paths.append("tenant")
        signature, takes = self.signature(paths)
        method = choice.choice(["get", "get", "get", "post", "post", "put", "delete", "patch"])
        embedded = False
        if method in ("post", "put", "patch") and self.chance(0.8):
            text, more, embedded = self.body(self.name("body"))
            signature = f"{signature}, {text}" if signature else f"*, {text}"
            takes = takes + more
        options = []
        result = choice.choice(
            [
                *("values", "values", "item", "item", "list", "none", "str", "response", "raise"),
                *("value", "more", "data", "stream", "odd", "nan", "bytes", "redirect"),
            ]
        )
        text = {
            "values": "return values",
            "item": "return Item(name='n', price=1.5)",
            "list": "return [Item(name='n', price=1.5), Item(name='m', price=2, tags=['x'])]",
            "none": "return None",
            "str": "return 'té\"xt'",
            "response": choice.choice(
                [
                    "return Response(b'raw', 203, {'x-own': '1'}, 'text/x')",
                    "return JSONResponse({'own': [1, None]}, headers={'set-cookie': 'a=b'})",
                    "return HTMLResponse('<p>')",
                    "return Response(status_code=204)",
                ]
            ),
            "raise": choice.choice(
                ["raise HTTPException(404, 'gone', {'x-e': '1'})", "raise HTTPException(204)"]
            ),
            "value": choice.choice(["raise ValueError('v')", "raise KeyError('k')"]),
            "more": "return {'name': 'n', 'price': 1.5, 'secret': 'no'}",
            "data": "return Data(1)",
            "stream": "return StreamingResponse(iter([b'a', b'b']), media_type='text/plain')",
            "odd": "return {1: {2.5, 2.5}, 'd': datetime.date(2026, 1, 2), 'c': Color.red,"
            " 'u': uuid.UUID(int=5), '_sa_x': 1}",
            "nan": "return {'v': float('inf')}",
            "bytes": "return {'b': b'bytes', 't': (1, 2), 'f': 1e300, 'i': 2**70}",
            "redirect": "return RedirectResponse('/elsewhere')",
        }[result]
        if result in ("item", "more") and self.chance(0.6):
            options.append(
                choice.choice(
                    [
                        "response_model=Item",
                        "response_model=Item, response_model_exclude_unset=True",
                        "response_model=Item, response_model_include={'name'}",
                        "response_model=Item, response_model_exclude={'tags'}",
                        "response_model=Item, response_model_exclude_defaults=True",
                        "response_model=Optional[Item]",
                        "response_model=Union[Strict, Item]",
                        "response_model=dict[str, Any]",
                        "response_model=Aliased",
                    ]
                )
            )
        elif result == "list" and self.chance(0.6):
            options.append("response_model=list[Item]")
        elif result == "none" and self.chance(0.4):
            options.append(choice.choice(["response_model=Item", "response_model=None"]))
        elif result == "data" and self.chance(0.5):
            options.append("response_model=Data")
        if self.chance(0.15):
            options.append(f"status_code={choice.choice([201, 202, 204, 205, 304, 404])}")
        if self.chance(0.1):
            options.append(
                f"response_class={choice.choice(['PlainTextResponse', 'HTMLResponse', 'Plain'])}"
            )
        if self.chance(0.1) and self.dependencies:
            options.append(f"dependencies=[Depends({choice.choice(self.dependencies)[0]})]")
        if self.chance(0.05):
            options.append(f"max_body_size={choice.choice([0, 20, 40, 300])}")
        if self.chance(0.05):
            options.append(forms.limits(choice))
        arguments = ", ".join([repr(own), *options])
        asynchronous = self.chance(0.6)
        lines = [f"@{router}.{method}({arguments})"]
        lines.append(f"{'async ' if asynchronous else ''}def {name}({signature}):")
        lines.append(f"    values = show(locals()); note(f'{name} {{values}}')")
        lines += [f"    {line}" for line in self.reading(signature, asynchronous)]
        if asynchronous and self.chance(0.3):
            lines.append(f"    await pause({name!r})")
        for given in signature.split(", "):
            word = given.removeprefix("*").strip().split(":")[0]
            if given.endswith(": Response") and self.chance(0.7):
                lines.append(f"    {word}.headers['x-set'] = '1'")
                if self.chance(0.5):
                    lines.append(f"    {word}.set_cookie('c', 'v')")
                if self.chance(0.5):
                    lines.append(f"    {word}.status_code = 202")
            if given.endswith(": BackgroundTasks") and self.chance(0.7):
                lines.append(f"    {word}.add_task(note, 'background')")
                if self.chance(0.3):
                    lines.append(f"    {word}.add_task(pause, 'background')")
        lines.append(f"    {text}")
        part = "\n".join(lines)
        self.program.parts.append(part)
        self.program.routes.append(Route(method.upper(), above + own, takes, embedded, part))


def make(seed: int) -> Program:
    """The program of a seed."""
    return Maker(random.Random(seed)).make()
