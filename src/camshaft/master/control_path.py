# SPDX-License-Identifier: MIT
"""The control socket: where it is, and that nobody but its owner can reach it."""

import contextlib
import os
import socket
import stat
import struct

OFF = "none"
"""The value of the setting that wants no control socket."""


class ControlError(Exception):
    """The socket cannot be had; the message is one line for the user."""


def directory() -> str:
    """Return where sockets without a path of their own are: a directory for each user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "camshaft")
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"camshaft-{os.geteuid()}")


def default_path(pid: int) -> str:
    """Return the path of a master's socket, if no other was given. Makes the directory.

    Raises ControlError if that is not the user's alone.
    """
    place = directory()
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        found = os.lstat(place)
    except OSError as error:
        raise ControlError(f"Cannot make {place}: {error.strerror}.") from None
    if not is_private(found):
        raise ControlError(f"{place} is not this user's alone.")
    return os.path.join(place, f"{pid}.sock")


def is_private(found: os.stat_result) -> bool:
    """Whether this is a directory that only this user may enter."""
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def open_socket(path: str, *, beside: bool = False) -> socket.socket:
    """Return a socket that listens at a path, for its owner alone.

    A socket that nobody answers at is replaced. `beside`: it is left at another name, its own, from
    which it is to be renamed when the one that answers now is gone. Raises ControlError.
    """
    made = f"{path}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    bound = False
    try:
        if _take(made):
            # A process of this number was killed before it could rename it.
            os.unlink(made)
        sock.bind(made)
        bound = True
        sock.listen(16)
        if not beside:
            _take(path)
            os.rename(made, path)
    except (OSError, ControlError) as error:
        sock.close()
        if bound:
            with contextlib.suppress(OSError):
                os.unlink(made)
        if isinstance(error, ControlError):
            raise
        reason = error.strerror or str(error)
        raise ControlError(f"Cannot open the control socket {path}: {reason.lower()}.") from None
    finally:
        os.umask(mask)
    return sock


def _take(path: str) -> bool:
    """See that a path is free, or a socket that nobody listens at: whether it is that.

    Raises ControlError.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(f"Cannot open the control socket {path}: another file is there.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    raise ControlError(f"Cannot open the control socket {path}: another master answers there.")


def may_command(peer: socket.socket) -> bool:
    """Whether who has connected is this user, or root."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the mode of the file is all there is
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return user in (os.geteuid(), 0)
