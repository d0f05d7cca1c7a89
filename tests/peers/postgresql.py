# SPDX-License-Identifier: MIT
"""A PostgreSQL for asyncpg's tests: started by their own code, once, before they are forked.

PostgreSQL refuses to run as root. Root therefore goes on as the user nobody, keeping no more than
the right to read, which an interpreter in a home directory needs.
"""

import atexit
import os
import shutil
import sys
from pathlib import Path

KEEP = "dac_read_search"


def leave_root() -> None:
    """Start this process anew as nobody if it is root's; SystemExit(77) where that cannot be."""
    if os.geteuid() != 0:
        return
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        print("PostgreSQL does not run as root, and there is no setpriv", file=sys.stderr)
        raise SystemExit(77)
    options = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    options += [f"--inh-caps=-all,+{KEEP}", f"--ambient-caps=-all,+{KEEP}"]
    os.environ["HOME"] = "/nonexistent"
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.execv(setpriv, [setpriv, *options, sys.executable, *sys.orig_argv[1:]])


def _installation() -> str:
    """The directory of pg_ctl and initdb: the newest that Debian has installed, or PATH's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    if found:
        return str(found[-1].parent)
    on_path = shutil.which("pg_ctl")
    if on_path is None:
        print("there is no PostgreSQL; on Debian: apt install postgresql", file=sys.stderr)
        raise SystemExit(77)
    return str(Path(on_path).parent)


def _version(pg_ctl: Path) -> int:
    name = pg_ctl.parents[1].name
    return int(name) if name.isdigit() else 0


def start() -> None:
    """Start the cluster that asyncpg's tests share; it ends with this process."""
    os.environ["PGINSTALLATION"] = _installation()
    from asyncpg import _testbase

    cluster = _testbase._init_default_cluster()
    atexit.unregister(_testbase._shutdown_cluster)
    me = os.getpid()

    def stop() -> None:
        if os.getpid() == me:
            _testbase._shutdown_cluster(cluster)

    atexit.register(stop)
    # What ClusterTestCase.setup_cluster() does where none is running.
    settings = {"log_connections": "on", "jit": "off"}
    cluster.start(port="dynamic", server_settings=settings)
