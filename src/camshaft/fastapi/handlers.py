# SPDX-License-Identifier: MIT
"""What a route's handler does, read from the closure that does it.

A route's attributes may have been edited since it was made, to no effect. What counts is
`route.app`: the function that request_response made around the one of get_request_handler, whose
cells hold the settings; with a body limit, two objects are around that.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any

from fastapi import routing
from fastapi.datastructures import DefaultPlaceholder
from starlette.responses import Response

from camshaft.fastapi import schema
from camshaft.fastapi.dependencies import describe_nodes
from camshaft.fastapi.fields import is_pure, serializer_of, validator_of
from camshaft.fastapi.plan import Answer, Plan
from camshaft.fastapi.reasons import NotUnderstood, name_of

try:
    from fastapi._body_limit import _BodyLimitExceptionMiddleware
    from starlette.middleware.body_limit import RequestBodyLimitMiddleware
except ImportError:  # before FastAPI had limits
    RequestBodyLimitMiddleware = _BodyLimitExceptionMiddleware = None  # type: ignore[assignment,misc]

_OPTIONS = ("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none")


@dataclasses.dataclass(frozen=True, slots=True)
class Handler:
    """What get_request_handler made, with the variables of its closure."""

    function: Callable[..., Any]
    cells: dict[str, Any]
    max_body_size: int | None


def without_limit(app: Any) -> tuple[Any, int | None]:
    """Return what a body limit is around, and the limit; None if there is none."""
    if (
        RequestBodyLimitMiddleware is not None
        and type(app) is RequestBodyLimitMiddleware
        and type(app.app) is _BodyLimitExceptionMiddleware
    ):
        return app.app.app, app.max_body_size
    return app, None


def handler_of(app: Any) -> Handler:
    """Return the handler behind a route's `app`. Raises NotUnderstood if it is not FastAPI's."""
    app, limit = without_limit(app)
    outer = _closure(app, routing.request_response)
    if outer is None:
        raise NotUnderstood(f"the route's app is {name_of(app)}, not FastAPI's own")
    function = outer["f"]
    cells = _closure(function, routing.get_request_handler)
    if cells is None:
        raise _not_original(function)
    schema.check_cells(cells, routing.get_request_handler)
    return Handler(function, cells, limit)


def _not_original(function: Any) -> NotUnderstood:
    name = name_of(function)
    if name.startswith("sentry_sdk."):
        return NotUnderstood(
            "Sentry has wrapped its handler",
            "start Sentry with disabled_integrations=[FastApiIntegration(), "
            "StarletteIntegration()] and SentryAsgiMiddleware around the application",
        )
    return NotUnderstood(
        f"its handler is {name}, not FastAPI's own",
        "put what that does into a dependency or a middleware",
    )


def _closure(function: Any, made_by: Any) -> dict[str, Any] | None:
    """Return the variables of a closure called `app` that `made_by` made, or None for another."""
    code = getattr(made_by, "__code__", None)
    if type(function) is not types.FunctionType or code is None:
        return None
    if not any(
        isinstance(inner, types.CodeType) and inner is function.__code__ for inner in code.co_consts
    ):
        return None
    names = function.__code__.co_freevars
    try:
        return {
            name: cell.cell_contents
            for name, cell in zip(names, function.__closure__ or (), strict=True)
        }
    except ValueError:  # an empty cell
        return None


def describe_plan(handler: Handler, max_body_size: int | None) -> Plan:
    """Return what a handler does; `max_body_size` is the limit of the application's router.

    Raises NotUnderstood.
    """
    cells = handler.cells
    missing = schema.CELLS - {"form_limits"} - cells.keys()
    if missing:
        raise NotUnderstood(f"FastAPI's handler has no `{min(missing)}`")
    if cells["is_json_stream"] or cells["is_sse_stream"]:
        raise NotUnderstood("the endpoint is a generator: its response is a stream")
    nodes = describe_nodes(
        cells["dependant"],
        is_coroutine=cells["is_coroutine"],
        is_body_form=bool(cells["is_body_form"]),
        embed_body_fields=cells["embed_body_fields"],
    )
    return Plan(
        nodes=nodes,
        reads_body=bool(cells["body_field"]),
        reads_form=bool(cells["is_body_form"]),
        form_limits=cells.get("form_limits"),
        embed_body_fields=bool(cells["embed_body_fields"]),
        strict_content_type=bool(cells["actual_strict_content_type"]),
        answer=_describe_answer(cells),
        handler=handler.function,
        body_limits=tuple(
            limit for limit in (max_body_size, handler.max_body_size) if limit is not None
        ),
    )


def _describe_answer(cells: dict[str, Any]) -> Answer:
    field = cells["response_field"]
    response_class = cells["actual_response_class"]
    if not (isinstance(response_class, type) and issubclass(response_class, Response)):
        raise NotUnderstood(f"its response class is {name_of(response_class)}, no Response")
    return Answer(
        status_code=cells["status_code"],
        validator=None if field is None else validator_of(field),
        serializer=None if field is None else serializer_of(field),
        field=field,
        options={name: cells[f"response_model_{name}"] for name in _OPTIONS},
        dump_json=field is not None and isinstance(cells["response_class"], DefaultPlaceholder),
        response_class=response_class,
        pure=field is not None and is_pure(field._type_adapter.core_schema),
    )
