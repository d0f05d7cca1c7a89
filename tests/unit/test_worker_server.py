# SPDX-License-Identifier: MIT
"""The server of a worker: how long its idle connections stay when it ends."""

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from camshaft.config import Config
from camshaft.master.child import Line, WorkerServer
from camshaft.master.table import OTHERS, Table


@contextmanager
def worker(*, others: bool, **settings: float) -> Iterator[WorkerServer]:
    """A worker that does not run; `others` serve when it ends, or do not."""
    table = Table()
    ours, theirs = socket.socketpair()
    try:
        with ours, socket.socket(fileno=theirs.detach()) as line:
            number = table.take()
            assert number is not None
            table.row(number)[OTHERS] = others
            config = Config("served:app", log_config=None, **settings)  # type: ignore[arg-type]
            yield WorkerServer(config, Line(os.dup(line.fileno())), table, number, 0)
    finally:
        os.close(table.descriptor)


@pytest.mark.parametrize(
    ("limit", "keep_alive", "linger", "others", "expected"),
    [
        (30, 5, 2, False, 2),
        (30, 5, 2, True, 5),
        # Up to what leaves room for the connection of a stream that has been told to end.
        (30, 14, 2, True, 14),
        (30, 75, 2, True, 14),
        (152, 75, 2, True, 75),
        (4, 5, 2, True, 1),
        (1, 5, 2, False, 0.25),
        (math.inf, 75, 2, True, 75),
        (30, 75, 0, True, 0),
    ],
)
def test_how_long_idle_connections_stay(
    limit: float, keep_alive: float, linger: float, others: bool, expected: float
) -> None:
    with worker(
        others=others,
        timeout_graceful_shutdown=limit,
        timeout_keep_alive=keep_alive,
        timeout_linger=linger,
    ) as server:
        assert server._linger == expected
