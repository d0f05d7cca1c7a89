# SPDX-License-Identifier: MIT
"""A thousand requests at once to an endpoint that awaits the database: none is lost."""

import asyncio
import json
import resource

import httpx
from boardgames_server import REQUEST_LIMIT, ServerProcess

REQUESTS = 1000


async def exchange(port: int, requests: list[int], everybody: asyncio.Barrier) -> int:
    """Connect, wait until all are connected, ask for games in turn; return the good answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await everybody.wait()
        for game_id in requests:
            writer.write(
                f"GET /api/v1/games/{game_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            assert head[0] == "http/1.1 200 ok", head
            fields = dict(line.split(": ", 1) for line in head[1:] if line)
            body = json.loads(await reader.readexactly(int(fields["content-length"])))
            assert body["id"] == game_id, "the answer to another request"
    finally:
        writer.close()
        await writer.wait_closed()
    return len(requests)


def test_a_thousand_concurrent_requests(client: httpx.Client, server: ServerProcess) -> None:
    # A connection for each request, where the limit on open files allows.
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = REQUESTS if files > REQUESTS + 200 else 200
    each = REQUESTS // connections

    async def everything() -> int:
        everybody = asyncio.Barrier(connections)
        async with asyncio.timeout(REQUEST_LIMIT), asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    exchange(server.port, [1 + (n + i) % 12 for i in range(each)], everybody)
                )
                for n in range(connections)
            ]
        return sum(task.result() for task in tasks)

    assert asyncio.run(everything()) == REQUESTS
    pool = client.get("/health").json()["pool"]
    assert pool["checked_out"] == 0
    assert pool["overflow"] <= pool["max_overflow"]
