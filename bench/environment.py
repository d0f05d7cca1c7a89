# SPDX-License-Identifier: MIT
"""The environment that is measured: .venv-bench, with camshaft built from this checkout."""

import os
import subprocess
from pathlib import Path

from bench.error import BenchError

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = CHECKOUT / ".venv-bench" / "bin"
PYTHON = BIN / "python"


def prepare(skip: bool = False) -> None:
    """Make .venv-bench, or bring it up to date: the peers' pins and a release build of camshaft.

    Raises BenchError when that fails; tools/setup has then said why.
    """
    if not skip:
        command = ["tools/setup", "--venv", ".venv-bench", "bench/peers.txt"]
        if subprocess.run(command, cwd=CHECKOUT, stdout=2).returncode != 0:
            raise BenchError("no environment to measure in (see above)")
    if not PYTHON.exists():
        raise BenchError(f"there is no {PYTHON}; run without --no-setup")


def variables() -> dict[str, str]:
    """The environment of a measured process: ours, less what would change a Python's speed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for name in list(kept):
        if name.startswith(("UVICORN_", "CAMSHAFT_")):
            del kept[name]
    return kept


def inside(code: str) -> str:
    """What a line of Python prints in .venv-bench."""
    result = subprocess.run(
        [PYTHON, "-c", code], env=variables(), cwd="/", capture_output=True, text=True
    )
    if result.returncode != 0:
        raise BenchError(f"in .venv-bench, {code!r} failed: {result.stderr.strip()[-200:]}")
    return result.stdout.strip()
