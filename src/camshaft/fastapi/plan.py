# SPDX-License-Identifier: MIT
"""What the C router is told of an application: its routes in order, with plans where there are.

Plain data, read once by `_core.FastAPIRouter` when it is compiled. Nothing here calls FastAPI.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Source(enum.IntEnum):
    """Where a parameter is read from."""

    PATH = 0
    QUERY = 1
    HEADER = 2
    COOKIE = 3


class Kind(enum.IntEnum):
    """How a dependency or an endpoint is called."""

    COROUTINE = 0  # called and awaited in the request's task
    THREAD = 1  # called in a worker thread
    ASYNC_GENERATOR = 2  # entered and left as an asynchronous context manager
    GENERATOR = 3  # the same in worker threads


class Injected(enum.IntEnum):
    """What a call may ask for beside parameters and dependencies, in the order FastAPI gives it."""

    HTTP_CONNECTION = 0
    REQUEST = 1
    BACKGROUND_TASKS = 2
    RESPONSE = 3
    SECURITY_SCOPES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A value that is validated: a parameter, or one field of the body.

    `keys` are the names it may have in the request, the first that is present counts; those of
    headers count in lower case. A value that is missing is an error if `required`, else
    `default_factory()` or a deep copy of `default`, which is validated only with
    `validate_default`.
    """

    name: str  # the keyword argument
    keys: tuple[str, ...]
    required: bool
    default: Any
    default_factory: Callable[[], Any] | None
    validate_default: bool
    # pydantic_core's SchemaValidator, the exact type: its validate_python(value,
    # from_attributes=True) is what FastAPI calls through the field's TypeAdapter.
    validator: Any
    # Validating has no side effect: the core schema holds no function of Python's.
    pure: bool
    field: Any  # FastAPI's ModelField, for its own account of an error


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A field in the path, query, headers or cookies."""

    source: Source
    field: Field
    # All values of the key as a list, an empty list being missing, instead of the last value.
    sequence: bool
    # For what takes more than its own keys (a model of parameters): called with Starlette's
    # mapping of the source, gives FastAPI's (value, errors). `field` then only names it.
    extract: Callable[[Any], tuple[Any, list[Any]]] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A dependency, or (the last of a plan) the endpoint."""

    call: Callable[..., Any]
    kind: Kind
    name: str | None  # the keyword argument of the parent; None: its value is not passed
    children: tuple[int, ...]  # the plan's nodes that it depends on, all before it, in order
    parameters: tuple[Parameter, ...]  # path, query, header, cookie: FastAPI's order
    body: tuple[Field, ...]
    body_is_field: bool  # the body itself is the one field's value; else fields are its members
    form: tuple[str, ...]  # the keyword arguments that are read from a form, instead of `body`
    injected: tuple[tuple[Injected, str], ...]  # and the keyword arguments for it
    security_scopes: tuple[str, ...]  # for SecurityScopes
    slot: int  # nodes with the same cache key have the same
    use_cache: bool  # takes what an earlier node left in the slot
    function_scope: bool  # a generator that is left before the response is sent
    dependant: Any  # FastAPI's Dependant


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """How what the endpoint returns becomes a response."""

    status_code: int | None
    # The response model's SchemaValidator and SchemaSerializer (exact types) and ModelField; None
    # without one, and then the content goes through jsonable_encoder.
    validator: Any
    serializer: Any
    field: Any
    # Keyword arguments include, exclude, by_alias, exclude_unset, exclude_defaults, exclude_none
    # of the serialiser, those of the route.
    options: dict[str, Any]
    # The model is serialised to JSON bytes straight away (there is a model and no response_class
    # was given); else to Python objects for response_class.
    dump_json: bool
    response_class: type  # the class itself, placeholders resolved
    # Validating has no side effect (Field.pure): it need not be in a worker thread for what a
    # `def` endpoint returns, if that is plain data.
    pure: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Everything one route does."""

    nodes: tuple[Node, ...]  # depth first, the endpoint last
    # The request has a body that is read and, with a JSON content type, decoded first.
    reads_body: bool
    # That body is a form instead: Starlette parses it, and FastAPI finds and validates the fields
    # of each node when its turn comes, as some of that is awaited.
    reads_form: bool
    form_limits: dict[str, Any] | None  # those of the route itself
    embed_body_fields: bool  # get_request_handler's
    # A body without Content-Type is not JSON (get_request_handler's strict_content_type).
    strict_content_type: bool
    answer: Answer
    # The endpoint's own handler, FastAPI's get_request_handler.<locals>.app, to fall back on.
    handler: Callable[..., Any]
    # The max_body_size of the application's router and that of the route, as far as there are. The
    # last one holds.
    body_limits: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A place in the routing table, which is gone through until one matches path and method.

    One without a plan leaves what it matches to FastAPI. With `pattern` None it is a barrier: it
    might match anything (or, with `prefix`, any path beginning with that), so FastAPI decides.
    """

    pattern: str | None  # the path in Starlette's notation, "/items/{item_id:int}"
    methods: frozenset[str]  # upper case; empty: all
    regex: Any  # re.Pattern that decides in FastAPI
    converters: dict[str, Any]  # Starlette's, by parameter
    plan: Plan | None
    reason: str  # without a plan: why, in words
    prefix: str | None = None
    route: Any = None  # the APIRoute as the user made it: scope["route"]
    context: Any = None  # FastAPI's _EffectiveRouteContext, for a route of an included router
    routers: tuple[Any, ...] = ()  # the _IncludedRouters that lead to it, outermost first
    # Some included router was tried before this entry: scope["fastapi"] exists, if empty.
    after_included: bool = False
    # The limits for forms of the application's router and those that lead to it, outermost first:
    # their own dicts, none of which was empty.
    form_limits: tuple[dict[str, Any], ...] = ()
    # The FastAPI application that is mounted here, which has a table of its own.
    mounted: Any = None
    # For `camshaft explain`: the path as the user sees it, and without a plan what to change to
    # have one, in words; empty where nothing is to be done about it.
    path: str = ""
    advice: str = ""


