# SPDX-License-Identifier: MIT
"""Run CPython's asyncio tests on our loop and on asyncio's and compare: ``python -m tests.peers``.

Arguments name suites (all without any). A test fails when its outcome on our loop differs from
asyncio's in the same run, unless suites.EXCLUDED gives a reason; a difference is looked at twice,
in a fresh process, as some of these tests depend on the machine's load. Exit status 1 for
differences, 2 when this Python has no such tests.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from tests import interrupts

LIMIT = 240.0
"""Seconds for one suite on one loop."""

LOOPS = ("camshaft", "asyncio")

HUNG = "hung"

Outcomes = dict[str, tuple[str, str]]


def run_suite(loop: str, name: str, only: tuple[str, ...] = ()) -> tuple[Outcomes, float, str]:
    """(outcome and details by test id, seconds, end of the output) of a suite in a process."""
    begin = time.monotonic()
    command = [sys.executable, "-W", "default", "-m", "tests.peers.worker", loop, name, *only]
    # Files rather than pipes: children that a test leaves behind cannot keep them open.
    with tempfile.TemporaryFile() as results, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=results, stderr=output, start_new_session=True
        )
        hung = False
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            hung = True
            process.kill()
            process.wait()
        results.seek(0)
        output.seek(0)
        lines = results.read().decode().splitlines()
        text = output.read().decode(errors="replace")[-4000:]
    outcomes: Outcomes = {}
    started = None
    ended = False
    for line in lines:
        what, *rest = json.loads(line)
        if what == "start":
            started = rest[0]
        elif what == "end":
            ended = True
        else:
            outcomes[rest[0]] = (what, rest[1])
            started = None
    if not ended:
        reason = HUNG if hung else f"the process ended with {process.returncode}"
        outcomes[started or f"{name} (whole suite)"] = ("failed", f"{reason}\n{text}")
    return outcomes, time.monotonic() - begin, text


def short(identity: str) -> str:
    """A test's id without what all ids begin with."""
    return identity.removeprefix("test.test_asyncio.").removeprefix("peers.")


def differences(ours: Outcomes, theirs: Outcomes) -> dict[str, str]:
    """What differs to our disadvantage, by test id, each with its details."""
    found = {}
    for identity, (expected, details) in theirs.items():
        outcome, text = ours.get(identity, ("not run", ""))
        if outcome != expected and expected != "failed":
            found[identity] = f"{expected} on asyncio ({details}), here {outcome}:\n{text}"
    for identity, (outcome, text) in ours.items():
        if identity not in theirs and outcome == "failed":
            found[identity] = f"not run on asyncio, here {outcome}:\n{text}"
    return found


def is_excluded(identity: str) -> bool:
    from tests.peers.suites import EXCLUDED

    return any(identity.endswith(name) for name in EXCLUDED)


def main() -> int:
    interrupts.restore()
    if importlib.util.find_spec("test") is None or (
        importlib.util.find_spec("test.test_asyncio") is None
    ):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(
            f"{sys.executable} has no test.test_asyncio; Debian keeps it in "
            f"libpython{version}-testsuite",
            file=sys.stderr,
        )
        return 2
    from tests.peers.suites import EXCLUDED, names

    known = names()
    chosen = sys.argv[1:] or known
    for name in chosen:
        if name not in known:
            print(f"no suite {name!r}; there are: {' '.join(known)}", file=sys.stderr)
            return 2
    version = sys.version.split()[0]
    print(f"CPython {version}'s asyncio tests on camshaft and on asyncio")

    failures: dict[str, str] = {}
    rows = []
    with ThreadPoolExecutor(max(2, min(4, os.cpu_count() or 2))) as pool:
        running = {(n, loop): pool.submit(run_suite, loop, n) for n in chosen for loop in LOOPS}
        for name in chosen:
            ours, seconds, _ = running[name, "camshaft"].result()
            theirs, _, _ = running[name, "asyncio"].result()
            found = differences(ours, theirs)
            excluded = {identity for identity in found if is_excluded(identity)}
            suspects = [
                identity
                for identity in found
                if identity not in excluded
                and identity in theirs
                and not ours.get(identity, ("", ""))[1].startswith(HUNG)
            ]
            again = 0
            if suspects:
                second, _, _ = run_suite("camshaft", name, tuple(suspects))
                fresh = {
                    identity: second.get(identity, ours.get(identity)) for identity in suspects
                }
                still = differences(fresh, {identity: theirs[identity] for identity in suspects})
                for identity in suspects:
                    if identity in still:
                        found[identity] = still[identity]
                    else:
                        again += 1
                        ours[identity] = theirs[identity]
                        del found[identity]
            bad = {key: text for key, text in found.items() if key not in excluded}
            failures.update(bad)
            passed = sum(outcome == "passed" for outcome, _ in ours.values())
            skipped = sum(outcome == "skipped" for outcome, _ in ours.values())
            both = sum(
                outcome == "failed" and theirs.get(identity, ("",))[0] == "failed"
                for identity, (outcome, _) in ours.items()
            )
            rows.append((name, passed, len(bad), skipped, len(excluded), both, again))
            print(f"  {name}: {passed} passed, {len(bad)} failed, {seconds:.1f} s", flush=True)

    for identity, text in failures.items():
        print(f"\n---- {short(identity)}\n{text.rstrip()}")
    heads = ("passed", "failed", "skipped", "excluded", "fails on both", "2nd try")
    print("\n" + "suite".ljust(26) + "".join(head.rjust(15) for head in heads))
    for name, *counts in rows:
        print(name.ljust(26) + "".join(str(count).rjust(15) for count in counts))
    print("\nexcluded:")
    for name, reason in EXCLUDED.items():
        print(f"  {name}: {reason}")
    if failures:
        print("\nfailed:")
        for identity in failures:
            print(f"  {short(identity)}")
    passed = sum(row[1] for row in rows)
    print(f"\n{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
