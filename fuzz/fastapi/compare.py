# SPDX-License-Identifier: MIT
"""Programs run twice, and what is different; made small before it is shown."""

import asyncio
import contextlib
import dataclasses
import functools
import random
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from camshaft.fastapi.mount import install
from fuzz.fastapi import apps
from fuzz.fastapi.asked import Asked, ask
from fuzz.fastapi.drive import LIMIT, Fault, drive

Way = Callable[[dict[str, Any]], tuple[Any, Any]]
"""Puts what is compared into a module's application: (who is called, its router or None)."""


def stock(module: dict[str, Any]) -> tuple[Any, Any]:
    """FastAPI as it is."""
    return module["app"], None


def inside(module: dict[str, Any]) -> tuple[Any, Any]:
    """A router inside the middleware."""
    return module["app"], install(module["app"], "asgi")


def whole(module: dict[str, Any]) -> tuple[Any, Any]:
    """As our server calls an application, before its middleware."""
    router = install(module["app"], "native")
    return router.entrance(), router


def faulty(name: str) -> Way:
    """FastAPI with a fault, which has to be seen."""
    return lambda module: (Fault(name, module, module["app"]), None)


WAYS: dict[str, Way] = {"stock": stock, "asgi": inside, "native": whole}


@dataclass
class Difference:
    """Where two applications differ."""

    seed: int
    way: str
    parts: list[str]
    asked: Asked
    wanted: dict[str, Any]
    got: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {self.way}: {self.asked!r}", ""]
        lines += [apps.Program(self.parts).text().removeprefix(apps.PRELUDE), ""]
        for name, wanted in self.wanted.items():
            got = self.got[name]
            if wanted == got:
                continue
            lines.append(f"{name}:")
            if isinstance(wanted, list):
                at = next(
                    (
                        i
                        for i, pair in enumerate(zip(wanted, got, strict=False))
                        if pair[0] != pair[1]
                    ),
                    min(len(wanted), len(got)),
                )
                lines.append(f"  the same up to {at} of {len(wanted)} and {len(got)}")
                wanted, got = wanted[at : at + 4], got[at : at + 4]
            lines += [f"  FastAPI {wanted!r}", f"  ours    {got!r}"]
        return "\n".join(lines)


