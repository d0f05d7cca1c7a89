# SPDX-License-Identifier: MIT
"""The settings: their defaults, what is refused, and what they lead to."""

import asyncio
import inspect
import json
import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

import camshaft
from camshaft.application import Receive, Scope, Send
from camshaft.config import Config
from camshaft.logging import LOGGING_CONFIG, AccessFormatter, DefaultFormatter, JsonFormatter
from camshaft.master.processors import _quota
from camshaft.settings import ConfigError
from camshaft.unsupported import UNSUPPORTED


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    pass


def refused(message: str, **settings: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(app, **settings)
    assert str(caught.value) == message
    assert caught.value.setting in settings


def test_defaults() -> None:
    config = Config(app)
    assert (config.host, config.port, config.uds, config.fd) == ("127.0.0.1", 8000, None, None)
    assert (config.backlog, config.timeout_keep_alive) == (2048, 5)
    assert config.timeout_graceful_shutdown == 30
    assert (config.server_header, config.date_header, config.access_log) == (True, True, True)
    assert (config.root_path, config.headers, config.lifespan) == ("", [], "auto")


# The parameters of uvicorn.Config in its release 0.54, in order, with their defaults.
UVICORN_054 = {
    "app": inspect.Parameter.empty,
    "host": "127.0.0.1",
    "port": 8000,
    "uds": None,
    "fd": None,
    "loop": "auto",
    "http": "auto",
    "http2": False,
    "ws": "auto",
    "ws_max_size": 16777216,
    "ws_max_queue": 32,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": True,
    "lifespan": "auto",
    "env_file": None,
    "log_config": LOGGING_CONFIG,
    "log_level": None,
    "access_log": True,
    "use_colors": None,
    "interface": "auto",
    "reload": False,
    "reload_dirs": None,
    "reload_delay": 0.25,
    "reload_includes": None,
    "reload_excludes": None,
    "workers": None,
    "proxy_headers": True,
    "server_header": True,
    "date_header": True,
    "forwarded_allow_ips": None,
    "root_path": "",
    "limit_concurrency": None,
    "limit_max_requests": None,
    "limit_max_requests_jitter": 0,
    "backlog": 2048,
    "timeout_keep_alive": 5,
    "timeout_notify": 30,
    "timeout_graceful_shutdown": 30,  # uvicorn's default is None: for ever
    "timeout_worker_healthcheck": 5,
    "callback_notify": None,
    "ssl_keyfile": None,
    "ssl_certfile": None,
    "ssl_keyfile_password": None,
    "ssl_version": ssl.PROTOCOL_TLS_SERVER,
    "ssl_cert_reqs": 0,
    "ssl_ca_certs": None,
    "ssl_ciphers": None,
    "ssl_context_factory": None,
    "headers": None,
    "factory": False,
    "h11_max_incomplete_event_size": None,
    "reset_contextvars": False,
}


def test_settings_are_those_of_uvicorn_in_its_order() -> None:
    _, *parameters = inspect.signature(Config.__init__).parameters.values()
    positional = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert list(positional) == list(UVICORN_054)
    assert positional == UVICORN_054
    assert positional["log_config"] is LOGGING_CONFIG


def test_serve_takes_what_config_takes() -> None:
    config = dict(inspect.signature(Config.__init__).parameters)
    for name in ("self", "timeout_notify", "callback_notify"):
        del config[name]
    serve = dict(inspect.signature(camshaft.serve).parameters)
    del serve["app_dir"]
    assert {name: str(given) for name, given in serve.items()} == {
        name: str(given) for name, given in config.items()
    }


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_may_be_off(name: str) -> None:
    for value in UNSUPPORTED[name][0]:
        Config(app, **{name: value})


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(app, **{name: "something"})
    assert caught.value.setting == name
    line = str(caught.value)
    assert line.startswith("--")
    assert line.endswith(".")
    assert "\n" not in line


def test_refusals_say_what_was_asked_for() -> None:
    refused("--http2: HTTP/2 is not supported yet; a proxy can speak it to clients.", http2=True)


def test_what_serve_does_not_take() -> None:
    with pytest.raises(TypeError, match="callback_notify"):
        camshaft.serve(app, callback_notify=None)


def test_passwords_are_not_shown() -> None:
    error = ConfigError("ssl_keyfile_password", "secret", "it opens no key")
    assert str(error) == "--ssl-keyfile-password: it opens no key."


def test_what_is_no_setting() -> None:
    with pytest.raises(TypeError, match=r"^Config\(\) got an unexpected keyword"):
        Config(app, colour="red")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": -1}, "--port -1: a port is from 0 to 65535."),
        ({"port": 65536}, "--port 65536: a port is from 0 to 65535."),
        ({"backlog": -1}, "--backlog -1: a backlog cannot be negative."),
        ({"timeout_keep_alive": -1}, "--timeout-keep-alive -1: a time cannot be negative."),
        (
            {"timeout_graceful_shutdown": -0.5},
            "--timeout-graceful-shutdown -0.5: a time cannot be negative.",
        ),
        (
            {"http": "fast"},
            "--http fast: one of auto, camshaft, h11, httptools, zttp, or a class as module:Class.",
        ),
        (
            {"ws": "fast"},
            "--ws fast: one of auto, camshaft, none, websockets, websockets-sansio, wsproto, "
            "or a class as module:Class.",
        ),
        ({"lifespan": "maybe"}, "--lifespan maybe: one of auto, on, off."),
        ({"interface": "asgi4"}, "--interface asgi4: one of auto, asgi3, asgi2, wsgi."),
        (
            {"log_level": "loud"},
            "--log-level loud: one of critical, error, warning, info, debug, trace.",
        ),
        ({"headers": [("one",)]}, "--header one: a header is given as Name:Value."),
        (
            {"headers": [("a b", "c")]},
            "--header 'a b:c': this is no header name (RFC 9110, 5.1).",
        ),
        (
            {"headers": [("a", "b\r\nc: d")]},
            "--header 'a:b\\r\\nc: d': this is no header value (RFC 9110, 5.5).",
        ),
    ],
)
def test_values_without_a_meaning(settings: dict[str, Any], message: str) -> None:
    refused(message, **settings)


