# SPDX-License-Identifier: MIT
"""The C programs and libraries of the benchmarks, compiled when their source is newer."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench import environment
from bench.error import BenchError


def build(source: Path, *options: str, parts: Sequence[Path] = (), name: str = "") -> Path:
    """Compile a source file, with other ones that are parts of it, into the environment that is
    measured; what was made. It has the source's name, if no other is given.

    Raises BenchError.
    """
    target = environment.VENV / "bench" / (name or source.stem)
    newest = max(path.stat().st_mtime for path in [source, *parts])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError(f"no C compiler for {source.name}; on Debian: apt install gcc")
    target.parent.mkdir(parents=True, exist_ok=True)
    if subprocess.run([compiler, "-O2", *options, "-o", target, source, *parts]).returncode != 0:
        raise BenchError(f"{source.name} does not compile (see above)")
    return target
