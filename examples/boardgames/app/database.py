# SPDX-License-Identifier: MIT
"""The database: settings from the environment, engine and pool, one session per request.

SQLite through aiosqlite is the embedded default; a PostgreSQL URL switches to asyncpg.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import Depends, Request
from sqlalchemy import URL, event, func, insert, make_url, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from .models import Base, Game
from .seed import GAMES

# Any constant will do, as long as every process of this application uses the same one.
SCHEMA_LOCK = 0x626F617264

SQLITE_WAIT = 30  # seconds for somebody else's write to end

# Schemes that people and hosting platforms write, and the asyncio driver each one means here.
DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


@dataclass(frozen=True)
class Settings:
    """What the environment says about the database. Times are seconds."""

    url: URL
    pool_size: int
    max_overflow: int
    pool_timeout: float
    pool_recycle: int
    pool_pre_ping: bool

    @classmethod
    def from_env(cls) -> Self:
        """Read `DATABASE_URL` and `DB_*`.

        Raises ValueError for a number that is not one and sqlalchemy.exc.ArgumentError for a
        URL that cannot be parsed.
        """
        env = os.environ
        url = make_url(env.get("DATABASE_URL") or "sqlite+aiosqlite:///./games.db")
        return cls(
            url=url.set(drivername=DRIVERS.get(url.drivername, url.drivername)),
            pool_size=int(env.get("DB_POOL_SIZE", "5")),
            max_overflow=int(env.get("DB_MAX_OVERFLOW", "10")),
            pool_timeout=float(env.get("DB_POOL_TIMEOUT", "30")),
            pool_recycle=int(env.get("DB_POOL_RECYCLE", "1800")),
            pool_pre_ping=env.get("DB_POOL_PRE_PING", "1").lower() in {"1", "true", "yes", "on"},
        )


class Database:
    """The engine with its pool, and sessions on it. Belongs to the loop that made it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine: AsyncEngine = create_async_engine(
            settings.url,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=settings.pool_recycle,
            pool_pre_ping=settings.pool_pre_ping,
        )
        if self.dialect == "sqlite":
            event.listen(self.engine.sync_engine, "connect", configure_sqlite)
        # Objects stay readable after the commit, when the session is gone and the response is
        # being written.
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    async def close(self) -> None:
        """Close every pooled connection. Those of aiosqlite are threads that block the exit."""
        await self.engine.dispose()


def configure_sqlite(connection: Any, record: object) -> None:
    """Prepare a new SQLite connection: writers wait for one another, foreign keys count."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_WAIT * 1000}")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


async def use_wal(engine: AsyncEngine) -> None:
    """Put the SQLite file into WAL mode, where readers go on beside the one writer.

    The mode stays with the file. SQLite does not wait for the busy timeout here when somebody
    else is switching too, for then both would: whoever is refused tries again.
    """
    async with engine.connect() as connection, asyncio.timeout(SQLITE_WAIT):
        while True:
            try:
                await connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return
            except OperationalError as exc:
                if getattr(exc.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                    raise
            await asyncio.sleep(0.01)


async def lock_schema(connection: AsyncConnection) -> None:
    """Let one process at a time past this point until it commits.

    `create_all` asks whether a table exists and then creates it: two workers starting together
    would both get "no".
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    else:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")


async def init_db(database: Database) -> int:
    """Create missing tables, fill an empty one, and return how many games there are."""
    if database.dialect == "sqlite":
        await use_wal(database.engine)
    async with database.engine.begin() as connection:
        await lock_schema(connection)
        await connection.run_sync(Base.metadata.create_all)
        count = await connection.scalar(select(func.count()).select_from(Game))
        if not count:
            await connection.execute(insert(Game), GAMES)
            count = len(GAMES)
    return count


def get_database(request: Request) -> Database:
    """The application's database, made in its lifespan."""
    database: Database = request.app.state.database
    return database


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one request; what the endpoint did not commit is rolled back."""
    async with get_database(request).session() as session:
        yield session


DatabaseDep = Annotated[Database, Depends(get_database)]
# Scope "function": the connection goes back to the pool before the response is written, so a
# slow reader or a background task cannot hold it.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
