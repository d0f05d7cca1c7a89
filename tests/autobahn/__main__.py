# SPDX-License-Identifier: MIT
"""Run Autobahn's cases against our server: ``python -m tests.autobahn [CASES...]``.

CASES are patterns such as ``1.*`` or ``9.1.6``; without any all are run, in some minutes. Prints a
table by section. Exit status 1 when a case did not come to OK or INFORMATIONAL, in its behaviour or
in how its connection was closed; 77 when the fuzzing client cannot run here.

  --command "COMMAND"   another server, asked to serve the application (to see what the suite says
                        of it), e.g. "uvicorn --ws websockets-sansio"
  --keep DIR            keep the reports in a directory
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests import interrupts
from tests.autobahn.environment import ROOT, SUITE, Missing, wstest

# The client runs these one after the other; a run for each, so that one that hangs is told from
# one that is long.
SECTIONS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and performance",
    "10": "auto-fragmentation",
    "12": "permessage-deflate, default parameters",
    "13": "permessage-deflate, other parameters",
}
GOOD = ("OK", "INFORMATIONAL")
START_LIMIT = 60.0
SECTION_LIMIT = 1800.0


class Case(NamedTuple):
    """What one case came to."""

    name: str
    behavior: str
    closing: str

    @property
    def good(self) -> bool:
        """Neither failed nor non-strict nor not run."""
        return self.behavior in GOOD and self.closing in GOOD


class Server:
    """The server under test; a context manager. `port` is where it listens."""

    def __init__(self, command: list[str]) -> None:
        self._log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [*command, "tests.autobahn.echo:app", "--host", "127.0.0.1", "--port", "0"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_LIMIT
        self.port = 0
        while self.port == 0:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", self.output())
            if found:
                self.port = int(found.group(1))
            elif self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"the server did not start: {self.output()[-1000:]}")
            else:
                time.sleep(0.05)

    def output(self) -> str:
        """What it has printed so far."""
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


def run_cases(client: Path, port: int, patterns: list[str], directory: Path) -> list[Case]:
    """Let the client run some cases and read its report."""
    directory.mkdir(parents=True)
    spec = directory / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "outdir": str(directory),
                "servers": [{"agent": "server", "url": f"ws://127.0.0.1:{port}"}],
                "cases": patterns,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    subprocess.run(
        [client, "-m", "fuzzingclient", "-s", spec],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECTION_LIMIT,
        check=True,
    )
    report = json.loads((directory / "index.json").read_text())["server"]
    return [Case(name, case["behavior"], case["behaviorClose"]) for name, case in report.items()]


def by_number(case: Case) -> list[int]:
    """Sorts 9.2.1 before 10.1.1."""
    return [int(part) for part in case.name.split(".")]


def main() -> int:
    """Run what was asked for; the exit status."""
    interrupts.restore()
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn")
    parser.add_argument("cases", nargs="*", metavar="CASES")
    parser.add_argument("--command", default=f"{sys.executable} -m camshaft")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    patterns: dict[str, list[str]] = {}
    for pattern in options.cases or [f"{section}.*" for section in SECTIONS]:
        section = pattern.split(".")[0]
        if section not in SECTIONS:
            parser.error(f"{pattern!r} is in none of the sections {', '.join(SECTIONS)}")
        patterns.setdefault(section, []).append(pattern)
    try:
        client = wstest()
    except Missing as missing:
        print(missing)
        return 77

    counts: dict[str, Counter[str]] = {}
    bad: list[Case] = []
    total = 0
    name = "camshaft" if options.command == parser.get_default("command") else options.command
    print(f"{SUITE}; {name} on CPython {sys.version.split()[0]}\n")
    print(f"{'section':<45}{'cases':>7}{'ok':>7}{'inform.':>9}{'other':>7}{'seconds':>9}")
    with (
        tempfile.TemporaryDirectory() as temporary,
        Server(shlex.split(options.command)) as server,
    ):
        for section, chosen in patterns.items():
            begin = time.monotonic()
            directory = (options.keep or Path(temporary)) / section
            cases = run_cases(client, server.port, chosen, directory.resolve())
            count = counts[section] = Counter(case.behavior for case in cases if case.good)
            others = [case for case in cases if not case.good]
            bad += sorted(others, key=by_number)
            total += len(cases)
            print(
                f"{section + ' ' + SECTIONS[section]:<45}{len(cases):>7}{count['OK']:>7}"
                f"{count['INFORMATIONAL']:>9}{len(others):>7}{time.monotonic() - begin:>9.1f}",
                flush=True,
            )
        alive = server.process.poll() is None
        if not alive:
            print(f"the server ended with {server.process.returncode}: {server.output()[-1000:]}")
    print()
    for case in bad:
        print(f"{case.name}: {case.behavior}, closing {case.closing}")
    failed = sum(case.behavior != "NON-STRICT" for case in bad)
    print(f"{total} cases, {failed} failed, {len(bad) - failed} non-strict")
    return 0 if total > 0 and not bad and alive else 1


if __name__ == "__main__":
    sys.exit(main())
