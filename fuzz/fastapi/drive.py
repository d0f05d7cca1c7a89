# SPDX-License-Identifier: MIT
"""Gives one request to an application as a server would, and says all that it did."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from fuzz.fastapi.asked import Asked

LIMIT = 60.0
"""Seconds after which a request hangs."""


async def drive(
    module: dict[str, Any], entrance: Any, asked: Asked, limit: float = LIMIT
) -> dict[str, Any]:
    """What one module's application did with a request; `entrance` is who is called."""
    log: list[Any] = module["log"]
    probe: dict[str, Any] = module["probe"]
    files: list[Any] = module["files"]
    log.clear()
    probe.clear()
    files.clear()
    events: list[Any] = []
    left = list(asked.body)
    gone = asyncio.Event()

    told_gone = False

    async def receive() -> dict[str, Any]:
        nonlocal told_gone
        # Asking again who has left is nothing that anybody sees.
        if not told_gone:
            log.append("receive")
        if not left or (asked.disconnects and len(left) <= len(asked.body) - 1):
            if asked.disconnects:
                told_gone = True
                return {"type": "http.disconnect"}
            await gone.wait()
            return {"type": "http.disconnect"}
        body = left.pop(0)
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or asked.disconnects}

    async def send(message: dict[str, Any]) -> None:
        copied = {
            key: list(value) if isinstance(value, list | tuple) else value
            for key, value in message.items()
        }
        if "body" in copied:
            copied["body"] = bytes(copied["body"])
        if isinstance(message.get("headers"), list):
            message["headers"].append((b"x-edited", b"by the server"))  # it may
        events.append(copied)
        log.append("send " + message["type"])
        if len(events) == asked.fails:
            raise OSError("the peer is gone")
        await asyncio.sleep(0)

    async def run() -> Any:
        probe["task"] = asyncio.current_task()
        probe["thread"] = threading.get_ident()
        probe["cancel"] = asked.cancel
        result = await entrance(asked.scope(), receive, send)
        log.append(("returned", module["setting"].get()))
        return result

    task = asyncio.ensure_future(run())
    raised = None
    done, _ = await asyncio.wait([task], timeout=limit)
    if not done:
        task.cancel()
        raised = "hangs"
    elif task.cancelled():
        raised = "CancelledError"
    elif (error := task.exception()) is not None:
        raised = told(error)
    elif task.result() is not None:
        raised = f"returned {task.result()!r}"
    # What a function has left running in a thread or task would say so only later.
    for _ in range(3):
        await asyncio.sleep(0)
    probe.clear()
    # A task that is cancelled may leave a thread behind that closes one.
    log.append(("files closed", [bool(asked.cancel) or file.closed for file in files]))
    return {"events": events, "raised": raised, "log": list(log)}


def told(error: BaseException) -> str:
    """An exception with its group, and with what it came from."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, BaseExceptionGroup):
        text += " [" + "; ".join(told(each) for each in error.exceptions) + "]"
    if error.__cause__ is not None:
        text += f" from {told(error.__cause__)}"
    return text


class Fault:
    """An application that does one thing differently, for the fuzzer to see it."""

    NAMES = (
        "status",
        "header",
        "order",
        "body",
        "log",
        "twice",
        "task",
        "raised",
        "swallowed",
        "context",
    )

    def __init__(self, name: str, module: dict[str, Any], app: Any) -> None:
        self.name = name
        self.module = module
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[..., Any]) -> None:
        name = self.name

        async def changed(message: Any) -> None:
            start = message["type"] == "http.response.start"
            if start and name == "status":
                message = message | {"status": 299}
            if start and name == "header":
                message = message | {"headers": [*message["headers"], (b"x", b"y")]}
            if start and name == "order":
                message = message | {"headers": list(message["headers"])[::-1]}
            if not start and name == "body":
                message = message | {"body": bytes(message.get("body", b""))[:-1]}
            await send(message)

        if name == "log":
            self.module["note"]("more")
        if name == "twice":
            await receive()
        if name == "context":
            self.module["setting"].set("another")
        try:
            if name == "task":
                await asyncio.ensure_future(self.app(scope, receive, changed))
            else:
                await self.app(scope, receive, changed)
        except Exception:
            if name != "swallowed":
                raise
        if name == "raised":
            raise RuntimeError("planted")
