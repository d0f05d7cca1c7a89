# SPDX-License-Identifier: MIT
"""One unittest suite on one loop: ``python -m tests.peers.worker LOOP SUITE LIMIT JOBS [ID...]``.

Runs in a staged directory (stage.py). Results go to standard output, one JSON list a line:
["start", id], [outcome, id, details], at last ["end"]. What the tests print stands in the details
of those that fail.
"""

import asyncio
import faulthandler
import importlib
import json
import sys
import unittest
from pathlib import Path

from tests.peers import cpython, isolate, postgresql


def staged_modules(package: str) -> unittest.TestSuite:
    """The tests of a staged package; a module that cannot be imported is a failed test."""
    path = Path(importlib.import_module(package).__path__[0])
    names = sorted(file.stem for file in path.glob("*.py") if not file.stem.startswith("__"))
    return unittest.defaultTestLoader.loadTestsFromNames([f"{package}.{name}" for name in names])


def load(loop: str, name: str) -> list[unittest.TestCase]:
    """The tests of a suite."""
    if name in cpython.names():
        if loop == "asyncio":
            suite = cpython.load(name, asyncio.SelectorEventLoop)
        else:
            import camshaft

            suite = cpython.load(name, camshaft.new_event_loop)
        return list(isolate.flatten(suite))
    tests = isolate.flatten(staged_modules(f"{name}_tests"))
    # uvloop's suite has most tests twice, the other time on asyncio's own loop.
    return [test for test in tests if getattr(test, "implementation", "") != "asyncio"]


def main() -> None:
    loop, name, limit, jobs, *only = sys.argv[1:]
    faulthandler.enable()

    def report(*line: str) -> None:
        print(json.dumps(line), flush=True)

    if name == "asyncpg":
        postgresql.leave_root()
        postgresql.start()
    tests = load(loop, name)
    if only:
        tests = [test for test in tests if test.id() in only]
    isolate.run(tests, report, float(limit), int(jobs))
    report("end")


if __name__ == "__main__":
    main()
