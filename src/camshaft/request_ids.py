# SPDX-License-Identifier: MIT
"""An id for each request: taken from a proxy or made, told to application, client and log."""

import os
import re
from contextvars import ContextVar

from camshaft.application import ASGI3Application, Message, Receive, Scope, Send

current_request_id: ContextVar[str | None] = ContextVar("camshaft_request_id", default=None)
"""The id of the request that is being served, for whoever logs; None without."""

# What nobody could break a log line, a header or a query with: UUIDs, ULIDs, W3C trace ids,
# base64, and what balancers make of addresses and times.
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")

_ANSWERS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))


def new_request_id() -> str:
    """Return 128 random bits in hexadecimal."""
    return os.urandom(16).hex()


class RequestIds:
    """An application around another, whose requests have ids.

    The id is the value of the header `name` if the request has one and it is a sane token of up
    to 128 characters (a client may send anything), else it is made. The application has it as
    scope["state"]["request_id"], which Starlette shows as request.state.request_id; every logging
    call of the request's task, in `current_request_id`; the client, as a header of the same name,
    unless the application has sent that itself.
    """

    def __init__(self, app: ASGI3Application, name: str) -> None:
        self.app = app
        self._name = name.lower().encode("ascii")

    def _id_of(self, scope: Scope) -> str:
        given = [value for field, value in scope["headers"] if field == self._name]
        if len(given) == 1 and _SANE.fullmatch(given[0]):
            return str(given[0].decode("ascii"))
        return new_request_id()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = self._id_of(scope)
        # The task is the request's own, and with it the context.
        current_request_id.set(request_id)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] in _ANSWERS:
                headers = list(message.get("headers") or ())
                if all(bytes(field).lower() != self._name for field, _ in headers):
                    headers.append((self._name, request_id.encode("ascii")))
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_id)
