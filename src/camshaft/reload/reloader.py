# SPDX-License-Identifier: MIT
"""The process of --reload: it holds the listeners, and starts the server's process again and again.

The listeners are open all the time, so a browser that asks while the server starts, or while the
file being edited cannot be imported, waits for the answer instead of failing. Names and lines are
uvicorn's. What differs: the server's process is given some seconds to end, where uvicorn's waits
for the last stream and WebSocket; and it ends when this one has been killed.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camshaft.config import Config
from camshaft.logging import paint
from camshaft.reload.changes import Changes, changes_of
from camshaft.reload.watched import Watched
from camshaft.settings import Settings

logger = logging.getLogger("uvicorn.error")

GRACE = 3.0
"""Seconds that requests get to end before a reload, unless a time was given."""

# Seconds beyond that for the application's shutdown, before the process is killed.
_PATIENCE = 5.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_processes = multiprocessing.get_context("spawn")

Target = Callable[[Config, list[socket.socket]], None]
"""What a process of the server runs; a function that can be pickled."""


class Reloader:
    """Runs `target` in a process of its own, and again when files change.

    `sockets` are handed to it, and closed in the end. For the main thread, which gets signals.
    """

    def __init__(
        self,
        config: Config,
        target: Target,
        sockets: list[socket.socket],
        changes: Changes | None = None,
    ) -> None:
        self.config = config
        self.target = target
        self.sockets = sockets
        self.should_exit = threading.Event()
        self.pid = os.getpid()
        self.changes = changes or changes_of(watched_by(config), self.should_exit)
        self._process: Any = None
        self._missed = False
        self._before: dict[int, Any] = {}
        if config.timeout_graceful_shutdown == _default("timeout_graceful_shutdown"):
            config.timeout_graceful_shutdown = GRACE

    def run(self) -> None:
        """Serve until a signal says that it is enough."""
        self.startup()
        try:
            while not self.should_exit.is_set():
                changed = self.changes.look()
                if self.should_exit.is_set():
                    break
                if changed:
                    names = ", ".join(map(display_path, changed))
                    logger.warning(
                        "%s detected changes in %s. Reloading...", self.changes.name, names
                    )
                    self.restart()
                    continue
                self._see_whether_it_lives()
                self.should_exit.wait(self.config.reload_delay)
        finally:
            self.shutdown()

    def startup(self) -> None:
        """Start the first process; signals end this one from now on."""
        logger.info(
            "Started reloader process [%d] using %s",
            self.pid,
            self.changes.name,
            extra={
                "color_message": "Started reloader process "
                f"[{paint('%d', 'cyan', bold=True)}] using {paint('%s', 'cyan', bold=True)}"
            },
        )
        for number in _SIGNALS:
            # nohup ignores SIGHUP, which stays so. A shell without job control ignores SIGINT for
            # what it starts with `&`: that is for the terminal's, and `kill -INT` is meant.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self.handle_signal)
        # Before the process reads the files: what changes while it does is a change.
        self.changes.begin()
        self._start()

    def restart(self) -> None:
        """End the process, if it has not ended by itself, and start another."""
        self._end()
        if not self.should_exit.is_set():
            self.changes.forget()
            self._start()

    def shutdown(self) -> None:
        """End the process, and give back the signals and the sockets."""
        self._end()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for sock in self.sockets:
            sock.close()
        logger.info(
            "Stopping reloader process [%d]",
            self.pid,
            extra={
                "color_message": f"Stopping reloader process [{paint('%d', 'cyan', bold=True)}]"
            },
        )

    def handle_signal(self, number: int, frame: object) -> None:
        """End on the first signal; a second one does not wait for requests any more."""
        if self.should_exit.is_set():
            # A server that is ending does so at once when it is interrupted.
            self._signal(signal.SIGINT)
        self.should_exit.set()

    def _start(self) -> None:
        self._missed = False
        self._process = _processes.Process(
            target=started, args=(self.target, self.config, self.sockets)
        )
        self._process.start()

    def _end(self) -> None:
        if self._process is None:
            return
        limit = self.config.timeout_graceful_shutdown
        deadline = time.monotonic() + (GRACE if limit is None else limit) + _PATIENCE
        self._signal(signal.SIGTERM)
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.is_alive():
            logger.error("Server process [%d] does not end, killing it", self._process.pid)
            self._process.kill()
            self._process.join()
        # Until here a second signal makes it hurry.
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        # It is not reaped, and its id not given to another, but by join() and is_alive().
        if self._process is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    def _see_whether_it_lives(self) -> None:
        if self._missed or self._process is None or self._process.is_alive():
            return
        self._missed = True
        logger.error(
            "Server process [%d] has ended with exit code %d, and is started again when a file "
            "changes",
            self._process.pid,
            self._process.exitcode,
        )


def _default(name: str) -> Any:
    return Settings.table[name].default


def watched_by(config: Any) -> Watched:
    """Return what a configuration has watched."""
    return Watched(
        config.reload_dirs,
        config.reload_dirs_excludes,
        config.reload_includes,
        config.reload_excludes,
    )


def display_path(path: Path) -> str:
    """Return a path as it is shown: from the current directory on, if it is in that."""
    try:
        return f"'{path.relative_to(Path.cwd())}'"
    except ValueError:
        return f"'{path}'"


def started(target: Target, config: Config, sockets: list[socket.socket]) -> None:
    """Run `target` in the process that was started for it; it ends when its parent has ended."""
    # multiprocessing closes it; debuggers read it.
    with contextlib.suppress(OSError):
        sys.stdin = os.fdopen(0, closefd=False)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    # The parent's is not inherited.
    config.configure_logging()
    target(config, sockets)


def _follow(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
