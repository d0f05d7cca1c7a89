# SPDX-License-Identifier: MIT
"""How far plans may stand in for the FastAPI that is installed, by what is known of its sources."""

from __future__ import annotations

import dataclasses
import logging

from camshaft.fastapi import releases
from camshaft.fastapi.reasons import NotUnderstood

logger = logging.getLogger("uvicorn.error")


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """What plans may do."""

    # Why there may be no plan at all.
    refusal: NotUnderstood | None = None
    # Why a route with generators as dependencies may have none.
    generators: NotUnderstood | None = None
    # Requests may be answered before the middleware stack.
    whole: bool = True
    # Starlette's middleware for users may be stood in for.
    middleware: bool = True


_AROUND = ("entry", "middleware")
"""Stages that a plan can do without: requests then come through them."""


def decide(*, strict: bool) -> Trust:
    """Judge the FastAPI in this process.

    What somebody has replaced in it is not stood in for. Sources that are not known are accepted
    where they answer as known ones do (camshaft.fastapi.corpus), unless `strict`; where that
    does not say enough (releases.ALONE) they are not.
    """
    verdict = releases.judge()
    replaced = {stage: items for stage, items in verdict.patched.items() if stage not in _AROUND}
    for replacements in replaced.values():
        item, by = replacements[0]
        return Trust(
            NotUnderstood(
                f"{item.replace(':', '.')} has been replaced by {by}",
                "do without what replaces it, or have it in a middleware",
            )
        )
    odd = verdict.unknown.keys() | verdict.patched.keys()
    whole, middleware = "entry" not in odd, "middleware" not in odd
    strange = {stage: items for stage, items in verdict.unknown.items() if stage not in _AROUND}
    generators = None
    if "yield" in strange:
        generators = _unknown(verdict, strange.pop("yield"))
    if "handler" in strange:
        return Trust(_unknown(verdict, strange["handler"]))
    if strange:
        items = next(iter(strange.values()))
        if strict:
            return Trust(_unknown(verdict, items, "do without strict, or upgrade camshaft"))
        from camshaft.fastapi import corpus

        difference = corpus.first_difference(generators=generators is None)
        if difference is not None:
            return Trust(
                NotUnderstood(
                    f"{verdict.versions} answers otherwise than this camshaft knows: {difference}",
                    "upgrade camshaft",
                )
            )
        logger.info(
            "%s has sources that this camshaft does not know (%s); they answer as known ones do.",
            verdict.versions,
            ", ".join(sorted(strange)),
        )
    return Trust(None, generators, whole, middleware)


def _unknown(
    verdict: releases.Verdict, items: tuple[str, ...], advice: str = "upgrade camshaft"
) -> NotUnderstood:
    item = items[0].replace(":", ".")
    return NotUnderstood(f"{item} of {verdict.versions} is not known to this camshaft", advice)
