# SPDX-License-Identifier: MIT
"""What a process holds."""

import re
from pathlib import Path

KIB = 1024
# Seconds in which what was closed or asked for has come to rest.
SETTLE = 1.0


def resident(pid: int) -> int:
    """Bytes of a process that lie in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) * KIB if found else 0
