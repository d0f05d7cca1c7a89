# SPDX-License-Identifier: MIT
"""The application's start-up and shutdown: ASGI's lifespan protocol, version 2.0.

What an application gets wrong is answered as uvicorn does, with one difference: once start-up is
complete, an exception is always logged with its traceback, also in mode "auto". uvicorn says
there that the protocol appears unsupported, which hides a failing shutdown.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from camshaft.application import ASGI3Application, Message

if TYPE_CHECKING:
    from camshaft.config import Config

logger = logging.getLogger("uvicorn.error")

_EVENTS = (
    "lifespan.startup.complete",
    "lifespan.startup.failed",
    "lifespan.shutdown.complete",
    "lifespan.shutdown.failed",
)


class Lifespan:
    """One run of the protocol, in a task of its own from start-up to shutdown.

    The configuration is loaded if it is not yet; its `lifespan` is "auto", "on" or "off".
    `state` is the dict that the application fills; each request's scope gets a copy of it.
    `should_exit` is true once the server must not go on. Of how it came to that,
    `startup_failed` and `shutdown_failed` are what the application said itself,
    `error_occurred` that it raised.
    """

    def __init__(self, config: "Config") -> None:
        if not config.loaded:
            config.load()
        self.state: dict[str, Any] = {}
        self.should_exit = False
        self.startup_failed = False
        self.shutdown_failed = False
        self.error_occurred = False
        self._app: ASGI3Application = config.loaded_app
        self._mode = config.lifespan
        self._asgi_version = config.asgi_version
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    @property
    def running(self) -> bool:
        """Whether the application has started and has not been told to shut down."""
        return (
            self._task is not None
            and self._started.is_set()
            and not (self._stopped.is_set() or self.startup_failed or self.error_occurred)
        )

    async def startup(self) -> None:
        """Run the application until its start-up is complete or has failed."""
        if self._mode == "off":
            return
        logger.info("Waiting for application startup.")
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._messages.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self.startup_failed or (self.error_occurred and self._mode == "on"):
            self.should_exit = True
            logger.error("Application startup failed. Exiting.")
        else:
            logger.info("Application startup complete.")

    async def shutdown(self) -> None:
        """Tell the application to end and wait until it has; nothing if it already has failed."""
        if self._task is None or self.error_occurred:
            return
        logger.info("Waiting for application shutdown.")
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped.wait()
        if self.shutdown_failed or self.error_occurred:
            self.should_exit = True
            logger.error("Application shutdown failed. Exiting.")
        else:
            logger.info("Application shutdown complete.")

    async def cancel(self) -> None:
        """Cancel the application's task, for a server that is told to end at once."""
        if self._task is not None:
            self._cancelled = True
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
            self.error_occurred = True
            raise
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: either is the application's failure, and
            # the server then ends by itself.
            starting = not self._started.is_set()
            self.error_occurred = True
            if self.startup_failed or self.shutdown_failed:
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
            if starting:
                self.startup_failed = True
            else:
                self.shutdown_failed = True
            text = str(message.get("message", ""))
            # Starlette tells of our own cancelling, which was wished, by a traceback.
            if text and not (self._cancelled and text.rstrip().endswith("CancelledError")):
                logger.error("%s", text)
        (self._started if starting else self._stopped).set()
