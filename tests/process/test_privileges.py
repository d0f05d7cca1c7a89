# SPDX-License-Identifier: MIT
"""--user, --group, --umask and --pidfile: who the process is, and what it leaves."""

import fcntl
import json
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_process import LIMIT, Serving, UnixConnection, get, run_command

from tests.certificates import Files

APP = """
import os

IMPORTED_AS = os.getresuid()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    with open("/proc/self/status") as file:
        status = file.read()
    try:
        os.seteuid(0)
        status += "Back:\\tyes\\n"
    except PermissionError:
        status += "Back:\\tno\\n"
    status += f"Imported:\\t{IMPORTED_AS}\\n"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": status.encode()})
"""

# Imported by every Python as it starts: where the tests' own lies in a directory of root's alone,
# the standard library cannot be read any more without privileges.
SITE = """
import concurrent.futures.thread, encodings.idna, logging.config, multiprocessing.connection
import camshaft.server.serve
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def project() -> Iterator[Path]:
    """A directory that everybody can read, unlike pytest's."""
    directory = Path(tempfile.mkdtemp(prefix="camshaft-privileges-"))
    directory.chmod(0o755)
    (directory / "served.py").write_text(APP)
    (directory / "served.py").chmod(0o644)
    (directory / "sitecustomize.py").write_text(SITE)
    yield directory
    shutil.rmtree(directory)


def status_of(body: bytes) -> dict[str, list[str]]:
    """What /proc/self/status says, by name."""
    lines = (line.partition(":") for line in body.decode().splitlines())
    return {name: value.split() for name, _, value in lines}


@needs_root
@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_application_runs_as_another_user(tmp_path: Path, project: Path, user: str) -> None:
    with Serving(
        tmp_path, "served:app", "--user", user, cwd=project, env={"PYTHONPATH": str(project)}
    ) as server:
        found = status_of(server.get()[2])
        assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert found["Gid"] == [str(NOBODY.pw_gid)] * 4
        assert found["Groups"] == [str(NOBODY.pw_gid)]
        # Neither now, nor by a program that it starts, nor by going back.
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(found[name][0], 16) == 0, name
        assert found["Back"] == ["no"]
        assert "".join(found["Imported"]) == f"({NOBODY.pw_uid},{NOBODY.pw_uid},{NOBODY.pw_uid})"
        assert server.stop() == -signal.SIGTERM


@needs_root
def test_group_of_its_own(tmp_path: Path, project: Path) -> None:
    with Serving(
        tmp_path,
        "served:app",
        "--user",
        "nobody",
        "--group",
        "12345",
        cwd=project,
        env={"PYTHONPATH": str(project)},
    ) as s:
        found = status_of(s.get()[2])
    assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert found["Gid"] == ["12345"] * 4
    assert "0" not in found["Groups"]
    with Serving(
        tmp_path, "served:app", "--group", "12345", cwd=project, env={"PYTHONPATH": str(project)}
    ) as server:
        found = status_of(server.get()[2])
    assert (found["Uid"], found["Gid"], found["Groups"]) == (["0"] * 4, ["12345"] * 4, ["12345"])


@needs_root
def test_key_that_only_root_can_read(tmp_path: Path, project: Path) -> None:
    files = Files(tmp_path / "tls")
    os.chmod(files.key, 0o600)
    options = ("--ssl-certfile", str(files.cert), "--ssl-keyfile", str(files.key))
    with Serving(
        tmp_path,
        "served:app",
        "--user",
        "nobody",
        *options,
        cwd=project,
        env={"PYTHONPATH": str(project)},
    ) as server:
        assert "running on https://" in server.log
        # It cannot be read again, and the one there is stays.
        server.send(signal.SIGHUP)
        server.wait_for("The TLS certificate in use is kept.")


@needs_root
def test_unix_socket_belongs_to_the_user(tmp_path: Path, project: Path) -> None:
    path = project / "socket"
    options = ("--uds", str(path), "--uds-permissions", "660", "--user", "nobody")
    with Serving(
        tmp_path, "served:app", *options, cwd=project, env={"PYTHONPATH": str(project)}
    ) as server:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert get(UnixConnection(str(path)))[0] == 200
        assert server.stop() == -signal.SIGTERM


