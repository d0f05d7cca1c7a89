# SPDX-License-Identifier: MIT
"""getaddrinfo and getnameinfo: what is answered without a thread is what libc answers."""

import itertools
import socket

import pytest

from tests.loop.support import new_loop, not_in_debug_mode, ours_only, run, run_script

HOSTS = (
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "10.20.30.40",
    b"127.0.0.1",
    "::1",
    "::",
    b"::1",
    "2001:DB8:0:0:0:0:0:1",
    "::ffff:1.2.3.4",
    "::1.2.3.4",
    "fe80::1",
    "ff02::1",
    "1:2:3:4:5:6:7:8",
)
"""Addresses in their usual notation."""

NOT_NUMERIC = (
    None,
    "",
    b"",
    "localhost",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1\n",
    "127.0.0.1\0",
    "256.0.0.1",
    "1.2.3",
    "1.2.3.4.5",
    "fe80::1%lo",
    "fe80::1%1",
    "::1%0",
    "[::1]",
    "::g",
    ":::",
    "1::2::3",
    "::ffff:1.2.3",
    "\uff11\uff12\uff17.0.0.1",
    bytearray(b"127.0.0.1"),
    127,
)
"""Other notations, which libc may or may not take for addresses, and what is no address."""

FAMILIES = (0, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 12345)
TYPES = (
    0,
    socket.SOCK_STREAM,
    socket.SOCK_DGRAM,
    socket.SOCK_RAW,
    socket.SOCK_SEQPACKET,
    socket.SOCK_STREAM | socket.SOCK_NONBLOCK,
    77,
)
PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, 255)
FLAGS = (
    0,
    socket.AI_PASSIVE,
    socket.AI_NUMERICHOST,
    socket.AI_NUMERICSERV,
    socket.AI_NUMERICHOST | socket.AI_NUMERICSERV | socket.AI_PASSIVE,
    socket.AI_CANONNAME,
    socket.AI_ADDRCONFIG,
    socket.AI_V4MAPPED,
    socket.AI_V4MAPPED | socket.AI_ALL,
    1 << 20,
)
PORTS = (0, 1, 80, 65535, 65536, -1, None, "80", b"80", "080", "0", "", "http", "99999", " 80", 1.5)
"""Some of them are refused."""


def answer(function, *arguments):
    """What comes out of it, with the types of what is in it."""
    try:
        found = function(*arguments)
    except Exception as error:
        return type(error), str(error)
    return [[(type(part), part) for part in item] for item in found]


@ours_only
@pytest.mark.parametrize("host", HOSTS)
def test_numeric_addresses_are_answered_as_by_libc(loop, host):
    answered = 0
    for family, kind, proto, flags, port in itertools.product(
        FAMILIES, TYPES, PROTOCOLS, FLAGS, PORTS
    ):
        arguments = (host, port, family, kind, proto, flags)
        found = loop._numeric_addresses(*arguments)
        if found is not None:
            answered += 1
            assert answer(lambda found=found: found) == answer(socket.getaddrinfo, *arguments), (
                arguments
            )
    # Two families, seven pairs of type and protocol, five flags, nine ports.
    assert answered == 2 * 7 * 5 * 9


@ours_only
@pytest.mark.parametrize("host", NOT_NUMERIC, ids=repr)
def test_the_rest_is_left_to_libc(loop, host):
    for family, kind, flags, port in itertools.product(FAMILIES, TYPES, FLAGS, PORTS):
        assert loop._numeric_addresses(host, port, family, kind, 0, flags) is None


@pytest.mark.parametrize("debug", [False, True])
def test_getaddrinfo_gives_what_socket_getaddrinfo_gives(loop, debug):
    loop.set_debug(debug)
    for host in (*HOSTS, "", None, "127.1", "0x7f.1", "fe80::1%lo", "127.0.0.1\0", 127):
        for family, flags, port in itertools.product(
            FAMILIES, (0, socket.AI_PASSIVE, socket.AI_CANONNAME), (80, "http", None, -1)
        ):

            def ask(host, port, family, kind, proto, flags):
                return run(
                    loop,
                    loop.getaddrinfo(
                        host, port, family=family, type=kind, proto=proto, flags=flags
                    ),
                )

            arguments = (host, port, family, socket.SOCK_STREAM, 0, flags)
            assert answer(ask, *arguments) == answer(socket.getaddrinfo, *arguments), arguments
    loop.set_debug(False)


def test_answers_may_be_changed_by_who_gets_them(loop):
    first = run(loop, loop.getaddrinfo("127.0.0.1", 80))
    first.clear()
    assert run(loop, loop.getaddrinfo("127.0.0.1", 80)) != []


@not_in_debug_mode("every look-up is asyncio's, which logs it")
@ours_only
def test_numeric_addresses_start_no_thread(loop):
    run(loop, loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    run(loop, loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))
    assert loop._default_executor is None
    run(loop, loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    assert loop._default_executor is not None


def test_a_patched_socket_module_is_asked(loop, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [args])
    assert run(loop, loop.getaddrinfo("127.0.0.1", 80)) == [("127.0.0.1", 80, 0, 0, 0, 0)]


def test_a_closed_loop_answers_nothing():
    loop = new_loop()
    loop.close()
    for call in (
        loop.getaddrinfo("127.0.0.1", 80),
        loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call.send(None)


def test_getnameinfo(loop):
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    for address in (("127.0.0.1", 80), ("::1", 80, 0, 0), ("fe80::1", 80, 0, 1)):
        assert run(loop, loop.getnameinfo(address, numeric)) == socket.getnameinfo(address, numeric)
    for wrong in (("localhost", 80), ("127.0.0.1",), ("127.0.0.1", -1), "127.0.0.1", None):
        with pytest.raises((OSError, TypeError, OverflowError)) as theirs:
            socket.getnameinfo(wrong, numeric)
        with pytest.raises(theirs.type) as ours:
            run(loop, loop.getnameinfo(wrong, numeric))
        assert str(ours.value) == str(theirs.value)


@ours_only
def test_audit_hooks_hear_of_each_question():
    """A hook cannot be taken away: it lives in a process of its own."""
    status, out, err = run_script(
        """
        import sys, socket
        seen = []
        sys.addaudithook(lambda name, args: name == "socket.getaddrinfo" and seen.append(args))
        loop = new_loop()
        for _ in range(3):
            loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
        loop.close()
        print(seen == [("127.0.0.1", 80, 0, 1, 0)] * 3)
        """
    )
    assert (status, out.strip(), err) == (0, "True", "")
