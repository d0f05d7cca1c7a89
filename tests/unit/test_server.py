# SPDX-License-Identifier: MIT
"""The server's life, with the HTTP part replaced by one that the tests steer."""

import asyncio
import contextvars
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import camshaft
from camshaft.application import Receive, Scope, Send
from camshaft.config import Config
from camshaft.server.server import Server

LIMIT = 60
REQUESTS: contextvars.ContextVar[str] = contextvars.ContextVar("REQUESTS", default="unset")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


class FakeHttp:
    """Stands for _core.HttpServer: what is asked of it, and counts that the test sets."""

    def __init__(self) -> None:
        self.connections = 0
        self.tasks = 0
        self.asked: list[str] = []
        self.asked_before_flush: list[str] = []
        self.made = 0
        self.on_shutdown: Callable[[], None] = lambda: None
        self.on_cancel: Callable[[], None] = lambda: None

    def __call__(self) -> asyncio.Protocol:
        self.made += 1
        return asyncio.Protocol()

    def shutdown(self, websocket_code: int = 1012, linger: float = 0, /) -> None:
        self.asked.append("shutdown")
        self.on_shutdown()

    def disconnect(self) -> None:
        self.asked.append("disconnect")

    def remaining(self, limit: int = 10, /) -> list[str]:
        return ["GET '/' of 127.0.0.1:1"]

    def cancel(self) -> None:
        self.asked.append("cancel")
        self.on_cancel()

    def abort(self) -> None:
        self.asked.append("abort")
        self.connections = self.tasks = 0

    def flush_access_log(self, patience: int = 0, /) -> None:
        self.asked_before_flush = list(self.asked)


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> FakeHttp:
    fake = FakeHttp()
    monkeypatch.setattr("camshaft.server.server.http_server", lambda *_: fake)
    return fake


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "uvicorn.error")
    return lambda: [record.getMessage() for record in caplog.records]


def server_for(**settings: Any) -> Server:
    return Server(Config(app, port=0, log_config=None, **settings))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


async def run_and(server: Server, steps: Callable[[], Any]) -> None:
    """Serve, do the steps once it has started, and wait for its end."""
    serving = asyncio.ensure_future(server.serve())
    try:
        await until(lambda: server.started or serving.done())
        await steps()
        await asyncio.wait_for(serving, LIMIT)
    finally:
        serving.cancel()


def test_lines_of_a_run(http: FakeHttp, lines: Any) -> None:
    server = server_for()

    async def steps() -> None:
        server.should_exit = True

    camshaft.run(run_and(server, steps))
    started = lines()[3]
    assert started.startswith("Camshaft running on http://127.0.0.1:")
    assert started.endswith(" (Press CTRL+C to quit)")
    assert lines() == [
        f"Started server process [{os.getpid()}]",
        "Waiting for application startup.",
        "Application startup complete.",
        started,
        "Shutting down",
        "Waiting for application shutdown.",
        "Application shutdown complete.",
        f"Finished server process [{os.getpid()}]",
    ]
    assert http.asked == ["shutdown"]


def test_startup_and_shutdown_by_hand(http: FakeHttp, lines: Any) -> None:
    """As frameworks do that have a loop, signals and an end of their own."""

    async def main() -> None:
        server = server_for()
        await server.startup()
        assert server.started
        _, writer = await asyncio.open_connection(
            *server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
        )
        await until(lambda: http.made == 1)
        writer.close()
        await server.shutdown()

    camshaft.run(main())
    assert lines()[-2:] == ["Waiting for application shutdown.", "Application shutdown complete."]
    assert http.asked == ["shutdown"]


def test_exit_is_asked_for_from_another_thread(http: FakeHttp) -> None:
    server = server_for()

    async def steps() -> None:
        other = threading.Thread(target=setattr, args=(server, "should_exit", True))
        other.start()
        other.join(LIMIT)

    camshaft.run(run_and(server, steps))
    assert http.asked == ["shutdown"]


def test_run_in_another_thread(http: FakeHttp) -> None:
    server = server_for()
    thread = threading.Thread(target=server.run)
    thread.start()
    pause = threading.Event()
    for _ in range(LIMIT * 100):
        if server.started:
            break
        pause.wait(0.01)
    server.should_exit = True
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert server.started
    # Its loop is closed; to ask again is no error.
    server.should_exit = True


def test_exit_asked_for_before_the_start(http: FakeHttp) -> None:
    server = server_for()
    server.should_exit = True
    server.run()
    assert http.asked == ["shutdown"]


