# SPDX-License-Identifier: MIT
"""The application that the command's tests serve: it tells what it sees, and fails as asked."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def tell(text: str) -> None:
    """Write a line where the server's log goes, at once."""
    print(f"app: {text}", file=sys.stderr, flush=True)


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", length)],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    scope["state"]["pool"] = "a pool"
    while True:
        kind = (await receive())["type"]
        tell(kind)
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def wait_for_file(path: Path) -> None:
    """Wait until the test creates a file: the request is under way for as long as it wants."""
    tell("request started")
    try:
        while not path.exists():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        tell("request cancelled")
        raise


async def endless(receive: Any, send: Any) -> None:
    """Events until the client has left, or the server says so."""
    await receive()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    tell((await receive())["type"])
    await send({"type": "http.response.body", "body": b"data: 2\n\n"})


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/wait":
        await wait_for_file(Path(scope["query_string"].decode()))
        await answer(send, b"waited")
    elif path == "/block":
        tell("loop blocked")
        while not Path(scope["query_string"].decode()).exists():
            time.sleep(0.005)
        await answer(send, b"blocked")
    elif path == "/endless":
        await endless(receive, send)
    elif path == "/raise":
        raise ZeroDivisionError("as asked")
    else:
        loop = type(asyncio.get_running_loop())
        seen = {
            "path": scope["path"],
            "root_path": scope["root_path"],
            "scheme": scope["scheme"],
            "client": scope["client"],
            "server": scope["server"],
            "tls": scope.get("extensions", {}).get("tls"),
            "state": scope["state"],
            "asgi": scope["asgi"]["version"],
            "loop": f"{loop.__module__}.{loop.__qualname__}",
            "variable": os.environ.get("SERVED_VARIABLE"),
        }
        await answer(send, json.dumps(seen).encode())


def make_app() -> Any:
    return app


def asgi2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await answer(send, b'"asgi2"')

    return instance


async def no_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http", "no lifespan here"
    await answer(send, b"null")


async def start_fails(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "there is no database"})


async def starts_slowly(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    tell("starting")
    while not Path(os.environ["SERVED_RELEASE"]).exists():
        await asyncio.sleep(0.01)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def never_ends(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    tell("staying")
    await asyncio.Event().wait()


not_callable = "text"
