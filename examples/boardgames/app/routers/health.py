# SPDX-License-Identifier: MIT
"""Is the service able to answer, and how busy is its pool?"""

import asyncio

from fastapi import APIRouter
from sqlalchemy import AsyncAdaptedQueuePool, select

from ..database import DatabaseDep
from ..schemas import Health, PoolNumbers

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(database: DatabaseDep) -> Health:
    """Ask the database for a 1, then count the pool's connections."""
    async with database.engine.connect() as connection:
        await connection.execute(select(1))
    pool = database.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    loop = type(asyncio.get_running_loop())
    return Health(
        status="ok",
        database=database.dialect,
        loop=f"{loop.__module__}.{loop.__qualname__}",
        pool=PoolNumbers(
            size=pool.size(),
            max_overflow=database.settings.max_overflow,
            checked_in=pool.checkedin(),
            checked_out=pool.checkedout(),
            overflow=pool.overflow(),
        ),
    )
