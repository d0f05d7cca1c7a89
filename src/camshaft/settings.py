# SPDX-License-Identifier: MIT
"""The settings of a server, each of them in one place: an entry of the class Settings.

An entry is the keyword of `Config` and of `serve` and its attribute, with its type and its default;
the command's option with its help; the environment's variables, CAMSHAFT_<NAME> or UVICORN_<NAME>;
and the check of what is given.

Add one below `_: KW_ONLY` and read `config.<name>` where it counts. What uvicorn has as well keeps
its name, its place, its default and its meaning. A setting whose machinery does not exist yet has
a line in `camshaft.unsupported` until it does.
"""

import asyncio
import contextlib
import importlib.util
import inspect
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from configparser import RawConfigParser
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from types import NoneType
from typing import IO, Any, ClassVar, TypeVar, dataclass_transform, get_args

from camshaft.access_format import AccessFormatError, read_access_format
from camshaft.binds import BindError, parse_bind
from camshaft.logging import LOG_LEVELS, LOGGING_CONFIG

HTTP_PROTOCOLS: dict[str, str | None] = {
    # None is what is built in.
    "auto": None,
    "camshaft": None,
    "h11": "uvicorn.protocols.http.h11_impl:H11Protocol",
    "httptools": "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
    "zttp": "uvicorn.protocols.http.zttp_impl:ZttpProtocol",
}
WS_PROTOCOLS: dict[str, str | None] = {
    "auto": None,
    "camshaft": None,
    "none": None,
    "websockets": "uvicorn.protocols.websockets.websockets_impl:WebSocketProtocol",
    "websockets-sansio": "uvicorn.protocols.websockets.websockets_sansio_impl"
    ":WebSocketsSansIOProtocol",
    "wsproto": "uvicorn.protocols.websockets.wsproto_impl:WSProtocol",
}
CONCURRENCY_MODES = ("reject", "pause")
LIFESPANS = ("auto", "on", "off")
FASTAPI_MODES = ("off", "asgi", "native", "strict")
ASGI_SPECS = ("2.5", "2.3")
FORWARDED_HEADERS = ("x-forwarded", "forwarded")
INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LogConfig = dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any]
Path = str | os.PathLike[str]
SSLContextFactory = Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext]

ProtocolClass = Callable[..., asyncio.Protocol]

Check = Callable[[Any], str | None]
"""Takes a value and returns what is wrong with it, or None."""

_C = TypeVar("_C")


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line, for the user.

    `setting` is the keyword of Config that is wrong.
    """

    def __init__(self, setting: str, value: object, reason: str) -> None:
        self.setting = setting
        given = option_name(setting)
        # A flag's value is its presence, a list's says little, and a password's is secret.
        secret = setting == "ssl_keyfile_password"
        if not secret and value is not True and isinstance(value, str | int | float):
            given = f"{given} {value}"
        self.reason = reason.removesuffix(".")
        super().__init__(f"{given}: {self.reason}.")


@dataclass(frozen=True)
class Setting:
    """One entry; see `setting`, which makes it. `name` and `annotation` are the attribute's."""

    default: Any
    help: str | None
    option: str | None
    metavar: str | None
    valued: bool
    multiple: bool
    choices: Sequence[str] | None
    exists: bool
    shown: bool
    check: Check | None
    name: str = ""
    annotation: Any = None


def setting(
    default: Any,
    help: str | None = None,
    *,
    option: str | None = None,
    metavar: str | None = None,
    valued: bool = False,
    multiple: bool = False,
    choices: Sequence[str] | None = None,
    exists: bool = False,
    shown: bool = True,
    check: Check | None = None,
) -> Any:
    """Return an entry for Settings. Without `help` the command has no option for it.

    `option`: the option's name where it is not the setting's. `valued`: a bool that the option
    takes as a value, where others are flags (`--x` if the default is False, else
    `--x/--no-x`). `multiple`: the option may be given several times. `choices`: the values there
    are. `exists`: it is the path of something that must exist. `shown`: the help shows the
    default. `check`: returns what is wrong with a value, for ConfigError.
    """
    return Setting(default, help, option, metavar, valued, multiple, choices, exists, shown, check)


