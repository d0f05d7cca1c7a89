# SPDX-License-Identifier: MIT
"""What a plan says of parameters and bodies: where they are looked for, and what is missing."""

import datetime
import enum
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pydantic
import pytest
from fastapi import Body, Cookie, Depends, FastAPI, File, Form, Header, Path, Query
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Json, PrivateAttr
from pydantic_core import PydanticUndefined, SchemaValidator
from starlette.datastructures import Headers, QueryParams

from camshaft.fastapi.describe import describe
from camshaft.fastapi.fields import is_pure
from camshaft.fastapi.plan import Field, Parameter, Plan, Source


def plan_of(endpoint: Callable[..., Any], path: str = "/x", **options: Any) -> Plan:
    app = FastAPI(openapi_url=None)
    app.api_route(path, methods=["POST"], **options)(endpoint)
    (entry,) = describe(app).entries
    assert entry.plan is not None, entry.reason
    return entry.plan


def refusal_of(endpoint: Callable[..., Any], **options: Any) -> str:
    app = FastAPI(openapi_url=None)
    app.post("/x", **options)(endpoint)
    (entry,) = describe(app).entries
    assert entry.plan is None
    return entry.reason


def parameter(annotation: Any, default: Any = ...) -> Parameter:
    def endpoint(value: Any = default) -> None: ...

    endpoint.__annotations__ = {"value": annotation}
    if default is ...:
        endpoint.__defaults__ = None
    (found,) = plan_of(endpoint).nodes[-1].parameters
    return found


def body(annotation: Any, default: Any = ...) -> Field:
    def endpoint(value: Any = default) -> None: ...

    endpoint.__annotations__ = {"value": annotation}
    if default is ...:
        endpoint.__defaults__ = None
    (found,) = plan_of(endpoint).nodes[-1].body
    return found


def test_the_order_is_path_query_header_cookie() -> None:
    async def endpoint(
        session: Annotated[str, Cookie()],
        x_token: Annotated[str, Header()],
        q: str,
        item: int,
        other: Annotated[str, Path()],
    ) -> None: ...

    parameters = plan_of(endpoint, "/x/{item}/{other}").nodes[-1].parameters
    assert [(each.source, each.field.name) for each in parameters] == [
        (Source.PATH, "item"),
        (Source.PATH, "other"),
        (Source.QUERY, "q"),
        (Source.HEADER, "x_token"),
        (Source.COOKIE, "session"),
    ]
    assert [each.field.keys for each in parameters] == [
        ("item",),
        ("other",),
        ("q",),
        ("x-token",),
        ("session",),
    ]
    assert all(type(each.field.validator) is SchemaValidator for each in parameters)
    assert parameters[0].field.validator.validate_python("12", from_attributes=True) == 12


def test_keys_are_those_fastapi_prefers() -> None:
    assert parameter(Annotated[str, Query(alias="Query-Name")]).field.keys == ("Query-Name",)
    choices = AliasChoices("first", "second")
    assert parameter(Annotated[str, Query(validation_alias=choices)]).field.keys == (
        "first",
        "second",
    )
    # Headers are named as they were given; underscores are converted in what has no alias.
    assert parameter(Annotated[str, Header()]).field.keys == ("value",)
    assert parameter(Annotated[str, Header(alias="X-Some_Thing")]).field.keys == ("X-Some_Thing",)
    choices = AliasChoices("X_One", "X-Two")
    assert parameter(Annotated[str, Header(validation_alias=choices)]).field.keys == (
        "X_One",
        "X-Two",
    )

    async def kept(x_token: Annotated[str, Header(convert_underscores=False)]) -> None: ...

    assert plan_of(kept).nodes[-1].parameters[0].field.keys == ("x_token",)


def test_a_header_that_cannot_be_one() -> None:
    async def endpoint(value: Annotated[str, Header(alias="x-€")]) -> None: ...

    assert "header" in refusal_of(endpoint)


