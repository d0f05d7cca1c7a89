# SPDX-License-Identifier: MIT
"""A pytest plugin that runs all tests in one process and writes outcomes as isolate_pytest.py does.

For suites of thousands of short tests, each of which is over within pytest-timeout's limit.
PEERS_DONE names a file of test ids, one a line, that are left out: those that had run when the
process before this one died. PEERS_SHARE ("1/2") has only some of the files run.
"""

import os
import zlib

import pytest
from _pytest.runner import runtestprotocol
from camshaft_isolate import _outcome, _write, pytest_collectreport, pytest_sessionfinish

__all__ = ["pytest_collectreport", "pytest_sessionfinish"]


def _done() -> set[str]:
    with open(os.environ["PEERS_DONE"]) as lines:
        return set(lines.read().splitlines())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep this process's share of the tests."""
    done = _done()
    share, _, shares = os.environ.get("PEERS_SHARE", "1/1").partition("/")
    items[:] = [
        item
        for item in items
        if item.nodeid not in done
        and zlib.crc32(item.nodeid.partition("::")[0].encode()) % int(shares) == int(share) - 1
    ]


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run one test here and write its outcome; pytest itself is told nothing."""
    _write("start", item.nodeid)
    lines = []
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        text = report.longreprtext or "".join(text for _, text in report.sections)
        lines.append([report.when, report.outcome, hasattr(report, "wasxfail"), text[-3000:]])
    outcome, details = _outcome(lines)
    _write(outcome, item.nodeid, details)
    return True
