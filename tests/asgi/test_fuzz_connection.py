# SPDX-License-Identifier: MIT
"""A few cases of fuzz.connection, and that it sees each kind of promise that is broken."""

import asyncio
import os
from typing import Any

import pytest

from fuzz.connection import applications
from fuzz.connection.play import Run

left: list[Any] = []


def test_cases() -> None:
    with Run(1, None, "camshaft", verbose=False) as run:
        for number in range(60):
            assert run.play(number) == []
        assert run.end() == []
    assert run.count["whole HTTP"] > 0
    assert run.count["whole WebSocket"] > 0


def leave_descriptor() -> None:
    left.append(open(os.devnull))


def leave_task() -> None:
    left.append(asyncio.ensure_future(asyncio.sleep(100)))


def tell_loop() -> None:
    asyncio.get_running_loop().call_soon(int, "no number")


class Unraisable:
    def __del__(self) -> None:
        raise ValueError


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (leave_descriptor, "descriptors left"),
        (leave_task, "tasks left"),
        (tell_loop, "the loop was told"),
        (Unraisable, "unraisable"),
    ],
)
def test_faults(monkeypatch: pytest.MonkeyPatch, fault: Any, found: str) -> None:
    async def faulty(self: Any, scope: Any, receive: Any, send: Any) -> None:
        fault()
        await applications.echo(self, scope, receive, send)

    monkeypatch.setattr(applications, "HTTP", dict.fromkeys(applications.HTTP, faulty))
    with Run(1, "valid", "camshaft", verbose=False) as run:
        reports = run.play(1)
        for thing in left:
            thing.cancel() if isinstance(thing, asyncio.Task) else thing.close()
        left.clear()
        run.loop.run_until_complete(asyncio.sleep(0))
    assert any(report.startswith(found) for report in reports), reports


def test_echoes_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await applications.body(receive)
        await applications.start(send, 200, (b"content-length", b"5"), (b"x-echo", b"1"))
        await applications.part(send, b"other", more=False)

    monkeypatch.setattr(applications, "HTTP", dict.fromkeys(applications.HTTP, faulty))
    with Run(1, "valid", "camshaft", verbose=False) as run:
        reports = [report for number in range(30) for report in run.play(number)]
    assert any(report.startswith("an echo of 5 bytes") for report in reports)


def test_lost_answers_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(self: Any, scope: Any, receive: Any, send: Any) -> None:
        self.kinds[-1] = "echo"
        await applications.start(send, 200, (b"content-length", b"5"))

    monkeypatch.setattr(applications, "HTTP", dict.fromkeys(applications.HTTP, faulty))
    with Run(1, "valid", "camshaft", verbose=False) as run:
        reports = [report for number in range(30) for report in run.play(number)]
    assert any("requests, " in report for report in reports), reports
