# SPDX-License-Identifier: MIT
"""An authority of the tests' own, and files of what it signs."""

import datetime
import functools
import os
import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

PASSWORD = "open sesame"


class Authority:
    """Signs certificates, and makes the contexts of clients that trust it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def issue(self, name: str = "localhost", *, days: int = 30) -> trustme.LeafCert:
        """Return a certificate; one that ends in the past for negative days."""
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        begin = end - datetime.timedelta(days=60)
        names = [name, "127.0.0.1"]
        return self.ca.issue_cert(*names, common_name=name, not_before=begin, not_after=end)

    def client(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context


@functools.cache
def authority() -> Authority:
    """The one that tests share, as keys take time to make."""
    return Authority()


class Files:
    """Certificate, key, both in one file, the key encrypted, and the authority, in a directory."""

    def __init__(self, directory: Path, leaf: trustme.LeafCert | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.both = directory / "both.pem"
        self.encrypted = directory / "encrypted.pem"
        self.ca = directory / "ca.pem"
        self.leaf = leaf if leaf is not None else authority().issue()
        self.write(self.leaf)
        authority().ca.cert_pem.write_to_path(str(self.ca))

    def write(self, leaf: trustme.LeafCert) -> None:
        """Put another certificate and its key into the files."""
        key = leaf.private_key_pem.bytes()
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        encrypted = serialization.load_pem_private_key(key, password=None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
        for path, content in (
            (self.cert, chain),
            (self.key, key),
            (self.both, key + chain),
            (self.encrypted, encrypted),
        ):
            path.write_bytes(content)
            os.chmod(path, 0o600)