def test_waits_for_connections_and_tasks(http: FakeHttp, lines: Any) -> None:
    server = server_for()
    http.connections, http.tasks = 2, 3

    async def steps() -> None:
        server.should_exit = True
        await until(lambda: "Waiting for connections to close. (CTRL+C to force quit)" in lines())
        assert "Waiting for background tasks to complete. (CTRL+C to force quit)" not in lines()
        http.connections = 0
        await until(
            lambda: "Waiting for background tasks to complete. (CTRL+C to force quit)" in lines()
        )
        assert "Waiting for application shutdown." not in lines()
        http.tasks = 0

    camshaft.run(run_and(server, steps))
    assert http.asked == ["shutdown"]
    assert "Application shutdown complete." in lines()


def test_timeout_cancels(http: FakeHttp, lines: Any) -> None:
    server = server_for(timeout_graceful_shutdown=0.2)
    http.connections, http.tasks = 1, 4

    def on_cancel() -> None:
        http.connections = http.tasks = 0

    http.on_cancel = on_cancel

    async def steps() -> None:
        server.should_exit = True

    camshaft.run(run_and(server, steps))
    assert "Cancel 4 running task(s), timeout graceful shutdown exceeded" in lines()
    assert http.asked == ["shutdown", "disconnect", "cancel", "abort"]
    assert http.asked_before_flush == http.asked
    assert "Application shutdown complete." in lines()


def test_tasks_that_ignore_cancellation_do_not_keep_it(
    http: FakeHttp, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camshaft.server.server._CLEANUP_LIMIT", 0.05)
    server = server_for(timeout_graceful_shutdown=0)
    http.connections = http.tasks = 1

    async def steps() -> None:
        server.should_exit = True

    camshaft.run(run_and(server, steps))
    assert http.asked == ["shutdown", "disconnect", "cancel", "abort"]
    assert http.asked_before_flush == http.asked


def test_force_exit_skips_the_rest(http: FakeHttp, lines: Any) -> None:
    server = server_for()
    http.connections = http.tasks = 1

    async def steps() -> None:
        server.should_exit = True
        await until(lambda: "Shutting down" in lines())
        server.force_exit = True

    camshaft.run(run_and(server, steps))
    assert http.asked == ["shutdown", "abort"]
    assert http.asked_before_flush == http.asked
    assert "Waiting for application shutdown." not in lines()
    assert lines()[-1].startswith("Finished server process")


def test_force_exit_during_the_applications_shutdown(http: FakeHttp, lines: Any) -> None:
    cancelled = []

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    server = Server(Config(stays, port=0, log_config=None))

    async def steps() -> None:
        server.should_exit = True
        await until(lambda: "Waiting for application shutdown." in lines())
        server.force_exit = True

    camshaft.run(run_and(server, steps))
    assert cancelled


def test_force_exit_during_the_applications_start(http: FakeHttp, lines: Any) -> None:
    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    server = Server(Config(stays, port=0, log_config=None))

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: "Waiting for application startup." in lines())
        server.force_exit = True
        await asyncio.wait_for(serving, LIMIT)

    camshaft.run(main())
    assert not server.started


def test_application_that_cannot_start(http: FakeHttp, lines: Any) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no"})

    server = Server(Config(fails, port=0, log_config=None))
    with pytest.raises(SystemExit) as caught:
        server.run()
    assert caught.value.code == 3
    assert not server.started
    assert lines()[-2:] == ["no", "Application startup failed. Exiting."]


