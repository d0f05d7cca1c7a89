# SPDX-License-Identifier: MIT
"""What --bind takes."""

from typing import Any

import pytest

from camshaft.binds import Bind, BindError, parse_bind
from camshaft.config import Config
from camshaft.settings import ConfigError


async def app(*_: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("text", "bind", "name"),
    [
        ("127.0.0.1:8000", Bind(host="127.0.0.1", port=8000), "127.0.0.1:8000"),
        ("localhost:0", Bind(host="localhost"), "localhost:0"),
        (":80", Bind(host="", port=80), "*:80"),
        ("*:80", Bind(host="", port=80), "*:80"),
        ("[::1]:443", Bind(host="::1", port=443), "[::1]:443"),
        ("[fe80::1%eth0]:65535", Bind(host="fe80::1%eth0", port=65535), "[fe80::1%eth0]:65535"),
        ("unix:/run/x", Bind(path="/run/x"), "unix socket /run/x"),
        ("unix:///run/x", Bind(path="/run/x"), "unix socket /run/x"),
        ("unix:x", Bind(path="x"), "unix socket x"),
        ("unix:@x", Bind(path="\0x"), "unix socket @x"),
        ("fd://0", Bind(fd=0), "file descriptor 0"),
        ("fd://17", Bind(fd=17), "file descriptor 17"),
    ],
)
def test_binds(text: str, bind: Bind, name: str) -> None:
    assert parse_bind(text) == bind
    assert bind.name == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost:http", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost:", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost:-1", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost:²", "an address is given as HOST:PORT, else as unix:PATH or fd://N"),
        ("localhost:65536", "a port is from 0 to 65535"),
        ("::1:80", "an IPv6 address is given as [ADDRESS]:PORT"),
        ("http://localhost:80", "an IPv6 address is given as [ADDRESS]:PORT"),
        ("fd://", "a descriptor is given as fd://N"),
        ("fd://x", "a descriptor is given as fd://N"),
        ("fd://-1", "a descriptor is given as fd://N"),
        ("unix:", "a UNIX socket is given as unix:PATH"),
        ("unix:@", "a UNIX socket is given as unix:PATH"),
        ("unix:a\0b", "a UNIX socket is given as unix:PATH"),
    ],
)
def test_what_is_none(text: str, reason: str) -> None:
    with pytest.raises(BindError) as caught:
        parse_bind(text)
    assert str(caught.value) == reason
    with pytest.raises(ConfigError) as refused:
        Config(app, log_config=None, bind=["localhost:1", text])
    assert str(refused.value) == f"--bind: {text!r}: {reason}."


@pytest.mark.parametrize(
    "settings", [{"uds": "/x"}, {"fd": 3}, {"port": 1}, {"host": "::1"}, {"fd": 0}]
)
def test_beside_others(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(app, log_config=None, bind="localhost:1", **settings)
    assert str(caught.value) == (
        f"--bind: it is given in place of --{next(iter(settings))}; "
        "give that as another --bind too."
    )


@pytest.mark.parametrize("given", ["rw", "8", "1000", "", "-1", 0o1000, -1, "0x6"])
def test_permissions_that_are_none(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(app, log_config=None, uds_permissions=given)
    assert str(caught.value).endswith(": permissions are given in octal, as 660.")
