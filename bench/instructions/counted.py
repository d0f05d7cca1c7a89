# SPDX-License-Identifier: MIT
"""Runs one row on one loop under callgrind or strace, and reads what they wrote."""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench import compiled, environment
from bench.error import BenchError
from bench.instructions import routes, rows
from bench.instructions.worker import MARK_PATH

MISSING = 77
TIMEOUT = 300
MARK_SOURCE = Path(__file__).with_name("mark.c")

ROWS = rows.ROWS | routes.ROWS


class MissingLoop(Exception):
    """The loop is not installed; the text is why."""


def require(tool: str) -> None:
    """Raises BenchError where a tool is not installed."""
    if shutil.which(tool) is None:
        raise BenchError(f"{tool} is not installed; on Debian: apt install {tool}")


def mark_library() -> Path:
    """The library made of mark.c. Raises BenchError."""
    if not Path("/usr/include/valgrind/callgrind.h").exists():
        raise BenchError("valgrind's headers are missing; on Debian: apt install valgrind")
    return compiled.build(MARK_SOURCE, "-shared", "-fPIC")


def run(tool: Sequence[str], loop: str, row: str, mark: str, counts: tuple[int, int]) -> None:
    """Run the worker under a tool, with its peer if it has one.

    Raises MissingLoop, and BenchError with the last line of what the worker said.
    """
    variables = environment.variables() | {"PYTHONHASHSEED": "0"}
    variables |= environment.certificate()
    needs_peer = ROWS[row].needs_peer
    worker = subprocess.Popen(
        [
            *tool,
            environment.PYTHON,
            *("-m", "bench.instructions.worker", loop, row, mark, *map(str, counts)),
        ],
        cwd=environment.CHECKOUT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if needs_peer else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peer = None
    if needs_peer:
        peer = subprocess.Popen(
            [environment.PYTHON, "-m", "bench.instructions.peer"],
            cwd=environment.CHECKOUT,
            env=variables,
            stdin=worker.stdout,
            stdout=subprocess.DEVNULL,
        )
        assert worker.stdout is not None
        worker.stdout.close()
    try:
        _, errors = worker.communicate(timeout=TIMEOUT)
        if peer is not None:
            peer.wait(10)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{row} on {loop}: not done after {TIMEOUT} s") from error
    finally:
        for process in (worker, peer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    last = (errors.strip().splitlines() or ["no output"])[-1]
    if worker.returncode == MISSING:
        raise MissingLoop(last)
    if worker.returncode != 0:
        raise BenchError(f"{row} on {loop} failed ({worker.returncode}): {last}")


def instructions(loop: str, row: str, keep: Path | None = None) -> float:
    """Instructions per operation in user space, all threads of the worker.

    `keep` is a directory for callgrind's own record of the second count (callgrind_annotate).
    Raises MissingLoop, BenchError.
    """
    return sum(by_layer(loop, row, keep).values())


def by_layer(loop: str, row: str, keep: Path | None = None) -> dict[str, float]:
    """The same, by the part of the process that they belong to (LAYERS)."""
    counts = ROWS[row].counts
    with tempfile.TemporaryDirectory(prefix="camshaft-bench-") as directory:
        out = Path(directory) / "out"
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--log-file=/dev/null"]
        tool.append(f"--callgrind-out-file={out}.%p")
        run(tool, loop, row, str(mark_library()), counts)
        # A dump is out.PID.1 and so on; a forked child may have left files with its own number.
        totals = {path: by_object(path) for path in Path(directory).glob("out.*.[12]")}
        first, second = (
            [path for path in totals if path.suffix == suffix] for suffix in (".1", ".2")
        )
        if len(first) != 1 or len(second) != 1:
            raise BenchError(f"{row} on {loop}: callgrind left {len(totals)} counts, not 2")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(second[0], keep / f"{row}.{loop}.callgrind")
    layers = dict.fromkeys(LAYERS, 0.0)
    for sign, each in ((1, totals[second[0]]), (-1, totals[first[0]])):
        for name, count in each.items():
            layers[layer_of(name)] += sign * count / (counts[1] - counts[0])
    return layers


def total(path: Path) -> int:
    """The sum of a callgrind file."""
    return sum(by_object(path).values())


LAYERS = {
    "camshaft": r"/camshaft/_core\.",
    "pydantic-core": r"/_pydantic_core\.",
    "C library": r"/(libc|libpthread|libm|ld-linux[^/]*)[.-][^/]*so",
    "interpreter": r"/(python3[.\d]*|libpython[^/]*)$",
    "other modules": "",
}
"""Parts of a process, and what the files of each are called."""


def layer_of(file: str) -> str:
    """The part that a loaded file is."""
    return next(layer for layer, pattern in LAYERS.items() if re.search(pattern, file))


def by_object(path: Path) -> Counter[str]:
    """The instructions of each loaded file in a callgrind file. Raises BenchError."""
    found: Counter[str] = Counter()
    names: dict[str, str] = {}
    current = ""
    total = 0
    of_callee = False
    with path.open() as lines:
        for line in lines:
            if line[0] in "0123456789+-*":
                # What a call cost stands in the line after it, and again where it was spent.
                if not of_callee:
                    found[current] += int(line.split()[1])
                of_callee = False
            elif line.startswith("calls="):
                of_callee = True
            elif line.startswith(("ob=", "cob=")):
                number, _, name = line.partition("=")[2].strip().partition(" ")
                names.setdefault(number, name or number)
                if line[0] == "o":
                    current = names[number]
            elif line.startswith("totals:"):
                total = int(line.split()[1])
    if sum(found.values()) != total:
        raise BenchError(f"{path.name}: {sum(found.values())} instructions, of {total}")
    return found


def system_calls(loop: str, row: str) -> Counter[str]:
    """System calls in the second count less those in the first, by name: all threads of the worker,
    no other processes. Raises MissingLoop, BenchError."""
    counts = syscall_counts(row)
    with tempfile.TemporaryDirectory(prefix="camshaft-bench-") as directory:
        log = Path(directory) / "log"
        run(["strace", "-f", "-qq", "-o", str(log)], loop, row, "-", counts)
        spans = parse_log(log.read_text(errors="replace").splitlines())
    if len(spans) != 2:
        raise BenchError(f"{row} on {loop}: strace saw {len(spans)} counts, not 2")
    difference = Counter(spans[1])
    difference.subtract(spans[0])
    return difference


def syscall_counts(row: str) -> tuple[int, int]:
    """Fewer than under callgrind where those are thousands: a call takes strace long."""
    first, second = ROWS[row].counts
    return min(first, 1000), min(second, 3000)


def parse_log(lines: Sequence[str]) -> list[Counter[str]]:
    """The calls between marks, of the first process in the log and its threads."""
    threads = {lines[0].split()[0]} if lines else set()
    starting: set[str] = set()  # threads that are in the middle of making another
    spans: list[Counter[str]] = []
    for line in lines:
        thread, _, text = line.partition(" ")
        text = text.lstrip()
        if thread not in threads:
            continue
        made = re.search(r" = (\d+)$", text)
        if text.startswith(("clone", "<... clone")):
            if "<unfinished" in text:
                if "CLONE_THREAD" in text:
                    starting.add(thread)
            elif made and ("CLONE_THREAD" in text or thread in starting):
                starting.discard(thread)
                threads.add(made.group(1))
        if MARK_PATH in text:
            spans.append(Counter())
        elif spans and not text.startswith(("<...", "---", "+++")):
            spans[-1][text.split("(", 1)[0]] += 1
    return spans[:-1]  # after the last mark nothing is counted
