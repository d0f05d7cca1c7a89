# SPDX-License-Identifier: MIT
"""What is asked of which application, one application a file; its directory is every server's."""

from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parent
EXAMPLE = DIRECTORY.parents[2] / "examples" / "boardgames"


class Target(NamedTuple):
    """What wrk asks for: a path of an application, given as MODULE:ATTRIBUTE."""

    title: str
    app: str
    path: str
    script: tuple[str, ...] = ()
    """A script of bench/http/scripts and its arguments."""
    body: int = 0
    """Bytes that are posted; 0 is a GET, unless there is `json`."""
    connections: int = 50
    tls: bool = False
    access_log: bool = False
    options: tuple[str, ...] = ()
    """More options, for servers with uvicorn's."""
    json: str = ""
    """What is posted, of the script "json"."""
    variable: str = ""
    """Must be set in the environment: the servers need it."""


ITEM = '{"item_id": 42, "name": "a game", "price": 2.5, "tags": ["a", "b"]}'

TARGETS = {
    "asgi": Target("raw ASGI hello", "asgi_hello:app", "/"),
    "starlette": Target("Starlette hello", "starlette_hello:app", "/"),
    "fastapi": Target("FastAPI hello", "fastapi_app:app", "/"),
    "items": Target("FastAPI `/items/{item_id}`", "fastapi_app:app", "/items/42?q=chess"),
    "depends": Target(
        "FastAPI, a tree of dependencies", "fastapi_routes:app", "/depends/42?limit=7"
    ),
    "json": Target(
        "FastAPI, POST of a model", "fastapi_routes:app", "/items", ("json", ITEM), json=ITEM
    ),
    "thread": Target("FastAPI, `def` endpoint", "fastapi_routes:app", "/thread/42"),
    "thread-1": Target("the same, 1 connection", "fastapi_routes:app", "/thread/42", connections=1),
    "yield": Target("FastAPI, a dependency with `yield`", "fastapi_routes:app", "/opened/42"),
    "session": Target(
        "FastAPI, a session on SQLite by `yield`", "sessions:app", "/games/42", connections=8
    ),
    "boardgames": Target(
        "the example application's list, from PostgreSQL",
        "app.main:app",
        "/api/v1/games?limit=20",
        connections=8,
        options=("--app-dir", str(EXAMPLE)),
        variable="DATABASE_URL",
    ),
    "included": Target("FastAPI, an included router", "fastapi_routes:app", "/v1/games/42"),
    "many": Target(
        "FastAPI, the last of 792 routes in 36 routers",
        "fastapi_routes:many",
        "/part35/route21/42",
    ),
    "cors": Target(
        "FastAPI behind CORS, with Origin", "fastapi_routes:cors", "/?limit=7", ("origin",)
    ),
    "gzip": Target(
        "FastAPI, 1.4 KB of JSON in gzip", "fastapi_routes:gzip", "/games?limit=20", ("gzip",)
    ),
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
