# SPDX-License-Identifier: MIT
"""unittest's tests, each in a forked process of its own with a limit in seconds.

Forked rather than started, so that a module with 900 tests is imported once. What a test leaves
behind (threads, children, a loop that hangs) ends with its process.
"""

import json
import os
import selectors
import signal
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from tests import interrupts

Report = Callable[..., None]
"""Called with ("start", id) and (outcome, id, details)."""


class Recorded(unittest.TestResult):
    """Writes each outcome to a pipe at once, so that a hang shows where it is."""

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
        # Within PIPE_BUF, which is written whole.
        self._write(self._outcome[0], test.id(), self._outcome[1][-3000:])

    def addFailure(self, test, error) -> None:
        super().addFailure(test, error)
        self._outcome = ("failed", self._exc_info_to_string(error, test))

    def addError(self, test, error) -> None:
        super().addError(test, error)
        text = self._exc_info_to_string(error, test)
        if not isinstance(test, unittest.TestCase):  # setUpModule or setUpClass
            self._write("fixture", "failed", text[-3000:])
        self._outcome = ("failed", text)

    def addSubTest(self, test, subtest, error) -> None:
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._outcome = ("failed", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason) -> None:
        super().addSkip(test, reason)
        if not isinstance(test, unittest.TestCase):
            self._write("fixture", "skipped", reason)
        if self._outcome[0] != "failed":  # a skipped subtest does not excuse a failed one
            self._outcome = ("skipped", reason)

    def addExpectedFailure(self, test, error) -> None:
        super().addExpectedFailure(test, error)
        self._outcome = ("expected failure", "")

    def addUnexpectedSuccess(self, test) -> None:
        super().addUnexpectedSuccess(test)
        self._outcome = ("failed", "unexpected success")


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite and of the suites in it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


class _Child:
    """A forked process with one test to run; the parent's side."""

    def __init__(self, test: unittest.TestCase, limit: float) -> None:
        self.test = test
        self.lines: list[list[str]] = []
        self.deadline = time.monotonic() + limit
        self.output: IO[bytes] = tempfile.TemporaryFile()
        # Tests make files under names that were chosen before the fork.
        self.place = tempfile.TemporaryDirectory(
            prefix="camshaft-test-", ignore_cleanup_errors=True
        )
        self.pipe, descriptor = os.pipe()
        self._rest = b""
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                os.close(self.pipe)
                self._run(descriptor)
                status = 0
            except SystemExit as exc:
                status = exc.code if isinstance(exc.code, int) else 71
            finally:
                # Threads that the test left behind must not hold the process.
                os._exit(status)
        os.close(descriptor)

    def _run(self, descriptor: int) -> None:
        # A session of its own: its children can be ended with it.
        os.setsid()
        os.chdir(self.place.name)
        os.set_inheritable(descriptor, False)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(self.output.fileno(), 1)
        os.dup2(self.output.fileno(), 2)
        interrupts.restore()
        unittest.TestSuite([self.test]).run(Recorded(descriptor))
        sys.stdout.flush()
        sys.stderr.flush()
        # A child that the test forked and left may hold the pipe open.
        os.write(descriptor, b'["end"]\n')

    def read(self) -> bool:
        """Take in what the child has written; False at its end."""
        data = os.read(self.pipe, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [json.loads(line) for line in lines]
        return bool(data) and ["end"] not in self.lines

    def finish(self, hung: bool, limit: float) -> tuple[str, str]:
        """(outcome, details) of the test; the child and what it left are ended."""
        if hung:
            os.kill(self.pid, signal.SIGKILL)
        # Left unreaped until its group is ended, so that the number stays its own.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pipe)
        self.place.cleanup()
        with self.output as output:
            output.seek(0)
            text = output.read()[-3000:].decode(errors="replace")
        for what, *rest in self.lines:
            if what == "fixture":
                return rest[0], rest[1]
            if what not in ("start", "end"):
                return what, f"{rest[1]}\n{text}" if what == "failed" else rest[1]
        code = os.waitstatus_to_exitcode(status)
        reason = f"not done after {limit:.0f} s" if hung else f"the process ended with {code}"
        return "failed", f"{reason}\n{text}"


def run(tests: Sequence[unittest.TestCase], report: Report, limit: float, jobs: int) -> None:
    """Run the tests, `jobs` of them at once, each for `limit` seconds at most."""
    waiting = list(reversed(tests))
    running: set[_Child] = set()
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < jobs:
                child = _Child(waiting.pop(), limit)
                running.add(child)
                selector.register(child.pipe, selectors.EVENT_READ, child)
                report("start", child.test.id())
            nearest = min(child.deadline for child in running)
            ended = []
            for key, _ in selector.select(max(0.0, nearest - time.monotonic())):
                if not key.data.read():
                    ended.append((key.data, False))
            now = time.monotonic()
            done = {child for child, _ in ended}
            ended += [(c, True) for c in running if c not in done and c.deadline <= now]
            for child, hung in ended:
                selector.unregister(child.pipe)
                running.discard(child)
                outcome, details = child.finish(hung, limit)
                report(outcome, child.test.id(), details)
