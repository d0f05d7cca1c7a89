# SPDX-License-Identifier: MIT
"""Compare releases of FastAPI and Starlette with what the plans of camshaft.fastapi rely on.

    tools/fastapi-release fastapi==0.166.0 [starlette==1.11.0] [--add [--except STAGE]...] [--prove]

A release is given as a requirement, which pip downloads, or as the path of an sdist or wheel; a
bare version is FastAPI's. What is compared is what an application's guard compares when it starts
(camshaft.fastapi.releases): for each stage of a request the functions that a plan stands in for,
and the fields and parameters that are known. What differs is to be read; when the plans do what it
says, --add puts the digests into src/camshaft/fastapi/releases.json, which is all that a release
without new behaviour needs.

--prove installs the releases, and what they want, into an environment of its own
(.venv-fastapi-release), and runs there FastAPI's own suite of that release on plans and over our
server (tests.peers), and the differential fuzz. With --add the digests are there for the proof, for
plans are not made of much that is unknown, and are taken out again if it fails.

Exit status: 0 if nothing is new or all was added, 1 if something differs, 2 if a release cannot be
had, 3 if the proof fails.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from camshaft.fastapi import releases, schema

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src/camshaft/fastapi/releases.json"
ENVIRONMENT = ".venv-fastapi-release"

PROOFS = (
    ("-m", "tests.peers", "fastapi", "fastapi-socket"),
    ("-m", "fuzz.fastapi"),
)


class Release:
    """The sources of one release."""

    def __init__(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        self.name = name
        self.version = version
        self.files = files

    @classmethod
    def read(cls, path: Path) -> "Release":
        """Read an sdist or a wheel. Raises ValueError for another file."""
        matched = re.match(r"(fastapi|starlette)-(\d[^-]*?)(?:-.*\.whl|\.tar\.gz)$", path.name)
        if matched is None:
            raise ValueError(f"{path.name} is no sdist or wheel of FastAPI or Starlette")
        name, version = matched.groups()
        members = dict(_wheel(path) if path.suffix == ".whl" else _sdist(path))
        return cls(name, version, {k: v for k, v in members.items() if k.startswith(f"{name}/")})


def _wheel(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".py"):
                yield member, archive.read(member)


def _sdist(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                yield member.name.partition("/")[2], content.read()


def obtain(given: str, directory: Path) -> Release:
    """Return a release that is named, or in a file. Raises ValueError if it cannot be had."""
    if Path(given).is_file():
        return Release.read(Path(given))
    requirement = given if "==" in given else f"fastapi=={given}"
    into = directory / requirement
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(into)]
    if subprocess.run([*command, requirement], check=False).returncode:
        raise ValueError(f"pip cannot download {requirement}")
    return Release.read(next(into.iterdir()))


def digests_of(release: Release) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digests of files, by path, and of functions, by item."""
    files: dict[str, str] = {}
    functions: dict[str, str] = {}
    for module in releases.modules():
        if module.partition(".")[0] != release.name:
            continue
        items = [
            item
            for stage in releases.STAGES.values()
            for item in stage
            if item.partition(":")[0] == module
        ]
        source = release.files.get(releases.path_of(module))
        if source is None:
            functions |= dict.fromkeys(items, releases.ABSENT)
            continue
        files[releases.path_of(module)] = releases.digest(source)
        names = releases.digests_of_source(source.decode(), [item.split(":")[1] for item in items])
        functions |= {f"{module}:{name}": digest for name, digest in names.items()}
    return files, functions


def unknown_names(release: Release) -> dict[str, list[str]]:
    """Return the fields and parameters of FastAPI's classes that the guard does not know."""
    found: dict[str, list[str]] = {}
    for path, name, known, constructor in schema.CLASSES:
        source = release.files.get(path)
        if source is None:
            continue
        tree = ast.parse(source)
        kind = next(
            (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name),
            None,
        )
        if kind is None:
            continue
        names = _parameters(kind) if constructor else _fields(kind)
        new = [each for each in names if each not in known]
        if new:
            found[f"{name}{'()' if constructor else ''}"] = new
    return found


