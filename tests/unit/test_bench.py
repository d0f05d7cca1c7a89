# SPDX-License-Identifier: MIT
"""The benchmarks can be started; what they measure is no test's business."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_help_names_both_parts() -> None:
    """`python -m bench --help` imports everything that runs outside of a measured process."""
    result = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "[{http,loop}]" in result.stdout
