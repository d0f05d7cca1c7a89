# SPDX-License-Identifier: MIT
"""The guard on what FastAPI's objects hold: a member that is not known must have its default.

A release that can do something new says so in a field that was not there before. While nobody
uses it, it has its default, and the plan holds; a route that uses it is FastAPI's.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from camshaft.fastapi.reasons import NotUnderstood


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DEPENDANT = _words(
    """
    path_params query_params header_params cookie_params body_params dependencies name call
    request_param_name websocket_param_name http_connection_param_name response_param_name
    background_tasks_param_name security_scopes_param_name own_oauth_scopes
    parent_oauth_scopes use_cache path scope concurrency
    """
)
MODEL_FIELD = frozenset({"field_info", "name", "mode", "config"})
# What of a route counts when it is called is in its handler's cells; the rest is for OpenAPI.
CONTEXT = _words(
    """
    original_route starlette_route app frontend_prefix path endpoint stream_item_type
    response_model summary response_description deprecated operation_id
    response_model_include response_model_exclude response_model_by_alias
    response_model_exclude_unset response_model_exclude_defaults response_model_exclude_none
    include_in_schema response_class dependency_overrides_provider callbacks openapi_extra
    generate_unique_id_function strict_content_type max_body_size tags responses name
    path_regex path_format param_convertors methods unique_id status_code response_field
    stream_item_field dependencies description response_fields dependant _embed_body_fields
    body_field is_sse_stream is_json_stream
    """
)
INCLUDE = _words(
    """
    included_router prefix tags dependencies default_response_class responses callbacks
    deprecated include_in_schema generate_unique_id_function strict_content_type
    dependency_overrides_provider max_body_size form_limits
    """
)
CELLS = _words(
    """
    actual_response_class actual_strict_content_type body_field dependant
    dependency_overrides_provider embed_body_fields form_limits is_body_form is_coroutine
    is_json_stream is_sse_stream response_class response_field response_model_by_alias
    response_model_exclude response_model_exclude_defaults response_model_exclude_none
    response_model_exclude_unset response_model_include status_code stream_item_field
    """
)
ROUTE = _words(
    """
    path endpoint response_model status_code tags dependencies summary description
    response_description responses deprecated name methods operation_id
    response_model_include response_model_exclude response_model_by_alias
    response_model_exclude_unset response_model_exclude_defaults response_model_exclude_none
    include_in_schema response_class dependency_overrides_provider callbacks openapi_extra
    generate_unique_id_function strict_content_type max_body_size form_limits
    """
)
ROUTER = _words(
    """
    prefix tags dependencies default_response_class responses callbacks routes
    redirect_slashes default dependency_overrides_provider route_class on_startup
    on_shutdown lifespan deprecated include_in_schema generate_unique_id_function
    strict_content_type max_body_size form_limits
    """
)
APPLICATION = _words(
    """
    debug routes title summary description version openapi_url openapi_tags servers
    dependencies default_response_class redirect_slashes docs_url redoc_url
    swagger_ui_oauth2_redirect_url swagger_ui_init_oauth middleware exception_handlers
    on_startup on_shutdown lifespan terms_of_service contact license_info openapi_prefix
    root_path root_path_in_servers responses callbacks webhooks deprecated include_in_schema
    swagger_ui_parameters generate_unique_id_function separate_input_output_schemas
    openapi_external_docs strict_content_type max_body_size form_limits telemetry extra
    """
)

# (file, class, what is known of it, whether that is its constructor's parameters, not its fields)
CLASSES = (
    ("fastapi/dependencies/models.py", "Dependant", DEPENDANT, False),
    ("fastapi/_compat/v2.py", "ModelField", MODEL_FIELD, False),
    ("fastapi/routing.py", "_EffectiveRouteContext", CONTEXT, False),
    ("fastapi/routing.py", "_RouterIncludeContext", INCLUDE, False),
    ("fastapi/routing.py", "APIRoute", ROUTE, True),
    ("fastapi/routing.py", "APIRouter", ROUTER, True),
    ("fastapi/applications.py", "FastAPI", APPLICATION, True),
)


def check_fields(thing: Any, known: frozenset[str]) -> None:
    """Raise NotUnderstood if a dataclass instance has an unknown field that is in use."""
    kind: type = type(thing)
    for field in _unknown_fields(kind, known):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        _check(kind, field.name, getattr(thing, field.name, default), default)


def check_cells(cells: dict[str, Any], made_by: Callable[..., Any]) -> None:
    """Raise NotUnderstood if a handler's closure holds something unknown that is in use.

    What is passed on from a parameter of `made_by` has that parameter's default.
    """
    for name, value in cells.items():
        if name in CELLS:
            continue
        parameter = inspect.signature(made_by).parameters.get(name)
        default = parameter.default if parameter else inspect.Parameter.empty
        _check(made_by, name, value, default)


def check_settings(thing: Any, base: type, known: frozenset[str]) -> None:
    """Raise NotUnderstood if an instance was made with an unknown parameter of its class.

    `base` is FastAPI's class, whatever the instance's own is. A parameter is kept in an attribute
    of its name, or that with an underscore before it.
    """
    for name, parameter in _unknown_parameters(base, known):
        empty = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        value = getattr(thing, name, getattr(thing, f"_{name}", inspect.Parameter.empty))
        if not empty or value is not inspect.Parameter.empty:
            _check(base, name, value, parameter.default)


# The same for every route.
@functools.cache
def _unknown_fields(kind: type, known: frozenset[str]) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(field for field in dataclasses.fields(kind) if field.name not in known)


@functools.cache
def _unknown_parameters(
    base: type, known: frozenset[str]
) -> tuple[tuple[str, inspect.Parameter], ...]:
    # Annotations are left as they are: they may name what is not imported.
    parameters = inspect.signature(base).parameters.items()
    return tuple((name, parameter) for name, parameter in parameters if name not in known)


def _check(owner: Any, name: str, value: Any, default: Any) -> None:
    try:
        # None may be kept as a container of nothing.
        empty = default is None and isinstance(value, dict | list | tuple | set) and not value
        unused = empty or value is default or (type(value) is type(default) and value == default)
    except Exception:
        unused = False
    if default is inspect.Parameter.empty or not unused:
        raise NotUnderstood(
            f"`{name}` of {owner.__name__} is not known to this camshaft",
            "upgrade camshaft, or leave that out",
        )
