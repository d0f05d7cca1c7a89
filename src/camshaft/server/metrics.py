# SPDX-License-Identifier: MIT
"""What a server counts, for Prometheus: the application behind the setting `metrics`.

The text is made by the package prometheus_client, an extra (`pip install camshaft[metrics]`), in
the format that the scraper asks for. It begins with what camshaft counts; the metrics that the
application itself has in prometheus_client's default registry come after it.
"""

import asyncio
import functools
import importlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from camshaft._core import FastAPIRouter, HttpServer
from camshaft.binds import Bind
from camshaft.lost_lines import lost_lines
from camshaft.server.listeners import bind_host
from camshaft.settings import ConfigError, metrics_place

logger = logging.getLogger("uvicorn.error")


Counted = dict[str, Any]
"""What HttpServer.metrics() says, with the connections and requests that there are."""

Others = Callable[[], dict[int, Counted]]
"""Tells what the other workers have counted, by the numbers of their processes."""


def counted_by(server: HttpServer, fastapi: FastAPIRouter | None = None) -> Counted | None:
    """Return what a server has counted; None of one that does not count.

    `fastapi` is the router that counts the requests of a FastAPI application.
    """
    own = server.metrics()
    if own is None:
        return None
    counted: Counted = {
        **own,
        "open": server.connections,
        "running": server.tasks,
        "lost": server.access_log_dropped + lost_lines(),
        "fastapi": {},
    }
    if fastapi is not None:
        counted["fastapi"] = {
            "native": fastapi.native_count - fastapi.replayed_count,
            "replayed": fastapi.replayed_count,
            "fallback": fastapi.fallback_count,
        }
    return counted


def no_others() -> dict[int, Counted]:
    """There are no other workers."""
    return {}


class _Collector:
    """The metrics of one server, and those of other workers, as prometheus_client collects them."""

    def __init__(
        self, server: HttpServer, fastapi: FastAPIRouter | None, others: Others, core: Any
    ) -> None:
        self._server = server
        self._fastapi = fastapi
        self._others = others
        self._core = core

    def collect(self) -> Iterator[Any]:
        own = counted_by(self._server, self._fastapi)
        if own is None:
            return
        workers = [(str(pid), counted) for pid, counted in self._others().items()]
        workers.append((str(os.getpid()), own))
        core = self._core
        responses = core.CounterMetricFamily(
            "camshaft_responses", "Complete responses, by status.", labels=["worker", "status"]
        )
        durations = core.HistogramMetricFamily(
            "camshaft_request_duration_seconds",
            "Seconds from a request's head to the end of its response.",
            labels=["worker"],
        )
        connections = core.CounterMetricFamily(
            "camshaft_connections", "Connections ever made.", labels=["worker"]
        )
        lost = core.CounterMetricFamily(
            "camshaft_lost_log_lines",
            "Lines of the logs that their output has not taken.",
            labels=["worker"],
        )
        for worker, counted in workers:
            for status, count in sorted(counted["answers"].items()):
                responses.add_metric([worker, str(status)], count)
            durations.add_metric(
                [worker],
                [
                    ("+Inf" if bound == float("inf") else str(bound), n)
                    for bound, n in counted["buckets"]
                ],
                counted["seconds"],
            )
            connections.add_metric([worker], counted["connections"])
            lost.add_metric([worker], counted["lost"])
        yield responses
        yield durations
        yield connections
        yield lost
        for name, text, key in _GAUGES:
            family = core.GaugeMetricFamily(name, text, labels=["worker"])
            for worker, counted in workers:
                family.add_metric([worker], counted[key])
            yield family
        if self._fastapi is not None:
            family = core.CounterMetricFamily(
                "camshaft_fastapi_requests",
                "Requests to a FastAPI application, by who answered them.",
                labels=["worker", "way"],
            )
            for worker, counted in workers:
                for way, count in counted["fastapi"].items():
                    family.add_metric([worker, way], count)
            yield family


