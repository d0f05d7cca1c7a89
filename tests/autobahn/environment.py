# SPDX-License-Identifier: MIT
"""An environment in which the fuzzing client runs, which is written for Python 2.7.

It is made in .venv-autobahn, once, of pinned releases: the last autobahntestsuite, and the last
virtualenv that makes environments for 2.7.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-autobahn"
SUITE = "autobahntestsuite==0.8.2"
VIRTUALENV = "virtualenv==20.15.1"


class Missing(Exception):
    """The fuzzing client cannot run here; says why in a line."""


def python2() -> str:
    """A Python 2.7: $PYTHON2, pyenv's, or one on PATH. Raises Missing."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob("2.7.*/bin/python2.7"))
    for candidate in [os.environ.get("PYTHON2"), *map(str, found), shutil.which("python2.7")]:
        if candidate:
            return candidate
    raise Missing("no Python 2.7 for autobahntestsuite (pyenv install 2.7.18, or PYTHON2=)")


def wstest() -> Path:
    """The fuzzing client's command, installed if it is not yet. Raises Missing."""
    command = VENV / "suite" / "bin" / "wstest"
    if not command.exists():
        interpreter = python2()
        shutil.rmtree(VENV, ignore_errors=True)
        tool = VENV / "tool"
        for step in (
            [sys.executable, "-m", "venv", tool],
            [tool / "bin" / "pip", "install", "-q", VIRTUALENV],
            [tool / "bin" / "virtualenv", "-q", "-p", interpreter, VENV / "suite"],
            [VENV / "suite" / "bin" / "pip", "install", "-q", SUITE],
        ):
            made = subprocess.run(list(map(str, step)), capture_output=True, text=True)
            if made.returncode != 0:
                command.unlink(missing_ok=True)
                last = (made.stderr.strip() or made.stdout.strip()).splitlines()[-1:]
                raise Missing(f"{SUITE} cannot be installed: {''.join(last)}")
    return command
