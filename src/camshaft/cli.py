# SPDX-License-Identifier: MIT
"""The command: `camshaft [OPTIONS] APP`, with uvicorn's options, in its order.

Every option may also be set by an environment variable, CAMSHAFT_<OPTION> or, where that is not
set, UVICORN_<OPTION>. Options of uvicorn that camshaft has not yet are known and refused (see
camshaft.unsupported), so that a command line is never half obeyed.
"""

import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from camshaft.config import INTERFACES, LIFESPANS
from camshaft.logging import LOG_LEVELS
from camshaft.server.serve import serve
from camshaft.unsupported import ConfigError

_F = TypeVar("_F", bound=Callable[..., Any])

# In the help of options that are refused.
_LATER = "  [not supported yet]"


def _variables(name: str) -> list[str]:
    """Return the environment variables of a parameter, the first one set being used."""
    return [f"{prefix}_{name.upper()}" for prefix in ("CAMSHAFT", "UVICORN")]


def _option(declaration: str, name: str | None = None, **attributes: Any) -> Callable[[_F], _F]:
    """Declare an option; `name` is the parameter's where it is not the option's."""
    parameter = name or declaration.split("/")[0].removeprefix("--").replace("-", "_")
    return click.option(declaration, parameter, envvar=_variables(parameter), **attributes)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(
            f"Running camshaft {version('camshaft')} with {platform.python_implementation()} "
            f"{platform.python_version()} on {platform.system()}"
        )
        context.exit()


