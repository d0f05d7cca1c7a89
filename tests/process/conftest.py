# SPDX-License-Identifier: MIT
"""What the tests of processes share with those of the command: the server as a process."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "cli"))
