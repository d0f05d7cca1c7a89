# SPDX-License-Identifier: MIT
"""Which releases of FastAPI and Starlette the plans are known to do the same as.

A plan stands in for functions of theirs. Those are listed here by stage, and `releases.json` has
for each the digests of the sources it has been compared with: of whole files, which is quick, and
of functions without docstrings and annotations, so that a release that changes neither what a
function does nor how is no other one. `tools/fastapi-release` makes both.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import pathlib
import types
from collections.abc import Iterable, Iterator
from typing import Any

ABSENT = "absent"
"""In place of a digest: the release has no such function."""

_WORDS = {
    "entry": """
        fastapi.applications:FastAPI.__call__
        fastapi.applications:FastAPI.build_middleware_stack
        fastapi.telemetry._asgi:NativeTelemetry.enabled
        fastapi.telemetry._asgi:ExceptionTelemetryMiddleware
        fastapi._body_limit:AppBodyLimitMiddleware
        fastapi.middleware.asyncexitstack:AsyncExitStackMiddleware
        fastapi.routing:request_response
        starlette.applications:Starlette.__call__
        starlette.applications:Starlette.build_middleware_stack
        starlette.middleware.errors:ServerErrorMiddleware
        starlette.middleware.exceptions:ExceptionMiddleware
    """,
    "middleware": """
        starlette.middleware.cors:CORSMiddleware
        starlette.middleware.gzip:GZipMiddleware
        starlette.middleware.gzip:GZipResponder
        starlette.middleware.gzip:IdentityResponder
        starlette.middleware.trustedhost:TrustedHostMiddleware
        starlette.middleware.httpsredirect:HTTPSRedirectMiddleware
        starlette._utils:parse_host_header
        starlette.datastructures:MutableHeaders
        starlette.responses:PlainTextResponse
    """,
    "flat": """
        fastapi.routing:APIRoute.matches
        fastapi.routing:APIRoute.handle
        fastapi.routing:APIRouter.app
        fastapi.routing:_update_scope
        fastapi.routing:request_response
        fastapi.routing:_apply_router_form_limits
        fastapi.routing:_resolve_form_limits
        fastapi.routing:_get_fastapi_scope
        fastapi.telemetry._api:_route_selected
        fastapi._body_limit:wrap_app_with_body_limit
        starlette.routing:Router.__call__
        starlette.routing:Route.matches
        starlette.routing:Route.handle
        starlette.routing:Mount.matches
        starlette.routing:Host.matches
        starlette.routing:WebSocketRoute.matches
        starlette.routing:compile_path
        starlette.convertors:StringConvertor
        starlette.convertors:PathConvertor
        starlette.convertors:IntegerConvertor
        starlette.convertors:FloatConvertor
        starlette.convertors:UUIDConvertor
        starlette._utils:get_route_path
        starlette._utils:is_async_callable
        starlette.middleware.body_limit:RequestBodyLimitMiddleware
        starlette.middleware.body_limit:RequestBodyLimitResponder
    """,
    "included": """
        fastapi.routing:_IncludedRouter.effective_candidates
        fastapi.routing:_IncludedRouter._build_effective_context
        fastapi.routing:_IncludedRouter._match
        fastapi.routing:_IncludedRouter.matches
        fastapi.routing:_IncludedRouter.handle
        fastapi.routing:_IncludedRouter._handle_selected
        fastapi.routing:_EffectiveRouteContext.matches
        fastapi.routing:_EffectiveRouteContext.from_api_route
        fastapi.routing:APIRouter.matches
        fastapi.routing:APIRouter.handle
        fastapi.routing:APIRouter._get_routes_version
    """,
    "handler": """
        fastapi.routing:get_request_handler
        fastapi.routing:run_endpoint_function
        fastapi.routing:APIRoute.get_route_handler
        fastapi.telemetry._api:_operation
        fastapi.telemetry._api:_run_sync_endpoint
        fastapi.telemetry._api:get_telemetry_data
    """,
    "response": """
        fastapi.routing:serialize_response
        fastapi.routing:_build_response_args
        fastapi.utils:is_body_allowed_for_status_code
        fastapi.encoders:jsonable_encoder
        fastapi._compat.v2:ModelField
        starlette.responses:Response
        starlette.responses:JSONResponse
    """,
    "parameters": """
        fastapi.dependencies.utils:request_params_to_args
        fastapi.dependencies.utils:_get_multidict_value
        fastapi.dependencies.utils:_validate_value_with_model_field
        fastapi.dependencies.utils:_get_param_aliases
        fastapi.dependencies.utils:_get_param_model
        fastapi.dependencies.utils:_get_model_type
        fastapi.dependencies.utils:get_validation_alias
        fastapi.dependencies.utils:_is_json_field
        fastapi._compat.shared:field_annotation_is_sequence
        fastapi._compat.shared:_annotation_is_sequence
        starlette.datastructures:QueryParams
        starlette.datastructures:Headers
        starlette.datastructures:ImmutableMultiDict
        starlette.requests:cookie_parser
        starlette.requests:HTTPConnection
        starlette.requests:Request
    """,
    "models": """
        fastapi.dependencies.utils:_request_param_model_to_args
        fastapi.dependencies.utils:_get_multidict_extras
    """,
    "body": """
        fastapi.dependencies.utils:request_body_to_args
        fastapi.dependencies.utils:_should_embed_body_fields
    """,
    "dependencies": """
        fastapi.dependencies.utils:solve_dependencies
        fastapi.dependencies.models:_get_cache_key
        fastapi.dependencies.models:_uses_scopes
        fastapi.dependencies.models:_get_oauth_scopes
        fastapi.dependencies.models:_get_computed_scope
        fastapi.dependencies.models:_is_gen_callable_cached
        fastapi.dependencies.models:_is_async_gen_callable_cached
        fastapi.dependencies.models:_is_coroutine_callable_cached
        starlette.concurrency:run_in_threadpool
    """,
    "yield": """
        fastapi.dependencies.utils:_solve_generator
        fastapi.concurrency:contextmanager_in_threadpool
        fastapi.concurrency:_asynccontextmanager_with_shielded_exit
    """,
    "errors": """
        fastapi.exception_handlers:http_exception_handler
        fastapi.exception_handlers:request_validation_exception_handler
        starlette._exception_handler:wrap_app_handling_exceptions
        starlette._exception_handler:_lookup_exception_handler
    """,
    "background": """
        fastapi.background:BackgroundTasks
        starlette.background:BackgroundTask
        starlette.background:BackgroundTasks
    """,
}
STAGES = {stage: tuple(words.split()) for stage, words in _WORDS.items()}
"""What the plans stand in for, as module:qualname, by the stage of a request.

