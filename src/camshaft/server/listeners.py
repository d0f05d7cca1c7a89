# SPDX-License-Identifier: MIT
"""The listening sockets of a server: addresses, Unix sockets and inherited descriptors."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from camshaft.binds import Bind, parse_bind, shown_path
from camshaft.config import STARTUP_FAILURE, Config
from camshaft.logging import paint
from camshaft.server.privileges import identity

logger = logging.getLogger("uvicorn.error")


class ListenError(Exception):
    """A socket cannot be had or bound; the message is one line for the user."""


@dataclass
class Listening:
    """Bound sockets of one thing to listen on; a host may have several addresses.

    `where` and `arguments` say it in a log line. `path` is the Unix socket's file, which is ours
    while its inode is `inode`. `ours` tells that no other process has the sockets open, unless we
    have given them away.
    """

    sockets: list[socket.socket]
    where: str
    arguments: tuple[object, ...]
    path: str | None = None
    inode: tuple[int, int] | None = None
    ours: bool = True

    def close(self) -> None:
        """Close the sockets and remove the file."""
        for sock in self.sockets:
            sock.close()
        self.remove_file()

    def remove_file(self) -> None:
        """Remove the Unix socket's file, unless another server has put its own there since."""
        if self.path is not None and self.inode and inode(self.path) == self.inode:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.inode = None


def binds_of(config: Config) -> list[Bind]:
    """Return what a configuration wants to be listened on.

    Without `bind` the order of precedence is uvicorn's: fd, uds, then host and port.
    """
    if config.bind:
        given = [config.bind] if isinstance(config.bind, str) else config.bind
        return [parse_bind(text) for text in given]
    if config.fd is not None:
        return [Bind(fd=config.fd)]
    if config.uds is not None:
        return [Bind(path=config.uds)]
    return [Bind(host=config.host, port=config.port)]


async def open_listeners(
    config: Config, inherited: Mapping[str, list[socket.socket]] = MappingProxyType({})
) -> list[Listening]:
    """Bind sockets, not listening yet, for what the configuration asks for: all, or none.

    `inherited` are sockets that are open already, by the name of their bind. Raises ListenError.
    """
    opened: list[Listening] = []
    try:
        for bind in binds_of(config):
            if bind.name in inherited:
                opened.append(_inherited(bind, config, inherited[bind.name]))
            else:
                opened.append(await _open(bind, config))
    except BaseException:
        for listening in opened:
            listening.close()
        raise
    return opened


def listen(config: Config) -> list[Listening]:
    """Listen on what the configuration asks for, for other processes to accept; and log it.

    Connections wait from now on. Raises ListenError.
    """
    opened = asyncio.run(open_listeners(config))
    begin(opened, config.backlog)
    for listening in opened:
        log_started(listening)
    return opened


def begin(opened: list[Listening], backlog: int) -> None:
    """Listen on what is bound: from now on connections wait, and nobody else can have the address.

    Before that, another process may bind to it as well. If one of them cannot be listened on, all
    are closed and ListenError is raised.
    """
    try:
        for listening in opened:
            for sock in listening.sockets:
                sock.listen(backlog)
    except OSError as error:
        for other in opened:
            other.close()
        where = listening.where % listening.arguments
        raise ListenError(f"Cannot listen on {where}: {_reason(error)}.") from None


async def _open(bind: Bind, config: Config) -> Listening:
    if bind.fd is None and bind.path is None:
        sockets = await bind_host(bind, _option(config), reuse_port=config.reuse_port)
        return _host(bind, config, sockets)
    return _opened(bind, config)


def _inherited(bind: Bind, config: Config, sockets: list[socket.socket]) -> Listening:
    if bind.fd is not None:
        return Listening(sockets, "socket %s", (sockets[0].getsockname(),))
    if bind.path is not None:
        return Listening(sockets, "unix socket %s", (shown_path(bind.path),))
    return _host(bind, config, sockets)


def _option(config: Config) -> str:
    """The option that named what to listen on, if it is not uvicorn's for that."""
    return "--bind" if config.bind else ""


def _opened(bind: Bind, config: Config) -> Listening:
    """What is no host."""
    if bind.fd is not None:
        sock = from_descriptor(bind, _option(config) or "--fd")
        return Listening([sock], "socket %s", (sock.getsockname(),), ours=False)
    assert bind.path is not None
    sock = bind_unix(bind, config.unix_mode, _option(config) or "--uds")
    owner = identity(config)
    if owner is not None:
        owner.own(sock)
    listening = Listening([sock], "unix socket %s", (shown_path(bind.path),))
    if not bind.path.startswith("\0"):
        listening.path, listening.inode = bind.path, inode(bind.path)
    return listening


def _host(bind: Bind, config: Config, sockets: list[socket.socket]) -> Listening:
    host = bind.host or "0.0.0.0"
    where = "%s://[%s]:%d" if ":" in host else "%s://%s:%d"
    scheme = "https" if config.is_ssl else "http"
    return Listening(sockets, where, (scheme, host, sockets[0].getsockname()[1]))


def _fail(bind: Bind, error: OSError, hint: str = "") -> ListenError:
    number = f"[Errno {error.errno}] " if error.errno is not None else ""
    return ListenError(f"{number}Cannot listen on {bind.name}: {_reason(error)}{hint}.")


