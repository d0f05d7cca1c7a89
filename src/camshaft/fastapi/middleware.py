# SPDX-License-Identifier: MIT
"""What stands between a server and an application's router, and whether it can be passed over.

FastAPI's own middleware can, as a plan does the same. Starlette's CORSMiddleware, GZipMiddleware,
TrustedHostMiddleware and HTTPSRedirectMiddleware can, as csrc/py/fastapi does what they do by what
their objects hold. Anything else of the user's, a subclass of those, or one of them that has been
given other members, cannot: then requests come through the middleware, whatever it is.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import zlib
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette import _utils
from starlette.middleware import gzip as gzip_module
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from camshaft.fastapi.handlers import without_limit
from camshaft.fastapi.plan import Cors, GZip, Layer, TrustedHost
from camshaft.fastapi.reasons import NotUnderstood, name_of

try:
    from fastapi._body_limit import AppBodyLimitMiddleware
    from fastapi.telemetry._asgi import ExceptionTelemetryMiddleware
except ImportError:  # an older release, whose stack is another one
    AppBodyLimitMiddleware = ExceptionTelemetryMiddleware = None  # type: ignore[assignment,misc]

_OUTER = (ServerErrorMiddleware, ExceptionTelemetryMiddleware, AppBodyLimitMiddleware)
_INNER = (ExceptionMiddleware, AsyncExitStackMiddleware)


@dataclasses.dataclass(frozen=True, slots=True)
class Stack:
    """The user's middleware, from the outermost on, and what must not change for it to hold."""

    layers: tuple[tuple[Layer, tuple[Any, ...]], ...] = ()
    dicts: tuple[dict[Any, Any], ...] = ()
    lists: tuple[list[Any], ...] = ()
    # The limit for bodies around all of it, which is the router's, too.
    max_body_size: int | None = None


def look_through(app: Any, *, known: bool = True) -> Stack:
    """Return what an application has of middleware, which requests may be answered before.

    `known`: the sources of Starlette's middleware are. Raises NotUnderstood, with all that stands
    in the way as the reason. Makes the stack as FastAPI does for the first request; after that no
    middleware can be added.
    """
    for name in ("__call__", "build_middleware_stack"):
        if name in vars(app) or getattr(type(app), name) is not getattr(FastAPI, name):
            raise NotUnderstood(f"`{name}` is not FastAPI's own")
    if app.root_path:
        raise NotUnderstood("a root_path is set in the application")
    users = [each.cls for each in app.user_middleware]
    # By identity: they may be anything, which is not to be asked for its hash.
    if users and not (known and all(any(cls is each for each in _READERS) for cls in users)):
        raise NotUnderstood(", ".join(getattr(cls, "__name__", repr(cls)) for cls in users))
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    layer, stack = _pass_limit(app, _pass(app.middleware_stack, _OUTER))
    for cls in users:
        if type(layer) is not cls:
            raise NotUnderstood(f"a {name_of(type(layer))} in the middleware stack")
        kind, read = _READERS[cls]
        found = read(layer)
        stack = dataclasses.replace(
            stack,
            layers=(*stack.layers, (kind, found.settings)),
            dicts=(*stack.dicts, vars(layer), *found.dicts),
            lists=(*stack.lists, *found.lists),
        )
        layer = layer.app
    if _pass(layer, _INNER) is not app.router:
        raise NotUnderstood("the stack does not end in the application's router")
    return stack


def _pass(layer: Any, kinds: tuple[Any, ...]) -> Any:
    for kind in kinds:
        if type(layer) is not kind:
            raise NotUnderstood(f"a {type(layer).__name__} in the middleware stack")
        layer = layer.app
    return layer


def _pass_limit(app: Any, layer: Any) -> tuple[Any, Stack]:
    """Return what is inside the application's limit for bodies, which may be none."""
    inner, limit = without_limit(layer)
    if limit != app.router.max_body_size:
        raise NotUnderstood("a max_body_size of the application that is not its router's")
    return inner, Stack(dicts=() if limit is None else (vars(layer),), max_body_size=limit)


# ---- what the objects hold ----


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """A layer's settings, and what else than the object's own members they were read from."""

    settings: tuple[Any, ...]
    dicts: tuple[dict[Any, Any], ...] = ()
    lists: tuple[list[Any], ...] = ()


