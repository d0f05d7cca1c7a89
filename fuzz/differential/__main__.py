# SPDX-License-Identifier: MIT
"""The command: `python -m fuzz.differential [--inputs N] [--seed S] [--peers llhttp,h11]`.

Needs httptools and h11 (tools/requirements/differential.txt) and a C compiler. Ends with 1 when a
difference is not settled in settled.toml, and prints an input that shows it.
"""

import argparse
import random
import sys
import time
from collections import Counter

from fuzz.differential.comparison import difference, read_settled
from fuzz.differential.mutation import connection
from fuzz.differential.parsers import PEERS, build_ours
from tests.cases.http1 import read_cases

# Longer seeds say nothing more here, and take most of the time.
LONGEST_SEED = 4000


def main() -> int:
    """Compare; the exit code."""
    command = argparse.ArgumentParser(prog="python -m fuzz.differential", description=__doc__)
    command.add_argument("--inputs", type=int, default=100_000, metavar="N", help="(100,000)")
    command.add_argument("--seed", type=int, default=1, metavar="S", help="(1)")
    command.add_argument("--peers", default=",".join(PEERS), metavar="A,B", help="(llhttp,h11)")
    command.add_argument("--all", action="store_true", help="count what is settled, too")
    options = command.parse_args()
    peers = {name: PEERS[name] for name in options.peers.split(",")}
    settled = read_settled()
    ours = build_ours()
    source = random.Random(options.seed)
    seeds = [case.data for case in read_cases() if len(case.data) <= LONGEST_SEED]
    shown: dict[tuple[str, str], bytes] = {}
    count: Counter[tuple[str, str]] = Counter()
    start = time.monotonic()
    for number in range(options.inputs):
        # First the cases as they are.
        data = seeds[number] if number < len(seeds) else connection(seeds, source)
        made = ours(data)
        for name, peer in peers.items():
            key = difference(made, peer(data))
            if key is not None:
                count[name, key] += 1
                best = shown.get((name, key))
                if best is None or len(data) < len(best):
                    shown[name, key] = data
    seconds = time.monotonic() - start
    unsettled = 0
    for (name, key), times in sorted(count.items()):
        entry = settled.get(name, {}).get(key)
        unsettled += entry is None
        if entry is None or options.all:
            state = entry["section"] if entry else "NOT SETTLED"
            print(f"{name}: {key}: {times} times, {state}: {shown[name, key][:300]!r}")
    print(
        f"{options.inputs} inputs, seed {options.seed}, {options.inputs / seconds:.0f} a second: "
        f"{sum(count.values())} differences of {len(count)} kinds, {unsettled} of them not settled"
    )
    return 1 if unsettled or not options.inputs else 0


if __name__ == "__main__":
    sys.exit(main())
