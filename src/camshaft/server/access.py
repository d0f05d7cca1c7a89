# SPDX-License-Identifier: MIT
"""The access log: one line for each response."""

import logging
from collections.abc import Callable

logger = logging.getLogger("uvicorn.access")

AccessLog = Callable[[str, str, str, str, int], None]


def access_log(*, enabled: bool) -> AccessLog | None:
    """Return what is called with client address, method, path, HTTP version and status.

    None when it is disabled or no handler would show the lines: then nothing is spent on them.
    """
    if not enabled or not logger.hasHandlers():
        return None
    return _log


def _log(client_addr: str, method: str, full_path: str, http_version: str, status: int) -> None:
    logger.info('%s - "%s %s HTTP/%s" %d', client_addr, method, full_path, http_version, status)
