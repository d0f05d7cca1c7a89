# SPDX-License-Identifier: MIT
"""What has changed among the files that --reload watches: by watchfiles, else by looking at each.

Which files count is uvicorn's rule: Python's, but for hidden ones and editors' own, and what
--reload-include and --reload-exclude say. What differs: the rule is the same without watchfiles,
and a file that is new or gone counts there too, because an import may have waited for it.
"""

import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from camshaft.reload.watched import Watched

_INCLUDES = ("*.py",)
_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")

# Directories that are not walked through without watchfiles, unless they are named: looking at some
# thousand installed files four times a second would take a processor.
_UNWALKED = frozenset(("__pycache__", "node_modules"))

# Milliseconds for which watchfiles waits for a change before it says that there is none.
_PATIENCE = 100

_Stamp = tuple[int, int, int]


class Changes(Protocol):
    """What has changed since it was last asked."""

    name: str

    def begin(self) -> None:
        """Begin to watch: what changes from now on is a change."""

    def look(self) -> list[Path]:
        """Return the files that have changed; it may wait a moment for some."""

    def forget(self) -> None:
        """Take the files as they are now for unchanged, where that can be."""


class FileFilter:
    """Whether a change of a file counts."""

    def __init__(self, watched: Watched) -> None:
        self.includes = [each for each in _INCLUDES if each not in watched.excludes]
        # Path.match takes no empty pattern.
        self.includes += [each for each in watched.includes if each]
        self.excludes = [each for each in _EXCLUDES if each not in watched.includes]
        self.excludes += [each for each in watched.excludes if not _is_directory(each)]
        self.excludes = [each for each in self.excludes if each]
        self.excluded = watched.excluded

    def __call__(self, path: Path) -> bool:
        named = [pattern for pattern in self.includes if path.match(pattern)]
        # A file that is named by its path is not excluded by a pattern.
        if any(str(path).endswith(pattern) for pattern in named):
            return True
        return (
            bool(named)
            and not any(directory in path.parents for directory in self.excluded)
            and not any(path.match(pattern) for pattern in self.excludes)
        )


def _is_directory(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:
        return False


class StatChanges:
    """By the time, size and inode of every file, which are read anew for each look."""

    name = "StatReload"

    def __init__(self, watched: Watched) -> None:
        self._directories = watched.directories
        self._counts = FileFilter(watched)
        self._stamps: dict[Path, _Stamp] = {}

    def begin(self) -> None:
        self.forget()

    def look(self) -> list[Path]:
        before, self._stamps = self._stamps, dict(self._read())
        return sorted({path for path, _ in before.items() ^ self._stamps.items()})

    def forget(self) -> None:
        self._stamps = dict(self._read())

    def _read(self) -> Iterator[tuple[Path, _Stamp]]:
        for directory in self._directories:
            for path in self._walk(directory):
                try:
                    found = path.stat()
                except OSError:
                    # It has just gone, or is a link to nothing.
                    continue
                yield path, (found.st_mtime_ns, found.st_size, found.st_ino)

    def _walk(self, top: Path) -> Iterator[Path]:
        hidden = ".*" in self._counts.excludes
        for directory, names, files in os.walk(top):
            here = Path(directory)
            # Whatever is left in the list is walked through.
            names[:] = [
                name
                for name in names
                if name not in _UNWALKED
                and not (hidden and name.startswith("."))
                and here / name not in self._counts.excluded
                and not (here / name / "pyvenv.cfg").exists()
            ]
            for name in files:
                path = here / name
                if self._counts(path):
                    yield path


class WatchFilesChanges:
    """By watchfiles, which the kernel tells of changes. `stop`: when it is set, a look ends."""

    name = "WatchFiles"

    def __init__(self, watched: Watched, stop: threading.Event) -> None:
        # Here, because it is an optional dependency.
        import watchfiles

        self._counts = FileFilter(watched)
        self.watcher: Any = watchfiles.watch(
            *watched.directories,
            # The filter is applied here, to paths.
            watch_filter=None,
            stop_event=stop,
            rust_timeout=_PATIENCE,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )

    def begin(self) -> None:
        # It is the first question that has it watch.
        next(self.watcher, None)

    def look(self) -> list[Path]:
        changed = {Path(path) for _, path in next(self.watcher, ())}
        return sorted(path for path in changed if self._counts(path))

    def forget(self) -> None:
        """Nothing: a change while the server was starting is one, however it got in."""


def changes_of(watched: Watched, stop: threading.Event) -> Changes:
    """Return what tells of changes in what is watched: watchfiles if that is installed."""
    if importlib.util.find_spec("watchfiles") is not None:
        return WatchFilesChanges(watched, stop)
    return StatChanges(watched)
