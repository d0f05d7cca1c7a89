# SPDX-License-Identifier: MIT
"""User code that runs within a request and takes away what the plan has in its hands."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Header, HTTPException, Query, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from camshaft.fastapi.mount import install
from tests.fastapi.applications import JSON, Application, Call, answer, native


async def converse(app: Application, scope: dict[str, Any]) -> list[Any]:
    """Answer a request that waits for nothing."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    return sent


def step(coroutine: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """Run it without a loop, whose objects would be in the way."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


class Collector:
    """Calls a function of the scope at one of the collections within a request."""

    def __init__(self, attack: Callable[[dict[str, Any]], None]) -> None:
        self._attack = attack
        self._scope: dict[str, Any] | None = None
        self._left = 0

    def __call__(self, phase: str, info: Any) -> None:
        if phase == "stop" and self._scope is not None:
            self._left -= 1
            if self._left == 0:
                self._attack(self._scope)

    def answer(self, app: Application, scope: dict[str, Any], at: int, every: int) -> list[Any]:
        """Answer a request with a collection after each `every` new objects, `at` one the attack.

        That is so in Python 3.11 alone, where any object may have the collector come.
        """
        coroutine = converse(app, scope)
        # Else they are taken of free lists, past the collector.
        dicts: list[Any] = [{} for _ in range(100)]
        lists: list[Any] = [[] for _ in range(100)]
        self._scope, self._left = scope, at
        usual = gc.get_threshold()
        gc.set_threshold(every, 1_000_000, 1_000_000)
        try:
            return step(coroutine)
        finally:
            self._scope = None
            gc.set_threshold(*usual)
            del dicts, lists


@pytest.fixture
def frozen() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


#: Stands where something else was.
JUNK: list[Any] = []


def replace_query(scope: dict[str, Any]) -> None:
    size = len(scope["query_string"])
    scope["query_string"] = b""
    JUNK[:] = [(b"x=stolen&" * size)[:size] for _ in range(50)]


def replace_headers(scope: dict[str, Any]) -> None:
    count = len(scope["headers"])
    scope["headers"] = []
    for _ in range(50):
        JUNK.append([(b"x", b"stolen")] * count)


def replace_method(scope: dict[str, Any]) -> None:
    scope["method"] = "GET"
    JUNK[:] = ["".join(("PU", "T")) for _ in range(50)]


@pytest.mark.parametrize("attack", [replace_query, replace_headers, replace_method])
@pytest.mark.usefixtures("frozen")
def test_what_is_read_of_the_scope_is_held(attack: Callable[[dict[str, Any]], None]) -> None:
    app = FastAPI(openapi_url=None)
    fields = [str(number) for number in range(30)]

    async def query(x: Annotated[list[str], Query()] = []) -> Any:  # noqa: B006
        return x

    async def headers(x: Annotated[list[str], Header()] = []) -> Any:  # noqa: B006
        return x

    async def by_expression(name: str, suffix: str) -> Any:
        return [name, suffix]

    app.get("/query")(query)
    app.get("/headers")(headers)
    app.get("/{name}.{suffix}")(by_expression)
    target = {replace_query: "query", replace_headers: "headers", replace_method: "a.b"}[attack]
    called = native(app, entrance=True)[1]
    collector = Collector(attack)

    def scope() -> dict[str, Any]:
        path = f"/{target}?" + "&".join(f"x={each}" for each in fields)
        return Call("".join(("G", "ET")), path, tuple(("x", each) for each in fields)).scope()

    right = {step(converse(called, scope()))[1]["body"]}
    if target != "a.b":
        right.add(b"[]")  # the attack came before
    gc.callbacks.append(collector)
    try:
        found = set()
        for at, every in itertools.product(range(1, 8), range(1, 25)):
            JUNK.clear()
            found.add(collector.answer(called, scope(), at, every)[-1]["body"])
    finally:
        gc.callbacks.remove(collector)
    assert found <= right


class Key:
    """A key of a scope that is asked whether it is another one, and uses that."""

    def __init__(self, name: str, attack: Callable[[], None]) -> None:
        self._hash = hash(name)
        self.attack: Callable[[], None] | None = None
        self._attack = attack

    def arm(self) -> None:
        self.attack = self._attack

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        attack, self.attack = self.attack, None
        if attack is not None:
            attack()
        return False


def test_headers_that_a_key_of_the_scope_takes_away() -> None:
    """Within what the middleware's stand-in looks up: it is as if they had never been there."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["a.example"])

    @app.get("/")
    async def root() -> str:
        return "x"

    entrance = install(app).entrance()
    call = Call("GET", "/", (("Host", "a.example"),))
    assert step(converse(entrance, call.scope()))[0]["status"] == 200

    def attack() -> None:
        scope["headers"][:] = [(b"host", b"b.example")]
        JUNK[:] = [b"c.exampl" + b"%c" % (0x61 + each % 26) for each in range(50)]

    # The first in the place where "method" is looked for.
    key = Key("method", attack)
    scope: dict[Any, Any] = {key: None}
    for name, value in call.scope().items():
        scope[name] = value
    scope["headers"] = [(b"host", b"".join((b"a.", b"example")))]
    key.arm()
    assert step(converse(entrance, scope))[0]["status"] == 400
    assert key.attack is None


def test_a_path_that_a_key_of_the_scope_takes_away() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/{name}")
    async def root(name: str) -> str:
        return name

    called = native(app, entrance=True)[1]
    step(converse(called, Call("GET", "/x").scope()))

    def attack() -> None:
        scope["path"] = "/changed"
        JUNK[:] = ["".join(("/", "stolen")) for _ in range(50)]

    key = Key("root_path", attack)
    scope: dict[Any, Any] = {key: None, **Call("GET", "/").scope()}
    scope["path"] = "".join(("/", "theown"))
    key.arm()
    assert step(converse(called, scope))[1]["body"] == b'"theown"'
    assert key.attack is None


class Outer:
    """A mapping that is gone from where it was once its keys are asked for."""

    def __init__(self, home: dict[str, Any], name: str) -> None:
        self._home, self._name = home, name

    def keys(self) -> list[str]:
        self._home[self._name] = {}
        return ["max_fields"]

    def __getitem__(self, key: str) -> int:
        return 3


@pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])
def test_mappings_of_the_scope_that_go_away(entrance: bool) -> None:
    app = FastAPI(openapi_url=None, form_limits={"max_files": 3})
    router = APIRouter()

    @router.post("/{name}")
    async def root(request: Request, name: str, a: Annotated[str, Form()]) -> Any:
        return [request.path_params, request.scope["fastapi"]["form_limits"]]

    app.include_router(router)
    called = native(app, entrance=entrance)[1]
    call = Call("POST", "/x", (("Content-Type", "application/x-www-form-urlencoded"),), b"a=1")

    async def main() -> Any:
        sent: list[Any] = []
        events = call.events()

        async def receive() -> Any:
            return events.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        scope = call.scope()
        scope["path_params"] = Outer(scope, "path_params")
        scope["fastapi"] = {}
        scope["fastapi"]["form_limits"] = Outer(scope["fastapi"], "form_limits")
        await called(scope, receive, send)
        return sent[1]["body"]

    assert asyncio.run(main()) == b'[{"max_fields":3,"name":"x"},{"max_fields":3,"max_files":3}]'


