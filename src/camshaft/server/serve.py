# SPDX-License-Identifier: MIT
"""`camshaft.serve`: what the command does, as a function."""

import asyncio
import inspect
import logging
import multiprocessing
import os
import pickle
import socket
import sys
from typing import Any

from camshaft.config import STARTUP_FAILURE, Config
from camshaft.server.listeners import ListenError, listen, open_listeners
from camshaft.server.pidfile import Pidfile, PidfileError
from camshaft.server.privileges import identity
from camshaft.server.process import ProcessServer
from camshaft.server.server import Server
from camshaft.server.tls import TlsError, ssl_context
from camshaft.settings import ConfigError, Settings, mode_of, option_name
from camshaft.systemd import passed_descriptors

logger = logging.getLogger("uvicorn.error")


def serve(app: object, *, app_dir: str | os.PathLike[str] | None = None, **settings: Any) -> None:
    """Serve an application until a signal ends it; `settings` are those of Config.

    The same as uvicorn.run: `app_dir` is put in front of the module path, and the process
    exits with status 3 if the server cannot start, with 1 if its certificate cannot be used.
    (`camshaft.run` is the event loop's runner.) Raises ConfigError for a setting that cannot be
    used.
    """
    # A TypeError for what is no setting, and for the two that are only of use with a Server.
    inspect.signature(serve).bind(app, **settings)
    path, environment = list(sys.path), dict(os.environ)
    if app_dir is not None:
        sys.path.insert(0, os.fspath(app_dir))
    umask = settings.get("umask")
    mask = mode_of(umask) if isinstance(umask, str | int) else None
    if mask is not None:
        # Before the logs are opened.
        os.umask(mask)
    config = Config(app, **settings)
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        logger.error(
            "serve() is called while a new process imports the main script: "
            'put the call below `if __name__ == "__main__":`.'
        )
        sys.exit(STARTUP_FAILURE)
    if config.use_subprocess and not isinstance(app, str):
        logger.warning(
            "You must pass the application as an import string to enable 'reload' or 'workers'."
        )
        sys.exit(STARTUP_FAILURE)
    who = identity(config)
    if who is not None:
        who.check()
    use_passed_sockets(config)
    if config.uses_master or config.should_reload:
        settings_given = {"app": app, "app_dir": app_dir, **settings}
        try:
            check_portable(settings_given, with_main=config.should_reload)
        except ConfigError as error:
            logger.error("%s", error)
            sys.exit(STARTUP_FAILURE)
    if config.uses_master and not config.should_reload:
        from camshaft.master.launch import supervise

        supervise(config, settings_given, path, environment)
    pidfile = make_pidfile(config)
    try:
        if config.should_reload:
            serve_reloading(config)
        else:
            serve_alone(config, pidfile)
    finally:
        if pidfile is not None:
            pidfile.remove()


def check_portable(settings: dict[str, Any], *, with_main: bool) -> None:
    """Raise ConfigError for a setting that cannot be handed to another process.

    `with_main` says that the process runs the main script, and so has what is defined there.
    """
    for name, value in settings.items():
        try:
            pickle.dumps(value)
        except Exception:
            raise ConfigError(
                name,
                None,
                "it cannot be handed to the server's process; what a module defines by name can",
            ) from None
        if not with_main and getattr(value, "__module__", None) == "__main__":
            raise ConfigError(
                name,
                None,
                "worker processes cannot import it from the main script; put it into a module",
            )


def make_pidfile(config: Config) -> Pidfile | None:
    """Return the file that --pidfile asks for, with this process's number in it."""
    if config.pidfile is None:
        return None
    path = os.fspath(config.pidfile)
    try:
        return Pidfile.create(path)
    except PidfileError as error:
        raise ConfigError("pidfile", path, str(error)) from None


def use_passed_sockets(config: Config) -> None:
    """Listen on the sockets that systemd has opened, unless the settings say something else."""
    passed = passed_descriptors()
    if not passed:
        return
    said = is_bound(config)
    if said is not None:
        logger.warning(
            "The sockets of $LISTEN_FDS are not used: %s says what is.", option_name(said)
        )
        return
    config.bind = [f"fd://{descriptor}" for descriptor in passed]


def is_bound(config: Config) -> str | None:
    """Return the setting that says what is listened on; None if all have their defaults."""
    for name in ("bind", "fd", "uds", "host", "port"):
        # An option that may be given several times is an empty tuple when it is not.
        if (getattr(config, name) or None) != (Settings.table[name].default or None):
            return name
    return None


def serve_alone(config: Config, pidfile: Pidfile | None = None) -> None:
    """Serve in this process, as another user if that is asked for."""
    at_end = pidfile.remove if pidfile is not None else None
    if identity(config) is None:
        run_server(config, None, ProcessServer(config, at_end=at_end))
        return
    # What only root can do, before there is none.
    try:
        opened = asyncio.run(open_listeners(config))
    except ListenError as error:
        logger.error("%s", error)
        sys.exit(STARTUP_FAILURE)
    try:
        sockets = [sock for listening in opened for sock in listening.sockets]
        run_server(config, sockets, ProcessServer(config, opened, at_end))
    finally:
        for listening in opened:
            listening.close()


def take_identity(config: Config) -> None:
    """Become the user that the application runs as, when the TLS key has been read."""
    who = identity(config)
    if who is not None:
        if config.ssl is None:
            config.ssl = ssl_context(config)
        who.take()


def run_server(
    config: Config, sockets: list[socket.socket] | None = None, server: Server | None = None
) -> None:
    """Import the application and serve it in this process; `sockets` as in Server.run.

    `server` is made of the configuration if there is none yet; the sockets then stay open in the
    process that has given them.
    """
    try:
        take_identity(config)
    except TlsError as error:
        logger.error("%s", error)
        sys.exit(1)
    # Before there is a loop: what a module does while it is imported may need that there is none.
    config.load_app()
    if server is None:
        server = Server(config)
        server.leaves_backlog = sockets is not None
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        # The signal that ended the server, raised again.
        pass
    except TlsError as error:
        logger.error("%s", error)
        # As uvicorn's, which ends with the traceback.
        sys.exit(1)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def serve_reloading(config: Config) -> None:
    """Listen here, and have other processes serve one after the other; see Reloader."""
    # Here, because it is asked for by few.
    from camshaft.reload.reloader import Reloader

    try:
        opened = listen(config)
    except ListenError as error:
        logger.error("%s", error)
        sys.exit(STARTUP_FAILURE)
    try:
        sockets = [sock for listening in opened for sock in listening.sockets]
        Reloader(config, run_server, sockets).run()
    finally:
        for listening in opened:
            listening.close()


def _signature() -> inspect.Signature:
    """Return what serve() takes, by name: Config's settings, as uvicorn's run(), and app_dir."""
    _, app, *settings = inspect.signature(Settings.__init__).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    app_dir = inspect.signature(serve).parameters["app_dir"]
    return inspect.Signature(
        [
            app,
            *(
                setting.replace(kind=keyword)
                for setting in settings
                if setting.name not in ("timeout_notify", "callback_notify")
            ),
            app_dir,
        ],
        return_annotation=None,
    )


serve.__signature__ = _signature()  # type: ignore[attr-defined]