def _fields(kind: ast.ClassDef) -> list[str]:
    return [
        statement.target.id
        for statement in kind.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]


def _parameters(kind: ast.ClassDef) -> list[str]:
    for statement in kind.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            given = statement.args
            return [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
    return []


def compare(release: Release, known: releases.Known) -> bool:
    """Print what is new in a release; true if there is something."""
    files, functions = digests_of(release)
    print(f"{release.name} {release.version}")
    same = sum(digest in known.files.get(path, ()) for path, digest in files.items())
    print(f"  {same} of {len(files)} files are known whole")
    new = False
    for stage, items in releases.STAGES.items():
        mine = [item for item in items if item in functions]
        strange = [item for item in mine if functions[item] not in known.functions.get(item, ())]
        if not mine:
            continue
        new = new or bool(strange)
        alone = ", where a self-check is not enough" if stage in releases.ALONE else ""
        print(f"  {stage}: {len(mine) - len(strange)} of {len(mine)} known{alone}")
        for item in strange:
            what = "is not there" if functions[item] == releases.ABSENT else functions[item]
            print(f"    {item}: {what}")
    for name, fields in unknown_names(release).items():
        new = True
        print(f"  {name} has what the schema guard does not know: {', '.join(fields)}")
    return new


def add(release: Release, known: releases.Known, but: list[str]) -> None:
    """Put the digests of a release to the known ones, but for those of some stages."""
    files, functions = digests_of(release)
    left = {item for stage in but for item in releases.STAGES[stage]}
    functions = {item: digest for item, digest in functions.items() if item not in left}
    versions = known.versions.setdefault(release.name, [])
    if release.version not in versions:
        versions.append(release.version)
        versions.sort(key=lambda text: [int(part) for part in re.findall(r"\d+", text)])
    # A file stands for all that is in it.
    partial = {releases.path_of(item.partition(":")[0]) for item in left}
    whole = {path: digest for path, digest in files.items() if path not in partial}
    for table, digests in ((known.files, whole), (known.functions, functions)):
        for key, digest in digests.items():
            if digest not in table.setdefault(key, []):
                table[key].append(digest)


def write(known: releases.Known) -> None:
    """Write the data file, in an order that makes for small differences."""
    data = {
        "versions": known.versions,
        "files": {key: sorted(known.files[key]) for key in sorted(known.files)},
        "functions": {key: sorted(known.functions[key]) for key in sorted(known.functions)},
    }
    DATA.write_text(json.dumps(data, indent=1) + "\n")


def prove(chosen: list[Release]) -> bool:
    """Run the proofs with these releases installed; false if one fails."""
    subprocess.run(["tools/fastapi-environment", ENVIRONMENT], cwd=ROOT, check=True)
    python = str(ROOT / ENVIRONMENT / "bin/python")
    wanted = [f"{release.name}=={release.version}" for release in chosen]
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    held = True
    for arguments in PROOFS:
        print(f"  python {' '.join(arguments)}", flush=True)
        done = subprocess.run([python, *arguments], cwd=ROOT, check=False)
        held = held and done.returncode == 0
    return held


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="tools/fastapi-release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("release", nargs="+")
    parser.add_argument("--add", action="store_true", help="put the digests into releases.json")
    parser.add_argument(
        "--except",
        action="append",
        default=[],
        dest="but",
        choices=list(releases.STAGES),
        help="a stage whose digests are not added: it is not done the same in this release",
    )
    parser.add_argument("--prove", action="store_true", help="run the suites and the fuzz")
    arguments = parser.parse_args()
    known = releases.known()
    new = False
    with tempfile.TemporaryDirectory(prefix="fastapi-release-") as directory:
        try:
            chosen = [obtain(given, Path(directory)) for given in arguments.release]
        except ValueError as error:
            print(f"tools/fastapi-release: {error}", file=sys.stderr)
            return 2
        for release in chosen:
            new = compare(release, known) or new
        if arguments.add:
            before = DATA.read_text()
            for release in chosen:
                add(release, known, arguments.but)
            write(known)
        if arguments.prove and not prove(chosen):
            if arguments.add:
                DATA.write_text(before)
            return 3
        if arguments.add:
            return 0
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
