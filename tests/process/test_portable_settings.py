# SPDX-License-Identifier: MIT
"""camshaft.serve() with what another process cannot be given: a line, and an exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_process import APPS, LIMIT, environment


def run_script(directory: Path, app: str, settings: str) -> subprocess.CompletedProcess[str]:
    """Run a script that serves, until it ends by itself."""
    script = directory / "script.py"
    script.write_text(
        "import camshaft\n"
        "def factory(config, default): return default()\n"
        "if __name__ == '__main__':\n"
        f"    camshaft.serve({app}, app_dir={str(APPS)!r}, port=0, {settings})\n"
    )
    return subprocess.run(
        [sys.executable, str(script)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.parametrize("settings", ["reload=True", "workers=2"])
def test_application_must_be_an_import_string(tmp_path: Path, settings: str) -> None:
    done = run_script(tmp_path, "object()", settings)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "WARNING:  You must pass the application as an import string to enable "
        "'reload' or 'workers'."
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        # With --reload the process runs the main script and has what is defined there.
        (
            "workers=2, ssl_context_factory=factory",
            "worker processes cannot import it from the main script; put it into a module.",
        ),
        (
            "workers=2, ssl_context_factory=lambda config, make: make()",
            "it cannot be handed to the server's process; what a module defines by name can.",
        ),
        (
            "reload=True, ssl_context_factory=lambda config, make: make()",
            "it cannot be handed to the server's process; what a module defines by name can.",
        ),
    ],
)
def test_settings_that_no_process_can_be_given(tmp_path: Path, settings: str, reason: str) -> None:
    done = run_script(tmp_path, "'served:app'", settings)
    assert done.returncode == 3
    *before, said = done.stderr.splitlines()
    assert [line for line in before if "Will watch for changes" not in line] == []
    assert said == f"ERROR:    --ssl-context-factory: {reason}"
