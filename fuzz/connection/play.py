# SPDX-License-Identifier: MIT
"""One case after the other: a server of its own, its clients, and what must hold when they left.

All is in one thread and the clients do not block, so a case goes the same way each time but for
what time limits, and the kernel's TCP, add to it.
"""

import asyncio
import gc
import os
import random
import resource
import socket
import struct
import sys
from collections import Counter
from typing import Any, Self

from camshaft import _core
from fuzz.connection.answers import STATUSES, Conversation, Wrong, read
from fuzz.connection.applications import (
    GOOD,
    Applications,
    Planned,
    files_directory,
    make_files,
)
from fuzz.connection.clients import Plan, pair, plan
from tests.asgi.harness import LOOPS, Log
from tests.cases.http1 import read_cases

LONGEST_SEED = 4000
# Turns of the loop without news after which a client that waits gives up.
PATIENCE = 150
# Turns that the server has to be done with everything once its clients have gone.
TURNS = 1000
# Cases until the process has all the memory it needs for them, and KiB that it may grow by then.
WARM = 300
GROWTH = 48 * 1024


def options_of(chance: random.Random) -> dict[str, Any]:
    """Return a server's options: mostly roomy ones, some so narrow that they are met."""
    options: dict[str, Any] = {
        "ws_max_size": chance.choice((100, 5000, 5000, 70_000)),
        "ws_max_queue": chance.choice((1, 2, 32)),
        "ws_ping_interval": chance.choice((20, 20, 20, None, 0.002)),
        "send_raises": chance.random() < 0.8,
        "metrics": chance.random() < 0.2,
        "ws_per_message_deflate": chance.random() < 0.9,
    }
    if chance.random() < 0.3:
        narrow: dict[str, Any] = {
            "body_bytes": 1000,
            "head_bytes": 300,
            "header_count": 4,
            "header_line": 60,
            "request_line": 50,
            "extension_bytes": 2,
            "trailer_bytes": 2,
            "connection_requests": 2,
            "concurrency": 1,
            "connections": 1,
            "max_requests": 2,
            "keep_alive": 0,
            "head_timeout": 0.01,
            "body_timeout": 0.01,
            "write_timeout": 0.01,
            "websocket": False,
            "ws_ping_timeout": 0.002,
        }
        for name in chance.sample(list(narrow), chance.choice((1, 1, 3))):
            options[name] = narrow[name]
        options["narrow"] = True
    return options