def _reason(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else str(error)


def from_descriptor(bind: Bind, option: str) -> socket.socket:
    """Return a socket for an inherited descriptor, which itself stays open."""
    assert bind.fd is not None
    try:
        copy = os.dup(bind.fd)
    except (OSError, OverflowError) as error:
        if isinstance(error, OverflowError):
            error = OSError(errno.EBADF, os.strerror(errno.EBADF))
        raise _fail(bind, error, f"; {option} takes one that is open") from None
    try:
        sock = socket.socket(fileno=copy)
    except OSError as error:
        os.close(copy)
        raise _fail(bind, error, f"; {option} takes that of a socket") from None
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise ListenError(f"Cannot listen on {bind.name}: it is no stream socket.")
    return sock


def bind_unix(bind: Bind, mode: int, option: str) -> socket.socket:
    """Return a socket bound to a path, with that mode; an abstract name has none.

    A socket that is left there is replaced, another kind of file is not. (Not by a rename from
    another name: that one would be what getsockname() tells for good, to applications too.)
    """
    assert bind.path is not None
    is_file = not bind.path.startswith("\0")
    if is_file:
        _make_way(bind, option)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # bind() makes the file with what the mask leaves, so that it is never open to more.
    mask = os.umask(0o777 & ~mode) if is_file else None
    try:
        sock.bind(bind.path)
    except OSError as error:
        sock.close()
        # A path that is too long has no errno.
        raise _fail(bind, error, _unix_hint(error, option)) from None
    finally:
        if mask is not None:
            os.umask(mask)
    return sock


def _make_way(bind: Bind, option: str) -> None:
    """Remove a socket that has been left. Raises ListenError for what has to stay."""
    assert bind.path is not None
    try:
        found = os.lstat(bind.path)
    except (OSError, ValueError):
        # Missing, or in a directory that cannot be read: bind() tells.
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(
            f"Cannot listen on {bind.name}: another file is there; "
            "remove it, or choose another path."
        )
    try:
        os.unlink(bind.path)
    except OSError as error:
        raise _fail(bind, error, _unix_hint(error, option)) from None


def _unix_hint(error: OSError, option: str) -> str:
    if isinstance(error, PermissionError):
        return f"; {option} takes a path in a directory that this user may write to"
    if error.errno == errno.EADDRINUSE:
        return f"; {option} takes another name"
    return "; make its directory first" if error.errno == errno.ENOENT else ""


def inode(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def bind_host(bind: Bind, option: str, *, reuse_port: bool = False) -> list[socket.socket]:
    """Return a socket for each address of a host; None or an empty one is every interface.

    With port 0, all get the port that the first was given. `option` is the one that named it, if
    it is not --host or --port. With `reuse_port` others of this user may bind the same.
    """
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(
            bind.host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _fail(bind, error, f"; see {option or '--host'}") from None
    return _bind(bind, option, addresses, reuse_port)


def _bind(bind: Bind, option: str, addresses: list[Any], reuse_port: bool) -> list[socket.socket]:
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise ListenError(
            f"Cannot listen on {bind.name}: this system has no SO_REUSEPORT for --reuse-port."
        )
    port = bind.port
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
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
        raise _fail(bind, error, _host_hint(error, option)) from None
    if not sockets:
        raise ListenError(
            f"Cannot listen on {bind.name}: it has no address that this machine can use."
        )
    return sockets


def _host_hint(error: OSError, option: str) -> str:
    if isinstance(error, PermissionError):
        return f"; ports below 1024 need privileges, {option or '--port'} chooses another"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"; {option or '--host'} takes an address of this machine"
    return f"; {option or '--port'} chooses another" if error.errno == errno.EADDRINUSE else ""


def bind_one(config: Config) -> socket.socket:
    """Return one bound socket for what the configuration asks for, inheritable; and log it.

    A host that has several addresses gives the first. Exits with a line logged.
    """
    try:
        bind, *more = binds_of(config)
        if more:
            raise ListenError("One socket is asked for, and there is more than one --bind.")
        if bind.fd is None and bind.path is None:
            addresses = _look_up(bind, config)
            sockets = _bind(bind, _option(config), addresses, config.reuse_port)
            listening = _host(bind, config, sockets)
        else:
            listening = _opened(bind, config)
        for other in listening.sockets[1:]:
            other.close()
    except ListenError as error:
        logger.error("%s", error)
        raise SystemExit(STARTUP_FAILURE) from None
    sock = listening.sockets[0]
    sock.set_inheritable(True)
    log_started(listening)
    return sock


def _look_up(bind: Bind, config: Config) -> list[Any]:
    try:
        return socket.getaddrinfo(
            bind.host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _fail(bind, error, f"; see {_option(config) or '--host'}") from None


def log_started(listening: Listening) -> None:
    """Log where the server is reached."""
    where, arguments = listening.where, listening.arguments
    if where == "socket %s":
        # Listening has given it an address, if it came without one.
        arguments = (listening.sockets[0].getsockname(),)
    ending = " (Press CTRL+C to quit)"
    logger.info(
        f"Camshaft running on {where}{ending}",
        *arguments,
        extra={"color_message": f"Camshaft running on {paint(where, bold=True)}{ending}"},
    )
