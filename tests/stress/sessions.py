# SPDX-License-Identifier: MIT
"""Clients that leave a request at each place where it waits: is its database session given back?

An application of routes that hold SQLAlchemy sessions by dependencies with `yield`, on a pool of
few PostgreSQL connections, is served in this process. A request is known by a number, and each
future that it makes to wait for something is counted: at the one that was chosen its client closes
the connection, or resets it, or the request's task is cancelled, as a server does with what has
not ended at its shutdown. Whatever happens, the session must be closed: in the end no connection is
checked out of the pool, and PostgreSQL has no backend that is idle in a transaction.

``python -m tests.stress sessions`` has many clients leave at random, with FastAPI's own way and
both ways of plans one after the other.
"""

import asyncio
import contextlib
import contextvars
import logging
import random
import shutil
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import asyncpg
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

import camshaft
from camshaft.server.http import http_server
from tests.postgresql import start_postgresql

LIMIT = 60.0
"""Seconds after which what is waited for counts as never to come."""

POOL = 3
"""Connections of the pool, and as many more when they are not enough."""

CLIENTS = 40

LARGE = 8 * 1024 * 1024
"""Bytes that no socket's buffers hold."""


@dataclass
class Visit:
    """One request: who asks, and what becomes of that."""

    number: int
    how: str = "stay"
    """"close", "reset", "cancel", or "stay": wait for the answer."""
    at: int = 0
    """At which wait; 0: with the first bytes of the answer."""
    client: socket.socket | None = None
    task: asyncio.Task[Any] | None = None
    waits: int = 0
    left: bool = False

    def wait(self) -> None:
        """The request is about to wait for something."""
        self.waits += 1
        if self.waits == self.at:
            self.leave()

    def leave(self) -> None:
        """What was chosen happens, the first time."""
        if self.left or self.how == "stay":
            return
        if self.client is not None and self.client.fileno() < 0:
            return  # it has its whole answer, and is gone; what is behind that still waits
        self.left = True
        if self.how == "cancel":
            if self.task is not None:
                # Not here: its future is not there yet.
                self.task.get_loop().call_soon(self.task.cancel)
        elif self.client is not None:
            if self.how == "reset":
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()


HOW = ("close", "reset", "cancel")

current: contextvars.ContextVar[Visit | None] = contextvars.ContextVar("visit", default=None)


class Loop(camshaft.EventLoop):
    """Tells a visit of what it waits for."""

    def create_future(self) -> asyncio.Future[Any]:
        visit = current.get()
        if visit is not None:
            visit.wait()
        return super().create_future()


class Row(BaseModel):
    """What is written."""

    name: str


class Written(Row):
    """What has been."""

    id: int


def application(
    engine: AsyncEngine, visits: dict[int, Visit], leaked: list[AsyncSession] | None = None
) -> FastAPI:
    """The application. With `leaked` its sessions are left open and put there: to be seen."""
    app = FastAPI()
    make = async_sessionmaker(engine, expire_on_commit=False)

    async def visited(number: int) -> None:
        visit = visits[number]
        visit.task = asyncio.current_task()
        current.set(visit)

    async def session(_: Annotated[None, Depends(visited)]) -> AsyncIterator[AsyncSession]:
        if leaked is not None:
            leaked.append(make())
            yield leaked[-1]
            return
        async with make() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]
    Brief = Annotated[AsyncSession, Depends(session, scope="function")]

    async def seen(opened: Session) -> int:
        return int((await opened.execute(text("SELECT 1"))).scalar_one())

    @app.get("/read")
    async def read(opened: Session, one: Annotated[int, Depends(seen)]) -> dict[str, int]:
        found = await opened.execute(text("SELECT 2, pg_sleep(0.001)"))
        return {"one": one, "two": found.one()[0]}

    @app.get("/brief")
    async def brief(opened: Brief) -> dict[str, int]:
        return {"one": (await opened.execute(text("SELECT 1"))).scalar_one()}

    @app.post("/write", response_model=Written)
    async def write(row: Row, opened: Session) -> Any:
        insert = text("INSERT INTO visits (name) VALUES (:name) RETURNING id, name")
        written = (await opened.execute(insert, {"name": row.name})).mappings().one()
        await opened.commit()
        await opened.execute(text("SELECT 1"))
        return written

    @app.get("/large")
    async def large(opened: Session) -> str:
        await opened.execute(text("SELECT 1"))
        return "x" * LARGE

    @app.get("/raises")
    async def raises(opened: Session) -> None:
        await opened.execute(text("SELECT 1"))
        raise HTTPException(409)

    @app.get("/fails")
    async def fails(opened: Session) -> None:
        await opened.execute(text("SELECT no_such_column"))

    @app.get("/later")
    async def later(opened: Session, tasks: BackgroundTasks) -> dict[str, int]:
        async def count() -> None:
            await opened.execute(text("SELECT count(*) FROM visits"))

        tasks.add_task(count)
        return {"one": (await opened.execute(text("SELECT 1"))).scalar_one()}

    @app.get("/pieces")
    async def pieces(opened: Session) -> StreamingResponse:
        async def each() -> AsyncIterator[str]:
            for number in range(3):
                found = await opened.execute(text(f"SELECT {number}"))
                yield f"{found.scalar_one()}\n" * 1000

        return StreamingResponse(each())

    @app.get("/thread")
    def thread(opened: Session, one: Annotated[int, Depends(seen)]) -> dict[str, int]:
        return {"one": one}

    return app


