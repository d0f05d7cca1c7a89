# SPDX-License-Identifier: MIT
"""Applications of every kind: each request gets one by its case's dice.

All of them come to an end by themselves within some turns, or when their connection is lost.
"""

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]


class Planned(Exception):
    """What an application raises on purpose."""


class Applications:
    """The application of one case. `broken` lists what the server did wrong by it."""

    def __init__(self, chance: random.Random, ws_max_size: int, files: Path) -> None:
        self.chance = chance
        self.ws_max_size = ws_max_size
        self.files = files
        self.broken: list[str] = []
        self.kinds: list[str] = []
        # In some cases all of them behave, so that clients can rely on whole answers.
        self.behaves = chance.random() < 0.3

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        chance = self.chance
        if scope["type"] == "websocket":
            odd = not self.behaves and chance.random() < 0.6
            name = chance.choice(list(WEBSOCKET)) if odd else "echo"
            application = WEBSOCKET[name]
        else:
            names = GOOD if self.behaves else list(HTTP)
            name = chance.choice(names) if chance.random() < 0.7 else "echo"
            application = HTTP[name]
        self.kinds.append(name)
        await application(self, scope, receive, send)

    def expect(self, held: bool, promise: str) -> None:
        if not held:
            self.broken.append(promise)

    async def pause(self) -> None:
        for _ in range(self.chance.choice((0, 0, 1, 3, 20))):
            await asyncio.sleep(0)

    async def message(self, receive: Any) -> Any:
        event = await receive()
        kinds = ("websocket.connect", "websocket.receive", "websocket.disconnect")
        self.expect(event["type"] in kinds, f"a WebSocket event {event['type']}")
        if event["type"] == "websocket.receive":
            data = event.get("bytes")
            data = event["text"].encode() if data is None else data
            self.expect(len(data) <= self.ws_max_size, f"a message of {len(data)} bytes")
        elif event["type"] == "websocket.disconnect":
            self.expect(received_code(event["code"]), f"a disconnect of code {event['code']}")
        return event


def received_code(code: int) -> bool:
    """Whether a code may be told to an application: those that are sent, and 1005 and 1006."""
    return code in (1005, 1006) or sent_code(code)


