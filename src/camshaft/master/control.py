# SPDX-License-Identifier: MIT
"""What a master is told by `camshaft ctl`: a line of JSON each way over its control socket.

A request is {"command": NAME, ...}, the answer {"ok": true, ...} or {"error": TEXT}. Commands that
take their time (reload, scale, upgrade) are answered when it is done. Who connects is asked for its
user before anything is read.
"""

import json
import logging
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from camshaft.master import control_path
from camshaft.master.processors import MAX_WORKERS
from camshaft.master.status import status
from camshaft.master.timers import Timer

if TYPE_CHECKING:
    from camshaft.master.master import Master

logger = logging.getLogger("uvicorn.error")

_LONGEST = 64 * 1024  # bytes of a request
_CLIENTS = 16  # at once
_REST = 0.25  # seconds, where the system has no descriptor for who connects

Answer = Callable[[dict[str, Any]], None]


class Control:
    """The control socket of a master, on the master's selector."""

    def __init__(self, master: "Master", selector: selectors.BaseSelector, descriptor: int) -> None:
        self._master = master
        self._selector = selector
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._clients: set[_Client] = set()
        # Until when the socket is not looked at.
        self._resting: Timer | None = None
        self._watch()

    def listen(self, sock: socket.socket) -> None:
        """Listen at another socket instead."""
        self._stop_watching()
        self._socket.close()
        self._socket = sock
        sock.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Answer nobody any more."""
        for client in list(self._clients):
            client.close()
        self._stop_watching()
        self._socket.close()

    def _watch(self) -> None:
        self._resting = None
        self._selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def _stop_watching(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        else:
            self._selector.unregister(self._socket)

    def close_in_child(self) -> None:
        """Give up the descriptors in a forked child; the selector is the parent's."""
        for client in self._clients:
            client.socket.close()
        self._socket.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # Who waits would be told of again and again until there is room.
            self._stop_watching()
            self._resting = self._master.timers.after(_REST, self._watch)
            return
        if not control_path.may_command(peer) or len(self._clients) >= _CLIENTS:
            peer.close()
            return
        try:
            self._clients.add(_Client(self, peer, self._selector))
        except OSError:
            # No memory to watch it.
            peer.close()

    def forget(self, client: "_Client") -> None:
        self._clients.discard(client)

    def obey(self, request: Any, answer: Answer) -> None:
        """Do what a request says, and answer it now or later."""
        name = request.get("command") if isinstance(request, dict) else None
        command = _COMMANDS.get(name) if isinstance(name, str) else None
        if command is None:
            answer({"error": f"there is no command {name!r}"})
        elif self._master.ending and name not in ("status", "stop"):
            answer({"error": "the master is ending"})
        else:
            command(self._master, request, answer)


def _status(master: "Master", request: dict[str, Any], answer: Answer) -> None:
    answer({"ok": True, **status(master)})


def _reload(master: "Master", request: dict[str, Any], answer: Answer) -> None:
    logger.info("Told to reload, restarting processes.")
    master.reload()
    _when_done(master, answer)


def _scale(master: "Master", request: dict[str, Any], answer: Answer) -> None:
    count = request.get("workers")
    if not isinstance(count, int) or not 0 < count <= MAX_WORKERS:
        answer({"error": f"a number of workers from 1 to {MAX_WORKERS}"})
        return
    logger.info("Told to have %d workers.", count)
    master.scale(count)
    _when_done(master, answer)


def _stop(master: "Master", request: dict[str, Any], answer: Answer) -> None:
    quick = request.get("quick") is True
    logger.info("Told to stop%s, exiting.", " at once" if quick else "")
    # Before it is obeyed: the master may be gone a moment later.
    answer({"ok": True})
    master.stop(quick=quick)


def _upgrade(master: "Master", request: dict[str, Any], answer: Answer) -> None:
    logger.info("Told to upgrade, starting another master.")
    failed = master.upgrade(replace=True)
    if failed is not None:
        answer({"error": failed})
    else:
        # It is answered by the end of one of the two.
        master.when_upgraded(_outcome(answer))


def _when_done(master: "Master", answer: Answer) -> None:
    master.when_settled(_outcome(answer))


def _outcome(answer: Answer) -> Callable[[str | None], None]:
    return lambda error: answer({"error": error} if error else {"ok": True})


_COMMANDS: dict[str, Callable[["Master", dict[str, Any], Answer], None]] = {
    "status": _status,
    "reload": _reload,
    "scale": _scale,
    "stop": _stop,
    "upgrade": _upgrade,
}


class _Client:
    """One connection: requests one after the other, answers in their order."""

    def __init__(
        self, control: Control, peer: socket.socket, selector: selectors.BaseSelector
    ) -> None:
        self.socket = peer
        peer.setblocking(False)
        self._control = control
        self._selector = selector
        self._received = b""
        self._to_send = b""
        self._open = True
        self._busy = False
        self._going = False
        selector.register(peer, selectors.EVENT_READ, self._ready)

    def _ready(self) -> None:
        if self._to_send:
            self._send()
        if not self._open:
            return
        try:
            data = self.socket.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > _LONGEST:
            self.close()
            return
        self._go_on()

    def _go_on(self) -> None:
        if self._going:
            return
        self._going = True
        while self._open and not self._busy and b"\n" in self._received:
            line, _, self._received = self._received.partition(b"\n")
            try:
                request = json.loads(line)
            except ValueError:
                request = None
            self._busy = True
            self._control.obey(request, self._answer)
        self._going = False

    def _answer(self, what: dict[str, Any]) -> None:
        self._busy = False
        if self._open:
            self._to_send += json.dumps(what).encode() + b"\n"
            self._send()
            self._go_on()

    def _send(self) -> None:
        try:
            sent = self.socket.send(self._to_send)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._to_send = self._to_send[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._to_send else 0)
        self._selector.modify(self.socket, events, self._ready)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._selector.unregister(self.socket)
            self.socket.close()
            self._control.forget(self)
