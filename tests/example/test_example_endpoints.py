# SPDX-License-Identifier: MIT
"""asyncio and threads inside endpoints: every pattern of the example answers as it should."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from boardgames_server import LOOP, REQUEST_LIMIT, ServerProcess


def get(client: httpx.Client, path: str, **params: Any) -> Any:
    """The JSON of a successful answer."""
    # An empty mapping would remove the query that the path brings along.
    answer = client.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_loop_under_the_application(client: httpx.Client) -> None:
    assert get(client, "/health")["loop"].split(".")[0] == LOOP


def test_sync_endpoint_runs_in_a_worker_thread(client: httpx.Client) -> None:
    answer = get(client, "/sync-games")
    assert answer["games"] == ["Go", "Chess", "Backgammon", "Catan", "Carcassonne"]
    assert answer["in_main_thread"] is False
    assert answer["call"] == f"catalogue by {answer['thread']}"


def test_sync_endpoint_reaches_the_loop_stored_at_start_up(client: httpx.Client) -> None:
    assert get(client, "/sync-with-async", seconds=0.5) == {
        "get_running_loop": "no running event loop",
        "result": "games fetched",
    }


def test_concurrent_fetches_overlap(client: httpx.Client) -> None:
    answer = get(client, "/concurrent")
    assert answer["results"] == ["games fetched", "ratings fetched", "reviews fetched"]
    assert answer["one_by_one"] == 1.5
    # One after the other they would take 1.5 s. The lower bound is loose by a clock tick.
    assert 0.49 < answer["elapsed"] < 1.4


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/gather-exceptions",
            {
                "results": ["games fetched", "reviews fetched"],
                "errors": ["RemoteError('ratings failed')"],
            },
        ),
        ("/wait-first", {"done": ["mirror-2 fetched"], "cancelled": ["mirror-1", "mirror-3"]}),
        ("/wait-timeout", {"done": ["quick fetched"], "cancelled": ["slow"]}),
        ("/as-completed", {"order": ["third fetched", "second fetched", "first fetched"]}),
        ("/wait-for", {"source": "fallback", "answer": "the most popular games"}),
        (
            "/wait-for?seconds=0&limit=10",
            {"source": "remote", "answer": "recommendations fetched"},
        ),
        ("/timeout", {"finished": ["first fetched"], "expired": True}),
        (
            "/timeout?seconds=0&limit=10",
            {"finished": ["first fetched", "second fetched"], "expired": False},
        ),
        (
            "/semaphore",
            {"results": [f"page-{number} fetched" for number in range(10)], "most_at_once": 3},
        ),
        (
            "/queue",
            {
                "consumed": [f"{producer}-{item}" for producer in (1, 2) for item in range(10)],
                "fullest": 4,
                "left": 0,
            },
        ),
        # Without the lock every increment reads 0 before any writes: asyncio runs ready
        # callbacks in the order in which they became ready.
        ("/lock", {"with_lock": 100, "without_lock": 1}),
        (
            "/tasks/create",
            {
                "name": "collector",
                "events": ["request goes on", "task runs", "answer collected"],
                "answer": "games fetched",
            },
        ),
        ("/tasks/cancel", {"events": ["started", "cleaned up", "gone"], "cancelled": True}),
    ],
)
def test_asyncio_pattern(client: httpx.Client, path: str, expected: Any) -> None:
    assert get(client, path) == expected


def test_blocking_call_in_the_default_executor(client: httpx.Client) -> None:
    call, _, thread = get(client, "/blocking")["result"].partition(" by ")
    assert call == "report"
    assert thread != "MainThread"


def test_blocking_calls_in_a_pool_of_ten(client: httpx.Client) -> None:
    answer = get(client, "/multiple-blocking")
    calls = [result.partition(" by ") for result in answer["results"]]
    assert [call for call, _, _ in calls] == [f"report-{number}" for number in range(20)]
    assert all(thread.startswith("own-pool_") for _, _, thread in calls)
    assert 2 <= answer["most_at_once"] <= 10


def test_background_task_runs_after_the_response(client: httpx.Client) -> None:
    started = get(client, "/background-safe")
    assert started["status"] == "scheduled"
    # The job does not end before somebody has asked after it, and nobody can before the response
    # that names it has arrived. So the first answer is "running", and the last "done".
    path = f"/background-safe/{started['id']}"
    assert get(client, path)["status"] in {"scheduled", "running"}
    deadline = time.monotonic() + REQUEST_LIMIT
    while (job := get(client, path))["status"] != "done":
        assert job["status"] != "failed"
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    assert job["games"] >= 12
    assert client.get("/background-safe/1000000").status_code == 404


def test_sync_endpoints_run_forty_at_once(server: ServerProcess) -> None:
    async def two_waves() -> tuple[dict[str, int], list[dict[str, bool]]]:
        path = f"{server.url}/turnstiles/waves"
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(limits=limits, timeout=REQUEST_LIMIT, trust_env=False) as many:
            assert (await many.put(path)).status_code == 201
            waiting = [asyncio.create_task(many.post(f"{path}/pass")) for _ in range(60)]
            deadline = time.monotonic() + 50  # the turnstile holds nobody longer than a minute
            while True:
                full: dict[str, int] = (await many.get(path)).json()
                if full["inside"] == 40 and full["waiting_for_a_thread"] == 20:
                    break
                assert time.monotonic() < deadline, full
                await asyncio.sleep(0.02)
            assert (await many.post(f"{path}/open")).status_code == 200
            answers = await asyncio.gather(*waiting)
            after: dict[str, int] = (await many.get(path)).json()
        assert [answer.status_code for answer in answers] == [200] * 60
        return full | {"most_inside": after["most_inside"]}, [answer.json() for answer in answers]

    full, answers = asyncio.run(two_waves())
    assert full == {
        "inside": 40,
        "most_inside": 40,
        "threads": 40,
        "threads_busy": 40,
        "waiting_for_a_thread": 20,
    }
    assert all(answer["opened"] for answer in answers)
    # The first wave met a closed turnstile, the second an open one.
    assert [answer["waited"] for answer in answers].count(True) == 40


def test_interactive_documentation(client: httpx.Client) -> None:
    schema = get(client, "/openapi.json")
    assert schema["info"]["title"] == "Board games"
    assert {"/api/v1/games", "/concurrent", "/sync-games"} <= set(schema["paths"])
    assert "swagger" in client.get("/docs").text.lower()
