# SPDX-License-Identifier: MIT
"""The command with TLS: what it serves, its lines, a certificate that is renewed, and errors."""

import http.client
import json
import os
import socket
import ssl
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest
from command_process import LIMIT, Serving, get, run_command

from tests.certificates import PASSWORD, Files, authority


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "tls")


def connection(server: Serving, **given: Any) -> http.client.HTTPSConnection:
    context = authority().client(given.get("certificate"))
    return http.client.HTTPSConnection("127.0.0.1", server.port, timeout=LIMIT, context=context)


def seen(client: http.client.HTTPConnection) -> Any:
    """What the application sees of a request; the connection stays open."""
    client.request("GET", "/")
    response = client.getresponse()
    assert response.status == 200
    return json.loads(response.read())


def shown(client: http.client.HTTPSConnection) -> bytes:
    """The certificate that the server has shown this client."""
    assert isinstance(client.sock, ssl.SSLSocket)
    certificate = client.sock.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def der(leaf: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


@pytest.mark.parametrize("loop", ["camshaft", "asyncio"])
def test_serves(loop: str, files: Files, tmp_path: Path) -> None:
    arguments = (
        f"served:app --loop {loop} --ssl-certfile {files.cert} --ssl-keyfile {files.encrypted} "
        f"--ssl-ca-certs {files.ca} --ssl-cert-reqs 2"
    )
    with Serving(tmp_path, *arguments.split(), "--ssl-keyfile-password", PASSWORD) as server:
        assert f"Camshaft running on https://127.0.0.1:{server.port} (Press CTRL+C" in server.log
        client = connection(server, certificate=authority().issue("a.client"))
        scope = seen(client)
        assert scope["scheme"] == "https"
        tls = scope["tls"]
        assert ssl.PEM_cert_to_DER_cert(tls["server_cert"]) == der(files.leaf)
        assert tls["client_cert_name"].startswith("CN=a.client,")
        client.close()
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            get(connection(server))
        assert server.stop() == -SIGTERM
        assert PASSWORD not in server.log


@pytest.mark.parametrize("loop", ["camshaft", "asyncio"])
def test_renewal(loop: str, files: Files, tmp_path: Path) -> None:
    """SIGHUP: connections go on, new ones get the new certificate, a bad one is not taken."""
    with Serving(
        tmp_path, "served:app", "--loop", loop, "--ssl-certfile", str(files.both)
    ) as server:
        old = connection(server)
        seen(old)
        renewed = authority().issue()
        files.write(renewed)
        server.send(SIGHUP)
        server.wait_for("INFO:     The TLS certificate was read anew.")
        server.wait_until(lambda: served_one(server) == der(renewed), "the new certificate")
        assert shown(old) == der(files.leaf)
        assert seen(old)["scheme"] == "https"
        scope = seen(old)
        assert ssl.PEM_cert_to_DER_cert(scope["tls"]["server_cert"]) == shown(old)

        files.both.write_text("no certificate")
        server.send(SIGHUP)
        server.wait_for(
            f"ERROR:    {files.both} holds no certificate in PEM. "
            "The TLS certificate in use is kept."
        )
        assert served_one(server) == der(renewed)
        assert seen(old)["scheme"] == "https"
        old.close()
        assert server.stop() == -SIGTERM


def served_one(server: Serving) -> bytes:
    client = connection(server)
    seen(client)
    certificate = shown(client)
    client.close()
    return certificate


def test_hangup_ends_a_server_without_tls(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app") as server:
        assert server.stop(SIGHUP) == -SIGHUP


def test_many_connections_while_it_is_renewed(files: Files, tmp_path: Path) -> None:
    """None is refused, none is dropped."""
    # All thirty handshakes may take longer than an idle connection is usually kept.
    kept = ("--timeout-keep-alive", "1000")
    with Serving(tmp_path, "served:app", *kept, "--ssl-certfile", str(files.both)) as server:
        clients = []
        for number in range(30):
            if number % 5 == 0:
                files.write(authority().issue())
                server.send(SIGHUP)
            clients.append(connection(server))
            assert seen(clients[-1])["scheme"] == "https"
        for client in clients:
            assert seen(client)["scheme"] == "https"
            client.close()
        assert server.stop() == -SIGTERM


def test_unix_socket(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Serving(tmp_path, "served:app", "--uds", str(path), "--ssl-certfile", str(files.both)):
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(LIMIT)
        raw.connect(str(path))
        client = http.client.HTTPConnection("localhost", timeout=LIMIT)
        client.sock = authority().client().wrap_socket(raw, server_hostname="localhost")
        assert seen(client)["scheme"] == "https"
        client.close()


def test_errors(files: Files, tmp_path: Path) -> None:
    """One line each, and uvicorn's status."""
    other = Files(tmp_path / "other", authority().issue())
    readable = tmp_path / "readable.pem"
    readable.write_bytes(files.both.read_bytes())
    os.chmod(readable, 0o644)
    for arguments, line in (
        (
            ("--ssl-certfile", str(tmp_path / "none")),
            f"{tmp_path}/none, the certificate, cannot be read: no such file or directory; "
            "see --ssl-certfile.",
        ),
        (
            ("--ssl-certfile", str(files.cert), "--ssl-keyfile", str(other.key)),
            f"The key in {other.key} is not that of the certificate in {files.cert}.",
        ),
        (
            (
                *("--ssl-certfile", str(files.cert), "--ssl-keyfile", str(files.encrypted)),
                *("--ssl-keyfile-password", "wrong"),
            ),
            f"The key in {files.encrypted} cannot be read with this password.",
        ),
        (
            ("--ssl-certfile", str(readable)),
            f"The key in {readable} can be read by everybody on this machine: "
            f"chmod o-r {readable}, or --ssl-world-readable-key if that cannot be helped.",
        ),
    ):
        done = run_command("served:app", "--port", "0", *arguments)
        assert done.returncode == 1, done.stderr
        assert f"ERROR:    {line}\n" in done.stderr
        assert "Traceback" not in done.stderr
