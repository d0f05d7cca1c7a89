# SPDX-License-Identifier: MIT
"""From a configuration to its master: the listeners are opened, and the plan is made."""

import asyncio
import contextlib
import logging
import pickle
import subprocess
import sys
from typing import Any, NoReturn

from camshaft.config import STARTUP_FAILURE, Config
from camshaft.master import lean
from camshaft.master.master import Master
from camshaft.master.plan import Interpreter, Logs, OpenListener, Plan
from camshaft.server.listeners import ListenError, Listening, log_started, open_listeners
from camshaft.settings import ConfigError, Settings

logger = logging.getLogger("uvicorn.error")

# Seconds that a loop may be blocked, if nothing is said.
_BLOCKED = 30.0

owns_process = False
"""Whether the process is the command's, which nobody will need any more once there is a master."""


def supervise(
    config: Config, settings: dict[str, Any], path: list[str], environment: dict[str, str]
) -> NoReturn:
    """Serve with workers and exit with the master's status.

    `settings` are the arguments of camshaft.serve(); `path` and `environment` are sys.path and
    os.environ as they were before those were followed, as each worker follows them itself. Raises
    ConfigError for a setting that no other process can be given.
    """
    pickled = _pickled(settings)
    try:
        opened = asyncio.run(open_listeners(config))
    except ListenError as error:
        logger.error("%s", error)
        sys.exit(STARTUP_FAILURE)
    for listening in opened:
        log_started(listening)
    interpreter = Interpreter(
        # As multiprocessing has its processes started.
        command=[sys.executable, *_flags()],
        path=path,
        argv=list(sys.argv),
        environment=environment,
    )
    plan = _plan(config, pickled, interpreter, [_detached(listening) for listening in opened])
    if owns_process and not config.preload:
        lean.start(plan)
    if config.preload:
        # What it raises is shown as it is, before there is any worker.
        with _closed_unless_done(plan.listeners):
            config.load_app()
    sys.exit(Master(plan).run())


def _plan(
    config: Config, pickled: bytes, interpreter: Interpreter, listeners: list[OpenListener]
) -> Plan:
    assert isinstance(config.workers, int)
    blocked = config.timeout_worker_blocked
    if blocked is None:
        # uvicorn's option for the same, whose default suits its thread and not a loop.
        usual = Settings.table["timeout_worker_healthcheck"].default
        given = config.timeout_worker_healthcheck
        blocked = _BLOCKED if given == usual else given
    return Plan(
        app=str(config.app),
        workers=config.workers,
        preload=config.preload,
        startup=config.timeout_worker_startup,
        blocked=blocked,
        graceful=config.timeout_graceful_shutdown,
        interpreter=interpreter,
        logs=Logs(
            config.log_config,
            config.log_level,
            config.log_format,
            config.access_log,
            config.use_colors,
        ),
        listeners=listeners,
        settings=pickled,
    )


def _flags() -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


def _pickled(settings: dict[str, Any]) -> bytes:
    """Return the settings for another process. Raises ConfigError for what cannot go there."""
    for name, value in settings.items():
        try:
            pickle.dumps(value)
        except Exception:
            raise ConfigError(name, None, "it cannot be handed to worker processes") from None
        if getattr(value, "__module__", None) == "__main__":
            raise ConfigError(
                name,
                None,
                "worker processes cannot import it from the main script; put it into a module",
            )
    return pickle.dumps(settings)


def _detached(listening: Listening) -> OpenListener:
    descriptors = [sock.detach() for sock in listening.sockets]
    return OpenListener(descriptors, listening.path, listening.inode)


@contextlib.contextmanager
def _closed_unless_done(listeners: list[OpenListener]) -> Any:
    try:
        yield
    except BaseException:
        for listener in listeners:
            listener.close()
            listener.remove_file()
        raise
