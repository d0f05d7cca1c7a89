# SPDX-License-Identifier: MIT
"""Requests, applications and peers of every kind at random: whatever they do to each other, every
connection and every task comes to its end, and the loop has no error to report.

The choices are those of a fixed seed, so what fails can be had again; the interleaving is not.
"""

import asyncio
import random
from typing import Any

import pytest

from tests.asgi.conftest import Serve
from tests.asgi.harness import Served

CLIENTS = 120


class Application:
    """Reads some of its request, answers in some way, fails now and then."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.served: Served | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        chance = self.chance
        kind = chance.random()
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        if chance.random() < 0.6:
            while True:
                event = await receive()
                if not event.get("more_body") or chance.random() < 0.1:
                    break
        if kind < 0.05:
            raise ValueError("at first")
        if kind < 0.10:
            return
        if kind < 0.12:
            assert self.served is not None
            chance.choice([self.served.http.abort, self.served.http.cancel])()
        headers = [(b"content-length", b"5")] if chance.random() < 0.2 else []
        status = chance.choice([200, 200, 204, 304, 404])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if kind < 0.15:
            return
        for _ in range(chance.choice([0, 0, 1, 5])):
            body = b"x" * chance.choice([0, 1, 100, 20_000, 300_000])
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if chance.random() < 0.05:
                raise ValueError("in the middle")
            if chance.random() < 0.05:
                waiting = asyncio.ensure_future(receive())
                await asyncio.sleep(0)
                waiting.cancel()
        await send({"type": "http.response.body", "body": b"x" * chance.choice([0, 5, 20_000])})
        if chance.random() < 0.1:
            await receive()
        if chance.random() < 0.05:
            raise ValueError("at last")


def a_request(chance: random.Random) -> bytes:
    head = chance.choice([b"GET", b"HEAD", b"POST"]) + b" /path?query HTTP/1."
    head += chance.choice([b"1", b"1", b"1", b"0"]) + b"\r\nHost: a\r\n"
    head += chance.choice(
        [b""] * 8
        + [b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n"]
        + [b"Connection: upgrade\r\nUpgrade: x\r\n"]
    )
    kind = chance.random()
    if kind < 0.4:
        return head + b"\r\n"
    if kind < 0.7:
        size = chance.choice([0, 1, 10, 1000, 70_000, 200_000])
        return head + b"Content-Length: %d\r\n\r\n" % size + b"b" * size
    if kind < 0.95:
        chunks = b"".join(
            b"%x\r\n" % size + b"c" * size + b"\r\n"
            for size in chance.choices([1, 2, 100, 5000], k=chance.choice([0, 1, 5, 50]))
        )
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return chance.choice([b"nonsense\r\n\r\n", b"\r\n\r\n", chance.randbytes(30)])


async def a_client(chance: random.Random, port: int) -> None:
    async def read(reader: asyncio.StreamReader) -> None:
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() / 20)
        while await reader.read(chance.choice([10, 65_536])):
            pass

    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return  # the server has had enough
    reading = asyncio.ensure_future(read(reader))
    try:
        data = b"".join(a_request(chance) for _ in range(chance.choice([1, 1, 2, 5, 20])))
        while data and chance.random() < 0.98:
            size = chance.choice([1, 7, 100, 5000, 100_000])
            writer.write(data[:size])
            data = data[size:]
            if chance.random() < 0.3 or len(data) < 50:
                await asyncio.sleep(0)
        ending = chance.random()
        if ending < 0.2:
            writer.write_eof()
        elif ending < 0.5:
            writer.transport.abort()
        await asyncio.wait([reading], timeout=chance.random() / 10)
    except OSError:
        pass  # the server has had enough of it
    finally:
        # Whatever ended it: an error of reading that nobody asks for would be the loop's to report.
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mixture(start: Serve, seed: int) -> None:
    chance = random.Random(seed)
    app = Application(chance)
    served = start(app, keep_alive=chance.choice([0, 0.02, 5]), access_log=lambda *line: None)
    app.served = served

    async def all_clients() -> None:
        for _ in range(CLIENTS // 30):
            await asyncio.gather(*[a_client(chance, served.port) for _ in range(30)])

    served.run(all_clients())
    served.call(served.http.shutdown)
    served.until(lambda: served.http.connections == served.http.tasks == 0)
    assert served.loop_errors == []