class Pair:
    """A program's module twice, once left as it is. `parts` are those that FastAPI takes."""

    def __init__(self, parts: list[str], way: Way) -> None:
        self.modules: list[dict[str, Any]] = []
        for _ in range(2):
            module: dict[str, Any] = {"__name__": "program"}
            exec(_code(apps.PRELUDE), module)
            taken = []
            for part in parts:
                with warnings.catch_warnings(), contextlib.suppress(Exception):
                    warnings.simplefilter("ignore")
                    exec(_code(part), module)
                    taken.append(part)
            self.modules.append(module)
            self.parts = taken
        self.left = stock(self.modules[0])[0]
        self.right, self.router = way(self.modules[1])

    async def answers(
        self, asked: Asked, limit: float = LIMIT
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What both did with a request, each within `limit` seconds."""
        return (
            await drive(self.modules[0], self.left, asked, limit),
            await drive(self.modules[1], self.right, asked, limit),
        )


@functools.cache
def _code(text: str) -> types.CodeType:
    return compile(text, "<program>", "exec")


async def differs(parts: list[str], way: Way, asked: Asked) -> tuple[Any, Any] | None:
    """Both outcomes, if they differ in new modules with this one request."""
    try:
        pair = Pair(parts, way)
    except KeyError:  # no app
        return None
    if pair.parts != parts:
        return None
    # A second time, as the first compiles the plans.
    for _ in range(2):
        wanted, got = await pair.answers(asked)
        if wanted != got:
            return wanted, got
    return None


async def shrink(found: Difference, way: Way) -> Difference:
    """The difference with everything taken out that it does not need."""

    async def holds(parts: list[str], asked: Asked) -> bool:
        if (parts, asked) == (found.parts, found.asked) and not first:
            return False
        outcome = await differs(parts, way, asked)
        if outcome is None:
            return False
        found.parts, found.asked = parts, asked
        found.wanted, found.got = outcome
        return True

    first = True
    if not await holds(found.parts, found.asked):
        return found  # it takes what came before
    first = False
    changed = True
    while changed:
        changed = False
        for at in reversed(range(len(found.parts))):
            changed |= await holds(found.parts[:at] + found.parts[at + 1 :], found.asked)
        for asked in simpler(found.asked):
            if await holds(found.parts, asked):
                changed = True
                break  # the others are simpler than one that is not simple any more
    return found


def simpler(asked: Asked) -> Iterator[Asked]:
    """The request with one thing less."""
    for name, plain in (
        *(("cancel", 0), ("fails", 0), ("disconnects", False), ("root_path", ""), ("query", "")),
        ("scheme", "http"),
        ("body", (b"".join(asked.body),)),
    ):
        if getattr(asked, name) != plain:
            yield dataclasses.replace(asked, **{name: plain})
    for at in range(len(asked.headers)):
        yield dataclasses.replace(asked, headers=asked.headers[:at] + asked.headers[at + 1 :])
    queries = asked.query.split("&")
    for at in range(len(queries)):
        yield dataclasses.replace(asked, query="&".join(queries[:at] + queries[at + 1 :]))


@dataclass
class Outcome:
    """What a run came to."""

    compared: int = 0
    programs: int = 0
    differences: list[Difference] = dataclasses.field(default_factory=list)
    statuses: Counter[int] = dataclasses.field(default_factory=Counter)
    native: int = 0
    replayed: int = 0
    fallback: int = 0

    def __str__(self) -> str:
        statuses = ", ".join(f"{n} × {status}" for status, n in sorted(self.statuses.items()))
        return (
            f"{self.compared} comparisons in {self.programs} programs,"
            f" {len(self.differences)} different; {self.native} native, {self.replayed} replayed,"
            f" {self.fallback} fallback\nanswers: {statuses}"
        )


async def _run(
    seed: int,
    cases: int,
    ways: dict[str, Way],
    each: int,
    most: int,
    small: bool,
    limit: float,
    show: Callable[[Difference], object],
) -> Outcome:
    outcome = Outcome()
    names = sorted(ways)
    while outcome.compared < cases and len(outcome.differences) < most:
        number = seed + outcome.programs
        outcome.programs += 1
        program = apps.make(number)
        choice = random.Random(f"requests {number}")
        name = names[number % len(names)]
        pair = Pair(program.parts, ways[name])
        program.routes = [route for route in program.routes if route.part in pair.parts]
        for _ in range(each):
            asked = ask(choice, program)
            wanted, got = await pair.answers(asked, limit)
            outcome.compared += 1
            if wanted["events"] and "status" in wanted["events"][0]:
                outcome.statuses[wanted["events"][0]["status"]] += 1
            if wanted != got:
                found = Difference(number, name, pair.parts, asked, wanted, got)
                outcome.differences.append(await shrink(found, ways[name]) if small else found)
                show(outcome.differences[-1])
                break
        if pair.router is not None:
            outcome.native += pair.router.native_count
            outcome.replayed += pair.router.replayed_count
            outcome.fallback += pair.router.fallback_count
    return outcome


def run(
    seed: int,
    cases: int,
    ways: dict[str, Way],
    *,
    each: int = 12,
    most: int = 20,
    small: bool = True,
    limit: float = LIMIT,
    show: Callable[[Difference], object] = bool,
) -> Outcome:
    """Compare `cases` requests, `each` of a program at most, until `most` differ.

    A request that takes longer than `limit` seconds hangs. `show` is called with each difference
    when it is found.
    """
    return asyncio.run(_run(seed, cases, ways, each, most, small, limit, show))
