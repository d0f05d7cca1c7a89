# SPDX-License-Identifier: MIT
"""--database-budget: how many connections the pools of this process may open, all workers together.

Every worker has pools of its own, so a pool's size is multiplied by the workers, and the database
refuses what is beyond its limit in the middle of a request. Pools are found when the application
has started: SQLAlchemy's, asyncpg's and psycopg's, whichever of them are imported.
"""

import gc
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Pools:
    """How many pools a process has, and the most connections that they may open."""

    count: int
    connections: float


def _of_sqlalchemy(pool: Any) -> float:
    # A file's connections are nobody's budget.
    if getattr(getattr(pool, "_dialect", None), "name", None) == "sqlite":
        return 0
    overflow = getattr(pool, "_max_overflow", 0)
    return math.inf if overflow < 0 else pool.size() + overflow


def _of_asyncpg(pool: Any) -> float:
    return float(pool.get_max_size())


def _of_psycopg(pool: Any) -> float:
    return float(pool.max_size)


_KINDS: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
    ("sqlalchemy.pool", "QueuePool", _of_sqlalchemy),
    ("asyncpg.pool", "Pool", _of_asyncpg),
    ("psycopg_pool.base", "BasePool", _of_psycopg),
)


def pools() -> Pools:
    """Return what pools there are in this process; it looks at every object, once."""
    kinds = [
        (getattr(sys.modules[module], name), connections)
        for module, name, connections in _KINDS
        if hasattr(sys.modules.get(module), name)
    ]
    found: list[float] = []
    if kinds:
        for thing in gc.get_objects():
            for kind, connections in kinds:
                # Not isinstance(), which asks the object: some proxies raise.
                if issubclass(type(thing), kind):
                    try:
                        found.append(connections(thing))
                    except Exception:
                        # It is not made completely, or is another release's.
                        logger.debug("A pool does not say its size: %r", type(thing))
    sizes = [size for size in found if size]
    return Pools(len(sizes), sum(sizes))


def exceeded(found: Pools, workers: int, budget: int) -> str | None:
    """Return what is wrong with the pools of so many workers, None if they keep to the budget."""
    if found.connections * workers <= budget:
        return None
    most = "any number of" if math.isinf(found.connections) else f"{found.connections:.0f}"
    each = f"The {found.count} database pools" if found.count > 1 else "The database pool"
    whole = (
        ""
        if workers == 1 or math.isinf(found.connections)
        else (f", {found.connections * workers:.0f} of {workers} workers")
    )
    return (
        f"{each} of a worker may open {most} connections{whole}; --database-budget is {budget}."
        f"{_advice(workers, budget)}"
    )


def _advice(workers: int, budget: int) -> str:
    if budget < workers:
        return " There is less than one for each worker: start fewer of them."
    return f" {budget // workers} for each worker keep to it."
