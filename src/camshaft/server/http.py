# SPDX-License-Identifier: MIT
"""The HTTP part of a server, made from a configuration: C, or a protocol class in Python."""

import asyncio
import contextvars
import logging
from typing import Any

from camshaft._core import HttpServer
from camshaft.config import Config
from camshaft.logging import TRACE_LOG_LEVEL
from camshaft.middleware.proxy_headers import TrustedHosts
from camshaft.server.metrics import Metrics
from camshaft.server import access
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
) -> Http:
    """Return what serves a loaded configuration's application."""
    if config.http_protocol_class is not None:
        if metrics is not None:
            raise ConfigError("metrics", config.metrics, "only camshaft's own --http counts")
        return PythonHttp(config.http_protocol_class, config, loop, state)
    http = native_server(config, loop, state, tls_info, metrics)
    if logging.getLogger("uvicorn.error").isEnabledFor(TRACE_LOG_LEVEL):
        return TracedHttp(http)
    return http


def native_server(
    config: Config,
    loop: asyncio.AbstractEventLoop,
    state: dict[str, Any],
    tls_info: TlsInfo | None,
    metrics: Metrics | None,
) -> HttpServer:
    """Return the server in C.

    A Server or Date header of the configuration takes the place of the default one.
    """
    given = {name for name, _ in config.custom_headers}
    server = HttpServer(
        config.loaded_app,
        loop=loop,
        state=state,
        root_path=config.root_path,
        asgi_version=config.asgi_version,
        headers=config.custom_headers,
        server_header=config.server_header and b"server" not in given,
        date_header=config.date_header and b"date" not in given,
        access_log=access.log if config.access_log and access.is_shown() else None,
        plain_log=access.plain,
        tls_info=tls_info,
        metrics=metrics is not None,
        own_paths=metrics.own_paths if metrics is not None else None,
        trusted_proxies=TrustedHosts(config.forwarded_allow_ips or ())
        if config.proxy_headers
        else None,
        send_raises=config.asgi_spec != "2.3",
        keep_alive=float(config.timeout_keep_alive),
        websocket=config.ws != "none",
        ws_max_size=config.ws_max_size,
        ws_max_queue=config.ws_max_queue,
        ws_ping_interval=config.ws_ping_interval,
        ws_ping_timeout=config.ws_ping_timeout,
        ws_per_message_deflate=config.ws_per_message_deflate,
        # Each request runs in a copy of it.
        context=contextvars.Context() if config.reset_contextvars else None,
    )
    if metrics is not None:
        metrics.watch(server)
    return server
