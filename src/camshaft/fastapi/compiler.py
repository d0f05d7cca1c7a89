# SPDX-License-Identifier: MIT
"""Makes an application's tables for its router, whatever the application and FastAPI are like."""

from __future__ import annotations

import dataclasses
import logging
import operator
from typing import Any

from camshaft.fastapi.plan import Entry, Layer, Table

logger = logging.getLogger("uvicorn.error")


class Compiler:
    """Makes the tables of one application for its router. Never raises."""

    def __init__(self, app: Any, mode: str) -> None:
        self._app = app
        self._mode = mode
        self._trust: Any = None
        self._ready: Table | None = None

    def __call__(self) -> Table:
        """Return the table as of now."""
        ready, self._ready = self._ready, None
        if ready is not None and _holds(ready):
            return ready
        return self._describe()

    def look(self) -> Table:
        """Return the table as of now, for the next call to return as well if it still holds."""
        self._ready = self._describe()
        return self._ready

    def _describe(self) -> Table:
        try:
            # Here, as they import FastAPI, and names of it that a release may not have.
            from camshaft.fastapi.describe import describe
            from camshaft.fastapi.trust import decide

            if self._trust is None:
                self._trust = decide(strict=self._mode == "strict")
            table = describe(self._app, trust=self._trust)
        except Exception as error:
            logger.warning("FastAPI answers by itself: it cannot be described.", exc_info=True)
            reason = f"it cannot be described: {type(error).__name__}: {error}"
            barrier = Entry(None, frozenset(), None, {}, None, reason)
            return Table(app=self._app, entries=(barrier,), watched_lists=())
        return dataclasses.replace(table, whole=table.whole and self._mode != "asgi")


def _holds(table: Table) -> bool:
    return all(
        len(items) == len(watched) and all(map(operator.is_, items, watched))
        for watched, items in table.watched_lists
    )


def count_routes(table: Table) -> tuple[int, int]:
    """Return how many path operations have plans, and how many there are."""
    operations = [entry for entry in table.entries if is_operation(entry)]
    return sum(entry.plan is not None for entry in operations), len(operations)


def name_layers(table: Table) -> str:
    """Return the classes of the user's middleware that is stood in for."""
    return ", ".join(f"{_NAMES[kind]}Middleware" for kind, _ in table.layers)


_NAMES = {
    Layer.CORS: "CORS",
    Layer.GZIP: "GZip",
    Layer.TRUSTED_HOST: "TrustedHost",
    Layer.HTTPS_REDIRECT: "HTTPSRedirect",
}


def is_operation(entry: Entry) -> bool:
    """Whether an entry is one of FastAPI's path operations, and not a route of another kind."""
    names = {kind.__name__ for kind in type(entry.route).__mro__}
    return entry.plan is not None or "APIRoute" in names
