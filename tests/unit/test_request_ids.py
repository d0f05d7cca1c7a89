# SPDX-License-Identifier: MIT
"""Ids of requests: which are taken, and who is told of them."""

import asyncio
import io
import json
import logging
import re
from typing import Any

import pytest

import camshaft
from camshaft.config import Config
from camshaft.logging import LOGGING_CONFIG, DefaultFormatter
from camshaft.request_ids import RequestIds, current_request_id
from camshaft.server.server import Server
from camshaft.settings import ConfigError

MADE = re.compile(r"[0-9a-f]{32}")


def told(
    headers: list[tuple[bytes, bytes]], answer: list[tuple[bytes, bytes]], kind: str = "http"
) -> tuple[str, dict[str, Any]]:
    """The id that an application is told of, and its answer as it is sent."""
    seen: list[str] = []
    sent: list[Any] = []
    start = "websocket.accept" if kind == "websocket" else "http.response.start"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["state"]["request_id"] == current_request_id.get()
        seen.append(scope["state"]["request_id"])
        await send({"type": start, "headers": answer})
        await send({"type": "other"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        await RequestIds(app, "X-Request-ID")({"type": kind, "headers": headers}, None, send)  # type: ignore[arg-type]

    asyncio.run(main())
    assert sent[1] == {"type": "other"}
    return seen[0], sent[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("value", [b"a", b"x" * 128, b"Root=1-67891233-abcdef012345678912345678"])
def test_sane_ids_are_taken(value: bytes, kind: str) -> None:
    found, start = told([(b"x-request-id", value)], [(b"a", b"b")], kind)
    assert found == value.decode()
    assert start["headers"] == [(b"a", b"b"), (b"x-request-id", value)]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-other", b"a")],
        [(b"x-request-id", b"")],
        [(b"x-request-id", b"x" * 129)],
        [(b"x-request-id", b"a b")],
        [(b"x-request-id", b'a"')],
        [(b"x-request-id", b"\xe9")],
        [(b"x-request-id", b"a\n")],
        [(b"x-request-id", b"a"), (b"x-request-id", b"b")],
    ],
)
def test_others_are_made(headers: list[tuple[bytes, bytes]]) -> None:
    found, start = told(headers, [])
    assert MADE.fullmatch(found)
    assert start["headers"] == [(b"x-request-id", found.encode())]
    assert told(headers, [])[0] != found


def test_the_applications_own_header_stays() -> None:
    _, start = told([], [(b"X-Request-Id", b"own")])
    assert start["headers"] == [(b"X-Request-Id", b"own")]


def test_formatters_have_it() -> None:
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, "message", (), None)
    formatter = DefaultFormatter("%(request_id)s %(message)s", use_colors=False)
    assert formatter.format(record) == "- message"
    token = current_request_id.set("an-id")
    try:
        assert formatter.format(record) == "an-id message"
    finally:
        current_request_id.reset(token)


@pytest.mark.parametrize("name", ["", "a b", "a:", "é"])
def test_the_header_must_be_one(name: str) -> None:
    with pytest.raises(ConfigError, match="no header name"):
        Config(lambda: None, log_config=None, request_id_header=name)


async def failing(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/fail":
        raise ZeroDivisionError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": b"12345"})


def log_of(**settings: Any) -> tuple[list[bytes], list[str]]:
    """What a server answers to two requests, and the lines that it logs."""
    stream = io.StringIO()
    handler = {"class": "logging.StreamHandler", "stream": stream}
    config = {
        **LOGGING_CONFIG,
        "handlers": {
            "default": {**handler, "formatter": "default"},
            "access": {**handler, "formatter": "access"},
        },
    }
    names = ("uvicorn", "uvicorn.error", "uvicorn.access")
    kept = [
        (logger, logger.handlers, logger.level, logger.propagate)
        for logger in map(logging.getLogger, names)
    ]
    answers: list[bytes] = []

    async def main() -> None:
        server = Server(
            Config(failing, port=0, lifespan="off", log_config=config, log_level="info", **settings)
        )
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.001)
        address = server.servers[0].sockets[0].getsockname()  # type: ignore[attr-defined]
        for path in (b"/path?q=1", b"/fail"):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(
                b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nX-Request-ID: given\r\n"
                b"Connection: close\r\n\r\n"
            )
            answers.append(await reader.read())
            writer.close()
        server.should_exit = True
        await serving

    try:
        camshaft.run(main())
    finally:
        for logger, handlers, level, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    return answers, stream.getvalue().splitlines()


def test_json_lines_of_a_server() -> None:
    answers, lines = log_of(log_format="json", request_id_header="X-Request-ID")
    assert b"\r\nx-request-id: given\r\n" in answers[0]
    records = [json.loads(line) for line in lines]
    access = [record for record in records if record["logger"] == "uvicorn.access"]
    assert [record["status"] for record in access] == [200, 500]
    assert access[0]["path"] == "/path?q=1" and access[0]["bytes"] == 5
    assert access[0]["duration"] >= 0 and access[0]["request_id"] == "given"
    (error,) = (record for record in records if record["level"] == "ERROR")
    assert "ZeroDivisionError" in error["exception"] and error["request_id"] == "given"
    assert all("request_id" not in record for record in records if "Started" in record["message"])


def test_lines_in_a_format_of_ones_own() -> None:
    _, lines = log_of(
        access_log_format='mine %(h)s "%(r)s" %(s)s %(b)s %({x-a}o)s %({host}i)s %(request_id)s',
        request_id_header="X-Request-ID",
    )
    assert [line for line in lines if line.startswith("mine")] == [
        'mine 127.0.0.1 "GET /path?q=1 HTTP/1.1" 200 5 1 a given',
        'mine 127.0.0.1 "GET /fail HTTP/1.1" 500 21 - a given',
    ]
