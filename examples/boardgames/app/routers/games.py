# SPDX-License-Identifier: MIT
"""The games themselves: list, create, read, update, delete, rate, import, export."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Body, HTTPException, Path, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from sqlalchemy import delete, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from ..database import Database, DatabaseDep, SessionDep
from ..models import Game, Rating
from ..schemas import (
    MAX_INTEGER,
    WITHOUT_NUL,
    Category,
    GameIn,
    GameOut,
    GamePage,
    ImportResult,
    RatingIn,
)

router = APIRouter(prefix="/api/v1/games", tags=["games"])

GameId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Year = Annotated[int | None, Query(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Sort = Literal["id", "name", "year"]
EXPORT_ROWS = 100


def not_found(game_id: int) -> HTTPException:
    """The 404 for a game that is not there."""
    return HTTPException(status.HTTP_404_NOT_FOUND, f"there is no game {game_id}")


def name_taken() -> HTTPException:
    """The 409 for a second game of the same name."""
    return HTTPException(status.HTTP_409_CONFLICT, "there is already a game of that name")


def is_integer(value: object) -> bool:
    """Whether the database's integer type can hold the value."""
    return type(value) is int and abs(value) <= MAX_INTEGER


def is_text(value: object) -> bool:
    """Whether the database's text type can hold the value."""
    return type(value) is str and "\0" not in value


def encode_cursor(sort: Sort, game: Game) -> str:
    """Where the page after this row starts, in a form that fits a query string."""
    key = json.dumps([sort, getattr(game, sort), game.id])
    return base64.urlsafe_b64encode(key.encode()).decode()


def decode_cursor(sort: Sort, cursor: str) -> tuple[str | int, int]:
    """The sort value and id a cursor stands for. Raises a 422 for anything else."""
    try:
        made_for, value, game_id = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError):  # not base64, not JSON, not three of anything
        made_for = value = game_id = None
    good = made_for == sort and is_integer(game_id)
    if not good or not (is_text(value) if sort == "name" else is_integer(value)):
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT,
            "after must be the `next` of a page in the same order",
        )
    return value, game_id


@router.get("")
async def list_games(
    session: SessionDep,
    q: Annotated[str | None, Query(max_length=200, pattern=WITHOUT_NUL)] = None,
    category: Category | None = None,
    players: Annotated[int | None, Query(ge=1, le=100)] = None,
    year_from: Year = None,
    year_to: Year = None,
    sort: Sort = "id",
    after: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> GamePage:
    """One page of games: those with `q` in the name, of a category, for that many `players`.

    Keyset paging: a page starts after a row, so it costs the same at any depth, and neither
    repeats nor misses a row that was there all along.
    """
    column = getattr(Game, sort)
    query = select(Game).order_by(column, Game.id).limit(limit + 1)
    if q is not None:
        query = query.where(Game.name.icontains(q, autoescape=True))
    if category is not None:
        query = query.where(Game.category == category)
    if players is not None:
        query = query.where(Game.min_players <= players, Game.max_players >= players)
    if year_from is not None:
        query = query.where(Game.year >= year_from)
    if year_to is not None:
        query = query.where(Game.year <= year_to)
    if after is not None:
        query = query.where(tuple_(column, Game.id) > decode_cursor(sort, after))
    games = (await session.scalars(query)).all()
    # One row more than asked tells whether there is a next page.
    more = len(games) > limit
    return GamePage(
        items=[GameOut.model_validate(game) for game in games[:limit]],
        next=encode_cursor(sort, games[limit - 1]) if more else None,
    )


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_game(
    body: GameIn, session: SessionDep, request: Request, response: Response
) -> GameOut:
    """Add a game; 409 if the name is taken."""
    game = Game(**body.model_dump())
    session.add(game)
    try:
        await session.commit()
    except IntegrityError:
        raise name_taken() from None
    response.headers["location"] = str(request.url_for("read_game", game_id=str(game.id)))
    return GameOut.model_validate(game)


@router.post("/import")
async def import_games(
    games: Annotated[list[GameIn], Body(min_length=1, max_length=5000)],
    session: SessionDep,
    database: DatabaseDep,
    on_conflict: Literal["fail", "skip"] = "fail",
) -> ImportResult:
    """Add many games in one transaction: all of them or none, unless told to skip known names."""
    rows = [game.model_dump() for game in games]
    if on_conflict == "fail":
        try:
            await session.execute(insert(Game), rows)
            await session.commit()
        except IntegrityError:
            raise name_taken() from None
        return ImportResult(created=len(rows), skipped=0)
    own_insert = postgresql_insert if database.dialect == "postgresql" else sqlite_insert
    new = own_insert(Game).on_conflict_do_nothing(index_elements=[Game.name]).returning(Game.id)
    created = len((await session.scalars(new, rows)).all())
    await session.commit()
    return ImportResult(created=created, skipped=len(rows) - created)


async def export_lines(database: Database) -> AsyncIterator[str]:
    """Every game as JSON, one to a line, read from the database as the client reads them."""
    # A session of its own: that of a dependency is closed before the first line is written.
    async with database.session() as session:
        query = select(Game).order_by(Game.id).execution_options(yield_per=EXPORT_ROWS)
        result = await session.stream_scalars(query)
        async for games in result.partitions():
            yield "".join(GameOut.model_validate(game).model_dump_json() + "\n" for game in games)


@router.get("/export")
async def export_games(database: DatabaseDep) -> StreamingResponse:
    """Stream all games as newline-delimited JSON."""
    return StreamingResponse(export_lines(database), media_type="application/x-ndjson")


@router.get("/{game_id}")
async def read_game(game_id: GameId, session: SessionDep) -> GameOut:
    """One game by its primary key."""
    game = await session.get(Game, game_id)
    if game is None:
        raise not_found(game_id)
    return GameOut.model_validate(game)


@router.put("/{game_id}")
async def update_game(game_id: GameId, body: GameIn, session: SessionDep) -> GameOut:
    """Replace what describes a game; its ratings stay."""
    change = update(Game).where(Game.id == game_id).values(**body.model_dump()).returning(Game)
    try:
        game = await session.scalar(change)
        await session.commit()
    except IntegrityError:
        raise name_taken() from None
    if game is None:
        raise not_found(game_id)
    return GameOut.model_validate(game)


@router.delete("/{game_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_game(game_id: GameId, session: SessionDep) -> None:
    """Remove a game and, through the foreign key, its ratings."""
    gone = await session.scalar(delete(Game).where(Game.id == game_id).returning(Game.id))
    if gone is None:
        raise not_found(game_id)
    await session.commit()


@router.post("/{game_id}/ratings", status_code=status.HTTP_201_CREATED)
async def rate_game(game_id: GameId, body: RatingIn, session: SessionDep) -> GameOut:
    """Record a score and the new totals in one transaction; 409 for a person's second score.

    The write to the game comes first: it locks the row (in SQLite the file) before anything is
    read, so two raters queue instead of meeting in a deadlock.
    """
    change = (
        update(Game)
        .where(Game.id == game_id)
        .values(rating_count=Game.rating_count + 1, rating_sum=Game.rating_sum + body.score)
        .returning(Game)
    )
    try:
        async with session.begin():
            game = await session.scalar(change)
            if game is None:
                raise not_found(game_id)
            session.add(Rating(game_id=game_id, person=body.person, score=body.score))
    except IntegrityError:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"{body.person} has already rated game {game_id}"
        ) from None
    return GameOut.model_validate(game)
