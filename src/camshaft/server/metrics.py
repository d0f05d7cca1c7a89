# SPDX-License-Identifier: MIT
"""What a server counts, for Prometheus: the application behind the setting `metrics`.

The text is made by the package prometheus_client, an extra (`pip install camshaft[metrics]`), in
the format that the scraper asks for. It begins with what camshaft counts; the metrics that the
application itself has in prometheus_client's default registry come after it.
"""

import asyncio
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from camshaft._core import FastAPIRouter, HttpServer
from camshaft.binds import Bind
from camshaft.server.listeners import bind_host
from camshaft.settings import ConfigError, metrics_place

logger = logging.getLogger("uvicorn.error")


class _Collector:
    """The metrics of one server, as prometheus_client collects them."""

    def __init__(self, server: HttpServer, core: Any, fastapi: FastAPIRouter | None) -> None:
        self._server = server
        self._fastapi = fastapi
        self._core = core
        self._labels = ["worker"]
        self._worker = [str(os.getpid())]

    def _gauge(self, name: str, text: str, value: float) -> Any:
        family = self._core.GaugeMetricFamily(name, text, labels=self._labels)
        family.add_metric(self._worker, value)
        return family

    def collect(self) -> Iterator[Any]:
        counted = self._server.metrics()
        if counted is None:
            return
        core = self._core
        responses = core.CounterMetricFamily(
            "camshaft_responses", "Complete responses, by status.", labels=[*self._labels, "status"]
        )
        for status, count in sorted(counted["answers"].items()):
            responses.add_metric([*self._worker, str(status)], count)
        yield responses
        durations = core.HistogramMetricFamily(
            "camshaft_request_duration_seconds",
            "Seconds from a request's head to the end of its response.",
            labels=self._labels,
        )
        durations.add_metric(
            self._worker,
            [
                ("+Inf" if bound == float("inf") else str(bound), n)
                for bound, n in counted["buckets"]
            ],
            counted["seconds"],
        )
        yield durations
        connections = core.CounterMetricFamily(
            "camshaft_connections", "Connections ever made.", labels=self._labels
        )
        connections.add_metric(self._worker, counted["connections"])
        yield connections
        yield self._gauge(
            "camshaft_open_connections", "Connections now open.", self._server.connections
        )
        yield self._gauge("camshaft_open_websockets", "WebSockets now open.", counted["websockets"])
        yield self._gauge(
            "camshaft_running_requests", "Requests whose task has not ended.", self._server.tasks
        )
        yield self._gauge(
            "camshaft_loop_lag_seconds",
            "By how much the event loop was late with the last of the server's timers.",
            counted["late"],
        )
        yield self._gauge(
            "camshaft_loop_lag_seconds_max",
            "The most that it was late since the metrics were read before.",
            counted["late_most"],
        )
        if self._fastapi is not None:
            yield self._fastapi_requests(self._fastapi)

    def _fastapi_requests(self, router: FastAPIRouter) -> Any:
        family = self._core.CounterMetricFamily(
            "camshaft_fastapi_requests",
            "Requests to a FastAPI application, by who answered them.",
            labels=[*self._labels, "way"],
        )
        for way, count in (
            ("native", router.native_count - router.replayed_count),
            ("replayed", router.replayed_count),
            ("fallback", router.fallback_count),
        ):
            family.add_metric([*self._worker, way], count)
        return family


def metrics_application(
    server: HttpServer, fastapi: FastAPIRouter | None = None
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
    registry.register(_Collector(server, core, fastapi))

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

    Raises ConfigError if prometheus_client is not installed.
    """

    def __init__(self, place: str) -> None:
        self._place = metrics_place(place)
        self._application: Callable[..., Any] | None = None
        self._listening: list[asyncio.Server] = []

    @property
    def own_paths(self) -> dict[bytes, Callable[..., Any]] | None:
        """What an HttpServer is given to show them, if they are at a path."""
        return {self._place.encode("ascii"): self._show} if isinstance(self._place, str) else None

    async def _show(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert self._application is not None
        await self._application(scope, receive, send)

    def watch(self, server: HttpServer, fastapi: FastAPIRouter | None = None) -> None:
        """Show the metrics of this server, which was made to count, and of its application."""
        self._application = metrics_application(server, fastapi)

    async def listen(self) -> None:
        """Listen, if they have an address of their own. Raises ListenError."""
        if isinstance(self._place, str):
            return
        loop = asyncio.get_running_loop()
        http = HttpServer(self._show, loop=loop)
        host, port = self._place
        for sock in await bind_host(Bind(host=host, port=port), "--metrics"):
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
