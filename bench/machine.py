# SPDX-License-Identifier: MIT
"""What the figures were measured on, in one line."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from bench import environment

PACKAGES = ["uvicorn", "uvloop", "httptools", "websockets", "starlette", "fastapi", "pydantic"]
PACKAGES += ["rloop", "rsloop", "zloop", "zuvloop"]

VERSIONS = f"""
import importlib.metadata, platform, sysconfig
optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
print("CPython", platform.python_version() + ("" if optimised else " (built without PGO)"))
for name in {PACKAGES}:
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        pass
"""


def processor() -> str:
    """The processor's name as the kernel tells it; the architecture where it does not."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def commit() -> str:
    """The checkout's commit, with a mark if it has changes; empty where git knows of none."""
    if shutil.which("git") is None:
        return ""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=environment.CHECKOUT,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


def describe() -> str:
    """Processor, cores, kernel, load, and the versions of everything that is measured."""
    parts = [
        f"{processor()}, {len(os.sched_getaffinity(0))} cores",
        f"Linux {platform.release()}",
        f"load {os.getloadavg()[0]:.2f}",
        *environment.inside(VERSIONS).splitlines(),
        f"camshaft {commit()}".strip(),
    ]
    return "; ".join(parts)
