# SPDX-License-Identifier: MIT
"""The command serving: its lines, its options, and where it listens."""

import json
import os
import re
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest
from command_process import APPS, LIMIT, Serving, UnixConnection, get


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for the tests that leave it as it was."""
    with Serving(tmp_path_factory.mktemp("plain"), "served:app", "--root-path", "/api") as server:
        yield server


@pytest.mark.parametrize(("number", "status"), [(SIGTERM, -SIGTERM), (SIGINT, 0)])
def test_lines_and_ending(number: Signals, status: int, tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app") as server:
        assert server.get("/a%20b?c=d")[0] == 200
        assert server.get("/raise")[0] == 500
        assert server.process.poll() is None
        server.send(number)
        assert server.wait() == status
        lines = server.lines
        # The traceback between the two.
        begin = lines.index("ERROR:    Exception in ASGI application")
        end = lines.index("INFO:     Shutting down")
        assert "ZeroDivisionError: as asked" in lines[begin:end]
        assert lines[:begin] + lines[end:] == [
            "INFO:     Started server process [PID]",
            "INFO:     Waiting for application startup.",
            "app: lifespan.startup",
            "INFO:     Application startup complete.",
            "INFO:     Camshaft running on http://127.0.0.1:PORT (Press CTRL+C to quit)",
            "INFO:     Shutting down",
            "INFO:     Waiting for application shutdown.",
            "app: lifespan.shutdown",
            "INFO:     Application shutdown complete.",
            "INFO:     Finished server process [PID]",
        ]
        assert re.fullmatch(
            r'INFO:     127\.0\.0\.1:\d+ - "GET /a%20b\?c=d HTTP/1\.1" 200 OK\n'
            r'INFO:     127\.0\.0\.1:\d+ - "GET /raise HTTP/1\.1" 500 Internal Server Error\n',
            server.out,
        )


def test_console_script(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("camshaft")
    if not script.exists():
        pytest.skip(f"camshaft is not installed beside {sys.executable}")
    with Serving(tmp_path, "served:app", command=[str(script)]) as server:
        assert server.seen()["loop"].startswith("camshaft.")
        assert server.stop(SIGINT) == 0


def test_root_path(plain: Serving) -> None:
    seen = plain.seen("/x")
    assert (seen["root_path"], seen["path"]) == ("/api", "/api/x")


def test_state_of_the_lifespan(plain: Serving) -> None:
    assert plain.seen()["state"] == {"pool": "a pool"}


def test_loop_is_ours(plain: Serving) -> None:
    assert plain.seen()["loop"].startswith("camshaft.")


def test_default_headers(plain: Serving) -> None:
    _, headers, _ = plain.get()
    assert headers["server"] == "camshaft"
    assert "date" in headers


def switches(process_id: int) -> int:
    """How often a process has gone to sleep."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return sum(map(int, re.findall(r"voluntary_ctxt_switches:\s+(\d+)", status)))


def test_idle_server_sleeps(plain: Serving) -> None:
    """Without connections nothing wakes the process up: there are seconds without a switch."""
    windows = []
    for _ in range(20):
        before = switches(plain.process.pid)
        time.sleep(1)
        windows.append(switches(plain.process.pid) - before)
        if windows[-1] == 0:
            return
    pytest.fail(f"wake-ups in each of these seconds: {windows}")


