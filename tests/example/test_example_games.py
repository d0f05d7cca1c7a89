# SPDX-License-Identifier: MIT
"""The games API, on both databases: contents, errors, paging, transactions, streaming."""

import asyncio
import itertools
import json
import socket
import time
from typing import Any

import httpx
import pytest
from boardgames_server import REQUEST_LIMIT, Databases, ServerProcess

GAMES = "/api/v1/games"
numbers = itertools.count(1)


def new_game(**changes: Any) -> dict[str, Any]:
    """The body of a game with a name nothing else has."""
    game = {
        "name": f"Game {next(numbers)}",
        "category": "test",
        "year": 2020,
        "min_players": 1,
        "max_players": 4,
        "minutes": 30,
    }
    return game | changes


def add_game(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Create a game and return it as the server tells it."""
    answer = client.post(GAMES, json=new_game(**changes))
    assert answer.status_code == 201, answer.text
    game: dict[str, Any] = answer.json()
    return game


def names(client: httpx.Client, **params: Any) -> list[str]:
    """The names on the first page of a list."""
    answer = client.get(GAMES, params=params)
    assert answer.status_code == 200, answer.text
    return [game["name"] for game in answer.json()["items"]]


def test_list_starts_with_the_seeded_games(client: httpx.Client) -> None:
    answer = client.get(GAMES, params={"limit": 3})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    page = answer.json()
    assert [game["name"] for game in page["items"]] == ["Go", "Chess", "Backgammon"]
    assert page["items"][0] == {
        "id": 1,
        "name": "Go",
        "category": "abstract",
        "year": -2000,
        "min_players": 2,
        "max_players": 2,
        "minutes": 90,
        "rating_count": 0,
        "rating": None,
    }
    assert page["next"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"category": "abstract"}, ["Go", "Chess"]),
        ({"q": "TICKET"}, ["Ticket to Ride"]),
        ({"q": "%"}, []),
        ({"players": 7, "category": "drafting"}, ["7 Wonders"]),
        ({"players": 7, "category": "trading"}, []),
        ({"year_to": 1500, "sort": "year"}, ["Backgammon", "Go", "Chess"]),
        ({"year_from": 2017, "year_to": 2019}, ["Azul", "Wingspan"]),
        ({"q": "a", "category": "tile-laying", "sort": "name"}, ["Azul", "Carcassonne"]),
    ],
)
def test_filters(client: httpx.Client, params: dict[str, Any], expected: list[str]) -> None:
    assert names(client, **params) == expected


@pytest.mark.parametrize("sort", ["id", "name", "year"])
def test_keyset_paging_walks_every_row_once(client: httpx.Client, sort: str) -> None:
    category = f"paging-{sort}"
    # Years repeat, so that pages end between rows of the same sort value.
    bodies = [new_game(category=category, year=1990 + number % 7) for number in range(120)]
    imported = client.post(f"{GAMES}/import", json=bodies)
    assert imported.json() == {"created": 120, "skipped": 0}

    params: dict[str, Any] = {"category": category, "sort": sort, "limit": 17}
    rows: list[dict[str, Any]] = []
    sizes = []
    for _ in range(20):
        page = client.get(GAMES, params=params).json()
        rows += page["items"]
        sizes.append(len(page["items"]))
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert sizes == [17] * 7 + [1]
    assert sorted(row["name"] for row in rows) == sorted(body["name"] for body in bodies)
    assert len({row["id"] for row in rows}) == 120
    if sort != "name":  # how names compare is the database's business
        keys = [(row[sort], row["id"]) for row in rows]
        assert keys == sorted(keys)


def test_cursor_of_another_order_is_refused(client: httpx.Client) -> None:
    cursor = client.get(GAMES, params={"limit": 1, "sort": "name"}).json()["next"]
    answer = client.get(GAMES, params={"after": cursor, "sort": "year"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("after must be")


@pytest.mark.parametrize("cursor", ["", "x", "bm8=", "WzFd", "W10=", "W1tdLDEsMV0=", "\u00e9"])
def test_cursor_that_is_none_is_refused(client: httpx.Client, cursor: str) -> None:
    assert client.get(GAMES, params={"after": cursor}).status_code == 422


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 101}, {"players": "many"}, {"sort": "price"}, {"year_to": 10**12}],
)
def test_bad_query_is_refused(client: httpx.Client, params: dict[str, Any]) -> None:
    answer = client.get(GAMES, params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(params))]


def test_a_game_from_creation_to_deletion(client: httpx.Client, server: ServerProcess) -> None:
    body = new_game()
    created = client.post(GAMES, json=body)
    assert created.status_code == 201
    game = created.json()
    assert game == body | {"id": game["id"], "rating_count": 0, "rating": None}
    assert created.headers["location"] == f"{server.url}{GAMES}/{game['id']}"

    url = created.headers["location"]
    assert client.get(url).json() == game

    changed = new_game(name=f"{body['name']} d\u00e9luxe \U0001f3b2", year=2021)
    assert client.put(url, json=changed).json() == game | changed
    assert client.get(url).json() == game | changed

    deleted = client.delete(url)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "content-length" not in deleted.headers
    for answer in (client.get(url), client.put(url, json=changed), client.delete(url)):
        assert answer.status_code == 404
        assert answer.json() == {"detail": f"there is no game {game['id']}"}


def test_name_taken_is_a_conflict(client: httpx.Client) -> None:
    first, second = add_game(client), add_game(client)
    expected = {"detail": "there is already a game of that name"}
    again = client.post(GAMES, json=new_game(name=first["name"]))
    assert (again.status_code, again.json()) == (409, expected)
    renamed = client.put(f"{GAMES}/{second['id']}", json=new_game(name=first["name"]))
    assert (renamed.status_code, renamed.json()) == (409, expected)
    assert client.get(f"{GAMES}/{second['id']}").json() == second


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, ["body", "name"]),
        ({"name": "x" * 201}, ["body", "name"]),
        ({"name": "a\0b"}, ["body", "name"]),
        ({"year": "long ago"}, ["body", "year"]),
        ({"min_players": 5}, ["body"]),
        ({"price": 10}, ["body", "price"]),
    ],
)
def test_bad_game_is_refused(client: httpx.Client, changes: Any, field: list[str]) -> None:
    answer = client.post(GAMES, json=new_game(**changes))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == field


def test_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(GAMES, content=b"{oops", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "json_invalid"


def test_chunked_request_body(client: httpx.Client) -> None:
    body = new_game()
    encoded = json.dumps(body).encode()
    pieces = (encoded[at : at + 10] for at in range(0, len(encoded), 10))
    headers = {"content-type": "application/json"}
    answer = client.post(GAMES, content=pieces, headers=headers)
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == body["name"]


@pytest.mark.parametrize("game_id", ["go", "0", "-1", "99999999999999999999"])
def test_bad_id_is_refused(client: httpx.Client, game_id: str) -> None:
    answer = client.get(f"{GAMES}/{game_id}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "game_id"]


def test_method_and_path_that_are_not_there(client: httpx.Client) -> None:
    wrong_method = client.post("/health")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "GET")
    assert client.get("/api/v2/games").status_code == 404


def test_rating_counts_once_per_person(client: httpx.Client) -> None:
    url = f"{GAMES}/{add_game(client)['id']}"
    first = client.post(f"{url}/ratings", json={"person": "ada", "score": 9})
    assert first.status_code == 201
    assert (first.json()["rating_count"], first.json()["rating"]) == (1, 9.0)
    second = client.post(f"{url}/ratings", json={"person": "bob", "score": 4})
    assert (second.json()["rating_count"], second.json()["rating"]) == (2, 6.5)

    again = client.post(f"{url}/ratings", json={"person": "ada", "score": 1})
    assert again.status_code == 409
    assert again.json()["detail"].startswith("ada has already rated game")
    # The first write of that transaction was rolled back with the second.
    game = client.get(url).json()
    assert (game["rating_count"], game["rating"]) == (2, 6.5)


def test_rating_errors(client: httpx.Client) -> None:
    missing = client.post(f"{GAMES}/2000000000/ratings", json={"person": "ada", "score": 5})
    assert missing.status_code == 404
    for body in ({"person": "ada", "score": 11}, {"person": " ", "score": 5}, {"score": 5}):
        assert client.post(f"{GAMES}/1/ratings", json=body).status_code == 422


def test_deleting_a_game_deletes_its_ratings(client: httpx.Client) -> None:
    rating = {"person": "ada", "score": 7}
    game = add_game(client)
    assert client.post(f"{GAMES}/{game['id']}/ratings", json=rating).status_code == 201
    assert client.delete(f"{GAMES}/{game['id']}").status_code == 204
    # SQLite gives the highest id out again: a rating left behind would now be a conflict.
    game = add_game(client)
    assert client.post(f"{GAMES}/{game['id']}/ratings", json=rating).status_code == 201


def test_concurrent_ratings_lose_no_update(client: httpx.Client, server: ServerProcess) -> None:
    url = f"{server.url}{GAMES}/{add_game(client)['id']}"

    async def rate_all() -> list[int]:
        async with httpx.AsyncClient(timeout=REQUEST_LIMIT, trust_env=False) as many:
            persons = ["ada"] * 10 + [f"person-{number}" for number in range(20)]
            ratings = ({"person": person, "score": 6} for person in persons)
            answers = await asyncio.gather(
                *(many.post(f"{url}/ratings", json=rating) for rating in ratings)
            )
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(rate_all()) == [201] * 21 + [409] * 9
    game = client.get(url).json()
    assert (game["rating_count"], game["rating"]) == (21, 6.0)


def test_bulk_import_is_all_or_nothing(client: httpx.Client) -> None:
    category = "import-fail"
    known = add_game(client, category=category)
    bodies = [new_game(category=category) for _ in range(300)]
    answer = client.post(f"{GAMES}/import", json=[*bodies, new_game(name=known["name"])])
    assert answer.status_code == 409
    assert names(client, category=category) == [known["name"]]

    answer = client.post(f"{GAMES}/import", json=bodies)
    assert (answer.status_code, answer.json()) == (200, {"created": 300, "skipped": 0})
    assert len(names(client, category=category, limit=100)) == 100


def test_bulk_import_can_skip_known_names(client: httpx.Client) -> None:
    category = "import-skip"
    known = add_game(client, category=category)
    bodies = [new_game(category=category) for _ in range(50)]
    answer = client.post(
        f"{GAMES}/import",
        params={"on_conflict": "skip"},
        json=[new_game(name=known["name"], year=1), *bodies],
    )
    assert (answer.status_code, answer.json()) == (200, {"created": 50, "skipped": 1})
    assert client.get(f"{GAMES}/{known['id']}").json() == known
    assert len(names(client, category=category, limit=100)) == 51


def test_bulk_import_errors(client: httpx.Client) -> None:
    assert client.post(f"{GAMES}/import", json=[]).status_code == 422
    answer = client.post(f"{GAMES}/import", json=[new_game(), new_game(minutes=0)])
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", 1, "minutes"]


def receive_chunks(connection: socket.socket) -> tuple[bytes, list[bytes]]:
    """Read a chunked response. Returns the head and the data of each chunk."""
    stream = connection.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, f"the response ended in its head: {head!r}"
        head += line
    chunks = []
    while size := int(stream.readline(), 16):
        chunks.append(stream.read(size))
        assert stream.read(2) == b"\r\n"
    assert stream.readline() == b"\r\n"
    return head, chunks


def request_export(server: ServerProcess) -> socket.socket:
    """Send the request for the export on a connection of its own."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=REQUEST_LIMIT)
    connection.sendall(f"GET {GAMES}/export HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def test_export_is_streamed(client: httpx.Client, server: ServerProcess) -> None:
    added = [new_game(category="export") for _ in range(500)]
    assert client.post(f"{GAMES}/import", json=added).status_code == 200
    with request_export(server) as connection:
        head, chunks = receive_chunks(connection)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: application/x-ndjson\r\n" in head.lower()
    assert b"transfer-encoding: chunked\r\n" in head.lower()
    assert b"content-length" not in head.lower()
    # At least 512 games, read from the database a hundred at a time.
    assert len(chunks) >= 6
    games = [json.loads(line) for line in b"".join(chunks).splitlines()]
    assert games[0]["name"] == "Go"
    assert [game["id"] for game in games] == sorted({game["id"] for game in games})
    assert {game["name"] for game in games} >= {game["name"] for game in added}

    with client.stream("GET", f"{GAMES}/export") as answer:
        assert list(answer.iter_lines()) == b"".join(chunks).decode().splitlines()


def wait_for_idle_pool(client: httpx.Client) -> dict[str, int]:
    """Wait until no connection of the pool is in use; return its numbers."""
    deadline = time.monotonic() + REQUEST_LIMIT
    while True:
        pool: dict[str, int] = client.get("/health").json()["pool"]
        if pool["checked_out"] == 0:
            return pool
        assert time.monotonic() < deadline, f"connections stayed out: {pool}"
        time.sleep(0.02)


def test_abandoned_export_gives_its_connection_back(
    client: httpx.Client, server: ServerProcess
) -> None:
    for _ in range(20):  # more than the pool has connections
        with request_export(server) as connection:
            assert connection.recv(15).startswith(b"HTTP/1.1 200")
    wait_for_idle_pool(client)
    assert names(client, q="Chess") == ["Chess"]
    # A reader who goes away is no error.
    assert "ASGI callable returned" not in server.log


def test_health(client: httpx.Client, databases: Databases) -> None:
    wait_for_idle_pool(client)
    health = client.get("/health").json()
    pool = health.pop("pool")
    assert health.pop("loop")
    assert health == {"status": "ok", "database": databases.kind}
    assert (pool["size"], pool["max_overflow"], pool["checked_out"]) == (5, 10, 0)
    assert 1 <= pool["checked_in"] <= 5
