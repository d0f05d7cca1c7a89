# SPDX-License-Identifier: MIT
"""The routing table: an application's routes and those of its included routers, in match order.

FastAPI goes through app.router.routes and takes the first that matches path and method; an
included router is gone through the same way in its place. So one flat list gives the same answer,
as long as what cannot be told for sure stands in it as a barrier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import routing
from fastapi.routing import APIRoute, APIRouter, APIWebSocketRoute
from starlette import convertors
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute, compile_path

from camshaft.fastapi import schema
from camshaft.fastapi.find import mounted_application
from camshaft.fastapi.handlers import describe_plan, handler_of
from camshaft.fastapi.plan import Entry, Plan
from camshaft.fastapi.reasons import NotUnderstood, name_of

_CONVERTORS = tuple(
    getattr(convertors, f"{kind}Convertor")
    for kind in ("String", "Path", "Integer", "Float", "UUID")
)
_MATCHING = ("matches", "__getattribute__", "__getattr__")
# What is read of a route or of a context of one, and the methods that FastAPI calls.
_ROUTER_METHODS = (
    "app",
    "handle",
    "matches",
    "not_found",
    "_get_routes_version",
    "__getattribute__",
    "__call__",
)


def overridden(thing: Any, base: type, names: Iterable[str]) -> str | None:
    """Return the first of these methods that is not the one of `base`, or None."""
    own = getattr(thing, "__dict__", {})
    for name in names:
        if name in own or getattr(type(thing), name, None) is not getattr(base, name, None):
            return name
    return None


class Flattener:
    """The entries of an application, and what they were read from."""

    def __init__(self, max_body_size: int | None, form_limits: dict[str, Any] | None) -> None:
        """`max_body_size` and `form_limits` are those of the application's router."""
        self.entries: list[Entry] = []
        self.routers: list[Any] = []
        self.states: list[dict[str, Any]] = []
        self.providers: list[Any] = []
        self._max_body_size = max_body_size
        self._form_limits = form_limits
        self._after_included = False

    def add_router(self, router: Any) -> None:
        """Add the routes of the application's own router."""
        self.routers.append(router)
        for route in list(router.routes):
            if isinstance(route, routing._IncludedRouter):
                self._after_included = True
                self._add_included(route, ())
            elif isinstance(route, APIRoute):
                self._add_api_route(route, None, ())
            else:
                self._add_other(route, ())

    def _add_included(self, included: Any, outer: tuple[Any, ...]) -> None:
        routers = (*outer, included)
        router = included.original_router
        base = routing._IncludedRouter
        odd = overridden(included, base, ("matches", "handle", "_match", "effective_candidates"))
        if odd is None and isinstance(router, APIRouter):
            odd = overridden(router, APIRouter, _ROUTER_METHODS)
        elif odd is None:
            odd = "matches"
        if odd is not None:
            self._add_barrier(
                included.include_context.prefix or "/",
                f"an included router, {name_of(type(router))}, has a `{odd}` of its own",
                "do in a dependency or a middleware what that does",
            )
            return
        self.routers.append(router)
        # As FastAPI does on the first request; it keeps what it has made.
        for candidate in included.effective_candidates():
            if isinstance(candidate, routing._IncludedRouter):
                self._add_included(candidate, routers)
            elif isinstance(candidate.original_route, APIRoute):
                self._add_api_route(candidate.original_route, candidate, routers)
            else:
                self._add_other(candidate.starlette_route or candidate.original_route, routers)

    def _add_api_route(self, route: Any, context: Any, routers: tuple[Any, ...]) -> None:
        """Add an APIRoute; `context` has what counts in place of it in an included router."""
        effective = route if context is None else context
        if (odd := overridden(route, APIRoute, _MATCHING)) is not None:
            self._add_barrier(
                effective.path,
                f"its class, {name_of(type(route))}, has a `{odd}` of its own",
                "do in a dependency what that does",
                route=route,
            )
            return
        plan: Plan | None = None
        reason = advice = ""
        try:
            pattern, prefix = self._pattern(effective)
            plan = self._plan(route, context, routers)
        except NotUnderstood as why:
            reason, advice = why.reason, why.advice
            if isinstance(why, _OddPath):
                pattern, prefix = None, why.prefix
        self.states.append(vars(effective))
        self.entries.append(
            Entry(
                pattern=pattern,
                methods=frozenset(effective.methods or ()),
                regex=effective.path_regex,
                converters=dict(effective.param_convertors),
                plan=plan,
                reason=reason,
                prefix=prefix,
                route=route,
                context=context,
                routers=routers,
                after_included=self._after_included,
                form_limits=self._form_limits_in(routers),
                path=effective.path,
                advice=advice,
            )
        )

    def _form_limits_in(self, routers: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
        contexts = [getattr(each, "include_context", None) for each in routers]
        limits = [self._form_limits, *(getattr(each, "form_limits", None) for each in contexts)]
        return tuple(each for each in limits if each)

    def _plan(self, route: Any, context: Any, routers: tuple[Any, ...]) -> Plan:
        if (odd := overridden(route, APIRoute, ("handle",))) is not None:
            raise NotUnderstood(
                f"its class, {name_of(type(route))}, has a `{odd}` of its own",
                "do in a dependency what that does",
            )
        schema.check_settings(route, APIRoute, schema.ROUTE)
        if context is not None:
            schema.check_fields(context, schema.CONTEXT)
        for included in routers:
            schema.check_fields(included.include_context, schema.INCLUDE)
            schema.check_settings(included.original_router, APIRouter, schema.ROUTER)
        handler = handler_of(route.app if context is None else context.app)
        plan = describe_plan(handler, self._max_body_size)
        provider = handler.cells["dependency_overrides_provider"]
        if provider is not None:
            if "dependency_overrides" not in getattr(provider, "__dict__", {}):
                raise NotUnderstood(
                    f"dependency_overrides are provided by {name_of(type(provider))}"
                )
            if not any(provider is each for each in self.providers):
                self.providers.append(provider)
        return plan

    def _add_other(self, route: Any, routers: tuple[Any, ...]) -> None:
        """Add what is no route of FastAPI's."""
        kinds = (APIWebSocketRoute, WebSocketRoute, Route, Mount, Host)
        base: type = next((kind for kind in kinds if isinstance(route, kind)), BaseRoute)
        if issubclass(base, WebSocketRoute) and overridden(route, base, _MATCHING) is None:
            return  # never matches HTTP
        path = getattr(route, "path", "")
        if base not in (Route, Mount) or overridden(route, base, _MATCHING) is not None:
            what = "a Host" if base is Host else f"a {name_of(type(route))}"
            self._add_barrier(
                path, f"{what}, which may match anything", "put it behind the routes that it is not"
            )
            return
        if base is Mount:
            self._add_mount(route)
            return
        reason = "a route of Starlette's, without parameters for FastAPI to solve"
        try:
            pattern, prefix = self._pattern(route)
        except _OddPath as why:
            pattern, prefix, reason = None, why.prefix, why.reason
        self.states.append(vars(route))
        self.entries.append(
            Entry(
                pattern=pattern,
                methods=frozenset(route.methods or ()),
                regex=route.path_regex,
                converters=dict(route.param_convertors),
                plan=None,
                reason=reason,
                prefix=prefix,
                route=route,
                routers=routers,
                after_included=self._after_included,
                path=path,
            )
        )

    def _add_mount(self, mount: Any) -> None:
        self.states.append(vars(mount))
        try:
            _, prefix = self._pattern(mount, mount.path + "/{path:path}")
        except _OddPath as why:
            prefix = why.prefix
        prefix = _literal(mount.path + "/") if prefix is None else prefix
        mounted = mounted_application(mount)
        reason = f"a mounted application, {name_of(type(mount._base_app))}"
        if mounted is not None:
            reason += ", whose own routes follow, behind the middleware"
        self._add_barrier(mount.path, reason, prefix=prefix, mounted=mounted)

    def _add_barrier(
        self,
        path: str,
        reason: str,
        advice: str = "",
        prefix: str | None = None,
        route: Any = None,
        mounted: Any = None,
    ) -> None:
        self.entries.append(
            Entry(
                pattern=None,
                methods=frozenset(),
                regex=None,
                converters={},
                plan=None,
                reason=reason,
                prefix=prefix,
                route=route,
                after_included=self._after_included,
                mounted=mounted,
                path=path,
                advice=advice,
            )
        )

    def _pattern(self, route: Any, path: str | None = None) -> tuple[str, None]:
        """Return the path of a route, which says all of what it matches.

        Raises _OddPath for one that does not: the entry is to be a barrier.
        """
        path = route.path if path is None else path
        try:
            expected, _, _ = compile_path(path)
        except Exception:
            raise _OddPath("its path is no path of Starlette's", "") from None
        regex = route.path_regex
        if (regex.pattern, regex.flags) != (expected.pattern, expected.flags):
            raise _OddPath("its path_regex is not the one of its path", "")
        for convertor in route.param_convertors.values():
            if type(convertor) not in _CONVERTORS or vars(convertor):
                raise _OddPath(
                    f"its path has a convertor of {name_of(type(convertor))}", _literal(path)
                )
        return path, None


class _OddPath(NotUnderstood):
    """A path that cannot be matched from its text alone; it begins with `prefix`."""

    def __init__(self, reason: str, prefix: str) -> None:
        super().__init__(reason, "use one of Starlette's own: str, int, float, path, uuid")
        self.prefix = prefix or None


def _literal(path: str) -> str:
    """Return what a path begins with, before its first parameter."""
    return path.partition("{")[0]