@dataclass_transform(field_specifiers=(setting,))
def _table(cls: type[_C]) -> type[_C]:
    """Make a class of entries into one that is created with them as keywords.

    As a dataclass, but for the signature, whose defaults may be changeable objects: uvicorn's
    `log_config` is LOGGING_CONFIG itself, which people change before they create a Config.
    """
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    entries: dict[str, Setting] = {}
    for name, annotation in inspect.get_annotations(cls).items():
        if annotation is KW_ONLY:
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        entry = cls.__dict__.get(name, inspect.Parameter.empty)
        if isinstance(entry, Setting):
            entries[name] = replace(entry, name=name, annotation=annotation)
            entry = entry.default
            delattr(cls, name)
        elif annotation == ClassVar[Mapping[str, Setting]]:
            continue
        parameters.append(inspect.Parameter(name, kind, default=entry, annotation=annotation))
    signature = inspect.Signature(parameters)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}() {error}") from None
        bound.apply_defaults()
        del bound.arguments["self"]
        vars(self).update(bound.arguments)
        self.__post_init__()

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[method-assign]
    cls.table = entries  # type: ignore[attr-defined]
    return cls


def one_of(choices: Sequence[str]) -> Check:
    """Return the check for a setting with these values."""
    return lambda value: None if value in choices else f"one of {', '.join(choices)}"


def no_port(value: int) -> str | None:
    return None if 0 <= value <= 65535 else "a port is from 0 to 65535"


def negative_time(value: float | None) -> str | None:
    if value is None or value >= 0:
        return None
    return "a time cannot be negative" if value < 0 else "this is no time"


def not_positive_time(value: float) -> str | None:
    return None if value > 0 else "a time longer than none"


def no_bind(value: list[str] | str | None) -> str | None:
    for text in [value] if isinstance(value, str) else value or ():
        try:
            parse_bind(text)
        except BindError as error:
            # The option's value is a list, which is not shown.
            return f"{text!r}: {error}" if not isinstance(value, str) else str(error)
    return None


def no_identity(value: str | int | None) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return None
    return None if isinstance(value, int) and 0 <= value < 2**32 - 1 else "a name or a number"


def no_access_format(value: str | None) -> str | None:
    try:
        read_access_format(value or "")
    except AccessFormatError as error:
        return str(error)
    return None


def no_header_name(value: str | None) -> str | None:
    if value is None or re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        return None
    return "this is no header name (RFC 9110, 5.1)"


def no_permissions(value: str | int) -> str | None:
    return None if mode_of(value) is not None else "permissions are given in octal, as 660"


def mode_of(permissions: str | int) -> int | None:
    """Return the mode that permissions say: a number, or its octal digits; None if they do not."""
    if isinstance(permissions, str):
        digits = permissions.removeprefix("0o")
        permissions = int(digits, 8) if digits and not digits.strip("01234567") else -1
    return permissions if 0 <= permissions <= 0o777 else None


def negative(what: str) -> Check:
    """Return the check for a number, called `what`, that may be 0 or None."""
    return lambda value: f"{what} cannot be negative" if value is not None and value < 0 else None


def no_protocol(names: Mapping[str, str | None]) -> Check:
    """Return the check for a protocol class: one of the names, an import string, or itself."""

    def check(value: object) -> str | None:
        if not isinstance(value, str) or value in names or ":" in value:
            return None
        return f"one of {', '.join(names)}, or a class as module:Class"

    return check


def no_level(value: str | int | None) -> str | None:
    if not isinstance(value, str) or value.lower() in LOG_LEVELS:
        return None
    return f"one of {', '.join(LOG_LEVELS)}"


