# SPDX-License-Identifier: MIT
"""Answers: the bytes that events become, and the events that are refused."""

import asyncio
import re
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Log, answer, get, post

START = "http.response.start"
BODY = "http.response.body"


def sending(*events: Any) -> Any:
    """Return an application that sends the events."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in events:
            await send(event)

    return app


def head(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": START, "status": status, "headers": list(headers)}


def body(data: Any = b"", more: bool = False) -> dict[str, Any]:
    return {"type": BODY, "body": data, "more_body": more}


def test_bytes_of_a_small_answer(start: Serve) -> None:
    served = start(sending(head(200, (b"X-Upper", b"Value")), body(b"hello")))
    with served.connect() as client:
        client.send(get())
        text = client.read_until(b"hello").decode()
    assert re.fullmatch(
        r"HTTP/1\.1 200 OK\r\nx-upper: Value\r\n"
        r"date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n"
        r"server: camshaft\r\ncontent-length: 5\r\n\r\nhello",
        text,
    )


def test_chunks(start: Serve) -> None:
    served = start(sending(head(), body(b"a" * 300, True), body(b"", True), body(b"bc")))
    with served.connect() as client:
        client.send(get())
        response = client.read_head()
        assert response.get("transfer-encoding") == "chunked"
        assert response.get("content-length") is None
        assert [client.read_chunk() for _ in range(3)] == [b"a" * 300, b"bc", b""]


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 3_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sizes_and_kinds_of_bodies(start: Serve, size: int, kind: Any) -> None:
    data = b"x" * size
    served = start(sending(head(), body(kind(data), True), body(kind(data))))
    assert served.ask(get()).body == data * 2
    served = start(sending(head(), body(kind(data))))
    response = served.ask(get())
    assert response.body == data
    assert response.get("content-length") == str(size)


def test_missing_keys_have_defaults(start: Serve) -> None:
    response = start(sending({"type": START, "status": 201}, {"type": BODY})).ask(get())
    assert (response.status, response.reason, response.body) == (201, "Created", b"")


def test_headers_may_be_any_iterable(start: Serve) -> None:
    for headers in (((b"a", b"1"),), [[b"a", b"1"]], iter([(b"a", b"1")]), {b"a": b"1"}.items()):
        served = start(sending({"type": START, "status": 200, "headers": headers}, body()))
        assert served.ask(get()).get("a") == "1"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(start: Serve, status: int) -> None:
    """What the application sends all the same must not be taken for the next answer."""
    events = [head(status, (b"content-length", b"5")), body(b"hello")]
    served = start(sending(*events))
    with served.connect() as client:
        for _ in range(2):
            client.send(get())
            response = client.read_response()
            assert response.status == status
            assert response.get("transfer-encoding") is None
            # RFC 9110, 8.6: 204 has none; in 304 it tells of the answer to a GET.
            assert response.get("content-length") == (None if status == 204 else "5")
        client.sock.shutdown(1)
        assert client.at_end()


def test_head(start: Serve) -> None:
    for events in (
        [head(200, (b"content-length", b"5")), body(b"hello")],
        [head(200, (b"content-length", b"5")), body()],
        [head(), body(b"hello", True), body(b"hello")],
        [head(), body(b"hello")],
    ):
        served = start(sending(*events))
        with served.connect() as client:
            for _ in range(2):
                client.send(get(method="HEAD"))
                response = client.read_response(method="HEAD")
                assert response.status == 200
                assert response.get("transfer-encoding") is None
            client.sock.shutdown(1)
            assert client.at_end()


def test_old_version(start: Serve) -> None:
    """HTTP/1.0 knows no chunks, and is kept alive only if it asks for it."""
    app = sending(head(), body(b"a", True), body(b"b"))
    with start(app).connect() as client:
        client.send(get(version="1.0"))
        response = client.read_response()
        assert response.body == b"ab"
        assert response.get("transfer-encoding") is None
        assert response.get("connection") == "close"
    served = start(sending(head(200, (b"content-length", b"1")), body(b"a")))
    with served.connect() as client:
        for _ in range(2):
            client.send(get("/", "Connection: Keep-Alive", version="1.0"))
            response = client.read_response()
            assert (response.body, response.get("connection")) == (b"a", "keep-alive")
        client.send(get(version="1.0"))
        assert client.read_response().get("connection") == "close"
        assert client.at_end()


def test_date_and_server_are_not_repeated(start: Serve) -> None:
    served = start(sending(head(200, (b"Date", b"then"), (b"SERVER", b"mine")), body()))
    response = served.ask(get())
    assert (response.all("date"), response.all("server")) == (["then"], ["mine"])


def test_date_and_server_can_be_left_out(start: Serve) -> None:
    served = start(sending(head(), body()), date_header=False, server_header=False)
    assert [name for name, _ in served.ask(get()).headers] == ["content-length"]


def test_headers_of_the_server(start: Serve) -> None:
    """They are in every answer; a Server or Date among them takes the place of the default."""
    served = start(sending(head(), body()), headers=[(b"X-One", b"1"), (b"Server", b"other")])
    response = served.ask(get())
    assert (response.get("x-one"), response.get("server")) == ("1", "other")
    with served.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().get("x-one") == "1"


def test_transfer_encoding_of_the_application_is_ignored(start: Serve) -> None:
    events = [head(200, (b"transfer-encoding", b"chunked")), body(b"hello")]
    response = start(sending(*events)).ask(get())
    assert (response.get("content-length"), response.body) == ("5", b"hello")
    assert response.get("transfer-encoding") is None
    events = [
        head(200, (b"transfer-encoding", b"chunked"), (b"content-length", b"5")),
        body(b"hello"),
    ]
    response = start(sending(*events)).ask(get())
    assert (response.get("content-length"), response.body) == ("5", b"hello")
    assert response.get("transfer-encoding") is None


def test_close_by_the_application(start: Serve) -> None:
    served = start(sending(head(200, (b"Connection", b"x, Close")), body(b"a")))
    with served.connect() as client:
        client.send(get())
        response = client.read_response()
        assert response.all("connection") == ["x, Close"]
        assert client.at_end()


def test_close_by_the_client(start: Serve) -> None:
    with start(sending(head(), body(b"a"))).connect() as client:
        client.send(get("/", "Connection: close"))
        assert client.read_response().get("connection") == "close"
        assert client.at_end()


def test_nothing_is_sent_before_the_first_body_event(start: Serve) -> None:
    """As the ASGI specification asks; so a failure in between can still be told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head(200, (b"x", b"y")))
        raise ValueError("after the start")

    served = start(app)
    response = served.ask(get())
    assert (response.status, response.get("x")) == (500, None)
    assert response.body == b"Internal Server Error"