def _headers(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> list[tuple[str, ...]]:
    return [tuple(header.split(":", 1)) for header in given]


@click.command()
@click.argument("app", envvar=_variables("app"))
@_option(
    "--host", default="127.0.0.1", show_default=True, help="Address or host name to listen on."
)
@_option(
    "--port",
    type=int,
    default=8000,
    show_default=True,
    help="Port to listen on; 0 lets the system choose a free one.",
)
@_option("--uds", help="Listen on a UNIX domain socket with this path instead.")
@_option("--fd", type=int, help="Listen on the socket of this file descriptor instead.")
@_option("--reload", is_flag=True, help="Restart when files change." + _LATER)
@_option(
    "--reload-dir",
    "reload_dirs",
    multiple=True,
    type=click.Path(exists=True),
    help="Directory to watch instead of the current one." + _LATER,
)
@_option(
    "--reload-include",
    "reload_includes",
    multiple=True,
    help="Pattern of files to watch." + _LATER,
)
@_option(
    "--reload-exclude",
    "reload_excludes",
    multiple=True,
    help="Pattern of files not to watch." + _LATER,
)
@_option(
    "--reload-delay",
    type=float,
    default=0.25,
    show_default=True,
    help="Seconds between two looks at the files." + _LATER,
)
@_option(
    "--workers",
    type=int,
    help="Number of processes; $WEB_CONCURRENCY if that is set, else 1. "
    "More than one is not supported yet.",
)
@_option(
    "--loop",
    metavar="[auto|camshaft|asyncio|uvloop|zuvloop]",
    default="auto",
    show_default=True,
    help="Event loop: camshaft's own unless said otherwise; "
    "or an import string of a function that makes one.",
)
@_option(
    "--http",
    metavar="[auto|camshaft]",
    default="auto",
    show_default=True,
    help="HTTP implementation; there is only camshaft's own.",
)
@_option("--http2", is_flag=True, help="Speak HTTP/2 as well." + _LATER)
@_option(
    "--ws",
    metavar="[auto|none]",
    default="auto",
    show_default=True,
    help="WebSocket implementation; there is none yet.",
)
@_option(
    "--ws-max-size",
    type=int,
    default=16 * 1024 * 1024,
    show_default=True,
    help="Largest WebSocket message in bytes." + _LATER,
)
@_option(
    "--ws-max-queue",
    type=int,
    default=32,
    show_default=True,
    help="Most WebSocket messages that wait to be received." + _LATER,
)
@_option(
    "--ws-ping-interval",
    type=float,
    default=20.0,
    show_default=True,
    help="Seconds between two WebSocket pings." + _LATER,
)
@_option(
    "--ws-ping-timeout",
    type=float,
    default=20.0,
    show_default=True,
    help="Seconds to wait for the answer to a WebSocket ping." + _LATER,
)
@_option(
    "--ws-per-message-deflate",
    type=bool,
    default=True,
    show_default=True,
    help="Compress WebSocket messages." + _LATER,
)
@_option(
    "--lifespan",
    type=click.Choice(LIFESPANS),
    default="auto",
    show_default=True,
    help="Whether the application is told of start-up and shutdown: on takes a failure of the "
    "protocol for one of the start-up, auto for an application that does not speak it.",
)
@_option(
    "--interface",
    type=click.Choice(INTERFACES),
    default="auto",
    show_default=True,
    help="How the application is called: auto finds out whether it is ASGI 3 or ASGI 2; "
    "WSGI is not supported yet.",
)
@_option("--env-file", type=click.Path(exists=True), help="File of environment variables to set.")
@_option(
    "--log-config",
    type=click.Path(exists=True),
    help="Logging configuration, by the file's name .json, .yaml or else .ini.",
)
@_option(
    "--log-level",
    type=click.Choice(list(LOG_LEVELS)),
    help="Least level of the server's log lines. [default: info]",
)
@_option(
    "--access-log/--no-access-log",
    is_flag=True,
    default=True,
    help="Whether each request is logged.",
)
@_option(
    "--use-colors/--no-use-colors",
    is_flag=True,
    default=None,
    help="Whether log lines are coloured; they are on a terminal unless said otherwise.",
)
@_option(
    "--proxy-headers/--no-proxy-headers",
    is_flag=True,
    default=False,
    help="Whether X-Forwarded-Proto and X-Forwarded-For tell scheme and client." + _LATER,
)
@_option(
    "--server-header/--no-server-header",
    is_flag=True,
    default=True,
    help="Whether responses get a Server header.",
)
@_option(
    "--date-header/--no-date-header",
    is_flag=True,
    default=True,
    help="Whether responses get a Date header.",
)
@_option("--forwarded-allow-ips", help="Proxies whose X-Forwarded-* headers are trusted." + _LATER)
@_option(
    "--root-path",
    default="",
    help="The ASGI root_path: the path below which a proxy has mounted the application.",
)
@_option(
    "--limit-concurrency",
    type=int,
    help="Most connections or tasks before the answer is 503." + _LATER,
)
@_option(
    "--backlog",
    type=int,
    default=2048,
    help="Most connections that wait to be accepted, as listen(2) takes it.",
)
@_option(
    "--limit-max-requests",
    type=int,
    help="Number of requests after which the process ends." + _LATER,
)
@_option(
    "--limit-max-requests-jitter",
    type=int,
    default=0,
    show_default=True,
    help="Most requests to add to --limit-max-requests, at random." + _LATER,
)
@_option(
    "--timeout-keep-alive",
    type=int,
    default=5,
    show_default=True,
    help="Seconds that a connection may be idle between two requests.",
)
@_option(
    "--timeout-graceful-shutdown",
    type=int,
    help="Seconds that requests get to end when the server does. [default: as many as they take]",
)
@_option(
    "--timeout-worker-healthcheck",
    type=int,
    default=5,
    show_default=True,
    help="Seconds that a worker may take to answer a health check." + _LATER,
)
@_option("--ssl-keyfile", help="File of the TLS key." + _LATER)
@_option("--ssl-certfile", help="File of the TLS certificate." + _LATER)
@_option("--ssl-keyfile-password", help="Password of the TLS key." + _LATER)
@_option(
    "--ssl-version",
    type=int,
    default=17,
    show_default=True,
    help="TLS version, as the ssl module numbers them." + _LATER,
)
@_option(
    "--ssl-cert-reqs",
    type=int,
    default=0,
    show_default=True,
    help="Whether clients need a certificate, as the ssl module numbers it." + _LATER,
)
@_option("--ssl-ca-certs", help="File of the authorities that clients' certificates need." + _LATER)
@_option("--ssl-ciphers", help="TLS ciphers, in OpenSSL's notation." + _LATER)
@_option(
    "--header",
    "headers",
    multiple=True,
    callback=_headers,
    help="Header for every response, as Name:Value; may be given several times.",
)
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    expose_value=False,
    is_eager=True,
    help="Show the versions of camshaft and Python and exit.",
)
@_option(
    "--app-dir",
    default="",
    show_default=True,
    help="Directory to import APP from, instead of the current one.",
)
@_option(
    "--h11-max-incomplete-event-size",
    type=int,
    help="Of uvicorn's h11; here what is buffered of a request is bounded anyway." + _LATER,
)
@_option(
    "--reset-contextvars",
    is_flag=True,
    help="Run requests in an empty contextvars.Context, without what start-up has set.",
)
@_option(
    "--factory",
    is_flag=True,
    help="APP is a function that takes nothing and returns the application.",
)
@click.pass_context
def main(context: click.Context, /, app: str, **settings: Any) -> None:
    """Serve APP, an ASGI application given as module:attribute."""
    try:
        serve(app, **_defaults(settings))
    except ConfigError as error:
        _refuse(context, error)


def _defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given and has its default in Config."""
    return {name: value for name, value in settings.items() if value is not None}


def _refuse(context: click.Context, error: ConfigError) -> NoReturn:
    """Say in one line what is wrong with a setting, and exit as for any other wrong usage."""
    line = f"Error: {error}"
    if context.get_parameter_source(error.setting) is ParameterSource.ENVIRONMENT:
        names = [name for name in _variables(error.setting) if os.environ.get(name)]
        line += f" (It is set by {names[0]}.)"
    click.echo(line, err=True)
    sys.exit(2)
