# SPDX-License-Identifier: MIT
"""The environment that is measured: .venv-bench, with camshaft built from this checkout."""

import os
import subprocess
import sys
from pathlib import Path

from bench.error import BenchError

CHECKOUT = Path(__file__).resolve().parents[1]
VENV = CHECKOUT / ".venv-bench"
BIN = VENV / "bin"
PYTHON = BIN / "python"


def use(directory: Path) -> None:
    """Measure in another environment than .venv-bench."""
    global VENV, BIN, PYTHON
    VENV = directory.absolute()
    BIN = VENV / "bin"
    PYTHON = BIN / "python"


def prepare(skip: bool = False) -> None:
    """Make the environment, or bring it up to date: the peers' pins and a release build of
    camshaft.

    Raises BenchError when that fails; tools/setup has then said why.
    """
    if not skip:
        command = ["tools/setup", "--venv", str(VENV), "bench/peers.txt"]
        if subprocess.run(command, cwd=CHECKOUT, stdout=2).returncode != 0:
            raise BenchError("no environment to measure in (see above)")
        install_contenders()
    if not PYTHON.exists():
        raise BenchError(f"there is no {PYTHON}; run without --no-setup")


def install_contenders() -> None:
    """Install those of contenders.txt that have a wheel; each is tried once in an environment."""
    (VENV / "bench").mkdir(exist_ok=True)
    for line in (CHECKOUT / "bench" / "contenders.txt").read_text().splitlines():
        stamp = VENV / "bench" / f"tried-{line}"
        if line.startswith("#") or stamp.exists():
            continue
        pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        result = subprocess.run(
            [*pip, "--only-binary", ":all:", "--no-deps", line],
            capture_output=True,
            text=True,
        )
        if result.returncode == 0 or "No matching distribution" in result.stderr:
            stamp.touch()
        if result.returncode != 0:
            last = result.stderr.strip().splitlines()[-1]
            print(f"bench: without {line}: {last}", file=sys.stderr)


def variables() -> dict[str, str]:
    """The environment of a measured process: ours, less what would change a Python's speed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for name in list(kept):
        if name.startswith(("UVICORN_", "CAMSHAFT_")):
            del kept[name]
    return kept


def certificate() -> dict[str, str]:
    """The variable that names the servers' certificate, made at the first call.

    Raises BenchError.
    """
    path = VENV / "bench" / "localhost.pem"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        inside(
            "import trustme; "
            "made = trustme.CA().issue_cert('localhost', '127.0.0.1'); "
            f"made.private_key_and_cert_chain_pem.write_to_path({str(path)!r})"
        )
    return {"CAMSHAFT_BENCH_CERTIFICATE": str(path)}


def inside(code: str) -> str:
    """What a line of Python prints in the environment."""
    result = subprocess.run(
        [PYTHON, "-c", code], env=variables(), cwd="/", capture_output=True, text=True
    )
    if result.returncode != 0:
        raise BenchError(f"in {VENV.name}, {code!r} failed: {result.stderr.strip()[-200:]}")
    return result.stdout.strip()
