# SPDX-License-Identifier: MIT
"""Values that are validated: FastAPI's ModelFields, as parameters and as members of a body."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.dependencies import utils
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import SchemaSerializer, SchemaValidator

from camshaft.fastapi import schema
from camshaft.fastapi.plan import Field, Parameter, Source
from camshaft.fastapi.reasons import NotUnderstood, name_of

# Modules whose functions in a core schema are without side effects: of pydantic those that do not
# wrap a function of somebody else's.
_HARMLESS = (
    "pydantic._internal._generate_schema",
    "pydantic._internal._std_types_schema",
    "pydantic._internal._validators",
    "pydantic.color",
    "pydantic.networks",
    "pydantic.types",
    "builtins",
    "enum",
    "fractions",
    "ipaddress",
    "pathlib",
    "re",
)
_PARAMETERS = (
    (Source.PATH, "path_params"),
    (Source.QUERY, "query_params"),
    (Source.HEADER, "header_params"),
    (Source.COOKIE, "cookie_params"),
)


def describe_parameters(dependant: Any) -> tuple[Parameter, ...]:
    """Return what a dependency reads from path, query, headers and cookies, in FastAPI's order.

    Raises NotUnderstood.
    """
    return tuple(
        _describe_parameter(source, field)
        for source, fields in _PARAMETERS
        for field in getattr(dependant, fields)
    )


def _describe_parameter(source: Source, field: Any) -> Parameter:
    keys = tuple(key for _, key in utils._get_param_aliases(field))
    # Headers.__contains__ looks for the lower case, in Latin-1; errors have it as given.
    if source is Source.HEADER and not all(_is_latin1(key.lower()) for key in keys):
        raise NotUnderstood(f"the header {keys[0]!r} of `{field.name}` is no header name")
    described = describe_field(field, keys)
    model = utils._get_param_model(field)
    if model is not None:
        extract = functools.partial(utils._request_param_model_to_args, field, model)
        return Parameter(source, described, sequence=False, extract=extract)
    sequence = field_annotation_is_sequence(field.field_info.annotation)
    if not sequence:
        return Parameter(source, described, sequence=False)
    if source in (Source.QUERY, Source.HEADER) and not utils._is_json_field(field):
        return Parameter(source, described, sequence=True)
    # One value, that is missing if it is empty.
    return Parameter(source, described, sequence=False, extract=functools.partial(_one, field))


def _one(field: Any, received: Any) -> tuple[Any, list[Any]]:
    """Read one parameter as FastAPI does, from Starlette's mapping of its source."""
    values, errors = utils.request_params_to_args([field], received)
    return values.get(field.name), errors


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def describe_body(dependant: Any) -> tuple[Field, ...]:
    """Return what a dependency reads from a body that is no form. Raises NotUnderstood."""
    fields = []
    for field in dependant.body_params:
        if isinstance(field.field_info, params.Form):
            raise NotUnderstood(f"`{field.name}` is read from a form, but the body is none")
        keys = tuple(key for key, _ in utils._get_param_aliases(field))
        fields.append(describe_field(field, keys))
    return tuple(fields)


def describe_field(field: Any, keys: tuple[str, ...]) -> Field:
    """Return a ModelField that is found under `keys`. Raises NotUnderstood."""
    validator = validator_of(field)
    info = field.field_info
    if any(
        getattr(type(info), name) is not getattr(FieldInfo, name)
        for name in ("is_required", "get_default")
    ):
        raise NotUnderstood(f"`{field.name}` has a {name_of(type(info))} with defaults of its own")
    factory = info.default_factory
    if factory is not None and getattr(info, "default_factory_takes_validated_data", False):
        raise NotUnderstood(f"the default factory of `{field.name}` takes validated data")
    return Field(
        name=field.name,
        keys=keys,
        required=info.is_required(),
        default=info.default,
        default_factory=None if factory is None else _copied(factory),
        validate_default=bool(info.validate_default),
        validator=validator,
        pure=is_pure(field._type_adapter.core_schema),
        field=field,
    )


def _copied(factory: Any) -> Callable[[], Any]:
    """Return a factory whose values may be shared as one that makes copies, as FastAPI uses it."""
    if factory in (dict, list, set):
        made: Callable[[], Any] = factory
        return made
    return lambda: copy.deepcopy(factory())


def validator_of(field: Any) -> Any:
    """Return the SchemaValidator of a ModelField. Raises NotUnderstood if it has another."""
    adapter = _adapter_of(field)
    if type(adapter.validator) is not SchemaValidator:
        raise _not_plain(field, adapter.validator)
    return adapter.validator


def serializer_of(field: Any) -> Any:
    """Return the SchemaSerializer of a ModelField. Raises NotUnderstood if it has another."""
    adapter = _adapter_of(field)
    if type(adapter.serializer) is not SchemaSerializer:
        raise _not_plain(field, adapter.serializer)
    return adapter.serializer


def _adapter_of(field: Any) -> Any:
    if type(field) is not ModelField:
        raise NotUnderstood(f"`{field.name}` is a {name_of(type(field))}, not FastAPI's ModelField")
    schema.check_fields(field, schema.MODEL_FIELD)
    adapter = field._type_adapter
    if type(adapter) is not TypeAdapter:
        raise NotUnderstood(f"`{field.name}` has a {name_of(type(adapter))}")
    # As older releases of pydantic have neither this nor put-off validators.
    if not getattr(adapter, "pydantic_complete", True):
        # It is complete once it has been used; so it is from the first request on.
        adapter.rebuild(raise_errors=False)
    return adapter


def _not_plain(field: Any, found: Any) -> NotUnderstood:
    if type(found).__name__ == "PluggableSchemaValidator":
        return NotUnderstood(
            f"a plugin of pydantic's validates `{field.name}`",
            "set PYDANTIC_DISABLE_PLUGINS=__all__ if the plugin (logfire's, say) is not needed",
        )
    return NotUnderstood(
        f"the type of `{field.name}` is not complete ({name_of(type(found))})",
        "define what its annotation names before the route is made",
    )


def is_pure(core_schema: Any) -> bool:
    """Return whether validating by this core schema calls no function with possible effects.

    True means that a value may be validated twice, or one that is not used in the end. Functions
    of Python's make it False, except those that pydantic itself has for types of its own.
    """
    waiting = [core_schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | tuple):
            waiting.extend(item)
            continue
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if not isinstance(kind, str):
            # Fields by name, where any name may be.
            waiting.extend(item.values())
            continue
        if not all(_is_harmless(function) for function in _functions(kind, item)):
            return False
        waiting.extend(
            value for key, value in item.items() if key not in ("serialization", "metadata")
        )
    return True


def _functions(kind: str, item: dict[str, Any]) -> Iterable[Any]:
    """Return the functions of one core schema that validating calls."""
    if kind.startswith("function-"):
        yield item["function"]["function"]
    elif kind == "call":
        yield item["function"]
    elif kind in ("model", "dataclass"):
        # User's __init__, and what follows it.
        if item.get("custom_init") or item.get("post_init"):
            yield item["cls"]
    elif kind == "enum":
        # pydantic-core asks the class for what is no member of it.
        yield from filter(None, [item.get("missing"), getattr(item["cls"], "_missing_", None)])
    elif kind == "tagged-union" and callable(item.get("discriminator")):
        yield item["discriminator"]
    yield from filter(None, [item.get("default_factory")])


def _is_harmless(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return module in _HARMLESS