def metrics_place(value: str) -> str | tuple[str, int]:
    """Return where metrics are shown: a path, or an address and a port.

    Raises ValueError for what is neither `/path` nor `[address]:port`.
    """
    if value.startswith("/"):
        if not value.isascii() or not value.isprintable() or set(value) & set(" ?#"):
            raise ValueError("a path is in visible ASCII, without ? and #")
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or no_port(int(port)):
        raise ValueError("a path such as /metrics, or an address such as 127.0.0.1:9100")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def no_metrics(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        metrics_place(value)
    except ValueError as error:
        return str(error)
    if importlib.util.find_spec("prometheus_client") is None:
        return "it needs prometheus_client: pip install prometheus_client"
    return None


def not_positive(what: str) -> Check:
    """Return the check for a number, called `what`, of at least 1, or None."""
    return lambda value: f"{what} of at least 1" if value is not None and value < 1 else None


@_table
class Settings:
    """What a server is told. Times are in seconds, sizes in bytes; None is "not limited"."""

    table: ClassVar[Mapping[str, Setting]]

    # uvicorn's, in its order.
    app: Any
    host: str | None = setting("127.0.0.1", "Address or host name to listen on.")
    port: int = setting(
        8000, "Port to listen on; 0 lets the system choose a free one.", check=no_port
    )
    uds: str | None = setting(None, "Listen on a UNIX domain socket with this path instead.")
    fd: int | None = setting(None, "Listen on the socket of this file descriptor instead.")
    loop: str | LoopFactory = setting(
        "auto",
        "Event loop: camshaft's own unless said otherwise; "
        "or an import string of a function that makes one.",
        metavar="[auto|camshaft|asyncio|uvloop|zuvloop]",
    )
    http: str | ProtocolClass = setting(
        "auto",
        "HTTP implementation: camshaft's own unless said otherwise; one of uvicorn's, if that is "
        "installed; or an import string of a class like those.",
        metavar=f"[{'|'.join(HTTP_PROTOCOLS)}]",
        check=no_protocol(HTTP_PROTOCOLS),
    )
    http2: bool = setting(False, "Speak HTTP/2 as well.")
    ws: str | ProtocolClass = setting(
        "auto",
        "WebSocket implementation: camshaft's own, or one of uvicorn's for an --http of uvicorn's.",
        metavar=f"[{'|'.join(WS_PROTOCOLS)}]",
        check=no_protocol(WS_PROTOCOLS),
    )
    ws_max_size: int = setting(
        16 * 1024 * 1024,
        "Largest WebSocket message in bytes.",
        check=negative("a size"),
    )
    ws_max_queue: int = setting(
        32,
        "Most WebSocket messages that wait to be received.",
        check=negative("a number of messages"),
    )
    ws_ping_interval: float | None = setting(
        20.0, "Seconds between two WebSocket pings; 0 for none.", check=negative_time
    )
    ws_ping_timeout: float | None = setting(
        20.0, "Seconds to wait for the answer to a WebSocket ping.", check=negative_time
    )
    ws_per_message_deflate: bool = setting(True, "Compress WebSocket messages.", valued=True)
    lifespan: str = setting(
        "auto",
        "Whether the application is told of start-up and shutdown: on takes a failure of the "
        "protocol for one of the start-up, auto for an application that does not speak it.",
        choices=LIFESPANS,
    )
    env_file: Path | None = setting(None, "File of environment variables to set.", exists=True)
    log_config: LogConfig | None = setting(
        LOGGING_CONFIG,
        "Logging configuration, by the file's name .json, .yaml or else .ini.",
        exists=True,
        shown=False,
    )
    log_level: str | int | None = setting(
        None,
        "Least level of the server's log lines. [default: info]",
        metavar=f"[{'|'.join(LOG_LEVELS)}]",
        check=no_level,
    )
    access_log: bool = setting(True, "Whether each request is logged.")
    use_colors: bool | None = setting(
        None, "Whether log lines are coloured; they are on a terminal unless said otherwise."
    )
    interface: str = setting(
        "auto",
        "How the application is called: auto finds out whether it is ASGI 3 or ASGI 2; "
        "wsgi has to be said.",
        choices=INTERFACES,
    )
    reload: bool = setting(False, "Restart when files change.")
    reload_dirs: Any = setting(
        None,
        "Directory to watch instead of the current one.",
        option="reload-dir",
        multiple=True,
        exists=True,
    )
    reload_delay: float = setting(
        0.25, "Seconds between two looks at the files.", check=negative_time
    )
    reload_includes: list[str] | str | None = setting(
        None, "Pattern of files to watch.", option="reload-include", multiple=True
    )
    reload_excludes: list[str] | str | None = setting(
        None, "Pattern of files not to watch.", option="reload-exclude", multiple=True
    )
    workers: int | str | None = setting(
        None,
        "Number of processes, or auto for as many as there are processors to use; "
        "$WEB_CONCURRENCY if that is set, else 1.",
        metavar="[N|auto]",
    )
    proxy_headers: bool = setting(
        True, "Whether X-Forwarded-Proto and X-Forwarded-For tell scheme and client."
    )
    server_header: bool = setting(True, "Whether responses get a Server header.")
    date_header: bool = setting(True, "Whether responses get a Date header.")
    forwarded_allow_ips: list[str] | str | None = setting(
        None,
        "Proxies whose X-Forwarded-* headers are trusted: addresses and networks with commas "
        "between them, or * for all, which those of UNIX sockets need; $FORWARDED_ALLOW_IPS if "
        "that is set, else 127.0.0.1,::1.",
    )
    root_path: str = setting(
        "", "The ASGI root_path: the path below which a proxy has mounted the application."
    )
    limit_concurrency: int | None = setting(
        None,
        "Most connections or tasks before the answer is 503.",
        check=negative("a limit"),
    )
    limit_max_requests: int | None = setting(
        None, "Number of requests after which the process ends.", check=negative("a limit")
    )
    limit_max_requests_jitter: int = setting(
        0,
        "Most requests to add to --limit-max-requests, at random.",
        check=negative("a number of requests"),
    )
    backlog: int = setting(
        2048,
        "Most connections that wait to be accepted, as listen(2) takes it.",
        check=negative("a backlog"),
    )
    timeout_keep_alive: float = setting(
        5, "Seconds that a connection may be idle between two requests.", check=negative_time
    )
    timeout_notify: float = setting(30, check=negative_time)
    timeout_graceful_shutdown: float | None = setting(
        30,
        "Seconds that requests get to end when the server does; inf for as many as they take.",
        check=negative_time,
    )
    timeout_worker_healthcheck: float = setting(
        5, "Seconds that a worker may take to answer a health check.", check=negative_time
    )
    callback_notify: Callable[..., Awaitable[None]] | None = setting(None)
    ssl_keyfile: Path | None = setting(None, "File of the TLS key.")
    ssl_certfile: Path | None = setting(None, "File of the TLS certificate.")
    ssl_keyfile_password: str | None = setting(None, "Password of the TLS key.")
    ssl_version: int = setting(
        ssl.PROTOCOL_TLS_SERVER, "TLS version, as the ssl module numbers them."
    )
    ssl_cert_reqs: int = setting(
        ssl.CERT_NONE, "Whether clients need a certificate, as the ssl module numbers it."
    )
    ssl_ca_certs: Path | None = setting(
        None, "File of the authorities that clients' certificates need."
    )
    ssl_ciphers: str | None = setting(None, "TLS ciphers, in OpenSSL's notation.")
    ssl_context_factory: SSLContextFactory | None = setting(None)
    headers: list[tuple[str, str]] | None = setting(
        None,
        "Header for every response, as Name:Value; may be given several times.",
        option="header",
        multiple=True,
    )
    factory: bool = setting(
        False, "APP is a function that takes nothing and returns the application."
    )
    h11_max_incomplete_event_size: int | None = setting(
        None,
        "uvicorn's name for --limit-header-bytes; it wins if both are given.",
        check=not_positive("a size"),
    )
    reset_contextvars: bool = setting(
        False,
        "Run requests in an empty contextvars.Context, without what start-up has set.",
    )

    # Beyond uvicorn's.
    _: KW_ONLY
    bind: list[str] | str | None = setting(
        None,
        "HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N to listen on, in place of --host, --port, "
        "--uds and --fd; may be given several times.",
        multiple=True,
        check=no_bind,
    )
    uds_permissions: str | int = setting(
        "600", "Permissions of the file of a UNIX socket, in octal.", check=no_permissions
    )
    proxy_protocol: bool = setting(
        False,
        "Connections of the peers in --proxy-allow-from begin with a header of the PROXY "
        "protocol, version 1 or 2.",
    )
    proxy_allow_from: list[str] | str = setting(
        "127.0.0.1,::1",
        "Peers that send PROXY headers: addresses and networks with commas between them, unix: "
        "for those of UNIX sockets, or * for all.",
    )
    forwarded_header: str = setting(
        FORWARDED_HEADERS[0],
        "What trusted proxies tell scheme and client by: x-forwarded is X-Forwarded-Proto and "
        "X-Forwarded-For, forwarded is Forwarded (RFC 7239); the other is not read.",
        choices=FORWARDED_HEADERS,
    )
    limit_handshakes: int = setting(
        1000,
        "Most connections that have not got through TLS and PROXY header yet; one more, and the "
        "oldest is closed.",
        check=not_positive("a limit"),
    )
    log_format: str = setting(
        "text",
        "How log lines look, unless --log-config has formatters of its own: json is an object a "
        "line, with the parts of a request by name.",
        choices=("text", "json"),
    )
    ssl_world_readable_key: bool = setting(
        False, "Warn of a TLS key that everybody on the machine can read, instead of refusing it."
    )
    metrics: str | None = setting(
        None,
        "Show metrics for Prometheus: at a path such as /metrics, or on an address of their own "
        "such as 127.0.0.1:9100.",
        metavar="PATH|ADDRESS",
        check=no_metrics,
    )
    asgi_spec: str = setting(
        ASGI_SPECS[0],
        "Version of the ASGI specification that applications are told of. From 2.4 on, what they "
        "send to a client that has left raises an OSError; in 2.3, as in uvicorn, it is dropped.",
        choices=ASGI_SPECS,
    )
    fastapi: str = setting(
        "native",
        "How a FastAPI application is answered: native by C, where that gives the same; asgi "
        "behind its middleware in any case; strict with known releases only; off by FastAPI alone.",
        choices=FASTAPI_MODES,
    )
    ssl_handshake_timeout: float = setting(
        15.0, "Seconds that a client may take for the TLS handshake.", check=not_positive_time
    )

    # Databases: docs/deploy.md.
    database_budget: int | None = setting(
        None,
        "Connections that the database has for all workers; a warning says at the start if their "
        "pools may open more.",
        check=not_positive("a number of connections"),
    )
    lifespan_stagger: float = setting(
        0.0,
        "Least seconds between two workers' starts, so that they do not meet at the database.",
        check=negative_time,
    )

    # The process: docs/deploy.md.
    user: str | int | None = setting(
        None,
        "User to run the application as, by name or number, once root has opened the port and read "
        "the TLS key.",
        check=no_identity,
    )
    group: str | int | None = setting(
        None,
        "Group to run the application as; the user's unless said otherwise.",
        check=no_identity,
    )
    umask: str | int | None = setting(
        None,
        "Permissions that files made by the application do not get, in octal, as 027.",
        check=lambda value: None if value is None else no_permissions(value),
    )
    pidfile: Path | None = setting(
        None, "File for the process's number; it is locked, and refused while another lives."
    )
    access_log_format: str | None = setting(
        None,
        "Lines of the access log, as gunicorn has them: a text with atoms for client, request, "
        "status, bytes, duration, headers; docs/server/logging.md lists them.",
        metavar="FORMAT",
        check=no_access_format,
    )
    request_id_header: str | None = setting(
        None,
        "Give each request an id: the value of this header (X-Request-ID, say), or a new one; for "
        "the application, the client and the log.",
        metavar="NAME",
        check=no_header_name,
    )
    ws_close_timeout: float | None = setting(
        10.0,
        "Seconds that a WebSocket's client may take to answer a close frame.",
        check=negative_time,
    )

    # Masters and workers: docs/server/workers.md.
    preload: bool = setting(
        False,
        "Import the application once, before the workers are forked: they start faster and share "
        "memory, but a reload then brings no new code.",
    )
    limit_worker_lifetime: float | None = setting(
        None,
        "Seconds after which a worker is replaced by a new one.",
        check=lambda value: None if value is None else not_positive_time(value),
    )
    limit_worker_memory: int | None = setting(
        None,
        "MiB of memory (its resident set) beyond which a worker is replaced by a new one.",
        check=not_positive("a size"),
    )
    worker_affinity: bool = setting(False, "Keep each worker on a processor of its own.")
    reuse_port: bool = setting(
        False, "Let other servers of this user listen on the same address beside this one."
    )
    control_socket: str | None = setting(
        None,
        "Path of the socket that `camshaft ctl` uses, or none for no such socket. "
        "[default: one of this user's, by the process's number]",
        metavar="[PATH|none]",
    )
    timeout_worker_startup: float = setting(
        600.0,
        "Seconds that a worker may take to import the application and start it; 0 for any.",
        check=negative_time,
    )
    timeout_worker_blocked: float | None = setting(
        None,
        "Seconds that a worker's event loop may be blocked before the worker is replaced; 0 for "
        "any. [default: --timeout-worker-healthcheck if that is given, else 30]",
        check=negative_time,
    )

    # Limits on what a client may ask for and how slowly: docs/server/limits.md.
    limit_concurrency_mode: str = setting(
        CONCURRENCY_MODES[0],
        "What is done beyond --limit-concurrency: reject answers with 503, pause accepts no more "
        "connections until one has ended, and has the others wait.",
        choices=CONCURRENCY_MODES,
    )
    limit_request_line: int = setting(
        16 * 1024, "Longest request line in bytes; 414.", check=not_positive("a size")
    )
    limit_header_line: int = setting(
        16 * 1024, "Longest header line in bytes; 431.", check=not_positive("a size")
    )
    limit_header_count: int = setting(
        128, "Most header lines of a request; 431.", check=not_positive("a number")
    )
    limit_header_bytes: int = setting(
        64 * 1024,
        "Longest head of a request in bytes, with its request line; 431.",
        check=not_positive("a size"),
    )
    limit_request_body: int | None = setting(
        None, "Largest body of a request in bytes; 413.", check=negative("a size")
    )
    limit_chunk_extensions: int = setting(
        4 * 1024,
        "Most bytes of chunk extensions of a body, which nobody needs; 400.",
        check=negative("a size"),
    )
    limit_trailer_bytes: int = setting(
        8 * 1024, "Longest trailer section of a body in bytes; 431.", check=negative("a size")
    )
    limit_connections: int | None = setting(
        None, "Most connections; those beyond are closed with 503.", check=negative("a limit")
    )
    limit_connections_per_address: int | None = setting(
        None,
        "Most connections of one address; those beyond are closed with 503.",
        check=negative("a limit"),
    )
    limit_connection_requests: int | None = setting(
        None,
        "Most requests on one connection, which the last answer closes.",
        check=not_positive("a limit"),
    )
    timeout_request_header: float | None = setting(
        30.0,
        "Seconds that the head of a request may take from its first byte; 408.",
        check=negative_time,
    )
    timeout_request_body: float | None = setting(
        60.0,
        "Seconds that a client may be silent in the middle of a body; 408.",
        check=negative_time,
    )
    timeout_response_write: float | None = setting(
        60.0,
        "Seconds that a client may take nothing of its response, before it is dropped.",
        check=negative_time,
    )
    timeout_linger: float = setting(
        2.0,
        "Seconds after its last answer that a connection stays open for another request when the "
        "server ends.",
        check=negative_time,
    )
    min_request_rate: int = setting(
        240,
        "Least bytes a second of a body, over a minute; 0 for any; 408.",
        check=negative("a rate"),
    )
    min_response_rate: int = setting(
        240,
        "Least bytes a second at which a client takes a response, over a minute; 0 for any.",
        check=negative("a rate"),
    )

    def __post_init__(self) -> None:
        """Check the values. Raises ConfigError for one that has no meaning."""
        for name, entry in self.table.items():
            value = getattr(self, name)
            kinds = {*(get_args(entry.annotation) or (entry.annotation,))} - {NoneType}
            if value is not None and kinds <= {int, float}:
                value = _number(name, value, kinds)
                setattr(self, name, value)
            check = one_of(entry.choices) if entry.choices else entry.check
            wrong = check(value) if check else None
            if wrong:
                raise ConfigError(name, value, wrong)


def _number(name: str, value: object, kinds: set[Any]) -> Any:
    """Return the number that a setting is given as, also as the text that `os.environ` has of it.

    `kinds` are what it may be: int, float or both. Raises ConfigError for anything else.
    """
    if isinstance(value, Real):
        return value
    for kind in (int, float):
        if kind in kinds and isinstance(value, str):
            with contextlib.suppress(ValueError):
                return kind(value)
    raise ConfigError(name, value, "a whole number" if kinds == {int} else "a number")


def option_name(name: str) -> str:
    """Return the command's option for a setting."""
    entry = Settings.table.get(name)
    return "--" + ((entry and entry.option) or name.replace("_", "-"))
