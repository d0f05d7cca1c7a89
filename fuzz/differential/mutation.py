# SPDX-License-Identifier: MIT
"""Connections made from the cases of tests/cases/http1 by small changes."""

import random

WORDS = [
    *(bytes([code]) for code in (0, 8, 9, 10, 11, 12, 13, 32, 34, 35, 44, 58, 59, 61, 63, 64)),
    *(bytes([code]) for code in (92, 127, 128, 160, 255)),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\r", b"\n\r", b": ", b" :", b"\r\n ", b"\r\n\t", b", ,"),
    *(b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"FOO", b"/", b"*", b"?", b"#"),
    *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.2", b" HTTP/2.0", b"http://b", b"https://", b"//"),
    *(b"Host: a\r\n", b"Host:\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\n"),
    *(b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"A: b\r\n", b"X\r\n", b" folded\r\n"),
    *(b"chunked", b"identity", b"close", b"0", b"5", b"00", b"0x", b"+", b"-", b"_", b"a", b"f"),
    *(b"9223372036854775807", b"18446744073709551616", b"ffffffffffffffff", b"[::1]", b"[v1.a]"),
    *(b";a=b", b';a="b"', b"0\r\n\r\n", b"5\r\nhello\r\n", b"hello", b"%2f", b"%", b":80", b"@"),
]


def change(data: bytes, seeds: list[bytes], source: random.Random) -> bytes:
    """Return the bytes with one change."""
    at = source.randrange(len(data) + 1)
    kind = source.randrange(8)
    if kind == 0:  # another byte
        return data[:at] + bytes([source.randrange(256)]) + data[at + 1 :]
    if kind == 1:  # a piece less
        return data[:at] + data[at + source.choice((1, 1, 1, 2, 4, 16)) :]
    if kind == 2:  # a piece twice
        end = at + source.randrange(1, 24)
        return data[:end] + data[at:]
    if kind == 3:  # the end of another one
        other = source.choice(seeds)
        return data[:at] + other[source.randrange(len(other) + 1) :]
    if kind == 4:  # a line more, less, or elsewhere
        lines = data.split(b"\r\n")
        line = lines.pop(source.randrange(len(lines)))
        for _ in range(source.randrange(3)):
            lines.insert(source.randrange(len(lines) + 1), line)
        return b"\r\n".join(lines)
    if kind == 5:  # other case
        end = at + source.randrange(1, 12)
        return data[:at] + data[at:end].swapcase() + data[end:]
    word = source.choice(WORDS)
    if kind == 6:
        return data[:at] + word + data[at:]
    return data[:at] + word + data[at + len(word) :]


def connection(seeds: list[bytes], source: random.Random) -> bytes:
    """Return some connection."""
    data = source.choice(seeds)
    for _ in range(source.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))):
        data = change(data, seeds, source)
    if source.randrange(8) == 0:
        data += source.choice(seeds)
    return data
