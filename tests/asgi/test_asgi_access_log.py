# SPDX-License-Identifier: MIT
"""The access log: lines that the server makes itself are those that `logging` would make, and it
makes them only as long as nobody would see the difference."""

import io
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from camshaft.logging import LOGGING_CONFIG, AccessFormatter
from camshaft.server import access
from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Served, answer, get

FORMAT = LOGGING_CONFIG["formatters"]["access"]["fmt"]


class Output:
    """The logger as LOGGING_CONFIG sets it up, with a file of ours for standard output."""

    def __init__(self, path: Path | str, *, colors: bool = False) -> None:
        self.path = path
        self.stream = open(path, "w", encoding="utf-8")
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(AccessFormatter(FORMAT, use_colors=colors))
        self.records: list[logging.LogRecord] = []
        access.logger.handlers = [self.handler]
        access.logger.propagate = False
        access.logger.setLevel(logging.INFO)

    def text(self) -> str:
        return Path(self.path).read_text(encoding="utf-8")

    def close(self) -> None:
        self.stream.close()


@pytest.fixture
def restored() -> Iterator[None]:
    """Put the logger back as it was."""
    logger = access.logger
    kept = logger.handlers, logger.filters, logger.level, logger.propagate, logger.disabled
    logger.filters = []
    yield
    logger.handlers, logger.filters, level, logger.propagate, logger.disabled = kept
    logger.setLevel(level)
    logging.disable(logging.NOTSET)


@pytest.fixture
def output(tmp_path: Path, restored: None) -> Iterator[Output]:
    made = Output(tmp_path / "log")
    yield made
    made.close()


async def app(scope: Any, receive: Any, send: Any) -> None:
    status = re.match(r"/(\d{3})", scope["path"])
    await answer(send, status=int(status[1]) if status else 200)


class Calls:
    """How many lines were logged by Python."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *arguments: Any) -> None:
        self.count += 1
        access.log(*arguments)


def serve(start: Serve, application: Any = app, **options: Any) -> tuple[Served, Calls]:
    calls = Calls()
    # pytest adds its own to a logger that does not propagate.
    access.logger.handlers = [h for h in access.logger.handlers if type(h).__module__ == "logging"]
    options = {"access_log": calls, "plain_log": access.plain, **options}
    return start(application, **options), calls


def lines(served: Served, output: Output, count: int) -> list[str]:
    """Wait for so many lines and return them, without the client's port."""
    served.until(lambda: output.text().count("\n") >= count)
    return re.sub(r"127\.0\.0\.1:\d+", "CLIENT", output.text()).splitlines()


TARGETS = [
    "/",
    "/200?a=b&c=%20",
    "/304",
    "/404/a%20b/%C3%A9%0d%0a%1b[31m?x=%1b",
    "/413",
    "/500",
    "/299",
    "/a?",
    "/" + "x" * 2000,
    "/a\"'(),;:@&=+$!*~_.-",
]


@pytest.mark.parametrize("colors", [False, True])
def test_lines_are_those_of_logging(
    start: Serve, tmp_path: Path, restored: None, colors: bool
) -> None:
    got = []
    for plain in (access.plain, None):
        output = Output(tmp_path / f"log-{plain is None}", colors=colors)
        served, calls = serve(start, plain_log=plain)
        for version in ("1.1", "1.0"):
            for target in TARGETS:
                served.ask(get(target, version=version))
        served.ask(get("/", method="M-SEARCH"))
        count = 2 * len(TARGETS) + 1
        got.append(lines(served, output, count))
        assert calls.count == (count if plain is None else 0)
        output.close()
    assert got[0] == got[1]
    assert len(got[0]) == 2 * len(TARGETS) + 1
    first = 'INFO:     CLIENT - "GET / HTTP/1.1" 200 OK'
    painted = (
        '\033[32mINFO\033[0m:     CLIENT - "\033[1mGET / HTTP/1.1\033[0m" \033[32m200 OK\033[0m'
    )
    assert got[0][0] == (painted if colors else first)
    assert all(line.isprintable() for line in got[0]) is not colors


def test_lines_keep_the_order_of_what_is_printed(start: Serve, output: Output) -> None:
    async def printing(scope: Any, receive: Any, send: Any) -> None:
        output.stream.write("before\n")
        await answer(send)

    served, calls = serve(start, printing)
    for _ in range(3):
        served.ask(get())
    got = lines(served, output, 6)
    assert got == ["before", 'INFO:     CLIENT - "GET / HTTP/1.1" 200 OK'] * 3
    assert calls.count == 0


def test_pipelined_lines_are_all_there(start: Serve, output: Output) -> None:
    served, calls = serve(start)
    with served.connect() as client:
        client.send(get("/a") * 2000)
        for _ in range(2000):
            client.read_response()
    assert len(set(lines(served, output, 2000))) == 1
    assert len(lines(served, output, 2000)) == 2000
    assert calls.count == 0
    assert served.http.access_log_dropped == 0


# ---- changes at run time ----


