# SPDX-License-Identifier: MIT
"""What all tests share."""

from typing import Any

import pytest

from tests import interrupts

interrupts.restore()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What goes to one of several processes (pytest -n) together.

    A file's tests do, in their order. The example's all do, which share a database server; those of
    tests/asgi go one by one, as they share nothing and wait the longest.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/example/"):
                return "tests/example"
            if nodeid.startswith("tests/asgi/"):
                return nodeid
            return nodeid.split("::", 1)[0]

    return Scheduling(config, log)
