# SPDX-License-Identifier: MIT
"""The context of the ssl settings, what is said when there can be none, and names in scopes."""

import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from camshaft.config import Config
from camshaft.server.tls import (
    Certificates,
    TlsError,
    certificate_fault,
    create_ssl_context,
    distinguished_name,
    served_certificate,
    ssl_context,
)
from tests.certificates import PASSWORD, Files, authority


async def app(*_: Any) -> None:
    pass


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "tls")


def context_of(**settings: Any) -> ssl.SSLContext:
    config = Config(app, log_config=None, **settings)
    config.load()
    assert config.ssl is not None
    return config.ssl


def failure(**settings: Any) -> str:
    config = Config(app, log_config=None, **settings)
    with pytest.raises(TlsError) as caught:
        config.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_tls() -> None:
    config = Config(app, log_config=None)
    config.load()
    assert config.ssl is None
    assert not config.is_ssl


def test_certificate_and_key(files: Files) -> None:
    for settings in (
        {"ssl_certfile": files.cert, "ssl_keyfile": files.key},
        {"ssl_certfile": str(files.both)},
        {
            "ssl_certfile": files.cert,
            "ssl_keyfile": files.encrypted,
            "ssl_keyfile_password": PASSWORD,
        },
    ):
        context = context_of(**settings)
        assert served_certificate(context) == ssl.PEM_cert_to_DER_cert(
            files.leaf.cert_chain_pems[0].bytes().decode()
        )
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_NONE


