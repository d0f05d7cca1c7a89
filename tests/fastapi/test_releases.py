# SPDX-License-Identifier: MIT
"""What is known of FastAPI's and Starlette's sources, and what follows where they are not."""

import functools
import importlib
import importlib.metadata
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Depends, FastAPI, routing
from fastapi.dependencies import utils

from camshaft.fastapi import releases
from camshaft.fastapi.compiler import Compiler, count_routes
from camshaft.fastapi.describe import describe
from camshaft.fastapi.plan import Table
from camshaft.fastapi.reasons import NotUnderstood
from camshaft.fastapi.releases import ABSENT, STAGES, digests_of_source, judge, known
from camshaft.fastapi.trust import Trust, decide

SOURCE = '''
import functools

def plain(a: int, b: "str" = "x") -> int:
    """Text."""
    c: int = a
    return c

class Box(object):
    size: int = 1

    @functools.cache
    def open(self, wide):
        if wide:
            return [f"{wide!r:>3}", (1, 2)[:1]]
        return None

    async def close(self): ...
'''
NAMES = ("plain", "Box", "Box.open", "Box.close", "Box.missing")


def test_the_current_release_and_nine_before_it_are_known() -> None:
    assert len(known().versions["fastapi"]) >= 10
    for name in ("fastapi", "starlette"):
        assert importlib.metadata.version(name) in known().versions[name]


def test_what_is_installed_is_known_and_untouched() -> None:
    verdict = judge()
    assert verdict.unknown == {} and verdict.patched == {}
    assert verdict.versions == f"FastAPI {fastapi.__version__}, Starlette " + (
        importlib.metadata.version("starlette")
    )
    assert decide(strict=False) == Trust()


def test_functions_have_the_same_digests_on_every_python() -> None:
    """The known ones were made by another Python than at least some of those that run this."""
    checked = 0
    for name in releases.modules():
        module = importlib.import_module(name)
        names = [
            item.partition(":")[2]
            for items in STAGES.values()
            for item in items
            if item.partition(":")[0] == name
        ]
        source = pathlib.Path(str(module.__file__)).read_text("utf-8")
        for function, digest in digests_of_source(source, names).items():
            assert digest in known().functions[f"{name}:{function}"]
            assert digest != ABSENT
            checked += 1
    assert checked > 90


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Text."""', '"""Other words."""'),
        ("a: int, b", "a, b"),
        ("-> int", "-> 'float'"),
        ("c: int = a", "c: str = a"),
        ("if wide:", "if wide:  # indeed"),
        ("(object)", " ( object ) "),
        ("import functools", "import functools, os"),
    ],
)
def test_what_does_not_change_a_digest(old: str, new: str) -> None:
    assert old in SOURCE
    assert digests_of_source(SOURCE.replace(old, new), NAMES) == digests_of_source(SOURCE, NAMES)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('b: "str" = "x"', 'b: "str" = "y"', {"plain"}),
        ("return c", "return a", {"plain"}),
        ("def plain(a: int", "async def plain(a: int", {"plain"}),
        ("size: int = 1", "size: int = 2", {"Box"}),
        ("    @functools.cache\n", "", {"Box", "Box.open"}),
        ("{wide!r:>3}", "{wide!r:>4}", {"Box", "Box.open"}),
        ("{wide!r:>3}", "{wide!s:>3}", {"Box", "Box.open"}),
        ("[:1]", "[1:]", {"Box", "Box.open"}),
        ("(object)", "(dict)", {"Box"}),
        ("    async def close", "    async def missing", {"Box", "Box.close", "Box.missing"}),
    ],
)
def test_what_changes_a_digest(old: str, new: str, changed: set[str]) -> None:
    assert old in SOURCE
    before = digests_of_source(SOURCE, NAMES)
    after = digests_of_source(SOURCE.replace(old, new), NAMES)
    assert {name for name in NAMES if before[name] != after[name]} == changed


def test_names_that_are_not_there_and_those_behind_conditions() -> None:
    found = digests_of_source(
        "try:\n  def f(): ...\nexcept E:\n  pass\nif x:\n  def g(): 1\n", "fgh"
    )
    assert found["f"] != ABSENT != found["g"] and found["h"] == ABSENT


def application() -> FastAPI:
    async def endpoint() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def with_generator(value: Annotated[int, Depends(generator)]) -> None: ...

    app = FastAPI(openapi_url=None)
    app.get("/plain")(endpoint)
    app.get("/generator")(with_generator)
    return app


def natives(trust: Trust) -> list[str]:
    table = describe(application(), trust=trust)
    return [entry.path for entry in table.entries if entry.plan is not None]


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call with an item to make it one that no comparison has been made with."""

    def forget(item: str) -> None:
        module = releases.path_of(item.partition(":")[0])
        files = {**known().files, module: []}
        functions = {**known().functions, item: []}
        less = releases.Known(known().versions, files, functions)
        monkeypatch.setattr(releases, "known", lambda: less)

    return forget


