# SPDX-License-Identifier: MIT
"""The command: `camshaft [OPTIONS] APP`, with uvicorn's options.

Options are made of the settings in camshaft.settings. Every option may also be set by an
environment variable, CAMSHAFT_<SETTING> or, where that is not set, UVICORN_<SETTING>. Options of
uvicorn that camshaft has not yet are known and refused (see camshaft.unsupported), so that a
command line is never half obeyed.
"""

import importlib
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ClassVar, NoReturn, TypeVar, get_args

import click
from click.core import ParameterSource

from camshaft.master import launch
from camshaft.server.serve import serve
from camshaft.settings import ConfigError, Setting, Settings, option_name
from camshaft.unsupported import UNSUPPORTED

_F = TypeVar("_F", bound=Callable[..., Any])


def _variables(name: str) -> list[str]:
    """Return the environment variables of a parameter, the first one set being used."""
    return [f"{prefix}_{name.upper()}" for prefix in ("CAMSHAFT", "UVICORN")]


def _options(function: _F) -> _F:
    """Declare an option for every setting that has a help text."""
    # What is declared last is shown first.
    for entry in reversed(list(Settings.table.values())):
        if entry.help is not None:
            function = _option(entry)(function)
    return function


def _option(entry: Setting) -> Callable[[_F], _F]:
    declaration = option_name(entry.name)
    kind = _type(entry)
    default = entry.default
    attributes: dict[str, Any] = {"type": kind, "metavar": entry.metavar}
    if kind is bool and not entry.valued:
        attributes = {"is_flag": True}
        if default is not False:
            declaration += f"/--no-{declaration.removeprefix('--')}"
    elif entry.multiple:
        attributes["multiple"] = True
        if entry.name == "headers":
            attributes["callback"] = _headers
    if not entry.multiple:
        # Enumerations are given as numbers.
        attributes["default"] = int(default) if kind is int and default is not None else default
        # A flag that is off when it is not given says that by being one.
        attributes["show_default"] = default not in (None, "") and default is not False
        if not entry.shown:
            attributes["default"] = attributes["show_default"] = None
    help = entry.help or ""
    if entry.name in UNSUPPORTED:
        help += "  [not supported yet]"
    return click.option(
        declaration, entry.name, envvar=_variables(entry.name), help=help, **attributes
    )


def _type(entry: Setting) -> Any:
    """Return how click is to read what is given."""
    if entry.choices is not None:
        return click.Choice(entry.choices)
    if entry.exists:
        return click.Path(exists=True)
    kinds = get_args(entry.annotation) or (entry.annotation,)
    return next((kind for kind in (str, bool, int, float) if kind in kinds), str)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(
            f"Running camshaft {version('camshaft')} with {platform.python_implementation()} "
            f"{platform.python_version()} on {platform.system()}"
        )
        context.exit()


def _headers(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[list[str]]:
    return [header.split(":", 1) for header in given]


def _directory(_: click.Context, __: click.Parameter, given: str) -> str:
    if given and not os.path.isdir(given):
        raise click.BadParameter(f"Directory {given!r} does not exist.")
    return given


class _Command(click.Command):
    """The command, and those whose names its first word may be."""

    others: ClassVar[dict[str, str]] = {
        "ctl": "camshaft.master.ctl",
        "explain": "camshaft.fastapi.explain",
    }
    """The modules of their `main`."""

    def main(self, args: Any = None, prog_name: Any = None, *more: Any, **options: Any) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        # What it is called with then is a process's own command; a test's is not.
        launch.owns_process = args is None
        if not words or words[0] not in self.others:
            return super().main(args, prog_name, *more, **options)
        command = importlib.import_module(self.others[words[0]]).main
        return command.main(words[1:], f"camshaft {words[0]}", *more, **options)


@click.command(cls=_Command)
@click.argument("app", envvar=_variables("app"))
@_options
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    expose_value=False,
    is_eager=True,
    help="Show the versions of camshaft and Python and exit.",
)
@click.option(
    "--app-dir",
    envvar=_variables("app_dir"),
    default="",
    callback=_directory,
    help="Directory to import APP from, instead of the current one.",
)
@click.pass_context
def main(context: click.Context, /, app: str, **settings: Any) -> None:
    """Serve APP, an ASGI application given as module:attribute.

    `camshaft explain APP` shows how the routes of a FastAPI application are answered;
    `camshaft ctl` shows, reloads and stops a running master of --workers.
    """
    try:
        serve(app, **_defaults(settings))
    except ConfigError as error:
        _refuse(context, error)


def _defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given and has its default in Config."""
    return {name: value for name, value in settings.items() if value is not None}


def _refuse(context: click.Context, error: ConfigError) -> NoReturn:
    """Say in one line what is wrong with a setting, and exit as for any other wrong usage."""
    line = f"Error: {error}"
    if context.get_parameter_source(error.setting) is ParameterSource.ENVIRONMENT:
        names = [name for name in _variables(error.setting) if os.environ.get(name)]
        line += f" (It is set by {names[0]}.)"
    click.echo(line, err=True)
    sys.exit(2)
