# SPDX-License-Identifier: MIT
"""The settings of a server: uvicorn's names, meanings and defaults.

What there is to set stands in `camshaft.settings`; what it leads to (the application imported, the
loop's factory) is made by the methods of `Config`. Settings that uvicorn has and camshaft has not
yet are listed in `camshaft.unsupported` and refused.
"""

import logging
import os
import re
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from camshaft.application import (
    ApplicationError,
    ASGI3Application,
    adapt,
    call_factory,
    detect_interface,
    import_application,
)
from camshaft.environment import EnvFileError, load_env_file
from camshaft.fastapi.find import find_application
from camshaft.importer import ImportStringError, import_from_string
from camshaft.log_config import LogConfigError, configure_logging, reason_of
from camshaft.logging import TRACE_LOG_LEVEL
from camshaft.master.processors import MAX_WORKERS, usable_processors
from camshaft.message_log import MessageLogger
from camshaft.middleware.proxy_headers import ProxyHeadersMiddleware
from camshaft.reload.watched import Watched, watched
from camshaft.request_ids import RequestIds
from camshaft.server.lifespan import Lifespan
from camshaft.settings import (
    HTTP_PROTOCOLS,
    WS_PROTOCOLS,
    ConfigError,
    LoopFactory,
    ProtocolClass,
    Settings,
    mode_of,
    option_name,
)
from camshaft.unsupported import refuse_unsupported

if TYPE_CHECKING:
    from camshaft.fastapi.mount import Mounted

# Exit status of a server that could not start, as uvicorn's.
STARTUP_FAILURE = 3

LOOPS: dict[str, str | None] = {
    "auto": "camshaft:new_event_loop",
    "camshaft": "camshaft:new_event_loop",
    "asyncio": "asyncio:SelectorEventLoop",
    "uvloop": "uvloop:new_event_loop",
    "zuvloop": "zuvloop:new_event_loop",
    # Whatever asyncio's policy makes.
    "none": None,
}

logger = logging.getLogger("uvicorn.error")

# RFC 9110, sections 5.1 and 5.5; obs-text is allowed because applications send Latin-1.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# As csrc/py/asgi/server.c has them: where an answer ends, and how long its connection lasts.
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade")
)


# Ours by the name that uvicorn knows it by: what is built in without that.
_OWN_WEBSOCKET = "camshaft.http:WebSocketProtocol"


