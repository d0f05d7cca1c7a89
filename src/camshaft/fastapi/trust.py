# SPDX-License-Identifier: MIT
"""How far plans may stand in for the FastAPI that is installed, by what is known of its sources."""

from __future__ import annotations

import dataclasses

from camshaft.fastapi import releases
from camshaft.fastapi.reasons import NotUnderstood


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """What plans may do."""

    # Why there may be no plan at all.
    refusal: NotUnderstood | None = None
    # Why a route with generators as dependencies may have none.
    generators: NotUnderstood | None = None
    # Requests may be answered before the middleware stack.
    whole: bool = True


def decide() -> Trust:
    """Judge the FastAPI in this process.

    What somebody has replaced in it is not stood in for, nor are sources that are not known.
    """
    verdict = releases.judge()
    replaced = {stage: items for stage, items in verdict.patched.items() if stage != "entry"}
    for replacements in replaced.values():
        item, by = replacements[0]
        return Trust(
            NotUnderstood(
                f"{item.replace(':', '.')} has been replaced by {by}",
                "do without what replaces it, or have it in a middleware",
            )
        )
    whole = not {"entry"} & (verdict.unknown.keys() | verdict.patched.keys())
    strange = dict(verdict.unknown)
    strange.pop("entry", None)
    generators = None
    if "yield" in strange:
        generators = _unknown(verdict, strange.pop("yield"))
    if "handler" in strange:
        return Trust(_unknown(verdict, strange["handler"]))
    for items in strange.values():
        return Trust(_unknown(verdict, items))
    return Trust(None, generators, whole)


def _unknown(verdict: releases.Verdict, items: tuple[str, ...]) -> NotUnderstood:
    item = items[0].replace(":", ".")
    return NotUnderstood(
        f"{item} of {verdict.versions} is not known to this camshaft", "upgrade camshaft"
    )
