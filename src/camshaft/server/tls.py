# SPDX-License-Identifier: MIT
"""TLS at the server: the context that the ssl settings make, and what a scope tells of it.

The settings are uvicorn's, and so are their defaults, but for three things: no TLS below 1.2
unless `ssl_version` names one, ALPN answers http/1.1, and a key that everybody on the machine can
read is refused.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import weakref
from typing import Any

Path = str | os.PathLike[str]

logger = logging.getLogger("uvicorn.error")

# What this server speaks (RFC 7301); a client that insists on another protocol is refused by TLS.
ALPN_PROTOCOLS = ["http/1.1"]

# Whoever may read a key can pass for the server.
_READABLE_BY_ALL = stat.S_IROTH

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_DATES = {9: "is not valid yet", 10: "has expired"}


class TlsError(OSError):
    """A certificate or key that cannot be used; the message is one line, for the user.

    An OSError, because that is what the ssl module raises for such files.
    """


def create_ssl_context(
    certfile: Path,
    keyfile: Path | None,
    password: str | None,
    ssl_version: int,
    cert_reqs: int,
    ca_certs: Path | None,
    ciphers: str | None,
    alpn_protocols: list[str] | None = None,
) -> ssl.SSLContext:
    """Return a server's context, with the parameters of uvicorn's function of this name.

    `certfile` is PEM, the server's certificate before those that lead to an authority; it holds
    the key too where there is no `keyfile`. Raises TlsError naming the file or setting.
    """
    context = _context_of_version(ssl_version)
    # Before OpenSSL reads: it does not say which file it was that it could not.
    _check_file(certfile, "the certificate", "--ssl-certfile")
    if keyfile is not None:
        _check_file(keyfile, "the key", "--ssl-keyfile")
    _load_key(context, certfile, keyfile, password)
    try:
        context.verify_mode = ssl.VerifyMode(cert_reqs)
    except ValueError:
        raise TlsError(f"--ssl-cert-reqs {cert_reqs}: it is 0, 1 or 2.") from None
    if ca_certs:
        _check_file(ca_certs, "the authorities' certificates", "--ssl-ca-certs")
        try:
            context.load_verify_locations(ca_certs)
        except ssl.SSLError:
            raise TlsError(f"{os.fspath(ca_certs)} holds no certificate in PEM.") from None
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError:
            raise TlsError(f"--ssl-ciphers {ciphers}: OpenSSL knows none of them.") from None
    if alpn_protocols:
        context.set_alpn_protocols(alpn_protocols)
    return context


def _context_of_version(ssl_version: int) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl_version)
    except ValueError:
        raise TlsError(
            f"--ssl-version {ssl_version}: this Python's ssl module has no such protocol."
        ) from None
    if ssl_version in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS):
        # RFC 8996. Whatever OpenSSL's own configuration file says.
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # A client could have us compute without end (OpenSSL before 3.0 lets it).
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _load_key(
    context: ssl.SSLContext, certfile: Path, keyfile: Path | None, password: str | None
) -> None:
    where = os.fspath(keyfile or certfile)

    def get_password() -> str:
        if not password:
            # OpenSSL would ask on the terminal, where nobody may sit.
            raise TlsError(f"The key in {where} is encrypted; see --ssl-keyfile-password.")
        return password

    try:
        context.load_cert_chain(certfile, keyfile, get_password)
    except TlsError:
        raise
    except ssl.SSLError as error:
        raise TlsError(_explain(error, os.fspath(certfile), where, bool(password))) from None
    except (OSError, ValueError) as error:
        raise TlsError(f"{where} cannot be used: {error}.") from None


def _explain(error: ssl.SSLError, certfile: str, keyfile: str, password: bool) -> str:
    """What load_cert_chain() found, as far as OpenSSL's words for it differ."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The key in {keyfile} is not that of the certificate in {certfile}."
    with open(certfile, "rb") as file:
        if b"-----BEGIN CERTIFICATE-----" not in file.read():
            return f"{certfile} holds no certificate in PEM."
    with open(keyfile, "rb") as file:
        if b"PRIVATE KEY-----" not in file.read():
            return f"{keyfile} holds no key in PEM; see --ssl-keyfile."
    if password and error.reason != "EE_KEY_TOO_SMALL":
        # OpenSSL says nothing better: a wrong password decrypts to no key.
        return f"The key in {keyfile} cannot be read with this password."
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"The certificate in {certfile} with the key in {keyfile} cannot be used: {reason}."


