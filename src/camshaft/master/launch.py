# SPDX-License-Identifier: MIT
"""From a configuration to its master: the listeners are opened, and the plan is made."""

import asyncio
import contextlib
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
from typing import Any, NoReturn

from camshaft.binds import Bind
from camshaft.config import STARTUP_FAILURE, Config
from camshaft.master import control_path, lean
from camshaft.master.control_path import ControlError
from camshaft.master.master import Master
from camshaft.master.plan import Interpreter, Logs, OpenListener, Plan
from camshaft.master.upgrade import METRICS, Inheritance, inherit
from camshaft.server.listeners import (
    ListenError,
    Listening,
    begin,
    bind_host,
    binds_of,
    inode,
    log_started,
    open_listeners,
)
from camshaft.server.pidfile import Pidfile
from camshaft.server.serve import is_bound, make_pidfile, take_identity
from camshaft.settings import Settings, metrics_place

logger = logging.getLogger("uvicorn.error")

# Seconds that a loop may be blocked, if nothing is said.
_BLOCKED = 30.0

# How a Bind of an inherited descriptor is called.
_DESCRIPTOR = re.compile(r"file descriptor \d+")

owns_process = False
"""Whether the process is the command's, which nobody will need any more once there is a master."""


def supervise(
    config: Config,
    settings: dict[str, Any],
    path: list[str],
    environment: dict[str, str],
) -> NoReturn:
    """Serve with workers and exit with the master's status.

    `settings` are the arguments of camshaft.serve(); `path` and `environment` are sys.path and
    os.environ as they were before those were followed, as each worker follows them itself. They
    have to be such as another process can be given.
    """
    pickled = pickle.dumps(settings)
    inheritance = inherit(environment)
    pidfile = _pidfile(config, inheritance)
    try:
        _supervise(config, pickled, path, environment, inheritance, pidfile)
    finally:
        if pidfile is not None:
            pidfile.remove()


def _supervise(
    config: Config,
    pickled: bytes,
    path: list[str],
    environment: dict[str, str],
    inheritance: Inheritance | None,
    pidfile: Pidfile | None,
) -> NoReturn:
    inherited = {
        name: [socket.socket(fileno=number) for number in numbers]
        for name, numbers in (inheritance.listeners if inheritance else {}).items()
    }
    if inherited and not is_bound(config) and all(map(_DESCRIPTOR.fullmatch, inherited)):
        # systemd's, which are passed to the first master alone.
        config.bind = [f"fd://{name.rpartition(' ')[2]}" for name in inherited]
    names = [bind.name for bind in binds_of(config)]
    for name, sockets in inherited.items():
        if name not in names and (name != METRICS or config.metrics is None):
            for sock in sockets:
                sock.close()
    control, moves_to = None, None
    opened: list[Listening] = []
    try:
        control, moves_to = _control(config, beside=inheritance is not None)
        opened = asyncio.run(open_listeners(config, inherited))
        if not config.reuse_port:
            # Before any worker does, which would be late to find the address taken. Who connects
            # waits for the first of them; but where others serve already it is not to wait here.
            begin(opened, config.backlog)
        metrics = _metrics(config, inherited)
    except (ListenError, ControlError) as error:
        logger.error("%s", error)
        for listening in opened:
            listening.close()
        if control is not None:
            control.close()
            control.remove_file()
        sys.exit(STARTUP_FAILURE)
    for listening in opened:
        log_started(listening)
    interpreter = Interpreter(
        # As multiprocessing has its processes started.
        command=[sys.executable, *_flags()],
        path=path,
        argv=list(sys.argv),
        again=[sys.executable, *sys.orig_argv[1:]],
        environment=environment,
    )
    listeners = [_detached(*each) for each in zip(names, opened, strict=True)]
    for listener in listeners:
        if inheritance is None:
            continue
        listener.inherited = listener.name in inheritance.listeners
        if listener.name in inheritance.files:
            listener.path, *numbers = inheritance.files[listener.name]
            listener.inode = (numbers[0], numbers[1])
    plan = _plan(config, pickled, interpreter, listeners)
    plan.metrics = metrics
    plan.control, plan.control_path = control, moves_to
    if inheritance is not None:
        plan.inherited_from = inheritance.parent
        plan.replaces = inheritance.parent if inheritance.replace else None
    plan.pidfile = pidfile
    if owns_process and not config.preload:
        lean.start(plan)
    if config.preload:
        # What it raises is shown as it is, before there is any worker.
        made = [listener for listener in listeners if not listener.inherited]
        with _removed_unless_done([*made, *([control] if control is not None else [])]):
            take_identity(config)
            config.load_app()
    sys.exit(Master(plan).run())


def _pidfile(config: Config, inheritance: Inheritance | None) -> Pidfile | None:
    if inheritance is not None and inheritance.pidfile is not None:
        path, descriptor = inheritance.pidfile
        if config.pidfile is not None and os.path.abspath(config.pidfile) == path:
            os.set_inheritable(descriptor, False)
            return Pidfile(path, descriptor)
        os.close(descriptor)
    return make_pidfile(config)


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
        metrics=None,
        control=None,
        control_path=None,
        replaces=None,
        inherited_from=None,
        settings=pickled,
        database_budget=config.database_budget,
        lifespan_stagger=config.lifespan_stagger,
    )


def _flags() -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


def _detached(name: str, listening: Listening) -> OpenListener:
    descriptors = [sock.detach() for sock in listening.sockets]
    return OpenListener(name, descriptors, listening.path, listening.inode, listening.ours)


def _metrics(config: Config, inherited: dict[str, list[socket.socket]]) -> OpenListener | None:
    """Listen on the metrics' own address, if they have one, and log it. Raises ListenError."""
    place = metrics_place(config.metrics) if config.metrics is not None else ""
    if isinstance(place, str):
        return None
    host, port = place
    sockets = inherited.get(METRICS)
    if sockets is None:
        bind = Bind(host=host, port=port)
        sockets = asyncio.run(bind_host(bind, "--metrics"))
        begin([Listening(sockets, "%s for --metrics", (bind.name,))], config.backlog)
    host, port = sockets[0].getsockname()[:2]
    logger.info("Metrics on http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)
    return OpenListener(METRICS, [sock.detach() for sock in sockets])


def _control(config: Config, *, beside: bool) -> tuple[OpenListener | None, str | None]:
    """Open the control socket, and return it with where its file is to be moved later.

    Raises ControlError if it was asked for and cannot be had.
    """
    path = config.control_socket
    if path == control_path.OFF:
        return None, None
    try:
        if path is None:
            path = control_path.default_path(os.getpid())
        sock = control_path.open_socket(path, beside=beside)
    except ControlError as error:
        if config.control_socket is not None:
            raise
        # It was not asked for, and a container may have no place for it.
        logger.warning("%s There is no `camshaft ctl` for this server.", error)
        return None, None
    made = sock.getsockname() if beside else path
    return OpenListener("control", [sock.detach()], made, inode(made)), path if beside else None


@contextlib.contextmanager
def _removed_unless_done(listeners: list[OpenListener]) -> Any:
    """Leave no files of listeners if the process ends: all must be of its own making."""
    try:
        yield
    except BaseException:
        for listener in listeners:
            listener.close()
            listener.remove_file()
        raise
