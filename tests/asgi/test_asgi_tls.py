# SPDX-License-Identifier: MIT
"""What scopes tell of TLS: the scheme, and the extension of ASGI's TLS specification 0.2."""

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from camshaft.server.tls import TlsInfo, served_certificate
from tests.asgi.conftest import Serve
from tests.asgi.harness import LIMIT, Client, Served, answer, get
from tests.certificates import Authority, Files, authority


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what the scope tells of TLS."""
    extensions = scope.get("extensions", {})
    told = {"scheme": scope["scheme"], "tls": extensions.get("tls")}
    await answer(send, json.dumps(told, default=list).encode())


def ask(served: Served, context: ssl.SSLContext, name: str = "localhost") -> dict[str, Any]:
    """The tls extension that a client with this context gets, of two requests in one connection."""
    sock = socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT)
    with Client(context.wrap_socket(sock, server_hostname=name)) as client:
        told = []
        for _ in range(2):
            client.send(get())
            told.append(json.loads(client.read_response().body))
    assert told[0] == told[1]
    assert told[0]["scheme"] == "https"
    tls: dict[str, Any] = told[0]["tls"]
    return tls


class Certified:
    """A server's context, and the clients of its authority."""

    def __init__(self, verify: ssl.VerifyMode = ssl.CERT_NONE) -> None:
        self.leaf = authority().issue()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.leaf.configure_cert(self.context)
        authority().ca.configure_trust(self.context)
        self.context.verify_mode = verify
        self.info = TlsInfo()
        self.info.learn(self.context, served_certificate(self.context))

    def served(self, start: Serve) -> Served:
        return start(tell, ssl_context=self.context, tls_info=self.info)

    @property
    def pem(self) -> str:
        return self.leaf.cert_chain_pems[0].bytes().decode()


def test_without_a_client_certificate(start: Serve) -> None:
    certified = Certified()
    served = certified.served(start)
    client = authority().client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    tls = ask(served, client)
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert tls | {"cipher_suite": 0} == {
        "server_cert": certified.pem,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0,
    }
    # RFC 5289, section 3.2, and RFC 5289's for RSA.
    client = authority().client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    tls = ask(served, client)
    assert tls["tls_version"] == 0x0303
    assert tls["cipher_suite"] in (0xC02B, 0xC02F)


@pytest.mark.parametrize("verify", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_client_certificate(start: Serve, verify: ssl.VerifyMode) -> None:
    served = Certified(verify).served(start)
    leaf = authority().issue("client.example")
    tls = ask(served, authority().client(leaf))
    # OpenSSL's clients send the authority along that they know to have signed it.
    sent = [leaf.cert_chain_pems[0], authority().ca.cert_pem]
    assert tls["client_cert_chain"] == [blob.bytes().decode() for blob in sent]
    # trustme's subject: O=..., OU=..., CN=... in this order, which RFC 4514 turns round.
    first, *rest = tls["client_cert_name"].split(",")
    assert first == "CN=client.example"
    assert rest and all(part.startswith(("O=", "OU=")) for part in rest)
    assert tls["client_cert_error"] is None


def test_client_certificate_with_what_leads_to_the_authority(start: Serve) -> None:
    served = Certified(ssl.CERT_REQUIRED).served(start)
    between = authority().ca.create_child_ca()
    leaf = between.issue_cert("127.0.0.1", common_name="far.example")
    tls = ask(served, authority().client(leaf))
    sent = [blob.bytes().decode() for blob in leaf.cert_chain_pems]
    assert len(sent) == 2
    assert tls["client_cert_chain"] == sent
    assert tls["client_cert_name"].startswith("CN=far.example,")


def test_client_without_the_certificate_that_is_wanted(start: Serve) -> None:
    served = Certified(ssl.CERT_OPTIONAL).served(start)
    assert ask(served, authority().client())["client_cert_chain"] == []
    served = Certified(ssl.CERT_REQUIRED).served(start)
    stranger = Authority().issue("stranger")
    for context in (authority().client(), authority().client(stranger)):
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            ask(served, context)


def test_certificate_chosen_by_name(start: Serve) -> None:
    """Of what a callback puts in its place nothing is known, so nothing is told."""
    certified = Certified()
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue("other.example").configure_cert(other)

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name == "other.example":
            tls.context = other

    certified.context.sni_callback = choose
    served = certified.served(start)
    assert ask(served, authority().client())["server_cert"] == certified.pem
    assert ask(served, authority().client(), "other.example")["server_cert"] is None


def test_no_extension_without_tls(start: Serve) -> None:
    served = start(tell, tls_info=TlsInfo())
    told = json.loads(served.ask(get()).body)
    assert told == {"scheme": "http", "tls": None}


def test_server_that_cannot_tell(start: Serve) -> None:
    certified = Certified()
    served = start(tell, ssl_context=certified.context)
    assert ask(served, authority().client()) is None


def test_info_that_fails(start: Serve) -> None:
    def fail(_: ssl.SSLObject) -> dict[str, Any]:
        raise ZeroDivisionError("as asked")

    certified = Certified()
    served = start(tell, ssl_context=certified.context, tls_info=fail)
    with pytest.raises((EOFError, ConnectionError, ssl.SSLError)):
        ask(served, authority().client())


def test_files_of_the_tests(tmp_path: Path) -> None:
    """The leaf in the files is the one that is served."""
    files = Files(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.both)
    assert served_certificate(context) == ssl.PEM_cert_to_DER_cert(
        files.leaf.cert_chain_pems[0].bytes().decode()
    )


def test_client_that_leaves_while_it_is_not_read_from(start: Serve) -> None:
    """Its connection ends with the answer to what it asked, though more had come than is held."""
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send, b"x")

    certified = Certified()
    served = start(app, ssl_context=certified.context)
    sock = socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT)
    client = Client(authority().client().wrap_socket(sock, server_hostname="localhost"))
    client.send(get("/", "Content-Length: 1000000", method="POST") + bytes(80_000))
    client.sock.shutdown(socket.SHUT_WR)  # not close(): with tickets unread that is a reset
    served.until(lambda: served.http.tasks == 1)
    served.run(asyncio.sleep(0.1))  # the end has come
    served.call(gate.set)
    served.until(lambda: served.http.connections == 0)
    client.sock.close()
