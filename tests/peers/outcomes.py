# SPDX-License-Identifier: MIT
"""Outcomes of tests, what is expected of them, and how the two differ."""

import fnmatch
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class Outcomes(dict[str, tuple[str, str]]):
    """By test id: "passed", "failed", "skipped", "expected failure" or "unexpected success", and
    details: a traceback, or why it was skipped.

    `counts` are what a suite's plugin has counted, by its names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def add(self, other: "Outcomes") -> None:
        """Add what another process came to."""
        self.update(other)
        self.counts.update(other.counts)


WHOLE = "(the run)"
"""Stands for all tests when a run did not come to its end: never expected, asyncio's neither."""

DIRECTORY = Path(__file__).parent / "expected"


@dataclass(frozen=True)
class _Exception:
    """Tests that come to something else, and why."""

    tests: tuple[str, ...]
    outcome: str
    reason: str


@dataclass(frozen=True)
class Expected:
    """A file of expected/: how many tests there are at least, and which come to something else.

    ``[[except]]`` tables have `tests` (ids or patterns), `outcome` ("failed" or "skipped"; a test
    listed as failed may as well pass, for some depend on the machine, but one that is listed and
    does not exist is an error), `reason`, and optionally `python`, the versions it is about.
    ``[counts]`` has the least of what a suite's plugin counts.
    """

    tests: int
    exceptions: tuple[_Exception, ...]
    counts: dict[str, int]

    @classmethod
    def of(cls, group: str) -> "Expected":
        """What the file of a group of suites says to this Python; without a file, nothing."""
        path = DIRECTORY / f"{group}.toml"
        if not path.exists():
            return cls(0, (), {})
        data = tomllib.loads(path.read_text())
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        exceptions = [
            _Exception(tuple(table["tests"]), table["outcome"], " ".join(table["reason"].split()))
            for table in data.get("except", [])
            if version in table.get("python", [version])
        ]
        return cls(data.get("tests", 0), tuple(exceptions), data.get("counts", {}))

    def reason(self, identity: str, outcome: str) -> str | None:
        """Why this test may come to this; None if no exception says so."""
        for exception in self.exceptions:
            if exception.outcome == outcome and any(
                fnmatch.fnmatchcase(identity, pattern.replace("[", "[[]"))
                for pattern in exception.tests
            ):
                return exception.reason
        return None


def differences(ours: Outcomes, theirs: Outcomes | None, expected: Expected) -> dict[str, str]:
    """What differs to our disadvantage, by test id, each with its details.

    Against `theirs` where the suite was run on asyncio's loop too, else everything has to pass.
    """
    found = {}
    for identity, (outcome, text) in ours.items():
        should, details = ("passed", "") if theirs is None else theirs.get(identity, ("absent", ""))
        if identity == WHOLE:
            found[identity] = f"the run itself failed:\n{text}"
            continue
        if outcome == should or outcome == "passed" or expected.reason(identity, outcome):
            continue
        if should == "failed" or (should == "absent" and outcome != "failed"):
            continue
        found[identity] = f"{should} expected ({details}), here {outcome}:\n{text}"
    for identity, (outcome, _) in (theirs or {}).items():
        if identity not in ours and not expected.reason(identity, "absent"):
            found[identity] = f"{outcome} on asyncio, here not run"
    if len(ours) < expected.tests:
        found["(all)"] = f"{len(ours)} tests were found, of at least {expected.tests}"
    return found
