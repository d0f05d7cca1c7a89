# SPDX-License-Identifier: MIT
"""What a server counts, and how Prometheus reads it."""

import sys
import time
from typing import Any

import pytest

from camshaft import _core
from camshaft.server.metrics import metrics_application
from camshaft.settings import ConfigError
from tests.asgi.conftest import Serve
from tests.asgi.websocket import echo, open_websocket


async def app(scope: Any, receive: Any, send: Any) -> None:
    status = int(scope["path"].removeprefix("/"))
    if status == 1:
        raise ValueError
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def request(path: str, extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{extra}\r\n".encode()


def test_answers_are_counted_by_status(start: Serve) -> None:
    served = start(app, metrics=True)
    for path in ("/200", "/404", "/200", "/1"):
        served.ask(request(path))
    served.ask(b"nonsense\r\n\r\n")
    counted = served.call(served.http.metrics)
    assert counted["answers"] == {200: 2, 400: 1, 404: 1, 500: 1}
    assert counted["connections"] == 5
    # What was no request took no time.
    assert counted["buckets"][-1] == (float("inf"), 4)
    counts = [count for _, count in counted["buckets"]]
    assert counts == sorted(counts)
    assert counted["seconds"] > 0


def test_the_loop_is_late_when_it_is_blocked(start: Serve) -> None:

    served = start(app, metrics=True)
    with served.connect() as client:
        client.send(b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_response()
        # The sweep of idle connections is a timer of at most a second.
        served.call(time.sleep, 1.2)
        served.until(lambda: served.http.metrics()["late_most"] > 0.1)
        assert served.call(served.http.metrics)["late_most"] < 0.1


def test_a_server_that_nobody_watches_counts_nothing(start: Serve) -> None:
    served = start(app)
    served.ask(request("/200"))
    assert served.http.metrics() is None


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("", "text/plain"), ("Accept: application/openmetrics-text\r\n", "application/openmetrics")],
)
def test_prometheus_reads_them(start: Serve, accept: str, kind: str) -> None:
    pytest.importorskip("prometheus_client", reason="an extra: camshaft[metrics]")
    watched = start(app, metrics=True)
    for path in ("/200", "/200", "/503"):
        watched.ask(request(path))
    # They are counted when they are out, which is after the client may have them.
    watched.until(lambda: watched.http.requests == 3)
    shown = start(metrics_application(watched.http))
    response = shown.ask(request("/metrics", accept))
    assert response.status == 200
    assert (response.get("content-type") or "").startswith(kind)
    lines = response.body.decode().splitlines()
    ends = [line.partition("{")[0] + " " + line.rpartition(" ")[2] for line in lines]
    first = next(line for line in lines if line.startswith("camshaft_responses_total{"))
    assert 'status="200"' in first and first.endswith(" 2.0")
    assert "camshaft_request_duration_seconds_count 3.0" in ends
    assert "camshaft_connections_total 3.0" in ends
    assert any(end.startswith("camshaft_lost_log_lines_total ") for end in ends)
    assert any(line.startswith("python_gc") for line in lines)


def test_metrics_are_only_read(start: Serve) -> None:
    pytest.importorskip("prometheus_client", reason="an extra: camshaft[metrics]")
    watched = start(app, metrics=True)
    shown = start(metrics_application(watched.http))
    response = shown.ask(b"DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert response.status == 405
    assert response.get("allow") == "GET, HEAD"


def test_a_missing_library_is_named(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    watched: _core.HttpServer = start(app, metrics=True).http
    with pytest.raises(ConfigError, match=r"pip install prometheus_client"):
        metrics_application(watched)


def test_a_path_of_the_servers_own(start: Serve) -> None:
    logged: list[Any] = []

    async def own(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"] == "/mounted/own"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    served = start(
        app,
        own_paths={b"/own": own},
        root_path="/mounted",
        access_log=lambda *arguments: logged.append(arguments),
    )
    assert served.ask(request("/own")).status == 204
    assert not logged
    # The application gets all others; it takes the path for a status here, which these are not.
    for path in ("/own/", "/ow", "/owns", "/%6fwn"):
        assert served.ask(request(path)).status == 500
    # The line is written after the answer.
    served.until(lambda: len(logged) == 4)


def test_a_path_of_its_own_is_shown_by_a_full_server(start: Serve) -> None:
    async def own(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    served = start(app, own_paths={b"/own": own}, concurrency=1)
    assert served.ask(request("/200")).status == 503
    assert served.ask(request("/own")).status == 204


def test_websockets_are_counted(start: Serve) -> None:
    served = start(echo, metrics=True)
    with open_websocket(served) as first, open_websocket(served):
        counted = served.call(served.http.metrics)
        assert counted["websockets"] == 2 and counted["answers"] == {101: 2}
        first.finish()
        served.until(lambda: served.http.metrics()["websockets"] == 1)
    served.until(lambda: served.http.metrics()["websockets"] == 0)


@pytest.mark.parametrize("own_paths", [5, {"/own": app}])
def test_own_paths_are_bytes(own_paths: Any) -> None:
    with pytest.raises(TypeError):
        _core.HttpServer(app, loop=None, own_paths=own_paths)  # type: ignore[arg-type]
