# SPDX-License-Identifier: MIT
"""Import strings."""

import os.path
import sys
from pathlib import Path

import pytest

from camshaft.importer import ImportStringError, import_from_string


def test_attribute_of_a_module() -> None:
    assert import_from_string("os.path:join") is os.path.join


def test_attribute_of_an_attribute() -> None:
    assert import_from_string("sys:flags.dev_mode") == sys.flags.dev_mode


@pytest.mark.parametrize("text", ["", ":", "os", "os:", ":path"])
def test_malformed(text: str) -> None:
    with pytest.raises(ImportStringError, match=r'must be in format "<module>:<attribute>"'):
        import_from_string(text)


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("", "main:app"),
        ("os", "os:app"),
        (":path", "main:path"),
        ("main.py", "main:app"),
        ("./main.py", "main:app"),
        ("src/app/main.py", "src.app.main:app"),
        ("src/", "src:app"),
    ],
)
def test_malformed_has_an_example(text: str, example: str) -> None:
    with pytest.raises(ImportStringError) as raised:
        import_from_string(text)
    assert str(raised.value).endswith(f'For example: "{example}".')


@pytest.mark.parametrize(
    "module", ["no_such_module", "no_such_package.module", "os.path.no", ".os", ".."]
)
def test_no_such_module(module: str) -> None:
    with pytest.raises(ImportStringError, match=f'Could not import module "{module}"'):
        import_from_string(f"{module}:app")


@pytest.mark.parametrize(
    ("given", "module", "option"),
    [
        ("absent.py", "absent", ""),
        ("./absent.py", "absent", ""),
        ("src/absent", "absent", " with --app-dir src"),
        ("/srv/app/absent.py", "absent", " with --app-dir /srv/app"),
    ],
)
def test_a_file_in_place_of_a_module(given: str, module: str, option: str) -> None:
    with pytest.raises(ImportStringError) as raised:
        import_from_string(f"{given}:app")
    assert str(raised.value) == (
        f'Could not import module "{given}". It is a file\'s name; '
        f'the module\'s is given{option} as "{module}:app".'
    )


def test_no_such_attribute() -> None:
    with pytest.raises(ImportStringError, match=r'Attribute "path\.nope" not found in module "os"'):
        import_from_string("os:path.nope")


def test_a_module_that_cannot_import_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_from_string("needs_more:app")


def test_a_module_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_at_import.py").write_text("raise ZeroDivisionError('here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError, match="here"):
        import_from_string("raises_at_import:app")
