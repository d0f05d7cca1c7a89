# SPDX-License-Identifier: MIT
"""FastAPI's routes on our server, each as FastAPI answers it and by its plan.

A request is counted from the event loop's wake-up to the next one: reading, parsing, the task,
what answers, writing. The applications and paths are those of `bench http`.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator

from bench.http.apps import DIRECTORY, TARGETS, Target
from bench.instructions.rows import SOME, Row, Run

MODES = ["off", "asgi", "native"]
"""Values of the setting `fastapi`: FastAPI itself, plans behind the middleware, plans before it."""

ROUTES = [
    "asgi",
    "fastapi",
    "items",
    "depends",
    "json",
    "thread",
    "included",
    "cors",
    "yield",
    "session",
]
"""Of bench.http.apps: the raw application first, which all the others contain."""


def message(target: Target) -> bytes:
    """What the client sends."""
    lines = [f"{'POST' if target.json else 'GET'} {target.path} HTTP/1.1", "Host: 127.0.0.1"]
    if "origin" in target.script:
        lines.append("Origin: http://a.example")
    if target.json:
        lines.append("Content-Type: application/json")
        lines.append(f"Content-Length: {len(target.json)}")
    return "\r\n".join([*lines, "", target.json]).encode()


def requests(target: Target, mode: str) -> Run:
    """Requests on one connection, counted in the server."""

    async def run(counts: Iterator[int]) -> None:
        import camshaft

        sys.path.insert(0, str(DIRECTORY))
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        config = camshaft.Config(
            target.app,
            interface="asgi3",
            fastapi=mode,
            lifespan="on" if "sessions" in target.app else "off",
            access_log=False,
            log_level="warning",
        )
        server = camshaft.Server(config)
        serving = loop.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        # The client says on another connection that it has all its answers.
        ended: asyncio.Queue[None] = asyncio.Queue()

        async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ended.put_nowait(None)
            writer.close()

        control = await asyncio.start_server(end, "127.0.0.1", 0)
        ports = [each.getsockname()[1] for each in (listener, control.sockets[0])]
        for count in counts:
            print("http", *ports, count, message(target).hex(), flush=True)
            await ended.get()
        control.close()
        server.should_exit = True
        await serving

    return run


ROWS = {
    f"{name}:{mode}": Row(TARGETS[name].title, requests(TARGETS[name], mode), SOME, True)
    for name in ROUTES
    for mode in MODES
}
"""By what the worker is given."""