def sent_code(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455 section 7.4, IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


# ---- HTTP ----


async def body(receive: Any, most: int = 1 << 30) -> bytes:
    """Return the request's body, or what there was of it before the connection was lost."""
    data = b""
    while len(data) < most:
        event = await receive()
        if event["type"] == "http.disconnect":
            break
        data += event["body"]
        if not event["more_body"]:
            break
    return data


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """What the server refuses to send is then what the application raises, on purpose."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        raise Planned from error


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})


async def part(send: Any, data: bytes, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def echo(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    data = await body(receive)
    await start(send, 200, (b"content-length", b"%d" % len(data)), (b"x-echo", b"1"))
    await part(send, data, False)


async def reads_nothing(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await self.pause()
    await start(send, self.chance.choice((200, 204, 304, 404, 503)))
    await part(send, b"", False)


async def reads_some(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await body(receive, self.chance.choice((1, 100, 70_000)))
    await self.pause()
    await start(send)
    await part(send, b"some", False)
    await self.pause()


async def streams(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    chance = self.chance
    if chance.random() < 0.5:
        await body(receive)
    await start(send, chance.choice((200, 200, 206, 204, 304)))
    for _ in range(chance.choice((1, 3, 10))):
        await part(send, b"s" * chance.choice((0, 1, 100, 5000, 200_000)), True)
        await self.pause()
    await part(send, b"end", False)


async def raises(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    place = self.chance.randrange(4)
    if place == 0:
        raise Planned
    await body(receive)
    if place == 1:
        raise Planned
    await start(send)
    if place == 2:
        raise Planned
    await part(send, b"begin", True)
    raise Planned


async def ends_early(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    place = self.chance.randrange(5)
    if place == 0:
        return
    if place < 3:
        await start(send, 200, *((b"content-length", b"100") for _ in range(place - 1)))
    else:
        await start(send, 200, (b"content-length", b"100"))
        with refused():
            await part(send, b"short", place == 3)


async def pathsend(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    if self.chance.random() < 0.5:
        await body(receive)
    if self.chance.random() < 0.3:
        await self.pause()
    if "http.response.pathsend" not in scope.get("extensions", {}):
        raise Planned
    await start(send, self.chance.choice((200, 200, 200, 204)))
    name = self.chance.choice(("empty", "small", "large", "missing", "."))
    with refused():
        await send({"type": "http.response.pathsend", "path": str(self.files / name)})


async def hints_and_trailers(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    extensions = scope.get("extensions", {})
    if "http.response.early_hint" in extensions:
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await self.pause()
    trailers = "http.response.trailers" in extensions and self.chance.random() < 0.7
    await start(send, 200, (b"trailer", b"x-t"), trailers=trailers)
    await part(send, b"before", False)
    if trailers:
        await self.pause()
        await send(
            {"type": "http.response.trailers", "headers": [(b"x-t", b"1")], "more_trailers": False}
        )


async def watches(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    """Answers, then waits for what comes after the answer."""
    reading = asyncio.ensure_future(receive())
    await self.pause()
    if self.chance.random() < 0.3:
        reading.cancel()
    await start(send)
    await part(send, b"x" * self.chance.choice((0, 5, 100_000)), False)
    event = await asyncio.gather(reading, return_exceptions=True)
    while not isinstance(event, dict) or event["type"] != "http.disconnect":
        event = await receive()


async def wrong_answers(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    """Sends what is refused."""
    wrong = self.chance.randrange(6)
    headers = [
        (b"x", b"a\r\nb: c"),
        (b"x y", b"a"),
        (b"content-length", b"-1"),
        (b"transfer-encoding", b"gzip"),
        (b"x", b"\0"),
        (b"x", b"ok"),
    ]
    with refused():
        await start(send, self.chance.choice((200, 99, 1000, 101, 204)), headers[wrong])
        await part(send, b"body", False)
        await part(send, b"more", False)


# ---- WebSocket ----


async def accept(self: Applications, receive: Any, send: Any, **more: Any) -> None:
    event = await receive()
    self.expect(event["type"] == "websocket.connect", f"a first event {event['type']}")
    await send({"type": "websocket.accept", **more})


async def ws_echo(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    offered = scope["subprotocols"]
    await accept(self, receive, send, subprotocol=offered[0] if offered else None)
    while (event := await self.message(receive))["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def ws_slow(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await accept(self, receive, send)
    while (await self.message(receive))["type"] == "websocket.receive":
        await self.pause()


async def ws_reads_nothing(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await accept(self, receive, send)
    for _ in range(self.chance.choice((0, 10, 60))):
        await asyncio.sleep(0)
    await send({"type": "websocket.close", "code": self.chance.choice((1000, 3000, 4999))})
    if self.chance.random() < 0.5:
        while (await self.message(receive))["type"] == "websocket.receive":
            pass


async def ws_floods(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await accept(self, receive, send)
    for _ in range(self.chance.choice((1, 5, 30))):
        size = self.chance.choice((0, 1, 125, 126, 65_535, 65_536, 200_000))
        await send({"type": "websocket.send", "bytes": self.chance.choice((b"f", b"\x00")) * size})
        if self.chance.random() < 0.1:
            await self.pause()
    await send({"type": "websocket.close", "code": 1000, "reason": "é" * 20})


async def ws_denies(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    chance = self.chance
    if chance.random() < 0.7:
        await receive()
    if "websocket.http.response" not in scope.get("extensions", {}) or chance.random() < 0.4:
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await self.pause()
    for more in (True, False):
        data = b"d" * chance.choice((0, 10, 100_000))
        await send({"type": "websocket.http.response.body", "body": data, "more_body": more})
        if chance.random() < 0.2:
            raise Planned


async def ws_raises(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    place = self.chance.randrange(4)
    if place == 0:
        raise Planned
    await receive()
    await self.pause()
    if place == 1:
        raise Planned
    await send({"type": "websocket.accept"})
    await self.pause()
    if place == 2:
        raise Planned
    await self.message(receive)
    raise Planned


async def ws_returns(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    place = self.chance.randrange(3)
    if place == 0:
        return
    await accept(self, receive, send)
    if place == 1:
        await self.message(receive)


async def ws_both_ways(self: Applications, scope: Any, receive: Any, send: Any) -> None:
    await accept(self, receive, send)
    reading = asyncio.ensure_future(self.message(receive))
    try:
        for number in range(self.chance.choice((1, 10))):
            await send({"type": "websocket.send", "text": f"message {number}"})
            await self.pause()
            if self.chance.random() < 0.2:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                reading = asyncio.ensure_future(self.message(receive))
    finally:
        await asyncio.gather(reading, return_exceptions=True)


HTTP: dict[str, Callable[[Applications, Any, Any, Any], Awaitable[None]]] = {
    "echo": echo,
    "reads nothing": reads_nothing,
    "reads some": reads_some,
    "streams": streams,
    "raises": raises,
    "ends early": ends_early,
    "pathsend": pathsend,
    "hints and trailers": hints_and_trailers,
    "watches": watches,
    "wrong answers": wrong_answers,
}

# Those whose answers are whole, each request's its own.
GOOD = ["echo", "streams", "reads nothing", "hints and trailers", "watches"]

WEBSOCKET: dict[str, Callable[[Applications, Any, Any, Any], Awaitable[None]]] = {
    "echo": ws_echo,
    "slow": ws_slow,
    "reads nothing": ws_reads_nothing,
    "floods": ws_floods,
    "denies": ws_denies,
    "raises": ws_raises,
    "returns": ws_returns,
    "both ways": ws_both_ways,
}


def make_files(directory: str) -> Path:
    """Make the files that are sent by their path."""
    files = Path(directory)
    (files / "empty").write_bytes(b"")
    (files / "small").write_bytes(b"small file\n")
    (files / "large").write_bytes(b"large file\n" * 30_000)
    return files


def files_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="camshaft-fuzz-")