@needs_root
def test_reloader_s_process_gives_them_up(tmp_path: Path, project: Path) -> None:
    ready = "Application startup complete"
    with Serving(
        tmp_path,
        "served:app",
        "--user",
        "nobody",
        "--reload",
        cwd=project,
        env={"PYTHONPATH": str(project)},
        ready=ready,
    ) as server:
        assert status_of(server.get()[2])["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert server.stop() == 0


@needs_root
@pytest.mark.parametrize("more", [(), ("--preload",)])
def test_workers_give_them_up(tmp_path: Path, project: Path, more: tuple[str, ...]) -> None:
    pidfile = tmp_path / "pid"
    options = ("--workers", "2", "--user", "nobody", "--pidfile", str(pidfile), *more)
    with Serving(
        tmp_path, "served:app", *options, cwd=project, env={"PYTHONPATH": str(project)}
    ) as server:
        server.wait_until(
            lambda: server.log.count("Application startup complete") == 2, "both workers"
        )
        found = status_of(server.get()[2])
        assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert found["Groups"] == [str(NOBODY.pw_gid)]
        assert int(found["CapEff"][0], 16) == 0
        assert (found["Back"], found["Pid"] != [str(server.process.pid)]) == (["no"], True)
        # The master's, whose number it is though it has taken the place of another program.
        assert pidfile.read_text() == f"{server.process.pid}\n"
        ended = run_command("served:app", "--port", "0", "--pidfile", str(pidfile))
        assert f"process {server.process.pid} holds it" in ended.stderr
        # What it was given to read the TLS key with, it keeps, unless the application is in it.
        master = status_of(Path(f"/proc/{server.process.pid}/status").read_bytes())
        assert master["Uid"] == [str(NOBODY.pw_uid) if more else "0"] * 4
        assert server.stop() == 0
    if more:
        assert pidfile.read_text() == ""
    else:
        assert not pidfile.exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--user nobody-at-all", "--user nobody-at-all: there is no such user."),
        ("--group nobody-at-all", "--group nobody-at-all: there is no such group."),
        ("--user 123456789", "needs --group."),
        ("--user 99999999999999999999", "there is no such user."),
        ("--umask 9", "--umask 9: permissions are given in octal, as 660."),
    ],
)
def test_bad_settings(arguments: str, line: str) -> None:
    ended = run_command("served:app", "--port", "0", *arguments.split())
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert line in ended.stderr


