# SPDX-License-Identifier: MIT
"""What is taken for an application, and how it is called."""

import asyncio
import functools
from collections.abc import Awaitable
from typing import Any

import pytest

from camshaft.application import (
    ApplicationError,
    Receive,
    Scope,
    Send,
    adapt,
    call_factory,
    detect_interface,
    import_application,
)


async def function(scope: Scope, receive: Receive, send: Send) -> None:
    scope["called"] = True


async def with_option(option: str, scope: Scope, receive: Receive, send: Send) -> None:
    pass


def returns_coroutine(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return function(scope, receive, send)


class Instance:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


class PlainInstance:
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return function(scope, receive, send)


class Awaited:
    """An ASGI 3 application as a class: called with three arguments, then awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope

    def __await__(self) -> Any:
        yield from ()


def asgi2_function(scope: Scope) -> Any:
    async def instance(receive: Receive, send: Send) -> None:
        scope["called"] = True

    return instance


class ASGI2Class:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        self.scope["called"] = True


@pytest.mark.parametrize(
    "app",
    [
        function,
        functools.partial(with_option, "option"),
        returns_coroutine,
        Instance(),
        PlainInstance(),
        Awaited,
    ],
)
def test_asgi3(app: object) -> None:
    assert detect_interface(app) == "asgi3"
    assert adapt(app, "asgi3") is app
    assert call_factory(app, factory=False) is app


@pytest.mark.parametrize("app", [asgi2_function, ASGI2Class])
def test_asgi2(app: object) -> None:
    assert detect_interface(app) == "asgi2"
    assert call_factory(app, factory=False) is app
    scope: Scope = {}

    async def nothing(*_: object) -> Any:
        pass

    asyncio.run(adapt(app, "asgi2")(scope, nothing, nothing))  # type: ignore[arg-type]
    assert scope["called"]


def test_factory_by_option(caplog: pytest.LogCaptureFixture) -> None:
    assert call_factory(lambda: function, factory=True) is function
    # An optional argument is no hindrance.
    assert call_factory(lambda debug=False: function, factory=True) is function
    assert not caplog.records


def test_factory_by_signature(caplog: pytest.LogCaptureFixture) -> None:
    assert call_factory(lambda: function, factory=False) is function
    assert "ASGI app factory detected. Using it, but please consider" in caplog.text


def test_an_application_is_no_factory() -> None:
    with pytest.raises(ApplicationError, match=r"factory: it must take no arguments"):
        call_factory(function, factory=True)


def test_what_takes_anything_is_an_application() -> None:
    async def anything(*args: Any) -> None:
        pass

    assert call_factory(anything, factory=False) is anything


def test_an_error_inside_a_factory_goes_through() -> None:
    def broken() -> object:
        raise TypeError("inside")

    for factory in (True, False):
        with pytest.raises(TypeError, match="inside"):
            call_factory(broken, factory=factory)


@pytest.mark.parametrize("factory", [True, False])
def test_what_cannot_be_called(factory: bool) -> None:
    with pytest.raises(ApplicationError, match=r"An object of type dict is not callable\."):
        call_factory({}, factory=factory)
    with pytest.raises(ApplicationError, match="it returned an object of type NoneType, which"):
        call_factory(lambda: None, factory=factory)


def test_import() -> None:
    assert import_application(function) is function
    assert import_application("os:getpid")
    with pytest.raises(ApplicationError, match=r"^Error loading ASGI app\. Could not import"):
        import_application("no_such_module:app")
