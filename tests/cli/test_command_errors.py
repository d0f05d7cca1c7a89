# SPDX-License-Identifier: MIT
"""What the command says, and the status it ends with, when it cannot serve."""

import os
import socket
from pathlib import Path

import pytest
from command_process import run_command


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["no_such_module:app"],
            'Error loading ASGI app. Could not import module "no_such_module".',
        ),
        (
            ["served:nope"],
            'Error loading ASGI app. Attribute "nope" not found in module "served".',
        ),
        (
            ["served"],
            'Error loading ASGI app. Import string "served" must be in format '
            '"<module>:<attribute>". For example: "served:app".',
        ),
        (
            ["served:app", "--loop", "served:nope"],
            "Error loading custom loop setup function. "
            'Attribute "nope" not found in module "served".',
        ),
    ],
)
def test_names_that_do_not_exist(arguments: list[str], line: str) -> None:
    done = run_command(*arguments)
    assert done.stderr == f"ERROR:    {line}\n"
    assert done.stdout == ""
    assert done.returncode == 3


def test_app_dir_that_does_not_exist() -> None:
    done = run_command("served:app", "--app-dir", "no/where")
    assert done.stderr.splitlines()[-1] == (
        "Error: Invalid value for '--app-dir': Directory 'no/where' does not exist."
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["served:not_callable"],
            "Error loading ASGI app. An object of type str is not callable.",
        ),
        (
            ["served:app", "--factory"],
            "Error loading ASGI app factory: it must take no arguments; "
            "without --factory it is served as an application.",
        ),
    ],
)
def test_what_is_no_application(arguments: list[str], line: str) -> None:
    done = run_command(*arguments)
    assert done.stderr == f"ERROR:    {line}\n"
    assert done.returncode == 3


def test_a_module_that_raises() -> None:
    done = run_command("raises_at_import:app")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("ZeroDivisionError: at import\n")


def test_refused_option() -> None:
    done = run_command("served:app", "--http2")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --http2: HTTP/2 is not supported yet; a proxy can speak it to clients.\n"
    )


def test_no_application_given() -> None:
    done = run_command()
    assert done.returncode == 2
    assert "Error: Missing argument 'APP'." in done.stderr


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_command("served:app", "--port", str(port))
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert lines[0].startswith("INFO:     Started server process [")
    assert lines[1:] == [
        "INFO:     Waiting for application startup.",
        "app: lifespan.startup",
        "INFO:     Application startup complete.",
        f"ERROR:    [Errno 98] Cannot listen on 127.0.0.1:{port}: address already in use; "
        "--port chooses another.",
        "INFO:     Waiting for application shutdown.",
        "app: lifespan.shutdown",
        "INFO:     Application shutdown complete.",
    ]


def privileged_port() -> int | None:
    """A port that this process may not use, if there is one."""
    try:
        socket.create_server(("127.0.0.1", 1)).close()
    except PermissionError:
        return 1
    except OSError:
        pass
    return None


@pytest.mark.skipif(privileged_port() is None, reason="every port is allowed here")
def test_permission_denied() -> None:
    done = run_command("served:app", "--port", "1")
    assert done.returncode == 3
    assert (
        "ERROR:    [Errno 13] Cannot listen on 127.0.0.1:1: permission denied; "
        "ports below 1024 need privileges, --port chooses another.\n"
    ) in done.stderr


def test_unix_socket_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "none" / "socket"
    done = run_command("served:app", "--uds", str(path))
    assert done.returncode == 3
    assert (
        f"ERROR:    [Errno 2] Cannot listen on unix socket {path}: no such file or directory; "
        "make its directory first.\n"
    ) in done.stderr
    assert "Traceback" not in done.stderr


def test_descriptor_that_is_none() -> None:
    done = run_command("served:app", "--fd", "1000000")
    assert done.returncode == 3
    assert (
        "ERROR:    [Errno 9] Cannot listen on file descriptor 1000000: bad file descriptor; "
        "--fd takes one that is open.\n"
    ) in done.stderr


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_application_that_cannot_start(mode: str) -> None:
    done = run_command("served:start_fails", "--port", "0", "--lifespan", mode)
    assert done.returncode == 3
    assert done.stderr.splitlines()[1:] == [
        "INFO:     Waiting for application startup.",
        "ERROR:    there is no database",
        "ERROR:    Application startup failed. Exiting.",
    ]


def test_application_without_lifespan_where_it_is_demanded() -> None:
    done = run_command("served:no_lifespan", "--port", "0", "--lifespan", "on")
    assert done.returncode == 3
    assert "ERROR:    Exception in 'lifespan' protocol\n" in done.stderr
    assert "AssertionError: no lifespan here\n" in done.stderr
    assert done.stderr.endswith("ERROR:    Application startup failed. Exiting.\n")


def test_application_is_not_found_from_elsewhere(tmp_path: Path) -> None:
    done = run_command("served:app", cwd=tmp_path, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert done.returncode == 3
    assert 'Could not import module "served"' in done.stderr
