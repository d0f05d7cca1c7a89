# SPDX-License-Identifier: MIT
"""The routing table of an application: what is in it, in which order, and what bars the way."""

import pytest
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.routing import APIRoute
from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.routing import BaseRoute, Host, Match, Mount, Route, compile_path

from camshaft.fastapi.describe import describe
from camshaft.fastapi.plan import MISSING, Entry, Table


def bare(**settings: object) -> FastAPI:
    """An application without routes for its documentation."""
    return FastAPI(openapi_url=None, **settings)


def entry(app: FastAPI, path: str) -> Entry:
    (found,) = [each for each in describe(app).entries if each.path == path]
    return found


def paths(table: Table) -> list[str]:
    return [each.path for each in table.entries]


async def endpoint() -> dict[str, int]:
    return {}


def test_routes_in_the_order_of_matching() -> None:
    app = bare()
    inner, outer = APIRouter(prefix="/inner"), APIRouter()
    app.get("/first")(endpoint)
    inner.get("/a/{number:int}")(endpoint)
    outer.get("/b")(endpoint)
    outer.include_router(inner, prefix="/in")
    outer.get("/c")(endpoint)
    app.include_router(outer, prefix="/outer")
    app.post("/last")(endpoint)

    table = describe(app)

    assert paths(table) == [
        "/first",
        "/outer/b",
        "/outer/in/inner/a/{number:int}",
        "/outer/c",
        "/last",
    ]
    assert all(each.plan for each in table.entries)
    first, b, a, _, last = table.entries
    assert (first.pattern, first.methods) == ("/first", {"GET"})
    assert last.methods == {"POST"}
    assert a.pattern == "/outer/in/inner/a/{number:int}"
    assert a.regex.match("/outer/in/inner/a/12") and not a.regex.match("/outer/in/inner/a/x")
    assert type(a.converters["number"]).__name__ == "IntegerConvertor"
    # The route as its author made it, and what leads to it, outermost first.
    assert a.route is inner.routes[0] and a.route.path == "/inner/a/{number:int}"
    assert a.context.original_route is a.route
    assert [each.original_router for each in a.routers] == [outer, inner]
    assert [each.original_router for each in b.routers] == [outer]
    assert first.routers == () and first.context is None and first.route is app.routes[0]
    # The very objects that FastAPI goes through.
    assert a.routers[0] is app.routes[1]
    assert a.routers[1] is app.routes[1].effective_candidates()[1]
    assert [each.after_included for each in table.entries] == [False, True, True, True, True]


def test_the_handler_is_the_one_that_is_called() -> None:
    app = bare()
    router = APIRouter()
    app.get("/own")(endpoint)
    router.get("/included")(endpoint)
    app.include_router(router)
    for path in ("/own", "/included"):
        found = entry(app, path)
        answering = (found.context or found.route).app
        variables = dict(
            zip(answering.__code__.co_freevars, answering.__closure__ or (), strict=True)
        )
        assert found.plan is not None
        assert found.plan.handler is variables["f"].cell_contents


def test_what_is_watched() -> None:
    app = bare()
    router, other = APIRouter(), APIRouter()
    router.get("/x")(endpoint)
    router.include_router(other, prefix="/other")
    app.include_router(router)

    table = describe(app)

    lists = [watched for watched, _ in table.watched_lists]
    for each in (app.router, router, other):
        assert any(watched is each.routes for watched in lists)
        assert any(
            members is vars(each) and key == "routes" and value is each.routes
            for members, key, value in table.watched_names
        )
    assert all(list(items) == watched for watched, items in table.watched_lists)
    assert table.watched_empty == ((vars(app), "dependency_overrides"),)
    assert any(value is MISSING for _, _, value in table.watched_names)
    for members, key, value in table.watched_names:
        assert members.get(key, MISSING) is value


def test_routes_of_starlette_have_no_plan_and_their_methods() -> None:
    def hello(request: Request) -> None: ...

    app = FastAPI()
    app.router.routes.append(Route("/hello/{name}", hello))
    app.get("/open")(endpoint)
    table = describe(app)
    assert paths(table)[:4] == ["/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"]
    found = entry(app, "/hello/{name}")
    assert (found.plan, found.pattern) == (None, "/hello/{name}")
    assert found.methods == {"GET", "HEAD"}
    assert "Starlette" in found.reason
    assert entry(app, "/open").plan


def test_websockets_are_left_out() -> None:
    app = bare()
    router = APIRouter()

    @app.websocket("/ws")
    @router.websocket("/ws")
    async def talk(socket: WebSocket) -> None: ...

    app.include_router(router, prefix="/in")
    app.get("/x")(endpoint)
    assert paths(describe(app)) == ["/x"]


def test_mounts_and_hosts_are_barriers() -> None:
    app = bare()
    router = APIRouter()
    app.mount("/sub", bare())
    app.router.routes.append(Mount("/users/{name}/files", app=bare()))
    app.router.routes.append(Host("api.example.org", app=bare()))
    router.mount("/deep", bare())
    app.include_router(router, prefix="/in")
    barriers = [(each.pattern, each.prefix) for each in describe(app).entries]
    assert barriers == [(None, "/sub/"), (None, "/users/"), (None, None), (None, "/in/deep/")]


