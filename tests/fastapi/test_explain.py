# SPDX-License-Identifier: MIT
"""`camshaft explain`: what it says of an application."""

import json
import pathlib
from typing import Annotated, Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI, Form, Request
from fastapi.routing import APIRoute
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.staticfiles import StaticFiles

from camshaft.cli import main
from camshaft.fastapi.explain import as_text, explain
from camshaft.fastapi.find import find_application

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "boardgames"

SOURCE = """
from fastapi import FastAPI

app = FastAPI()
not_one = lambda scope, receive, send: None

@app.get("/items/{item}")
def read(item: int): ...

@app.get("/lines")
def lines():
    yield 1

def create():
    return app
"""


def run(tmp_path: pathlib.Path, *arguments: str) -> Any:
    (tmp_path / "explained.py").write_text(SOURCE)
    return CliRunner().invoke(main, ["explain", *arguments, "--app-dir", str(tmp_path)])


@pytest.fixture(autouse=True)
def imports(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("explained", "app")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_table(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "explained:app")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].endswith(": 1 of 2 routes native") and lines[0].startswith("FastAPI ")
    assert "native   GET       /items/{item}" in lines
    (stream,) = [line for line in lines if "/lines" in line]
    assert stream.startswith("fastapi  GET") and stream.endswith("its response is a stream.")
    assert any(line.startswith("other    GET,HEAD  /docs") for line in lines)


def test_json(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "explained:create", "--factory", "--json")
    found = json.loads(done.output)
    assert (found["native"], found["operations"]) == (1, 2)
    assert found["before_middleware"] is True
    *_, read, stream = found["routes"]
    assert read == {
        "mode": "native",
        "methods": ["GET"],
        "path": "/items/{item}",
        "endpoint": "explained.read",
        "reason": "",
        "advice": "",
    }
    reason = "the endpoint is a generator: its response is a stream"
    assert (stream["mode"], stream["reason"]) == ("fastapi", reason)


def test_what_is_no_application(tmp_path: pathlib.Path) -> None:
    for name, says in (("not_one", "no FastAPI application"), ("missing", "not found")):
        done = run(tmp_path, f"explained:{name}")
        assert done.exit_code == 3
        assert done.output.startswith("Error: ") and says in done.output
        assert done.output.count("\n") == 1


def test_advice_is_below_its_route() -> None:
    class Timed(APIRoute):
        def get_route_handler(self) -> Any:
            handler = super().get_route_handler()

            async def timed(request: Request) -> Any:
                return await handler(request)

            return timed

    async def endpoint() -> None: ...

    app = FastAPI(openapi_url=None)
    app.router.route_class = Timed
    app.get("/x")(endpoint)
    lines = as_text(explain(app)).splitlines()
    assert "its handler is" in lines[-2]
    assert lines[-1].strip().startswith("To have it native: put what that does")


def test_mounted_applications_are_looked_into() -> None:
    async def endpoint() -> None: ...

    app, inner = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
    app.get("/before")(endpoint)
    inner.get("/x")(endpoint)
    inner.mount("/again", app)  # a circle
    app.mount("/inner", inner)
    app.mount("/files", StaticFiles(directory="."))
    app.get("/after")(endpoint)
    found = explain(app)
    assert (found["native"], found["operations"]) == (3, 3)
    rows = [(route["mode"], route["path"]) for route in found["routes"]]
    assert rows == [
        ("native", "/before"),
        ("other", "/inner"),
        ("native", "/inner/x"),
        ("other", "/inner/again"),
        ("other", "/files"),
        ("native", "/after"),
    ]
    reasons = [found["routes"][index]["reason"] for index in (1, 4)]
    assert "whose own routes follow" in reasons[0] and "StaticFiles" in reasons[1]


def test_middleware_is_named() -> None:
    app = FastAPI(openapi_url=None)
    app.add_middleware(BaseHTTPMiddleware)

    @app.get("/x")
    async def endpoint() -> None: ...

    found = explain(app)
    assert not found["before_middleware"] and "BaseHTTPMiddleware" in found["middleware"]
    assert "BaseHTTPMiddleware" in as_text(found)


def test_all_of_the_board_games_is_native_but_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    from app.main import app  # type: ignore[import-not-found]

    found = explain(app)
    assert found["operations"] > 30
    others = [route for route in found["routes"] if route["mode"] == "fastapi"]
    assert all("stream" in route["reason"] for route in others)
    assert found["native"] == found["operations"] - len(others)


def test_applications_inside_of_others_are_found() -> None:
    class Wrapper:
        def __init__(self, app: object) -> None:
            self.app = app

    app = FastAPI()
    assert find_application(app) is app
    assert find_application(Wrapper(Wrapper(app))) is app
    assert find_application(Wrapper(None)) is None
    assert find_application(lambda: None) is None
    loop = Wrapper(None)
    loop.app = loop
    assert find_application(loop) is None


def test_forms_and_limits_are_native() -> None:
    async def endpoint(name: Annotated[str, Form()]) -> None: ...

    app = FastAPI(openapi_url=None, max_body_size=5, form_limits={"max_fields": 1})
    app.post("/x")(endpoint)
    (route,) = explain(app)["routes"]
    assert (route["mode"], route["reason"]) == ("native", "")
