# SPDX-License-Identifier: MIT
"""Why something of an application is left to FastAPI, in words for its author."""

from __future__ import annotations


class NotUnderstood(Exception):
    """A plan cannot be made of this; what is being described is served by FastAPI itself.

    `reason` says why and `advice` what to change to have it natively; either is a clause without
    a full stop, and `advice` is empty where there is nothing to be done about it.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


def name_of(thing: object) -> str:
    """Return what a callable or class is called: module.qualname, or its type's."""
    qualname = getattr(thing, "__qualname__", None)
    if not isinstance(qualname, str):
        thing = type(thing)
        qualname = thing.__qualname__
    module = getattr(thing, "__module__", None)
    return qualname if module in (None, "builtins") else f"{module}.{qualname}"
