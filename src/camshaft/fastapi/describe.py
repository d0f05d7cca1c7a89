# SPDX-License-Identifier: MIT
"""`describe`: an unmodified FastAPI application as a table that the C router carries out.

What is not understood to the last detail has no plan, and a reason instead. Nothing here changes
the application, except that what FastAPI makes on the first request (the routes of included
routers, validators that were put off) may be made now.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRouter

from camshaft._core import FastAPIRouter
from camshaft.fastapi import schema
from camshaft.fastapi.handlers import without_limit
from camshaft.fastapi.middleware import Stack, look_through
from camshaft.fastapi.plan import MISSING, Entry, Kind, Table
from camshaft.fastapi.reasons import NotUnderstood, name_of
from camshaft.fastapi.routes import _ROUTER_METHODS, Flattener, overridden
from camshaft.fastapi.trust import Trust

# FastAPI's switch for each of OpenTelemetry's signals, the word for its provider, the module that
# is asked for that, and the one that keeps it.
_PROVIDERS = (
    ("tracing", "tracer", "opentelemetry.trace", "opentelemetry.trace"),
    ("metrics", "meter", "opentelemetry.metrics", "opentelemetry.metrics._internal"),
    ("logs", "logger", "opentelemetry._logs", "opentelemetry._logs._internal"),
)


def describe(app: Any, *, trust: Trust | None = None) -> Table:
    """Return the routing table of a FastAPI application.

    `trust` is how far plans may go (camshaft.fastapi.trust); without, all the way. If
    something keeps the whole of the application from being understood, all routes are there
    without plans, and the reason is the same for all.
    """
    trust = Trust() if trust is None else trust
    whole: NotUnderstood | None = trust.refusal
    names: list[tuple[dict[Any, Any], Any, Any]] = []
    limit = None
    try:
        limit = _router_limit(app)
        names = _watch_telemetry(app)
    except NotUnderstood as why:
        whole = whole or why
    router = getattr(app, "router", None)
    if not isinstance(router, APIRouter):
        entries = [Entry(None, frozenset(), None, {}, None, "")]
        if whole is not None:
            entries = [_without_plan(entry, whole) for entry in entries]
        return Table(app=app, entries=tuple(entries), watched_lists=())
    form_limits = getattr(router, "form_limits", None)
    flat = Flattener(limit, form_limits)
    flat.add_router(router)
    entries = flat.entries
    if whole is not None:
        entries = [_without_plan(entry, whole) for entry in entries]
    if trust.generators is not None:
        entries = [
            _without_plan(entry, trust.generators) if _has_generators(entry) else entry
            for entry in entries
        ]
    stack, behind = _middleware(app, trust) if whole is None else (None, "")
    alone = stack is not None
    stack = Stack() if stack is None else stack
    if alone:
        # Instrumentation may put another stack there at any time.
        names += [(vars(app), name, vars(app)[name]) for name in ("middleware_stack", "root_path")]
    return Table(
        app=app,
        entries=tuple(entries),
        watched_lists=tuple(
            (each, tuple(each))
            for each in (*(router.routes for router in flat.routers), *stack.lists)
        ),
        watched_names=(
            *((vars(each), "routes", each.routes) for each in flat.routers),
            # Before FastAPI had them: MISSING.
            (vars(router), "form_limits", vars(router).get("form_limits", MISSING)),
            *names,
        ),
        watched_empty=tuple((vars(each), "dependency_overrides") for each in flat.providers),
        whole=alone,
        watched_dicts=(*flat.states, *stack.dicts),
        layers=stack.layers,
        max_body_size=stack.max_body_size,
        behind=behind,
    )


def _middleware(app: Any, trust: Trust) -> tuple[Stack | None, str]:
    """Return the user's middleware if it can be stood in for, else what is in the way."""
    if not trust.whole:
        return None, "what FastAPI puts before its router is not as this camshaft knows it"
    try:
        return look_through(app, known=trust.middleware), ""
    except NotUnderstood as why:
        return None, why.reason


def _has_generators(entry: Entry) -> bool:
    generators = (Kind.ASYNC_GENERATOR, Kind.GENERATOR)
    return entry.plan is not None and any(node.kind in generators for node in entry.plan.nodes)


def _without_plan(entry: Entry, why: NotUnderstood) -> Entry:
    if entry.plan is None and entry.reason:
        return entry
    return dataclasses.replace(entry, plan=None, reason=why.reason, advice=why.advice)


def _router_limit(app: Any) -> int | None:
    """Return the body limit of an application's router.

    Raises NotUnderstood for a router that does something else before it looks for a route.
    """
    router = app.router
    schema.check_settings(app, FastAPI, schema.APPLICATION)
    if not isinstance(router, APIRouter):
        raise NotUnderstood(f"the application's router is a {name_of(type(router))}")
    schema.check_settings(router, APIRouter, schema.ROUTER)
    odd = overridden(router, APIRouter, _ROUTER_METHODS)
    if odd is not None:
        raise NotUnderstood(
            f"the application's router, {name_of(type(router))}, has a `{odd}` of its own"
        )
    stack: Any = router.middleware_stack
    if isinstance(stack, FastAPIRouter):
        stack = stack.original
    stack, limit = without_limit(stack)
    if getattr(stack, "__func__", None) is not APIRouter.app or stack.__self__ is not router:
        raise NotUnderstood(
            "the application's router has a middleware stack of its own",
            "add the middleware to the application",
        )
    return limit


def _watch_telemetry(app: Any) -> list[tuple[dict[Any, Any], Any, Any]]:
    """Return what tells that FastAPI's own telemetry is off, as it must stay.

    Raises NotUnderstood if it is on: then there is something to be recorded of each request.
    """
    telemetry = getattr(app, "_native_telemetry", None)
    if telemetry is None:
        return []  # before FastAPI had it
    on = NotUnderstood(
        "FastAPI's telemetry is on, as OpenTelemetry has a provider",
        'switch it off with telemetry={"tracing": False, "metrics": False, "logs": False}',
    )
    config = telemetry.config
    environment: dict[Any, Any] = getattr(os.environ, "_data", {})
    encode: Any = getattr(os.environ, "encodekey", None)
    watched: list[tuple[dict[Any, Any], Any, Any]] = [
        (vars(app), "_native_telemetry", telemetry),
        (vars(telemetry), "config", config),
    ]
    for switch, word, asked, keeper in _PROVIDERS:
        watched.append((config, switch, config[switch]))
        if not config[switch]:
            continue
        setting = f"{word}_provider"
        name = f"_{setting.upper()}"
        function = f"get_{setting}"
        asking = vars(importlib.import_module(asked))
        members = vars(importlib.import_module(keeper))
        key = encode(f"OTEL_PYTHON_{setting.upper()}")
        watched += [
            (config, setting, None),
            (asking, function, asking[function]),
            (members, name, None),
            (environment, key, MISSING),
        ]
        if (
            config[setting] is not None
            or members[name] is not None
            or key in environment
            # One that something has put there gives what it likes.
            or getattr(asking[function], "__module__", None) not in (asked, keeper)
        ):
            raise on
    return watched
