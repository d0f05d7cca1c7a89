# SPDX-License-Identifier: MIT
"""What a master holds: it keeps nothing that fails, and gives nobody what is not meant for him."""

import contextlib
import http.client
import json
import os
import re
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_process import LIMIT, get, run_command
from masters import APPS, Mastering, children, wait_until, wait_until_gone

from camshaft.master.control import Control
from camshaft.master.control_path import ControlError, open_socket
from camshaft.master.plan import memory_file
from camshaft.master.timers import Timers
from camshaft.server.listeners import ListenError, Listening, begin


@contextlib.contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    """A limit of this process's."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def free_descriptor() -> int:
    """The number that the next descriptor gets."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


def test_memory_without_room() -> None:
    free = free_descriptor()
    with limited(resource.RLIMIT_FSIZE, 0), pytest.raises(OSError):
        memory_file("test", b"more than nothing")
    assert free_descriptor() == free


@pytest.mark.parametrize("call", ["rename", "listen"])
def test_control_socket_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    if call == "rename":
        monkeypatch.setattr(os, "rename", fail)
    else:
        monkeypatch.setattr(socket.socket, "listen", fail)
    free = free_descriptor()
    with pytest.raises(ControlError, match="no space left on device"):
        open_socket(str(tmp_path / "control"))
    assert list(tmp_path.iterdir()) == []
    assert free_descriptor() == free


def test_control_socket_of_who_was_killed_before_it_was_in_place(tmp_path: Path) -> None:
    """Its process had this one's number, as process 1 of a container always has."""
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{path}.{os.getpid()}")
    with open_socket(str(path)):
        assert list(tmp_path.iterdir()) == [path]


def test_who_connects_where_there_is_no_descriptor(tmp_path: Path) -> None:
    """The master does not turn and turn until there is one, and takes the client then."""
    path = str(tmp_path / "control")
    timers = Timers()
    master: Any = SimpleNamespace(timers=timers, ending=False)
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as client:
        control = Control(master, selector, open_socket(path).detach())

        def turn() -> int:
            """Do what is to be done now, and return how much that was."""
            found = selector.select(0)
            for key, _ in found:
                key.data()
            timers.run()
            return len(found)

        client.settimeout(LIMIT)
        client.connect(path)
        client.sendall(b"\n")
        with limited(resource.RLIMIT_NOFILE, free_descriptor()):
            assert turn() == 1
            assert turn() == 0
        left = timers.wait()
        assert left is not None
        client.setblocking(False)
        answer = b""
        end = time.monotonic() + LIMIT
        while not answer and time.monotonic() < end:
            time.sleep(0.01)
            turn()
            with contextlib.suppress(BlockingIOError):
                answer = client.recv(4096)
        assert "there is no command" in json.loads(answer)["error"]
        # Also while it rests.
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(path)
            with limited(resource.RLIMIT_NOFILE, free_descriptor()):
                assert turn() == 1
        control.close()
        assert timers.wait() is None
        assert not selector.get_map()


def test_addresses_are_taken_or_let_be(tmp_path: Path) -> None:
    """Two that have bound to an address before either listened: one gets it, and keeps no other."""
    first, second = socket.socket(), socket.socket()
    with first, second, socket.socket() as another:
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        another.bind(("127.0.0.1", 0))
        where = ("%s://%s:%d", ("http", *first.getsockname()))
        begin([Listening([first], *where)], 16)
        with pytest.raises(ListenError, match=r"Cannot listen on http://.*: address already in"):
            begin([Listening([another], "here", ()), Listening([second], *where)], 16)
        assert another.fileno() == second.fileno() == -1
        with socket.create_connection(first.getsockname()):
            pass


