# SPDX-License-Identifier: MIT
"""The command; see the package."""

import argparse
import logging
import sys

from fuzz.fastapi.compare import WAYS, faulty, run
from fuzz.fastapi.drive import Fault


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.fastapi")
    parser.add_argument("--cases", type=int, default=2000, help="how many requests to compare")
    parser.add_argument("--seed", type=int, default=1, help="of the first program")
    parser.add_argument(
        "--way", choices=[*WAYS], action="append", help="asgi and native unless told"
    )
    parser.add_argument("--most", type=int, default=20, help="differences to stop after")
    parser.add_argument("--fault", choices=Fault.NAMES, help="see that this is found")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    ways = {name: WAYS[name] for name in options.way or ["asgi", "native"]}
    if options.fault:
        ways = {options.fault: faulty(options.fault)}
    outcome = run(
        options.seed,
        options.cases,
        ways,
        most=options.most,
        show=lambda difference: print(f"---- {difference}\n", flush=True),
    )
    print(outcome)
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
