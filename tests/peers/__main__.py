# SPDX-License-Identifier: MIT
"""Run other projects' suites on our loop and compare: ``python -m tests.peers [SUITE...]``.

Arguments name suites or groups of them; without any, those that CI runs (cpython, uvloop,
httptools and uvicorn's). A test fails when its outcome on our loop is neither what asyncio's
loop comes to in the same run (in suites that are not about loops, or about uvloop's: passed) nor
what expected/ allows with a reason. A difference is looked at twice, alone, as some of these tests
depend on the machine's load. Exit status 1 for differences, 2 when something needed is missing.

  --loop asyncio     run asyncio's loop in our place, to see what the suite says of it
  --list FILE        write every test's outcome to FILE
"""

import argparse
import sys
import time

from tests import interrupts
from tests.peers import cpython, stage
from tests.peers.outcomes import WHOLE, Expected, Outcomes, differences
from tests.peers.suites import SUITES, Suite, run_suite

GROUPS = {
    "cpython": cpython.names() if cpython.exists() else [],
    "ci": [
        *("cpython", "uvloop", "httptools"),
        *("uvicorn-protocols", "uvicorn", "uvicorn-websocket"),
    ],
    "long": [
        *("cpython", "uvloop", "httptools"),
        *("uvicorn-protocols", "uvicorn", "uvicorn-websocket"),
        *("asyncpg", "aiosqlite", "anyio"),
    ],
}


def chosen(names: list[str]) -> list[Suite]:
    """The suites that names of suites and groups stand for; SystemExit(2) for an unknown one."""
    found: dict[str, Suite] = {}
    for name in names:
        if name in GROUPS:
            found.update((suite.name, suite) for suite in chosen(GROUPS[name]))
        elif name in SUITES:
            found[name] = SUITES[name]
        else:
            print(f"no suite {name!r}; there are: {' '.join([*GROUPS, *SUITES])}", file=sys.stderr)
            raise SystemExit(2)
    return list(found.values())


class Result:
    """What one suite came to."""

    def __init__(self, suite: Suite, loop: str) -> None:
        begin = time.monotonic()
        self.suite = suite
        self.expected = Expected.of(suite.group)
        self.ours = run_suite(suite, loop)
        self.theirs: Outcomes | None = run_suite(suite, "asyncio") if suite.compared else None
        found = differences(self.ours, self.theirs, self.expected)
        self.second_tries = 0
        again = [identity for identity in found if identity in self.ours and identity != WHOLE]
        # Fifty that differ are no accident of timing.
        if again and len(again) <= 50:
            fresh = run_suite(suite, loop, tuple(again))
            if self.theirs is not None:
                # asyncio, too, may have had bad luck the first time.
                self.theirs.update(run_suite(suite, "asyncio", tuple(again)))
            for identity in again:
                self.ours[identity] = fresh.get(identity, self.ours[identity])
            still = differences(self.ours, self.theirs, self.expected)
            self.second_tries = len(found) - len(still)
            found = still
        for name, least in self.expected.counts.items() if loop == "camshaft" else ():
            if self.ours.counts[name] < least:
                found[f"(count of {name})"] = f"{self.ours.counts[name]}, of at least {least}"
        self.failures = found
        self.seconds = time.monotonic() - begin

    def counts(self) -> dict[str, int]:
        """Numbers for the table, by the heads of its columns."""
        outcomes = [outcome for outcome, _ in self.ours.values()]
        return {
            "tests": len(outcomes),
            "passed": sum(outcome in ("passed", "expected failure") for outcome in outcomes),
            "skipped": outcomes.count("skipped"),
            "excluded": sum(
                outcome == "failed" and self.expected.reason(identity, outcome) is not None
                for identity, (outcome, _) in self.ours.items()
            ),
            "fails on both": sum(
                outcome == "failed"
                and identity not in self.failures
                and self.expected.reason(identity, outcome) is None
                for identity, (outcome, _) in self.ours.items()
            ),
            "different": len(self.failures),
            "2nd try": self.second_tries,
        }


def print_table(results: list[Result]) -> None:
    """One line a suite, and the reasons of what is excluded."""
    heads = list(results[0].counts())
    width = max(14, *(len(head) + 2 for head in heads))
    print("\n" + "suite".ljust(26) + "".join(head.rjust(width) for head in heads) + "   seconds")
    for result in results:
        counts = "".join(str(count).rjust(width) for count in result.counts().values())
        print(result.suite.name.ljust(26) + counts + f"{result.seconds:10.1f}")
    print("\nexcluded:")
    for result in results:
        for identity, (outcome, _) in result.ours.items():
            reason = result.expected.reason(identity, outcome)
            if reason is not None:
                print(f"  {identity}: {outcome}: {reason}")


def main() -> int:
    interrupts.restore()
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("suites", nargs="*", default=["ci"], metavar="SUITE")
    parser.add_argument("--loop", choices=["camshaft", "asyncio"], default="camshaft")
    parser.add_argument("--list", metavar="FILE")
    options = parser.parse_args()
    suites = chosen(options.suites)
    version = sys.version.split()[0]
    if not cpython.exists():
        short = ".".join(version.split(".")[:2])
        print(
            f"{sys.executable} has no test.test_asyncio; Debian keeps it in "
            f"libpython{short}-testsuite",
            file=sys.stderr,
        )
        if not suites or "cpython" in options.suites:
            return 2
    pinned = [f"{s.distribution} {stage.version(s.distribution)}" for s in suites if s.distribution]
    print(
        f"CPython {version}: {', '.join([*options.suites, *pinned])}; on {options.loop}", flush=True
    )

    results = []
    for suite in suites:
        result = Result(suite, options.loop)
        results.append(result)
        counts = ", ".join(f"{count} {head}" for head, count in result.counts().items() if count)
        print(f"  {suite.name}: {counts}, {result.seconds:.1f} s", flush=True)
        if result.ours.counts:
            counts = ", ".join(f"{count} {name}" for name, count in result.ours.counts.items())
            print(f"  {suite.name}: requests: {counts}", flush=True)

    failures = {
        f"{result.suite.name}: {identity}": text
        for result in results
        for identity, text in result.failures.items()
    }
    for name, text in failures.items():
        print(f"\n---- {name}\n{text.rstrip()}")
    if options.list:
        with open(options.list, "w") as listing:
            for result in results:
                for identity, (outcome, _) in sorted(result.ours.items()):
                    theirs = result.theirs and result.theirs.get(identity, ("not run", ""))[0]
                    print(result.suite.name, outcome, theirs or "-", identity, file=listing)
    print_table(results)
    if failures:
        print("\ndifferent:")
        for name in failures:
            print(f"  {name}")
    passed = sum(result.counts()["passed"] for result in results)
    print(f"\n{passed} passed, {len(failures)} failed (different from what is expected)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