def test_numbers_as_the_environment_has_them() -> None:
    config = Config(app, port="8080", backlog="5", timeout_graceful_shutdown="2.5")  # type: ignore[arg-type]
    assert (config.port, config.backlog, config.timeout_graceful_shutdown) == (8080, 5, 2.5)


def test_what_is_no_number() -> None:
    refused("--port http: a whole number.", port="http")
    refused("--backlog 1.5: a whole number.", backlog="1.5")
    refused("--timeout-linger soon: a number.", timeout_linger="soon")
    refused("--fd: a whole number.", fd=[3])


def test_headers_are_encoded() -> None:
    config = Config(app, headers=[("X-One", " 1 "), ("Server", "caf\xe9")])
    assert config.encoded_headers == [(b"x-one", b"1"), (b"server", b"caf\xe9")]


def test_web_concurrency(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config(app).workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert Config(app).workers == 4
    # What is given goes before the environment.
    assert Config(app, workers=1).workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    with pytest.raises(
        ConfigError, match=r"^--workers many: WEB_CONCURRENCY is no number, and not auto\.$"
    ):
        Config(app)


def test_workers_auto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    count = len(os.sched_getaffinity(0))
    assert 1 <= Config(app, workers="auto").workers <= count  # type: ignore[operator]
    assert Config(app, workers="3").workers == 3
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    assert 1 <= Config(app).workers <= count  # type: ignore[operator]
    quota = tmp_path / "cpu.max"
    for text, processors in (
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("nothing\n", None),
        ("1 0\n", None),
    ):
        quota.write_text(text)
        assert _quota(str(quota)) == processors
    assert _quota(str(tmp_path / "nowhere")) is None


def test_forwarded_allow_ips(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config(app, log_config=None).forwarded_allow_ips == "127.0.0.1,::1"
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    assert Config(app, log_config=None).forwarded_allow_ips == "10.0.0.0/8"
    given = Config(app, log_config=None, forwarded_allow_ips=["::1"])
    assert given.forwarded_allow_ips == ["::1"]


def test_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.env"
    path.write_text("CAMSHAFT_UNIT_TEST=from a file\nWEB_CONCURRENCY=3\n")
    monkeypatch.setenv("CAMSHAFT_UNIT_TEST", "")
    monkeypatch.delenv("CAMSHAFT_UNIT_TEST")
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    Config(app, env_file=path)
    assert os.environ["CAMSHAFT_UNIT_TEST"] == "from a file"
    assert os.environ["WEB_CONCURRENCY"] == "1"


def test_env_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    refused(f"--env-file {path}: No such file or directory.", env_file=str(path))
    path.write_text("A=1\n!\n")
    refused(f"--env-file {path}: line 2 is not NAME=value.", env_file=str(path))


def formatter_of(name: str) -> logging.Formatter | None:
    return logging.getLogger(name).handlers[0].formatter


def test_logging_by_default() -> None:
    Config(app)
    assert isinstance(formatter_of("uvicorn"), DefaultFormatter)
    assert isinstance(formatter_of("uvicorn.access"), AccessFormatter)
    assert logging.getLogger("uvicorn.error").getEffectiveLevel() == logging.INFO


@pytest.mark.parametrize("level", ["warning", "WARNING", logging.WARNING])
def test_log_level(level: str | int) -> None:
    Config(app, log_level=level)
    for name in ("uvicorn.error", "uvicorn.access"):
        assert logging.getLogger(name).level == logging.WARNING


def test_no_access_log() -> None:
    Config(app, access_log=False)
    assert not logging.getLogger("uvicorn.access").hasHandlers()


@pytest.mark.parametrize("use_colors", [True, False])
def test_use_colors(use_colors: bool) -> None:
    Config(app, use_colors=use_colors)
    for name in ("uvicorn", "uvicorn.access"):
        formatter = formatter_of(name)
        assert isinstance(formatter, DefaultFormatter | AccessFormatter)
        assert formatter.use_colors is use_colors
    assert LOGGING_CONFIG["formatters"]["default"]["use_colors"] is None


@pytest.mark.parametrize("use_colors", [None, True])
def test_log_format(use_colors: bool | None) -> None:
    Config(app, log_format="json", use_colors=use_colors)
    for name in ("uvicorn", "uvicorn.access"):
        assert type(formatter_of(name)) is JsonFormatter
    Config(app, log_format="json", log_config=uvicorn_style_config())
    assert type(formatter_of("uvicorn.access")) is JsonFormatter
    own: dict[str, Any] = uvicorn_style_config()
    own["formatters"]["default"] = {"format": "%(message)s"}
    Config(app, log_format="json", log_config=own)
    assert type(formatter_of("uvicorn")) is logging.Formatter


def uvicorn_style_config() -> dict[str, Any]:
    """What people have written for uvicorn."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "default": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s"},
            "access": {"()": "uvicorn.logging.AccessFormatter", "fmt": "%(request_line)s"},
        },
        "handlers": {
            "default": {"class": "logging.StreamHandler", "formatter": "default"},
            "access": {"class": "logging.StreamHandler", "formatter": "access"},
        },
        "loggers": {
            "uvicorn": {"handlers": ["default"], "level": "DEBUG"},
            "uvicorn.access": {"handlers": ["access"], "level": "INFO"},
        },
    }


@pytest.mark.parametrize("kind", ["dict", "json", "path"])
def test_log_config_written_for_uvicorn(kind: str, tmp_path: Path) -> None:
    given: Any = uvicorn_style_config()
    if kind != "dict":
        path = tmp_path / "log.json"
        path.write_text(json.dumps(given))
        given = str(path) if kind == "json" else path
    Config(app, log_config=given)
    assert type(formatter_of("uvicorn")) is DefaultFormatter
    assert type(formatter_of("uvicorn.access")) is AccessFormatter
    assert logging.getLogger("uvicorn").level == logging.DEBUG
    if kind == "dict":
        assert given == uvicorn_style_config(), "the caller's dict was changed"


def test_log_config_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "log.yaml"
    # JSON is YAML too.
    path.write_text(json.dumps(uvicorn_style_config()))
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        refused(
            f"--log-config {path}: a YAML file needs PyYAML: pip install pyyaml.",
            log_config=str(path),
        )
    else:
        Config(app, log_config=str(path))
        assert type(formatter_of("uvicorn")) is DefaultFormatter


def test_log_config_in_ini(tmp_path: Path) -> None:
    path = tmp_path / "log.ini"
    path.write_text(
        "[loggers]\nkeys=root,server\n[handlers]\nkeys=all\n[formatters]\nkeys=plain\n"
        "[logger_root]\nhandlers=\nlevel=NOTSET\n"
        "[logger_server]\nqualname=uvicorn\nhandlers=all\nlevel=ERROR\n"
        "[handler_all]\nclass=StreamHandler\nargs=()\nformatter=plain\n"
        "[formatter_plain]\nformat=%(message)s\n"
    )
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        Config(app, log_config=str(path))
        assert logging.getLogger("uvicorn").level == logging.ERROR
    finally:
        root.handlers[:], root.level = handlers, level


def test_log_config_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=rf"^--log-config {path}: Expecting property name"):
        Config(app, log_config=str(path))
    path.write_text('{"version": 1, "formatters": {"a": {"()": "no_such_module.Formatter"}}}')
    with pytest.raises(ConfigError) as caught:
        Config(app, log_config=str(path))
    assert "Unable to configure formatter 'a'" in str(caught.value)
    assert "no_such_module" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load() -> None:
    config = Config(app)
    config.load()
    assert config.loaded
    assert config.loaded_app is app
    assert (config.interface, config.asgi_version) == ("asgi3", "3.0")


def test_load_asgi2() -> None:
    config = Config(lambda scope: app)
    config.load()
    assert (config.interface, config.asgi_version) == ("asgi2", "2.0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("no_such_module:app", 'Error loading ASGI app. Could not import module "no_such_module".'),
        ("os:nope", 'Error loading ASGI app. Attribute "nope" not found in module "os".'),
        ("os:sep", "Error loading ASGI app. An object of type str is not callable."),
    ],
)
def test_no_application(given: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(given, log_config=None)
    with pytest.raises(SystemExit) as caught:
        config.load()
    assert caught.value.code == 3
    assert [record.getMessage() for record in caplog.records] == [message]


def test_loops() -> None:
    assert Config(app).get_loop_factory() is camshaft.new_event_loop
    assert Config(app, loop="camshaft").get_loop_factory() is camshaft.new_event_loop
    assert Config(app, loop="asyncio").get_loop_factory() is asyncio.SelectorEventLoop
    assert Config(app, loop="none").get_loop_factory() is None
    assert Config(app, loop="asyncio:new_event_loop").get_loop_factory() is asyncio.new_event_loop
    assert Config(app, loop=asyncio.new_event_loop).get_loop_factory() is asyncio.new_event_loop


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (
            "os:nope",
            'Error loading custom loop setup function. Attribute "nope" not found in module "os".',
        ),
        ("os:sep", "Error loading custom loop setup function. os:sep is not callable."),
        (
            "fastest",
            'Error loading custom loop setup function. Import string "fastest" must be in format '
            '"<module>:<attribute>". For example: "fastest:new_event_loop".',
        ),
    ],
)
def test_no_loop(loop: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(app, loop=loop, log_config=None)
    with pytest.raises(SystemExit) as caught:
        config.get_loop_factory()
    assert caught.value.code == 3
    assert [record.getMessage() for record in caplog.records] == [message]


def test_a_loop_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    with pytest.raises(SystemExit) as caught:
        Config(app, loop="uvloop", log_config=None).get_loop_factory()
    assert caught.value.code == 3
    assert "Is it installed? (pip install uvloop)" in caplog.text
