# SPDX-License-Identifier: MIT
"""What is served: an ASGI application, and how one is made of what the user names."""

import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from camshaft.importer import ImportStringError, import_from_string

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI3Application = Callable[[Scope, Receive, Send], Awaitable[None]]
ASGI2Application = Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]

logger = logging.getLogger("uvicorn.error")


class ApplicationError(Exception):
    """The application cannot be had, by a mistake of the user's that one line explains."""


class ASGI2Adapter:
    """Makes an ASGI 2 application, called twice, into an ASGI 3 one, called once."""

    def __init__(self, app: ASGI2Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        instance = self.app(scope)
        await instance(receive, send)


def import_application(app: object) -> object:
    """Return what an import string names; anything else is the application itself.

    Raises ApplicationError for a bad string; what the import raises goes through.
    """
    if not isinstance(app, str):
        return app
    try:
        return import_from_string(app)
    except ImportStringError as error:
        raise ApplicationError(f"Error loading ASGI app. {error}") from None


def call_factory(app: object, *, factory: bool) -> object:
    """Return what an application factory makes, or an application as it is.

    Without `factory` something that takes no arguments is taken for a factory, with a warning,
    as uvicorn does. It looks at the signature where uvicorn calls and sees whether that raises
    TypeError, so that a TypeError inside of a factory is not mistaken for an answer.
    """
    if not callable(app):
        raise ApplicationError(
            f"Error loading ASGI app. An object of type {type(app).__name__} is not callable."
        )
    if factory:
        if takes(app, 0) is False:
            raise ApplicationError(
                "Error loading ASGI app factory: it must take no arguments; "
                "without --factory it is served as an application."
            )
        made = app()
    elif takes(app, 0) and not takes(app, 1) and not takes(app, 3):
        made = app()
        logger.warning(
            "ASGI app factory detected. Using it, "
            "but please consider setting the --factory flag explicitly."
        )
    else:
        return app
    if not callable(made):
        raise ApplicationError(
            f"Error loading ASGI app factory: it returned an object of type {type(made).__name__}, "
            "which is not callable."
        )
    return made


def detect_interface(app: object) -> str:
    """Return "asgi3" or "asgi2", by how the application is to be called.

    As uvicorn: a coroutine function, or an object whose __call__ is one, is ASGI 3; a class is
    if its instances can be awaited. Beyond that, whatever takes three arguments and not one is
    ASGI 3 too: a plain function that returns the coroutine of another.
    """
    if inspect.isclass(app):
        asgi3 = hasattr(app, "__await__")
    else:
        asgi3 = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(
            getattr(app, "__call__", None)  # noqa: B004
        )
    if not asgi3:
        asgi3 = bool(takes(app, 3)) and not takes(app, 1)
    return "asgi3" if asgi3 else "asgi2"


def adapt(app: object, interface: str) -> ASGI3Application:
    """Return an ASGI 3 application for one with the interface "asgi3", "asgi2" or "wsgi"."""
    if interface == "wsgi":
        from camshaft.wsgi import WSGIAdapter

        return WSGIAdapter(cast(Any, app))
    if interface == "asgi2":
        return ASGI2Adapter(cast(ASGI2Application, app))
    return cast(ASGI3Application, app)


def takes(function: object, count: int) -> bool | None:
    """Whether a callable can be called with `count` positional arguments; None: cannot tell."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
