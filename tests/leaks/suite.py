# SPDX-License-Identifier: MIT
"""Every test of tests/loop, repeated in blocks: ``python -m tests.leaks.suite [OPTIONS] [ARGS]…``.

On a debug interpreter, which counts references: growth in the least of the blocks is a leak, as in
CPython's ``regrtest -R``. Each test runs 100 times after a warm-up, with --brief nine times. ARGS
are pytest's, tests/loop if there are none. --journal=FILE keeps the tests that are done, and does
not repeat those that it has already: an interrupted run goes on. Exit status 1 when a test leaks or
fails, 2 when the interpreter does not count.
"""

import functools
import gc
import inspect
import json
import logging
import pathlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests import interrupts
from tests.leaks.measure import Growth, measure, measure_briefly

# Tests by the beginning of their names, and why their growth says nothing.
EXCLUDED: dict[str, str] = {
    "test_several_loops_in_several_threads": (
        "on 3.11 does not always end when repeated after other files' tests; alone it does"
    ),
    "test_contexts_are_captured_when_scheduling": "leaves its variables in the main context",
}

# What a test's source says when it does its work in other processes, whose counts are their own.
ELSEWHERE = ("run_script(", "SCRIPT", "subprocess.run(")


def say(text: str) -> None:
    """Print what must be seen though the tests' output is captured."""
    print(text, file=sys.__stdout__, flush=True)


def reason_to_exclude(item: pytest.Item) -> str | None:
    """Why a test is not repeated, or None."""
    for beginning, reason in EXCLUDED.items():
        if item.name.startswith(beginning):
            return reason
    source = inspect.getsource(item.function)  # type: ignore[attr-defined]
    if any(sign in source for sign in ELSEWHERE):
        return "runs in a process of its own"
    return None


class Journal:
    """The tests that are done: measured without a leak, or not to be repeated.

    A file of JSON lines, [test, runs, reason not to repeat it or null]; without a path, nothing is
    kept. That the sources are still the same is the caller's to know.
    """

    def __init__(self, path: pathlib.Path | None) -> None:
        self._path = path
        self.done: dict[str, tuple[int, str | None]] = {}
        text = path.read_text() if path is not None and path.exists() else ""
        # What an interrupted run has left of a last line is no line.
        whole = text[: text.rfind("\n") + 1]
        if path is not None and whole != text:
            path.write_text(whole)
        for line in whole.splitlines():
            test, runs, reason = json.loads(line)
            self.done[test] = (runs, reason)

    def add(self, test: str, runs: int, reason: str | None) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps([test, runs, reason]) + "\n")


class Repeater:
    """Runs each test in blocks in the place of once."""

    def __init__(
        self,
        measuring: Callable[[Callable[[], None]], Growth],
        longest: float,
        journal: Journal,
    ) -> None:
        self.measuring = measuring
        self.longest = longest
        self.journal = journal
        self.leaks: list[str] = []
        self.failed: list[str] = []
        self.excluded: dict[str, int] = {}
        self.measured = 0
        self.runs = 0

    def count(self, runs: int, reason: str | None) -> None:
        """A test was measured, or for a reason was not."""
        if reason is None:
            self.measured += 1
        else:
            self.excluded[reason] = self.excluded.get(reason, 0) + 1
        self.runs += runs

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Measure the test, or run it once when it is excluded, fails or skips."""
        if item.nodeid in self.journal.done:
            self.count(*self.journal.done[item.nodeid])
            item.session._setupstate.teardown_exact(nextitem)
            return True

        # A next test that needs all that this one does, less its own fixtures.
        sibling: Any = SimpleNamespace(listchain=lambda: item.listchain()[:-1])

        runs = 0

        def once() -> Any:
            nonlocal runs
            runs += 1
            item._report_sections.clear()  # what was logged and printed, kept for the report
            return runtestprotocol(item, log=False, nextitem=sibling)

        # The first run says whether there is anything to measure.
        begin = time.monotonic()
        outcomes = [(report.outcome, report.longreprtext) for report in once()]
        failures = [text for outcome, text in outcomes if outcome == "failed"]
        skipped = any(outcome == "skipped" for outcome, _ in outcomes)
        reason = None if failures or skipped else reason_to_exclude(item)
        if reason is None and time.monotonic() - begin > self.longest:
            reason = f"takes more than {self.longest} s, too long for the brief form"
        if failures:
            self.failed.append(item.nodeid)
            say(f"{item.nodeid} FAILED\n{failures[0]}")
        elif not skipped:
            growth = None if reason else self.measuring(self._quietly(once, item))
            self.count(runs, reason)
            if not growth and item.nodeid not in self.failed:
                self.journal.add(item.nodeid, runs, reason)
            elif growth:
                self.leaks.append(item.nodeid)
                say(
                    f"{item.nodeid}: {growth.references} references, {growth.blocks} blocks, "
                    f"{growth.descriptors} descriptors in {growth.runs} runs  LEAKS"
                )
        # The wider fixtures are put down as the next test wants it.
        item.session._setupstate.teardown_exact(nextitem)
        return True

    @pytest.fixture
    def tmp_path(self) -> Iterator[pathlib.Path]:
        """pytest's own keeps something of every directory that it made."""
        with tempfile.TemporaryDirectory() as directory:
            yield pathlib.Path(directory)

    def _quietly(self, once: Callable[[], Any], item: pytest.Item) -> Callable[[], None]:
        def run() -> None:
            for report in once():
                if report.outcome == "failed" and item.nodeid not in self.failed:
                    self.failed.append(item.nodeid)
                    say(f"{item.nodeid} FAILED when repeated\n{report.longreprtext}")

        return run


def main() -> int:
    interrupts.restore()
    if not hasattr(sys, "gettotalrefcount"):
        print(
            f"{sys.executable} counts no references; on Debian: apt install python3-dbg",
            file=sys.stderr,
        )
        return 2
    arguments = sys.argv[1:]
    brief = "--brief" in arguments
    if brief:
        arguments.remove("--brief")
    kept = [argument for argument in arguments if argument.startswith("--journal=")]
    arguments = [argument for argument in arguments if argument not in kept]
    journal = Journal(pathlib.Path(kept[-1].partition("=")[2]) if kept else None)
    if not any(not argument.startswith("-") for argument in arguments):
        arguments.append("tests/loop")
    warnings.simplefilter("ignore", ResourceWarning)
    logging.disable(logging.NOTSET)
    # The first run and one block are enough for what fills up; what seems to grow is measured
    # again, with more.
    thorough = functools.partial(measure, warm_up=1)
    measuring, longest = (measure_briefly, 0.15) if brief else (thorough, float("inf"))
    repeater = Repeater(measuring, longest, journal)
    begin = time.monotonic()
    gc.collect()
    status = pytest.main(
        [
            "-qq",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:faulthandler",
            "--capture=sys",
            "--no-header",
            "--no-summary",
            *arguments,
        ],
        plugins=[repeater],
    )
    seconds = time.monotonic() - begin
    print(
        f"{repeater.measured} tests measured in {repeater.runs} runs and {seconds:.0f} s: "
        f"{len(repeater.leaks)} leak, {len(repeater.failed)} fail"
        + (f"; {len(journal.done)} of them done before" if journal.done else "")
    )
    for reason, count in sorted(repeater.excluded.items()):
        print(f"{count} not repeated: {reason}")
    for name in repeater.leaks + repeater.failed:
        print(f"  {name}")
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return 1
    if not repeater.measured and not repeater.excluded:
        return 1
    return 1 if repeater.leaks or repeater.failed else 0


if __name__ == "__main__":
    sys.exit(main())
