# SPDX-License-Identifier: MIT
"""The log of an application's ASGI messages, for --log-level trace: uvicorn's lines."""

import logging
from collections.abc import Mapping
from typing import Any

from camshaft.application import ASGI3Application, Message, Receive, Scope, Send
from camshaft.logging import TRACE_LOG_LEVEL

logger = logging.getLogger("uvicorn.asgi")

# What may be large or secret, and what is shown of it.
_SHORTENED = {"body": "bytes", "bytes": "bytes", "text": "chars"}


def shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message, or a scope, with lengths in place of contents and no headers."""
    result = dict(message)
    for name, unit in _SHORTENED.items():
        if result.get(name) is not None:
            result[name] = f"<{len(result[name])} {unit}>"
    if result.get("headers") is not None:
        result["headers"] = "<...>"
    return result


class MessageLogger:
    """An application around another, that logs what passes between that and the server.

    Calls are numbered from 1; the first is the lifespan's if there is one.
    """

    def __init__(self, app: ASGI3Application) -> None:
        self.app = app
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        number = self.calls
        client = scope.get("client")
        who = f"{client[0]}:{client[1]} - ASGI" if client else "ASGI"

        def log(what: str, *arguments: object) -> None:
            logger.log(TRACE_LOG_LEVEL, f"%s [%d] {what}", who, number, *arguments)

        async def logged_receive() -> Message:
            message = await receive()
            log("Receive %s", shown(message))
            return message

        async def logged_send(message: Message) -> None:
            log("Send %s", shown(message))
            await send(message)

        log("Started scope=%s", shown(scope))
        try:
            await self.app(scope, logged_receive, logged_send)
        except BaseException:
            log("Raised exception")
            raise
        log("Completed")
