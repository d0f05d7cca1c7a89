# SPDX-License-Identifier: MIT
"""The lifespan protocol, by what an application does with it."""

import asyncio
import logging
import traceback
from typing import Any

import pytest

import camshaft
from camshaft.application import ASGI3Application, Receive, Scope, Send
from camshaft.config import Config
from camshaft.server.lifespan import Lifespan

WAITING = "Waiting for application startup."
COMPLETE = "Application startup complete."
FAILED = "Application startup failed. Exiting."
STOPPING = "Waiting for application shutdown."
STOPPED = "Application shutdown complete."
STOP_FAILED = "Application shutdown failed. Exiting."
UNSUPPORTED = "ASGI 'lifespan' protocol appears unsupported."
EXCEPTION = "Exception in 'lifespan' protocol\n"


class Run:
    """A start-up and a shutdown: whether they failed, the state, and the lines logged."""

    def __init__(self, app: ASGI3Application, mode: str = "auto") -> None:
        self.failed: tuple[bool, bool] = (False, False)
        self.state: dict[str, Any] = {}
        camshaft.run(self._run(app, mode))

    async def _run(self, app: ASGI3Application, mode: str) -> None:
        lifespan = Lifespan(Config(app, lifespan=mode, interface="asgi3", log_config=None))
        await lifespan.startup()
        started = lifespan.should_exit
        if not started:
            await lifespan.shutdown()
        self.failed = (started, lifespan.should_exit)
        self.state = lifespan.state


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "uvicorn.error")
    return lambda: [record.getMessage() for record in caplog.records]


async def good(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "lifespan"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert asyncio.current_task() is not None
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["pool"] = "a pool"
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_complete(mode: str, lines: Any) -> None:
    run = Run(good, mode)
    assert run.failed == (False, False)
    assert run.state == {"pool": "a pool"}
    assert lines() == [WAITING, COMPLETE, STOPPING, STOPPED]


def test_off(lines: Any) -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("called")

    assert Run(never, "off").failed == (False, False)
    assert lines() == []


async def knows_no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"


def test_unsupported_in_auto(lines: Any) -> None:
    assert Run(knows_no_lifespan).failed == (False, False)
    assert lines() == [WAITING, UNSUPPORTED, COMPLETE]


def test_unsupported_in_on(lines: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert Run(knows_no_lifespan, "on").failed == (True, True)
    assert lines() == [WAITING, EXCEPTION, FAILED]
    assert "knows_no_lifespan" in caplog.text


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("raises", [True, False])
def test_startup_failed(mode: str, raises: bool, lines: Any) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database: 100%"})
        if raises:
            raise RuntimeError("as Starlette does")

    assert Run(fails, mode).failed == (True, True)
    assert lines() == [WAITING, "no database: 100%", FAILED]


def test_startup_failed_without_a_message(lines: Any) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed"})

    Run(fails)
    assert lines() == [WAITING, FAILED]


def test_system_exit_in_startup(lines: Any) -> None:
    async def exits(scope: Scope, receive: Receive, send: Send) -> None:
        raise SystemExit(7)

    assert Run(exits, "on").failed == (True, True)
    assert lines() == [WAITING, EXCEPTION, FAILED]


def test_returns_without_an_answer(lines: Any) -> None:
    async def ignores(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    assert Run(ignores, "on").failed == (False, False)
    assert lines() == [WAITING, COMPLETE, STOPPING, STOPPED]


@pytest.mark.parametrize("raises", [True, False])
def test_shutdown_failed(raises: bool, lines: Any) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "not flushed"})
        if raises:
            raise RuntimeError("as Starlette does")

    assert Run(fails).failed == (False, True)
    assert lines() == [WAITING, COMPLETE, STOPPING, "not flushed", STOP_FAILED]


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_shutdown_raises(mode: str, lines: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ZeroDivisionError("at the end")

    assert Run(raises, mode).failed == (False, True)
    assert lines() == [WAITING, COMPLETE, STOPPING, EXCEPTION, STOP_FAILED]
    assert "at the end" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [
        ["lifespan.shutdown.complete"],
        ["lifespan.startup.complete", "lifespan.startup.complete"],
        ["lifespan.startup.complete", "lifespan.startup.failed"],
        ["http.response.start"],
    ],
)
def test_messages_out_of_turn(messages: list[str], lines: Any) -> None:
    raised = []

    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send({"type": message})
        except RuntimeError as error:
            raised.append(str(error))
            raise

    Run(wrong)
    assert len(raised) == 1
    assert repr(messages[-1]) in raised[0]


def test_cancel(lines: Any) -> None:
    """A server that ends at once cancels the application, which is then no failure of it."""
    ended = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        lifespan = Lifespan(Config(waits, log_config=None))
        await lifespan.startup()
        await lifespan.cancel()

    camshaft.run(main())
    assert ended
    assert lines() == [WAITING, COMPLETE]


@pytest.mark.parametrize("own", [False, True])
def test_cancelled_application_that_tells_of_it(own: bool, lines: Any) -> None:
    """As Starlette does, by a traceback. What its end raises otherwise is an error."""

    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            try:
                await receive()
            finally:
                if own:
                    raise ValueError("not closed")
        except BaseException:
            text = traceback.format_exc()
            await send({"type": "lifespan.shutdown.failed", "message": text})
            raise

    async def main() -> None:
        lifespan = Lifespan(Config(tells, interface="asgi3", log_config=None))
        await lifespan.startup()
        await asyncio.sleep(0)
        await lifespan.cancel()

    camshaft.run(main())
    more = lines()[2:]
    assert len(more) == own
    assert not own or more[0].endswith("ValueError: not closed\n")
