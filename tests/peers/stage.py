# SPDX-License-Identifier: MIT
"""A temporary directory in which another project's tests find what they import.

Source distributions come by pip, at the version that is installed, or that
tools/requirements/pins.txt gives, and are kept unpacked in the environment. A package named uvloop
that gives out our loop is written next to them: tests made for uvloop then run on ours. For
uvicorn's, uvicorn_names.py is staged under its name.
"""

import contextlib
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_UVLOOP = '''\
"""Gives out {loop} loops under uvloop's name; made by camshaft's tests/peers/stage.py."""

import asyncio

{imports}
from . import loop as loop

__version__ = "{version}"


class Loop(_Loop):
    pass


loop.Loop = Loop


def new_event_loop():
    return Loop()


def run(main, *, loop_factory=new_event_loop, **options):
    async def checked():
        if not isinstance(asyncio.get_running_loop(), Loop):
            main.close()
            raise TypeError("uvloop.run() uses a non-uvloop event loop")
        return await main

    with asyncio.Runner(loop_factory=loop_factory, **options) as runner:
        return runner.run(checked())


class EventLoopPolicy(_Policy):
    _loop_factory = Loop


def install():
    asyncio.set_event_loop_policy(EventLoopPolicy())
'''

_IMPORTS = {
    "camshaft": "from camshaft import EventLoop as _Loop\n"
    "from camshaft import EventLoopPolicy as _Policy\n",
    "asyncio": "from asyncio import SelectorEventLoop as _Loop\n"
    "from asyncio import DefaultEventLoopPolicy as _Policy\n",
}

# Imported by every Python that has the directory on its path, also those that a test starts. The
# default policy is what asyncio.run() and asyncio.new_event_loop() ask; replacing that, rather than
# the functions, leaves a test its own policy.
_SITE = """\
import asyncio

import camshaft

if hasattr(asyncio, "EventLoop"):
    asyncio.EventLoop = camshaft.EventLoop
for _name in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
    _policy = getattr(asyncio.unix_events, _name, None)
    if _policy is not None:
        _policy._loop_factory = camshaft.EventLoop
        break
else:  # a Python without policies
    asyncio.new_event_loop = asyncio.events.new_event_loop = camshaft.new_event_loop
"""


def version(name: str) -> str:
    """The version of a package that is asked: the installed one, else that which pins.txt gives."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    text = (ROOT / "tools/requirements/pins.txt").read_text()
    found = re.search(rf"^{re.escape(name)}==(\S+)$", text, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise LookupError(f"tools/requirements/pins.txt has no {name}")
    return found[1]


def sdist(name: str) -> Path:
    """The unpacked source distribution of a package at its version; fetched once."""
    wanted = version(name)
    kept = Path(sysconfig.get_path("data")) / "sdists"
    unpacked = kept / f"{name}-{wanted}"
    if unpacked.is_dir():
        return unpacked
    kept.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as directory:
        options = ["--disable-pip-version-check", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, f"{name}=={wanted}"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        (archive,) = Path(directory).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            # The filter came to the older Pythons with a patch release.
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            opened.extractall(directory, **safe)
        (Path(directory) / archive.name.removesuffix(".tar.gz")).rename(unpacked)
    return unpacked


def disguise(directory: Path, loop: str) -> None:
    """Write a package uvloop that gives `loop`'s ("camshaft" or "asyncio") loops."""
    package = directory / "uvloop"
    package.mkdir()
    (package / "__init__.py").write_text(
        _UVLOOP.format(loop=loop, imports=_IMPORTS[loop], version=version("uvloop"))
    )
    (package / "loop.py").write_text('"""The name under which uvloop has its Loop."""\n')
    (package / "_testbase.py").symlink_to(sdist("uvloop") / "uvloop/_testbase.py")


def inject(directory: Path) -> None:
    """Make asyncio's factories give our loop in every Python that has `directory` on its path."""
    (directory / "sitecustomize.py").write_text(_SITE)


def uvicorn(directory: Path) -> None:
    """Stage our server as a package named uvicorn, with uvicorn's own types."""
    package = directory / "uvicorn"
    package.mkdir()
    (package / "__init__.py").symlink_to(Path(__file__).with_name("uvicorn_names.py"))
    supervisor = Path(__file__).with_name("uvicorn_supervisor.py")
    (directory / "camshaft_supervisor.py").symlink_to(supervisor)
    (package / "_types.py").symlink_to(sdist("uvicorn") / "uvicorn/_types.py")