def test_port_in_use(http: FakeHttp, lines: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = Server(Config(app, port=other.getsockname()[1], log_config=None))
        with pytest.raises(SystemExit) as caught:
            server.run()
    assert caught.value.code == 3
    assert lines()[2] == "Application startup complete."
    assert "address already in use" in lines()[3]
    assert lines()[4:] == ["Waiting for application shutdown.", "Application shutdown complete."]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_and_are_raised_again(number: signal.Signals, http: FakeHttp) -> None:
    server = server_for()
    caught: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(number, lambda each, _: caught.append(each))

    async def steps() -> None:
        os.kill(os.getpid(), number)

    try:
        camshaft.run(run_and(server, steps))
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert http.asked == ["shutdown"]
    assert caught == [number]


def test_second_interrupt_forces(http: FakeHttp) -> None:
    server = server_for()
    server.handle_exit(signal.SIGTERM)
    server.handle_exit(signal.SIGTERM)
    assert server.should_exit
    assert not server.force_exit
    server.handle_exit(signal.SIGINT)
    assert server.force_exit


def test_sockets_of_the_caller(http: FakeHttp, lines: Any) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    server = server_for()

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        await until(lambda: server.started)
        _, writer = await asyncio.open_connection(*address)
        await until(lambda: http.made == 1)
        writer.close()
        server.should_exit = True
        await asyncio.wait_for(serving, LIMIT)

    camshaft.run(main())
    # Whoever opened the sockets says so.
    assert not [line for line in lines() if "running on" in line]
    assert sock.fileno() == -1


@pytest.mark.parametrize(("reset", "seen"), [(False, b"set"), (True, b"unset")])
def test_reset_contextvars(reset: bool, seen: bytes) -> None:
    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": REQUESTS.get().encode()})

    config = Config(
        tells, port=0, log_config=None, lifespan="off", reset_contextvars=reset, access_log=False
    )
    server = Server(config)
    answers = []

    async def steps() -> None:
        address = server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answers.append(await asyncio.wait_for(reader.read(), LIMIT))
        writer.close()
        server.should_exit = True

    async def main() -> None:
        REQUESTS.set("set")
        await run_and(server, steps)

    camshaft.run(main())
    assert answers[0].endswith(b"\r\n\r\n" + seen)


def test_unix_socket_is_removed(http: FakeHttp, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = server_for(uds=str(path))

    async def steps() -> None:
        assert path.is_socket()
        server.should_exit = True

    camshaft.run(run_and(server, steps))
    assert not path.exists()


def test_unix_socket_of_a_successor_stays(http: FakeHttp, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = server_for(uds=str(path))
    successor = socket.socket(socket.AF_UNIX)

    async def steps() -> None:
        path.rename(tmp_path / "old")
        successor.bind(str(path))
        server.should_exit = True

    with successor:
        camshaft.run(run_and(server, steps))
        assert path.is_socket()


def refused_at(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) != 0


@pytest.mark.parametrize("loop", [camshaft.new_event_loop, asyncio.new_event_loop])
def test_cancelled_server_leaves_nothing_behind(http: FakeHttp, lines: Any, loop: Any) -> None:
    server = server_for()
    http.connections = http.tasks = 1

    def on_cancel() -> None:
        http.connections = http.tasks = 0

    http.on_cancel = on_cancel

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.started)
        address = server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
        serving.cancel()
        await asyncio.wait([serving], timeout=LIMIT)
        assert serving.cancelled()
        assert refused_at(address)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert http.asked == ["shutdown", "cancel", "abort"]
    assert http.asked_before_flush == http.asked
    assert lines()[-1] == "Application shutdown complete."


def test_cancelled_start(http: FakeHttp) -> None:
    cancelled = []

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    server = Server(Config(stays, port=0, log_config=None))

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.lifespan is not None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving], timeout=LIMIT)
        assert serving.cancelled()

    camshaft.run(main())
    assert cancelled == [True]


def test_cancelled_twice(http: FakeHttp, lines: Any) -> None:
    """The second time, the application's shutdown is not waited for either."""
    cancelled = []

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    server = Server(Config(stays, port=0, log_config=None))

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.started)
        serving.cancel()
        await until(lambda: "Waiting for application shutdown." in lines())
        assert not serving.done()
        serving.cancel()
        await asyncio.wait([serving], timeout=LIMIT)
        assert serving.cancelled()

    camshaft.run(main())
    assert cancelled == [True]


def test_cancelled_after_a_shutdown_by_hand(http: FakeHttp, lines: Any) -> None:
    """As uvicorn's own tests end a server."""
    server = server_for()

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.started)
        await server.shutdown()
        await server.shutdown()
        serving.cancel()
        await asyncio.wait([serving], timeout=LIMIT)

    camshaft.run(main())
    assert http.asked == ["shutdown"]
    assert lines().count("Shutting down") == 1


def test_notifies(http: FakeHttp) -> None:
    notified = asyncio.Event()
    times = []

    async def notify() -> None:
        times.append(len(times))
        if len(times) == 3:
            notified.set()

    server = server_for(callback_notify=notify, timeout_notify=0)

    async def steps() -> None:
        await asyncio.wait_for(notified.wait(), LIMIT)
        server.should_exit = True

    camshaft.run(run_and(server, steps))
    assert http.asked == ["shutdown"]


def test_notification_that_fails_ends_it_gracefully(http: FakeHttp, lines: Any) -> None:
    async def notify() -> None:
        raise ZeroDivisionError

    server = server_for(callback_notify=notify)
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert http.asked == ["shutdown"]
    assert "Application shutdown complete." in lines()


@pytest.mark.parametrize("loop", [camshaft.new_event_loop, asyncio.new_event_loop])
def test_signal_handlers_of_the_loop_are_put_back(http: FakeHttp, loop: Any) -> None:
    server = server_for()
    caught = []

    async def steps() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, caught.append, "loop")
        await run_and(server, steps)
        assert caught == ["loop"]
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: len(caught) == 2)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