def test_a_changed_file_with_known_functions_is_known(
    unknown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    less = releases.Known(known().versions, {}, known().functions)
    monkeypatch.setattr(releases, "known", lambda: less)
    assert judge().unknown == {}


def test_an_unknown_handler_takes_all_plans(unknown: Any) -> None:
    unknown("fastapi.routing:get_request_handler")
    trust = decide(strict=False)
    assert trust.refusal is not None
    assert "fastapi.routing.get_request_handler" in trust.refusal.reason
    assert fastapi.__version__ in trust.refusal.reason
    assert natives(trust) == []


def test_an_unknown_way_of_generators_takes_their_plans_alone(unknown: Any) -> None:
    unknown("fastapi.dependencies.utils:_solve_generator")
    trust = decide(strict=False)
    assert trust.refusal is None and trust.whole
    assert natives(trust) == ["/plain"]


@pytest.mark.parametrize(
    "item",
    [
        "starlette.middleware.errors:ServerErrorMiddleware",
        "fastapi.routing:request_response",  # whose exit stacks are made anew before it
    ],
)
def test_an_unknown_entry_keeps_requests_behind_the_middleware(unknown: Any, item: str) -> None:
    unknown(item)
    trust = decide(strict=False)
    assert trust.refusal is None and not trust.whole
    assert natives(trust) == ["/plain", "/generator"]
    assert describe(application(), trust=Trust()).whole
    assert not describe(application(), trust=trust).whole


def replaced(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, by: Any) -> NotUnderstood:
    monkeypatch.setattr(where, name, by)
    refusal = decide(strict=False).refusal
    assert refusal is not None
    return refusal


def test_what_is_replaced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = utils.solve_dependencies

    @functools.wraps(original)
    async def watched(**arguments: Any) -> Any:
        return await original(**arguments)

    refusal = replaced(monkeypatch, utils, "solve_dependencies", watched)
    assert "fastapi.dependencies.utils.solve_dependencies" in refusal.reason
    assert "test_releases.py" in refusal.reason


def test_a_method_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(self: Any, scope: Any, receive: Any, send: Any) -> None: ...

    assert "APIRoute.handle" in replaced(monkeypatch, routing.APIRoute, "handle", handle).reason


def test_a_member_of_a_class_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi._compat import ModelField

    def validate(self: Any, value: Any, *rest: Any, **more: Any) -> Any: ...

    assert "ModelField" in replaced(monkeypatch, ModelField, "validate", validate).reason


def test_an_import_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def solve(**arguments: Any) -> Any: ...

    refusal = replaced(monkeypatch, routing, "solve_dependencies", solve)
    assert "solve_dependencies" in refusal.reason


def test_a_class_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    import starlette.requests

    class Request(starlette.requests.Request): ...

    assert "Request" in replaced(monkeypatch, starlette.requests, "Request", Request).reason


def test_a_replaced_stack_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry's contributed package does it."""
    original = FastAPI.build_middleware_stack

    def instrumented(self: FastAPI) -> Any:
        return original(self)

    monkeypatch.setattr(FastAPI, "build_middleware_stack", instrumented)
    trust = decide(strict=False)
    assert trust.refusal is None and not trust.whole
    assert natives(trust) == ["/plain", "/generator"]


def test_without_sources_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "__file__", "/nowhere/routing.pyc")
    assert decide(strict=False).refusal is not None


