# SPDX-License-Identifier: MIT
"""The command as process 1 of a container, where signals have no default action."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest
from command_process import Serving

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def namespace_fault() -> str | None:
    """Why there can be no namespace of processes; None if there can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"no namespace of processes: {tried.stderr.strip()}"


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_ends_as_process_1(tmp_path: Path, number: Signals) -> None:
    fault = namespace_fault()
    if fault is not None:
        pytest.skip(fault)
    command = [*UNSHARE, sys.executable, "-m", "camshaft"]
    with Serving(tmp_path, "served:app", command=command) as server:
        assert "Started server process [1]" in server.log
        assert server.get()[0] == 200
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        (inner,) = map(int, children.read_text().split())
        os.kill(inner, number)
        assert server.wait() == 0
        assert "app: lifespan.shutdown" in server.lines
        assert server.lines[-1] == "INFO:     Finished server process [1]"