class Layer(enum.IntEnum):
    """The user's middleware that can be stood in for, all of Starlette's."""

    CORS = 0
    GZIP = 1
    TRUSTED_HOST = 2
    HTTPS_REDIRECT = 3


Headers = tuple[tuple[bytes, bytes], ...]


class Cors(NamedTuple):
    """What a CORSMiddleware holds; C reads it and the two below by position."""

    simple: Headers  # of every answer to another origin
    preflight: Headers
    # Its own containers, which `in` is asked of as they are at the time.
    origins: Any
    methods: Any
    headers: Any
    fullmatch: Callable[[str], Any] | None  # of the expression for origins
    all_origins: bool
    all_headers: bool
    credentials: bool
    explicit_preflight: bool
    private_network: bool


class GZip(NamedTuple):
    """What a GZipMiddleware holds."""

    minimum_size: int
    level: int  # as zlib has it
    thread_minimum_size: int  # from here on the middleware itself compresses, in a thread
    excluded: tuple[bytes, ...]  # types of content, "text/event-stream" or "video/*"


class TrustedHost(NamedTuple):
    """What a TrustedHostMiddleware holds."""

    patterns: tuple[bytes, ...]  # names in lower case, or "*" and what a name ends with
    any: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """All of an application, and what must not have changed for it to hold."""

    app: Any  # the FastAPI object
    entries: tuple[Entry, ...]
    # (routes list, its items): the lists are compared by identity of their items, per request.
    watched_lists: tuple[tuple[list[Any], Sequence[Any]], ...]
    # (dict, key, value): dict[key] must be that very object, or not be there for MISSING. The
    # routers' `routes`, the global telemetry providers, environment variables in os.environ._data.
    watched_names: tuple[tuple[dict[Any, Any], Any, Any], ...] = ()
    # Dicts that must be empty are looked up per request, as they are often replaced: (dict, key),
    # for app.__dict__["dependency_overrides"].
    watched_empty: tuple[tuple[dict[str, Any], str], ...] = ()
    # The middleware stack is one that can be stood in for: requests may be answered before it.
    whole: bool = False
    # The user's part of that stack, from the outermost on, with what each layer holds.
    layers: tuple[tuple[Layer, tuple[Any, ...]], ...] = ()
    # The limit for bodies that is around it.
    max_body_size: int | None = None
    # For `camshaft explain`: what is in the way of answering before the middleware, in words.
    behind: str = ""
    # The members of routes and contexts that entries were read from. They are never written by
    # FastAPI; whoever edits one means the next request to see it.
    watched_dicts: tuple[dict[str, Any], ...] = ()


#: In Table.watched_names: the key must not be in the dict.
MISSING = object()
