# SPDX-License-Identifier: MIT
"""Settings that uvicorn has and camshaft has not yet: refused by name, never ignored.

A setting here may be given with the value that means "off"; any other is refused, because a
server that quietly runs without the TLS or the limit it was asked for is worse than none.
"""

from collections.abc import Mapping
from typing import Any

_TLS = "TLS is not supported yet; let a proxy such as nginx terminate it"
_RELOAD = "reloading is not supported yet; restart camshaft, or run uvicorn while developing"
_WORKERS = "only one worker is supported yet; run one camshaft per port behind a proxy"
_WEBSOCKET = "WebSocket is not supported yet"
_PROXY = "proxy headers are not supported yet; let the application read X-Forwarded-*"
_LIMITS = "limits on requests are not supported yet; set them in a proxy in front"
_NOTIFY = "notifications are not supported; start a task in the application's lifespan"

# Name of the setting: the values that mean "off", and what to say of any other.
UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "reload": ((False,), _RELOAD),
    "reload_dirs": ((None, (), []), _RELOAD),
    "reload_includes": ((None, (), []), _RELOAD),
    "reload_excludes": ((None, (), []), _RELOAD),
    "reload_delay": ((0.25,), _RELOAD),
    "workers": ((None, 1), _WORKERS),
    "timeout_worker_healthcheck": ((5,), _WORKERS),
    "http2": ((False,), "HTTP/2 is not supported yet; a proxy can speak it to clients"),
    "ws": (("auto", "none"), _WEBSOCKET),
    "ws_max_size": ((16 * 1024 * 1024,), _WEBSOCKET),
    "ws_max_queue": ((32,), _WEBSOCKET),
    "ws_ping_interval": ((None, 20.0), _WEBSOCKET),
    "ws_ping_timeout": ((None, 20.0), _WEBSOCKET),
    "ws_per_message_deflate": ((True, False), _WEBSOCKET),
    "proxy_headers": ((False,), _PROXY),
    "forwarded_allow_ips": ((None,), _PROXY),
    "limit_concurrency": ((None,), _LIMITS),
    "limit_max_requests": ((None,), _LIMITS),
    "limit_max_requests_jitter": ((0,), _LIMITS),
    "timeout_notify": ((30,), _NOTIFY),
    "callback_notify": ((None,), _NOTIFY),
    "ssl_keyfile": ((None,), _TLS),
    "ssl_certfile": ((None,), _TLS),
    "ssl_keyfile_password": ((None,), _TLS),
    "ssl_version": ((17,), _TLS),
    "ssl_cert_reqs": ((0,), _TLS),
    "ssl_ca_certs": ((None,), _TLS),
    "ssl_ciphers": ((None,), _TLS),
    "ssl_context_factory": ((None,), _TLS),
    "h11_max_incomplete_event_size": (
        (None,),
        "camshaft parses HTTP itself and bounds what it buffers of a request",
    ),
}

# Where the option's name is not the setting's.
_OPTIONS = {
    "reload_dirs": "reload-dir",
    "reload_includes": "reload-include",
    "reload_excludes": "reload-exclude",
    "headers": "header",
}


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line, for the user.

    `setting` is the keyword of Config that is wrong.
    """

    def __init__(self, setting: str, value: object, reason: str) -> None:
        self.setting = setting
        given = option_name(setting)
        # A flag's value is its presence, and a list's says little.
        if value is not True and isinstance(value, str | int | float):
            given = f"{given} {value}"
        reason = reason.removesuffix(".")
        super().__init__(f"{given}: {reason}.")


def option_name(setting: str) -> str:
    """Return the command's option for a keyword of Config."""
    return "--" + _OPTIONS.get(setting, setting.replace("_", "-"))


def refuse_unsupported(settings: Mapping[str, object]) -> None:
    """Raise ConfigError for the first setting that asks for something not supported yet.

    Raises TypeError for a name that is no setting at all, as a call with it would.
    """
    for name, value in settings.items():
        if name not in UNSUPPORTED:
            raise TypeError(f"Config() got an unexpected keyword argument {name!r}")
        off, reason = UNSUPPORTED[name]
        if value not in off:
            # What a password is has no place in a log.
            shown = None if name == "ssl_keyfile_password" else value
            raise ConfigError(name, shown, reason)