_GAUGES = (
    ("camshaft_open_connections", "Connections now open.", "open"),
    ("camshaft_open_websockets", "WebSockets now open.", "websockets"),
    ("camshaft_running_requests", "Requests whose task has not ended.", "running"),
    (
        "camshaft_loop_lag_seconds",
        "By how much the event loop was late with the last of the server's timers.",
        "late",
    ),
    (
        "camshaft_loop_lag_seconds_max",
        "The most that it was late since the metrics were read before.",
        "late_most",
    ),
)


def metrics_application(
    server: HttpServer, fastapi: FastAPIRouter | None = None, others: Others = no_others
) -> Callable[..., Any]:
    """Return the ASGI application that shows the metrics of a server made with that option.

    `fastapi` is the router that counts the requests of a FastAPI application.
    Raises ConfigError if prometheus_client is not installed.
    """
    try:
        library = importlib.import_module("prometheus_client")
        core = importlib.import_module("prometheus_client.core")
        exposition = importlib.import_module("prometheus_client.exposition")
    except ImportError:
        raise ConfigError(
            "metrics", None, "it needs prometheus_client: pip install prometheus_client"
        ) from None
    registry = library.CollectorRegistry()
    registry.register(_Collector(server, fastapi, others, core))

    async def show(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("metrics are read by HTTP")
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
        encode, content_type = exposition.choose_encoder(accept.decode("latin-1"))
        allowed = scope["method"] in ("GET", "HEAD")
        body = encode(_Both(registry, library.REGISTRY)) if allowed else b"Use GET.\n"
        headers = [
            (b"content-type", content_type.encode() if allowed else b"text/plain"),
            (b"content-length", b"%d" % len(body)),
        ]
        if not allowed:
            headers.append((b"allow", b"GET, HEAD"))
        await send(
            {"type": "http.response.start", "status": 200 if allowed else 405, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})

    return show


class _Both:
    """Two registries read one after the other."""

    def __init__(self, *registries: Any) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Any]:
        for registry in self._registries:
            yield from registry.collect()


class Metrics:
    """The metrics of a server: at a path of its own, or on an address of their own.

    `others` tells of the workers beside it, `sockets` are bound to the address by somebody else.
    Raises ConfigError if prometheus_client is not installed.
    """

    def __init__(
        self, place: str, others: Others = no_others, sockets: list[socket.socket] | None = None
    ) -> None:
        self._place = metrics_place(place)
        self._others = others
        self._sockets = sockets
        self._application: Callable[..., Any] | None = None
        self._counted: Callable[[], Counted | None] = lambda: None
        self._listening: list[asyncio.Server] = []

    @property
    def own_paths(self) -> dict[bytes, Callable[..., Any]] | None:
        """What an HttpServer is given to show them, if they are at a path."""
        return {self._place.encode("ascii"): self._show} if isinstance(self._place, str) else None

    async def _show(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert self._application is not None
        await self._application(scope, receive, send)

    def watch(self, server: HttpServer, fastapi: FastAPIRouter | None = None) -> None:
        """Show the metrics of this server, which was made to count."""
        self._application = metrics_application(server, fastapi, self._others)
        self._counted = functools.partial(counted_by, server, fastapi)

    def counted(self) -> Counted | None:
        """Return what the server has counted, for other workers to show; None if nothing is."""
        return self._counted()

    async def listen(self) -> None:
        """Listen, if they have an address of their own. Raises ListenError."""
        if isinstance(self._place, str):
            return
        loop = asyncio.get_running_loop()
        http = HttpServer(self._show, loop=loop)
        host, port = self._place
        sockets = self._sockets
        if sockets is None:
            sockets = await bind_host(Bind(host=host, port=port), "--metrics")
        for sock in sockets:
            sock.setblocking(False)
            self._listening.append(await loop.create_server(http, sock=sock))

    def log_started(self) -> None:
        """Tell where they are, if they have an address of their own."""
        for server in self._listening:
            host, port = server.sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            logger.info("Metrics on http://%s:%d/metrics", shown, port)

    def close(self) -> None:
        """Stop listening, if they have an address of their own."""
        for server in self._listening:
            server.close()
        self._listening = []
