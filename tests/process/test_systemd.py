# SPDX-License-Identifier: MIT
"""systemd's protocols, with a datagram socket in systemd's place and sockets opened as it does."""

import http.client
import json
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_process import LIMIT, Serving, UnixConnection, get, run_command
from masters import wait_until, wait_until_gone

from camshaft.systemd import Notifier, passed_descriptors
from tests.certificates import Files


class Manager:
    """What is told by services; in systemd's place."""

    def __init__(self, address: str) -> None:
        self.variable = address.replace("\0", "@", 1)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(LIMIT)
        self.socket.bind(address)

    def hear(self) -> str:
        return self.socket.recv(4096).decode()

    def hear_but(self, ignored: str) -> str:
        """The next word that is not the one that comes again and again."""
        while (word := self.hear()) == ignored:
            pass
        return word


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        address = f"\0camshaft-test-{os.getpid()}-{id(tmp_path)}"
    made = Manager(address)
    with made.socket:
        yield made


def test_tells_of_start_and_end(tmp_path: Path, manager: Manager) -> None:
    with Serving(tmp_path, "served:app", env={"NOTIFY_SOCKET": manager.variable}) as server:
        assert manager.hear() == "READY=1"
        # Told when it serves, and not before.
        assert server.get()[0] == 200
        server.send(signal.SIGTERM)
        assert manager.hear() == "STOPPING=1"
        server.wait()
        manager.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.hear()


def test_is_not_ready_until_the_application_is(tmp_path: Path, manager: Manager) -> None:
    with pytest.raises(pytest.fail.Exception, match="ended with 3"):
        Serving(tmp_path, "served:start_fails", env={"NOTIFY_SOCKET": manager.variable})
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear()


def test_watchdog(tmp_path: Path, manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": manager.variable, "WATCHDOG_USEC": "200000"}
    with Serving(tmp_path, "served:app", env=env) as server:
        assert manager.hear() == "READY=1"
        assert [manager.hear() for _ in range(4)] == ["WATCHDOG=1"] * 4
        # Requests that end are no reason to be killed.
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as client:
            client.sendall(b"GET /wait?%s HTTP/1.1\r\nHost: a\r\n\r\n" % bytes(tmp_path / "go"))
            server.wait_for("app: request started")
            server.send(signal.SIGTERM)
            assert manager.hear_but("WATCHDOG=1") == "STOPPING=1"
            assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
            (tmp_path / "go").touch()
            server.wait()


def test_watchdog_of_another_process_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "5000000"}
    assert Notifier(environ).watchdog == 5.0
    assert Notifier({**environ, "WATCHDOG_PID": str(os.getpid())}).watchdog == 5.0
    assert Notifier({**environ, "WATCHDOG_PID": "1"}).watchdog is None
    for bad in ("", "0", "-1", "soon"):
        assert Notifier({**environ, "WATCHDOG_USEC": bad}).watchdog is None
    assert Notifier({"WATCHDOG_USEC": "5000000"}).watchdog is None


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/no/such/socket", "@nobody"])
def test_nobody_is_told(address: str) -> None:
    """What is wrong with the other end does not stop the service."""
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert notifier.listens == address.startswith(("/", "@"))


def test_manager_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": manager.variable})
    with manager.socket:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with sender, pytest.raises(BlockingIOError):
            while True:
                sender.sendto(b"x", manager.variable)
        notifier.alive()  # returns


def test_master_is_not_kept_by_a_manager_that_does_not_read(tmp_path: Path) -> None:
    """Nothing is lost either: it is told when it reads again, as systemd may be reloaded itself."""
    manager = Manager(str(tmp_path / "notify"))
    control = str(tmp_path / "control")
    options = ("--workers", "2", "--control-socket", control)
    with manager.socket:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
            pytest.raises(BlockingIOError),
        ):
            while True:
                sender.sendto(b"x", manager.variable)
        env = {"NOTIFY_SOCKET": manager.variable}
        with Serving(tmp_path, "served:app", *options, env=env) as server:

            def states() -> list[str]:
                shown = run_command("ctl", "--socket", control, "status", "--json").stdout
                return [worker["state"] for worker in json.loads(shown)["workers"]]

            wait_until(lambda: states() == ["serving"] * 2, "two workers")
            # It was ready before it answered that, and told so.
            assert manager.hear_but("x") == "READY=1"
            server.send(signal.SIGTERM)
            assert manager.hear() == "STOPPING=1"
            assert server.wait() == 0


def test_last_words_are_waited_for(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    with manager.socket:
        said = 0
        notifier = Notifier({"NOTIFY_SOCKET": manager.variable})
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
            pytest.raises(BlockingIOError),
        ):
            while True:
                sender.sendto(b"x", manager.variable)
                said += 1
        notifier.alive()
        notifier.alive()
        notifier.stopping()
        listener = threading.Thread(
            target=lambda: heard.extend(manager.hear() for _ in range(said + 2))
        )
        heard: list[str] = []
        listener.start()
        notifier.close()
        listener.join(LIMIT)
        assert heard == ["x"] * said + ["WATCHDOG=1", "STOPPING=1"]


