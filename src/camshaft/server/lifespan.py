# SPDX-License-Identifier: MIT
"""The application's start-up and shutdown: ASGI's lifespan protocol, version 2.0.

What an application gets wrong is answered as uvicorn does, with one difference: once start-up is
complete, an exception is always logged with its traceback, also in mode "auto". uvicorn says
there that the protocol appears unsupported, which hides a failing shutdown.
"""

import asyncio
import logging
from typing import Any

from camshaft.application import ASGI3Application, Message

logger = logging.getLogger("uvicorn.error")

_EVENTS = (
    "lifespan.startup.complete",
    "lifespan.startup.failed",
    "lifespan.shutdown.complete",
    "lifespan.shutdown.failed",
)


class Lifespan:
    """One run of the protocol, in a task of its own from start-up to shutdown.

    `mode` is "auto", "on" or "off". `state` is the dict that the application fills; each
    request's scope gets a copy of it. `failed` is true once the server must not go on.
    """

    def __init__(self, app: ASGI3Application, *, mode: str, asgi_version: str) -> None:
        self.state: dict[str, Any] = {}
        self.failed = False
        self._app = app
        self._mode = mode
        self._asgi_version = asgi_version
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._error = False
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Run the application until its start-up is complete or has failed."""
        if self._mode == "off":
            return
        logger.info("Waiting for application startup.")
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._messages.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self.failed or (self._error and self._mode == "on"):
            self.failed = True
            logger.error("Application startup failed. Exiting.")
        else:
            logger.info("Application startup complete.")

    async def shutdown(self) -> None:
        """Tell the application to end and wait until it has; nothing if it already has failed."""
        if self._task is None or self._error:
            return
        logger.info("Waiting for application shutdown.")
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped.wait()
        if self.failed or self._error:
            self.failed = True
            logger.error("Application shutdown failed. Exiting.")
        else:
            logger.info("Application shutdown complete.")

    async def cancel(self) -> None:
        """Cancel the application's task, for a server that is told to end at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": self._asgi_version, "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._messages.get, self._send)
        except asyncio.CancelledError:
            self._error = True
            raise
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: either is the application's failure, and
            # the server then ends by itself.
            starting = not self._started.is_set()
            self._error = True
            if self.failed:
                # The application has told why, and raises after it: Starlette does.
                return
            if starting and self._mode == "auto":
                logger.info("ASGI 'lifespan' protocol appears unsupported.")
            else:
                logger.error("Exception in 'lifespan' protocol\n", exc_info=error)
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: Message) -> None:
        """The application's `send`. Raises RuntimeError for a message out of turn."""
        kind = message["type"]
        if kind not in _EVENTS:
            raise RuntimeError(f"Expected one of {', '.join(_EVENTS)}, but got {kind!r}.")
        starting = kind.startswith("lifespan.startup.")
        if self._stopped.is_set() or starting == self._started.is_set():
            raise RuntimeError(f"Got invalid state transition on lifespan protocol: {kind!r}.")
        if kind.endswith(".failed"):
            self.failed = True
            if message.get("message"):
                logger.error("%s", message["message"])
        (self._started if starting else self._stopped).set()