class Peer:
    """A client: sends by its plan, reads, leaves."""

    def __init__(self, chance: random.Random, sock: socket.socket, made: Plan) -> None:
        self.chance = chance
        self.sock = sock
        self.plan = made
        self.got = bytearray()
        self.at_end = False
        self.tcp = sock.family == socket.AF_INET

    async def turn(self, idle: int = 0) -> None:
        """A turn of the loop. What TCP sends may wait for one of its timers."""
        await asyncio.sleep(0.002 if self.tcp and idle > 20 else 0)

    def read(self) -> bool:
        """Read what there is; whether it was something."""
        if self.plan.reads == "nothing" or self.at_end:
            return False
        size = 200 if self.plan.reads == "slowly" else 1 << 18
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.at_end = not data
        self.got += data
        return True

    async def send(self, data: memoryview) -> bool:
        stalled = 0
        while data:
            try:
                sent = self.sock.send(data)
                data = data[sent:]
                stalled = 0
            except BlockingIOError:
                stalled = 0 if self.read() else stalled + 1
                if stalled > PATIENCE:
                    return False
                await self.turn(stalled)
            except OSError:
                return False  # it has been refused
        return True

    async def run(self) -> None:
        chance = self.chance
        view = memoryview(self.plan.data)
        eager = chance.random() < 0.3  # does not wait for anything between its pieces
        for size in self.plan.pieces:
            if not await self.send(view[:size]):
                break
            view = view[size:]
            if not eager:
                for _ in range(chance.choice((0, 1, 1, 3))):
                    await self.turn()
                self.read()
        if self.plan.end == "eof":
            self.leave_half()
        if self.plan.end in ("eof", "stay"):
            await self.stay()
        elif chance.random() < 0.5:
            await self.turn()

    async def stay(self) -> None:
        await self.listen()
        if self.plan.last and not self.at_end and await self.send(memoryview(self.plan.last)):
            await self.listen()

    async def listen(self) -> None:
        """Read until the end, or until nothing comes."""
        idle = 0
        turns = 0
        while not self.at_end and idle < PATIENCE and turns < 20 * PATIENCE:
            idle = 0 if self.read() else idle + 1
            turns += 1
            await self.turn(idle)

    def leave_half(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def leave(self) -> None:
        if self.plan.end == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Run:
    """Many cases on one loop."""

    def __init__(self, seed: int, kind: str | None, loop: str, verbose: bool) -> None:
        self.seed = seed
        self.kind = kind
        self.loop = LOOPS[loop]()
        self.slow = loop != "camshaft"
        self.verbose = verbose
        self.seeds = [case.data for case in read_cases() if len(case.data) <= LONGEST_SEED]
        self.count: Counter[str] = Counter()
        self.broken = 0
        self.reports: list[str] = []
        self.played = 0
        self.peak = 0

    def __enter__(self) -> Self:
        self.directory = files_directory()
        self.files = make_files(self.directory.name)
        self.loop.set_exception_handler(
            lambda _, context: self.reports.append(f"the loop was told {context!r}")
        )
        self.hook = sys.unraisablehook
        sys.unraisablehook = lambda what: self.reports.append(
            f"unraisable {what.exc_value!r} in {what.object!r}: {what.err_msg}"
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self.hook
        self.listener.close()
        self.loop.close()
        self.directory.cleanup()

    def play(self, number: int) -> list[str]:
        """Play a case; the promises that it broke."""
        self.reports = []
        before = os.listdir("/proc/self/fd")
        # The case's dice alone: of a case, and of nothing that was before it.
        self.loop.run_until_complete(self._case(random.Random(f"{self.seed}:{number}")))
        if len(os.listdir("/proc/self/fd")) != len(before):
            self.reports.append(f"descriptors left: {before} and now {os.listdir('/proc/self/fd')}")
        self.played += 1
        if self.played % WARM == 0:
            gc.collect()
            self._measure()
        if self.reports:
            self.broken += 1
        return self.reports

    def end(self) -> list[str]:
        """Return what the run as a whole broke."""
        self.reports = []
        gc.collect()
        left = [thing for thing in gc.get_objects() if isinstance(thing, _core.HttpProtocol)]
        if left:
            self.reports.append(f"{len(left)} connections live on")
        if self.reports:
            self.broken += 1
        return self.reports

    def _measure(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if self.peak == 0:
            self.peak = peak
        elif peak > self.peak + GROWTH:
            self.reports.append(f"the process has grown from {self.peak} to {peak} KiB")
            self.peak = peak

    def summary(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.count.items()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return f"{self.broken} broken; {counts}; {self.peak} then {peak} KiB"

    async def _case(self, chance: random.Random) -> None:
        options = options_of(chance)
        narrow = options.pop("narrow", False)
        log = Log()
        app = Applications(random.Random(chance.random()), options["ws_max_size"], self.files)
        logged: list[int] = []
        http = _core.HttpServer(
            app,
            loop=self.loop,
            logger=log,  # type: ignore[arg-type]
            access_log=(lambda *line: logged.append(line[-1])) if chance.random() < 0.3 else None,
            **options,
        )
        plans = [
            plan(chance, self.seeds, options, self.kind)
            for _ in range(chance.choice((1, 1, 1, 1, 2, 3)))
        ]
        peers = []
        for made in plans:
            server, client = pair(chance, self.listener)
            await self.loop.connect_accepted_socket(http, server)
            peers.append(Peer(random.Random(chance.random()), client, made))
        meddles = chance.random() < 0.1
        running = [asyncio.ensure_future(peer.run()) for peer in peers]
        if meddles:
            for _ in range(chance.choice((1, 5, 30, 200))):
                await asyncio.sleep(0)
            way = chance.choice(("shutdown", "disconnect", "cancel", "abort"))
            getattr(http, way)()
            self.count[way] += 1
        if self.verbose:
            for made in plans:
                print(made.kind, made.end, made.reads, made.pieces[:20], made.data[:2000])
            print(options)
        await asyncio.gather(*running)
        for peer in peers:
            peer.leave()
        turns = 0
        # TCP has its timers, and asyncio sends files by threads.
        slow = any(peer.tcp for peer in peers) or self.slow
        while (http.connections or http.tasks) and turns < TURNS:
            turns += 1
            await asyncio.sleep(0.002 if slow and turns > TURNS // 2 else 0)
        if http.connections or http.tasks:
            self.reports.append(
                f"{http.connections} connections and {http.tasks} tasks after {TURNS} turns; "
                f"applications {app.kinds}"
            )
            http.cancel()
            http.abort()
            for _ in range(10):
                await asyncio.sleep(0)
        for _ in range(5):  # tasks that an application has left behind are told in a turn of theirs
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks(self.loop)
        if len(tasks) > 1:
            self.reports.append(f"tasks left: {tasks}")
        if self.verbose:
            print(app.kinds, log.records)
            for peer in peers:
                print(bytes(peer.got[:2000]), peer.at_end)
        self.reports += app.broken
        self.reports += [f"logged a status {status}" for status in logged if status not in STATUSES]
        for level, message, error in log.records:
            if error is not None and not expected(error):
                self.reports.append(f"logged as {level}: {message} {error!r}")
        timed = narrow or options["ws_ping_interval"] == 0.002
        for peer in peers:
            self.count[peer.plan.kind] += 1
            try:
                conversation = read(bytes(peer.got), heads(peer.plan.data))
            except Wrong as error:
                self.reports.append(f"{peer.plan.kind}: {error}; applications {app.kinds}")
                continue
            for answer in conversation.answers:
                self.count[f"of {answer.status}"] += 1
            if conversation.closed:
                self.count[f"of close {conversation.close_code}"] += 1
            if not meddles and not timed:
                self._hold(peer, conversation, app)

    def _hold(self, peer: Peer, conversation: Conversation, app: Applications) -> None:
        """What a client may rely on that does nothing wrong."""
        made = peer.plan
        kinds = set(app.kinds)
        if made.reads != "all" or made.end != "stay":
            return
        if made.requests is not None and kinds <= set(GOOD):
            answers = len(conversation.final)
            if answers != made.requests or not peer.at_end:
                self.reports.append(
                    f"{made.requests} requests, {answers} answers, "
                    f"{'then the end' if peer.at_end else 'and no end'}; applications {app.kinds}"
                )
            for answer, body in zip(conversation.final, made.bodies, strict=False):
                if b"x-echo" in answer.headers and answer.body not in (body, b""):
                    self.reports.append(f"an echo of {len(answer.body)} bytes for {len(body)}")
            self.count["whole HTTP"] += 1
        if made.messages is not None and kinds == {"echo"}:
            if conversation.messages != made.messages or not peer.at_end:
                same = conversation.messages == made.messages[: len(conversation.messages)]
                self.reports.append(
                    f"{len(made.messages)} messages, {len(conversation.messages)} back, "
                    f"{'the same' if same else 'others'}, close {conversation.close_code}, "
                    f"{'then the end' if peer.at_end else 'and no end'}"
                )
            self.count["whole WebSocket"] += 1


def heads(data: bytes) -> bool:
    """Whether a client may have asked for answers without a body."""
    return b"HEAD" in data or b"CONNECT" in data


def expected(error: BaseException) -> bool:
    """Whether an application of ours may have raised it."""
    return isinstance(error, Planned | OSError | asyncio.CancelledError)
