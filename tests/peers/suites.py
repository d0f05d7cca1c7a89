# SPDX-License-Identifier: MIT
"""The suites there are, and how one is run on one loop."""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.peers import cpython, httptools, stage
from tests.peers.outcomes import WHOLE, Outcomes

JOBS = 4
"""Tests run at once: most of them wait."""

LIMIT = 60.0
"""Seconds for one test."""

CRASHES = 20
"""Times that a suite whose tests share a process is gone on with in another one."""


@dataclass(frozen=True)
class Suite:
    """One suite. `compared`: asyncio's outcome in the same run is what is expected."""

    name: str
    group: str
    compared: bool = True
    distribution: str | None = None
    """The package whose source distribution it is."""
    tests: str = "tests"
    """The directory of the tests in it."""
    pytest: tuple[str, ...] | None = None
    """Arguments for pytest, if only that can run it."""
    jobs: int = JOBS
    limit: float = LIMIT
    together: bool = False
    """In one process, or in `jobs` processes for a share each, instead of one for each test."""
    plugin: str | None = None
    """The module of this directory that puts what is ours into it; without, our loop is put in."""
    files: tuple[str, ...] = ()
    """What else of the distribution its tests look for."""


SUITES = {name: Suite(name, "cpython") for name in (cpython.names() if cpython.exists() else [])}
SUITES |= {
    suite.name: suite
    for suite in (
        Suite("uvloop", "uvloop", compared=False, distribution="uvloop"),
        Suite("httptools", "httptools", compared=False, distribution="httptools"),
        Suite(
            "uvicorn-protocols",
            "uvicorn-protocols",
            compared=False,
            distribution="uvicorn",
            # httptools' parameter of each test stands for ours.
            pytest=(
                *("-p", "anyio", "-p", "camshaft_protocols"),
                *("-k", "not (h11 or zttp or trio)", "tests/protocols/test_http.py"),
            ),
        ),
        Suite("asyncpg", "asyncpg", distribution="asyncpg", jobs=1),
        Suite("aiosqlite", "aiosqlite", distribution="aiosqlite", tests="aiosqlite/tests"),
        Suite(
            "anyio",
            "anyio",
            distribution="anyio",
            # Every test has a variant for uvloop, which stage.disguise() replaces.
            pytest=("-p", "anyio", "-p", "pytest_mock", "-k", "asyncio+uvloop", "tests"),
        ),
        Suite(
            "uvicorn",
            "uvicorn",
            compared=False,
            distribution="uvicorn",
            # Not its protocol classes by their insides or their names.
            pytest=(
                *("tests/test_cli.py", "tests/test_config.py", "tests/test_default_headers.py"),
                *("tests/test_lifespan.py", "tests/test_main.py", "tests/test_server.py"),
                *("tests/test_ssl.py", "tests/middleware", "tests/importer"),
                *("tests/supervisors/test_signal.py", "tests/supervisors/test_reload.py"),
                "tests/supervisors/test_multiprocess.py",
            ),
            # Where a server does not start, its tests wait for ever.
            limit=20.0,
        ),
        Suite(
            "uvicorn-websocket",
            "uvicorn-websocket",
            compared=False,
            distribution="uvicorn",
            # Once, of the variants for each pair of uvicorn's classes, which all are ours here.
            pytest=("-k", "h11 and not wsproto-", "tests/protocols/test_websocket.py"),
            limit=20.0,
        ),
        Suite(
            "fastapi",
            "fastapi",
            compared=False,
            distribution="fastapi",
            pytest=("tests",),
            jobs=2,
            together=True,
            plugin="fastapi_mount",
            files=("docs", "docs_src", "scripts"),
        ),
        Suite(
            "fastapi-socket",
            "fastapi-socket",
            compared=False,
            distribution="fastapi",
            pytest=("tests",),
            jobs=2,
            together=True,
            plugin="socket_client",
            files=("docs", "docs_src", "scripts"),
        ),
        Suite(
            "starlette-socket",
            "starlette-socket",
            compared=False,
            distribution="starlette",
            pytest=("-k", "not trio", "tests"),
            jobs=2,
            together=True,
            plugin="socket_client",
        ),
    )
}

DISGUISED = ("uvloop", "asyncpg", "anyio")
"""Suites that take their loop from a package named uvloop."""