def test_keep_alive_connection_is_closed(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--timeout-keep-alive", "1") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.process.poll() is None


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Serving(tmp_path, "served:app", "--uds", str(path)) as server:
        line = f"INFO:     Camshaft running on unix socket {path} (Press CTRL+C to quit)"
        assert line in server.lines
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        status, _, body = get(UnixConnection(str(path)))
        assert (status, json.loads(body)["client"]) == (200, None)
        assert server.stop() == -SIGTERM
    assert not path.exists()


def test_descriptor(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        number = inherited.fileno()
        with Serving(tmp_path, "served:app", "--fd", str(number), pass_fds=(number,)) as server:
            line = f"Camshaft running on socket {inherited.getsockname()} (Press CTRL+C to quit)"
            assert line in server.log
            client = socket.create_connection(inherited.getsockname(), timeout=LIMIT)
            with client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert client.recv(16) == b"HTTP/1.1 200 OK\r"
            assert server.stop() == -SIGTERM


@pytest.mark.parametrize("flag", [True, False])
def test_factory(flag: bool, tmp_path: Path) -> None:
    arguments = ["--factory"] if flag else []
    warning = (
        "WARNING:  ASGI app factory detected. Using it, "
        "but please consider setting the --factory flag explicitly."
    )
    with Serving(tmp_path, "served:make_app", *arguments) as server:
        assert server.seen()["asgi"] == "3.0"
        assert (warning in server.lines) is not flag


def test_asgi2_application_from_another_directory(tmp_path: Path) -> None:
    arguments = ("served:asgi2", "--app-dir", str(APPS))
    with Serving(tmp_path, *arguments, cwd=tmp_path) as server:
        assert server.seen() == "asgi2"


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_application_without_lifespan(mode: str, tmp_path: Path) -> None:
    with Serving(tmp_path, "served:no_lifespan", "--lifespan", mode) as server:
        assert server.seen() is None
        assert server.stop() == -SIGTERM
        told = [line for line in server.lines if "pplication" in line or "lifespan" in line]
    if mode == "off":
        assert told == []
    else:
        assert told == [
            "INFO:     Waiting for application startup.",
            "INFO:     ASGI 'lifespan' protocol appears unsupported.",
            "INFO:     Application startup complete.",
        ]


@pytest.mark.parametrize(
    ("loop", "module"), [("asyncio", "asyncio"), ("uvloop", "uvloop"), ("uvloop:Loop", "uvloop")]
)
def test_other_loops(loop: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module, exc_type=ImportError)
    with Serving(tmp_path, "served:app", "--loop", loop) as server:
        assert server.seen()["loop"].startswith(f"{module}.")
        assert server.stop() == -SIGTERM
        assert server.lines[-1] == "INFO:     Finished server process [PID]"


def test_uvicorn_on_our_loop(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    arguments = ("served:app", "--loop", "camshaft:new_event_loop")
    command = (sys.executable, "-m", "uvicorn")
    with Serving(tmp_path, *arguments, command=command) as server:
        assert server.seen()["loop"].startswith("camshaft.")
        assert server.stop() == -SIGTERM


def test_headers_and_quiet_logs(tmp_path: Path) -> None:
    arguments = (
        "served:app --header X-One:1 --header Server:mine --no-date-header --no-access-log "
        "--use-colors"
    )
    with Serving(tmp_path, *arguments.split()) as server:
        _, headers, _ = server.get()
        assert headers["x-one"] == "1"
        assert headers["server"] == "mine"
        assert "date" not in headers
        assert server.stop() == -SIGTERM
        assert server.out == ""
        assert "\033[32mINFO\033[0m:     Started server process [\033[36m" in server.log


def test_settings_from_the_environment(tmp_path: Path) -> None:
    variables = tmp_path / "settings.env"
    variables.write_text("SERVED_VARIABLE='from the file'\n")
    env = {
        "CAMSHAFT_APP": "served:app",
        "CAMSHAFT_PORT": "0",
        "UVICORN_PORT": "no number",
        "UVICORN_SERVER_HEADER": "false",
        "UVICORN_ROOT_PATH": "/fallback",
        "CAMSHAFT_ENV_FILE": str(variables),
    }
    with Serving(tmp_path, env=env) as server:
        _, headers, body = server.get()
        assert "server" not in headers
        seen = json.loads(body)
        assert (seen["root_path"], seen["variable"]) == ("/fallback", "from the file")


def test_log_config(tmp_path: Path) -> None:
    config = tmp_path / "log.json"
    config.write_text(
        json.dumps(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {
                    "default": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "<%(message)s>"},
                    "access": {
                        "()": "uvicorn.logging.AccessFormatter",
                        "fmt": "<%(request_line)s %(status_code)s>",
                    },
                },
                "handlers": {
                    "default": {"class": "logging.StreamHandler", "formatter": "default"},
                    "access": {
                        "class": "logging.StreamHandler",
                        "formatter": "access",
                        "stream": "ext://sys.stdout",
                    },
                },
                "loggers": {
                    "uvicorn": {"handlers": ["default"], "level": "INFO"},
                    "uvicorn.access": {"handlers": ["access"], "propagate": False},
                },
            }
        )
    )
    with Serving(tmp_path, "served:app", "--log-config", str(config)) as server:
        assert server.get("/x")[0] == 200
        assert server.stop() == -SIGTERM
        assert server.lines[-1] == "<Finished server process [PID]>"
        assert server.out == "<GET /x HTTP/1.1 200 OK>\n"


SCRIPT = """
import asyncio, sys
import camshaft
from served import app

if sys.argv[1] == "serve":
    camshaft.serve(app, port=0)
else:
    async def main():
        await camshaft.Server(camshaft.Config(app, port=0)).serve()
    asyncio.run(main())
print("after", flush=True)
"""


@pytest.mark.parametrize("way", ["serve", "embedded"])
def test_without_the_command(way: str, tmp_path: Path) -> None:
    """camshaft.serve, and a Server on a loop that is somebody else's."""
    path = os.pathsep.join([str(APPS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = (sys.executable, "-c", SCRIPT, way)
    with Serving(tmp_path, command=command, env={"PYTHONPATH": path}) as server:
        assert server.seen()["state"] == {"pool": "a pool"}
        if way == "serve":
            assert server.stop(SIGINT) == 0
            assert server.out.endswith("after\n")
        else:
            assert server.stop(SIGTERM) == -SIGTERM
            assert server.lines[-1] == "INFO:     Finished server process [PID]"


def test_proxy_headers(tmp_path: Path) -> None:
    headers = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}

    def seen(server: Serving) -> tuple[str, list[object]]:
        client = server.connection()
        client.request("GET", "/", headers=headers)
        scope = json.loads(client.getresponse().read())
        client.close()
        return scope["scheme"], scope["client"][:1]

    with Serving(tmp_path, "served:app") as server:
        assert seen(server) == ("https", ["1.2.3.4"])
        server.wait_until(lambda: '1.2.3.4:0 - "GET / HTTP/1.1" 200' in server.out, "its line")
    for arguments, env in (
        (("--no-proxy-headers",), {}),
        (("--forwarded-allow-ips", "10.0.0.1"), {"FORWARDED_ALLOW_IPS": "*"}),
        ((), {"FORWARDED_ALLOW_IPS": "10.0.0.1"}),
    ):
        with Serving(tmp_path, "served:app", *arguments, env=env) as server:
            assert seen(server) == ("http", ["127.0.0.1"])
    headers["Forwarded"] = "for=5.6.7.8;proto=http"
    with Serving(tmp_path, "served:app", "--forwarded-header", "forwarded") as server:
        assert seen(server) == ("http", ["5.6.7.8"])
