# SPDX-License-Identifier: MIT
"""The settings that limit clients, and what they become of the server in C."""

import asyncio
import logging
from typing import Any

import pytest

from camshaft.config import Config
from camshaft.server import http
from camshaft.server.server import Server
from camshaft.settings import ConfigError


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not called")


# Setting: the option of HttpServer, its default, another value.
LIMITS: dict[str, tuple[str, Any, Any]] = {
    "timeout_keep_alive": ("keep_alive", 5, 7),
    "timeout_request_header": ("head_timeout", 30, 7),
    "timeout_request_body": ("body_timeout", 60, None),
    "timeout_response_write": ("write_timeout", 60, None),
    "min_request_rate": ("body_rate", 240, 0),
    "min_response_rate": ("write_rate", 240, 0),
    "limit_request_line": ("request_line", 16384, 100),
    "limit_header_line": ("header_line", 16384, 100),
    "limit_header_count": ("header_count", 128, 100),
    "limit_header_bytes": ("head_bytes", 65536, 100),
    "h11_max_incomplete_event_size": ("head_bytes", 65536, 100),
    "limit_request_body": ("body_bytes", None, 100),
    "limit_chunk_extensions": ("extension_bytes", 4096, 100),
    "limit_trailer_bytes": ("trailer_bytes", 8192, 100),
    "limit_connections": ("connections", None, 100),
    "limit_connections_per_address": ("address_connections", None, 100),
    "limit_connection_requests": ("connection_requests", None, 100),
    "limit_concurrency": ("concurrency", None, 100),
}


def options_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    config.load()
    monkeypatch.setattr(http, "HttpServer", lambda app, **options: options)
    loop = asyncio.new_event_loop()
    try:
        options: Any = http.http_server(config, loop, {})
    finally:
        loop.close()
    return dict(options)


@pytest.mark.parametrize("name", LIMITS)
def test_setting_reaches_the_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    option, default, other = LIMITS[name]
    assert options_of(Config(app), monkeypatch)[option] == default
    assert options_of(Config(app, **{name: other}), monkeypatch)[option] == other


@pytest.mark.parametrize("name", [*LIMITS, "limit_max_requests", "limit_max_requests_jitter"])
def test_negative_limit(name: str) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", "-")):
        Config(app, **{name: -1})


@pytest.mark.parametrize("name", ["limit_request_line", "limit_header_count"])
def test_limit_that_would_refuse_everything(name: str) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Config(app, **{name: 0})


def test_limit_and_jitter() -> None:
    """Drawn once for each run, from none to all of the jitter."""
    assert Server(Config(app)).limit_max_requests is None
    assert Server(Config(app, limit_max_requests=3)).limit_max_requests == 3
    limits = set()
    for _ in range(200):
        server = Server(Config(app, limit_max_requests=3, limit_max_requests_jitter=2))
        assert server.limit_max_requests == server.limit_max_requests
        limits.add(server.limit_max_requests)
    assert limits == {3, 4, 5}


@pytest.mark.parametrize("obeys", [True, False])
def test_streams_are_told_of_the_end(obeys: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Before timeout_graceful_shutdown is over; who does not return by then is cancelled."""
    told: list[str] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
            told.append("http.disconnect")
            while not obeys:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def run() -> None:
        config = Config(stream, port=0, timeout_graceful_shutdown=0.6, log_config=None)
        server = Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"begun")
        server.should_exit = True
        await task
        writer.close()

    with caplog.at_level(logging.INFO, "uvicorn.error"):
        asyncio.run(run())
    assert told == (["http.disconnect"] if obeys else ["http.disconnect", "cancelled"])
    assert any("Cancel 1 running task(s)" in line for line in caplog.messages) is not obeys


def test_pausing_is_another_option(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(app, limit_concurrency=3, limit_concurrency_mode="pause")
    options = options_of(config, monkeypatch)
    assert (options["concurrency"], options["pause_at"]) == (None, 3)
    assert options_of(Config(app, limit_concurrency=3), monkeypatch)["pause_at"] is None


@pytest.mark.parametrize("limit", [None, 0])
def test_pausing_needs_a_limit(limit: int | None) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Config(app, limit_concurrency=limit, limit_concurrency_mode="pause", log_config=None)


def test_pausing_needs_our_own_http_and_loop(caplog: pytest.LogCaptureFixture) -> None:
    settings: dict[str, Any] = {
        "limit_concurrency": 1,
        "limit_concurrency_mode": "pause",
        "log_config": None,
        "lifespan": "off",
        "port": 0,
    }

    async def main(**more: Any) -> None:
        await Server(Config(app, **settings, **more)).serve()

    with pytest.raises(ConfigError, match="own --http"):
        asyncio.run(main(http=asyncio.Protocol))
    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert "needs camshaft's own loop" in caplog.text
