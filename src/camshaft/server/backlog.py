# SPDX-License-Identifier: MIT
"""The end of a listener: who has been let in by the kernel is served, and nobody else is let in.

The kernel completes a client's connect() before anybody accepts. To close a listener resets those
that it still holds, who may have sent their request by then; there is no call that makes it let
nobody in and keep the ones there are. On Linux a filter does: it drops the segments by which
connections begin, so that what has begun can be accepted, and then there is nothing to reset. A
client that comes meanwhile tries again a second later, and is refused, or served by who listens
then.
"""

import ctypes
import ipaddress
import select
import socket
import struct
import sys
from collections.abc import Iterable

# Of <asm-generic/socket.h>, which the socket module does not name.
_SO_ATTACH_FILTER = 26

# Classic BPF, run on what begins with the TCP header: (code, jump if true, if false, operand).
# Byte 13 has the flags, of which 2 is SYN (RFC 9293, section 3.1).
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte
    (0x45, 0, 1, 0x02),  # if it has the bit
    (0x06, 0, 0, 0),  # return 0: drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


def turn_away(sock: socket.socket) -> bool:
    """Have the kernel begin no more connections for a listener; False where it cannot.

    For good, and whoever else has the same socket open: it must be ours alone.
    """
    if sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    program = b"".join(struct.pack("=HBBI", *step) for step in _NO_SYN)
    memory = ctypes.create_string_buffer(program)
    try:
        sock.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(_NO_SYN), ctypes.addressof(memory)),
        )
    except OSError:
        return False
    return True


def is_local(sock: socket.socket) -> bool:
    """Whether only this machine can connect, so that nothing is on its way through a network."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = sock.getsockname()[0].partition("%")[0]
    return ipaddress.ip_address(host).is_loopback


def has_pending(sockets: Iterable[socket.socket]) -> bool:
    """Whether one of the listeners has a connection that is not accepted."""
    poll = select.poll()
    for sock in sockets:
        if sock.fileno() >= 0:
            poll.register(sock, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
