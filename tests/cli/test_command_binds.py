# SPDX-License-Identifier: MIT
"""The command listening on several things, and behind proxies that send the PROXY header."""

import http.client
import json
import os
import re
import socket
import stat
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from command_process import LIMIT, Serving, UnixConnection, run_command

from tests.certificates import Files, authority


def seen(client: http.client.HTTPConnection) -> Any:
    client.request("GET", "/")
    response = client.getresponse()
    assert response.status == 200
    scope = json.loads(response.read())
    client.close()
    return scope


def ports_of(server: Serving) -> list[int]:
    return [int(port) for port in re.findall(r"running on https?://[^ ]*:(\d+) ", server.log)]


@pytest.mark.parametrize("loop", ["camshaft", "asyncio"])
def test_several(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    abstract = f"camshaft-{os.getpid()}-{loop}"
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        binds = (
            *("--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0", "--bind", f"unix:{path}"),
            *("--bind", f"unix:@{abstract}", "--bind", f"fd://{inherited.fileno()}"),
        )
        with Serving(
            tmp_path,
            *("served:app", "--loop", loop, "--uds-permissions", "660", *binds),
            pass_fds=(inherited.fileno(),),
            ready=" running on socket ",
        ) as server:
            ports = ports_of(server)
            assert re.findall(" running on (.*)", server.log) == [
                f"http://127.0.0.1:{ports[0]} (Press CTRL+C to quit)",
                f"http://127.0.0.1:{ports[1]} (Press CTRL+C to quit)",
                f"unix socket {path} (Press CTRL+C to quit)",
                f"unix socket @{abstract} (Press CTRL+C to quit)",
                f"socket {inherited.getsockname()} (Press CTRL+C to quit)",
            ]
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            for port in (*ports, inherited.getsockname()[1]):
                scope = seen(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT))
                assert scope["server"] == ["127.0.0.1", port]
                assert scope["client"][0] == "127.0.0.1"
            scope = seen(UnixConnection(str(path)))
            assert (scope["server"], scope["client"]) == ([str(path), None], None)
            assert seen(UnixConnection("\0" + abstract))["client"] is None
            assert server.stop() == -SIGTERM
            assert not path.exists()


def test_inherited_descriptors_of_every_family(tmp_path: Path) -> None:
    path = str(tmp_path / "inherited")
    with socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_INET6) as v6:
        unix.bind(path)
        binds = ["--bind", f"fd://{unix.fileno()}"]
        try:
            v6.bind(("::1", 0))
        except OSError:
            pass  # no IPv6 here
        else:
            binds += ["--bind", f"fd://{v6.fileno()}"]
        with Serving(
            tmp_path, "served:app", *binds, pass_fds=(unix.fileno(), v6.fileno())
        ) as server:
            scope = seen(UnixConnection(path))
            assert (scope["server"], scope["client"]) == ([path, None], None)
            if len(binds) == 4:
                server.wait_for("running on socket ('::1',")
                port = v6.getsockname()[1]
                scope = seen(http.client.HTTPConnection("::1", port, timeout=LIMIT))
                assert scope["server"] == ["::1", port]
                assert scope["client"][0] == "::1"
            assert server.stop() == -SIGTERM
            # Whoever has bound it removes it.
            assert os.path.exists(path)


def test_all_or_none(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_command("served:app", "--bind", f"unix:{path}", "--bind", f"127.0.0.1:{port}")
    assert done.returncode == 3
    line = (
        f"ERROR:    [Errno 98] Cannot listen on 127.0.0.1:{port}: address already in use; "
        "--bind chooses another."
    )
    assert line in done.stderr.splitlines()
    assert not path.exists()


def test_wrong_usage() -> None:
    done = run_command("served:app", "--bind", "localhost")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --bind: 'localhost': an address is given as HOST:PORT, else as unix:PATH or "
        "fd://N.\n"
    )
    done = run_command("served:app", "--bind", "localhost:1", "--port", "9")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --bind: it is given in place of --port; give that as another --bind too.\n"
    )


HEADER = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n"


@pytest.mark.parametrize("tls", [False, True])
def test_proxy_protocol(tls: bool, tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    arguments = ["--proxy-protocol"] + (["--ssl-certfile", str(files.both)] if tls else [])
    with Serving(tmp_path, "served:app", *arguments) as server:
        sock: Any = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT)
        sock.sendall(HEADER)
        if tls:
            sock = authority().client().wrap_socket(sock, server_hostname="localhost")
        client = http.client.HTTPConnection("localhost", timeout=LIMIT)
        client.sock = sock
        scope = seen(client)
        assert (scope["client"], scope["server"]) == (["1.2.3.4", 9], ["5.6.7.8", 10])
        assert scope["scheme"] == ("https" if tls else "http")
        server.wait_until(lambda: '1.2.3.4:9 - "GET / HTTP/1.1" 200' in server.out, "its line")

        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            port = raw.getsockname()[1]
            assert closed(raw)
        server.wait_for(
            "WARNING:  Connection closed, as it does not begin with a PROXY header: "
            f"127.0.0.1:{port}"
        )
        assert server.stop() == -SIGTERM


def closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_proxy_protocol_of_unlisted_peers(tmp_path: Path) -> None:
    with Serving(
        tmp_path, "served:app", "--proxy-protocol", "--proxy-allow-from", "10.0.0.0/8"
    ) as server:
        assert server.seen()["client"][0] == "127.0.0.1"


def test_proxy_protocol_on_another_loop() -> None:
    done = run_command("served:app", "--port", "0", "--loop", "asyncio", "--proxy-protocol")
    assert done.returncode == 3
    assert (
        "ERROR:    --proxy-protocol needs camshaft's own loop: leave --loop auto.\n" in done.stderr
    )


def test_plain_text_on_a_tls_port_and_tls_on_a_plain_one(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    with Serving(tmp_path, "served:app", "--ssl-certfile", str(files.both)) as server:
        status, headers, body = server.get()
        assert status == 400
        assert body == b"This port speaks TLS: ask by https://\n"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        server.wait_for("WARNING:  A request in plain text on a TLS port: 127.0.0.1:")
    with Serving(tmp_path, "served:app") as server:
        client = http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=LIMIT, context=authority().client()
        )
        with pytest.raises(OSError):
            client.request("GET", "/")
        client.close()
        server.wait_for(
            "WARNING:  A TLS handshake on a port without TLS: the connection is closed."
        )


def test_connections_that_have_not_begun_do_not_keep_the_server(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    with Serving(tmp_path, "served:app", "--ssl-certfile", str(files.both)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as raw:
            raw.sendall(b"\x16\3\1\0\x50")
            assert server.stop() == -SIGTERM
            assert closed(raw)
        assert "Waiting for connections" not in server.log
