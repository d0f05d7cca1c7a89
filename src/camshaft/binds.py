# SPDX-License-Identifier: MIT
"""What a server listens on, as --bind gives it: HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N."""

from __future__ import annotations

from dataclasses import dataclass


class BindError(ValueError):
    """A text that names nothing to listen on; the message says why, without a full stop."""


@dataclass(frozen=True)
class Bind:
    """One thing to listen on: a descriptor, else the path of a Unix socket, else host and port.

    An empty host is every interface. A path that begins with NUL is a name in Linux's abstract
    namespace.
    """

    host: str | None = None
    port: int = 0
    path: str | None = None
    fd: int | None = None

    @property
    def name(self) -> str:
        """What it is called in an error."""
        if self.fd is not None:
            return f"file descriptor {self.fd}"
        if self.path is not None:
            return f"unix socket {shown_path(self.path)}"
        host = self.host or "*"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Return what a text names. Raises BindError."""
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not (number.isascii() and number.isdigit()):
            raise BindError("a descriptor is given as fd://N")
        return Bind(fd=int(number))
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if path in ("", "@") or "\0" in path:
            raise BindError("a UNIX socket is given as unix:PATH")
        # The notation of systemd and ss(8).
        return Bind(path="\0" + path[1:] if path.startswith("@") else path)
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise BindError("an address is given as HOST:PORT, else as unix:PATH or fd://N")
    if int(port) > 65535:
        raise BindError("a port is from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BindError("an IPv6 address is given as [ADDRESS]:PORT")
    return Bind(host="" if host == "*" else host, port=int(port))


def shown_path(path: str) -> str:
    """Return a Unix socket's path as it is written, an abstract one with @."""
    return "@" + path[1:] if path.startswith("\0") else path