def test_what_a_missing_parameter_becomes() -> None:
    required = parameter(int).field
    assert required.required and required.default is PydanticUndefined
    optional = parameter(int, 7).field
    assert (optional.required, optional.default, optional.default_factory) == (False, 7, None)
    assert not optional.validate_default
    assert parameter(Annotated[int, Query(validate_default=True)], "7").field.validate_default
    made = parameter(Annotated[list[int], Query(default_factory=list)]).field
    assert not made.required
    assert made.default_factory is list


def test_what_a_factory_makes_is_copied() -> None:
    shared = [[1]]
    made = parameter(Annotated[list[int], Query(default_factory=lambda: shared)]).field
    assert made.default_factory is not None
    copied = made.default_factory()
    assert copied == shared and copied is not shared and copied[0] is not shared[0]


def test_a_factory_that_takes_validated_data_is_not_understood() -> None:
    async def endpoint(value: Annotated[int, Query(default_factory=lambda data: 1)]) -> None: ...

    assert "default factory" in refusal_of(endpoint)


@pytest.mark.parametrize("kind", [Query, Header])
@pytest.mark.parametrize("annotation", [list[int], set[str], tuple[int, ...], list[int] | None])
def test_sequences_take_all_values(kind: Any, annotation: Any) -> None:
    found = parameter(Annotated[annotation, kind()], None)
    assert found.sequence and found.extract is None


def test_one_value_that_is_a_sequence_is_extracted() -> None:
    found = parameter(Annotated[Json[list[int]], Query()])
    assert not found.sequence and found.extract is not None
    assert found.extract(QueryParams("value=[1,2]&value=[3]")) == ([3], [])
    value, errors = found.extract(QueryParams("value="))
    assert value is None and [error["type"] for error in errors] == ["missing"]


def test_scalars_are_not_sequences() -> None:
    for annotation in (str, int, bytes, str | None, Annotated[Json[Any], Query()]):
        found = parameter(annotation)
        assert not found.sequence and found.extract is None


def test_models_of_parameters_are_extracted_by_fastapi() -> None:
    class Filter(BaseModel):
        model_config = ConfigDict(extra="forbid")
        limit: int = 10
        tags: list[str] = []

    async def endpoint(
        filter: Annotated[Filter, Query()], headers: Annotated[Filter | None, Header()] = None
    ) -> None: ...

    query, headers = plan_of(endpoint).nodes[-1].parameters
    assert query.extract is not None and headers.extract is not None
    value, errors = query.extract(QueryParams("limit=3&tags=a&tags=b"))
    assert errors == [] and value == Filter(limit=3, tags=["a", "b"])
    value, errors = query.extract(QueryParams("surplus=1"))
    assert [error["loc"] for error in errors] == [("query", "surplus")]
    value, errors = headers.extract(Headers({"limit": "x"}))
    assert [error["loc"] for error in errors] == [("header", "limit")]
    assert (query.source, query.field.name) == (Source.QUERY, "filter")


class Item(BaseModel):
    name: str
    price: float = 1.5
    tags: list[str] = []


def test_one_body_is_the_field_itself() -> None:
    async def endpoint(item: Item) -> None: ...

    plan = plan_of(endpoint)
    (node,) = plan.nodes
    assert plan.reads_body and node.body_is_field
    (field,) = node.body
    assert (field.name, field.required, field.pure) == ("item", True, True)


def test_embedded_bodies_are_members() -> None:
    async def one(item: Annotated[Item, Body(embed=True)]) -> None: ...

    async def two(item: Item, count: Annotated[int, Body(alias="Count")] = 1) -> None: ...

    (node,) = plan_of(one).nodes
    assert not node.body_is_field and node.body[0].keys == ("item",)
    (node,) = plan_of(two).nodes
    assert not node.body_is_field
    assert [field.keys for field in node.body] == [("item",), ("Count",)]


def test_bodies_of_several_dependencies_are_members() -> None:
    def first(item: Item) -> None: ...

    async def endpoint(other: Item, _: Annotated[None, Depends(first)]) -> None: ...

    plan = plan_of(endpoint)
    assert [node.body_is_field for node in plan.nodes] == [False, False]

    # The same one named twice is one.
    async def again(item: Item, _: Annotated[None, Depends(first)]) -> None: ...

    assert [node.body_is_field for node in plan_of(again).nodes] == [True, True]


