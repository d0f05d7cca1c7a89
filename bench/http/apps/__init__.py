# SPDX-License-Identifier: MIT
"""The applications that are served, one a file; a server is run with this as its --app-dir."""

from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parent


class Target(NamedTuple):
    """What wrk asks for: a path of an application, given as MODULE:ATTRIBUTE."""

    title: str
    app: str
    path: str


TARGETS = {
    "asgi": Target("raw ASGI hello", "asgi_hello:app", "/"),
    "starlette": Target("Starlette hello", "starlette_hello:app", "/"),
    "fastapi": Target("FastAPI hello", "fastapi_app:app", "/"),
    "items": Target("FastAPI `/items/{item_id}`", "fastapi_app:app", "/items/42?q=chess"),
}
