# SPDX-License-Identifier: MIT
"""Which directories --reload watches: what its options name, resolved as uvicorn does."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger("uvicorn.error")


@dataclass
class Watched:
    """Absolute directories to watch, none within another, and patterns of names in them."""

    directories: list[Path] = field(default_factory=list)
    excluded: list[Path] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    excludes: list[str] = field(default_factory=list)


def watched(
    directories: list[str] | str | None,
    includes: list[str] | str | None,
    excludes: list[str] | str | None,
) -> Watched:
    """Return what to watch, the current directory if nothing else is named.

    A pattern that is a directory, or that matches some in the current one, names these too.
    """
    named = _listed(directories)
    include = _listed(includes)
    exclude = _listed(excludes)
    excluded = _outermost(_matching(exclude))
    found = [
        directory
        for directory in _outermost([*map(Path, named), *_matching(include)])
        if not any(directory.is_relative_to(other) for other in excluded)
    ]
    if not found:
        if named:
            logger.warning(
                "Provided reload directories %s did not contain valid directories, "
                "watching current working directory.",
                named,
            )
        found = [Path.cwd()]
    logger.info(
        "Will watch for changes in these directories: %s",
        sorted(str(directory) for directory in found),
    )
    include = [pattern for pattern in include if pattern not in exclude]
    return Watched(found, excluded, include, exclude)


def _listed(given: list[str] | str | None) -> list[str]:
    """Return an option's values, each once."""
    values = [given] if isinstance(given, str) else given or []
    return list(dict.fromkeys(values))


def _matching(patterns: Iterable[str]) -> list[Path]:
    """Return the directories that patterns name."""
    found = []
    for pattern in patterns:
        if _is_directory(Path(pattern)):
            found.append(Path(pattern))
        # What ".*" is meant for is hidden files; an absolute pattern is one path.
        elif pattern != ".*" and not Path(pattern).is_absolute():
            try:
                found += filter(_is_directory, Path.cwd().glob(pattern))
            except OSError:
                # A pattern may be too long for a path.
                continue
    return found


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return those that are directories, absolute, and in none of the others."""
    found = {path.resolve() for path in paths if _is_directory(path)}
    return sorted(path for path in found if found.isdisjoint(path.parents))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
