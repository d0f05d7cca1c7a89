# SPDX-License-Identifier: MIT
"""The application object. Run it with `camshaft app.main:app`."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .database import Database, Settings, init_db
from .routers import background, concurrency, games, health, tasks, threads

logger = logging.getLogger("boardgames")


def configure_logging() -> None:
    """Write this application's own lines to standard error, whatever the server logs."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(name)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def type_name(value: object) -> str:
    """The full name of an object's type."""
    cls = type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make what needs a running loop, and take it down again in reverse order."""
    loop = asyncio.get_running_loop()
    logger.info("event loop: %s, running: %s", type_name(loop), loop.is_running())
    database = Database(Settings.from_env())
    logger.info("database: %s", database.settings.url.render_as_string(hide_password=True))
    try:
        count = await init_db(database)
        logger.info("%d games", count)
        with ThreadPoolExecutor(max_workers=10, thread_name_prefix="own-pool") as executor:
            app.state.loop = loop  # for `def` endpoints: their threads have no running loop
            app.state.database = database
            app.state.executor = executor
            yield
    finally:
        await database.close()
        logger.info("database closed")


def create_app() -> FastAPI:
    """Build the application; also a target for `camshaft --factory app.main:create_app`."""
    configure_logging()
    app = FastAPI(title="Board games", version="1.0", lifespan=lifespan)
    for router in (games, health, concurrency, tasks, threads, background):
        app.include_router(router.router)
    return app


app = create_app()
