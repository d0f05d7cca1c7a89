# SPDX-License-Identifier: MIT
"""The calls of a plan: dependencies in FastAPI's order with their slots, and the answer."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.requests import HTTPConnection
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, field_validator
from pydantic_core import SchemaSerializer, SchemaValidator

from camshaft.fastapi import schema
from camshaft.fastapi.describe import describe
from camshaft.fastapi.plan import Entry, Injected, Kind, Plan


def entry_of(endpoint: Any, app: FastAPI | None = None, **options: Any) -> Entry:
    app = app or FastAPI(openapi_url=None)
    app.api_route("/x", methods=["GET"], **options)(endpoint)
    (entry,) = describe(app).entries
    return entry


def plan_of(endpoint: Any, app: FastAPI | None = None, **options: Any) -> Plan:
    entry = entry_of(endpoint, app, **options)
    assert entry.plan is not None, entry.reason
    assert (entry.reason, entry.advice) == ("", "")
    return entry.plan


def refusal_of(endpoint: Any, app: FastAPI | None = None, **options: Any) -> str:
    entry = entry_of(endpoint, app, **options)
    assert entry.plan is None
    return entry.reason


def leaf() -> int:
    return 1


def test_depth_first_with_slots() -> None:
    async def left(leaf: Annotated[int, Depends(leaf)]) -> None: ...

    def right(
        one: Annotated[int, Depends(leaf)],
        two: Annotated[int, Depends(leaf, use_cache=False)],
    ) -> None: ...

    async def endpoint(
        a: Annotated[None, Depends(left)], b: Annotated[None, Depends(right)]
    ) -> None: ...

    nodes = plan_of(endpoint).nodes
    assert [node.call for node in nodes] == [leaf, left, leaf, leaf, right, endpoint]
    assert [node.children for node in nodes] == [(), (0,), (), (), (2, 3), (1, 4)]
    assert [node.name for node in nodes] == ["leaf", "a", "one", "two", "b", None]
    assert [node.use_cache for node in nodes] == [True, True, True, False, True, True]
    slots = [node.slot for node in nodes]
    assert slots[0] == slots[2] == slots[3]
    assert len(set(slots)) == 4
    assert [node.kind for node in nodes] == [
        Kind.THREAD,
        Kind.COROUTINE,
        Kind.THREAD,
        Kind.THREAD,
        Kind.THREAD,
        Kind.COROUTINE,
    ]
    assert nodes[1].dependant.call is left


def test_dependencies_of_routers_come_first_and_have_no_name() -> None:
    def of_app() -> None: ...

    def of_router() -> None: ...

    def of_include() -> None: ...

    def of_route() -> None: ...

    def of_endpoint() -> None: ...

    async def endpoint(value: Annotated[None, Depends(of_endpoint)]) -> None: ...

    app = FastAPI(openapi_url=None, dependencies=[Depends(of_app)])
    router = APIRouter(dependencies=[Depends(of_router)])
    router.get("/x", dependencies=[Depends(of_route)])(endpoint)
    app.include_router(router, dependencies=[Depends(of_include)])
    (entry,) = describe(app).entries
    assert entry.plan is not None
    assert [(node.call, node.name) for node in entry.plan.nodes] == [
        (of_app, None),
        (of_include, None),
        (of_router, None),
        (of_route, None),
        (of_endpoint, "value"),
        (endpoint, None),
    ]


def test_kinds_of_calls() -> None:
    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    def synchronous() -> Iterator[int]:
        yield 1

    class Coroutine:
        async def __call__(self) -> None: ...

    class Made:
        def __init__(self, q: int = 1) -> None: ...

    async def awaited(value: int) -> None: ...

    coroutine = Coroutine()
    partial = functools.partial(awaited, 1)

    def endpoint(
        a: Annotated[int, Depends(asynchronous)],
        b: Annotated[int, Depends(synchronous)],
        c: Annotated[int, Depends(asynchronous, scope="function")],
        d: Annotated[None, Depends(coroutine)],
        e: Annotated[Made, Depends()],
        f: Annotated[None, Depends(partial)],
    ) -> None: ...

    nodes = plan_of(endpoint).nodes
    assert [(node.kind, node.function_scope) for node in nodes[:-1]] == [
        (Kind.ASYNC_GENERATOR, False),
        (Kind.GENERATOR, False),
        (Kind.ASYNC_GENERATOR, True),
        (Kind.COROUTINE, False),
        (Kind.THREAD, False),
        (Kind.COROUTINE, False),
    ]
    assert nodes[-1].kind is Kind.THREAD
    # The scope is a part of the key.
    assert nodes[0].slot != nodes[2].slot


def test_what_is_injected_in_fastapis_order() -> None:
    async def endpoint(
        scopes: SecurityScopes,
        response: Response,
        tasks: BackgroundTasks,
        request: Request,
        connection: HTTPConnection,
    ) -> None: ...

    (node,) = plan_of(endpoint).nodes
    assert node.injected == (
        (Injected.HTTP_CONNECTION, "connection"),
        (Injected.REQUEST, "request"),
        (Injected.BACKGROUND_TASKS, "tasks"),
        (Injected.RESPONSE, "response"),
        (Injected.SECURITY_SCOPES, "scopes"),
    )


def test_a_websocket_is_not_given_to_a_request() -> None:
    async def endpoint(request: Request, socket: WebSocket = None) -> None: ...  # type: ignore[assignment]

    assert plan_of(endpoint).nodes[-1].injected == ((Injected.REQUEST, "request"),)


def test_security_scopes_are_in_the_key() -> None:
    def user(scopes: SecurityScopes) -> None: ...

    async def endpoint(
        a: Annotated[None, Security(user, scopes=["read"])],
        b: Annotated[None, Security(user, scopes=["write", "read"])],
        c: Annotated[None, Security(user, scopes=["read", "write"])],
    ) -> None: ...

    nodes = plan_of(endpoint).nodes
    assert [node.security_scopes for node in nodes[:-1]] == [
        ("read",),
        ("write", "read"),
        ("read", "write"),
    ]
    assert nodes[0].slot != nodes[1].slot == nodes[2].slot


def test_security_classes_are_dependencies() -> None:
    bearer = HTTPBearer()

    async def endpoint(token: Annotated[Any, Depends(bearer)]) -> None: ...

    node = plan_of(endpoint).nodes[0]
    assert (node.call, node.kind) == (bearer, Kind.COROUTINE)
    assert node.injected == ((Injected.HTTP_CONNECTION, "request"),)


def test_dependencies_that_cannot_be_hashed() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> None: ...

    async def endpoint(value: Annotated[None, Depends(Unhashable())]) -> None: ...

    assert "hashed" in refusal_of(endpoint)


def test_limited_dependencies() -> None:
    async def endpoint(value: Annotated[int, Depends(leaf, max_concurrency=2)]) -> None: ...

    entry = entry_of(endpoint)
    assert entry.plan is None and "max_concurrency" in entry.reason
    assert "semaphore" in entry.advice


def test_streams_are_not_understood() -> None:
    async def lines() -> AsyncIterator[int]:
        yield 1

    def blocking() -> Iterator[int]:
        yield 1

    assert "stream" in refusal_of(lines)
    assert "stream" in refusal_of(blocking)
    assert "stream" in refusal_of(lines, response_class=EventSourceResponse)
    assert "stream" in refusal_of(blocking, response_class=PlainTextResponse)


class Item(BaseModel):
    name: str


def test_an_answer_by_a_model() -> None:
    async def endpoint() -> Item:
        return Item(name="x")

    answer = plan_of(
        endpoint,
        status_code=201,
        response_model_exclude={"size"},
        response_model_exclude_none=True,
        response_model_by_alias=False,
    ).answer
    assert type(answer.validator) is SchemaValidator
    assert type(answer.serializer) is SchemaSerializer
    assert (answer.status_code, answer.dump_json, answer.pure) == (201, True, True)
    assert answer.response_class is JSONResponse
    assert answer.options == {
        "include": None,
        "exclude": {"size"},
        "by_alias": False,
        "exclude_unset": False,
        "exclude_defaults": False,
        "exclude_none": True,
    }
    assert answer.serializer.to_json(Item(name="x"), **answer.options) == b'{"name":"x"}'


def test_an_answer_without_a_model() -> None:
    async def endpoint():  # type: ignore[no-untyped-def]
        return {}

    answer = plan_of(endpoint).answer
    assert (answer.field, answer.validator, answer.serializer) == (None, None, None)
    assert not answer.dump_json and answer.status_code is None


def test_response_classes() -> None:
    async def endpoint() -> Item: ...  # type: ignore[empty-body]

    answer = plan_of(endpoint, response_class=HTMLResponse).answer
    assert answer.response_class is HTMLResponse
    # A model, but the class was named: it gets Python objects.
    assert answer.field is not None and not answer.dump_json
    app = FastAPI(openapi_url=None, default_response_class=PlainTextResponse)
    assert plan_of(endpoint, app).answer.response_class is PlainTextResponse


def test_models_with_functions_are_not_pure() -> None:
    class Checked(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def check(cls, value: str) -> str:
            return value

    async def endpoint() -> Checked: ...  # type: ignore[empty-body]

    assert not plan_of(endpoint).answer.pure


def test_edited_attributes_have_no_effect() -> None:
    async def endpoint(q: int) -> None: ...

    app = FastAPI(openapi_url=None)
    app.get("/x", status_code=202)(endpoint)
    route = app.routes[0]
    assert isinstance(route, APIRoute)
    route.status_code = 418
    route.dependant = None  # type: ignore[assignment]
    (entry,) = describe(app).entries
    assert entry.plan is not None and entry.plan.answer.status_code == 202


def test_handlers_of_others() -> None:
    class Timed(APIRoute):
        def get_route_handler(self) -> Any:
            original = super().get_route_handler()

            async def timed(request: Request) -> Response:
                return await original(request)

            return timed

    class Handling(APIRoute):
        async def handle(self, scope: Any, receive: Any, send: Any) -> None: ...

    def app_with(route_class: type[APIRoute]) -> FastAPI:
        app = FastAPI(openapi_url=None)
        app.router.route_class = route_class
        return app

    async def endpoint() -> None: ...

    entry = entry_of(endpoint, app_with(Timed))
    assert entry.plan is None and "timed" in entry.reason and "dependency" in entry.advice
    assert "Handling" in refusal_of(endpoint, app_with(Handling))

    class Same(APIRoute):
        def get_route_handler(self) -> Any:
            return super().get_route_handler()

    plan_of(endpoint, app_with(Same))


def test_a_patched_route() -> None:
    async def endpoint() -> None: ...

    app = FastAPI(openapi_url=None)
    app.get("/x")(endpoint)
    route = app.routes[0]
    assert isinstance(route, APIRoute)
    original = route.app

    async def patched(scope: Any, receive: Any, send: Any) -> None:
        await original(scope, receive, send)

    route.app = patched
    (entry,) = describe(app).entries
    assert entry.plan is None and "patched" in entry.reason
    route.app = original
    route.handle = patched  # type: ignore[method-assign]
    (entry,) = describe(app).entries
    assert entry.plan is None and "handle" in entry.reason


def test_overrides_are_watched_where_the_route_looks_for_them() -> None:
    async def endpoint() -> None: ...

    class Provider:
        def __init__(self) -> None:
            self.dependency_overrides: dict[Any, Any] = {}

    class Slotted:
        __slots__ = ("dependency_overrides",)

    provider = Provider()
    app = FastAPI(openapi_url=None)
    app.router.routes.append(APIRoute("/x", endpoint, dependency_overrides_provider=provider))
    table = describe(app)
    assert table.entries[0].plan
    assert table.watched_empty == ((vars(provider), "dependency_overrides"),)
    app.router.routes[:] = [APIRoute("/x", endpoint, dependency_overrides_provider=Slotted())]
    (entry,) = describe(app).entries
    assert entry.plan is None and "Slotted" in entry.reason


@pytest.mark.parametrize(
    ("guard", "known", "without"),
    [
        ("check_fields", "DEPENDANT", "concurrency"),
        ("check_fields", "MODEL_FIELD", "config"),
        ("check_fields", "CONTEXT", "max_body_size"),
        ("check_fields", "INCLUDE", "form_limits"),
        ("check_cells", "CELLS", "form_limits"),
        ("check_settings", "ROUTE", "form_limits"),
        ("check_settings", "ROUTER", "max_body_size"),
        ("check_settings", "APPLICATION", "telemetry"),
    ],
)
def test_fields_that_are_not_known(
    guard: str, known: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a release that has one more: harmless while it is not used, where that can be told."""
    monkeypatch.setattr(schema, known, getattr(schema, known) - {without})

    async def endpoint(q: int = 1) -> None: ...

    def described(**settings: Any) -> Entry:
        app = FastAPI(openapi_url=None)
        router = APIRouter(**settings.pop("router", {}))
        router.get("/x", **settings)(endpoint)
        app.include_router(router)
        (entry,) = describe(app).entries
        return entry

    unused = described()
    if without == "telemetry":
        # Kept as a dict of all its settings: whether it is used cannot be told.
        assert unused.plan is None
        return
    assert unused.plan is not None, unused.reason
    if without in ("max_body_size", "form_limits"):
        value: Any = 1 if without == "max_body_size" else {"max_fields": 1}
        setting = {without: value}
        used = described(**setting, router=setting)
        assert used.plan is None and without in used.reason
        # That of an included router is refused as such, before.
        assert known in ("INCLUDE", "CELLS") or "upgrade" in used.advice


def test_a_new_field_that_is_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "DEPENDANT", schema.DEPENDANT - {"concurrency"})

    async def endpoint(value: Annotated[int, Depends(leaf, max_concurrency=2)]) -> None: ...

    assert "`concurrency` of Dependant" in refusal_of(endpoint)


def test_describing_never_raises() -> None:
    app = FastAPI(openapi_url=None)
    app.router = object()  # type: ignore[assignment]
    (entry,) = describe(app).entries
    assert (entry.plan, entry.pattern, entry.prefix) == (None, None, None)
    assert "router" in entry.reason
