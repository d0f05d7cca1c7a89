# SPDX-License-Identifier: MIT
"""``python -m tests.stress NAME [SECONDS [SEED]]``: exit status 1 when a promise was broken."""

import faulthandler
import sys
import time

from tests import interrupts
from tests.stress import ownership, slow

RUNS = {"ownership": ownership.run, "slow": slow.run}


def main() -> int:
    interrupts.restore()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in RUNS:
        print(f"which of {', '.join(RUNS)}?", file=sys.stderr)
        return 2
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 1_000_000_000
    print(f"{name}: {seconds:g} s, seed {seed}", flush=True)
    faulthandler.enable()
    faulthandler.dump_traceback_later(12 * seconds + 240, exit=True)
    broken, text = RUNS[name](seconds, seed)
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {text}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
