# SPDX-License-Identifier: MIT
"""The application of the masters' tests: it tells which process answers, and fails as asked."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

TEXT = "first"


def tell(text: str) -> None:
    """Write a line where the server's log goes, at once."""
    print(f"app [{os.getpid()}]: {text}", file=sys.stderr, flush=True)


def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def inheritable() -> list[str]:
    """What the processes inherit that the application starts, beside the usual three."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(f"{name}={os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            pass  # it was what has listed them
    return found


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        while kind == "lifespan.startup" and os.path.exists(os.environ.get("WORKING_WAITS", "")):
            await asyncio.sleep(0.01)
        if kind == "lifespan.startup" and os.path.exists(os.environ.get("WORKING_FAILS", "")):
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path, query = scope["path"], scope["query_string"].decode()
    if path == "/block":
        tell("blocking")
        block_the_loop(float(query))
    elif path == "/block-for-good":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
        tell("blocking")
        block_the_loop(float(query))
    elif path == "/wait":
        tell("request started")
        while not Path(query).exists():
            await asyncio.sleep(0.01)
    elif path == "/exit":
        os._exit(int(query))
    body = f"{TEXT} {os.getpid()}".encode()
    if path == "/inheritable":
        body = " ".join(inheritable()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fails_in_the_second(scope: Any, receive: Any, send: Any) -> None:
    """Starts in one worker and in no other."""
    if scope["type"] == "lifespan":
        try:
            os.close(os.open(os.environ["WORKING_FIRST"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise SystemExit(7) from None
    await app(scope, receive, send)
