# SPDX-License-Identifier: MIT
"""What a master is told: all that it needs to know of the configuration, and no more."""

import os
import pickle
from dataclasses import dataclass
from typing import Any, cast

from camshaft.server.pidfile import Pidfile


@dataclass
class OpenListener:
    """The descriptors of one thing that is listened on, the master's own.

    `name` is what the next master knows it by. `path` is the file of a Unix socket, to be removed
    at the end if it still is `inode`. `alone` tells that nobody but this master and its workers has
    it open; `inherited`, that it is of the master before this one.
    """

    name: str
    descriptors: list[int]
    path: str | None = None
    inode: tuple[int, int] | None = None
    alone: bool = False
    inherited: bool = False

    def turn_away(self) -> None:
        """Let no new connection begin: the workers can accept all that have. See backlog."""
        if not self.alone:
            return
        # Here, because a master that does not end needs neither.
        import socket

        from camshaft.server import backlog

        for descriptor in self.descriptors:
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                backlog.turn_away(sock)

    def close(self) -> None:
        """Close the descriptors; the workers have their own."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []

    def remove_file(self) -> None:
        """Remove the file, unless another server has put its own there since."""
        if self.path is not None and self.has_file():
            try:
                os.unlink(self.path)
            except OSError:
                pass
        self.inode = None

    def has_file(self) -> bool:
        """Whether the path still leads to this listener."""
        try:
            return self.path is not None and file_at(self.path) == self.inode
        except OSError:
            return False


@dataclass
class Logs:
    """How to log; see camshaft.log_config."""

    log_config: Any
    log_level: str | int | None
    log_format: str
    access_log: bool
    use_colors: bool | None


@dataclass
class Interpreter:
    """How a worker's process is started to be like the one that was told to serve.

    `command` is Python with its flags, `again` the whole command that was given, `path` and `argv`
    are sys.path and sys.argv, `environment` is that before the settings' env_file was read: each
    worker reads it anew.
    """

    command: list[str]
    again: list[str]
    path: list[str]
    argv: list[str]
    environment: dict[str, str]

    def calls(self, module: str, argument: object, title: str) -> list[str]:
        """Return the command that calls main(argument) of a module.

        sys.path is set before anything is imported: what lies in the current directory must not be
        taken for a module of Python's. `title` is what a list of processes shows.
        """
        code = (
            f"import sys; sys.path[:] = {self.path!r}; "
            f"from {module} import main; main({argument!r})"
        )
        return [*self.command, "-c", code, f"camshaft: {title}"]


@dataclass
class Plan:
    """What to serve, with how many workers, and for how long each of them is waited for.

    `metrics` is what an address of the metrics' own is bound to. `control` is the control socket,
    whose file comes to `control_path`, if that is not None, when all workers serve; `replaces` is a
    master that is to end then. `settings` is a pickle of the arguments of camshaft.serve(), for the
    workers. Times are in seconds; `startup` 0, `blocked` 0 and `graceful` None are "for ever".
    """

    app: str
    workers: int
    preload: bool
    startup: float
    blocked: float
    graceful: float | None
    interpreter: Interpreter
    logs: Logs
    listeners: list[OpenListener]
    metrics: OpenListener | None
    control: OpenListener | None
    control_path: str | None
    replaces: int | None
    #: The master that the listeners are from, and still may be used by.
    inherited_from: int | None
    settings: bytes
    pidfile: Pidfile | None = None
    database_budget: int | None = None
    lifespan_stagger: float = 0.0

    @property
    def descriptors(self) -> list[int]:
        """All that are the plan's, to go along with it."""
        listeners = [*self.listeners, self.metrics, self.control]
        pidfile = [self.pidfile.descriptor] if self.pidfile else []
        return [number for each in listeners if each for number in each.descriptors] + pidfile

    def write(self) -> int:
        """Return the descriptor of a file without a name that holds the plan."""
        return memory_file("camshaft-plan", pickle.dumps(self))

    @staticmethod
    def read(descriptor: int) -> "Plan":
        """Return the plan of such a file."""
        return cast(Plan, pickle.loads(contents(descriptor)))


def file_at(path: str) -> tuple[int, int]:
    """Return the device and inode of what is at a path."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def memory_file(name: str, data: bytes = b"") -> int:
    """Return the descriptor of a file without a path. `name` is shown where the system has one.

    Raises OSError if there is no room for it.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        import tempfile

        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def contents(descriptor: int) -> bytes:
    """Return all that is in a file, wherever its descriptor, which others share, stands."""
    size = os.fstat(descriptor).st_size
    pieces = []
    offset = 0
    while offset < size:
        piece = os.pread(descriptor, size - offset, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
