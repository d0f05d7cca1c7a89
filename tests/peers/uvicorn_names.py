# SPDX-License-Identifier: MIT
"""Our server under uvicorn's module names: staged as the package `uvicorn` for uvicorn's own tests.

Modules of ours stand for those of uvicorn's that they replace, as the same objects, so that what a
test patches is what runs. What has another name or another shape with us is made here. What
uvicorn has two or three implementations of, its tests ask for by class: each stands for ours here.
"""

import importlib
import io
import logging
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import watchfiles

import camshaft
import camshaft.application
import camshaft.cli
import camshaft.config
import camshaft.importer
import camshaft.logging
import camshaft.message_log
import camshaft.middleware.proxy_headers
import camshaft.reload.changes
import camshaft.reload.reloader
import camshaft.server.lifespan
import camshaft.server.server
import camshaft.server.state
import camshaft.settings
import camshaft.wsgi

__version__ = camshaft.__version__
Config = camshaft.Config
Server = camshaft.Server


def _module(name: str, module: types.ModuleType | None = None, **names: Any) -> types.ModuleType:
    """Give a module of that name in this package, with these names besides its own."""
    module = module or types.ModuleType(f"{__name__}.{name}")
    vars(module).update(names)
    sys.modules[f"{__name__}.{name}"] = module
    parent, _, last = name.rpartition(".")
    owner = sys.modules[f"{__name__}.{parent}" if parent else __name__]
    setattr(owner, last, module)
    return module


class _Main(types.ModuleType):
    """camshaft.cli, whose `serve` is uvicorn's `run`."""

    def __getattr__(self, name: str) -> Any:
        if name == "ServerState":
            warnings.warn(
                "uvicorn.main.ServerState is deprecated, use uvicorn.server.ServerState instead.",
                DeprecationWarning,
                stacklevel=2,
            )
            return camshaft.server.state.ServerState
        return getattr(camshaft.cli, "serve" if name == "run" else name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(camshaft.cli, "serve" if name == "run" else name, value)

    def __delattr__(self, name: str) -> None:
        delattr(camshaft.cli, "serve" if name == "run" else name)


class _Target:
    """A process's target that takes the sockets alone."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __call__(self, config: Any, sockets: Any) -> None:
        self.target(sockets)


class _Asked:
    """Changes that should_restart() of a reloader tells."""

    name = "BaseReload"

    def __init__(self, reloader: Any) -> None:
        self.reloader = reloader

    def begin(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def look(self) -> list[Path]:
        try:
            return self.reloader.should_restart() or []
        except StopIteration:
            self.reloader.should_exit.set()
            return []


class _BaseReload(camshaft.reload.reloader.Reloader):
    """Our reloader, by the methods that uvicorn's subclasses have."""

    def __init__(self, config: Any, target: Any, sockets: Any) -> None:
        super().__init__(config, _Target(target), sockets, _Asked(self))

    def __next__(self) -> Any:
        return self.should_restart()

    def signal_handler(self, number: int, frame: Any) -> None:
        self.handle_signal(number, frame)

    def pause(self) -> None:
        if self.should_exit.wait(self.config.reload_delay):
            raise StopIteration

    def should_restart(self) -> Any:
        self.pause()
        return self.changes.look() or None


class _StatReload(_BaseReload):
    def __init__(self, config: Any, target: Any, sockets: Any) -> None:
        super().__init__(config, target, sockets)
        watched = camshaft.reload.reloader.watched_by(config)
        self.changes = camshaft.reload.changes.StatChanges(watched)


class _WatchFilesReload(_BaseReload):
    def __init__(self, config: Any, target: Any, sockets: Any) -> None:
        super().__init__(config, target, sockets)
        watched = camshaft.reload.reloader.watched_by(config)
        self.changes = camshaft.reload.changes.WatchFilesChanges(watched, self.should_exit)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "watcher":
            self.changes.watcher = value
        else:
            super().__setattr__(name, value)


def _file_filter(config: Any) -> Any:
    return camshaft.reload.changes.FileFilter(camshaft.reload.reloader.watched_by(config))


class _UvicornDeprecationWarning(UserWarning):
    pass


def _auto_loop_factory(use_subprocess: bool = False) -> Any:
    return camshaft.new_event_loop


def _build_environ(scope: Any, message: Any, body: io.BytesIO) -> dict[str, Any]:
    return camshaft.wsgi.make_environ(scope, body)


def _named_like_uvicorn(record: logging.LogRecord) -> bool:
    """Say "Uvicorn running" where we say "Camshaft running"."""
    record.msg = str(record.msg).replace("Camshaft running", "Uvicorn running")
    return True


logging.getLogger("uvicorn.error").addFilter(_named_like_uvicorn)

_module(
    "config",
    camshaft.config,
    LoopFactoryType=str,
    UvicornDeprecationWarning=_UvicornDeprecationWarning,
    LOGGING_CONFIG=camshaft.logging.LOGGING_CONFIG,
    open=open,
)
_module("server", camshaft.server.server)
_module("importer", camshaft.importer, ImportFromStringError=camshaft.importer.ImportStringError)
_module("logging", camshaft.logging)
main = camshaft.cli.main
run = camshaft.serve
sys.modules[f"{__name__}.main"] = _Main(f"{__name__}.main")
# Staged beside this package.
_multiprocess: Any = importlib.import_module("camshaft_supervisor")
_module(
    "supervisors",
    ChangeReload=camshaft.reload.reloader.Reloader,
    Multiprocess=_multiprocess.Multiprocess,
)
_module("supervisors.multiprocess", _multiprocess)
_module(
    "supervisors.basereload",
    BaseReload=_BaseReload,
    _display_path=camshaft.reload.reloader.display_path,
)
_module("supervisors.statreload", StatReload=_StatReload)
# What a test replaces in it, the reloader calls.
_module(
    "supervisors.watchfilesreload",
    watchfiles,
    FileFilter=_file_filter,
    WatchFilesReload=_WatchFilesReload,
)
_module("lifespan")
_module("lifespan.on", LifespanOn=camshaft.server.lifespan.Lifespan)
_module("lifespan.off", LifespanOff=camshaft.server.lifespan.Lifespan)
_module("loops")
_module("loops.auto", auto_loop_factory=_auto_loop_factory)
_module("middleware")
_module("middleware.asgi2", ASGI2Middleware=camshaft.application.ASGI2Adapter)
_module(
    "middleware.message_logger",
    camshaft.message_log,
    MessageLoggerMiddleware=camshaft.message_log.MessageLogger,
)
_module(
    "middleware.proxy_headers",
    camshaft.middleware.proxy_headers,
    _TrustedHosts=camshaft.middleware.proxy_headers.TrustedHosts,
)
_module(
    "middleware.wsgi",
    WSGIMiddleware=camshaft.wsgi.WSGIAdapter,
    _WSGIMiddleware=camshaft.wsgi.WSGIAdapter,
    build_environ=_build_environ,
)
_module("protocols")
_module("protocols.http")
_module("protocols.http.h11_impl", H11Protocol="camshaft")
_module("protocols.http.httptools_impl", HttpToolsProtocol="camshaft")
_module("protocols.http.auto", AutoHTTPProtocol="camshaft")
_module("protocols.http.flow_control", HIGH_WATER_LIMIT=65536)
_module("protocols.websockets")
_module("protocols.websockets.auto", AutoWebSocketsProtocol="camshaft")
_module("protocols.websockets.websockets_sansio_impl", WebSocketsSansIOProtocol="auto")
_module("protocols.websockets.wsproto_impl", WSProtocol="auto")