class Config(Settings):
    """The settings of one server, with what follows from them.

    What there is to set, the class Settings says. Creating a Config configures logging and loads
    `env_file`, as uvicorn's does.

    Raises ConfigError (a ValueError) for a setting that cannot be used.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_other_addresses()
        refuse_unsupported(self)
        self.loaded = False
        self.loaded_app: ASGI3Application
        self.ssl: ssl.SSLContext | None = None
        self.http_protocol_class: ProtocolClass | None = None
        self.ws_protocol_class: ProtocolClass | None = None
        self.lifespan_class = Lifespan
        self.fastapi_mounted: Mounted | None = None
        self.headers = list(self.headers or ())
        self.custom_headers = [_encode_header(header) for header in self.headers]
        self.encoded_headers = self.custom_headers
        if self.server_header and b"server" not in dict(self.custom_headers):
            self.encoded_headers = [(b"server", b"camshaft"), *self.custom_headers]
        if self.limit_concurrency_mode == "pause" and not self.limit_concurrency:
            raise ConfigError(
                "limit_concurrency_mode", "pause", "it needs a --limit-concurrency of at least 1"
            )
        self.configure_logging()
        self._resolve_reload()
        if self.env_file is not None:
            self._load_env_file(self.env_file)
        self.workers = self._number_of_workers()
        if self.forwarded_allow_ips is None:
            self.forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        if self.reload and self.uses_master:
            logger.warning('"workers" flag is ignored when reloading is enabled.')

    @property
    def asgi_version(self) -> Literal["2.0", "3.0"]:
        """The version of ASGI that the application is written for, once it is loaded."""
        return "2.0" if self.interface == "asgi2" else "3.0"

    @property
    def should_reload(self) -> bool:
        """Whether the process is to be started again when files change.

        It cannot be for an application that is an object of this process.
        """
        return isinstance(self.app, str) and self.reload

    @property
    def use_subprocess(self) -> bool:
        """Whether the application is to run in other processes than this."""
        return self.reload or self.uses_master

    @property
    def uses_master(self) -> bool:
        """Whether a master is to start the workers (see camshaft.master)."""
        assert isinstance(self.workers, int)
        return self.workers > 1 or any(
            given is not None
            for given in (
                self.limit_worker_lifetime,
                self.limit_worker_memory,
                self.control_socket,
            )
        )

    @property
    def is_ssl(self) -> bool:
        """Whether the server is to speak TLS."""
        return bool(self.ssl_keyfile or self.ssl_certfile or self.ssl_context_factory)

    def _resolve_reload(self) -> None:
        found = Watched()
        if self.should_reload:
            found = watched(self.reload_dirs, self.reload_includes, self.reload_excludes)
        elif self.reload_dirs or self.reload_includes or self.reload_excludes:
            logger.warning(
                "Current configuration will not reload as not all conditions are met, "
                "please refer to documentation."
            )
        self.reload_dirs = found.directories
        self.reload_dirs_excludes = found.excluded
        self.reload_includes = found.includes
        self.reload_excludes = found.excludes

    @property
    def unix_mode(self) -> int:
        """The mode of the file of a Unix socket."""
        mode = mode_of(self.uds_permissions)
        assert mode is not None
        return mode

    def _number_of_workers(self) -> int:
        """Return the number of workers that is asked for, by the environment if not otherwise."""
        given, source = self.workers, ""
        if given is None:
            # As uvicorn reads it.
            given = os.environ.get("WEB_CONCURRENCY", "1")
            source = "WEB_CONCURRENCY is "
        if given == "auto":
            return usable_processors()
        try:
            count = int(given)
        except ValueError:
            raise ConfigError("workers", given, f"{source}no number, and not auto") from None
        if not 0 < count <= MAX_WORKERS:
            raise ConfigError("workers", given, f"a number from 1 to {MAX_WORKERS}, or auto")
        return count

    def _refuse_other_addresses(self) -> None:
        """Raise ConfigError where it is not clear what is to be listened on."""
        for name in ("host", "port", "uds", "fd"):
            if self.bind and getattr(self, name) != self.table[name].default:
                raise ConfigError(
                    "bind",
                    None,
                    f"it is given in place of {option_name(name)}; give that as another --bind too",
                )

    def _load_env_file(self, path: str | os.PathLike[str]) -> None:
        logger.info("Loading environment from '%s'", os.fspath(path))
        try:
            load_env_file(path)
        except (OSError, UnicodeDecodeError, EnvFileError) as error:
            raise ConfigError("env_file", os.fspath(path), reason_of(error)) from error

    def configure_logging(self) -> None:
        """Set up logging from log_config, log_level, access_log and use_colors."""
        try:
            configure_logging(self)
        except LogConfigError as error:
            raise ConfigError("log_config", error.shown, str(error)) from error.__cause__

    def load_app(self) -> object:
        """Import the application and return it. Exits with a line logged if there is none.

        What its module raises goes through.
        """
        try:
            return import_application(self.app)
        except ApplicationError as error:
            logger.error("%s", error)
            raise SystemExit(STARTUP_FAILURE) from None

    def load(self) -> None:
        """Import the application, call it if it is a factory, and see how it is to be called.

        `loaded_app` is then an ASGI 3 application; `ssl` is the context of TLS, or None;
        `http_protocol_class` and `ws_protocol_class` are None for what is built in. Exits as
        load_app does; raises what ssl_context in camshaft.server.tls does.
        """
        # Here, because it is asked for by few.
        from camshaft.server.tls import ssl_context

        self._load_protocols()
        if self.ssl is None:
            self.ssl = ssl_context(self)
        app = self.load_app()
        try:
            app = call_factory(app, factory=self.factory)
        except ApplicationError as error:
            logger.error("%s", error)
            raise SystemExit(STARTUP_FAILURE) from None
        if self.interface == "auto":
            self.interface = detect_interface(app)
        self.loaded_app = adapt(app, self.interface)
        self._mount_fastapi(app)
        if logger.isEnabledFor(TRACE_LOG_LEVEL):
            self.loaded_app = MessageLogger(self.loaded_app)
        if self.http_protocol_class is not None and self.proxy_headers:
            # What is built in does it itself.
            trusted = self.forwarded_allow_ips or ()
            self.loaded_app = ProxyHeadersMiddleware(
                self.loaded_app, trusted, forwarded_header=self.forwarded_header
            )
        if self.request_id_header is not None:
            self.loaded_app = RequestIds(self.loaded_app, self.request_id_header)
        self.loaded = True

    def _mount_fastapi(self, app: object) -> None:
        """Have the routes of a FastAPI application answered natively, as the setting says."""
        found = None
        if self.fastapi != "off" and self.interface == "asgi3":
            found = find_application(app)
        if found is None:
            return
        try:
            # Here, as few parts of it may be imported without FastAPI.
            from camshaft.fastapi.mount import mount

            self.fastapi_mounted = mount(found, self.fastapi)
        except Exception:
            logger.warning("FastAPI answers by itself: its router is unusual.", exc_info=True)
            return
        if found is app and self.fastapi != "asgi":
            self.loaded_app = self.fastapi_mounted.router.entrance()

    def _load_protocols(self) -> None:
        self.http_protocol_class = self._protocol_class("http", self.http, HTTP_PROTOCOLS)
        # Before it is imported: what is missing then is not what is wrong.
        named = WS_PROTOCOLS.get(self.ws, self.ws) if isinstance(self.ws, str) else self.ws
        if self.http_protocol_class is None and named is not None:
            if named == _OWN_WEBSOCKET or named is import_from_string(_OWN_WEBSOCKET):
                return
            raise ConfigError(
                "ws",
                self.ws,
                "it needs an --http of uvicorn's, httptools say; "
                "without that leave --ws out: camshaft's own WebSocket needs no package",
            )
        self.ws_protocol_class = self._protocol_class("ws", self.ws, WS_PROTOCOLS)
        if self.http_protocol_class is not None and self.ws == "auto":
            try:
                auto = import_from_string(
                    "uvicorn.protocols.websockets.auto:AutoWebSocketsProtocol"
                )
            except (ImportStringError, ImportError):
                return
            self.ws_protocol_class = cast(ProtocolClass | None, auto)

    def _protocol_class(
        self, setting: str, given: str | ProtocolClass, names: Mapping[str, str | None]
    ) -> ProtocolClass | None:
        if not isinstance(given, str):
            return given
        path = names.get(given, given)
        if path is None:
            return None
        try:
            return cast(ProtocolClass, import_from_string(path, example="Protocol"))
        except (ImportStringError, ImportError) as error:
            reason = reason_of(error)
            if given in names:
                reason = (
                    f"{reason.removesuffix('.')}. Is uvicorn installed, and what it needs for this?"
                )
            logger.error("Error loading %s %s. %s", option_name(setting), given, reason)
            raise SystemExit(STARTUP_FAILURE) from None

    def bind_socket(self) -> socket.socket:
        """Return a socket that is bound to the configured address, and log where that is.

        For who starts other processes, which inherit it. Exits with a line logged if it cannot
        be had.
        """
        from camshaft.server.listeners import bind_one

        return bind_one(self)

    def setup_event_loop(self) -> None:
        """Gone, as in uvicorn. Raises AttributeError."""
        raise AttributeError(
            "The `setup_event_loop` method was replaced by `get_loop_factory` in uvicorn 0.36.0."
        )

    def get_loop_factory(self) -> LoopFactory | None:
        """Return what makes the event loop; None leaves it to asyncio's policy.

        Exits with a line logged if there is no such loop.
        """
        if not isinstance(self.loop, str):
            return self.loop
        path = LOOPS.get(self.loop, self.loop)
        if path is None:
            return None
        try:
            factory = import_from_string(path, example="new_event_loop")
        except (ImportStringError, ImportError) as error:
            if self.loop in LOOPS:
                reason = f"{reason_of(error)} Is it installed? (pip install {self.loop})"
            else:
                reason = reason_of(error)
            logger.error("Error loading custom loop setup function. %s", reason)
            raise SystemExit(STARTUP_FAILURE) from None
        if not callable(factory):
            logger.error("Error loading custom loop setup function. %s is not callable.", self.loop)
            raise SystemExit(STARTUP_FAILURE)
        return cast(LoopFactory, factory)


def _encode_header(header: tuple[str, str]) -> tuple[bytes, bytes]:
    """Return a header as a response carries it, its name in lower case."""
    shown = ":".join(header)
    try:
        name, value = header
    except ValueError:
        raise ConfigError("headers", shown, "a header is given as Name:Value") from None
    value = value.strip(" \t")
    if not _HEADER_NAME.fullmatch(name):
        raise ConfigError("headers", ascii(shown), "this is no header name (RFC 9110, 5.1)")
    if not _HEADER_VALUE.fullmatch(value):
        raise ConfigError("headers", ascii(shown), "this is no header value (RFC 9110, 5.5)")
    if name.lower() in _FRAMING:
        raise ConfigError("headers", shown, "the server says that itself, for each answer")
    return name.lower().encode("latin-1"), value.encode("latin-1")
