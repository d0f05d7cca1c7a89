# SPDX-License-Identifier: MIT
"""Listening sockets, and what is said when there can be none."""

import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

import camshaft
from camshaft.config import Config
from camshaft.server.listeners import ListenError, Listening, log_started, open_listeners


async def app(*_: Any) -> None:
    pass


def listeners(**settings: Any) -> list[Listening]:
    return camshaft.run(open_listeners(Config(app, log_config=None, **settings)))


def opened(**settings: Any) -> tuple[list[socket.socket], str]:
    """The sockets for these settings, closed, and where they are said to be."""
    (listening,) = listeners(**settings)
    for sock in listening.sockets:
        sock.close()
    return listening.sockets, listening.where % listening.arguments


def failure(**settings: Any) -> str:
    with pytest.raises(ListenError) as caught:
        opened(**settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_host_and_port() -> None:
    (listening,) = listeners(port=0)
    (sock,) = listening.sockets
    with sock:
        port = sock.getsockname()[1]
        assert port > 0
        assert sock.family == socket.AF_INET
        assert listening.where % listening.arguments == f"http://127.0.0.1:{port}"


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    sockets, where = opened(host="::1", port=0)
    assert [sock.family for sock in sockets] == [socket.AF_INET6]
    assert where.startswith("http://[::1]:")


@pytest.mark.parametrize("host", [None, ""])
def test_every_interface_has_one_port(host: str | None) -> None:
    (listening,) = listeners(host=host, port=0)
    sockets = listening.sockets
    try:
        assert {sock.getsockname()[0] for sock in sockets} <= {"0.0.0.0", "::"}
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        where = listening.where % listening.arguments
        assert where == f"http://0.0.0.0:{sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert failure(port=port) == (
            f"[Errno 98] Cannot listen on 127.0.0.1:{port}: address already in use; "
            "--port chooses another."
        )


