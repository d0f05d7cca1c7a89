# SPDX-License-Identifier: MIT
"""`camshaft explain APP`: how each route of a FastAPI application is answered, and why."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

import click

from camshaft.application import ApplicationError, call_factory, import_application
from camshaft.config import STARTUP_FAILURE
from camshaft.fastapi.compiler import Compiler, count_routes, is_operation, name_layers
from camshaft.fastapi.find import find_application
from camshaft.fastapi.plan import Entry, Table

NATIVE, FASTAPI, OTHER = "native", "fastapi", "other"
"""The modes of a route: by a plan; by FastAPI, though it is one of its path operations; no path
operation, so that there is nothing to plan."""


def explain(app: Any, *, strict: bool = False) -> dict[str, Any]:
    """Return what the command shows, as it is written in JSON."""
    from camshaft.fastapi.releases import installed_versions

    table = Compiler(app, "strict" if strict else "native")()
    routes, native, operations = _explain_table(table, "", strict, (app,))
    return {
        "versions": installed_versions(),
        "native": native,
        "operations": operations,
        "before_middleware": table.whole,
        "middleware": name_layers(table) if table.whole else table.behind,
        "routes": routes,
    }


def _explain_table(
    table: Table, prefix: str, strict: bool, outer: tuple[Any, ...]
) -> tuple[list[dict[str, Any]], int, int]:
    """Return the routes of a table, with those of applications mounted in it, and their numbers.

    `outer` are the applications that it is mounted in, and its own.
    """
    native, operations = count_routes(table)
    routes = []
    for entry in table.entries:
        routes.append(_explain_entry(entry, prefix))
        inner = entry.mounted
        if inner is None or any(inner is each for each in outer):
            continue
        of_inner = Compiler(inner, "strict" if strict else "asgi")()
        more = _explain_table(of_inner, prefix + entry.path, strict, (*outer, inner))
        routes += more[0]
        native, operations = native + more[1], operations + more[2]
    return routes, native, operations


def _explain_entry(entry: Entry, prefix: str) -> dict[str, Any]:
    mode = FASTAPI if is_operation(entry) else OTHER
    return {
        "mode": mode if entry.plan is None else NATIVE,
        "methods": sorted(entry.methods),
        "path": prefix + entry.path,
        "endpoint": _endpoint(entry),
        "reason": entry.reason,
        "advice": entry.advice,
    }


def _endpoint(entry: Entry) -> str:
    endpoint = getattr(entry.route, "endpoint", None)
    name = getattr(endpoint, "__qualname__", None)
    return f"{getattr(endpoint, '__module__', '')}.{name}" if name else ""


def as_text(found: dict[str, Any]) -> str:
    """Return an explanation as a table for people."""
    lines = [f"{found['versions']}: {found['native']} of {found['operations']} routes native"]
    if found["before_middleware"]:
        layers = found["middleware"]
        done = f"Native, too: {layers}" if layers else "No middleware"
        lines.append(f"{done}: native routes are answered before FastAPI's own.")
    elif found["native"]:
        lines.append(f"Requests come through the middleware first: {found['middleware']}.")
    rows = [
        (
            route["mode"],
            ",".join(route["methods"]) or "all",
            route["path"] or "(any)",
            f"{route['reason']}." if route["reason"] else "",
            f"To have it native: {route['advice']}." if route["advice"] else "",
        )
        for route in found["routes"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines.append("")
    for mode, methods, path, reason, advice in rows:
        cells = (mode.ljust(widths[0]), methods.ljust(widths[1]), path.ljust(widths[2]))
        lines.append("  ".join((*cells, reason)).rstrip())
        if advice:
            lines.append(f"{'':{widths[0]}}  {advice}")
    return "\n".join(lines)


@click.command()
@click.argument("app", envvar=["CAMSHAFT_APP", "UVICORN_APP"])
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--factory", is_flag=True, help="APP is a function that returns the application.")
@click.option("--strict", is_flag=True, help="As with --fastapi strict.")
@click.option(
    "--app-dir", default="", help="Directory to import APP from, instead of the current one."
)
def main(app: str, as_json: bool, factory: bool, strict: bool, app_dir: str) -> None:
    """Show of each route of APP, a FastAPI application given as module:attribute, whether it is
    answered natively, why not, and what to change."""
    sys.path.insert(0, os.fspath(app_dir))
    try:
        loaded = call_factory(import_application(app), factory=factory)
    except ApplicationError as error:
        _fail(str(error))
    found = find_application(loaded)
    if found is None:
        _fail(f"{app} is no FastAPI application: a {type(loaded).__qualname__}.")
    explanation = explain(found, strict=strict)
    click.echo(json.dumps(explanation, indent=2) if as_json else as_text(explanation))


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(STARTUP_FAILURE)