def _check_file(path: Path, what: str, option: str) -> None:
    """Raise TlsError for a file that cannot be read."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TlsError(
            f"{os.fspath(path)}, {what}, cannot be read: {reason}; see {option}."
        ) from None


def is_readable_by_all(path: Path) -> bool:
    """Whether everybody on the machine may read a file; one that is not there nobody can."""
    try:
        return bool(os.stat(path).st_mode & _READABLE_BY_ALL)
    except OSError:
        return False


# ---- the certificate itself ----


def served_certificate(context: ssl.SSLContext) -> bytes | None:
    """Return the certificate (DER) that a server's context shows to clients.

    It is asked as a client would: a context does not tell. None where that fails, because the
    context demands something of its clients that this one has not.
    """
    client = _probe_context()
    client.verify_mode = ssl.CERT_NONE
    try:
        return _shake_hands(context, client).getpeercert(binary_form=True)
    except ssl.SSLError:
        return None


def certificate_fault(context: ssl.SSLContext, certificate: bytes) -> str | None:
    """Return what is wrong with the dates of the certificate (DER) of a context, None if nothing.

    As OpenSSL sees it, on this machine's clock.
    """
    client = _probe_context()
    # Trust in this certificate alone, whoever has signed it.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        client.load_verify_locations(cadata=certificate)
        _shake_hands(context, client)
    except ssl.SSLCertVerificationError as error:
        return _DATES.get(error.verify_code)
    except ssl.SSLError:
        pass
    return None


def _probe_context() -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    client.set_ciphers("ALL:@SECLEVEL=0")
    return client


def _shake_hands(context: ssl.SSLContext, client_context: ssl.SSLContext) -> ssl.SSLObject:
    """Return the client's end of a handshake in memory, done as far as the client is concerned.

    Raises ssl.SSLError where the two cannot agree.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            if end is client:
                return client
    raise ssl.SSLError("the handshake does not end")


# ---- the scope's extension ----


_VERSIONS = {
    "SSLv3": 0x0300,
    "TLSv1": 0x0301,
    "TLSv1.1": 0x0302,
    "TLSv1.2": 0x0303,
    "TLSv1.3": 0x0304,
}

# RFC 4514, section 3, by OpenSSL's names of them; and names that are registered for LDAP as they
# are (RFC 4519, RFC 2985).
_ATTRIBUTES = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED = frozenset('"+,;<>\\')


class TlsInfo:
    """Makes scope["extensions"]["tls"] of a connection (ASGI TLS extension, version 0.2).

    Called once per connection with its SSLObject, after the handshake.
    """

    def __init__(self) -> None:
        # What a context's connections have in common: the certificate in PEM, and the numbers of
        # the cipher suites by OpenSSL's names.
        self._known: weakref.WeakKeyDictionary[
            ssl.SSLContext, tuple[str | None, dict[str, int]]
        ] = weakref.WeakKeyDictionary()

    def learn(self, context: ssl.SSLContext, certificate: bytes | None) -> None:
        """Take note of a context that connections will have, and its certificate (DER)."""
        pem = ssl.DER_cert_to_PEM_cert(certificate) if certificate is not None else None
        # OpenSSL's numbers are the two bytes of the suite below 0x0300, once of SSL 3.
        suites = {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}
        self._known[context] = (pem, suites)

    def __call__(self, tls: ssl.SSLObject) -> dict[str, Any]:
        # By the context that a callback of the SNI may have chosen: its certificate is unknown.
        server_cert, suites = self._known.get(tls.context, (None, {}))
        cipher = tls.cipher()
        name = cipher[0] if cipher else ""
        chain = client_chain(tls)
        subject: Any = (tls.getpeercert() or {}).get("subject", ()) if chain else ()
        return {
            "server_cert": server_cert,
            "client_cert_chain": chain,
            "client_cert_name": distinguished_name(subject) if chain else None,
            # OpenSSL ends the handshake with a client whose certificate it finds fault with.
            "client_cert_error": None,
            "tls_version": _VERSIONS.get(tls.version() or ""),
            "cipher_suite": suites.get(name),
        }


def client_chain(tls: Any) -> list[str]:
    """Return the certificates that the client has sent, its own first, each as PEM."""
    if not tls.getpeercert(binary_form=True):
        return []
    if hasattr(tls, "get_unverified_chain"):  # from Python 3.13 on
        chain = list(tls.get_unverified_chain())
    else:
        # Since 3.10 the method is there, below the object that shows it.
        found = tls._sslobj.get_unverified_chain() or []
        chain = [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found]
    own = tls.getpeercert(binary_form=True)
    return [ssl.DER_cert_to_PEM_cert(der) for der in chain or [own]]


