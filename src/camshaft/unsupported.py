# SPDX-License-Identifier: MIT
"""Settings that uvicorn has and camshaft has not yet: refused by name, never ignored.

A setting here may be given with the value that means "off"; any other is refused, because a
server that quietly runs without the limit it was asked for is worse than none. Whoever makes one
work removes its line.
"""

from typing import Any

from camshaft.settings import ConfigError

# Name of the setting: the values that mean "off", and what to say of any other.
UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "http2": ((False,), "HTTP/2 is not supported yet; a proxy can speak it to clients"),
}


def refuse_unsupported(config: object) -> None:
    """Raise ConfigError for the first setting that asks for something not supported yet."""
    for name, (off, reason) in UNSUPPORTED.items():
        value = getattr(config, name)
        if value not in off:
            raise ConfigError(name, value, reason)
