# SPDX-License-Identifier: MIT
"""The other end of a counted server, in a process that is not counted.

Each line of standard input is a command, printed by the counted process when it is ready for it:

    echo PORT SIZE COUNT   one connection: a message of SIZE bytes there and back, COUNT times
    tls PORT SIZE COUNT    the same over TLS
    datagrams PORT SIZE COUNT PEERS
                           COUNT datagrams there and back, from PEERS sockets at once
    connect PORT COUNT     COUNT connections after each other, each closed when the server closes it
    http PORT CONTROL COUNT REQUEST
                           one connection: a request (hexadecimal) COUNT times, each answer read
                           whole; at the end a connection to the port CONTROL
"""

import socket
import ssl
import sys
import time

TIMEOUT = 60.0

# Before each message, so that a server as slow as callgrind makes it sleeps by then, as one does
# at its own speed: else every read would find its data there already.
PAUSE = 0.003


def open_connection(port: int) -> socket.socket:
    """A connection to the loopback."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def echo(connection: socket.socket, size: int, count: int) -> None:
    """Send messages and wait for each to come back whole."""
    message = bytes(n * 31 % 251 for n in range(size))
    room = bytearray(size)
    view = memoryview(room)
    for _ in range(count):
        time.sleep(PAUSE)
        connection.sendall(message)
        got = 0
        while got < size:
            received = connection.recv_into(view[got:])
            if received == 0:
                raise SystemExit("peer: the server closed the connection")
            got += received
        if room != message:
            raise SystemExit("peer: the reply is not what was sent")


def echo_datagrams(port: int, size: int, count: int, peers: int) -> None:
    """Each of some sockets sends a datagram and waits for it; `count` is a multiple of `peers`."""
    message = bytes(n * 31 % 251 for n in range(size))
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(peers)]
    for sock in sockets:
        sock.settimeout(TIMEOUT)
        sock.connect(("127.0.0.1", port))
    for _ in range(count // peers):
        time.sleep(PAUSE)
        for sock in sockets:
            sock.send(message)
        for sock in sockets:
            if sock.recv(1 << 16) != message:
                raise SystemExit("peer: the reply is not what was sent")
    for sock in sockets:
        sock.close()


def ask(connection: socket.socket, request: bytes, count: int) -> None:
    """Send requests one by one, and see that each is answered with 200 and the same body."""
    first = None
    for _ in range(count):
        time.sleep(PAUSE)
        connection.sendall(request)
        answer = connection.recv(1 << 16)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += received(connection)
        head, body = answer[:end].lower(), answer[end + 4 :]
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += received(connection)
        if first is None:
            first = body
        if not head.startswith(b"http/1.1 200 ") or body != first:
            raise SystemExit(f"peer: unexpected answer: {answer!r}")


def received(connection: socket.socket) -> bytes:
    """What comes next; SystemExit at the end."""
    data = connection.recv(1 << 16)
    if not data:
        raise SystemExit("peer: the server closed the connection")
    return data


def main() -> None:
    """Do what standard input says until it ends."""
    for line in sys.stdin:
        command, port, *numbers = line.split()
        if command == "connect":
            for _ in range(int(numbers[0])):
                with open_connection(int(port)) as connection:
                    while connection.recv(1024):
                        pass
            continue
        if command == "http":
            with open_connection(int(port)) as connection:
                ask(connection, bytes.fromhex(numbers[2]), int(numbers[1]))
            open_connection(int(numbers[0])).close()
            continue
        if command == "datagrams":
            echo_datagrams(int(port), *map(int, numbers))
            continue
        connection = open_connection(int(port))
        if command == "tls":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        with connection:
            echo(connection, int(numbers[0]), int(numbers[1]))


if __name__ == "__main__":
    main()
