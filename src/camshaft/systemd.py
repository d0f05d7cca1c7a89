# SPDX-License-Identifier: MIT
"""systemd's protocols: sockets that it has opened, and what it is told of a service.

Read: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). Both are environment variables; no
library is needed for a datagram. Where there is no systemd, nothing happens.
"""

import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, MutableMapping

logger = logging.getLogger("uvicorn.error")

FIRST_DESCRIPTOR = 3

# Words that wait to be heard; the oldest are forgotten.
_MOST = 64
# Seconds to the next attempt to say them.
_AGAIN = 0.25
# Seconds that the last words may take, which nobody answers.
_LIMIT = 1.0

_ALIVE = "WATCHDOG=1"

Later = Callable[[float, Callable[[], object]], object]
"""Calls something in so many seconds."""


def passed_descriptors(environ: MutableMapping[str, str] = os.environ) -> list[int]:
    """Return the descriptors of the sockets that were opened for this process; none usually.

    The variables are removed, and the descriptors are not inherited any more: both are for this
    process alone. The sockets' names, $LISTEN_FDNAMES, have no meaning here: all are listened on.
    """
    pid, count = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        environ.pop(name, None)
    found = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))
    for descriptor in found:
        # One that is not open is told of when it is listened on.
        with contextlib.suppress(OSError):
            os.set_inheritable(descriptor, False)
    return found


class Notifier:
    """Tells systemd how the service is; nothing where none was started to be told.

    Nothing here waits: what systemd does not take, as it reads nothing while it is reloaded itself,
    is said again, by what `later` calls. `watchdog` is the number of seconds within which it wants
    to hear that the service lives, None if it does not.
    """

    def __init__(
        self, environ: MutableMapping[str, str] = os.environ, later: Later | None = None
    ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog = _watchdog(environ) if self._address else None
        self._later = later
        self._unsaid: deque[str] = deque(maxlen=_MOST)
        self._waiting = False

    @property
    def listens(self) -> bool:
        """Whether anybody is told."""
        return self._address is not None

    def ready(self) -> None:
        """The service serves; also at the end of a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The service reads its configuration anew; ready() tells when it has."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def main_process(self, pid: int) -> None:
        """The service's main process is another from now on, and serves.

        systemd believes the main process that is, whatever its NotifyAccess= is.
        """
        self._tell(f"MAINPID={pid}\nREADY=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The service lives; to be told twice within `watchdog`."""
        if _ALIVE not in self._unsaid:
            self._tell(_ALIVE)

    def status(self, text: str) -> None:
        """How the service is, in one line for people."""
        self._tell(f"STATUS={text}")

    def close(self) -> None:
        """Say what is left to be said, and wait for it a little: the process is at its end."""
        end = time.monotonic() + _LIMIT
        while self._unsaid and (left := end - time.monotonic()) > 0:
            self._say(left)
        self._unsaid.clear()

    def _tell(self, what: str) -> None:
        if self._address is not None:
            self._unsaid.append(what)
            self._say_all()

    def _say_all(self) -> None:
        while self._unsaid and self._say(0):
            pass
        if self._unsaid and self._later is not None and not self._waiting:
            self._waiting = True
            self._later(_AGAIN, self._again)

    def _again(self) -> None:
        self._waiting = False
        self._say_all()

    def _say(self, limit: float) -> bool:
        """Say the first that is left, within so many seconds; False if there is no room for it."""
        assert self._address is not None
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(limit)
                sock.sendto(self._unsaid[0].encode(), self._address)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError as error:
            logger.debug("systemd cannot be told %r: %s", self._unsaid[0], error)
        self._unsaid.popleft()
        return True


def _address(path: str) -> str | None:
    """Return the address of a socket with that path, which may be abstract."""
    if path.startswith("@"):
        return "\0" + path[1:]
    return path if path.startswith("/") else None


def _watchdog(environ: MutableMapping[str, str]) -> float | None:
    time_limit = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not (time_limit.isascii() and time_limit.isdigit()) or int(time_limit) == 0:
        return None
    return int(time_limit) / 1e6
