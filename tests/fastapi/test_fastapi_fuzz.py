# SPDX-License-Identifier: MIT
"""Random applications and requests, by fuzz.fastapi: the plans answer as FastAPI does."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from fuzz.fastapi.asked import Asked
from fuzz.fastapi.compare import WAYS, differs, faulty, run
from fuzz.fastapi.drive import LIMIT, Fault


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", range(1000, 5000, 1000))
def test_the_plans_answer_as_fastapi_does(seed: int) -> None:
    outcome = run(seed, 500, {name: WAYS[name] for name in ("asgi", "native")}, most=1)
    assert not outcome.differences, f"{outcome.differences[0]}"
    assert outcome.native > 200, outcome  # else nothing was shown


def test_fastapi_answers_as_fastapi_does() -> None:
    outcome = run(1, 200, {"stock": WAYS["stock"]}, most=1)
    assert not outcome.differences, f"{outcome.differences[0]}"


@pytest.mark.parametrize("fault", Fault.NAMES)
def test_a_fault_is_found(fault: str) -> None:
    # "twice" asks for an event too many, which is to wait for ever.
    limit = 3.0 if fault == "twice" else LIMIT
    outcome = run(1, 500, {"faulty": faulty(fault)}, most=1, small=False, limit=limit)
    assert outcome.differences


def test_a_difference_is_made_small() -> None:
    outcome = run(1, 500, {"faulty": faulty("task")}, most=1)
    shown = str(outcome.differences[0])
    assert shown.count("\nrouter") <= 2
    assert "another" in shown


APP = "app = FastAPI()"
ON_500 = """@app.exception_handler(500)
async def on_500(request, exc):
    note("on_500")
    return PlainTextResponse("oops", 500)"""

# What the long job has found: parts of a program, and a request.
FOUND = {
    "the alias of a header that is missing": (
        [
            APP,
            "@app.post('/d')\n"
            "async def d(*, p: Annotated[str, Header(alias='pAlias')], body: Checked):\n"
            "    return 1",
        ],
        Asked("POST", "/d", body=(b"{}",)),
    ),
    **{
        f"the handler for 500 when event {fails} of {kind} cannot be sent": (
            [APP, ON_500, f"@app.get('/e')\n{definition} e():\n    return {value}"],
            Asked("GET", "/e", fails=fails),
        )
        for fails in (1, 2)
        for kind, definition, value in (
            ("a dict", "async def", "{'a': 1}"),
            ("a def's dict", "def", "{1: {2.5}, 'd': datetime.date(2026, 1, 2)}"),
            ("a response", "async def", "HTMLResponse('<p>')"),
            ("a def's response", "def", "HTMLResponse('<p>')"),
        )
    },
}


@pytest.mark.parametrize("way", ["asgi", "native"])
@pytest.mark.parametrize("name", FOUND)
def test_what_was_different_once(name: str, way: str) -> None:
    parts, asked = FOUND[name]
    assert asyncio.run(differs(parts, WAYS[way], asked)) is None