ROUTES = {
    "/read": b"",
    "/brief": b"",
    "/write": b'{"name": "somebody"}',
    "/large": b"",
    "/raises": b"",
    "/fails": b"",
    "/later": b"",
    "/pieces": b"",
    "/thread": b"",
}
"""What is sent to each."""

FIRST = "/read"
"""That which has to connect to PostgreSQL each time."""


@dataclass
class Outcome:
    """What a run came to."""

    visits: int = 0
    left: int = 0
    native: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.visits} requests, {self.left} left, {self.native} in a plan"
        return "\n".join([f"{text}, {len(self.broken)} broken promises", *self.broken])


class Soak:
    """The application, served, and its clients."""

    def __init__(self, url: str, mode: str, *, leaks: bool = False) -> None:
        self.url = make_url(url).set(drivername="postgresql+asyncpg")
        self.mode = mode
        self.leaked: list[AsyncSession] | None = [] if leaks else None
        self.visits: dict[int, Visit] = {}
        self.outcome = Outcome()

    async def __aenter__(self) -> "Soak":
        self.engine = create_async_engine(
            self.url, pool_size=POOL, max_overflow=POOL, pool_timeout=LIMIT
        )
        async with self.engine.begin() as connection:
            await connection.execute(
                text("CREATE TABLE IF NOT EXISTS visits (id serial PRIMARY KEY, name text)")
            )
        app = application(self.engine, self.visits, self.leaked)
        config = camshaft.Config(
            app, interface="asgi3", fastapi=self.mode, log_config=None, access_log=False
        )
        config.load()
        self.mounted = config.fastapi_mounted
        loop = asyncio.get_running_loop()
        self.http: Any = http_server(config, loop, {})
        self.server = await loop.create_server(self.http, "127.0.0.1", 0, backlog=CLIENTS)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await _until(lambda: not self.http.connections, "the connections' end")
        for session in self.leaked or ():
            await session.close()
        await self.engine.dispose()

    async def visit(self, path: str, how: str = "stay", at: int = 0, cut: int = 0) -> Visit:
        """One request, to its end on both sides. `cut`: bytes of the body that are not sent."""
        self.outcome.visits += 1
        visit = self.visits[self.outcome.visits] = Visit(self.outcome.visits, how, at)
        body = ROUTES[path]
        head = f"{'POST' if body else 'GET'} {path}?number={visit.number} HTTP/1.1\r\nHost: a\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        message = head.encode() + b"Connection: close\r\n\r\n" + body
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            visit.client = client
            client.setblocking(False)
            await loop.sock_connect(client, self.address)
            client.sendall(message[: len(message) - cut])  # fits into the socket's buffer
            if cut:
                visit.leave()
            await self._read(client, visit)
        del self.visits[visit.number]
        self.outcome.left += visit.left
        return visit

    async def _read(self, client: socket.socket, visit: Visit) -> None:
        # Not by a future of the loop's: whoever leaves closes the socket under it.
        deadline = time.monotonic() + LIMIT
        while client.fileno() >= 0:
            try:
                data = client.recv(65536)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.outcome.broken.append(f"no answer to {visit} within {LIMIT} s")
                    return
                await asyncio.sleep(0.0005)
                continue
            except ConnectionResetError:
                return
            if not data:
                return
            if visit.at == 0:
                visit.leave()

    async def settle(self, what: str) -> None:
        """Wait until no request is under way, then see that no session is left."""
        await _until(lambda: not self.http.tasks, f"the end of {what}")
        pool: Any = self.engine.pool
        # A cancelled session is closed by a task of its own, and its backend then ends.
        limit = LIMIT if self.leaked is None else 1.0
        try:
            await _until(lambda: pool.checkedout() == 0, "", limit)
        except TimeoutError:
            self.outcome.broken.append(f"{what}: {pool.checkedout()} connections are checked out")
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
        )
        url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        watcher = await asyncpg.connect(url)
        try:
            deadline = time.monotonic() + limit
            while count := await watcher.fetchval(query):
                if time.monotonic() > deadline:
                    self.outcome.broken.append(f"{what}: {count} backends idle in a transaction")
                    break
                await asyncio.sleep(0.01)
        finally:
            await watcher.close()
        if self.mounted is not None:
            self.outcome.native = self.mounted.router.native_count


