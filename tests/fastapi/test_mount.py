# SPDX-License-Identifier: MIT
"""Applications with the native router: what the server does with one, and the setting of it."""

import asyncio
import contextlib
import logging
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from camshaft._core import FastAPIRouter
from camshaft.config import Config
from camshaft.fastapi.mount import install, mount
from camshaft.server.server import Server
from camshaft.settings import ConfigError

LIMIT = 60


def application(**settings: Any) -> FastAPI:
    app = FastAPI(openapi_url=None, **settings)

    @app.get("/items/{item}")
    async def read(item: int) -> dict[str, int]:
        return {"item": item}

    return app


class Wrapper:
    """Somebody's ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def loaded(app: Any, **settings: Any) -> Config:
    config = Config(app, log_config=None, **settings)
    config.load()
    return config


def test_the_server_calls_the_entrance() -> None:
    app = application()
    config = loaded(app)
    assert isinstance(app.router.middleware_stack, FastAPIRouter)
    assert config.fastapi_mounted is not None
    assert config.fastapi_mounted.router is app.router.middleware_stack
    assert type(config.loaded_app).__name__ == "FastAPIEntrance"


def test_asgi_keeps_the_application() -> None:
    app = application()
    config = loaded(app, fastapi="asgi")
    assert config.loaded_app is app
    assert isinstance(app.router.middleware_stack, FastAPIRouter)


def test_off_changes_nothing() -> None:
    app = application()
    stack = app.router.middleware_stack
    config = loaded(app, fastapi="off")
    assert config.loaded_app is app and config.fastapi_mounted is None
    assert app.router.middleware_stack == stack


def test_factories_and_middleware_around_an_application() -> None:
    app = application()
    config = loaded(lambda: app, factory=True)
    assert config.fastapi_mounted is not None
    wrapper = Wrapper(application())
    config = loaded(wrapper)
    assert config.loaded_app is wrapper and config.fastapi_mounted is not None
    assert isinstance(wrapper.app.router.middleware_stack, FastAPIRouter)


def test_a_second_router_is_not_put_before_the_first() -> None:
    app = application()
    first = install(app)
    assert install(app, "asgi") is first
    assert mount(app).compiler().entries[0].plan is not None


def test_values_of_the_setting() -> None:
    with pytest.raises(ConfigError, match="--fastapi sometimes: one of off, asgi, native, strict"):
        Config(application(), fastapi="sometimes")


def test_an_unusual_router_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    app = application()
    app.router = object()  # type: ignore[assignment]
    config = loaded(app)
    assert config.loaded_app is app and config.fastapi_mounted is None
    assert "FastAPI answers by itself" in caplog.text


def test_without_fastapi_nothing_of_it_is_imported() -> None:
    code = """
import sys
from camshaft.config import Config

async def app(scope, receive, send): ...

Config(app, log_config=None).load()
named = ("fastapi", "starlette", "pydantic", "camshaft.fastapi.mount")
assert not set(named) & set(sys.modules), set(named) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@contextlib.asynccontextmanager
async def served(app: Any, **settings: Any) -> AsyncIterator[Callable[[str], Any]]:
    """Serve on a free port; what is yielded gets a path's status and body."""
    server = Server(Config(app, port=0, log_config=None, **settings))
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(LIMIT):
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
        if serving.done():
            await serving
        port = server.servers[0].sockets[0].getsockname()[1]  # type: ignore[attr-defined]

        def ask(path: str) -> tuple[int, str]:
            url = f"http://127.0.0.1:{port}{path}"
            try:
                with urllib.request.urlopen(url, timeout=LIMIT) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        async def get(path: str) -> tuple[int, str]:
            return await asyncio.to_thread(ask, path)

        yield get
    finally:
        server.should_exit = True
        async with asyncio.timeout(LIMIT):
            await serving


def test_the_server_says_how_many_routes_are_native(caplog: pytest.LogCaptureFixture) -> None:
    import fastapi

    caplog.set_level(logging.INFO, "uvicorn.error")
    app = application()

    @app.get("/stream")
    async def stream() -> AsyncIterator[int]:
        yield 1

    async def started(app: FastAPI) -> None:
        # Routes that the start-up adds are counted.
        app.get("/late")(stream)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await started(app)
        yield

    app.router.lifespan_context = lifespan

    async def main() -> None:
        async with served(app) as get:
            assert await get("/items/3") == (200, '{"item":3}')
            assert (await get("/items/x"))[0] == 422
            assert (await get("/late")) == (200, "1\n")

    asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records]
    assert f"FastAPI {fastapi.__version__}: 1 of 3 routes native" in lines
    router = app.router.middleware_stack
    assert isinstance(router, FastAPIRouter)
    assert router.native_count >= 2 and router.replayed_count >= 1
    assert router.fallback_count == 1


