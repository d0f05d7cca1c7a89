# SPDX-License-Identifier: MIT
"""What a server counts, for Prometheus: the application behind the setting `metrics`.

The text is made by the package prometheus_client, an extra (`pip install camshaft[metrics]`), in
the format that the scraper asks for. It begins with what camshaft counts; the metrics that the
application itself has in prometheus_client's default registry come after it.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from camshaft._core import HttpServer
from camshaft.settings import ConfigError


class _Collector:
    """The metrics of one server, as prometheus_client collects them."""

    def __init__(self, server: HttpServer, core: Any) -> None:
        self._server = server
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


def metrics_application(server: HttpServer) -> Callable[..., Any]:
    """Return the ASGI application that shows the metrics of a server made with that option.

    Raises ConfigError if prometheus_client is not installed.
    """
    try:
        library = importlib.import_module("prometheus_client")
        core = importlib.import_module("prometheus_client.core")
        exposition = importlib.import_module("prometheus_client.exposition")
    except ImportError:
        raise ConfigError(
            "metrics", None, "it needs prometheus_client: pip install camshaft[metrics]"
        ) from None
    registry = library.CollectorRegistry()
    registry.register(_Collector(server, core))

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
