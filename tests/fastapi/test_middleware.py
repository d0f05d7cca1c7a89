# SPDX-License-Identifier: MIT
"""Starlette's middleware, done natively: the same answers, byte for byte, and when it is not."""

import asyncio
import copy
import gzip
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.httpsredirect import HTTPSRedirectMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel
from starlette.middleware import Middleware

from camshaft.fastapi.describe import describe
from camshaft.fastapi.explain import as_text, explain
from camshaft.fastapi.mount import install
from camshaft.fastapi.trust import Trust, decide

LIMIT = 60

Cors, Zip = CORSMiddleware, GZipMiddleware
Hosts, Https = TrustedHostMiddleware, HTTPSRedirectMiddleware
Layers = list[tuple[Any, dict[str, Any]]]


class Item(BaseModel):
    id: int
    name: str = "x"


class Mine(CORSMiddleware):
    pass


class Passing:
    """Somebody's middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Odd(PlainTextResponse):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers["x-odd"] = scope["route"].path
        await super().__call__(scope, receive, send)


def application(layers: Layers, log: list[str] | None = None) -> FastAPI:
    """An application with middleware, the outermost first."""
    seen = [] if log is None else log
    app = FastAPI(middleware=[Middleware(cls, **settings) for cls, settings in layers])

    @app.exception_handler(500)
    async def oops(request: Request, error: Exception) -> PlainTextResponse:
        seen.append(f"{request.url.path} {error!r}")
        return PlainTextResponse("oops", 500)

    @app.exception_handler(LookupError)
    async def looked(request: Request, error: Exception) -> PlainTextResponse:
        seen.append(f"never {error!r}")
        return PlainTextResponse("looked", 418)

    @app.get("/small")
    async def small() -> Any:
        seen.append("small")
        return {"é": [1, None]}

    @app.get("/long")
    async def long() -> Any:
        return {"text": "abc " * 300}

    @app.get("/huge")
    async def huge() -> Any:
        return ["huge" * 50_000]

    @app.get("/model/{item}", response_model=Item)
    def model(item: int) -> Any:
        return {"id": item, "name": "n" * 600}

    @app.post("/model", response_model=Item, status_code=201)
    async def post(item: Item) -> Any:
        return item

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return "plain " * 200

    @app.get("/kinds/{kind}")
    async def kinds(kind: str) -> Any:
        seen.append(kind)
        return KINDS[kind]()

    @app.get("/injected")
    async def injected(response: Response, tasks: BackgroundTasks) -> Any:
        response.headers["Vary"] = "Cookie"
        response.headers["Access-Control-Allow-Origin"] = "mine"
        response.set_cookie("a", "b")
        tasks.add_task(seen.append, "task")
        return "injected" * 100

    @app.get("/partial", status_code=206)
    async def partial() -> Any:
        return "part" * 500

    @app.get("/empty", status_code=204)
    async def empty() -> None: ...

    @app.get("/refused")
    async def refused() -> Any:
        raise HTTPException(403, "no " * 300, headers={"Vary": "Cookie"})

    @app.get("/fails")
    async def fails() -> Any:
        raise ValueError("fails")

    return app


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"piece" * 100


async def failing_pieces() -> AsyncIterator[bytes]:
    yield b"piece"
    raise LookupError("no more pieces")


KINDS: dict[str, Callable[[], Any]] = {
    "varying": lambda: JSONResponse(
        {"a": "b" * 700}, headers={"Vary": "Accept-Language", "Access-Control-Allow-Origin": "x"}
    ),
    "encoded": lambda: Response(b"x" * 900, headers={"Content-Encoding": "br"}),
    "image": lambda: Response(b"p" * 900, media_type="image/png"),
    "grpc": lambda: Response(b"p" * 900, media_type="application/grpc+proto"),
    "stream": lambda: StreamingResponse(pieces()),
    "missing": lambda: FileResponse("/nowhere/to/be/found"),
    "failing": lambda: StreamingResponse(failing_pieces()),
    "odd": lambda: Odd("odd" * 300),
    "empty": lambda: Response(),
}

STACKS: dict[str, Layers] = {
    "none": [],
    "cors": [(Cors, {"allow_origins": ["http://a.example", "http://b.example"]})],
    "cors-any": [(Cors, {"allow_origins": ["*"]})],
    "cors-any-credentials": [(Cors, {"allow_origins": ("*",), "allow_credentials": True})],
    "cors-none": [(Cors, {})],
    "cors-text": [(Cors, {"allow_origins": "http://a.example", "allow_methods": "GET,PUT"})],
    "cors-set": [(Cors, {"allow_origins": {"http://a.example"}, "allow_credentials": True})],
    "cors-regex": [
        (Cors, {"allow_origin_regex": r"http://.\.example", "allow_origins": ["http://other"]})
    ],
    "cors-exposed": [
        (
            Cors,
            {
                "allow_origins": ["http://a.example"],
                "allow_credentials": True,
                "expose_headers": ["X-A", "X-B"],
                "allow_methods": ["*"],
                "allow_headers": ["X-Token", "X-B"],
                "max_age": 5,
            },
        )
    ],
    "cors-mirroring": [
        (
            Cors,
            {
                "allow_origins": ["*"],
                "allow_headers": ["*"],
                "allow_private_network": True,
                "expose_headers": ("X-A",),
            },
        )
    ],
    "gzip": [(Zip, {})],
    "gzip-all": [(Zip, {"minimum_size": 0, "compresslevel": 1})],
    "gzip-just": [(Zip, {"minimum_size": 15})],  # the length of /small
    "gzip-not-yet": [(Zip, {"minimum_size": 16})],
    "gzip-level": [(Zip, {"minimum_size": 10, "compresslevel": 6})],
    "gzip-default-level": [(Zip, {"minimum_size": 10, "compresslevel": -1})],
    "gzip-none": [(Zip, {"minimum_size": 10, "compresslevel": 0})],
    "gzip-thread": [(Zip, {"thread_minimum_size": 1000})],
    "gzip-excluded": [(Zip, {"exclude_content_types": ("Application/JSON; charset=x", "text/*")})],
    "gzip-excluded-main": [(Zip, {"exclude_content_types": ("application/*", "application/grpc")})],
    "hosts": [(Hosts, {"allowed_hosts": ["a.example", "*.Example.org"]})],
    "hosts-www": [(Hosts, {"allowed_hosts": ["www.a.example"]})],
    "hosts-no-www": [(Hosts, {"allowed_hosts": ["www.a.example"], "www_redirect": False})],
    "hosts-any": [(Hosts, {})],
    "https": [(Https, {})],
    "cors-gzip": [(Cors, {"allow_origins": ["http://a.example"]}), (Zip, {"minimum_size": 10})],
    "gzip-cors": [
        (Zip, {"minimum_size": 1}),
        (Cors, {"allow_origins": ["*"], "allow_credentials": True, "allow_headers": ["x"]}),
    ],
    "two-cors": [
        (Cors, {"allow_origins": ["http://a.example"]}),
        (Cors, {"allow_origins": ["*"], "expose_headers": ["X-C"]}),
    ],
    "two-gzip": [(Zip, {"minimum_size": 30, "thread_minimum_size": 900}), (Zip, {})],
    "all": [
        (Https, {}),
        (Hosts, {"allowed_hosts": ["a.example"]}),
        (Zip, {"minimum_size": 100}),
        (Cors, {"allow_origins": ["http://a.example"]}),
    ],
    "all-reversed": [
        (Cors, {"allow_origin_regex": "http://a.*"}),
        (Zip, {}),
        (Hosts, {"allowed_hosts": ["a.example", "*"]}),
        (Https, {}),
    ],
}

Fields = tuple[tuple[str, str], ...]

FIELDS: list[Fields] = [
    (),
    (("origin", "http://a.example"),),
    (("origin", "http://c.example"), ("cookie", "a=b")),
    (("accept-encoding", "gzip, br"),),
    (("accept-encoding", "br"), ("accept-encoding", "gzip"), ("origin", "http://a.example")),
    (
        ("accept-encoding", "xgzipx;q=0"),
        ("origin", "http://a.example"),
        ("origin", "http://c.example"),
    ),
    (("origin", "http://\xe9"), ("accept-encoding", "GZIP")),
]

PREFLIGHT = ("access-control-request-method", "GET")

PREFLIGHTS: list[Fields] = [
    (PREFLIGHT,),
    (("origin", "http://a.example"),),
    (("origin", "http://a.example"), PREFLIGHT),
    (("origin", "http://c.example"), PREFLIGHT, ("accept-encoding", "gzip")),
    (("origin", "http://a.example"), ("access-control-request-method", "PUT")),
    (("origin", "http://a.example"), ("access-control-request-method", "get")),
    *(
        (("origin", "http://a.example"), PREFLIGHT, ("access-control-request-headers", wanted))
        for wanted in (
            "X-TOKEN, x-b",
            "x-other",
            "",
            " accept\t,Content-Type ",
            "x-b,",
            "x,x-\xe9",
            "\xa0x",
        )
    ),
    (
        ("origin", "http://c.example"),
        ("access-control-request-method", "PURGE"),
        ("access-control-request-headers", "x-evil"),
        ("access-control-request-private-network", "true"),
    ),
    (
        ("origin", "http://a.example"),
        PREFLIGHT,
        ("access-control-request-private-network", "true"),
    ),
]

HOSTS = [
    "a.example",
    "A.example",
    "a.example:8000",
    "a.example:",
    "b.example.org",
    ".example.org",
    "xexample.org",
    "xa.example",
    "c.example",
    "[::1]:80",
    "a.example:8x",
    "a.example/x",
    "",
    None,
]

PATHS = [
    ("GET", "/small"),
    ("GET", "/long"),
    ("GET", "/huge"),
    ("GET", "/model/4"),
    ("GET", "/model/x"),
    ("POST", "/model"),
    ("GET", "/text"),
    *(("GET", f"/kinds/{kind}") for kind in KINDS),
    ("GET", "/injected"),
    ("GET", "/partial"),
    ("GET", "/empty"),
    ("GET", "/refused"),
    ("GET", "/fails"),
    ("GET", "/nowhere"),
    ("PUT", "/small"),
    ("OPTIONS", "/small"),
    ("HEAD", "/small"),
]


def scope_of(
    method: str, path: str, fields: Fields, scheme: str = "https", host: str | None = "a.example"
) -> dict[str, Any]:
    named = () if host is None else (("host", host),)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.encode(), value.encode("latin-1"))
            for name, value in (*named, *fields, ("content-type", "application/json"))
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def host_for(name: str) -> str:
    return "www.a.example" if "www" in name else "a.example"


def requests(host: str | None) -> Iterator[dict[str, Any]]:
    for (method, path), fields in itertools.product(PATHS, FIELDS):
        yield scope_of(method, path, fields, host=host)
    for fields in PREFLIGHTS:
        yield scope_of("OPTIONS", "/small", fields, host=host)
        yield scope_of("GET", "/small", fields, host=host)
    for host, scheme in itertools.product(HOSTS, ("http", "https", "ws")):
        yield scope_of("GET", "/small", (("origin", "http://a.example"),), scheme, host)


async def ask(app: Any, scope: Mapping[str, Any]) -> tuple[list[Any], str]:
    """The events that an application sends, and the exception that it raises."""
    sent: list[Any] = []
    left = [{"type": "http.request", "body": b'{"id": 1}', "more_body": False}]

    async def receive() -> Any:
        if left:
            return left.pop()
        await asyncio.get_running_loop().create_future()

    async def send(event: Any) -> None:
        copied = dict(event)
        if "headers" in copied:
            copied["headers"] = list(copied["headers"])
            event["headers"].append((b"x-edited", b"by the server"))  # it may
        sent.append(copied)

    raised = ""
    try:
        await app({**scope, "headers": list(scope["headers"])}, receive, send)
    except Exception as error:
        raised = repr(error)
    return sent, raised


@pytest.mark.parametrize("name", STACKS)
def test_the_same_answers(name: str) -> None:
    logs: tuple[list[str], list[str]] = ([], [])
    stock = application(STACKS[name], logs[0])
    app = application(STACKS[name], logs[1])
    router = install(app)
    entrance = router.entrance()
    assert describe(app).whole

    async def main() -> None:
        for scope in requests(host_for(name)):
            expected = await ask(stock, scope)
            assert await ask(entrance, scope) == expected, scope

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert logs[0] == logs[1]
    assert router.native_count > 50


@pytest.fixture
def passed_over(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Callable[[], int]]:
    """Call it when plans are made: what that returns counts the calls of middleware since."""

    def begin() -> Callable[[], int]:
        calls = 0

        def watch(cls: Any) -> None:
            original = cls.__call__

            async def counting(self: Any, scope: Any, receive: Any, send: Any) -> None:
                nonlocal calls
                calls += 1
                await original(self, scope, receive, send)

            monkeypatch.setattr(cls, "__call__", counting)

        for cls in (Cors, Zip, Hosts, Https):
            watch(cls)
        return lambda: calls

    return begin


@pytest.mark.parametrize("name", STACKS)
def test_the_middleware_is_passed_over(
    name: str, passed_over: Callable[[], Callable[[], int]]
) -> None:
    app = application(STACKS[name])
    router = install(app)
    entrance = router.entrance()
    assert router.prepare()
    calls = passed_over()
    host = host_for(name)

    async def main() -> None:
        for path, fields in itertools.product(("/small", "/model/4"), FIELDS):
            before = router.native_count
            sent, _ = await ask(entrance, scope_of("GET", path, fields, host=host))
            assert sent[0]["status"] == 200
            assert router.native_count == before + 1
        if any(cls is Cors for cls, _ in STACKS[name]):
            fields = (("origin", "http://a.example"), PREFLIGHT)
            sent, _ = await ask(entrance, scope_of("OPTIONS", "/small", fields))
            assert sent[1]["body"].startswith((b"OK", b"Disallowed")) or "gzip" in name

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert calls() == 0


def test_a_long_body_is_compressed_by_the_middleware_in_its_thread(
    passed_over: Callable[[], Callable[[], int]],
) -> None:
    log: list[str] = []
    app = application([(Zip, {"thread_minimum_size": 1000})], log)
    router = install(app)
    entrance = router.entrance()
    router.prepare()
    calls = passed_over()
    fields = (("accept-encoding", "gzip"),)
    sent, _ = asyncio.run(ask(entrance, scope_of("GET", "/long", fields)))
    assert gzip.decompress(sent[1]["body"]) == b'{"text":"' + b"abc " * 300 + b'"}'
    assert calls() == 1 and router.native_count == 1 and router.fallback_count == 0


def test_requests_are_counted_once() -> None:
    layers: Layers = [
        (Https, {}),
        (Hosts, {"allowed_hosts": ["a.example"]}),
        (Cors, {"allow_origins": ["http://a.example"]}),
    ]
    router = install(application(layers))
    entrance = router.entrance()

    def counts(*scope: Any, **more: Any) -> tuple[int, int, int]:
        asyncio.run(ask(entrance, scope_of(*scope, **more)))
        return router.native_count, router.replayed_count, router.fallback_count

    origin = ("origin", "http://a.example")
    assert counts("GET", "/small", ()) == (1, 0, 0)
    assert counts("OPTIONS", "/small", (origin, PREFLIGHT)) == (2, 0, 0)
    assert counts("GET", "/small", (), scheme="http") == (2, 0, 1)
    assert counts("GET", "/small", (), host="A.example") == (3, 0, 1)
    assert counts("GET", "/model/x", (origin,)) == (4, 1, 1)
    assert counts("GET", "/nowhere", (origin,)) == (4, 1, 2)
    assert counts("GET", "/kinds/stream", (origin,)) == (5, 1, 2)
    assert counts("GET", "/fails", (origin,)) == (6, 1, 2)


def behind(app: FastAPI) -> str:
    table = describe(app)
    assert table.whole == (table.behind == "")
    return table.behind


@pytest.mark.parametrize(
    "layers",
    [
        [(Mine, {"allow_origins": ["*"]})],
        [(Cors, {}), (Passing, {})],
        [(lambda app: app, {})],
    ],
)
def test_other_middleware_is_gone_through(layers: Layers) -> None:
    app = application(layers)
    found = behind(app)
    assert all(getattr(cls, "__name__", "") in found for cls, _ in layers)
    assert app.middleware_stack is None  # it was not made for this
    router = install(app)
    sent, _ = asyncio.run(ask(router.entrance(), scope_of("GET", "/small", ())))
    assert sent[0]["status"] == 200 and router.native_count == 1


EDITS: list[tuple[str, Layers, Callable[[Any], Any]]] = [
    ("a member more", [(Cors, {})], lambda layer: setattr(layer, "mine", 1)),
    ("a member less", [(Cors, {})], lambda layer: delattr(layer, "allow_headers")),
    ("a method", [(Cors, {})], lambda layer: setattr(layer, "send", print)),
    ("origins", [(Cors, {})], lambda layer: setattr(layer, "allow_origins", iter(()))),
    ("headers", [(Cors, {})], lambda layer: layer.simple_headers.update({"X-Mine": "1"})),
    ("a value", [(Cors, {})], lambda layer: layer.simple_headers.update({"Vary": "a\nb"})),
    ("regex", [(Cors, {})], lambda layer: setattr(layer, "allow_origin_regex", "x")),
    ("a regex of bytes", [(Cors, {"allow_origin_regex": b"x"})], lambda layer: None),
    ("size", [(Zip, {"minimum_size": 1.5})], lambda layer: None),
    ("level", [(Zip, {"compresslevel": 10})], lambda layer: None),
    ("hosts", [(Hosts, {})], lambda layer: setattr(layer, "allowed_hosts", ())),
    ("https", [(Https, {})], lambda layer: setattr(layer, "port", 1)),
    ("the next", [(Cors, {}), (Zip, {})], lambda layer: setattr(layer, "app", print)),
]


def layer_of(app: FastAPI, cls: Any) -> Any:
    layer: Any = app.middleware_stack
    while type(layer) is not cls:
        layer = layer.app
    return layer


@pytest.mark.parametrize(
    ("layers", "edit"), [each[1:] for each in EDITS], ids=[e[0] for e in EDITS]
)
def test_an_unusual_object_is_gone_through(layers: Layers, edit: Callable[[Any], Any]) -> None:
    app = application(layers)
    app.middleware_stack = app.build_middleware_stack()
    edit(layer_of(app, layers[0][0]))
    assert behind(app)


def replace_fields(layer: Any) -> None:
    layer.simple_headers["Access-Control-Expose-Headers"] = "X-New"


LATE: list[tuple[str, Layers, Callable[[Any], Any]]] = [
    (
        "origins",
        [(Cors, {"allow_origins": []})],
        lambda layer: layer.allow_origins.append("http://a.example"),
    ),
    ("all origins", [(Cors, {})], lambda layer: setattr(layer, "allow_all_origins", True)),
    ("headers", [(Cors, {"allow_origins": ["*"]})], replace_fields),
    ("preflight", [(Cors, {})], lambda layer: layer.allow_headers.append("x-late")),
    (
        "methods",
        [(Cors, {"allow_methods": ["PUT"]})],
        lambda layer: layer.allow_methods.append("GET"),
    ),
    ("size", [(Zip, {})], lambda layer: setattr(layer, "minimum_size", 1)),
    (
        "hosts",
        [(Hosts, {"allowed_hosts": ["b"]})],
        lambda layer: layer.allowed_hosts.append("a.example"),
    ),
    (
        "any host",
        [(Hosts, {"allowed_hosts": ["b"]})],
        lambda layer: setattr(layer, "allow_any", True),
    ),
    (
        "a method",
        [(Cors, {})],
        lambda layer: setattr(layer, "is_allowed_origin", lambda origin: True),
    ),
]


@pytest.mark.parametrize(("layers", "edit"), [each[1:] for each in LATE], ids=[e[0] for e in LATE])
def test_an_object_that_is_edited_later(layers: Layers, edit: Callable[[Any], Any]) -> None:
    stock, app = (application(copy.deepcopy(layers)) for _ in range(2))
    entrance = install(app).entrance()
    fields = (
        ("origin", "http://a.example"),
        PREFLIGHT,
        ("accept-encoding", "gzip"),
        ("access-control-request-headers", "x-late"),
    )

    async def main() -> list[Any]:
        found = []
        for method in ("GET", "OPTIONS"):
            scope = scope_of(method, "/small", fields)
            expected = await ask(stock, scope)
            assert await ask(entrance, scope) == expected
            found.append(expected)
        return found

    before = asyncio.run(main())
    for each in (stock, app):
        edit(layer_of(each, layers[0][0]))
    assert asyncio.run(main()) != before


@pytest.mark.parametrize("event", [0, 1])
def test_a_preflight_that_cannot_be_answered(event: int) -> None:
    fields = (("origin", "http://a.example"), PREFLIGHT)

    async def failing(native: bool) -> Any:
        app = application([(Cors, {"allow_origins": ["*"]})])
        handled = []

        @app.exception_handler(500)
        async def handler(request: Any, error: Exception) -> PlainTextResponse:
            handled.append(f"{request.app is app} {error!r}")
            return PlainTextResponse("oops", 500)

        sent = []

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if len(sent) == event + 1:
                raise OSError("gone")

        called: Any = install(app).entrance() if native else app
        with pytest.raises(OSError, match="gone"):
            await called(scope_of("OPTIONS", "/small", fields), None, send)
        return handled, sent

    expected = asyncio.run(failing(False))
    assert asyncio.run(failing(True)) == expected
    assert expected[0] == ["True OSError('gone')"]


def test_a_stack_that_is_made_anew() -> None:
    """As tests do that add middleware to an application that has run."""
    app = application([(Cors, {"allow_origins": ["*"]})])
    router = install(app)
    entrance = router.entrance()
    scope = scope_of("GET", "/long", (("origin", "x"), ("accept-encoding", "gzip")))

    def names() -> set[bytes]:
        sent, _ = asyncio.run(ask(entrance, scope))
        return {name for name, _ in sent[0]["headers"]}

    assert b"content-encoding" not in names()
    app.middleware_stack = None
    app.add_middleware(GZipMiddleware)
    assert b"content-encoding" in names()

    class Marking:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def mark(event: Any) -> None:
                if event["type"] == "http.response.start":
                    event["headers"].append((b"x-marked", b"1"))
                await send(event)

            await self.app(scope, receive, mark)

    app.middleware_stack = None
    app.add_middleware(Marking)
    assert {b"x-marked", b"content-encoding"} <= names()
    assert router.native_count == 3


def test_unknown_sources_of_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    cors, none = application([(Cors, {})]), application([])
    assert describe(cors, trust=Trust()).whole
    assert not describe(cors, trust=Trust(middleware=False)).whole
    assert describe(none, trust=Trust(middleware=False)).whole
    assert decide(strict=False).middleware

    async def send(self: Any, message: Any, send: Any, request_headers: Any) -> None: ...

    monkeypatch.setattr(CORSMiddleware, "send", send)
    trust = decide(strict=False)
    assert not trust.middleware and trust.whole and trust.refusal is None


def test_it_is_explained() -> None:
    app = application([(Cors, {}), (Zip, {})])
    found = explain(app)
    assert found["before_middleware"] and found["middleware"] == "CORSMiddleware, GZipMiddleware"
    assert "Native, too: CORSMiddleware, GZipMiddleware" in as_text(found)
    found = explain(application([(Cors, {}), (Passing, {})]))
    assert not found["before_middleware"] and "Passing" in found["middleware"]


def test_odd_scopes_are_left_to_the_middleware() -> None:
    app = application([(Cors, {"allow_origins": ["*"]}), (Https, {})])
    entrance = install(app).entrance()
    stock = application([(Cors, {"allow_origins": ["*"]}), (Https, {})])
    scope = scope_of("GET", "/small", (("origin", "x"),))
    for headers in (tuple(scope["headers"]), [[*pair] for pair in scope["headers"]]):
        odd = {**scope, "headers": headers}
        assert asyncio.run(ask(entrance, odd)) == asyncio.run(ask(stock, odd))
