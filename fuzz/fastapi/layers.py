# SPDX-License-Identifier: MIT
"""Random middleware of Starlette's for programs, and what requests say to it."""

import random

IMPORTS = """\
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.httpsredirect import HTTPSRedirectMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
"""

# The arguments of each, of which any number is given.
CORS = {
    "allow_origins": ("['http://a.example']", "['*']", "('http://b.example', 'null')", "'*'", "[]"),
    "allow_origin_regex": ("'http://[ab].example'", "'.*'", "None"),
    "allow_credentials": ("True", "False"),
    "allow_methods": ("['*']", "['GET', 'POST']", "{'PUT'}", "()"),
    "allow_headers": ("['*']", "['X-H', 'x-token']", "()"),
    "expose_headers": ("['X-Around', 'x-b']", "()"),
    "allow_private_network": ("True", "False"),
    "max_age": ("0", "5"),
}
GZIP = {
    "minimum_size": ("0", "1", "30", "100", "500"),
    "compresslevel": ("-1", "0", "1", "6", "9"),
    "thread_minimum_size": ("20", "60"),
    "exclude_content_types": ("('application/json',)", "('Text/*; q=1', 'image/*')", "()"),
}
TRUSTED_HOST = {
    "allowed_hosts": (
        "['testserver', '*.example']",
        "['*']",
        "['www.testserver', 'TestServer']",
        "['www.testserver']",
        "None",
    ),
    "www_redirect": ("True", "False"),
}


def layers(choice: random.Random) -> list[str]:
    """The parts of a program that add middleware to `app`: mostly none."""
    if choice.random() < 0.55:
        return []
    kinds = [("CORS", CORS)] * 4 + [("GZip", GZIP)] * 3 + [("TrustedHost", TRUSTED_HOST)] * 2
    parts = [IMPORTS]
    for _ in range(choice.choice([1, 1, 1, 2, 2, 3])):
        name, arguments = choice.choice([*kinds, ("HTTPSRedirect", {})])
        given = [
            f", {argument}={choice.choice(values)}"
            for argument, values in arguments.items()
            if choice.random() < 0.4
        ]
        parts.append(f"app.add_middleware({name}Middleware{''.join(given)})")
    return parts


def headers(choice: random.Random) -> list[tuple[bytes, bytes]]:
    """What a browser says of itself, above all."""
    said: list[tuple[bytes, bytes]] = []
    if choice.random() < 0.4:
        origins = [b"http://a.example", b"http://b.example", b"null", b"http://\xe9", b""]
        said.append((b"origin", choice.choice(origins)))
    if choice.random() < 0.5:
        encodings = [b"gzip", b"gzip, deflate, br", b"br", b"GZIP", b"x-gzip;q=0", b""]
        said.append((b"accept-encoding", choice.choice(encodings)))
    if choice.random() < 0.03:
        said.append((b"origin", b"http://c.example"))
    return said


def host(choice: random.Random) -> bytes:
    """The Host: mostly what is expected."""
    if choice.random() < 0.85:
        return b"testserver"
    odd = [b"a.example", b"TestServer", b"www.testserver:80", b"testserver:", b"[::1]:80", b"x_y"]
    return choice.choice([*odd, b".example", b"*", b"a b", b"", b"testserver:8000"])


def preflight(choice: random.Random) -> list[tuple[bytes, bytes]]:
    """The headers of a question before the request."""
    asked = [
        (b"origin", choice.choice([b"http://a.example", b"http://b.example", b"http://\xe9"])),
        (b"access-control-request-method", choice.choice([b"GET", b"PUT", b"get", b"", b"BREW"])),
    ]
    if choice.random() < 0.6:
        wanted = [b"X-H", b"x-h, X-TOKEN ,accept", b"x-evil", b"", b"\xa0x-h", b",", b"\tx-h\x0b"]
        asked.append((b"access-control-request-headers", choice.choice(wanted)))
    if choice.random() < 0.3:
        asked.append((b"access-control-request-private-network", b"true"))
    return asked
