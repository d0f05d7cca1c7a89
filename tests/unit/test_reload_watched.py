# SPDX-License-Identifier: MIT
"""Which directories are watched for --reload."""

import logging
from pathlib import Path

import pytest

from camshaft.config import Config
from camshaft.reload.watched import watched


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("app/src", "app_first/src", "lib", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "main.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def names(tree: Path, directories: list[Path]) -> list[str]:
    return sorted(str(directory.relative_to(tree)) for directory in directories)


@pytest.mark.parametrize(
    ("directories", "includes", "excludes", "expected"),
    [
        (None, None, None, ["."]),
        ("app", None, None, ["app"]),
        (["app", "app/src", "lib", "lib"], None, None, ["app", "lib"]),
        (["app", "."], None, None, ["."]),
        (["app"], ["lib"], None, ["app", "lib"]),
        (None, ["*/src", "*.py"], None, ["app/src", "app_first/src"]),
        (None, ["*/src"], ["app"], ["app_first/src"]),
        (["app", "lib"], None, ["lib"], ["app"]),
        (["app"], [".*"], [".*"], ["app"]),
        (["nowhere"], None, None, ["."]),
        pytest.param(["app"], ["x" * 5000], None, ["app"], id="too long"),
    ],
)
def test_directories(
    tree: Path,
    directories: list[str] | str | None,
    includes: list[str] | None,
    excludes: list[str] | None,
    expected: list[str],
) -> None:
    assert names(tree, watched(directories, includes, excludes).directories) == expected


def test_patterns(tree: Path) -> None:
    found = watched(None, ["*.py", "*.html", "*.py"], ["*.html", "lib"])
    assert (found.includes, found.excludes) == (["*.py"], ["*.html", "lib"])
    assert names(tree, found.excluded) == ["lib"]


def test_lines(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    watched(["nowhere"], None, None)
    assert [record.getMessage() for record in caplog.records] == [
        "Provided reload directories ['nowhere'] did not contain valid directories, "
        "watching current working directory.",
        f"Will watch for changes in these directories: ['{tree}']",
    ]


def test_config(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config("main:app", reload=True, reload_dirs="app", log_config=None)
    assert config.should_reload
    assert config.use_subprocess
    assert config.reload_dirs == [tree / "app"]
    config = Config(lambda: None, reload=True, reload_dirs="app", log_config=None)
    assert not config.should_reload
    assert config.reload_dirs == []
    assert "Current configuration will not reload" in caplog.text
    Config("main:app", reload=True, workers=2, log_config=None)
    assert '"workers" flag is ignored when reloading is enabled.' in caplog.text
