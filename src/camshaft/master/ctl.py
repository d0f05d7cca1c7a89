# SPDX-License-Identifier: MIT
"""`camshaft ctl`: tells a running master what to do, over its control socket."""

import json
import os
import socket
import sys
from typing import Any, NoReturn

import click

from camshaft.master.control_path import directory, is_private

_COLUMNS = (
    # Heading, and how it is made of a worker's status.
    ("PID", lambda worker: str(worker["pid"])),
    ("STATE", lambda worker: worker["state"]),
    ("AGE", lambda worker: _time(worker["age"])),
    ("REQUESTS", lambda worker: str(worker["requests"])),
    ("RUNNING", lambda worker: str(worker["running"])),
    ("CONNECTIONS", lambda worker: str(worker["connections"])),
    ("LAG", lambda worker: f"{worker['lag'] * 1000:.0f} ms"),
    ("MOST LAG", lambda worker: f"{worker['most_lag'] * 1000:.0f} ms"),
    ("MEMORY", lambda worker: f"{worker['memory'] / 2**20:.0f} MiB"),
)


@click.group(context_settings={"help_option_names": ["--help"]})
@click.option(
    "--socket",
    "path",
    envvar=["CAMSHAFT_CONTROL_SOCKET", "UVICORN_CONTROL_SOCKET"],
    help="The master's control socket, if it was given one or there are several masters.",
)
@click.pass_context
def main(context: click.Context, path: str | None) -> None:
    """Tell a running master of workers what to do."""
    context.obj = path


@main.command("status")
@click.option("--json", "as_json", is_flag=True, help="Show it as JSON.")
@click.pass_obj
def show_status(path: str | None, as_json: bool) -> None:
    """Show the master and its workers."""
    answer = _ask(path, command="status")
    if as_json:
        del answer["ok"]
        click.echo(json.dumps(answer, indent=2))
        return
    master = answer["master"]
    doing = ", ending" if master["ending"] else ""
    click.echo(f"Master {master['pid']} of {master['app']}: {master['workers']} workers{doing}")
    rows = [[heading for heading, _ in _COLUMNS]]
    rows += [[make(worker) for _, make in _COLUMNS] for worker in answer["workers"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    lost = sum(each["lost_log_lines"] for each in (master, *answer["workers"]))
    if lost:
        click.echo(f"{lost} lines of the logs were lost: their output has not taken them.")


@main.command("reload")
@click.pass_obj
def reload(path: str | None) -> None:
    """Replace each worker by a new one, and wait until that is done."""
    _ask(path, command="reload")


@main.command("scale")
@click.argument("workers", type=int)
@click.pass_obj
def scale(path: str | None, workers: int) -> None:
    """Have so many WORKERS, and wait until they are there."""
    _ask(path, command="scale", workers=workers)


@main.command("stop")
@click.option("--quick", is_flag=True, help="Do not wait for requests.")
@click.pass_obj
def stop(path: str | None, quick: bool) -> None:
    """Stop the master and its workers."""
    _ask(path, command="stop", quick=quick)


@main.command("upgrade")
@click.pass_obj
def upgrade(path: str | None) -> None:
    """Start another master with what is installed now; when it serves, this one stops."""
    _ask(path, command="upgrade")


def _ask(path: str | None, **request: Any) -> dict[str, Any]:
    """Send a request and return the answer. Exits with a line if there is none, or an error."""
    path = path or _only_socket()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as file:
                line = file.readline()
    except OSError as error:
        _fail(f"no master answers at {path}: {(error.strerror or str(error)).lower()}")
    if not line:
        _fail(f"the master at {path} has hung up")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        _fail(answer["error"])
    return answer


def _only_socket() -> str:
    """Return the socket of the one master that there is. Exits with a line otherwise."""
    place = directory()
    found = []
    try:
        if is_private(os.lstat(place)):
            found = [os.path.join(place, name) for name in sorted(os.listdir(place))]
    except OSError:
        pass
    alive = [path for path in found if path.endswith(".sock") and _answers(path)]
    if not alive:
        _fail(f"no master of this user runs; --socket names the one to talk to (see {place})")
    if len(alive) > 1:
        _fail(f"there are several masters, --socket chooses one: {', '.join(alive)}")
    return alive[0]


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(path)
        except OSError:
            return False
    return True


def _fail(line: str) -> NoReturn:
    click.echo(f"Error: {line}.", err=True)
    sys.exit(1)


def _time(seconds: float) -> str:
    """Return a time as people read it: 12s, 3m05s, 2h07m, 3d04h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"