def test_address_of_a_server_that_starts(tmp_path: Path) -> None:
    """It is taken from the line that tells it on, and who connects is served in the end."""
    waits = tmp_path / "waits"
    waits.touch()
    variables = {"WORKING_WAITS": str(waits)}
    with Mastering(
        tmp_path, "working:app", env=variables, ready="Started server process"
    ) as master:
        address = ("127.0.0.1", master.port)
        arguments = ["working:app", "--workers", "2", "--port", str(master.port)]
        done = run_command(*arguments, cwd=APPS)
        assert done.returncode == 3
        assert done.stderr == (
            f"ERROR:    [Errno 98] Cannot listen on 127.0.0.1:{master.port}: address already in "
            "use; --port chooses another.\n"
        )
        with socket.create_connection(address, timeout=LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            waits.unlink()
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 200 ")
        master.wait_for_workers(2)
        assert master.stop() == 0


def test_two_that_share_an_address_start_without_taking_it(tmp_path: Path) -> None:
    """With --reuse-port whoever serves already gets all that comes meanwhile."""
    waits = tmp_path / "waits"
    (tmp_path / "second").mkdir()
    with Mastering(tmp_path, "working:app", "--reuse-port") as first:
        waits.touch()
        with Mastering(
            tmp_path / "second",
            *("working:app", "--reuse-port", "--port", str(first.port)),
            env={"WORKING_WAITS": str(waits)},
            ready="Started server process",
        ) as second:
            for _ in range(50):
                assert int(first.text().split()[1]) in first.workers
            waits.unlink()
            second.wait_for_workers(2)
            assert second.stop() == 0
        assert first.stop() == 0


@pytest.mark.parametrize("more", [(), ("--preload",)])
def test_what_other_processes_of_a_worker_inherit(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Nothing of the server's; also where the worker's master has inherited the listeners."""
    control, pidfile = tmp_path / "control", tmp_path / "pid"
    options = ("--control-socket", str(control), "--pidfile", str(pidfile), "--metrics=127.0.0.1:0")
    with Mastering(tmp_path, "working:app", *options, *more) as master:
        found = re.search(r"running on http://127.0.0.1:(\d+)", master.log)
        assert found

        def inheritable() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=LIMIT)
            return get(connection, "/inheritable")[2]

        assert inheritable() == b""
        assert run_command("ctl", "--socket", str(control), "upgrade").returncode == 0
        assert master.wait() == 0
        new = int(pidfile.read_text())
        master.successors.update((new, *children(new)))
        assert inheritable() == b""
        assert run_command("ctl", "--socket", str(control), "stop").returncode == 0
        wait_until_gone(*master.successors)


WITHOUT_MEMORY = f"""
import errno, os, selectors, socket
import camshaft
from camshaft.master.worker import Worker

register = selectors.EpollSelector.register
failed = set()

def fail_once(self, what, *arguments):
    kind = type(what)
    # The first socket is the control socket itself.
    if kind is Worker or kind is socket.socket and what.family == socket.AF_UNIX and not (
        what.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        if kind not in failed:
            failed.add(kind)
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return register(self, what, *arguments)

if __name__ == "__main__":
    selectors.EpollSelector.register = fail_once
    camshaft.serve("working:app", app_dir={str(APPS)!r}, workers=2, port=0,
                   control_socket="control")
"""


def test_master_without_memory_to_watch(tmp_path: Path) -> None:
    """A worker is started again, its first process ended; and who commands is sent away once."""
    script, control = tmp_path / "script.py", str(tmp_path / "control")
    script.write_text(WITHOUT_MEMORY)
    command = [sys.executable, str(script)]
    with Mastering(tmp_path, command=command, cwd=tmp_path, workers=None) as master:
        assert master.log.count("Cannot start a worker: Cannot allocate memory.") == 1
        assert len(master.wait_for_workers(2)) == 2
        done = run_command("ctl", "--socket", control, "status")
        assert done.returncode == 1
        assert run_command("ctl", "--socket", control, "status").returncode == 0
        assert master.stop() == 0
        assert "Traceback" not in master.log


SCRIPT = f"""
import os, sys, time
import camshaft
if __name__ == "__main__":
    print("script", os.getpid(), file=sys.stderr, flush=True)
    while os.path.exists("wait"):
        time.sleep(0.01)
    binds = open("binds").read().split()
    camshaft.serve("working:app", app_dir={str(APPS)!r}, workers=2, bind=binds,
                   control_socket="control", pidfile="pid")
"""


class Scripted(Mastering):
    """A master whose script reads what to listen on, anew when it is upgraded."""

    def __init__(self, directory: Path, **options: Any) -> None:
        (directory / "script.py").write_text(SCRIPT)
        super().__init__(
            directory,
            command=[sys.executable, "script.py"],
            env={"CAMSHAFT_PORT": "0", **options},
            cwd=directory,
            workers=None,
        )

    def upgrade(self) -> int:
        """Have another master started, and return its process."""
        before = len(self.scripts)
        self.send(signal.SIGUSR2)
        self.wait_until(lambda: len(self.scripts) > before, "another master")
        new = self.scripts[-1]
        self.successors.add(new)
        return new

    @property
    def scripts(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"^script (\d+)$", self.log, re.MULTILINE)]


def test_files_of_an_upgrade_that_fails(tmp_path: Path) -> None:
    """Those that the new master alone has made are removed, and the old one's are not."""
    first, second = tmp_path / "first", tmp_path / "second"
    (tmp_path / "binds").write_text(f"127.0.0.1:0 unix:{first}")
    with Scripted(tmp_path, WORKING_FAILS=str(tmp_path / "fails")) as master:
        (tmp_path / "fails").touch()
        (tmp_path / "binds").write_text(f"127.0.0.1:0 unix:{first} unix:{second}")
        new = master.upgrade()
        master.wait_for("which was to replace this one, ended: exit status 3")
        wait_until_gone(new)
        assert f"running on unix socket {second}" in master.log
        assert not second.exists()
        assert first.exists()
        assert int(master.text().split()[1]) in master.workers
        assert master.stop() == 0
    assert not first.exists()


def test_heir_of_a_master_that_is_killed_before_it_looks(tmp_path: Path) -> None:
    """Its parent is another process by then, and it has the listeners all the same."""
    unix = tmp_path / "socket"
    (tmp_path / "binds").write_text(f"127.0.0.1:0 unix:{unix}")
    with Scripted(tmp_path) as master:
        port, old = master.port, master.workers
        (tmp_path / "wait").touch()
        new = master.upgrade()
        master.process.kill()
        master.process.wait()
        wait_until_gone(*(pid for pid in old if pid != new))
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            (tmp_path / "wait").unlink()
            with client.makefile("rb") as answer:
                text = answer.read()
        workers = children(new)
        master.successors.update(workers)
        assert int(text.rpartition(b" ")[2]) in workers
        pidfile = tmp_path / "pid"
        wait_until(lambda: pidfile.read_text() == f"{new}\n", "its pidfile")
        master.successors.update(children(new))
        os.kill(new, signal.SIGTERM)
        wait_until_gone(*master.successors)
        assert not any((tmp_path / name).exists() for name in ("socket", "pid", "control"))