class Listening(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.got.append(record)


def silence(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    access.logger.setLevel(logging.WARNING)


def silence_handler(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    output.handler.setLevel(logging.WARNING)


def disable(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    access.logger.disabled = True


def disable_all(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.disable(logging.INFO)


def refuse(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    access.logger.addFilter(lambda record: False)


def refuse_in_handler(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    output.handler.addFilter(lambda record: False)


def remove(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    access.logger.removeHandler(output.handler)
    access.logger.addHandler(logging.NullHandler())


def mute(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.logger, "info", lambda *_: None)


def redirect(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    output.handler.setStream(io.StringIO())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        silence,
        silence_handler,
        disable,
        disable_all,
        refuse,
        refuse_in_handler,
        remove,
        mute,
        redirect,
    ],
)
def test_lines_end_with_the_next_request(
    start: Serve, output: Output, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    """Whatever is done to the logging: the request that comes after it is logged by that."""
    served, calls = serve(start)
    served.ask(get("/before"))
    lines(served, output, 1)
    assert calls.count == 0
    served.call(change, output, monkeypatch)
    served.ask(get("/after"))
    served.until(lambda: calls.count == 1)
    assert len(lines(served, output, 1)) == 1


def test_another_handler_gets_records(start: Serve, output: Output) -> None:
    """With the arguments that uvicorn's have."""
    served, calls = serve(start)
    served.ask(get("/before"))
    lines(served, output, 1)
    listening = Listening()
    served.call(access.logger.addHandler, listening)
    served.ask(get("/a%20b?c"))
    served.until(lambda: bool(listening.got))
    [record] = listening.got
    arguments: Any = record.args
    assert arguments[1:] == ("GET", "/a%20b?c", "1.1", 200)
    assert record.msg == '%s - "%s %s HTTP/%s" %d'
    assert len(lines(served, output, 2)) == 2
    assert calls.count == 1


def test_another_format(start: Serve, output: Output) -> None:
    served, calls = serve(start)
    served.ask(get("/before"))
    lines(served, output, 1)
    formatter = AccessFormatter("%(status_code)s!", use_colors=False)
    served.call(output.handler.setFormatter, formatter)
    served.ask(get("/after"))
    assert lines(served, output, 2)[1] == "200 OK!"
    assert calls.count == 1


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (logging.Logger, "callHandlers"),
        (logging.Logger, "makeRecord"),
        (logging.Handler, "handle"),
        (logging.StreamHandler, "emit"),
        (AccessFormatter, "values"),
    ],
)
def test_what_is_patched_is_called(
    start: Serve, output: Output, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """As Sentry and tracing do it."""
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: original(*args, **kwargs))
    served, calls = serve(start)
    served.ask(get())
    lines(served, output, 1)
    assert calls.count == 1


def test_patched_later_is_seen_within_a_second(
    start: Serve, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, calls = serve(start)
    served.ask(get())
    original = logging.getLogRecordFactory()
    made: list[Any] = []

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made.append(args)
        return original(*args, **kwargs)

    logging.setLogRecordFactory(factory)
    try:
        # Asked again and again, because it is looked at once a second.
        for _ in range(2000):
            served.ask(get())
            if made:
                break
            time.sleep(0.005)
    finally:
        logging.setLogRecordFactory(original)
    assert made
    assert calls.count >= 1


def test_unbuffered_output(start: Serve, output: Output) -> None:
    """As PYTHONUNBUFFERED makes standard output."""
    raw = io.FileIO(output.path, "w")
    output.handler.setStream(io.TextIOWrapper(raw, encoding="utf-8", write_through=True))  # type: ignore[arg-type]
    served, calls = serve(start)
    served.ask(get())
    assert lines(served, output, 1) == ['INFO:     CLIENT - "GET / HTTP/1.1" 200 OK']
    assert calls.count == 0


def test_stream_that_is_no_file(start: Serve, restored: None) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(AccessFormatter(FORMAT, use_colors=False))
    access.logger.handlers = [handler]
    access.logger.propagate = False
    access.logger.setLevel(logging.INFO)
    served, calls = serve(start)
    served.ask(get())
    served.until(lambda: stream.getvalue().endswith("\n"))
    assert calls.count == 1
    assert stream.getvalue().endswith('"GET / HTTP/1.1" 200 OK\n')


def test_stream_that_is_closed(start: Serve, output: Output) -> None:
    """Its number is another file's by then: nothing of ours goes there."""
    served, _ = serve(start)
    served.ask(get("/before"))
    lines(served, output, 1)
    number = output.stream.fileno()
    reader, writer = os.pipe()
    output.stream.close()
    try:
        os.dup2(writer, number)
        os.set_blocking(reader, False)
        assert served.ask(get("/after")).status == 200
        served.until(lambda: served.http.tasks == 0)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(number)
        os.close(reader)
        os.close(writer)


# ---- outputs that do not take it ----


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_lines_held_are_not_those_of_a_forked_child(start: Serve, output: Output) -> None:
    servers: list[Any] = []

    async def forking(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)  # and its line waits for the end of the turn
        child = os.fork()
        if child == 0:
            servers[0].flush_access_log(1000)
            os._exit(0)
        os.waitpid(child, 0)

    served, _ = serve(start, forking)
    servers.append(served.http)
    served.ask(get("/one"))
    served.ask(get("/two"))
    found = lines(served, output, 2)
    assert [line.partition('"GET ')[2] for line in found] == [
        '/one HTTP/1.1" 200 OK',
        '/two HTTP/1.1" 200 OK',
    ]


def test_full_disk(start: Serve, restored: None) -> None:
    output = Output("/dev/full")
    served, calls = serve(start)
    for _ in range(20):
        assert served.ask(get()).status == 200
    served.until(lambda: served.http.access_log_dropped == 20)
    told = [message for message in served.log.messages if "No space left" in message]
    assert len(told) == 1
    assert calls.count == 0
    access.logger.handlers = []
    output.handler.close()
    output.close()


def test_closed_pipe(start: Serve, restored: None) -> None:
    reader, writer = os.pipe()
    output = Output(f"/proc/self/fd/{writer}")
    os.close(writer)
    served, _ = serve(start)
    served.ask(get())
    served.until(lambda: len(os.read(reader, 1000)) > 10)
    os.close(reader)
    for _ in range(20):
        assert served.ask(get()).status == 200
    served.until(lambda: served.http.access_log_dropped == 20)
    assert [message for message in served.log.messages if "Broken pipe" in message]
    output.close()


def test_pipe_that_nobody_reads(start: Serve, restored: None) -> None:
    """The server goes on; what the pipe and a bounded buffer hold is there afterwards, in whole
    lines, and what is not is counted."""
    reader, writer = os.pipe()
    output = Output(f"/proc/self/fd/{writer}")
    os.close(writer)
    served, calls = serve(start)
    count = 6000
    target = "/" + "x" * 100
    with served.connect() as client:
        for _ in range(count // 100):
            client.send(get(target) * 100)
            for _ in range(100):
                assert client.read_response().status == 200
    served.until(lambda: served.http.access_log_dropped > 0)
    dropped = served.http.access_log_dropped
    os.set_blocking(reader, False)
    text = b""

    def read() -> bool:
        nonlocal text
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            pass
        return text.count(b"\n") == count - dropped

    served.until(read)
    assert served.http.access_log_dropped == dropped
    assert calls.count == 0
    form = rb'INFO:     127\.0\.0\.1:\d+ - "GET /x{100} HTTP/1\.1" 200 OK'
    assert all(re.fullmatch(form, line) for line in text.splitlines())
    served.ask(get())
    served.until(lambda: read() or text.endswith(b'"GET / HTTP/1.1" 200 OK\n'))
    os.close(reader)
    output.close()


def test_flush_waits_for_the_reader(start: Serve, restored: None) -> None:
    """As long as it is asked to, for all that is held."""
    reader, writer = os.pipe()
    output = Output(f"/proc/self/fd/{writer}")
    os.close(writer)
    served, _ = serve(start)
    count = 1500  # more than a pipe holds, and less than the server does
    with served.connect() as client:
        for _ in range(count // 100):
            client.send(get("/" + "x" * 100) * 100)
            for _ in range(100):
                assert client.read_response().status == 200
    text = bytearray()

    def read() -> None:
        while text.count(b"\n") < count:
            text.extend(os.read(reader, 65536))

    thread = threading.Thread(target=read, daemon=True)

    def flush() -> bool:
        """In one step of the loop: no timer of the server's own comes in between."""
        served.http.flush_access_log(1)
        thread.start()
        served.http.flush_access_log(60_000)
        thread.join(LIMIT)
        return not thread.is_alive()

    assert served.call(flush)
    output.close()
    os.close(reader)


class Details:
    """The arguments of each line, with details."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> None:
        self.lines.append(arguments)


def test_details(start: Serve) -> None:
    details = Details()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"a", b"b")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        assert not details.lines
        await send({"type": "http.response.body", "body": b"45"})

    served = start(app, access_log=details, access_details=True)
    assert served.ask(get("/p?q")).status == 201
    served.until(lambda: details.lines)
    address, method, path, version, status, headers, sent_headers, sent, seconds = details.lines[0]
    assert address.startswith("127.0.0.1:")
    assert (method, path, version, status, sent) == ("GET", "/p?q", "1.1", 201, 5)
    assert (b"host", b"example") in headers and sent_headers == [(b"a", b"b")]
    assert 0 <= seconds < LIMIT
    assert len(details.lines) == 1


def test_details_of_an_answer_that_nobody_waits_for(start: Serve) -> None:
    details = Details()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    served = start(app, access_log=details, access_details=True)
    with served.connect() as client:
        client.send(get("/"))
        client.read_head()
    served.until(lambda: details.lines)
    assert details.lines[0][4] == 200 and details.lines[0][6:8] == (None, 3)
    served.until(lambda: not served.http.tasks)
    assert len(details.lines) == 1


def test_details_that_cannot_be_logged(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is sent whatever the log's function does."""
    raised: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda hook: raised.append(hook.exc_type))

    def refuse(*arguments: Any) -> None:
        raise ZeroDivisionError

    served = start(app, access_log=refuse, access_details=True)
    assert served.ask(get("/")).status == 200
    served.until(lambda: raised == [ZeroDivisionError])
