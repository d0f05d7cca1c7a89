# SPDX-License-Identifier: MIT
"""The cases of response_cases.py, over a socket; and what does not fit into a table."""

import asyncio
from typing import Any

import pytest

from camshaft import Config, _core
from tests.asgi.conftest import Serve
from tests.asgi.harness import LOOPS, Served, answer, get, serve
from tests.asgi.response_cases import CUT, REFUSED, SENT, Cut, Refused, Sent, body, head


@pytest.fixture(scope="module", params=list(LOOPS))
def case(request: pytest.FixtureRequest) -> Any:
    """Serve what `case.events` says, and note what it raised; one server for all cases."""

    class Player:
        events: Any = ()
        served: Served

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/next":
                await answer(send, b"next")
                return
            *good, last = self.events
            for event in good:
                await send(event)
            if scope["path"] == "/caught":
                with pytest.raises(Exception):
                    await send(last)
                if not any(event["type"] == "http.response.start" for event in good):
                    await answer(send, b"caught")
                return
            await send(last)

    player = Player()
    with serve(player, LOOPS[request.param]) as served:
        player.served = served
        yield player


def name_of(row: Any) -> str:
    return row.name


def test_there_are_enough_of_them() -> None:
    rows = [*REFUSED, *CUT, *SENT]
    assert len(rows) >= 200
    names = [(type(row), row.name) for row in rows]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", REFUSED, ids=name_of)
def test_refused(case: Any, row: Refused) -> None:
    """The application gets the exception, the client 500, and the next client what it asks for."""
    case.events = row.events
    log = case.served.log
    log.records.clear()
    response = case.served.ask(get())
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert response.get("connection") == "close"
    [(level, message, error)] = log.records
    assert (level, message) == ("error", "Exception in ASGI application\n")
    assert type(error) is row.error
    assert row.text in str(error)
    assert case.served.ask(get("/next")).body == b"next"
    assert case.served.loop_errors == []


@pytest.mark.parametrize("row", [row for row in REFUSED if len(row.events) == 1], ids=name_of)
def test_refused_and_survived(case: Any, row: Refused) -> None:
    """An application that catches the exception may still answer: nothing is left of the event."""
    case.events = row.events
    case.served.log.records.clear()
    response = case.served.ask(get("/caught"))
    assert (response.status, response.body) == (200, b"caught")
    assert [name for name, _ in response.headers] == ["date", "server", "content-length"]
    assert case.served.log.records == []


@pytest.mark.parametrize("row", CUT, ids=name_of)
def test_cut(case: Any, row: Cut) -> None:
    """What is out stays what it is; the connection ends, so that nobody takes it for all."""
    case.events = row.events
    case.served.log.records.clear()
    with case.served.connect() as client:
        client.send(get() + get("/next"))
        assert client.read_head().status == 200
        assert client.read_all() == row.sent
    error = case.served.log.records[0][2]
    assert type(error) is RuntimeError
    assert row.text in str(error)


@pytest.mark.parametrize("row", SENT, ids=name_of)
def test_sent(case: Any, row: Sent) -> None:
    case.events = row.events
    case.served.log.records.clear()
    with case.served.connect() as client:
        client.send(get("/", *row.ask, version=row.version, method=row.method))
        response = client.read_response(method=row.method)
        assert (response.status, response.body) == (row.status, row.body)
        rest = [pair for pair in response.headers if pair[0] not in ("date", "server")]
        assert rest == row.headers
        assert len(response.all("date")) == 1
        assert response.all("server") == row.server
        if row.alive:
            client.send(get("/next"))
            assert client.read_response().body == b"next"
        else:
            assert client.at_end()
    case.served.until(lambda: case.served.http.tasks == 0)
    assert case.served.log.records == []


def test_reason_phrases(start: Serve) -> None:
    """RFC 9112, 4: those of the registry, and an empty one where there is none."""
    served = start(lambda scope, receive, send: answer(send, status=int(scope["path"][1:])))
    for status, reason in ((200, "OK"), (418, "I'm a Teapot"), (299, ""), (599, "")):
        assert served.ask(get(f"/{status}")).reason == reason


def test_own_fields_give_way(start: Serve) -> None:
    """Of the application's, the configuration's and our own Server and Date there is one."""
    fields = [(b"server", b"configured"), (b"date", b"never"), (b"x-a", b"1")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = [(b"server", b"app"), (b"date", b"then")] if scope["path"] == "/own" else []
        await answer(send, headers=own)

    served = start(app, headers=fields)
    response = served.ask(get("/own"))
    assert (response.get("server"), response.get("date")) == ("app", "then")
    assert response.get("x-a") == "1"
    response = served.ask(get())
    assert (response.get("server"), response.get("date")) == ("configured", "never")


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"transfer-encoding", b"connection", b"keep-alive"]
)
def test_configured_fields_do_not_frame(name: bytes) -> None:
    loop: Any = None
    with pytest.raises(ValueError, match="for the server to say"):
        _core.HttpServer(lambda: None, loop=loop, headers=[(name, b"0")])
    with pytest.raises(ValueError, match="the server says that itself"):
        Config(lambda: None, log_config=None, headers=[(name.decode(), "0")])


class Reentrant:
    """Headers that send events themselves while they are gone through."""

    def __init__(self, send: Any, events: list[Any]) -> None:
        self.send = send
        self.events = events

    def __iter__(self) -> Any:
        for event in self.events:
            self.send(event)
        yield (b"x-outer", b"1")


@pytest.mark.parametrize(
    "events", [[head(201)], [head(201), body(b"a", True)], [head(201), body(b"ab")]]
)
def test_answer_that_is_begun_while_its_headers_are_read(start: Serve, events: list[Any]) -> None:
    """It goes on as it was begun; the outer event is refused if anybody is left to be told."""
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = Reentrant(send, events)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        except RuntimeError as error:
            errors.append(str(error))
        if len(events) < 2 or events[-1]["more_body"]:
            await send(body(b"b"))

    served = start(app)
    with served.connect() as client:
        client.send(get())
        response = client.read_response()
        assert response.status == 201
        assert response.get("x-outer") is None
        client.send(get())
        assert client.read_response().status == 201
    served.until(lambda: served.http.tasks == 0)
    assert served.log.records == []


def test_events_of_several_tasks_are_sent_in_the_order_of_their_calls(start: Serve) -> None:
    """Each event is whole, however many tasks wait for the peer at once."""
    count, size = 40, 250_000  # more than two kernels' buffers hold, so that they do wait

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head())
        await send(body(b"", True))

        async def one(at: int) -> None:
            await send(body(b"%02d" % at * size, True))

        await asyncio.gather(*(one(at) for at in range(count)))
        await send(body())

    served = start(app)
    with served.connect() as client:
        client.send(get())
        client.read_head()
        served.until(lambda: served.http.tasks == 1)
        assert [client.read_chunk() for _ in range(count)] == [
            b"%02d" % at * size for at in range(count)
        ]
        assert client.read_chunk() == b""
    assert served.log.records == []


def test_send_after_the_end_in_every_way(start: Serve) -> None:
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"a")
        for event in (body(), head(), {"type": "a"}):
            try:
                await send(event)
            except RuntimeError as error:
                errors.append(str(error))

    served = start(app)
    with served.connect() as client:
        client.send(get() * 2)
        for _ in range(2):
            assert client.read_response().body == b"a"
    served.until(lambda: len(errors) == 6)
    assert all("after response already completed" in error for error in errors)
