# SPDX-License-Identifier: MIT
"""The servers that are compared, and the command of each."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import compiled, environment
from bench.http.apps import Target

HOST = "127.0.0.1"

# Gives the command, or None if it cannot do what is asked.
Command = Callable[[Target, int], list[str | Path] | None]


def uvicorn_like(command: str, target: Target, port: int, *options: str) -> list[str | Path]:
    line = [environment.BIN / command, target.app, *options, "--host", HOST, "--port", str(port)]
    line += target.options
    if not target.access_log:
        line.append("--no-access-log")
    if target.tls:
        certificate = environment.certificate()["CAMSHAFT_BENCH_CERTIFICATE"]
        os.chmod(certificate, 0o600)
        line += ["--ssl-certfile", certificate, "--ssl-keyfile", certificate]
    return line


def camshaft(target: Target, port: int) -> list[str | Path]:
    return uvicorn_like("camshaft", target, port)


def camshaft_inside(target: Target, port: int) -> list[str | Path]:
    """FastAPI's plans inside its middleware."""
    return uvicorn_like("camshaft", target, port, "--fastapi", "asgi")


def camshaft_stock(target: Target, port: int) -> list[str | Path]:
    """FastAPI as it is, on our server."""
    return uvicorn_like("camshaft", target, port, "--fastapi", "off")


def uvicorn(target: Target, port: int) -> list[str | Path]:
    options = ["--loop", "uvloop", "--http", "httptools", "--ws", "none"]
    return uvicorn_like("uvicorn", target, port, *options)


def uvicorn_on_camshaft(target: Target, port: int) -> list[str | Path]:
    options = ["--loop", "camshaft:new_event_loop", "--http", "httptools", "--ws", "none"]
    return uvicorn_like("uvicorn", target, port, *options)


def uvicorn_with_our_http(target: Target, port: int) -> list[str | Path]:
    options = ["--loop", "camshaft:new_event_loop", "--http", "camshaft.http:Protocol"]
    return uvicorn_like("uvicorn", target, port, *options, "--ws", "none")


def uvicorn_zig(target: Target, port: int) -> list[str | Path]:
    options = ["--loop", "zuvloop", "--http", "zttp", "--ws", "none"]
    return uvicorn_like("uvicorn", target, port, *options)


def granian(target: Target, port: int) -> list[str | Path]:
    line: list[str | Path] = [environment.BIN / "granian", target.app, "--interface", "asgi"]
    line += ["--host", HOST, "--port", str(port), "--workers", "1", "--loop", "uvloop"]
    line += ["--http", "1", "--no-ws", "--runtime-threads", "1"]
    if target.access_log:
        line.append("--access-log")
    if target.tls:
        certificate = environment.certificate()["CAMSHAFT_BENCH_CERTIFICATE"]
        line += ["--ssl-certificate", certificate, "--ssl-keyfile", certificate]
    return line


def hypercorn(target: Target, port: int) -> list[str | Path]:
    line: list[str | Path] = [environment.BIN / "hypercorn", target.app]
    line += ["--bind", f"{HOST}:{port}", "--worker-class", "uvloop", "--workers", "1"]
    if target.access_log:
        line += ["--access-logfile", "-"]
    if target.tls:
        certificate = environment.certificate()["CAMSHAFT_BENCH_CERTIFICATE"]
        line += ["--certfile", certificate, "--keyfile", certificate]
    return line


def floor_program(source: Path, *options: str, name: str = "", parts: Sequence[Path] = ()) -> Path:
    """A floor, compiled with what all of them have in common. Raises BenchError."""
    here = Path(__file__).parent
    parts = [here / "floor_server.c", *parts]
    return compiled.build(source, f"-I{here}", *options, parts=parts, name=name)


def floor(target: Target, port: int) -> list[str | Path] | None:
    """A C server with a fixed reply: what the kernel costs."""
    here = Path(__file__).parent
    if target.body or target.tls or target.access_log:
        return None
    if target.app == "asgi_hello:app":
        return [floor_program(here / "floor.c"), str(port)]
    if target.path == "/download":
        return [floor_program(here / "download_floor.c", "-DPIECE=65536"), str(port)]
    return None


def floor_256k(target: Target, port: int) -> list[str | Path] | None:
    """The same with a download in larger pieces than the others' application has."""
    if target.path != "/download":
        return None
    source = Path(__file__).parent / "download_floor.c"
    name = "download_floor_256k"
    return [floor_program(source, "-DPIECE=262144", name=name), str(port)]


SERVERS: dict[str, Command] = {
    "camshaft": camshaft,
    "camshaft-asgi": camshaft_inside,
    "camshaft-off": camshaft_stock,
    "uvicorn": uvicorn,
    "granian": granian,
    "hypercorn": hypercorn,
    "floor": floor,
    "floor-256k": floor_256k,
    "uvicorn-on-camshaft": uvicorn_on_camshaft,
    "uvicorn-camshaft-http": uvicorn_with_our_http,
    "uvicorn-zig": uvicorn_zig,
}