def test_applications_that_are_mounted_have_routers(caplog: pytest.LogCaptureFixture) -> None:
    """Their routes are native behind the middleware, beside those of the one around them."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    app, inner, innermost, plain = (application() for _ in range(4))
    inner.mount("/deeper", Wrapper(innermost))
    inner.mount("/deeper-again", innermost)
    app.mount("/inner", inner)
    app.mount("/plain", plain.router.middleware_stack)
    app.mount("/self", app)
    app.get("/items/{item}/again")(app.router.routes[0].endpoint)  # type: ignore[attr-defined]

    async def main() -> None:
        async with served(app) as get:
            for path in ("", "/inner", "/inner/deeper", "/inner/deeper-again", "/plain", "/self"):
                assert await get(path + "/items/3") == (200, '{"item":3}')
                assert (await get(path + "/items/x"))[0] == 422
            assert await get("/items/3/again") == (200, '{"item":3}')
            assert (await get("/inner/nowhere"))[0] == 404

    asyncio.run(main())
    assert any(": 4 of 4 routes native" in record.getMessage() for record in caplog.records)
    counts = []
    for each in (app, inner, innermost):
        router = each.router.middleware_stack
        assert isinstance(router, FastAPIRouter)
        counts.append((router.native_count, router.replayed_count))
    assert counts == [(5, 2), (2, 1), (4, 2)]
    assert not isinstance(plain.router.middleware_stack, FastAPIRouter)


def test_metrics_count_the_requests() -> None:
    app = application(routes=[])

    async def main() -> str:
        async with served(app, metrics="/metrics") as get:
            await get("/items/1")
            await get("/items/2")
            await get("/nowhere")
            text: str = (await get("/metrics"))[1]
            return text

    lines = asyncio.run(main()).splitlines()
    counts = {
        line.partition('way="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("camshaft_fastapi_requests_total{")
    }
    assert counts == {"native": 2.0, "replayed": 0.0, "fallback": 1.0}


def test_metrics_of_another_application() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def main() -> str:
        async with served(app, metrics="/metrics", lifespan="off") as get:
            text: str = (await get("/metrics"))[1]
            return text

    text = asyncio.run(main())
    assert "camshaft_responses" in text and "camshaft_fastapi" not in text


@pytest.mark.parametrize("mode", ["off", "asgi", "native", "strict"])
def test_answers_are_the_same_in_every_mode(mode: str) -> None:
    app = application()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    router = APIRouter()

    @router.get("/text")
    def text() -> str:
        return "x" * 100

    app.include_router(router, prefix="/in")

    async def main() -> list[tuple[int, str]]:
        async with served(app, fastapi=mode) as get:
            return [await get(path) for path in ("/items/4", "/items/x", "/in/text", "/nowhere")]

    found = asyncio.run(main())
    assert [status for status, _ in found] == [200, 422, 200, 404]
    assert found[0][1] == '{"item":4}' and found[2][1] == '"' + "x" * 100 + '"'


def test_a_stack_that_is_replaced_is_gone_through() -> None:
    app = application()
    router = install(app)
    entrance = router.entrance()

    class Marking(Wrapper):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def mark(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-marked", b"1"))
                await send(message)

            await self.app(scope, receive, mark)

    # Wrapped: the client takes for ASGI 2 what is no coroutine function.
    with TestClient(Wrapper(entrance)) as client:
        assert "x-marked" not in client.get("/items/7").headers
        app.middleware_stack = Marking(app.middleware_stack)
        assert client.get("/items/7").headers["x-marked"] == "1"
        app.root_path = "/api"
        assert client.get("/items/7").headers["x-marked"] == "1"
    assert router.native_count == 3


def test_under_the_test_client() -> None:
    app = application()
    router = install(app)
    with TestClient(app) as client:
        assert client.get("/items/7").json() == {"item": 7}
        app.get("/added")(lambda: "added")
        assert client.get("/added").json() == "added"
        app.dependency_overrides = {print: print}
        assert client.get("/items/7").json() == {"item": 7}
    assert router.native_count == 2 and router.fallback_count == 1