def test_first_body_event_is_sent_though_empty(start: Serve) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head())
        await send(body(b"", True))
        await go.wait()
        await send(body(b"x"))

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        served.call(go.set)
        assert client.read_chunk() == b"x"


OK = head(), body()
BAD = {
    "body first": ([body()], RuntimeError, "Expected ASGI message 'http.response.start'"),
    "start twice": ([head(), head()], RuntimeError, "Expected ASGI message 'http.response.body'"),
    "unknown": ([{"type": "http.nothing"}], RuntimeError, "but got 'http.nothing'"),
    "no type": ([{}], KeyError, "type"),
    "no status": ([{"type": START}], KeyError, "status"),
    "no dict": ([None], TypeError, ""),
    "status text": ([{"type": START, "status": "200"}], TypeError, ""),
    "status 101": ([head(101)], RuntimeError, "Invalid HTTP status 101"),
    "status 600": ([head(600)], RuntimeError, "Invalid HTTP status 600"),
    "status 10**30": ([head(10**30)], RuntimeError, "Invalid HTTP status 1000000"),
    "name": ([head(200, (b"a b", b""))], RuntimeError, "Invalid HTTP header name"),
    "name colon": ([head(200, (b"a:", b""))], RuntimeError, "Invalid HTTP header name"),
    "name empty": ([head(200, (b"", b""))], RuntimeError, "Invalid HTTP header name"),
    "value CRLF": ([head(200, (b"a", b"b\r\nc: d"))], RuntimeError, "Invalid HTTP header value"),
    "value LF": ([head(200, (b"a", b"b\n"))], RuntimeError, "Invalid HTTP header value"),
    "value NUL": ([head(200, (b"a", b"\0"))], RuntimeError, "Invalid HTTP header value"),
    "value text": ([head(200, (b"a", "b"))], TypeError, "must be bytes"),  # type: ignore[arg-type]
    "name text": ([head(200, ("a", b"b"))], TypeError, "must be bytes"),  # type: ignore[arg-type]
    "three": ([head(200, (b"a", b"b", b"c"))], ValueError, "pair"),  # type: ignore[arg-type]
    "no pair": ([head(200, 1)], TypeError, ""),  # type: ignore[arg-type]
    "no headers": ([{"type": START, "status": 200, "headers": 1}], TypeError, ""),
    "body text": ([head(), body("text")], TypeError, ""),
    "length sign": ([head(200, (b"content-length", b"+5"))], RuntimeError, "Content-Length"),
    "length huge": ([head(200, (b"content-length", b"9" * 30))], RuntimeError, "Content-Length"),
    "lengths": (
        [head(200, (b"content-length", b"5"), (b"content-length", b"6"))],
        RuntimeError,
        "Conflicting",
    ),
    "too long": ([head(200, (b"content-length", b"3")), body(b"four")], RuntimeError, "longer"),
    "too short": ([head(200, (b"content-length", b"5")), body(b"four")], RuntimeError, "shorter"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_events_are_refused(start: Serve, name: str) -> None:
    """They raise into the application, and as nothing is written yet the answer is 500."""
    events, kind, text = BAD[name]
    served = start(sending(*events))
    response = served.ask(get())
    assert (response.status, response.body) == (500, b"Internal Server Error")
    level, message, error = served.log.records[0]
    assert (level, message) == ("error", "Exception in ASGI application\n")
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize("name", BAD)
def test_bad_events_can_be_survived(start: Serve, name: str) -> None:
    """An application that catches the error may still answer as it should."""
    events = BAD[name][0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        *good, bad = events
        for event in good:
            await send(event)
        with pytest.raises(Exception):
            await send(bad)
        if not good:
            await send(head())
        if name == "too long":
            await send(body(b"abc"))
        elif name == "too short":
            await send(body(b"hello"))
        else:
            await send(body())

    served = start(app)
    assert served.ask(get()).status == 200
    assert served.log.records == []


def test_send_after_the_end(start: Serve) -> None:
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)
        try:
            await send(body())
        except RuntimeError as error:
            errors.append(str(error))

    served = start(app)
    assert served.ask(get()).status == 200
    served.until(lambda: bool(errors))
    assert errors == [
        "Unexpected ASGI message 'http.response.body' sent, after response already completed."
    ]


def test_same_length_twice_is_sent_once(start: Serve) -> None:
    length = (b"content-length", b"1")
    served = start(sending(head(200, length, length), body(b"a")))
    assert served.ask(get()).get("content-length") == "1"


@pytest.mark.parametrize("events", [[body(b"four")], [body(b"t", True), body(b"hree+")]])
def test_too_long_later(start: Serve, events: Any) -> None:
    served = start(sending(head(200, (b"content-length", b"3")), body(b"", True), *events))
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_all() in (b"", b"t")
    assert str(served.log.records[0][2]) == "Response content longer than Content-Length"


def test_too_short_later(start: Serve) -> None:
    served = start(sending(head(200, (b"content-length", b"9")), body(b"four", True), body(b"")))
    with served.connect() as client:
        client.send(get())
        client.read_head()
        assert client.read_all() == b"four"
    assert str(served.log.records[0][2]) == "Response content shorter than Content-Length"


def test_outbound_flow_control(start: Serve) -> None:
    """send() waits for a peer that does not read, so little of the answer is in memory."""
    sent: list[int] = []
    block = b"x" * 100_000
    count = 500

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head(200, (b"content-length", b"%d" % (len(block) * count))))
        for at in range(count):
            await send(body(block, at < count - 1))
            sent.append(at)

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        before = -1
        while before != len(sent):  # until it does not go on
            before = len(sent)
            served.run(asyncio.sleep(0.3))
        assert before < count, "the whole answer was taken, though nobody reads"
        assert client.read_exactly(len(block) * count) == block * count
    served.until(lambda: len(sent) == count)


def test_pipelined_answers_wait_for_the_peer(start: Serve) -> None:
    """Many requests for much, sent at once by a peer that does not read, do not fill memory."""
    answers: list[None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        answers.append(None)
        await answer(send, b"x" * 1_000_000)

    served = start(app)
    count = 60
    with served.connect() as client:
        client.send(get() * count)
        before = -1
        while before != len(answers):
            before = len(answers)
            served.run(asyncio.sleep(0.3))
        assert before < count, "all was answered, though nobody reads"
        for _ in range(count):
            assert len(client.read_response().body) == 1_000_000


def test_access_log(start: Serve) -> None:
    lines: list[Any] = []
    served = start(
        sending(head(201), body(b"a", True), body(b"b")),
        access_log=lambda *line: lines.append(line),
        root_path="/r",
    )
    with served.connect() as client:
        host, port = client.sock.getsockname()
        client.send(get("/a%0d%0a%1b[31m/%C3%A9~?q=%0a"))
        client.read_response()
        client.send(post(b"x").replace(b"1.1", b"1.0"))
        client.read_response()
    served.until(lambda: len(lines) == 2)
    assert lines == [
        (f"{host}:{port}", "GET", "/r/a%0D%0A%1B%5B31m/%C3%A9~?q=%0a", "1.1", 201),
        (f"{host}:{port}", "POST", "/r/", "1.0", 201),
    ]


def test_access_log_that_fails(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the log is no fault of the request."""
    seen: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda hook: seen.append(hook.exc_value))

    def log(*line: Any) -> None:
        raise ValueError("no disk")

    served = start(sending(head(), body(b"a")), access_log=log)
    assert served.ask(get()).body == b"a"
    served.until(lambda: bool(seen))
    assert [str(error) for error in seen] == ["no disk"]


def test_access_log_that_drops_the_connection(start: Serve) -> None:
    def log(*line: Any) -> None:
        served.http.abort()

    served = start(sending(head(), body(b"a" * 100_000, True), body(b"b")), access_log=log)
    for _ in range(3):
        with served.connect() as client:
            client.send(get())
            with pytest.raises((EOFError, ConnectionResetError)):
                client.read_response()
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert isinstance(served.log, Log)
