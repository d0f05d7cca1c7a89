# SPDX-License-Identifier: MIT
"""The upgrade of a running master: another one, started beside it, gets its listeners.

The command is run again as it was first given, with whatever is installed by now. What it inherits
stands in an environment variable: the descriptors of each thing that is listened on, by its name,
so that the new command may listen on more, or on less.
"""

import json
import logging
import os
from dataclasses import dataclass

from camshaft.master import control_path
from camshaft.master.control import Control
from camshaft.master.control_path import ControlError
from camshaft.master.plan import Plan, file_at
from camshaft.server.pidfile import PidfileError

logger = logging.getLogger("uvicorn.error")

VARIABLE = "CAMSHAFT_INHERITED"

METRICS = "metrics"
"""The name of the listener of the metrics; what else is listened on is called otherwise."""


@dataclass
class Inheritance:
    """What a master gets from the one before it: `replace` means that it is to end that one.

    `files` are the Unix sockets' files by the listener's name: path, device and inode. `pidfile`
    is its path and its locked descriptor.
    """

    parent: int
    replace: bool
    listeners: dict[str, list[int]]
    files: dict[str, tuple[str, int, int]]
    pidfile: tuple[str, int] | None


def environment_of(plan: Plan, value: str) -> dict[str, str]:
    """Return the environment of a new master, which `bequeath` has made a value for."""
    environment = plan.interpreter.environment | {VARIABLE: value}
    if environment.get("WATCHDOG_PID") == str(os.getpid()):
        # It is to live as this one was: systemd hears of the change in time.
        del environment["WATCHDOG_PID"]
    return environment


def take_back(plan: Plan, control: Control | None) -> None:
    """Be found by the pidfile and at the control socket again, which a master that is gone had.

    What does not succeed is logged: whoever is served by now is served on.
    """
    if plan.pidfile is not None:
        try:
            plan.pidfile.take_back()
        except PidfileError as error:
            logger.error("Cannot write %s: %s.", plan.pidfile.path, error)
    listener = plan.control
    if control is None or listener is None or listener.path is None or listener.has_file():
        return
    try:
        control.listen(control_path.open_socket(listener.path))
        listener.inode = file_at(listener.path)
    except (ControlError, OSError) as error:
        logger.error("%s", error)


def bequeath(plan: Plan, *, replace: bool) -> tuple[str, list[int]]:
    """Return the variable's value for a new master, and the descriptors to hand to it."""
    files = {
        each.name: (each.path, *each.inode)
        for each in plan.listeners
        if each.path is not None and each.inode is not None
    }
    inherited = [*plan.listeners, *([plan.metrics] if plan.metrics else [])]
    listeners = {each.name: each.descriptors for each in inherited}
    told = {"parent": os.getpid(), "replace": replace, "listeners": listeners, "files": files}
    kept = [number for each in inherited for number in each.descriptors]
    if plan.pidfile is not None:
        told["pidfile"] = plan.pidfile.path, plan.pidfile.descriptor
        kept.append(plan.pidfile.descriptor)
    told["open"] = [(number, *_identity(number)) for number in kept]
    return json.dumps(told), kept


def inherit(environment: dict[str, str]) -> Inheritance | None:
    """Return what this process has inherited, if anything, and take it out of an environment.

    Taken out of this process's own, too: the processes to come are no heirs.
    """
    os.environ.pop(VARIABLE, None)
    value = environment.pop(VARIABLE, None)
    if value is None:
        return None
    try:
        told = json.loads(value)
        files = {
            name: (path, device, inode) for name, (path, device, inode) in told["files"].items()
        }
        pidfile = tuple(told["pidfile"]) if "pidfile" in told else None
        found = Inheritance(told["parent"], told["replace"], told["listeners"], files, pidfile)
        # Another process's children have the variable as well, and not the descriptors. The heir
        # whose parent is another by now is one whose parent has died.
        if found.parent != os.getppid() and _lives(found.parent):
            return None
        if any(_identity(number) != (device, inode) for number, device, inode in told["open"]):
            return None
    except (ValueError, KeyError, TypeError, OSError):
        return None
    for number, *_ in told["open"]:
        os.set_inheritable(number, False)
    return found


def _lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return True  # another system


def _identity(descriptor: int) -> tuple[int, int]:
    """Return what tells an open file from another that has its number in another process."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
