# SPDX-License-Identifier: MIT
"""What clients send and receive."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# PostgreSQL's text cannot hold NUL, and its integer ends here: say so before asking it.
WITHOUT_NUL = r"^[^\x00]*$"
MAX_INTEGER = 2**31 - 1

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=WITHOUT_NUL),
]
Category = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=WITHOUT_NUL)]
Person = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=WITHOUT_NUL),
]


class GameIn(BaseModel):
    """A game as a client writes it."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    category: Category
    year: Annotated[int, Field(ge=-3500, le=2100)]
    min_players: Annotated[int, Field(ge=1, le=100)]
    max_players: Annotated[int, Field(ge=1, le=100)]
    minutes: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def players_in_order(self) -> Self:
        """Refuse a game that needs more players than it takes."""
        if self.min_players > self.max_players:
            raise ValueError("min_players must not exceed max_players")
        return self


class GameOut(BaseModel):
    """A game as a client reads it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    category: str
    year: int
    min_players: int
    max_players: int
    minutes: int
    rating_count: int
    rating: float | None


class GamePage(BaseModel):
    """One page of the list. `next` is the cursor of the page after it, None on the last."""

    items: list[GameOut]
    next: str | None


class RatingIn(BaseModel):
    """A score somebody gives."""

    model_config = ConfigDict(extra="forbid")

    person: Person
    score: Annotated[int, Field(ge=1, le=10)]


class ImportResult(BaseModel):
    """How many games of a bulk import were new."""

    created: int
    skipped: int


class PoolNumbers(BaseModel):
    """The connection pool, in connections."""

    size: int
    max_overflow: int
    checked_in: int
    checked_out: int
    overflow: int


class Health(BaseModel):
    """The answer of `/health`."""

    status: Literal["ok"]
    database: str
    loop: str
    pool: PoolNumbers


class Job(BaseModel):
    """A background job and how far it has come."""

    id: int
    status: Literal["scheduled", "running", "done", "failed"]
    games: int | None = None