def test_options(files: Files) -> None:
    context = context_of(
        ssl_certfile=files.both,
        ssl_cert_reqs=2,
        ssl_ca_certs=files.ca,
        ssl_ciphers="ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
    )
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
    old = {s["name"] for s in context.get_ciphers() if s["protocol"] == "TLSv1.2"}
    assert old == {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"}
    # Its certificate is shown also to a client without one.
    assert served_certificate(context) is not None


def test_alpn(files: Files) -> None:
    context = context_of(ssl_certfile=files.both)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = authority().client()
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"


def test_missing_files(files: Files, tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    assert failure(ssl_certfile=missing) == (
        f"{missing}, the certificate, cannot be read: no such file or directory; "
        "see --ssl-certfile."
    )
    assert failure(ssl_certfile=files.cert, ssl_keyfile=missing) == (
        f"{missing}, the key, cannot be read: no such file or directory; see --ssl-keyfile."
    )
    assert failure(ssl_certfile=files.both, ssl_ca_certs=missing) == (
        f"{missing}, the authorities' certificates, cannot be read: no such file or directory; "
        "see --ssl-ca-certs."
    )
    assert failure(ssl_keyfile=files.key) == (
        "--ssl-keyfile needs the certificate as well; see --ssl-certfile."
    )


def test_files_that_are_something_else(files: Files, tmp_path: Path) -> None:
    other = Files(tmp_path / "other", authority().issue())
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM\n")
    garbage.chmod(0o600)
    assert failure(ssl_certfile=files.cert, ssl_keyfile=other.key) == (
        f"The key in {other.key} is not that of the certificate in {files.cert}."
    )
    assert failure(ssl_certfile=garbage, ssl_keyfile=files.key) == (
        f"{garbage} holds no certificate in PEM."
    )
    assert failure(ssl_certfile=files.cert, ssl_keyfile=garbage) == (
        f"{garbage} holds no key in PEM; see --ssl-keyfile."
    )
    assert failure(ssl_certfile=files.cert) == (
        f"{files.cert} holds no key in PEM; see --ssl-keyfile."
    )
    assert failure(ssl_certfile=files.both, ssl_ca_certs=garbage) == (
        f"{garbage} holds no certificate in PEM."
    )
    files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert failure(ssl_certfile=files.cert, ssl_keyfile=files.key).startswith(
        f"The certificate in {files.cert} with the key in {files.key} cannot be used: "
    )


def test_password(files: Files) -> None:
    settings = {"ssl_certfile": files.cert, "ssl_keyfile": files.encrypted}
    assert failure(**settings) == (
        f"The key in {files.encrypted} is encrypted; see --ssl-keyfile-password."
    )
    assert failure(**settings, ssl_keyfile_password="wrong") == (
        f"The key in {files.encrypted} cannot be read with this password."
    )


def test_settings_without_meaning(files: Files) -> None:
    assert failure(ssl_certfile=files.both, ssl_ciphers="NONESUCH") == (
        "--ssl-ciphers NONESUCH: OpenSSL knows none of them."
    )
    assert failure(ssl_certfile=files.both, ssl_cert_reqs=7) == (
        "--ssl-cert-reqs 7: it is 0, 1 or 2."
    )
    assert failure(ssl_certfile=files.both, ssl_version=99) == (
        "--ssl-version 99: this Python's ssl module has no such protocol."
    )


def test_key_that_everybody_can_read(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    os.chmod(files.key, 0o644)
    settings = {"ssl_certfile": files.cert, "ssl_keyfile": files.key}
    assert failure(**settings) == (
        f"The key in {files.key} can be read by everybody on this machine: "
        f"chmod o-r {files.key}, or --ssl-world-readable-key if that cannot be helped."
    )
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        context_of(**settings, ssl_world_readable_key=True)
    assert caplog.messages == [f"The key in {files.key} can be read by everybody on this machine."]
    # A group may have to: that of the certificates' owner.
    os.chmod(files.key, 0o640)
    context_of(**settings)
    # The certificate is for everybody.
    os.chmod(files.cert, 0o644)
    context_of(**settings)
    os.chmod(files.both, 0o604)
    assert f"The key in {files.both} can be read" in failure(ssl_certfile=files.both)


def test_factory(files: Files) -> None:
    seen = []

    def factory(config: Config, default: Any) -> ssl.SSLContext:
        seen.append(config)
        context: ssl.SSLContext = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    config = Config(app, log_config=None, ssl_certfile=files.both, ssl_context_factory=factory)
    config.load()
    assert config.ssl is not None
    assert config.ssl.minimum_version == ssl.TLSVersion.TLSv1_3
    assert seen == [config]
    assert served_certificate(config.ssl) is not None


def test_factory_with_nothing_to_make_one_of() -> None:
    config = Config(app, log_config=None, ssl_context_factory=lambda _, default: default())
    assert config.is_ssl
    with pytest.raises(RuntimeError, match="requires `ssl_certfile`"):
        config.load()


def test_factory_that_makes_something_else() -> None:
    factory: Any = lambda *_: "no context"  # noqa: E731
    config = Config(app, log_config=None, ssl_context_factory=factory)
    with pytest.raises(TypeError, match=r"must return an `ssl.SSLContext`, got str"):
        config.load()


def test_create_ssl_context_takes_what_uvicorns_does(files: Files) -> None:
    context = create_ssl_context(
        certfile=files.both,
        keyfile=None,
        password=None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        cert_reqs=ssl.CERT_OPTIONAL,
        ca_certs=files.ca,
        ciphers="HIGH",
    )
    assert context.verify_mode == ssl.CERT_OPTIONAL


def test_dates(files: Files) -> None:
    for days, fault in ((30, None), (-1, "has expired"), (90, "is not valid yet")):
        files.write(authority().issue(days=days))
        context = context_of(ssl_certfile=files.both)
        certificate = served_certificate(context)
        assert certificate is not None
        assert certificate_fault(context, certificate) == fault


def test_renewal(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(app, log_config=None, ssl_certfile=files.both)
    first = ssl_context(config)
    assert first is not None
    certificates = Certificates(config, first)
    leaf = authority().issue()
    files.write(leaf)
    with caplog.at_level(logging.INFO, "uvicorn.error"):
        assert certificates.renew()
        second = certificates.context
        assert second is not first
        assert served_certificate(second) == ssl.PEM_cert_to_DER_cert(
            leaf.cert_chain_pems[0].bytes().decode()
        )
        assert caplog.messages == ["The TLS certificate was read anew."]
        caplog.clear()

        files.both.write_text("half of a fi")
        assert not certificates.renew()
        files.write(authority().issue(days=-1))
        assert not certificates.renew()
        files.both.unlink()
        assert not certificates.renew()
    assert certificates.context is second
    assert caplog.messages == [
        f"{files.both} holds no certificate in PEM. The TLS certificate in use is kept.",
        "The new TLS certificate has expired. The one in use is kept.",
        f"{files.both}, the certificate, cannot be read: no such file or directory; "
        "see --ssl-certfile. The TLS certificate in use is kept.",
    ]


def test_expired_at_start(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write(authority().issue(days=-1))
    config = Config(app, log_config=None, ssl_certfile=files.both)
    context = ssl_context(config)
    assert context is not None
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        Certificates(config, context)
    assert caplog.messages == ["The TLS certificate has expired."]


# RFC 4514, section 4, and its rules beyond those examples.
@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (
            ((("domainComponent", "net"),), (("domainComponent", "example"),), (("userId", "js"),)),
            "UID=js,DC=example,DC=net",
        ),
        (
            (
                (("domainComponent", "net"),),
                (("organizationalUnitName", "Sales"), ("commonName", "J.  Smith")),
            ),
            "OU=Sales+CN=J.  Smith,DC=net",
        ),
        (((("commonName", 'James "Jim" Smith, III'),),), 'CN=James \\"Jim\\" Smith\\, III'),
        (((("commonName", "Before\rAfter"),),), "CN=Before\rAfter"),
        (((("1.3.6.1.4.1.1466.0", "Hi"),),), "1.3.6.1.4.1.1466.0=#0c024869"),
        (((("1.2.3", "x" * 200),),), "1.2.3=#0c81c8" + "78" * 200),
        (((("commonName", "Lučić"),),), "CN=Lučić"),
        (((("commonName", "#a;b<c>d+e\\"),),), "CN=\\#a\\;b\\<c\\>d\\+e\\\\"),
        (((("commonName", " a\0 "),),), "CN=\\ a\\00\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        (((("commonName", ""),),), "CN="),
        ((), ""),
    ],
)
def test_distinguished_names(subject: Any, name: str) -> None:
    assert distinguished_name(subject) == name
