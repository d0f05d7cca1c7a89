# SPDX-License-Identifier: MIT
"""Clients that leave while their request holds a database session (tests/stress/sessions.py)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boardgames_server import Databases

from tests.stress import sessions


@pytest.fixture
def database(postgresql: Any, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database on PostgreSQL."""
    yield Databases("postgresql", tmp_path, postgresql).new()


@pytest.mark.parametrize("mode", sessions.MODES)
def test_every_session_is_given_back(database: str, mode: str) -> None:
    outcome = sessions.every_wait(database, mode)
    assert not outcome.broken, str(outcome)
    assert outcome.left > 100, str(outcome)
    assert (outcome.native > 100) == (mode != "off"), str(outcome)


def test_a_session_that_is_left_open_is_seen(database: str) -> None:
    outcome = sessions.every_wait(database, "native", leaks=True)
    assert [line.partition(": ")[2] for line in outcome.broken] == [
        "1 connections are checked out",
        "1 backends idle in a transaction",
    ]
