# SPDX-License-Identifier: MIT
"""--pidfile: the file that tells the process's number, and that it is the only one.

The file is locked for as long as the process lives, so whether another server is behind it is known
for sure: a number that was left behind may belong to anything by now. It is opened once, never
through a link, and has to be nobody else's: whoever can write to it chooses whom an administrator
signals.
"""

import contextlib
import fcntl
import os
import stat


class PidfileError(Exception):
    """The file cannot be had; the message says why, without a full stop."""


class Pidfile:
    """An open and locked file. The lock goes with its `descriptor` to who inherits that."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def create(cls, path: str) -> "Pidfile":
        """Write this process's number. Raises PidfileError if that cannot be, or another lives."""
        path = os.path.abspath(path)
        while True:
            descriptor = _open(path)
            try:
                _lock(descriptor)
                if _is_at(path, descriptor):
                    made = cls(path, descriptor)
                    made.write()
                    return made
            except OSError as error:
                os.close(descriptor)
                raise PidfileError(error.strerror or str(error)) from None
            except BaseException:
                os.close(descriptor)
                raise
            # Its owner has removed it just now.
            os.close(descriptor)

    def write(self) -> None:
        """Write this process's number, also in place of the one that has handed the file over."""
        number = b"%d\n" % os.getpid()
        # In this order, so that it is never empty for who reads it.
        os.pwrite(self.descriptor, number, 0)
        os.ftruncate(self.descriptor, len(number))

    def take_back(self) -> None:
        """Write this process's number in place of one that has ended and had the file handed over.

        It is made anew if that one has removed it. Raises PidfileError.
        """
        if self.descriptor < 0:
            return
        try:
            if _is_at(self.path, self.descriptor):
                self.write()
                return
        except OSError as error:
            raise PidfileError(error.strerror or str(error)) from None
        made = Pidfile.create(self.path)
        os.close(self.descriptor)
        self.descriptor = made.descriptor

    def leave(self) -> None:
        """Let the file be another process's, which has it open as well."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Remove the file, if it still is this one and this process's.

        Empty it where that is not allowed any more.
        """
        if self.descriptor < 0:
            return
        try:
            number = os.pread(self.descriptor, 32, 0)
            if number == b"%d\n" % os.getpid() and _is_at(self.path, self.descriptor):
                os.unlink(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)
        self.descriptor = -1


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if os.path.islink(path):
            raise PidfileError("it is a link, which is not followed") from None
        raise PidfileError(error.strerror or str(error)) from None
    found = os.fstat(descriptor)
    wrong = None
    if not stat.S_ISREG(found.st_mode):
        wrong = "it is not a regular file"
    elif found.st_uid not in (os.geteuid(), 0):
        wrong = "it belongs to another user"
    elif found.st_nlink > 1:
        wrong = "it has another name as well"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and found.st_size:
        wrong = "others may write to it"
    if wrong is not None:
        os.close(descriptor)
        raise PidfileError(wrong)
    # Whatever the umask is.
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o644)
    return descriptor


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(descriptor, 32, 0).strip()
        who = f"process {number.decode()}" if number.isdigit() else "another process"
        raise PidfileError(f"{who} holds it; it is running") from None


def _is_at(path: str, descriptor: int) -> bool:
    """Whether the path still leads to the open file."""
    ours = os.fstat(descriptor)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
