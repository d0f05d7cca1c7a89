# SPDX-License-Identifier: MIT
"""Random applications and requests, by fuzz.fastapi: the plans answer as FastAPI does."""

import logging
from collections.abc import Iterator

import pytest

from fuzz.fastapi.compare import WAYS, faulty, run
from fuzz.fastapi.drive import Fault


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
    assert run(1, 500, {"faulty": faulty(fault)}, most=1, small=False).differences


def test_a_difference_is_made_small() -> None:
    outcome = run(1, 500, {"faulty": faulty("task")}, most=1)
    shown = str(outcome.differences[0])
    assert shown.count("\nrouter") <= 2
    assert "another" in shown