def _prepare(suite: Suite, loop: str, directory: Path) -> None:
    """Write and link into the directory what the suite's tests import."""
    if suite.distribution is not None:
        source = stage.sdist(suite.distribution)
        name = f"{suite.name}_tests" if suite.pytest is None else "tests"
        (directory / name).symlink_to(source / suite.tests)
        for file in ("pyproject.toml", "pytest.ini", "LICENSE.md", "README.md", *suite.files):
            if suite.pytest is not None and (source / file).exists():
                (directory / file).symlink_to(source / file)
    if suite.name in ("uvicorn", "uvicorn-websocket"):
        stage.uvicorn(directory)
    if suite.name in DISGUISED:
        stage.disguise(directory, loop)
    if suite.name in ("httptools", "uvicorn-protocols"):
        httptools.disguise(directory)
    if suite.name == "uvicorn-protocols":
        plugin = Path(__file__).with_name("uvicorn_protocols.py")
        (directory / "camshaft_protocols.py").symlink_to(plugin)
    if (
        loop == "camshaft"
        and suite.name not in cpython.MIXINS
        and suite.name != "uvloop"
        and suite.plugin != "fastapi_mount"  # works on any loop, so here on asyncio's
    ):
        stage.inject(directory)
    if suite.plugin is not None:
        plugin = Path(__file__).with_name(f"{suite.plugin}.py")
        (directory / f"camshaft_{suite.plugin}.py").symlink_to(plugin)
    if suite.pytest is not None:
        for name in ("isolate", "together"):
            plugin = Path(__file__).with_name(f"{name}_pytest.py")
            (directory / f"camshaft_{name}.py").symlink_to(plugin)


def run_suite(suite: Suite, loop: str, only: tuple[str, ...] = ()) -> Outcomes:
    """The outcomes of a suite, or of some of its tests, on "camshaft" or "asyncio"."""
    if not suite.together:
        return _run(suite, loop, only)
    if suite.distribution is not None:
        stage.sdist(suite.distribution)  # fetched once for all
    shares = 1 if only else suite.jobs
    outcomes = Outcomes()
    with concurrent.futures.ThreadPoolExecutor(shares) as pool:
        for share in [
            pool.submit(_run_share, suite, loop, only, f"{share}/{shares}")
            for share in range(1, shares + 1)
        ]:
            outcomes.add(share.result())
    return outcomes


def _run_share(suite: Suite, loop: str, only: tuple[str, ...], share: str) -> Outcomes:
    """One process's share; the test at which the process dies has failed, and the others go on."""
    outcomes = Outcomes()
    with tempfile.NamedTemporaryFile("w") as done:
        for _ in range(CRASHES):
            done.write("".join(f"{identity}\n" for identity in outcomes))
            done.flush()
            settings = {"PEERS_SHARE": share, "PEERS_DONE": done.name}
            found = _run(suite, loop, only, settings)
            text = found.pop(WHOLE, None)
            outcomes.add(found)
            if text is None:
                return outcomes
            unended = [identity for identity, (outcome, _) in found.items() if outcome == "started"]
            for identity in unended:
                outcomes[identity] = text
            if not unended:
                break
    outcomes[WHOLE] = text
    return outcomes


def _run(
    suite: Suite, loop: str, only: tuple[str, ...] = (), settings: dict[str, str] | None = None
) -> Outcomes:
    with tempfile.TemporaryDirectory(prefix="camshaft-peers-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        _prepare(suite, loop, directory)
        results = directory / "results"
        results.touch()
        environment = {
            **os.environ,
            "PYTHONPATH": str(directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PEERS_RESULTS": str(results),
            "PEERS_LIMIT": str(suite.limit),
            "USE_UVLOOP": "1",  # asyncpg's tests ask
            # logfire's, which FastAPI's tests import; no plan is made of what a plugin validates.
            "PYDANTIC_DISABLE_PLUGINS": "__all__",
            **(settings or {}),
        }
        command = [sys.executable, "-W", "default", "-m"]
        if suite.pytest is None:
            environment["PYTHONPATH"] += os.pathsep + str(stage.ROOT)
            jobs = 1 if only else suite.jobs
            command += ["tests.peers.worker", loop, suite.name, str(suite.limit), str(jobs)]
        else:
            plugins = ["together" if suite.together else "isolate"]
            if suite.plugin is not None and loop == "camshaft":
                plugins.append(suite.plugin)
            command += ["pytest", f"--basetemp={directory}/tmp"]
            command += [word for plugin in plugins for word in ("-p", f"camshaft_{plugin}")]
            # Not the options that the project itself gives: there are plugins in them.
            command += ["-o", "addopts=", "-p", "no:cacheprovider", "--tb=short"]
            # Its timer is stopped after a failure, by a lock that a forked process never gets.
            command += ["-o", "faulthandler_timeout=0"]
        if only or suite.pytest is None:
            command += only
        else:
            command += suite.pytest
        with tempfile.TemporaryFile() as output, results.open("wb") as lines:
            process = subprocess.run(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=lines if suite.pytest is None else output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            text = output.read()[-3000:].decode(errors="replace")
        outcomes = Outcomes()
        ended = False
        for line in results.read_text().splitlines():
            what, *rest = json.loads(line)
            if what == "end":
                ended = True
            elif what == "count":
                outcomes.counts[rest[0]] += int(rest[1])
            elif what == "start":
                if suite.together:
                    outcomes[rest[0]] = ("started", "")
            else:
                outcomes[rest[0]] = (what, rest[1])
        if not ended:
            outcomes[WHOLE] = ("failed", f"ended with {process.returncode}\n{text}")
        return outcomes
