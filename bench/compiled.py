# SPDX-License-Identifier: MIT
"""The C programs and libraries of the benchmarks, compiled when their source is newer."""

import shutil
import subprocess
from pathlib import Path

from bench import environment
from bench.error import BenchError


def build(source: Path, *options: str) -> Path:
    """Compile one source file into the environment that is measured; what was made.

    Raises BenchError.
    """
    target = environment.VENV / "bench" / source.stem
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return target
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError(f"no C compiler for {source.name}; on Debian: apt install gcc")
    target.parent.mkdir(parents=True, exist_ok=True)
    if subprocess.run([compiler, "-O2", *options, "-o", target, source]).returncode != 0:
        raise BenchError(f"{source.name} does not compile (see above)")
    return target
