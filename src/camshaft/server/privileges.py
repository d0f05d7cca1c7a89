# SPDX-License-Identifier: MIT
"""--user and --group: nobody privileged runs the application, though root has opened the port.

Everything that root is needed for (listening, the TLS key, the pidfile) comes before; the
application is imported after. There is no way back: the saved ids are changed as well.
"""

import contextlib
import grp
import os
import pwd
import socket
from dataclasses import dataclass
from typing import Any

from camshaft.settings import ConfigError


@dataclass(frozen=True)
class Identity:
    """Who a process is to be: a user with its groups, `groups` being the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def take(self) -> None:
        """Become it, for good. Raises ConfigError if that is not allowed."""
        self.check()
        if self.is_taken() or self._is_own():
            return
        try:
            # In this order: without the user's privileges, the others could not be given up.
            os.setgroups(self.groups)
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        except OSError as error:
            raise ConfigError("user", None, error.strerror or str(error)) from None
        if not self.is_taken():
            # Not to go on with what was to be given up.
            raise ConfigError("user", None, "the system has not given up the privileges")

    def check(self) -> None:
        """Raise ConfigError if this process cannot become it."""
        if os.geteuid() != 0 and not self._is_own():
            raise ConfigError("user", None, "only root can become another user")

    def _is_own(self) -> bool:
        """Whether it is the one that the process has without privileges, with whatever groups."""
        return os.geteuid() != 0 and (os.getresuid(), os.getresgid()) == (
            (self.uid,) * 3,
            (self.gid,) * 3,
        )

    def is_taken(self) -> bool:
        """Whether the process is it already, with no other user or group to go back to."""
        return (
            os.getresuid() == (self.uid,) * 3
            and os.getresgid() == (self.gid,) * 3
            and set(os.getgroups()) <= {*self.groups, self.gid}
        )

    def own(self, sock: socket.socket) -> None:
        """Give it the file of a Unix socket that was bound for it."""
        path = sock.getsockname()
        if sock.family == socket.AF_UNIX and isinstance(path, str) and path:
            with contextlib.suppress(PermissionError):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)


def identity(settings: Any) -> Identity | None:
    """Return who the settings `user` and `group` name; None if neither is given.

    A user brings its primary group, if none is given, and the supplementary groups that the system
    knows of; a group alone has none besides. Raises ConfigError for who is unknown.
    """
    user, group = settings.user, settings.group
    if user is None and group is None:
        return None
    found = _user(user) if user is not None else None
    if group is not None:
        gid = _group(group)
    elif found is not None:
        gid = found.pw_gid
    else:
        raise ConfigError("user", user, "a number that the system has no name for needs --group")
    if user is None:
        return Identity(os.geteuid(), gid, (gid,))
    if found is None:
        return Identity(int(user), gid, (gid,))
    return Identity(found.pw_uid, gid, tuple(sorted({*os.getgrouplist(found.pw_name, gid)})))


def _user(user: str | int) -> pwd.struct_passwd | None:
    """Return what is known of a user; None of a number without a name."""
    try:
        return pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(str(user))
    except (KeyError, OverflowError, ValueError):
        if _is_number(user) and int(user) < 2**32 - 1:
            return None
        raise ConfigError("user", user, "there is no such user") from None


def _group(group: str | int) -> int:
    if _is_number(group):
        if int(group) < 2**32 - 1:
            return int(group)
    else:
        with contextlib.suppress(KeyError, ValueError):
            return grp.getgrnam(str(group)).gr_gid
    raise ConfigError("group", group, "there is no such group")


def _is_number(text: str | int) -> bool:
    return isinstance(text, int) or (text.isascii() and text.isdigit())
