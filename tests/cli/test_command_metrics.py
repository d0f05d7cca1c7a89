# SPDX-License-Identifier: MIT
"""--metrics: at a path, or on an address of its own."""

import re
import urllib.request
from pathlib import Path
from signal import SIGTERM

import pytest
from command_process import Serving, run_command

pytest.importorskip("prometheus_client", reason="an extra: camshaft[metrics]")


def answers(text: bytes) -> dict[str, float]:
    found = re.findall(r'camshaft_responses_total\{status="(\d+)",.*\} (\S+)', text.decode())
    return {status: float(value) for status, value in found}


def test_at_a_path(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--metrics", "/metrics") as server:
        server.get("/a")
        server.get("/raise")
        status, _, body = server.get("/metrics")
        assert status == 200
        assert answers(body) == {"200": 1, "500": 1}
        server.send(SIGTERM)
        server.wait()
        assert "/raise" in server.out
        assert "/metrics" not in server.out


def test_on_an_address_of_their_own(tmp_path: Path) -> None:
    with Serving(tmp_path, "served:app", "--metrics", ":0", ready="Metrics on ") as server:
        server.get("/a")
        found = re.search(r"Metrics on (http://127\.0\.0\.1:\d+/metrics)", server.log)
        assert found
        with urllib.request.urlopen(found[1], timeout=60) as response:
            assert answers(response.read()) == {"200": 1}
        # The application has that path to itself.
        server.get("/metrics")
        server.send(SIGTERM)
        assert server.wait() == -SIGTERM
        assert server.out.count("/metrics") == 1


@pytest.mark.parametrize("place", ["metrics", "/a?b", "/ä", "127.0.0.1:x", ":70000"])
def test_what_is_no_place(place: str) -> None:
    ended = run_command("served:app", "--port", "0", "--metrics", place)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Error: --metrics {place}: ")
    assert ended.stderr.count("\n") == 1