@needs_root
def test_who_is_not_root_cannot_become_another(tmp_path: Path, project: Path) -> None:
    # In a process that has given up its privileges, which has all modules already.
    code = (
        "import os, camshaft, asyncio\n"
        "from camshaft.config import Config\n"
        "from camshaft.server.privileges import identity\n"
        "from camshaft.settings import ConfigError\n"
        "os.setgroups([]); os.setresgid(1, 1, 1); os.setresuid(1, 1, 1)\n"
        "identity(Config('a:b', user=1, group=1)).take()\n"
        "try:\n"
        "    identity(Config('a:b', user='nobody')).take()\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == "--user: only root can become another user.\n", ended.stderr


def test_umask(tmp_path: Path) -> None:
    app = (
        "async def app(scope, receive, send):\n"
        "    open('made', 'w').close()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    (tmp_path / "making.py").write_text(app)
    with Serving(tmp_path, "making:app", "--umask", "077", cwd=tmp_path) as server:
        server.get()
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


class TestPidfile:
    def test_is_there_and_goes(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        for number in (signal.SIGTERM, signal.SIGINT):
            with Serving(tmp_path, "served:app", "--pidfile", str(path), "--umask", "0") as server:
                assert path.read_text() == f"{server.process.pid}\n"
                assert stat.S_IMODE(path.stat().st_mode) == 0o644
                server.stop(number)
                assert not path.exists()

    def test_of_a_running_server_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        with Serving(tmp_path, "served:app", "--pidfile", str(path)) as server:
            ended = run_command("served:app", "--port", "0", "--pidfile", str(path))
            assert ended.returncode == 2
            assert f"process {server.process.pid} holds it; it is running." in ended.stderr
            assert path.read_text() == f"{server.process.pid}\n"

    def test_of_a_dead_server_is_taken_over(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        with Serving(tmp_path, "served:app", "--pidfile", str(path)) as server:
            server.send(signal.SIGKILL)
            server.wait()
        assert path.exists()
        # Even if its number belongs to a process that lives.
        path.write_text(f"{os.getpid()}\nand more of it\n")
        with Serving(tmp_path, "served:app", "--pidfile", str(path)) as server:
            assert path.read_text() == f"{server.process.pid}\n"

    def test_of_another_server_is_left(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        with Serving(tmp_path, "served:app", "--pidfile", str(path)) as server:
            path.unlink()
            path.write_text("another's\n")
            server.stop()
        assert path.read_text() == "another's\n"

    @pytest.mark.parametrize("kind", ["link", "dangling", "directory", "pipe", "hard", "writable"])
    def test_is_not_followed_anywhere(self, tmp_path: Path, kind: str) -> None:
        path, target = tmp_path / "pid", tmp_path / "target"
        if kind != "dangling":
            target.write_text("precious\n")
        if kind in ("link", "dangling"):
            path.symlink_to(target)
        elif kind == "hard":
            path.hardlink_to(target)
        elif kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_text("1\n")
            path.chmod(0o666)
        ended = run_command("served:app", "--port", "0", "--pidfile", str(path))
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"--pidfile {path}: " in ended.stderr
        assert target.exists() == (kind != "dangling")
        if target.exists():
            assert target.read_text() == "precious\n"

    def test_of_somebody_else_is_refused(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can make a file of somebody else")
        path = tmp_path / "pid"
        path.write_text("1\n")
        os.chown(path, NOBODY.pw_uid, -1)
        ended = run_command("served:app", "--port", "0", "--pidfile", str(path))
        assert ended.returncode == 2
        assert "it belongs to another user." in ended.stderr

    def test_is_locked_before_anything_is_listened_on(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        with path.open("w") as file, socket.socket() as taken:
            fcntl.flock(file, fcntl.LOCK_EX)
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            ended = run_command("served:app", "--port", port, "--pidfile", str(path))
        assert "another process holds it" in ended.stderr
        assert "Cannot listen" not in ended.stderr

    def test_goes_when_the_server_cannot_start(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        ended = run_command("nowhere:app", "--port", "0", "--pidfile", str(path))
        assert ended.returncode == 3
        assert not path.exists()

    def test_is_handed_over_in_an_upgrade(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        options = ("--workers", "2", "--preload", "--pidfile", str(path))
        with Serving(tmp_path, "served:app", *options) as server:
            old = server.process.pid
            server.wait_for("Application startup complete")
            server.send(signal.SIGUSR2)
            server.wait_until(lambda: path.read_text() != f"{old}\n", "another number")
            new = int(path.read_text())
            try:
                server.send(signal.SIGTERM)
                assert server.wait() == 0
                # It is the new one's, and stays.
                assert path.read_text() == f"{new}\n"
                ended = run_command("served:app", "--port", "0", "--pidfile", str(path))
                assert f"process {new} holds it" in ended.stderr
            finally:
                descriptor = os.pidfd_open(new)
                os.kill(new, signal.SIGTERM)
                assert select.select([descriptor], [], [], LIMIT)[0]
                os.close(descriptor)
        assert not path.exists()

    @needs_root
    def test_of_a_process_without_privileges(self, tmp_path: Path, project: Path) -> None:
        """It can be locked and emptied still, though not removed."""
        path = tmp_path / "pid"
        with Serving(
            tmp_path,
            "served:app",
            "--user",
            "nobody",
            "--pidfile",
            str(path),
            cwd=project,
            env={"PYTHONPATH": str(project)},
        ) as server:
            assert path.read_text() == f"{server.process.pid}\n"
            server.stop()
        assert path.read_text() == ""
        with Serving(
            tmp_path,
            "served:app",
            "--pidfile",
            str(path),
            cwd=project,
            env={"PYTHONPATH": str(project)},
        ) as server:
            assert json.loads(path.read_text()) == server.process.pid
