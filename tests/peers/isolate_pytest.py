# SPDX-License-Identifier: MIT
"""A pytest plugin that runs each test in a forked process of its own, with a limit in seconds.

For suites that only pytest runs. It stands alone, as it is loaded into processes where `tests` is
another project's package: ``-p camshaft_isolate`` finds it staged under that name. Fixtures of all
scopes are made in the child and end with it. PEERS_RESULTS names the file that outcomes are written
to, as worker.py writes them; PEERS_LIMIT is the limit.
"""

import json
import os
import selectors
import signal
import tempfile
import time

import pytest
from _pytest.runner import runtestprotocol

LIMIT = float(os.environ.get("PEERS_LIMIT", "60"))


def _write(*line: str) -> None:
    with open(os.environ["PEERS_RESULTS"], "a") as results:
        results.write(json.dumps(line) + "\n")


def _child(item: pytest.Item, descriptor: int, output: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    reports = runtestprotocol(item, log=False, nextitem=None)
    lines = []
    for report in reports:
        text = report.longreprtext or "".join(text for _, text in report.sections)
        expected = hasattr(report, "wasxfail")
        lines.append([report.when, report.outcome, expected, text[-3000:]])
    with open(descriptor, "w") as pipe:
        pipe.write(json.dumps(lines))
    os._exit(0)


def _outcome(reports: list) -> tuple[str, str]:
    result = ("passed", "")
    for when, outcome, expected, text in reports:
        if outcome == "failed":
            return "failed", f"{when}: {text}"
        if outcome == "skipped":
            result = ("expected failure" if expected else "skipped", text)
        elif expected:
            result = ("unexpected success", text)
    return result


def _run(item: pytest.Item) -> tuple[str, str]:
    receive, send = os.pipe()
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(receive)
                _child(item, send, output.fileno())
            finally:
                os._exit(70)
        os.close(send)
        deadline = time.monotonic() + LIMIT
        data = b""
        hung = False
        with selectors.DefaultSelector() as selector:
            selector.register(receive, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    hung = True
                    os.kill(pid, signal.SIGKILL)
                    break
                part = os.read(receive, 65536)
                if not part:
                    break
                data += part
        os.close(receive)
        # Left unreaped until its group is ended, so that the number stays its own.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        _, status = os.waitpid(pid, 0)
        try:
            return _outcome(json.loads(data))
        except ValueError:
            output.seek(0)
            text = output.read()[-3000:].decode(errors="replace")
            code = os.waitstatus_to_exitcode(status)
            reason = f"not done after {LIMIT:.0f} s" if hung else f"the process ended with {code}"
            return "failed", f"{reason}\n{text}"


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run one test in a child and write its outcome; pytest itself is told nothing."""
    _write("start", item.nodeid)
    outcome, details = _run(item)
    _write(outcome, item.nodeid, details)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is a failed test."""
    if report.outcome != "passed":
        _write(report.outcome, report.nodeid, str(report.longrepr)[-3000:])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last line says that none is missing."""
    _write("end")
