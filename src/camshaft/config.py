# SPDX-License-Identifier: MIT
"""The settings of a server: uvicorn's names, meanings and defaults.

What there is to set stands in `camshaft.settings`; what it leads to (the application imported, the
loop's factory) is made by the methods of `Config`. Settings that uvicorn has and camshaft has not
yet are listed in `camshaft.unsupported` and refused.
"""

import copy
import importlib
import json
import logging
import logging.config
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from camshaft.application import (
    ApplicationError,
    ASGI3Application,
    adapt,
    call_factory,
    detect_interface,
    import_application,
)
from camshaft.environment import EnvFileError, load_env_file
from camshaft.importer import ImportStringError, import_from_string
from camshaft.logging import LOG_LEVELS, TRACE_LOG_LEVEL
from camshaft.settings import ConfigError, LogConfig, LoopFactory, Settings
from camshaft.unsupported import refuse_unsupported

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


class Config(Settings):
    """The settings of one server, with what follows from them.

    What there is to set, the class Settings says. Creating a Config configures logging and loads
    `env_file`, as uvicorn's does.

    Raises ConfigError (a ValueError) for a setting that cannot be used.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unsupported(self)
        self.loaded = False
        self.loaded_app: ASGI3Application
        self.ssl: ssl.SSLContext | None = None
        self.headers = list(self.headers or ())
        self.encoded_headers = [_encode_header(header) for header in self.headers]
        self.configure_logging()
        if self.env_file is not None:
            self._load_env_file(self.env_file)
        if self.workers is None:
            self.workers = _web_concurrency()
        if self.forwarded_allow_ips is None:
            self.forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

    @property
    def asgi_version(self) -> Literal["2.0", "3.0"]:
        """The version of ASGI that the application is written for, once it is loaded."""
        return "2.0" if self.interface == "asgi2" else "3.0"

    @property
    def is_ssl(self) -> bool:
        """Whether the server is to speak TLS."""
        return bool(self.ssl_keyfile or self.ssl_certfile or self.ssl_context_factory)

    def _load_env_file(self, path: str | os.PathLike[str]) -> None:
        logger.info("Loading environment from '%s'", os.fspath(path))
        try:
            load_env_file(path)
        except (OSError, UnicodeDecodeError, EnvFileError) as error:
            raise ConfigError("env_file", os.fspath(path), _reason(error)) from error

    def configure_logging(self) -> None:
        """Set up logging from log_config, log_level, access_log and use_colors."""
        logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
        if self.log_config is not None:
            try:
                self._apply_log_config(self.log_config)
            except Exception as error:
                shown = self.log_config if isinstance(self.log_config, str) else None
                raise ConfigError("log_config", shown, _reason(error)) from error
        if self.log_level is not None:
            level = self.log_level
            if isinstance(level, str):
                level = LOG_LEVELS[level.lower()]
            for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
                logging.getLogger(name).setLevel(level)
        if not self.access_log:
            access = logging.getLogger("uvicorn.access")
            access.handlers = []
            access.propagate = False

    def _apply_log_config(self, given: LogConfig) -> None:
        config: object = given
        if isinstance(given, str | os.PathLike):
            path = Path(given)
            if path.suffix == ".json":
                config = json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix in (".yaml", ".yml"):
                try:
                    yaml: Any = importlib.import_module("yaml")
                except ImportError:
                    raise ValueError("a YAML file needs PyYAML: pip install pyyaml") from None
                config = yaml.safe_load(path.read_text(encoding="utf-8"))
            else:
                config = os.fspath(given)
        if isinstance(config, dict):
            logging.config.dictConfig(self._log_dict(config))
        else:
            logging.config.fileConfig(cast(Any, config), disable_existing_loggers=False)

    def _log_dict(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a logging configuration with our formatters and the colours wished for.

        Configurations written for uvicorn name its formatters; ours take the same arguments, so
        that they need no uvicorn beside camshaft.
        """
        # Two levels deep, because that is what changes: handlers may hold open streams.
        config = dict(given)
        formatters = config.get("formatters")
        if not isinstance(formatters, Mapping):
            return config
        config["formatters"] = formatters = {
            name: copy.copy(formatter) for name, formatter in formatters.items()
        }
        for formatter in formatters.values():
            made_by = formatter.get("()")
            if isinstance(made_by, str) and made_by.startswith("uvicorn.logging."):
                formatter["()"] = made_by.replace("uvicorn", "camshaft", 1)
        if self.use_colors is not None:
            for name in ("default", "access"):
                if name in formatters:
                    formatters[name]["use_colors"] = self.use_colors
        return config

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

        `loaded_app` is then an ASGI 3 application, and `ssl` the context of TLS or None. Exits as
        load_app does; raises what ssl_context in camshaft.server.tls does.
        """
        # Here, because the package of it imports this module.
        from camshaft.server.tls import ssl_context

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
        self.loaded = True

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
                reason = f"{_reason(error)} Is it installed? (pip install {self.loop})"
            else:
                reason = _reason(error)
            logger.error("Error loading event loop %s. %s", self.loop, reason)
            raise SystemExit(STARTUP_FAILURE) from None
        if not callable(factory):
            logger.error("Error loading event loop %s. It is not callable.", self.loop)
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
    return name.lower().encode("latin-1"), value.encode("latin-1")


def _reason(error: BaseException) -> str:
    """Return an exception's message in one line, without the full stop that follows."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    if cause is not None and str(cause):
        message += f" ({' '.join(str(cause).split())})"
    return message


def _web_concurrency() -> int:
    """Return the number of workers that the environment asks for, as uvicorn reads it."""
    count = os.environ.get("WEB_CONCURRENCY", "1")
    try:
        return int(count) or 1
    except ValueError:
        raise ConfigError("workers", count, "WEB_CONCURRENCY is no number") from None
