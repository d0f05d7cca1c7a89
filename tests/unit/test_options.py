# SPDX-License-Identifier: MIT
"""The command's options and environment, without a server."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import camshaft
from camshaft.cli import main
from camshaft.config import Config
from camshaft.logging import LOGGING_CONFIG
from camshaft.settings import ConfigError, Settings, option_name

SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "server" / "settings.md"


class Command:
    """Runs the command and keeps what it would have served."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app: object = None
        self.settings: dict[str, Any] = {}
        monkeypatch.setattr("camshaft.cli.serve", self._serve)

    def _serve(self, app: object, *, app_dir: str, **settings: Any) -> None:
        Config(app, log_config=None, **settings)
        self.app, self.settings = app, {"app_dir": app_dir, **settings}

    def __call__(self, *arguments: str, **environ: str) -> Result:
        result = CliRunner().invoke(main, arguments, env=environ, prog_name="camshaft")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(monkeypatch)


def test_defaults_are_those_of_config(command: Command) -> None:
    assert command("main:app").exit_code == 0
    assert command.app == "main:app"
    parameters = inspect.signature(Settings.__init__).parameters
    assert set(command.settings) >= {
        name
        for name, entry in Settings.table.items()
        if entry.help is not None and entry.default not in (None, LOGGING_CONFIG)
    }
    for name, value in command.settings.items():
        if name == "app_dir":
            assert value == ""
        elif parameters[name].default is None:
            assert value in ((), []), name
        else:
            assert value == parameters[name].default, name


def test_options(command: Command) -> None:
    arguments = (
        "main:app --host 0.0.0.0 --port 80 --uds /run/x --fd 3 --workers 1 --loop asyncio "
        "--http camshaft --root-path /api --log-level warning --no-access-log --lifespan on "
        "--factory --app-dir / --timeout-keep-alive 7 --timeout-graceful-shutdown 8 "
        "--interface asgi3 --no-use-colors --no-server-header --no-date-header --backlog 9 "
        "--header X-A:1 --header X-B:2:3 --reset-contextvars --no-proxy-headers --ws none "
        "--ws-max-size 10 --ws-max-queue 11 --ws-ping-interval 12 --ws-ping-timeout 13 "
        "--ws-per-message-deflate false"
    )
    result = command(*arguments.split())
    assert result.exit_code == 0, result.output
    expected = {
        "host": "0.0.0.0",
        "port": 80,
        "uds": "/run/x",
        "fd": 3,
        "loop": "asyncio",
        "http": "camshaft",
        "root_path": "/api",
        "log_level": "warning",
        "access_log": False,
        "lifespan": "on",
        "factory": True,
        "app_dir": "/",
        "timeout_keep_alive": 7,
        "timeout_graceful_shutdown": 8,
        "interface": "asgi3",
        "use_colors": False,
        "server_header": False,
        "date_header": False,
        "backlog": 9,
        "headers": [["X-A", "1"], ["X-B", "2:3"]],
        "reset_contextvars": True,
        "ws": "none",
        "ws_max_size": 10,
        "ws_max_queue": 11,
        "ws_ping_interval": 12,
        "ws_ping_timeout": 13,
        "ws_per_message_deflate": False,
    }
    assert {name: command.settings[name] for name in expected} == expected


def test_environment(command: Command) -> None:
    assert command(CAMSHAFT_APP="main:app", CAMSHAFT_PORT="81").exit_code == 0
    assert (command.app, command.settings["port"]) == ("main:app", 81)
    assert command(UVICORN_APP="main:app", UVICORN_ACCESS_LOG="false").exit_code == 0
    assert (command.app, command.settings["access_log"]) == ("main:app", False)


def test_environment_of_camshaft_goes_first_and_options_before_it(command: Command) -> None:
    environ = {"UVICORN_PORT": "82", "CAMSHAFT_PORT": "83"}
    command("main:app", **environ)
    assert command.settings["port"] == 83
    command("main:app", "--port", "84", **environ)
    assert command.settings["port"] == 84


def test_headers_from_the_environment(command: Command) -> None:
    command("main:app", CAMSHAFT_HEADERS="X-A:1 X-B:2")
    assert command.settings["headers"] == [["X-A", "1"], ["X-B", "2"]]


def test_refusal_is_one_line(command: Command) -> None:
    result = command("main:app", "--workers", "0")
    assert result.exit_code == 2
    assert result.output == "Error: --workers 0: a number from 1 to 512, or auto.\n"