request_response is in two: behind the middleware it is called, before it calls.py does the same.
"""

ALONE = ("entry", "middleware", "handler", "yield")
"""Stages in which an unknown source is not accepted for having answered like a known one: what
happens there under cancellation and failures is not seen in answers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What releases.json says."""

    versions: dict[str, list[str]]
    files: dict[str, list[str]]
    functions: dict[str, list[str]]


@functools.cache
def known() -> Known:
    """Return the digests that the plans have been compared with."""
    text = pathlib.Path(__file__).with_name("releases.json").read_text("utf-8")
    return Known(**json.loads(text))


def path_of(module: str) -> str:
    """Return a module's path in its distribution: fastapi/routing.py."""
    return module.replace(".", "/") + ".py"


def modules() -> tuple[str, ...]:
    """Return the modules that have something that the plans stand in for."""
    named = {item.partition(":")[0] for items in STAGES.values() for item in items}
    return tuple(sorted(named))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def digests_of_source(text: str, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each function or class with these qualnames in a module's source.

    They are the same on every Python, whose trees differ in details. A name that is not there has
    ABSENT. Raises SyntaxError.
    """
    definitions: dict[str, ast.AST] = {}
    _define(ast.parse(text), "", definitions)
    return {
        name: digest("".join(_dump(definitions[name])).encode()) if name in definitions else ABSENT
        for name in names
    }


def _define(tree: ast.AST, prefix: str, found: dict[str, ast.AST]) -> None:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            # The last counts, as it does when the module is run.
            found[prefix + node.name] = node
            if isinstance(node, ast.ClassDef):
                _define(node, f"{prefix}{node.name}.", found)
        elif isinstance(node, ast.If | ast.Try):
            _define(node, prefix, found)


# Not what a function does, or not the same on all Pythons.
_IGNORED = frozenset(
    ("annotation", "returns", "type_comment", "type_params", "kind", "ctx", "simple")
)


def _dump(node: Any) -> Iterator[str]:
    """Write a tree without docstrings and annotations, and without what is empty."""
    if isinstance(node, list):
        yield "["
        for each in node:
            yield from _dump(each)
            yield ","
        yield "]"
        return
    if not isinstance(node, ast.AST):
        yield repr(node)
        return
    yield type(node).__name__
    yield "("
    for name, value in ast.iter_fields(node):
        if name in _IGNORED:
            continue
        if name == "body" and isinstance(value, list):
            value = _without_docstring(value)
        # Python 3.8 to 3.15 differ in which of these they have.
        if value is None or value == []:
            continue
        yield f"{name}="
        yield from _dump(value)
        yield ";"
    yield ")"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return body[1:]
    return body


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What is not as it is known, by stage."""

    versions: str  # "FastAPI 0.165.0, Starlette 1.10.0"
    # Sources that no comparison has been made with.
    unknown: dict[str, tuple[str, ...]]
    # What is not the function of that name in its module's source, and what it is.
    patched: dict[str, tuple[tuple[str, str], ...]]


def judge() -> Verdict:
    """Compare what is installed, and in this process, with what is known."""
    sources = _Sources(known())
    unknown: dict[str, tuple[str, ...]] = {}
    patched: dict[str, tuple[tuple[str, str], ...]] = {}
    for stage, items in STAGES.items():
        strange = tuple(item for item in items if not sources.knows(item))
        replaced = tuple(
            (item, by) for item in items if (by := _replaced(item, sources)) is not None
        )
        if strange:
            unknown[stage] = strange
        if replaced:
            patched[stage] = replaced
    return Verdict(installed_versions(), unknown, patched)


def installed_versions() -> str:
    fastapi, starlette = (importlib.import_module(name) for name in ("fastapi", "starlette"))
    return f"FastAPI {fastapi.__version__}, Starlette {starlette.__version__}"


class _Sources:
    """The sources of the modules in this process."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._names: dict[str, list[str]] = {}
        for items in STAGES.values():
            for item in items:
                module, _, name = item.partition(":")
                self._names.setdefault(module, []).append(name)
        self._digests: dict[str, dict[str, str] | None] = {}

    def homes(self, name: str) -> list[str]:
        """Return the modules that have something of this name among what is compared."""
        return [module for module, names in self._names.items() if name in names]

    def module(self, name: str) -> types.ModuleType | None:
        try:
            return importlib.import_module(name)
        except ImportError:
            return None

    def knows(self, item: str) -> bool:
        module, _, name = item.partition(":")
        if module not in self._digests:
            self._digests[module] = self._read(module)
        digests = self._digests[module]
        return digests is None or digests[name] in self._known.functions.get(item, ())

    def _read(self, name: str) -> dict[str, str] | None:
        """Return the digests in a module, or None if all of its file is known."""
        module = self.module(name)
        if module is None:
            return dict.fromkeys(self._names[name], ABSENT)
        try:
            source = pathlib.Path(module.__file__ or "").read_bytes()
            if digest(source) in self._known.files.get(path_of(name), ()):
                return None
            return digests_of_source(source.decode("utf-8"), self._names[name])
        except (OSError, ValueError, SyntaxError):
            # No source, as in a frozen application: nothing of it is known.
            return dict.fromkeys(self._names[name], "unreadable")


def _replaced(item: str, sources: _Sources) -> str | None:
    """Return what stands in a function's place, or None if it is its own module's."""
    return _replaced_at_home(item, sources) or _replaced_elsewhere(item, sources)


def _replaced_elsewhere(item: str, sources: _Sources) -> str | None:
    """Return what another module has under a function's name that it has imported."""
    home, _, name = item.partition(":")
    original = getattr(sources.module(home), name, None)
    if original is None:
        return None  # a method, or absent
    for module_name in modules():
        module = sources.module(module_name)
        found = getattr(module, name, original)
        if (
            found is not original
            # Another one of that name, of this module or of a third.
            and getattr(found, "__module__", None) != module_name
            and not any(
                getattr(sources.module(other), name, None) is found for other in sources.homes(name)
            )
        ):
            return _called(found)
    return None


def _replaced_at_home(item: str, sources: _Sources) -> str | None:
    module_name, _, name = item.partition(":")
    module = sources.module(module_name)
    if module is None:
        return None
    found: Any = module
    for part in name.split("."):
        if not isinstance(found, type | types.ModuleType):
            break  # what stands where a class should
        # Of a class not what descriptors make of it, and nothing inherited.
        found = vars(found).get(part)
        if found is None:
            return None  # absent, which its digest tells
    members = (found,)
    if isinstance(found, type):
        if found.__module__ != module_name:
            return _called(found)
        # What dataclasses make is of files of their own.
        made = ("__repr__", "__replace__") if dataclasses.is_dataclass(found) else ()
        members = tuple(value for key, value in vars(found).items() if key not in made)
    for member in members:
        function = _function(member)
        if function is None:
            if isinstance(found, type):
                continue  # a member that is no function
            return _called(member)
        if function.__code__.co_filename not in (module.__file__, "<string>"):
            return _called(function)
        if hasattr(function, "__wrapped__"):
            return _called(function.__wrapped__)
    return None


def _function(found: Any) -> types.FunctionType | None:
    """Return the function behind the decorators of the standard library."""
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    code = getattr(found, "__code__", None)
    # contextlib's are closures around the original.
    if isinstance(found, functools._lru_cache_wrapper) or (
        code is not None and code.co_filename == _CONTEXTLIB
    ):
        found = found.__wrapped__
    return found if type(found) is types.FunctionType else None


_CONTEXTLIB = contextlib.contextmanager.__code__.co_filename


def _called(found: Any) -> str:
    """Return the name of what is found in the place of something else, and where that is."""
    code = getattr(found, "__code__", None)
    where = f" in {code.co_filename}" if code is not None else ""
    return f"{getattr(found, '__qualname__', type(found).__qualname__)}{where}"