def distinguished_name(subject: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the subject that getpeercert() gives as a string (RFC 4514, section 2)."""
    return ",".join(
        "+".join(_attribute(name, value) for name, value in relative)
        for relative in reversed(subject)
    )


def _attribute(name: str, value: str) -> str:
    if name[:1].isdigit():
        # An OID that OpenSSL has no name for: its value is BER in hexadecimal (section 2.4). Of
        # which string type it was is not known any more; UTF8String has room for all.
        data = value.encode()
        return f"{name}=#0c{_ber_length(len(data)).hex()}{data.hex()}"
    return f"{_ATTRIBUTES.get(name, name)}={_escape(value)}"


def _ber_length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def _escape(value: str) -> str:
    """RFC 4514, section 2.4."""
    text = "".join(
        "\\" + letter if letter in _ESCAPED else "\\00" if letter == "\0" else letter
        for letter in value
    )
    if text.startswith(("#", " ")):
        text = "\\" + text
    if value.endswith(" ") and len(value) > 1:
        text = text[:-1] + "\\ "
    return text


# ---- from the settings ----


def ssl_context(settings: Any) -> ssl.SSLContext | None:
    """Return the context that a configuration asks for, None if it asks for no TLS.

    Raises TlsError, what `ssl_context_factory` raises, and TypeError for what it returns.
    """

    def default_factory() -> ssl.SSLContext:
        if not settings.ssl_certfile:
            raise RuntimeError(
                "`default_ssl_context_factory()` requires `ssl_certfile`: set it, or make the "
                "SSLContext in `ssl_context_factory` itself."
            )
        _check_key(
            settings.ssl_keyfile or settings.ssl_certfile,
            refuse=not settings.ssl_world_readable_key,
        )
        return create_ssl_context(
            certfile=settings.ssl_certfile,
            keyfile=settings.ssl_keyfile,
            password=settings.ssl_keyfile_password,
            ssl_version=settings.ssl_version,
            cert_reqs=settings.ssl_cert_reqs,
            ca_certs=settings.ssl_ca_certs,
            ciphers=settings.ssl_ciphers,
            alpn_protocols=ALPN_PROTOCOLS,
        )

    factory = settings.ssl_context_factory
    if factory is not None:
        context = factory(settings, default_factory)
        if not isinstance(context, ssl.SSLContext):
            raise TypeError(
                "`ssl_context_factory` must return an `ssl.SSLContext`, "
                f"got {type(context).__name__}"
            )
        return context
    if settings.ssl_certfile:
        return default_factory()
    if settings.ssl_keyfile:
        raise TlsError("--ssl-keyfile needs the certificate as well; see --ssl-certfile.")
    return None


def _check_key(path: Path, *, refuse: bool) -> None:
    if not is_readable_by_all(path):
        return
    where = os.fspath(path)
    if refuse:
        raise TlsError(
            f"The key in {where} can be read by everybody on this machine: chmod o-r {where}, "
            "or --ssl-world-readable-key if that cannot be helped."
        )
    logger.warning("The key in %s can be read by everybody on this machine.", where)


# ---- in a running server ----


class Certificates:
    """The TLS of a running server: `context` is what new connections get.

    `info` is HttpServer's `tls_info`. Made on the loop's thread, as what follows is.
    """

    def __init__(self, settings: Any, context: ssl.SSLContext) -> None:
        self.context = context
        self.info = TlsInfo()
        self._settings = settings
        fault = self._learn(context)
        if fault is not None:
            logger.warning("The TLS certificate %s.", fault)

    def _learn(self, context: ssl.SSLContext) -> str | None:
        """Note what scopes tell of a context; return what is wrong with its certificate."""
        certificate = served_certificate(context)
        self.info.learn(context, certificate)
        return certificate_fault(context, certificate) if certificate is not None else None

    def renew(self) -> bool:
        """Read the files again, for the connections to come; True if `context` is a new one.

        With files that cannot be used, or hold what is out of date, all stays as it is, and a
        line in the log says why.
        """
        try:
            context = ssl_context(self._settings)
            fault = self._learn(context) if context is not None else "is gone"
        except Exception as error:
            # ssl_context_factory is the user's, and may raise anything.
            logger.error("%s The TLS certificate in use is kept.", _sentence(error))
            return False
        if context is None or fault is not None:
            logger.error("The new TLS certificate %s. The one in use is kept.", fault)
            return False
        self.context = context
        logger.info("The TLS certificate was read anew.")
        return True


def _sentence(error: Exception) -> str:
    message = " ".join(str(error).split()) or type(error).__name__
    return message if message.endswith(".") else message + "."
