# SPDX-License-Identifier: MIT
"""The tables: games, and the ratings people give them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The metadata of every table here."""


class Game(Base):
    """One board game. Its rating totals are kept beside it, so a page of games is one query."""

    __tablename__ = "games"
    __table_args__ = (CheckConstraint("min_players <= max_players", name="players_in_order"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    category: Mapped[str] = mapped_column(String(50), index=True)
    year: Mapped[int] = mapped_column(index=True)
    min_players: Mapped[int]
    max_players: Mapped[int]
    minutes: Mapped[int]
    rating_count: Mapped[int] = mapped_column(default=0, server_default="0")
    rating_sum: Mapped[int] = mapped_column(default=0, server_default="0")

    @property
    def rating(self) -> float | None:
        """The mean score from 1 to 10, or None while nobody has rated the game."""
        return round(self.rating_sum / self.rating_count, 2) if self.rating_count else None


class Rating(Base):
    """One person's score for one game; a second one from the same person is a conflict."""

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("game_id", "person", name="one_rating_per_person"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), index=True)
    person: Mapped[str] = mapped_column(String(100))
    score: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