def test_without_a_body_none_is_read() -> None:
    async def endpoint(q: int) -> None: ...

    assert not plan_of(endpoint).reads_body


def test_strict_content_type() -> None:
    async def endpoint(item: Item) -> None: ...

    assert plan_of(endpoint).strict_content_type
    app = FastAPI(openapi_url=None, strict_content_type=False)
    app.post("/x")(endpoint)
    (entry,) = describe(app).entries
    assert entry.plan is not None and not entry.plan.strict_content_type


def test_forms_are_read_as_such() -> None:
    async def part(b: Annotated[str, Form(alias="other")], n: int) -> None: ...

    async def endpoint(a: Annotated[bytes, File()], _: Annotated[None, Depends(part)]) -> None: ...

    plan = plan_of(endpoint, form_limits={"max_files": 2})
    assert (plan.reads_body, plan.reads_form, plan.embed_body_fields) == (True, True, True)
    assert plan.form_limits == {"max_files": 2}
    first, last = plan.nodes
    assert (first.form, first.body, len(first.parameters)) == (("b",), (), 1)
    assert (last.form, last.body) == (("a",), ())

    async def no_form(a: Annotated[int, Body()]) -> None: ...

    assert not plan_of(no_form).reads_form and plan_of(no_form).nodes[0].form == ()


def test_a_type_that_is_not_complete_is_not_understood() -> None:
    class Node(BaseModel):
        next: "Missing | None" = None  # noqa: F821

    async def endpoint(item: Node) -> None: ...

    assert "not complete" in refusal_of(endpoint, response_model=None)


class Colour(enum.Enum):
    RED = "red"


class Strange(enum.Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> "Strange":
        return cls.RED


class Checked(BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, value: str) -> str:
        return value


class Old(BaseModel):
    name: str

    @pydantic.validator("name")  # type: ignore[deprecated]
    def check(cls, value: str) -> str:
        return value


class Outer(BaseModel):
    # Names that core schemas have for something else.
    metadata: list[Checked]
    serialization: int = 1


class Initialised(BaseModel):
    name: str

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Private(BaseModel):
    name: str
    _count: int = PrivateAttr(default=0)


class Made(BaseModel):
    when: float = pydantic.Field(default_factory=lambda: 1.0)


class Serialised(BaseModel):
    name: str

    @pydantic.field_serializer("name")
    def show(self, value: str) -> str:
        return value

    @pydantic.computed_field
    def size(self) -> int:
        return 1


@dataclass
class Plain:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass
class Posted:
    name: str

    def __post_init__(self) -> None: ...


class Listed(BaseModel):
    names: list[str] = pydantic.Field(default_factory=list)
    inner: "Listed | None" = None


def factory(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("annotation", "pure"),
    [
        (int, True),
        (Annotated[int, Query(ge=1, le=9)], True),
        (Annotated[str, Query(pattern="^a", max_length=4)], True),
        (uuid.UUID, True),
        (datetime.datetime, True),
        (Colour, True),
        (ipaddress.IPv4Address, True),
        (pydantic.AnyUrl, True),
        (pydantic.SecretStr, True),
        (Item, True),
        (list[Item], True),
        (Listed, True),
        (Plain, True),
        (Serialised, True),
        (Strange, False),
        (Annotated[int, AfterValidator(factory)], False),
        (Annotated[int, pydantic.BeforeValidator(factory)], False),
        (Annotated[int, pydantic.WrapValidator(lambda value, handler: handler(value))], False),
        (Annotated[Any, pydantic.PlainValidator(factory)], False),
        (Checked, False),
        (Old, False),
        (Outer, False),
        (list[dict[str, Outer | None]], False),
        (Initialised, False),
        (Private, False),
        (Made, False),
        (Posted, False),
    ],
)
def test_which_validations_call_functions(annotation: Any, pure: bool) -> None:
    assert is_pure(pydantic.TypeAdapter(annotation).core_schema) is pure


def test_a_field_says_whether_it_is_pure() -> None:
    assert parameter(int).field.pure
    assert not parameter(Annotated[int, AfterValidator(factory)]).field.pure
    assert body(Item).pure
    assert not body(Checked).pure
