# SPDX-License-Identifier: MIT
"""The listening sockets of a server: an address, a Unix socket, or an inherited descriptor."""

import asyncio
import errno
import logging
import os
import socket
import stat
from typing import Any

from camshaft.config import STARTUP_FAILURE, Config
from camshaft.logging import paint

logger = logging.getLogger("uvicorn.error")


class ListenError(Exception):
    """A socket cannot be had or bound; the message is one line for the user."""


def _fail(what: str, error: OSError, hint: str = "") -> ListenError:
    reason = error.strerror.lower() if error.strerror else str(error)
    number = f"[Errno {error.errno}] " if error.errno is not None else ""
    return ListenError(f"{number}Cannot listen on {what}: {reason}{hint}.")


async def open_sockets(config: Config) -> list[socket.socket]:
    """Return bound sockets, not listening yet, for what the configuration asks for.

    The order of precedence is uvicorn's: fd, uds, then host and port. Raises ListenError.
    """
    if config.fd is not None:
        return [from_descriptor(config.fd)]
    if config.uds is not None:
        return [bind_unix(config.uds)]
    return await bind_host(config.host, config.port)


def from_descriptor(fd: int) -> socket.socket:
    """Return a socket for an inherited descriptor, which itself stays open."""
    try:
        copy = os.dup(fd)
    except OSError as error:
        raise _fail(f"file descriptor {fd}", error, "; --fd takes one that is open") from None
    try:
        sock = socket.socket(fileno=copy)
    except OSError as error:
        os.close(copy)
        raise _fail(f"file descriptor {fd}", error, "; --fd takes that of a socket") from None
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise ListenError(f"Cannot listen on file descriptor {fd}: it is no stream socket.")
    return sock


def bind_unix(path: str) -> socket.socket:
    """Return a socket bound to a path, readable and writable by all, as uvicorn's.

    A socket that is left there is replaced and its mode kept; another kind of file is not.
    """
    mode = 0o666
    try:
        found = os.stat(path)
    except OSError:
        # Missing, or in a directory that cannot be read: bind() tells.
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise ListenError(
                f"Cannot listen on unix socket {path}: another file is there; "
                "remove it, or choose another path."
            )
        mode = stat.S_IMODE(found.st_mode)
        try:
            os.unlink(path)
        except OSError as error:
            raise _fail(f"unix socket {path}", error, _unix_hint(error)) from None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, mode)
    except OSError as error:
        sock.close()
        # A path that is too long has no errno.
        raise _fail(f"unix socket {path}", error, _unix_hint(error)) from None
    return sock


def _unix_hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "; --uds takes a path in a directory that this user may write to"
    return "; make its directory first" if error.errno == errno.ENOENT else ""


def inode(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def bind_host(host: str | None, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host; None or an empty one is every interface.

    With port 0, all get the port that the first was given.
    """
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _fail(_name(host, port), error, "; see --host") from None
    return _bind(host, port, addresses)


def _name(host: str | None, port: int) -> str:
    return f"{host or '*'}:{port}"


def _bind(host: str | None, port: int, addresses: list[Any]) -> list[socket.socket]:
    name = _name(host, port)
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(addresses):
            if family not in (socket.AF_INET, socket.AF_INET6):
                continue
            try:
                sock = socket.socket(family, kind, proto)
            except OSError:
                # A kernel without IPv6 may still name such addresses.
                continue
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Or the IPv4 socket of the same port would be in its way.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL or len(addresses) == 1:
                    raise
                # "localhost" where an interface has no IPv6: one of the two is enough.
                sockets.pop().close()
                continue
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _fail(name, error, _hint(error)) from None
    if not sockets:
        raise ListenError(f"Cannot listen on {name}: it has no address that this machine can use.")
    return sockets


def _hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "; ports below 1024 need privileges, --port chooses another"
    if error.errno == errno.EADDRNOTAVAIL:
        return "; --host takes an address of this machine"
    return "; --port chooses another" if error.errno == errno.EADDRINUSE else ""


def describe(config: Config, sockets: list[socket.socket]) -> tuple[str, tuple[object, ...]]:
    """Return where the server is reached, as the format and arguments of a log line."""
    if config.fd is not None:
        return "socket %s", (sockets[0].getsockname(),)
    if config.uds is not None:
        return "unix socket %s", (config.uds,)
    host = config.host or "0.0.0.0"
    where = "%s://[%s]:%d" if ":" in host else "%s://%s:%d"
    return where, ("https" if config.is_ssl else "http", host, sockets[0].getsockname()[1])


def bind_one(config: Config) -> socket.socket:
    """Return one bound socket for what the configuration asks for, inheritable; and log it.

    A host that has several addresses gives the first. Exits with a line logged.
    """
    try:
        if config.fd is not None:
            sock = from_descriptor(config.fd)
        elif config.uds is not None:
            sock = bind_unix(config.uds)
        else:
            try:
                addresses = socket.getaddrinfo(
                    config.host or None,
                    config.port,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_PASSIVE,
                )
            except OSError as error:
                raise _fail(_name(config.host, config.port), error, "; see --host") from None
            sock, *others = _bind(config.host, config.port, addresses)
            for other in others:
                other.close()
    except ListenError as error:
        logger.error("%s", error)
        raise SystemExit(STARTUP_FAILURE) from None
    sock.set_inheritable(True)
    log_started(config, [sock])
    return sock


def log_started(config: Config, sockets: list[socket.socket]) -> None:
    """Log where the server is reached."""
    where, arguments = describe(config, sockets)
    ending = " (Press CTRL+C to quit)"
    logger.info(
        f"Camshaft running on {where}{ending}",
        *arguments,
        extra={"color_message": f"Camshaft running on {paint(where, bold=True)}{ending}"},
    )
