# SPDX-License-Identifier: MIT
"""A package named httptools that gives out camshaft.http, for tests made for httptools."""

from pathlib import Path

_HTTPTOOLS = '''\
"""Gives out camshaft.http under httptools' name; made by camshaft's tests/peers/httptools.py."""

from camshaft.http import *
'''


def disguise(directory: Path) -> None:
    """Write the package into a directory of the path."""
    package = directory / "httptools"
    package.mkdir()
    (package / "__init__.py").write_text(_HTTPTOOLS)
