# SPDX-License-Identifier: MIT
"""The configuration of logging: log_config, and the settings that change what it says.

Apart from Config, because a master has its lines look as its workers' do, and imports as little as
it can (see camshaft.master).
"""

import contextlib
import copy
import importlib
import json
import logging
import logging.config
import os
from collections.abc import Mapping
from typing import IO, Any, Protocol

from camshaft.logging import LOG_LEVELS, TRACE_LOG_LEVEL
from camshaft.lost_lines import count_lost_lines

logger = logging.getLogger("uvicorn.error")

_TEXT_FORMATTERS = ("camshaft.logging.DefaultFormatter", "camshaft.logging.AccessFormatter")


class LogConfigError(Exception):
    """A configuration of logging cannot be used; `shown` is its file's name, if it has one."""

    def __init__(self, shown: str | None, reason: str) -> None:
        super().__init__(reason)
        self.shown = shown


class LogSettings(Protocol):
    """What is read of the settings (see camshaft.settings)."""

    log_config: Any
    log_level: str | int | None
    log_format: str
    access_log: bool
    use_colors: bool | None


def configure_logging(settings: LogSettings) -> None:
    """Set up logging as the settings want it. Raises LogConfigError."""
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    if settings.log_config is not None:
        try:
            _apply(settings)
        except Exception as error:
            shown = settings.log_config if isinstance(settings.log_config, str) else None
            raise LogConfigError(shown, reason_of(error)) from error
    if settings.log_level is not None:
        level = settings.log_level
        if isinstance(level, str):
            level = LOG_LEVELS[level.lower()]
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(level)
    if not settings.access_log:
        access = logging.getLogger("uvicorn.access")
        access.handlers = []
        access.propagate = False
    count_lost_lines(map(logging.getLogger, (None, "uvicorn", "uvicorn.error", "uvicorn.access")))


def reopen_logs() -> None:
    """Open the files of log handlers again, as after they have been renamed to be rotated.

    A file that cannot be opened is told of, and its lines go on to where they went.
    """
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = {
        handler
        for each in loggers
        if isinstance(each, logging.Logger)
        for handler in each.handlers
        if isinstance(handler, logging.FileHandler)
    }
    for handler in handlers:
        try:
            _reopen(handler)
        except OSError as error:
            reason = error.strerror or str(error)
            logger.error("Cannot open %s again: %s.", handler.baseFilename, reason.lower())


def _reopen(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        former: IO[str] | None = handler.stream
        if former is not None:
            # Here and not by the next line, whoever writes that, which would fail.
            handler.stream = handler._open()
            with contextlib.suppress(OSError):
                former.close()
    finally:
        handler.release()


def _apply(settings: LogSettings) -> None:
    config: Any = settings.log_config
    if isinstance(config, str | os.PathLike):
        path = os.fspath(config)
        if path.endswith(".json"):
            with open(path) as file:
                config = json.load(file)
        elif path.endswith((".yaml", ".yml")):
            try:
                yaml: Any = importlib.import_module("yaml")
            except ImportError:
                raise ValueError("a YAML file needs PyYAML: pip install pyyaml") from None
            with open(path) as file:
                config = yaml.safe_load(file)
        else:
            config = path
    if isinstance(config, dict):
        logging.config.dictConfig(_with_our_formatters(config, settings))
    else:
        logging.config.fileConfig(config, disable_existing_loggers=False)


def _with_our_formatters(given: dict[str, Any], settings: LogSettings) -> dict[str, Any]:
    """Return a logging configuration with our formatters and the colours wished for.

    Configurations written for uvicorn name its formatters; ours take the same arguments, so that
    they need no uvicorn beside camshaft.
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
            made_by = formatter["()"] = made_by.replace("uvicorn", "camshaft", 1)
        if settings.log_format == "json" and made_by in _TEXT_FORMATTERS:
            formatter.clear()
            formatter["()"] = "camshaft.logging.JsonFormatter"
    if settings.use_colors in (True, False):
        for name in ("default", "access"):
            if name in formatters and settings.log_format == "text":
                formatters[name]["use_colors"] = settings.use_colors
    return config


def reason_of(error: BaseException) -> str:
    """Return an exception's message in one line, without the full stop that follows."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    if cause is not None and str(cause):
        message += f" ({' '.join(str(cause).split())})"
    return message
