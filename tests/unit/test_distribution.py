# SPDX-License-Identifier: MIT
"""What is installed is what the checkout holds: meson lists every file by hand."""

import subprocess
from pathlib import Path

import pytest

import camshaft
from camshaft import _core

SOURCE = Path(__file__).resolve().parents[2] / "src" / "camshaft"
INSTALLED = Path(camshaft.__file__).parent


def test_every_source_file_is_installed() -> None:
    """A module that src/camshaft/meson.build does not list would be missing from the wheel."""
    if INSTALLED == SOURCE:
        pytest.skip("an editable install reads the checkout itself")
    source = {
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py*") if path.suffix != ".pyc"
    } | {"py.typed"}
    missing = [name for name in sorted(source) if not (INSTALLED / name).exists()]
    assert not missing, f"not in src/camshaft/meson.build: {missing}"


def test_extension_exports_its_init_function_alone() -> None:
    """All other symbols are hidden, so that they cannot clash with another extension's."""
    library = _core.__file__
    symbols = subprocess.run(
        ["nm", "--dynamic", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    names = {line.split()[-1] for line in symbols if line and line.split()[-2] != "w"}
    # Sanitizers add theirs, which begin with two underscores.
    assert {name for name in names if not name.startswith("_")} == {"PyInit__core"}


def test_every_c_file_is_built() -> None:
    """A C source or C test that no meson.build names would be compiled by nobody."""
    root = SOURCE.parents[1]
    forgotten = []
    for directory in (root / "csrc", root / "tests" / "c"):
        for path in directory.rglob("*.c"):
            build = next(
                parent / "meson.build"
                for parent in path.parents
                if (parent / "meson.build").exists()
            )
            if path.stem.removeprefix("test_") not in build.read_text():
                forgotten.append(str(path.relative_to(root)))
    assert not forgotten, f"in no meson.build: {forgotten}"