def test_unknown_kinds_of_routes_are_barriers() -> None:
    class Anything(BaseRoute):
        def matches(self, scope: object) -> tuple[Match, dict[str, object]]:
            return Match.FULL, {}

    class Sometimes(Route):
        def matches(self, scope: object) -> tuple[Match, dict[str, object]]:
            return Match.NONE, {}

    class Versioned(APIRoute):
        def matches(self, scope: object) -> tuple[Match, dict[str, object]]:
            return super().matches(scope)

    app = bare()
    app.router.routes.append(Anything())
    app.router.routes.append(Sometimes("/sometimes", endpoint))
    app.router.routes.append(Versioned("/versioned", endpoint))
    app.get("/x")(endpoint)
    table = describe(app)
    assert [(each.pattern, each.prefix) for each in table.entries[:3]] == [(None, None)] * 3
    assert "Versioned" in table.entries[2].reason and "matches" in table.entries[2].reason
    assert table.entries[3].plan


def test_an_included_router_with_a_will_of_its_own_is_a_barrier() -> None:
    class Picky(APIRouter):
        def matches(self, scope: object) -> tuple[Match, dict[str, object]]:
            return super().matches(scope)

    app = bare()
    router = Picky()
    router.get("/x")(endpoint)
    app.include_router(router, prefix="/in")
    (found,) = describe(app).entries
    assert (found.pattern, found.prefix, found.plan) == (None, None, None)
    assert "Picky" in found.reason


def test_subclasses_that_change_nothing_are_understood() -> None:
    class Router(APIRouter):
        colour = "red"

    class Named(APIRoute):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.colour = "blue"

    app = bare()
    router = Router(route_class=Named)
    router.get("/x")(endpoint)
    app.include_router(router)
    assert entry(app, "/x").plan


def test_own_convertors_are_barriers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hexadecimal(Convertor[int]):
        regex = "[0-9a-f]+"

        def convert(self, value: str) -> int:
            return int(value, 16)

    monkeypatch.setitem(CONVERTOR_TYPES, "hex", Hexadecimal())
    app = bare()
    app.get("/colours/{code:hex}/x")(endpoint)
    found = entry(app, "/colours/{code:hex}/x")
    assert (found.plan, found.pattern, found.prefix) == (None, None, "/colours/")
    assert "Hexadecimal" in found.reason


def test_an_edited_regex_is_a_barrier() -> None:
    app = bare()
    app.get("/x")(endpoint)
    app.routes[0].path_regex, _, _ = compile_path("/y/{name:path}")
    found = entry(app, "/x")
    assert (found.plan, found.pattern, found.prefix) == (None, None, None)


def test_a_router_that_acts_before_routing_is_left_alone() -> None:
    class Logging(APIRouter):
        async def app(self, scope: object, receive: object, send: object) -> None:
            await super().app(scope, receive, send)

    def refused(app: FastAPI) -> str:
        app.get("/x")(endpoint)
        found = entry(app, "/x")
        assert found.plan is None
        # Still in its place.
        assert found.pattern == "/x"
        return found.reason

    own = bare()
    own.router = Logging()
    assert "Logging" in refused(own)

    async def stack(scope: object, receive: object, send: object) -> None: ...

    wrapped = bare()
    wrapped.router.middleware_stack = stack
    assert "middleware" in refused(wrapped)

    assert entry(_with_route(bare(form_limits={"max_fields": 3})), "/x").plan


def test_a_subclass_of_the_application_is_understood() -> None:
    class Application(FastAPI):
        async def __call__(self, scope: object, receive: object, send: object) -> None:
            await super().__call__(scope, receive, send)

    app = Application(openapi_url=None)
    app.get("/x")(endpoint)
    assert entry(app, "/x").plan


def test_body_limits_come_from_where_they_hold() -> None:
    def limits(app: FastAPI, path: str) -> tuple[int, ...]:
        plan = entry(app, path).plan
        assert plan is not None
        return plan.body_limits

    app = bare(max_body_size=1000, routes=[APIRoute("/plain", endpoint)])
    app.get("/own", max_body_size=10)(endpoint)
    app.get("/inherited")(endpoint)
    router = APIRouter()
    router.get("/x")(endpoint)
    app.include_router(router, prefix="/in", max_body_size=20)
    assert limits(app, "/plain") == (1000,)
    assert limits(app, "/own") == (1000, 10)
    assert limits(app, "/inherited") == (1000, 1000)
    assert limits(app, "/in/x") == (1000, 20)
    assert limits(_with_route(bare()), "/x") == ()


def _with_route(app: FastAPI) -> FastAPI:
    app.get("/x")(endpoint)
    return app


def test_telemetry_that_is_on_takes_all_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    import opentelemetry.trace

    assert entry(_with_route(bare()), "/x").plan
    provided = _with_route(bare(telemetry={"tracer_provider": object()}))
    assert "telemetry" in entry(provided, "/x").reason
    off = _with_route(bare(telemetry={"tracing": False, "tracer_provider": object()}))
    assert entry(off, "/x").plan
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", object())
    found = entry(_with_route(bare()), "/x")
    assert found.plan is None and "telemetry=" in found.advice
    monkeypatch.undo()
    monkeypatch.setenv("OTEL_PYTHON_METER_PROVIDER", "sdk_meter_provider")
    assert entry(_with_route(bare()), "/x").plan is None
    monkeypatch.undo()
    monkeypatch.setattr(opentelemetry.trace, "get_tracer_provider", lambda: object())
    assert entry(_with_route(bare()), "/x").plan is None


def test_routes_added_later_are_in_the_next_table() -> None:
    app = bare()
    router = APIRouter()
    router.get("/a")(endpoint)
    app.include_router(router)
    assert paths(describe(app)) == ["/a"]
    router.get("/b")(endpoint)
    app.get("/c")(endpoint)
    assert paths(describe(app)) == ["/a", "/b", "/c"]
