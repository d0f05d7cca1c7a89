# SPDX-License-Identifier: MIT
"""One suite on one loop, in a process of its own: ``python -m tests.peers.worker LOOP SUITE [ID]``.

Results go to standard output, one JSON list a line: ["start", id], then [outcome, id, details].
What the tests print goes to standard error.
"""

import asyncio
import faulthandler
import json
import os
import sys
import unittest

from tests.peers import suites


class Recorded(unittest.TestResult):
    """Writes each outcome at once, so that a hang shows where it is."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._outcome: tuple[str, str] = ("passed", "")

    def _write(self, *line: str) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome = ("passed", "")
        self._write("start", test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._write(self._outcome[0], test.id(), self._outcome[1])

    def addFailure(self, test, error) -> None:
        super().addFailure(test, error)
        self._outcome = ("failed", self._exc_info_to_string(error, test))

    def addError(self, test, error) -> None:
        super().addError(test, error)
        if not isinstance(test, unittest.TestCase):  # setUpModule or setUpClass
            self._write("failed", test.id(), self._exc_info_to_string(error, test))
        self._outcome = ("failed", self._exc_info_to_string(error, test))

    def addSubTest(self, test, subtest, error) -> None:
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._outcome = ("failed", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason) -> None:
        super().addSkip(test, reason)
        if not isinstance(test, unittest.TestCase):
            self._write("skipped", test.id(), reason)
        self._outcome = ("skipped", reason)

    def addExpectedFailure(self, test, error) -> None:
        super().addExpectedFailure(test, error)
        self._outcome = ("expected failure", "")

    def addUnexpectedSuccess(self, test) -> None:
        super().addUnexpectedSuccess(test)
        self._outcome = ("failed", "unexpected success")


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def main() -> None:
    loop, name, *only = sys.argv[1:]
    faulthandler.enable()
    # Kept aside from what tests print, and closed in the children that tests start.
    descriptor = os.dup(1)
    os.dup2(2, 1)
    if loop == "asyncio":
        new_loop = asyncio.SelectorEventLoop
    else:
        import camshaft

        new_loop = camshaft.new_event_loop
    tests = suites.load(name, new_loop)
    if only:
        tests = unittest.TestSuite(test for test in flatten(tests) if test.id() in only)
    # Buffered output would be lost with a process that is killed.
    tests.run(Recorded(descriptor))
    os.write(descriptor, b'["end"]\n')
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that a test left behind, on either loop, must not hold the process.
    os._exit(0)


if __name__ == "__main__":
    main()
