# SPDX-License-Identifier: MIT
"""X-Forwarded-Proto and -For, or Forwarded, of proxies that are trusted: scheme and client.

The server does this itself (csrc/py/asgi/forwarded.c, option --forwarded-allow-ips), by these
rules, which are uvicorn's, and asks TrustedHosts where an entry has an odd shape.
"""

import functools
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from camshaft.middleware.forwarded import ForwardedElement, parse_forwarded

# Entries of this length and below are remembered: a DNS name is not longer.
_LONGEST_NAME = 253

_SCHEMES = frozenset(("http", "https", "ws", "wss"))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedHosts:
    """Who is believed: addresses, networks, and literals for what is no address.

    `trusted_hosts` is a list, or a string of them with commas between; "*" alone is everybody. An
    entry that is neither address nor network is a literal, to be met as it is: the path of a Unix
    socket, say. `host in trusted` takes what a scope's client or a header's entry names.
    """

    def __init__(self, trusted_hosts: Iterable[str] | str) -> None:
        entries = _split(trusted_hosts) if isinstance(trusted_hosts, str) else list(trusted_hosts)
        self.always_trust = entries == ["*"]
        self.trusted_literals: set[str] = set()
        self.trusted_hosts: set[_Address] = set()
        self.trusted_networks: set[ipaddress.IPv4Network | ipaddress.IPv6Network] = set()
        if not self.always_trust:
            for entry in entries:
                self._add(entry)
        self._trusts = functools.lru_cache(maxsize=4096)(self._look_up)

    def _add(self, entry: str) -> None:
        try:
            if "/" in entry:
                self.trusted_networks.add(ipaddress.ip_network(entry))
            else:
                self.trusted_hosts.add(ipaddress.ip_address(entry))
        except ValueError:
            self.trusted_literals.add(entry)

    @property
    def ranges(self) -> list[tuple[bytes, int]]:
        """The addresses and networks as (address, bits that count)."""
        single = [
            (host.packed, host.max_prefixlen)
            for host in self.trusted_hosts
            # The same number in another scope is another host.
            if "%" not in str(host)
        ]
        networks = [(net.network_address.packed, net.prefixlen) for net in self.trusted_networks]
        return single + networks

    def __contains__(self, host: str | None) -> bool:
        if self.always_trust:
            return True
        if not host:
            return False
        return self._trusts(host) if len(host) <= _LONGEST_NAME else self._look_up(host)

    def _look_up(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self.trusted_literals
        return address in self.trusted_hosts or any(
            address in network for network in self.trusted_networks
        )

    def get_trusted_client_address(self, x_forwarded_for: str) -> tuple[str, int]:
        """Return host and port (0: not known) of the client that a header's value tells of.

        Each proxy adds at the end whom it has the request from: it is the last one that is not
        trusted itself, or the first of all. The host is empty where the entry is.
        """
        entries = [_split_port(entry) for entry in _split(x_forwarded_for)]
        if not self.always_trust:
            for host, port in reversed(entries):
                if host not in self:
                    return host, port
        return entries[0]

    def choose(self, elements: Sequence[ForwardedElement]) -> ForwardedElement:
        """Return the element of Forwarded that tells of the client, by the same rule.

        One that does not say whom it had the request from is as one that is not trusted.
        """
        for element in reversed(elements):
            if element.node not in self:
                return element
        return elements[0]


# The name that it has in uvicorn.
_TrustedHosts = TrustedHosts


def _split(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")]


def _split_port(entry: str) -> tuple[str, int]:
    """host, host:port, [host] or [host]:port; anything else is a host as it stands."""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return entry, 0
        return host, _number(rest[1:]) or 0
    host, colon, port = entry.partition(":")
    number = _number(port)
    if not colon or ":" in port or number is None:
        return entry, 0
    return host, number


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


class ProxyHeadersMiddleware:
    """Sets `scheme` and `client` of scopes from the headers of proxies that are trusted.

    Takes the place of uvicorn's class of this name. `forwarded_header="forwarded"` reads Forwarded
    (RFC 7239) instead of X-Forwarded-Proto and X-Forwarded-For.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[Any]],
        trusted_hosts: Iterable[str] | str = "127.0.0.1",
        *,
        forwarded_header: str = "x-forwarded",
    ) -> None:
        self.app = app
        self.trusted_hosts = TrustedHosts(trusted_hosts)
        self._apply = self._apply_standard if forwarded_header == "forwarded" else self._apply_usual

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "lifespan":
            client = scope.get("client")
            if (client[0] if client else None) in self.trusted_hosts:
                self._apply(scope)
        return await self.app(scope, receive, send)

    def _apply_standard(self, scope: Any) -> None:
        elements: list[ForwardedElement] = []
        for name, value in scope["headers"]:
            if name == b"forwarded":
                more = parse_forwarded(value.decode("latin-1"))
                if more is None:
                    return  # of what is malformed nothing is believed
                elements += more
        if elements:
            element = self.trusted_hosts.choose(elements)
            _set_scheme(scope, element.scheme.lower())
            if element.node:
                scope["client"] = (element.node, element.port)

    def _apply_usual(self, scope: Any) -> None:
        proto: bytes | None = None
        forwarded: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto":
                proto = value
            elif name == b"x-forwarded-for":
                forwarded.append(value)
        if proto is not None:
            _set_scheme(scope, proto.decode("latin-1").strip())
        if forwarded:
            host, port = self.trusted_hosts.get_trusted_client_address(
                b", ".join(forwarded).decode("latin-1")
            )
            if host:
                scope["client"] = (host, port)


def _set_scheme(scope: Any, scheme: str) -> None:
    if scheme in _SCHEMES:
        websocket = scope["type"] == "websocket"
        scope["scheme"] = scheme.replace("http", "ws") if websocket else scheme