def test_permission_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for port 80 without privileges, which those who run tests may have."""

    class Unprivileged(socket.socket):
        def bind(self, _: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("camshaft.server.listeners.socket.socket", Unprivileged)
    assert failure(port=80) == (
        "[Errno 13] Cannot listen on 127.0.0.1:80: permission denied; "
        "ports below 1024 need privileges, --port chooses another."
    )
    assert failure(uds="/run/no-socket") == (
        "[Errno 13] Cannot listen on unix socket /run/no-socket: permission denied; "
        "--uds takes a path in a directory that this user may write to."
    )


def test_unknown_host() -> None:
    message = failure(host="no such host", port=0)
    assert message.endswith("; see --host.")
    assert "Cannot listen on no such host:0: " in message


def test_address_of_another_machine() -> None:
    # TEST-NET-1 of RFC 5737: nobody's.
    message = failure(host="192.0.2.1", port=0)
    assert "Cannot listen on 192.0.2.1:0: " in message
    assert message.endswith("; --host takes an address of this machine.")


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    mask = os.umask(0o22)
    try:
        _, where = opened(uds=path)
        assert where == f"unix socket {path}"
        assert mode_of(path) == 0o600
        for given, mode in (("660", 0o660), ("0o666", 0o666), (0o640, 0o640), ("0", 0)):
            opened(uds=path, uds_permissions=given)
            assert mode_of(path) == mode
        # The process's own mask is as it was.
        assert os.umask(0o22) == 0o22
    finally:
        os.umask(mask)


def test_unix_socket_that_was_left(tmp_path: Path) -> None:
    """It is replaced, and its mode with it."""
    path = str(tmp_path / "socket")
    opened(uds=path)
    os.chmod(path, 0o666)
    before = os.stat(path).st_ino, os.stat(path).st_ctime_ns
    opened(uds=path)
    assert (os.stat(path).st_ino, os.stat(path).st_ctime_ns) != before
    assert mode_of(path) == 0o600


def test_link_in_place_of_a_unix_socket(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "link"
    opened(uds=str(target))
    path.symlink_to(target)
    assert "another file is there" in failure(uds=str(path))
    assert path.is_symlink()
    assert target.exists()


def test_abstract_name() -> None:
    name = f"camshaft-test-{os.getpid()}"
    (listening,) = listeners(bind=[f"unix:@{name}"])
    try:
        assert listening.where % listening.arguments == f"unix socket @{name}"
        assert listening.sockets[0].getsockname() == b"\0" + name.encode()
        assert failure(bind=f"unix:@{name}") == (
            f"[Errno 98] Cannot listen on unix socket @{name}: address already in use; "
            "--bind takes another name."
        )
    finally:
        listening.close()


def test_several(tmp_path: Path) -> None:
    path = f"{tmp_path}/socket"
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        opened = listeners(
            bind=["127.0.0.1:0", f"unix:{path}", f"fd://{inherited.fileno()}", "localhost:0"]
        )
        shown = [listening.where % listening.arguments for listening in opened]
        ports = [listening.sockets[0].getsockname()[1] for listening in (opened[0], opened[3])]
        assert shown == [
            f"http://127.0.0.1:{ports[0]}",
            f"unix socket {path}",
            f"socket {inherited.getsockname()}",
            f"http://localhost:{ports[1]}",
        ]
        for listening in opened:
            listening.close()
        assert not os.path.exists(path)


def test_all_or_none(tmp_path: Path) -> None:
    path = f"{tmp_path}/socket"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))
        message = failure(bind=["127.0.0.1:0", f"unix:{path}", f"127.0.0.1:{port}"])
        assert message == (
            f"[Errno 98] Cannot listen on 127.0.0.1:{port}: address already in use; "
            "--bind chooses another."
        )
        assert not os.path.exists(path)
        assert len(os.listdir("/proc/self/fd")) == before


def test_file_of_another_server_is_left(tmp_path: Path) -> None:
    path = f"{tmp_path}/socket"
    (old,) = listeners(uds=path)
    (new,) = listeners(uds=path)
    old.close()
    assert os.path.exists(path)
    new.close()
    assert not os.path.exists(path)
    new.remove_file()


def test_unix_socket_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that others own; those who run tests may be allowed everything."""
    path = f"{tmp_path}/socket"
    opened(uds=path)

    def unlink(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("camshaft.server.listeners.os.unlink", unlink)
    assert failure(uds=path) == (
        f"[Errno 13] Cannot listen on unix socket {path}: permission denied; "
        "--uds takes a path in a directory that this user may write to."
    )


def test_unix_socket_in_place_of_another_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    assert failure(uds=str(path)) == (
        f"Cannot listen on unix socket {path}: another file is there; "
        "remove it, or choose another path."
    )
    assert path.read_text() == "precious"


def test_unix_socket_in_no_directory(tmp_path: Path) -> None:
    path = f"{tmp_path}/none/socket"
    assert failure(uds=path) == (
        f"[Errno 2] Cannot listen on unix socket {path}: no such file or directory; "
        "make its directory first."
    )


def test_unix_socket_with_a_long_path(tmp_path: Path) -> None:
    path = f"{tmp_path}/{'x' * 120}"
    assert failure(uds=path) == f"Cannot listen on unix socket {path}: AF_UNIX path too long."


def test_descriptor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        name = inherited.getsockname()
        _, where = opened(fd=inherited.fileno())
        assert where == f"socket {name}"
        # Ours was a copy.
        assert inherited.getsockname() == name


def test_descriptor_that_cannot_be_used(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        number = file.fileno()
        assert failure(fd=number) == (
            f"[Errno 88] Cannot listen on file descriptor {number}: "
            "socket operation on non-socket; --fd takes that of a socket."
        )
    assert failure(fd=10**6) == (
        "[Errno 9] Cannot listen on file descriptor 1000000: bad file descriptor; "
        "--fd takes one that is open."
    )
    assert failure(bind=f"fd://{10**30}").endswith(
        ": bad file descriptor; --bind takes one that is open."
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        assert failure(fd=datagrams.fileno()) == (
            f"Cannot listen on file descriptor {datagrams.fileno()}: it is no stream socket."
        )


@pytest.mark.parametrize("kind", ["host", "unix", "descriptor"])
def test_socket_for_other_processes(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        settings: dict[str, Any] = {
            "host": {"port": 0},
            "unix": {"uds": str(tmp_path / "socket")},
            "descriptor": {"fd": given.fileno()},
        }[kind]
        with Config(None, log_config=None, **settings).bind_socket() as sock:
            assert sock.get_inheritable()
            where = {
                "host": f"http://127.0.0.1:{sock.getsockname()[1]}" if kind == "host" else "",
                "unix": f"unix socket {tmp_path / 'socket'}",
                "descriptor": f"socket {given.getsockname()}",
            }[kind]
    assert caplog.messages == [f"Camshaft running on {where} (Press CTRL+C to quit)"]


def test_socket_that_cannot_be_had(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = Config(None, port=other.getsockname()[1], log_config=None)
        with pytest.raises(SystemExit) as caught:
            config.bind_socket()
    assert caught.value.code == 3
    assert "address already in use" in caplog.text


def test_descriptors_of_every_family(tmp_path: Path) -> None:
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, f"{tmp_path}/socket"),
    ):
        with socket.socket(family) as inherited:
            try:
                inherited.bind(address)
            except OSError:
                # No IPv6 here.
                assert family == socket.AF_INET6
                continue
            (sock,), where = opened(fd=inherited.fileno())
            assert sock.family == family
            assert where == f"socket {inherited.getsockname()}"


def test_descriptor_that_gets_its_address_by_listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    with socket.socket() as given:
        config = Config(None, fd=given.fileno(), log_config=None)
        (listening,) = camshaft.run(open_listeners(config))
        given.listen()
        log_started(listening)
        expected = f"Camshaft running on socket {given.getsockname()} (Press CTRL+C to quit)"
        for sock in listening.sockets:
            sock.close()
    assert caplog.messages == [expected]
