# SPDX-License-Identifier: MIT
"""A session of SQLAlchemy's for each request, by a dependency with `yield`, on SQLite."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

sessions = async_sessionmaker(expire_on_commit=False)


class Base(DeclarativeBase):
    """What the tables have in common."""


class Game(Base):
    """The one table."""

    __tablename__ = "games"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    year: Mapped[int]


class GameOut(BaseModel):
    """What is returned of a row."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    year: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as directory:
        engine = create_async_engine(f"sqlite+aiosqlite:///{Path(directory) / 'games.db'}")
        sessions.configure(bind=engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with sessions.begin() as session:
            session.add_all(Game(id=i, name=f"Game {i}", year=1990 + i) for i in range(1, 51))
        yield
        await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def opened() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


@app.get("/games/{game_id}", response_model=GameOut)
async def game(game_id: int, session: Annotated[AsyncSession, Depends(opened)]) -> Game:
    found = await session.get(Game, game_id)
    if found is None:
        raise HTTPException(404)
    return found
