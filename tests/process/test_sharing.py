# SPDX-License-Identifier: MIT
"""What the workers share: the connections, and the metrics."""

import contextlib
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
from command_process import LIMIT, Serving, run_command
from masters import APPS, Mastering, parent

CONNECTIONS = 100


def ask(client: socket.socket) -> int:
    """One request on a connection that stays; returns who answered."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not re.search(rb"\r\n\r\nfirst \d+", answer):
        data = client.recv(4096)
        assert data, answer
        answer += data
    return int(answer.split()[-1])


def test_connections_are_shared_evenly(tmp_path: Path) -> None:
    """The busiest of four workers has at most a quarter more requests than the idlest."""
    with (
        Mastering(tmp_path, "working:app", "--no-access-log", workers=4) as master,
        contextlib.ExitStack() as clients,
    ):
        connected = []
        answered: Counter[int] = Counter()
        for _ in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", master.port), timeout=LIMIT)
            connected.append(clients.enter_context(client))
            answered[ask(client)] += 1
        for _ in range(4):
            for client in connected:
                answered[ask(client)] += 1
        assert len(answered) == 4
        assert max(answered.values()) <= 1.25 * min(answered.values()), answered
        clients.close()
        assert master.stop() == 0


def test_blocked_workers_share_too(tmp_path: Path) -> None:
    """Those that could take more, and do not, cost a moment for each, and none of them."""
    with (
        Mastering(tmp_path, "working:app", "--timeout-worker-blocked", "0", workers=2) as master,
        socket.create_connection(("127.0.0.1", master.port), timeout=LIMIT) as blocking,
        contextlib.ExitStack() as clients,
    ):
        blocking.sendall(b"GET /block?600 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        master.wait_for("blocking")
        connected = [
            clients.enter_context(socket.create_connection(("127.0.0.1", master.port), LIMIT))
            for _ in range(CONNECTIONS)
        ]
        assert len({ask(client) for client in connected}) == 1
        for pid in master.workers:
            os.kill(pid, 9)


def test_metrics_of_all_workers(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="an extra")
    with Mastering(tmp_path, "working:app", "--metrics", "/metrics", workers=3) as master:
        for _ in range(20):
            master.text()

        def total() -> float:
            counted = re.findall(
                r'camshaft_responses_total\{status="200",worker="(\d+)"\} ([\d.]+)',
                master.get("/metrics")[2].decode(),
            )
            assert {int(pid) for pid, _ in counted} <= set(master.workers)
            return sum(float(count) for _, count in counted)

        def shown() -> list[int]:
            text = master.get("/metrics")[2].decode()
            return sorted(map(int, re.findall(r'open_connections\{worker="(\d+)"\}', text)))

        # The others' are written down once in a second.
        master.wait_until(lambda: total() >= 20, "20 responses")
        master.wait_until(lambda: shown() == sorted(master.workers), "all workers")
        assert master.stop() == 0


def test_metrics_on_an_address_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="an extra")
    with Mastering(tmp_path, "working:app", "--metrics", "127.0.0.1:0") as master:
        found = re.search(r"Metrics on http://127\.0\.0\.1:(\d+)/metrics", master.log)
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=LIMIT) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert b"camshaft_open_connections{" in answer
        assert master.stop() == 0


def test_affinity(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    with Mastering(tmp_path, "working:app", "--worker-affinity", workers=2) as master:
        kept = [os.sched_getaffinity(pid) for pid in master.workers]
        assert all(len(each) == 1 for each in kept)
        if len(processors) > 1:
            assert kept[0] != kept[1]
        assert master.stop() == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_servers_on_one_port(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Either may be asked; and the end of one loses nobody, whoever's queue they are in."""
    directories = [tmp_path / name for name in ("old", "new")]
    for directory in directories:
        directory.mkdir()
    with Serving(directories[0], "working:app", "--reuse-port", *options, cwd=APPS) as old:
        # Then it listens.
        old.wait_for("Application startup complete")
        port = str(old.port)
        options = (*options, "--port", port)
        ended = run_command("working:app", *options, cwd=APPS)
        assert ended.returncode == 3
        assert "address already in use" in ended.stderr
        with Serving(directories[1], "working:app", "--reuse-port", *options, cwd=APPS) as new:
            new.wait_for("Application startup complete")
            servers = (old.process.pid, new.process.pid)

            def answering() -> Iterator[int]:
                pid = int(old.get()[2].split()[1])
                yield pid if pid in servers else parent(pid)

            seen: set[int] = set()
            old.wait_until(
                lambda: bool(seen.update(answering()) or seen == set(servers)), "an answer of each"
            )
            clients = [
                socket.create_connection(("127.0.0.1", old.port), timeout=LIMIT)
                for _ in range(CONNECTIONS)
            ]
            old.send(SIGTERM)
            for client in clients:
                with client:
                    assert ask(client)
            old.wait()
            for _ in range(10):
                assert set(answering()) == {servers[1]}
            new.stop()