def _members(layer: Any, **kinds: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the members of a middleware object, each of which must be as its class makes it."""
    members: dict[str, Any] = vars(layer)
    if members.keys() - {"app"} != kinds.keys():
        raise NotUnderstood(f"{name_of(type(layer))} has members of its own")
    for name, fits in kinds.items():
        if not fits(members[name]):
            raise NotUnderstood(f"`{name}` of {name_of(type(layer))} is of an unusual kind")
    return members


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_truth(value: Any) -> bool:
    return type(value) in (bool, int, types.NoneType)


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_container(value: Any) -> bool:
    """`in` is asked of it for each request, so that it may change; but it must not run code."""
    return type(value) in (list, tuple, set, frozenset, str)


def _is_list(value: Any) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def _is_fields(value: Any) -> bool:
    return type(value) is dict and all(
        type(text) is str and text.isascii() and text.isprintable()
        for pair in value.items()
        for text in pair
    )


def _fields(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


_CORS_FIELDS = frozenset(
    [
        "Vary",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Methods",
        "Access-Control-Max-Age",
        "Access-Control-Allow-Headers",
        "Access-Control-Allow-Credentials",
        "Access-Control-Expose-Headers",
    ]
)


def _read_cors(layer: Any) -> _Found:
    members = _members(
        layer,
        allow_origins=_is_container,
        allow_methods=_is_container,
        allow_headers=_is_list,
        allow_all_origins=_is_bool,
        allow_all_headers=_is_bool,
        allow_credentials=_is_truth,
        preflight_explicit_allow_origin=_is_truth,
        allow_origin_regex=lambda value: value is None or type(value) is re.Pattern,
        allow_private_network=_is_truth,
        simple_headers=_is_fields,
        preflight_headers=_is_fields,
    )
    simple, preflight = members["simple_headers"], members["preflight_headers"]
    if (simple.keys() | preflight.keys()) - _CORS_FIELDS:
        raise NotUnderstood("CORSMiddleware has been given other headers")
    regex = members["allow_origin_regex"]
    if regex is not None and not isinstance(regex.pattern, str):
        raise NotUnderstood("the allow_origin_regex of CORSMiddleware is of bytes")
    settings = Cors(
        simple=_fields(simple),
        preflight=_fields(preflight),
        origins=members["allow_origins"],
        methods=members["allow_methods"],
        headers=members["allow_headers"],
        fullmatch=None if regex is None else regex.fullmatch,
        all_origins=members["allow_all_origins"],
        all_headers=members["allow_all_headers"],
        credentials=bool(members["allow_credentials"]),
        explicit_preflight=bool(members["preflight_explicit_allow_origin"]),
        private_network=bool(members["allow_private_network"]),
    )
    return _Found(settings, dicts=(simple, preflight))


def _read_gzip(layer: Any) -> _Found:
    members = _members(
        layer,
        minimum_size=_is_int,
        compresslevel=_is_int,
        thread_minimum_size=_is_int,
        exclude_content_types=lambda value: (
            type(value) is tuple and all(type(each) is str for each in value)
        ),
    )
    if not -1 <= members["compresslevel"] <= 9:
        raise NotUnderstood("the compresslevel of GZipMiddleware is none of zlib's")
    replaced = getattr(gzip_module, "zlib", None) is not zlib
    if replaced or type(zlib.compressobj) is not types.BuiltinFunctionType:
        raise NotUnderstood("zlib has been replaced")
    settings = GZip(
        minimum_size=_size(members["minimum_size"]),
        level=members["compresslevel"],
        thread_minimum_size=_size(members["thread_minimum_size"]),
        # What is not ASCII is no type of a content that C looks at.
        excluded=tuple(
            each.encode() for each in members["exclude_content_types"] if each.isascii()
        ),
    )
    return _Found(settings)


def _size(value: int) -> int:
    """As C counts: no body is longer than the longest, nor shorter than none."""
    return max(-1, min(value, sys.maxsize))


def _read_trusted_host(layer: Any) -> _Found:
    members = _members(layer, allowed_hosts=_is_list, allow_any=_is_bool, www_redirect=_is_truth)
    patterns: list[str] = members["allowed_hosts"]
    plain = "".join(map(chr, (*range(0x61, 0x7B), *range(0x30, 0x3A)))) + ".-_"
    parsed = _utils.parse_host_header(f"{plain}:0123456789")
    if parsed is None or parsed.host != plain:
        raise NotUnderstood("Starlette's way to read a Host is not known to this camshaft")
    settings = TrustedHost(
        patterns=tuple(each.encode() for each in patterns if each.isascii()),
        any=members["allow_any"],
    )
    return _Found(settings, lists=(patterns,))


def _read_https_redirect(layer: Any) -> _Found:
    _members(layer)
    return _Found(())


_READERS: dict[Any, tuple[Layer, Callable[[Any], _Found]]] = {
    CORSMiddleware: (Layer.CORS, _read_cors),
    GZipMiddleware: (Layer.GZIP, _read_gzip),
    TrustedHostMiddleware: (Layer.TRUSTED_HOST, _read_trusted_host),
    HTTPSRedirectMiddleware: (Layer.HTTPS_REDIRECT, _read_https_redirect),
}