async def _until(holds: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.0005)


async def _every_wait(url: str, mode: str, leaks: bool) -> Outcome:
    async with Soak(url, mode, leaks=leaks) as soak:
        for path in ROUTES:
            waits = (await soak.visit(path)).waits  # the first one, with that for a connection
            assert waits > 0, f"{path} waits for nothing"
            await soak.settle(path)
            for how in HOW:
                for at in range(waits + 1):
                    if soak.outcome.broken:
                        return soak.outcome
                    if path == FIRST:
                        await soak.engine.dispose()
                    await soak.visit(path, how, at)
                    await _until(lambda: not soak.http.tasks, f"the end of {path}")
                await soak.settle(f"{path}, {how}")
        await soak.visit("/write", "close", cut=5)
        await soak.visit("/write", "reset", cut=5)
        await soak.settle("a body that does not come")
        return soak.outcome


async def _at_random(url: str, mode: str, seconds: float, seed: int) -> Outcome:
    choice = random.Random(seed)
    async with Soak(url, mode) as soak:
        deadline = time.monotonic() + seconds

        async def come_and_go() -> None:
            while time.monotonic() < deadline and not soak.outcome.broken:
                path = choice.choice(list(ROUTES))
                cut = choice.choice([0, 0, 0, 5]) if ROUTES[path] else 0
                how = choice.choice(["stay", *HOW]) if not cut else choice.choice(HOW[:2])
                await soak.visit(path, how, choice.randrange(10), cut)

        await asyncio.gather(*(come_and_go() for _ in range(CLIENTS)))
        await soak.settle("all clients")
        return soak.outcome


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for each request that fails, as many do here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _run(main: Any) -> Outcome:
    with _quiet(), asyncio.Runner(loop_factory=Loop) as runner:
        outcome: Outcome = runner.run(main)
        return outcome


def every_wait(url: str, mode: str, *, leaks: bool = False) -> Outcome:
    """A client for each wait of each route, one after the other, that leaves there."""
    return _run(_every_wait(url, mode, leaks))


def at_random(url: str, mode: str, seconds: float, seed: int) -> Outcome:
    """Many clients at once that leave anywhere, for some seconds."""
    return _run(_at_random(url, mode, seconds, seed))


MODES = ("off", "asgi", "native")


def run(seconds: float, seed: int) -> tuple[bool, str]:
    """Every wait, then random ones for a third of the time, with each mode: (broken, what to say).

    SystemExit(77) where PostgreSQL cannot be started.
    """
    try:
        server = start_postgresql()
    except RuntimeError as error:
        print(error)
        raise SystemExit(77) from None
    try:
        url = server.get_uri()
        lines = []
        broken = False
        for mode in MODES:
            for name, outcome in (
                ("at each wait", every_wait(url, mode)),
                ("at random", at_random(url, mode, seconds / len(MODES), seed)),
            ):
                lines.append(f"{mode}, {name}: {outcome}")
                broken = broken or bool(outcome.broken) or (mode != "off" and not outcome.native)
        return broken, "\n".join(lines)
    finally:
        server.cleanup()
        shutil.rmtree(server.pgdata.parent, ignore_errors=True)