def test_certificate_that_is_renewed(tmp_path: Path, manager: Manager) -> None:
    files = Files(tmp_path / "tls")
    options = ("--ssl-certfile", str(files.cert), "--ssl-keyfile", str(files.key))
    env = {"NOTIFY_SOCKET": manager.variable}
    with Serving(tmp_path, "served:app", *options, env=env) as server:
        assert manager.hear() == "READY=1"
        server.send(signal.SIGHUP)
        reloading, monotonic = manager.hear().split("\n")
        assert (reloading, monotonic.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
        assert int(monotonic.partition("=")[2]) > 0
        assert manager.hear() == "READY=1"
        server.wait_for("The TLS certificate was read anew.")


def test_master(tmp_path: Path, manager: Manager) -> None:
    """It is ready when all workers serve, and again when all have been replaced."""
    env = {"NOTIFY_SOCKET": manager.variable, "WATCHDOG_USEC": "400000"}
    started = "Application startup complete"
    with Serving(tmp_path, "served:app", "--workers", "2", env=env) as server:
        assert manager.hear_but("WATCHDOG=1") == "READY=1"
        assert server.log.count(started) == 2
        assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
        server.send(signal.SIGHUP)
        assert manager.hear_but("WATCHDOG=1").startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert manager.hear_but("WATCHDOG=1") == "READY=1"
        assert server.log.count(started) == 4
        server.send(signal.SIGTERM)
        assert manager.hear_but("WATCHDOG=1") == "STOPPING=1"
        assert server.wait() == 0


@contextmanager
def activated(
    directory: Path, sockets: list[socket.socket], *arguments: str, **options: str
) -> Iterator[Serving]:
    """The command as systemd starts it: with these sockets from descriptor 3 on."""
    # To where they are in nobody's way, and then to their places.
    moves = [f"exec {50 + at}<&{sock.fileno()}" for at, sock in enumerate(sockets)]
    moves += [f"exec {3 + at}<&{50 + at} {50 + at}<&-" for at in range(len(sockets))]
    variables = f"LISTEN_PID=$$ LISTEN_FDS={len(sockets)} LISTEN_FDNAMES=web:api"
    python = shlex.join([sys.executable, "-m", "camshaft"])
    script = "; ".join([*moves, f'export {variables}; exec {python} "$@"'])
    for sock in sockets:
        sock.set_inheritable(True)
    with Serving(
        directory,
        "served:app",
        *arguments,
        command=["/bin/bash", "-c", script, "bash"],
        pass_fds=tuple(sock.fileno() for sock in sockets),
        env={"CAMSHAFT_PORT": "8000", **options},
    ) as server:
        yield server


def test_sockets_that_were_opened_before(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as web, socket.socket(socket.AF_UNIX) as api:
        api.bind(path)
        api.listen()
        with activated(tmp_path, [web, api]) as server:
            port = web.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            assert get(connection)[0] == 200
            assert get(UnixConnection(path))[0] == 200
            assert server.stop() == -signal.SIGTERM
            # They are systemd's, and so is the file.
            assert os.path.exists(path)
            with socket.create_connection(("127.0.0.1", port), timeout=LIMIT):
                pass


def test_sockets_for_workers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        with activated(tmp_path, [web], "--workers", "2") as server:
            port = web.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            assert get(connection)[0] == 200
            assert server.stop() == 0


def test_settings_win_over_sockets(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        with activated(tmp_path, [web], "--port", "0") as server:
            assert server.get()[0] == 200
            assert "WARNING:  The sockets of $LISTEN_FDS are not used: --port says" in server.log


def test_socket_of_another_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(pytest.fail.Exception, match="ended with 3") as caught:
            with activated(tmp_path, [datagrams]):
                pass
    assert "Cannot listen on file descriptor 3: it is no stream socket." in str(caught.value)


def test_variables_that_are_not_for_this_process() -> None:
    ours = str(os.getpid())
    for environ in (
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "2"},
        {"LISTEN_PID": ours},
        {"LISTEN_PID": ours, "LISTEN_FDS": "many"},
        {"LISTEN_FDS": "2"},
    ):
        before = dict(environ)
        assert passed_descriptors(environ) == []
        assert environ == before
    environ = {"LISTEN_PID": ours, "LISTEN_FDS": "0", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert passed_descriptors(environ) == []
    assert environ == {"HOME": "/"}


def test_upgrade(tmp_path: Path) -> None:
    """The main process is another then, which systemd is told by the one that was, and it lives."""
    manager = Manager(str(tmp_path / "notify"))
    control = str(tmp_path / "control")
    script = 'export WATCHDOG_PID=$$; exec "$@"'
    with (
        manager.socket,
        Serving(
            tmp_path,
            *("served:app", "--workers", "1", "--limit-worker-lifetime", "10000"),
            *("--control-socket", control),
            command=["/bin/bash", "-c", script, "bash", sys.executable, "-m", "camshaft"],
            env={"NOTIFY_SOCKET": manager.variable, "WATCHDOG_USEC": "400000"},
        ) as server,
    ):
        # As systemd, it reads all the time: few words fit into the socket, and more are dropped.
        heard: list[str] = []

        def listen() -> None:
            while not heard or heard[-1] != "STOPPING=1":
                heard.append(manager.hear())

        def told() -> list[str]:
            return [word for word in heard if word != "WATCHDOG=1"]

        listener = threading.Thread(target=listen)
        listener.start()
        assert run_command("ctl", "--socket", control, "upgrade").returncode == 0
        assert server.wait() == 0
        state = run_command("ctl", "--socket", control, "status", "--json").stdout
        new = json.loads(state)["master"]["pid"]
        try:
            assert new != server.process.pid
            # The first is the old one's own start.
            wait_until(lambda: len(told()) >= 3, "the change of the main process")
            assert told() == ["READY=1", "READY=1", f"MAINPID={new}\nREADY=1"]
            before = len(heard)
            wait_until(lambda: len(heard) >= before + 3, "the new one's life")
        finally:
            assert run_command("ctl", "--socket", control, "stop").returncode == 0
        wait_until_gone(new)
        listener.join(LIMIT)
        assert heard[-1] == "STOPPING=1"
        assert len(told()) == 4