def test_a_compiler_looks_ahead_and_notices_changes() -> None:
    app = application()
    compiler = Compiler(app, "native")
    looked = compiler.look()
    assert count_routes(looked) == (2, 2)
    assert compiler() is looked
    assert compiler() is not looked
    looked = compiler.look()

    async def more() -> None: ...

    app.get("/more")(more)
    assert count_routes(compiler()) == (3, 3)


def test_a_compiler_keeps_to_the_mode() -> None:
    assert Compiler(application(), "native")().whole
    assert not Compiler(application(), "asgi")().whole


def test_a_compiler_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise LookupError("no")

    app = application()
    app.router.routes = Odd(app.router.routes)
    table: Table = Compiler(app, "native")()
    (entry,) = table.entries
    assert entry.pattern is None and "LookupError" in entry.reason


def test_a_release_that_lacks_a_name_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "camshaft.fastapi.describe", None)
    (entry,) = Compiler(application(), "native")().entries
    assert "cannot be described" in entry.reason


TOOL = pathlib.Path(__file__).parents[2] / "tools" / "fastapi_release.py"


def tool() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("fastapi_release", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(name: str) -> dict[str, bytes]:
    package = pathlib.Path(str(importlib.import_module(name).__file__)).parent
    return {
        str(path.relative_to(package.parent)): path.read_bytes() for path in package.rglob("*.py")
    }


def test_the_tool_compares_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    release = tool().Release("fastapi", "9.9.9", sources("fastapi"))
    assert not tool().compare(release, known())
    assert "yield: 3 of 3 known" in capsys.readouterr().out
    changed = dict(release.files)
    path = "fastapi/dependencies/models.py"
    changed[path] = changed[path].replace(
        b"    use_cache: bool = True\n", b"    use_cache: bool = True\n    lazy: bool = False\n"
    )
    path = "fastapi/concurrency.py"
    changed[path] = changed[path].replace(b"CapacityLimiter(1)", b"CapacityLimiter(2)")
    release = tool().Release("fastapi", "9.9.9", changed)
    assert tool().compare(release, known())
    out = capsys.readouterr().out
    assert "yield: 2 of 3 known, where a self-check is not enough" in out
    assert "fastapi.concurrency:contextmanager_in_threadpool: " in out
    assert "Dependant has what the schema guard does not know: lazy" in out


def test_the_tool_adds_a_release_but_for_stages() -> None:
    changed = sources("fastapi")
    path = "fastapi/concurrency.py"
    changed[path] = changed[path].replace(b"CapacityLimiter(1)", b"CapacityLimiter(2)")
    release = tool().Release("fastapi", "9.9.9", changed)
    item = "fastapi.concurrency:contextmanager_in_threadpool"

    def added(but: list[str]) -> releases.Known:
        into = releases.Known({}, {}, {})
        tool().add(release, into, but)
        return into

    whole = added([])
    assert whole.versions == {"fastapi": ["9.9.9"]}
    assert len(whole.functions[item]) == 1 and len(whole.files[path]) == 1
    partly = added(["yield"])
    assert item not in partly.functions and path not in partly.files
    assert "fastapi/routing.py" in partly.files


def test_the_tool_refuses_what_is_no_release(tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other-1.0.tar.gz"
    other.write_bytes(b"")
    done = subprocess.run(
        [sys.executable, str(TOOL), str(other)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "other-1.0.tar.gz" in done.stderr