class Piece:
    """What a server may leave in an event."""


def test_events_of_a_body_are_not_kept_for_the_endpoint() -> None:
    app = FastAPI(openapi_url=None)
    pieces: list[weakref.ref[Piece]] = []

    @app.post("/")
    async def root(body: dict[str, int]) -> Any:
        return [each() is None for each in pieces]

    called = native(app, entrance=True)[1]
    call = Call("POST", "/", JSON, b'{"a": 1, "b": 2}', 3)

    async def main() -> Any:
        sent: list[Any] = []
        events = call.events()

        async def receive() -> Any:
            piece = Piece()
            pieces.append(weakref.ref(piece))
            return {**events.pop(0), "piece": piece}

        async def send(event: Any) -> None:
            sent.append(event)

        await called(call.scope(), receive, send)
        return sent[1]["body"]

    assert asyncio.run(main()) == b"[true,true,true]"


class Oops(Exception): ...


@pytest.mark.parametrize("entrance", [False, True], ids=["inside", "before"])
@pytest.mark.parametrize("target", ["/plain", "/yield", "/handled", "/sending"])
def test_an_exception_is_gone_with_its_request(target: str, entrance: bool) -> None:
    """What an endpoint has in its variables does not wait for the collector."""
    raised: list[weakref.ref[Oops]] = []

    def oops() -> Oops:
        error = Oops()
        raised.append(weakref.ref(error))
        return error

    app = FastAPI(openapi_url=None)

    async def opened() -> Any:
        yield "value"

    @app.get("/plain")
    async def plain() -> None:
        raise oops()

    @app.get("/yield")
    async def yielding(_: Annotated[str, Depends(opened)]) -> None:
        raise oops()

    @app.get("/handled")
    async def handled(request: Request) -> None:
        raise HTTPException(404) from oops()

    @app.get("/sending")
    async def sending() -> str:
        return "x"

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        async def sender(event: Any) -> None:
            if target == "/sending" and event["type"] == "http.response.body":
                raise oops()
            await send(event)

        await called(scope, receive, sender)

    called = native(app, entrance=entrance)[1]

    async def main() -> None:
        await answer(failing, Call("GET", target))
        raised.clear()
        gc.collect()
        gc.disable()
        try:
            await answer(failing, Call("GET", target))
            assert [each() for each in raised] == [None]
        finally:
            gc.enable()

    asyncio.run(main())
