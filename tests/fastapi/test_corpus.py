# SPDX-License-Identifier: MIT
"""The self-check for releases that are not known, and what follows from it."""

import logging
from typing import Any

import pytest
from fastapi import FastAPI

from camshaft.fastapi import corpus, releases
from camshaft.fastapi.describe import describe
from camshaft.fastapi.reasons import NotUnderstood
from camshaft.fastapi.trust import Trust, decide

UNKNOWN = "fastapi.dependencies.utils:request_params_to_args"


@pytest.fixture(autouse=True)
def anew() -> Any:
    """Without what another test has found out."""
    corpus.first_difference.cache_clear()
    yield
    corpus.first_difference.cache_clear()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Any:
    def forget(item: str) -> None:
        known = releases.known()
        files = {**known.files, releases.path_of(item.partition(":")[0]): []}
        less = releases.Known(known.versions, files, {**known.functions, item: []})
        monkeypatch.setattr(releases, "known", lambda: less)

    return forget


def test_there_is_no_difference() -> None:
    assert corpus.first_difference() is None
    assert corpus.first_difference(generators=False) is None


def test_it_asks_for_all_that_plans_do() -> None:
    table = describe(corpus._application([]))
    planned = [entry for entry in table.entries if entry.plan is not None]
    assert len(planned) >= 20
    paths = {target.partition("?")[0] for _, target, _, _ in corpus._REQUESTS}
    for entry in planned:
        assert any(entry.regex.match(path) for path in paths), entry.path
    nodes = [node for entry in planned if entry.plan for node in entry.plan.nodes]
    assert {node.kind for node in nodes} == set(type(nodes[0].kind))
    injected = {kind for node in nodes for kind, _ in node.injected}
    assert len(injected) >= 4


@pytest.mark.parametrize(
    ("find", "put", "request_"),
    [
        ("return [number, fraction, rest]", "return [number + 1, fraction, rest]", "GET /path/"),
        ('response.headers["X-One"] = "1"', 'response.headers["X-One"] = "2"', "GET /response"),
        ('log.append("leave file")', "pass", "GET /generators/well"),
        ("return [name, numbers, q]", "return [name, numbers]", "POST /form"),
        ("await upload.read(2)", "await upload.read(1)", "POST /files"),
        ("status_code=418", "status_code=419", "GET /generators/trouble"),
    ],
)
def test_a_difference_is_found(
    find: str, put: str, request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an application that is another one where it has plans."""
    source = open(corpus.__file__).read()
    assert source.count(find) == 1
    other: dict[str, Any] = {"__name__": "another", "__file__": corpus.__file__}
    exec(compile(source.replace(find, put), corpus.__file__, "exec"), other)
    made = [corpus._application, other["_application"]]
    monkeypatch.setattr(corpus, "_application", lambda log: made.pop(0)(log))
    found = corpus.first_difference()
    assert found is not None and found.startswith(request_)


def test_a_check_that_fails_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(log: list[str]) -> FastAPI:
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(corpus, "_application", fail)
    assert corpus.first_difference() == "TypeError: unexpected keyword"


def test_without_plans_nothing_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Trust(NotUnderstood("none"))
    monkeypatch.setattr(corpus, "Trust", lambda generators: refused)
    found = corpus.first_difference()
    assert found is not None and "no plan" in found


def test_unknown_sources_are_accepted_with_a_line(
    unknown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    unknown(UNKNOWN)
    assert decide(strict=False) == Trust()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "(parameters)" in line and "answer as known ones do" in line


def test_strict_is_for_known_sources_alone(unknown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide(strict=True) == Trust()
    unknown(UNKNOWN)
    monkeypatch.setattr(corpus, "first_difference", None)
    refusal = decide(strict=True).refusal
    assert refusal is not None and "request_params_to_args" in refusal.reason
    assert "strict" in refusal.advice


def test_a_difference_takes_all_plans(unknown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown(UNKNOWN)
    monkeypatch.setattr(corpus, "first_difference", lambda generators: "GET /query")
    refusal = decide(strict=False).refusal
    assert refusal is not None and "GET /query" in refusal.reason


def test_where_answers_do_not_say_enough_they_are_not_asked(
    unknown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "first_difference", None)
    unknown("fastapi.dependencies.utils:_solve_generator")
    trust = decide(strict=False)
    assert trust.refusal is None and trust.generators is not None
