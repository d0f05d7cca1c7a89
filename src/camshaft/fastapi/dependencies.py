# SPDX-License-Identifier: MIT
"""The calls of a route: its dependencies depth first, as solve_dependencies goes; the endpoint."""

from __future__ import annotations

from typing import Any

from fastapi.dependencies import models, utils

from camshaft.fastapi import schema
from camshaft.fastapi.fields import describe_body, describe_parameters
from camshaft.fastapi.plan import Injected, Kind, Node
from camshaft.fastapi.reasons import NotUnderstood, name_of

_INJECTED = (
    (Injected.HTTP_CONNECTION, "http_connection_param_name"),
    (Injected.REQUEST, "request_param_name"),
    (Injected.BACKGROUND_TASKS, "background_tasks_param_name"),
    (Injected.RESPONSE, "response_param_name"),
    (Injected.SECURITY_SCOPES, "security_scopes_param_name"),
)


def describe_nodes(
    dependant: Any, *, is_coroutine: bool, is_body_form: bool, embed_body_fields: bool
) -> tuple[Node, ...]:
    """Return the calls of the route whose endpoint's Dependant this is. Raises NotUnderstood."""
    tree = _Tree(is_body_form, embed_body_fields)
    kind = Kind.COROUTINE if is_coroutine else Kind.THREAD
    if models._is_async_gen_callable(dependant.call) or models._is_gen_callable(dependant.call):
        raise NotUnderstood("the endpoint is a generator: its response is a stream")
    tree.add(dependant, kind, tree.new_slot())
    return tuple(tree.nodes)


class _Tree:
    """The nodes found so far, and the slots of their results."""

    def __init__(self, is_body_form: bool, embed_body_fields: bool) -> None:
        self.nodes: list[Node] = []
        self._is_body_form = is_body_form
        self._embed_body_fields = embed_body_fields
        self._slots: dict[Any, int] = {}
        self._uses_scopes: dict[int, Any] = {}
        self._slot_count = 0

    def new_slot(self) -> int:
        self._slot_count += 1
        return self._slot_count - 1

    def add(self, dependant: Any, kind: Kind, slot: int) -> int:
        """Add a call after those it depends on, and return its index."""
        schema.check_fields(dependant, schema.DEPENDANT)
        if getattr(dependant, "concurrency", None) is not None:
            raise NotUnderstood(
                f"the dependency {name_of(dependant.call)} has a max_concurrency",
                "limit it with a semaphore of your own inside the dependency",
            )
        # A dependency that is in the cache is solved again as far as its own dependencies and
        # parameters go, so it is in the plan as often as it is named.
        children = tuple(self._add_dependency(child) for child in dependant.dependencies)
        fields = dependant.body_params
        form = self._is_body_form
        self.nodes.append(
            Node(
                call=dependant.call,
                kind=kind,
                name=dependant.name,
                children=children,
                parameters=describe_parameters(dependant),
                body=() if form else describe_body(dependant),
                body_is_field=len(fields) == 1
                and not self._embed_body_fields
                and not utils._should_embed_body_fields(fields),
                form=tuple(field.name for field in fields) if form else (),
                injected=tuple(
                    (injected, name)
                    for injected, attribute in _INJECTED
                    if (name := getattr(dependant, attribute))
                ),
                security_scopes=tuple(models._get_oauth_scopes(dependant=dependant)),
                slot=slot,
                use_cache=dependant.use_cache,
                function_scope=dependant.scope == "function",
                dependant=dependant,
            )
        )
        return len(self.nodes) - 1

    def _add_dependency(self, dependant: Any) -> int:
        call = dependant.call
        if call is None:
            raise NotUnderstood("a dependency has nothing to call")
        if models._is_async_gen_callable(call):
            kind = Kind.ASYNC_GENERATOR
        elif models._is_gen_callable(call):
            kind = Kind.GENERATOR
        elif models._is_coroutine_callable(call):
            kind = Kind.COROUTINE
        else:
            kind = Kind.THREAD
        key = models._get_cache_key(dependant=dependant, uses_scopes_cache=self._uses_scopes)
        try:
            slot = self._slots.get(key)
        except TypeError:
            raise NotUnderstood(f"the dependency {name_of(call)} cannot be hashed") from None
        if slot is None:
            slot = self._slots[key] = self.new_slot()
        return self.add(dependant, kind, slot)
