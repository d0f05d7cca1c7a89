# SPDX-License-Identifier: MIT
"""What the tests of the Python parts share."""

import logging
import os
from collections.abc import Iterator

import pytest

LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The server's loggers as they are before anything configures them, and again after."""
    before = {}
    for name in LOGGERS:
        logger = logging.getLogger(name)
        before[name] = (logger.handlers, logger.level, logger.propagate, logger.disabled)
        logger.handlers, logger.propagate, logger.disabled = [], True, False
        logger.setLevel(logging.NOTSET)
    yield
    for name, (handlers, level, propagate, disabled) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from outside."""
    for name in list(os.environ):
        if name.startswith(("CAMSHAFT_", "UVICORN_")) or name in (
            "WEB_CONCURRENCY",
            "FORWARDED_ALLOW_IPS",
        ):
            monkeypatch.delenv(name)