def test_refusal_names_the_variable(command: Command) -> None:
    result = command("main:app", UVICORN_PORT="-1")
    assert result.exit_code == 2
    assert result.output == (
        "Error: --port -1: a port is from 0 to 65535. (It is set by UVICORN_PORT.)\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "--reload-delay -1",
        "--workers -1",
        "--http fast",
        "--http2",
        "--ws fast",
        "--ws-max-size -1",
        "--ws-max-queue -1",
        "--ws-ping-interval -1",
        "--ws-ping-timeout -0.5",
        "--header colonless",
        "--port -1",
    ],
)
def test_refused(arguments: str, command: Command) -> None:
    result = command("main:app", *arguments.split())
    assert result.exit_code == 2
    assert re.fullmatch(rf"Error: {arguments.split()[0]}\b.*: .*\.\n", result.output)
    assert command.app is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["main:app", "--port", "http"],
        ["main:app", "--no-such-option"],
        ["main:app", "--lifespan", "maybe"],
        ["main:app", "--log-config", "no-such-file.ini"],
        ["main:app", "--env-file", "no-such-file.env"],
    ],
)
def test_wrong_usage(arguments: list[str], command: Command) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert "Usage: camshaft [OPTIONS] APP" in result.output


def test_bad_log_config(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camshaft.cli.serve", lambda app, app_dir, **rest: Config(app, **rest))
    path = tmp_path / "log.json"
    path.write_text("{}")
    result = command("main:app", "--log-config", str(path))
    assert result.exit_code == 2
    assert re.fullmatch(rf"Error: --log-config {path}: .*\.\n", result.output)


def test_version(command: Command) -> None:
    result = command("--version")
    assert result.exit_code == 0
    assert re.fullmatch(
        rf"Running camshaft {re.escape(camshaft.__version__)} with \w+ [\w.+]+ on Linux\n",
        result.output,
    )


def test_every_setting_has_its_option(command: Command) -> None:
    shown = re.findall(r"^  --([a-z0-9-]+)", command("--help").output, re.MULTILINE)
    assert set(UVICORN_054.split()) <= set(shown)
    options = {
        option_name(name).removeprefix("--")
        for name, entry in Settings.table.items()
        if entry.help is not None
    }
    assert options | {"version", "app-dir", "help"} == set(shown)
    without = {name for name, entry in Settings.table.items() if entry.help is None}
    assert without == {"timeout_notify", "callback_notify", "ssl_context_factory"}


UVICORN_054 = """
host port uds fd reload reload-dir reload-include reload-exclude reload-delay workers loop http
http2 ws ws-max-size ws-max-queue ws-ping-interval ws-ping-timeout ws-per-message-deflate lifespan
interface env-file log-config log-level access-log use-colors proxy-headers server-header
date-header forwarded-allow-ips root-path limit-concurrency backlog limit-max-requests
limit-max-requests-jitter timeout-keep-alive timeout-graceful-shutdown timeout-worker-healthcheck
ssl-keyfile ssl-certfile ssl-keyfile-password ssl-version ssl-cert-reqs ssl-ca-certs ssl-ciphers
header version app-dir h11-max-incomplete-event-size reset-contextvars factory help
"""


@pytest.mark.parametrize("name", Settings.table)
def test_settings_page(name: str) -> None:
    """docs/server/settings.md has a row for every setting, with its option, default and help."""
    entry = Settings.table[name]
    [row] = re.findall(rf"^\| `{name}` \| (.*)$", SETTINGS_PAGE.read_text(), re.MULTILINE)
    option, default, described = row.replace(r"\|", "/").split(" | ")[:3]
    assert option.strip() == (f"`{option_name(name)}`" if entry.help is not None else "")
    words = {True: "on", False: "off", None: "", "": '`""`'}
    if name == "log_config":
        assert default == "camshaft's"
    elif isinstance(entry.default, bool | None) or entry.default == "":
        assert default.strip() == words[entry.default]
    elif isinstance(entry.default, str):
        assert default == f"`{entry.default}`"
    else:
        assert float(default) == entry.default
    if entry.help is not None:
        assert described == re.sub(r" \[default: .*\]$", "", entry.help).replace("|", "/")


def test_pages_are_listed() -> None:
    """docs/README.md names every page."""
    docs = SETTINGS_PAGE.parents[1]
    listed = set(re.findall(r"\]\(([\w/-]+\.md)\)", (docs / "README.md").read_text()))
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"}
    assert pages <= listed


def test_help_shows_defaults(command: Command) -> None:
    shown = " ".join(command("--help").output.split())
    assert "numbers it. [default: 0]" in shown
    assert "Compress WebSocket messages. [default: True]" in shown
    assert "Whether each request is logged. [default: access-log]" in shown


@pytest.mark.parametrize(
    "name", [name for name in Settings.table if name.startswith(("timeout_", "ws_ping_"))]
)
def test_a_time_is_a_number(name: str, command: Command) -> None:
    with pytest.raises(ConfigError, match=r": this is no time\.$"):
        Config("main:app", log_config=None, **{name: float("nan")})
