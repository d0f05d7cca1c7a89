# SPDX-License-Identifier: MIT
"""The HTTP part of a server, made from a configuration: C, or a protocol class in Python."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any

from camshaft._core import HttpServer
from camshaft.access_format import read_access_format
from camshaft.config import Config
from camshaft.logging import TRACE_LOG_LEVEL
from camshaft.middleware.proxy_headers import TrustedHosts
from camshaft.server import access
from camshaft.server.metrics import Metrics
from camshaft.server.python_http import PythonHttp
from camshaft.server.tls import TlsInfo
from camshaft.server.traced import TracedHttp
from camshaft.settings import ConfigError

Http = HttpServer | PythonHttp | TracedHttp


def http_server(
    config: Config,
    loop: asyncio.AbstractEventLoop,
    state: dict[str, Any],
    tls_info: TlsInfo | None = None,
    metrics: Metrics | None = None,
    max_requests: int | None = None,
    on_max_requests: Callable[[], object] | None = None,
) -> Http:
    """Return what serves a loaded configuration's application.

    `on_max_requests` is called once when `max_requests` have been answered.
    """
    if config.http_protocol_class is not None:
        if metrics is not None:
            raise ConfigError("metrics", config.metrics, "only camshaft's own --http counts")
        if pauses(config):
            raise ConfigError(
                "limit_concurrency_mode", "pause", "only camshaft's own --http can wait"
            )
        if config.access_log_format is not None:
            raise ConfigError(
                "access_log_format", None, "only camshaft's own --http has another than uvicorn's"
            )
        python = PythonHttp(config.http_protocol_class, config, loop, state)
        python.state.limit(max_requests, on_max_requests)
        return python
    http = native_server(config, loop, state, tls_info, metrics, max_requests, on_max_requests)
    if logging.getLogger("uvicorn.error").isEnabledFor(TRACE_LOG_LEVEL):
        return TracedHttp(http)
    return http


def native_server(
    config: Config,
    loop: asyncio.AbstractEventLoop,
    state: dict[str, Any],
    tls_info: TlsInfo | None,
    metrics: Metrics | None,
    max_requests: int | None,
    on_max_requests: Callable[[], object] | None,
) -> HttpServer:
    """Return the server in C.

    A Server or Date header of the configuration takes the place of the default one.
    """
    given = {name for name, _ in config.custom_headers}
    server = HttpServer(
        config.loaded_app,
        trace=logging.getLogger("uvicorn.error").isEnabledFor(TRACE_LOG_LEVEL),
        loop=loop,
        state=state,
        root_path=config.root_path,
        asgi_version=config.asgi_version,
        headers=config.custom_headers,
        server_header=config.server_header and b"server" not in given,
        date_header=config.date_header and b"date" not in given,
        **_access_log(config),
        tls_info=tls_info,
        metrics=metrics is not None,
        own_paths=metrics.own_paths if metrics is not None else None,
        trusted_proxies=TrustedHosts(config.forwarded_allow_ips or ())
        if config.proxy_headers
        else None,
        forwarded=config.forwarded_header == "forwarded",
        send_raises=config.asgi_spec != "2.3",
        on_max_requests=on_max_requests,
        max_requests=max_requests,
        websocket=config.ws != "none",
        ws_max_size=config.ws_max_size,
        ws_max_queue=config.ws_max_queue,
        ws_ping_interval=config.ws_ping_interval,
        ws_ping_timeout=config.ws_ping_timeout,
        ws_close_timeout=config.ws_close_timeout,
        ws_per_message_deflate=config.ws_per_message_deflate,
        **_limits(config),
        # Each request runs in a copy of it.
        context=contextvars.Context() if config.reset_contextvars else None,
    )
    if metrics is not None:
        mounted = config.fastapi_mounted
        metrics.watch(server, mounted.router if mounted is not None else None)
    return server


def pauses(config: Config) -> bool:
    """Whether the server accepts no more connections beyond the limit of them."""
    return config.limit_concurrency_mode == "pause"


def _access_log(config: Config) -> dict[str, Any]:
    """Return what the server is told of the access log."""
    log = access.access_log(enabled=config.access_log)
    given = config.access_log_format
    if log is None or (given is None and config.log_format == "text"):
        return {"access_log": log, "plain_log": access.plain}
    line = read_access_format(given) if given is not None else None
    return {"access_log": access.detailed(line), "access_details": True}


def _limits(config: Config) -> dict[str, Any]:
    """Return the limits of a configuration as the server's options."""
    head_bytes = config.limit_header_bytes
    if config.h11_max_incomplete_event_size is not None:
        # What h11 buffers of a head that is not complete is the same bound by another name.
        head_bytes = config.h11_max_incomplete_event_size
    return {
        "keep_alive": float(config.timeout_keep_alive),
        "head_timeout": config.timeout_request_header,
        "body_timeout": config.timeout_request_body,
        "write_timeout": config.timeout_response_write,
        "body_rate": config.min_request_rate,
        "write_rate": config.min_response_rate,
        "request_line": config.limit_request_line,
        "header_line": config.limit_header_line,
        "header_count": config.limit_header_count,
        "head_bytes": head_bytes,
        "body_bytes": config.limit_request_body,
        "extension_bytes": config.limit_chunk_extensions,
        "trailer_bytes": config.limit_trailer_bytes,
        "connections": config.limit_connections,
        "address_connections": config.limit_connections_per_address,
        "connection_requests": config.limit_connection_requests,
        "concurrency": None if pauses(config) else config.limit_concurrency,
        "pause_at": config.limit_concurrency if pauses(config) else None,
    }
