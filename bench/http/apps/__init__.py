# SPDX-License-Identifier: MIT
"""What is asked of which application, one application a file; its directory is every server's."""

from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parent


class Target(NamedTuple):
    """What wrk asks for: a path of an application, given as MODULE:ATTRIBUTE."""

    title: str
    app: str
    path: str
    script: tuple[str, ...] = ()
    """A script of bench/http/scripts and its arguments."""
    body: int = 0
    """Bytes that are posted; 0 is a GET."""
    connections: int = 50
    tls: bool = False
    access_log: bool = False
    options: tuple[str, ...] = ()
    """More options, for servers with uvicorn's."""


TARGETS = {
    "asgi": Target("raw ASGI hello", "asgi_hello:app", "/"),
    "starlette": Target("Starlette hello", "starlette_hello:app", "/"),
    "fastapi": Target("FastAPI hello", "fastapi_app:app", "/"),
    "items": Target("FastAPI `/items/{item_id}`", "fastapi_app:app", "/items/42?q=chess"),
    "pipeline": Target("16 requests at once", "asgi_hello:app", "/", ("pipeline", "16")),
    "browser": Target("headers of a browser", "asgi_hello:app", "/", ("browser",)),
    "echo-1k": Target("POST 1 KB, echoed", "asgi_bodies:app", "/echo", ("post", "1024"), 1024),
    "echo-10k": Target("POST 10 KB, echoed", "asgi_bodies:app", "/echo", ("post", "10240"), 10240),
    "upload": Target(
        "upload of 1 MB", "asgi_bodies:app", "/upload", ("post", "1048576"), 1 << 20, 8
    ),
    "download": Target("download of 10 MB", "asgi_bodies:app", "/download", connections=8),
    "tls": Target("hello over TLS", "asgi_hello:app", "/", tls=True),
    "access-log": Target("hello with access log", "asgi_hello:app", "/", access_log=True),
}

DEFAULT = ["asgi", "starlette", "fastapi", "items"]
