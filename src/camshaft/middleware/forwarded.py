# SPDX-License-Identifier: MIT
"""Forwarded (RFC 7239): what its elements tell of a request's client and scheme.

The server reads it itself, csrc/core/http/forwarded_element.c; these are the rules in Python, for
ProxyHeadersMiddleware.
"""

import ipaddress
import re
from typing import NamedTuple

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r'"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)"')
_OBFUSCATED = re.compile(r"_[0-9A-Za-z._-]+")
_NODE = re.compile(r"(?:\[(?P<v6>[^]]*)\]|(?P<name>[^:]*))(?::(?P<port>.*))?", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

# The longest value with quoted pairs, which neither a node nor a scheme needs.
_ESCAPED_MAX = 128


class ForwardedElement(NamedTuple):
    """What one proxy has told. `port` is 0 when there is none, or an obfuscated one."""

    node: str = ""
    """An address, `unknown`, or an obfuscated identifier, which begins with `_`; `""`: not told."""
    port: int = 0
    scheme: str = ""


class _Malformed(ValueError):
    pass


def parse_forwarded(value: str) -> list[ForwardedElement] | None:
    """Return the elements of a header line's value, decoded as Latin-1; None if it is malformed.

    White space around `;` is let pass, as around any parameter (RFC 9110, 5.6.6), and elements that
    hold nothing do not count (5.6.1).
    """
    elements = []
    at = 0
    try:
        while at <= len(value):
            element, at = _element(value, at)
            if element is not None:
                elements.append(element)
    except _Malformed:
        return None
    return elements


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _element(text: str, at: int) -> tuple[ForwardedElement | None, int]:
    """Read an element, and the comma behind it."""
    pairs: dict[str, str] = {}
    while True:
        at = _skip_space(text, at)
        if at < len(text) and text[at] not in ";,":
            name, pair, at = _pair(text, at)
            if name in pairs and name in ("for", "proto", "by", "host"):
                raise _Malformed
            pairs[name] = pair
        at = _skip_space(text, at)
        if at == len(text) or text[at] == ",":
            break
        if text[at] != ";":
            raise _Malformed
        at += 1
    if not pairs:
        return None, at + 1
    node, port = _node(pairs["for"]) if "for" in pairs else ("", 0)
    scheme = pairs.get("proto", "")
    if "proto" in pairs and not _SCHEME.fullmatch(scheme):
        raise _Malformed
    return ForwardedElement(node, port, scheme), at + 1


def _pair(text: str, at: int) -> tuple[str, str, int]:
    name = _TOKEN.match(text, at)
    if name is None or text[name.end() : name.end() + 1] != "=":
        raise _Malformed
    lower = name[0].lower()
    token = _TOKEN.match(text, name.end() + 1)
    if token is not None:
        return lower, token[0], token.end()
    quoted = _QUOTED.match(text, name.end() + 1)
    if quoted is None:
        raise _Malformed
    content = quoted[1]
    if "\\" in content and lower in ("for", "proto"):
        content = re.sub(r"\\(.)", r"\1", content, flags=re.DOTALL)
        if len(content) > _ESCAPED_MAX:
            raise _Malformed
    return lower, content, quoted.end()


def _node(text: str) -> tuple[str, int]:
    """Read nodename [ ":" node-port ], RFC 7239, 6."""
    found = _NODE.fullmatch(text)
    if found is None:
        raise _Malformed
    name, v6, port = found["name"], found["v6"], found["port"]
    if v6 is not None:
        _check_address(ipaddress.IPv6Address, v6)
    elif not _OBFUSCATED.fullmatch(name) and name.lower() != "unknown":
        _check_address(ipaddress.IPv4Address, name)
    if port is None or _OBFUSCATED.fullmatch(port):
        return v6 if v6 is not None else name, 0
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise _Malformed
    return v6 if v6 is not None else name, int(port)


def _check_address(
    kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], text: str
) -> None:
    try:
        kind(text)
    except ValueError:
        raise _Malformed from None
    if "%" in text or not text.isascii():
        raise _Malformed
