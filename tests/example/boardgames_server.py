# SPDX-License-Identifier: MIT
"""The example application as a real server process, on SQLite and on PostgreSQL.

`CAMSHAFT_TEST_SERVER=uvicorn` runs the same tests against uvicorn, to tell a fault of the server
from one of the application, and `uvicorn-on-camshaft` against uvicorn on camshaft's loop.
`CAMSHAFT_REQUIRE_POSTGRES=1` turns a PostgreSQL that cannot start from a skip into a failure.
"""

import asyncio
import importlib.util
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SERVER = os.environ.get("CAMSHAFT_TEST_SERVER", "camshaft")
COMMAND = {
    "camshaft": ["camshaft"],
    "uvicorn": ["uvicorn"],
    "uvicorn-on-camshaft": ["uvicorn", "--loop", "camshaft:new_event_loop"],
}[SERVER]
LOOP = "camshaft"
if SERVER == "uvicorn":
    LOOP = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
# A server that has shut down raises the signal again, and so ends by it.
CLEAN_END = -signal.SIGTERM
APP_DIR = Path(__file__).resolve().parents[2] / "examples" / "boardgames"

# Seconds. Generous: the slowest run is that under sanitizers on a busy machine.
START_LIMIT = 120
STOP_LIMIT = 60
REQUEST_LIMIT = 120


def allow_many_files() -> None:
    """Raise the soft limit on open files: a thousand connections and what else is open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class ServerProcess:
    """The server under test, in a process of its own. Its output goes to a file in the directory.

    The settings are environment variables of the application.
    """

    def __init__(self, database_url: str, directory: Path, **settings: str) -> None:
        self.log_path = directory / "server.log"
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CAMSHAFT_", "UVICORN_", "DB_"))
        }
        env |= {
            "DATABASE_URL": database_url,
            # A thousand requests queue for fifteen connections, on a machine of any speed.
            "DB_POOL_TIMEOUT": str(REQUEST_LIMIT),
            "PYTHONUNBUFFERED": "1",
        }
        env |= settings
        command = [sys.executable, "-m", *COMMAND, "app.main:app", "--app-dir", str(APP_DIR)]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", "0"],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything the server has written, without colours."""
        text = self.log_path.read_text(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+) ", self.log, re.IGNORECASE)
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail(f"{SERVER} did not start (exit code {self.process.poll()}):\n{self.log}")

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ask the server to stop and return its exit code; one that hangs is killed."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"{SERVER} did not stop within {STOP_LIMIT} s:\n{self.log}")


NUMBERS = itertools.count(1)


class Databases:
    """Makes empty databases of one kind."""

    def __init__(self, kind: str, directory: Path, server: Any) -> None:
        self.kind = kind
        self._directory = directory
        self._server = server

    def new(self) -> str:
        """The URL of a new, empty database."""
        # A server may outlive the fixture that made this object, and so must its names.
        name = f"games_{next(NUMBERS)}"
        if self.kind == "sqlite":
            return f"sqlite:///{self._directory / name}.db"
        asyncio.run(self._create(name))
        url: str = self._server.get_uri(database=name)
        return url

    async def _create(self, name: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self._server.get_uri())
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
