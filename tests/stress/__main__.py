# SPDX-License-Identifier: MIT
"""``python -m tests.stress NAME [SECONDS [SEED]]``: exit status 1 when a promise was broken."""

import faulthandler
import importlib
import sys
import time

from tests import interrupts

NAMES = ("ownership", "sessions", "slow")


def main() -> int:
    interrupts.restore()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        print(f"which of {', '.join(NAMES)}?", file=sys.stderr)
        return 2
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 1_000_000_000
    print(f"{name}: {seconds:g} s, seed {seed}", flush=True)
    faulthandler.enable()
    faulthandler.dump_traceback_later(12 * seconds + 240, exit=True)
    # Not all of them can be imported everywhere.
    broken, text = importlib.import_module(f"tests.stress.{name}").run(seconds, seed)
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {text}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
