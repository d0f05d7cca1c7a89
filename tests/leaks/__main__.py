# SPDX-License-Identifier: MIT
"""Run all scenarios, or those whose names contain an argument: ``python -m tests.leaks [WORD]…``.

Exit status 1 when one leaks or fails, 2 when the interpreter does not count references.
"""

import faulthandler
import logging
import sys
import time
import traceback
import warnings

from tests import interrupts
from tests.leaks import (
    bodies,
    datagrams,
    entrance,
    generators,
    http,
    loop,
    masters,
    middleware,
    parsers,
    pipes,
    pool,
    sockets,
    streams,
    tls,
    websocket,
    worker,
)
from tests.leaks.measure import measure

LIMIT = 300
"""Seconds after which a scenario is taken to hang."""


def sees_a_leak() -> bool:
    """Whether one reference that is kept in each run is found: the tool's own test."""
    kept = []
    return measure(lambda: kept.append(object())).references > 0


MODULES = (
    loop,
    streams,
    datagrams,
    pipes,
    sockets,
    http,
    websocket,
    parsers,
    tls,
    entrance,
    pool,
    middleware,
    bodies,
    generators,
    worker,
    masters,
)


def main() -> int:
    interrupts.restore()
    if not hasattr(sys, "gettotalrefcount"):
        print(
            f"{sys.executable} counts no references; on Debian: apt install python3-dbg",
            file=sys.stderr,
        )
        return 2
    warnings.simplefilter("ignore", ResourceWarning)
    # Errors are part of many scenarios. Nothing is to be kept of them, or printed.
    logging.disable(logging.CRITICAL)
    words = sys.argv[1:]
    scenarios = {
        name: scenario
        for module in MODULES
        for name, scenario in module.SCENARIOS.items()
        if not words or any(word in name for word in words)
    }
    begin = time.monotonic()
    bad = []
    if not sees_a_leak():
        print("a leak made on purpose was not found", file=sys.stderr)
        return 1
    print(f"{'growth in a block of runs':50}{'runs':>5}{'references':>12}{'blocks':>8}{'fds':>5}")
    for name, scenario in scenarios.items():
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        try:
            with scenario() as run:
                growth = measure(run)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            print(f"{name:50} FAILED", flush=True)
            bad.append(name)
            continue
        finally:
            faulthandler.cancel_dump_traceback_later()
        if growth:
            bad.append(name)
        counts = f"{growth.runs:5}{growth.references:12}{growth.blocks:8}{growth.descriptors:5}"
        print(f"{name:50}{counts}{'  LEAKS' if growth else ''}", flush=True)
    seconds = time.monotonic() - begin
    print(f"{len(scenarios) - len(bad)} passed, {len(bad)} failed in {seconds:.0f} s")
    if bad:
        print("failed: " + ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
