# SPDX-License-Identifier: MIT
"""What fuzz.connection takes for an answer: it must find what no server may send."""

import zlib

import pytest

from fuzz.connection.answers import Wrong, read

OPEN = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
DEFLATED = OPEN[:-2] + b"sec-websocket-extensions: permessage-deflate\r\n\r\n"


def answer(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", body])


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"HTTP/1.0 200 OK\r\n\r\n",
        answer(b"content-length: 0", status=b"299 Odd"),
        answer(b"content-length: 1", body=b"ab"),
        answer(b"content-length: 0", b"content-length: 0"),
        answer(b"content-length: x"),
        answer(b"content-length: 0", b"x: a\x00b"),
        answer(b"content-length: 0", b"x y: a"),
        answer(b"content-length: 0", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
        answer(b"transfer-encoding: chunked", body=b"2\r\nabc\r\n0\r\n\r\n"),
        answer(body=b"a body without an end"),
        answer(b"content-length: 0") * 2 + b"more",
        OPEN + b"\x81\x81abcde",  # masked
        OPEN + b"\xc1\x00",  # compressed, which was not agreed on
        OPEN + b"\x83\x00",  # opcode
        OPEN + b"\x80\x00",  # nothing to continue
        OPEN + b"\x81\x7e\x00\x01a",  # length in more bytes than need be
        OPEN + b"\x81\x01\xff",  # UTF-8
        OPEN + b"\x09\x00",  # a ping in pieces
        OPEN + b"\x88\x02\x03\xed",  # 1005
        OPEN + b"\x88\x01\x03",
        OPEN + b"\x88\x00\x81\x00",  # after the close frame
        DEFLATED + b"\xc2\x02\xff\xff",
    ],
)
def test_wrong(data: bytes) -> None:
    with pytest.raises(Wrong):
        read(data, head=False)


def test_answers() -> None:
    data = (
        answer(status=b"100 Continue")
        + answer(b"content-length: 2", body=b"ab")
        + answer(b"transfer-encoding: chunked", body=b"1\r\nc\r\n0\r\nt: 1\r\n\r\n")
        + answer(status=b"204 No Content")
        + answer(b"connection: close", body=b"to the end")
    )
    made = read(data, head=False)
    assert [got.body for got in made.final] == [b"ab", b"c", b"", b"to the end"]
    for end in range(len(data)):
        read(data[:end], head=False)  # what is cut off is not wrong


def test_answer_to_head() -> None:
    data = answer(b"content-length: 60") + answer(b"content-length: 1", body=b"a") * 9
    with pytest.raises(Wrong):
        read(data, head=False)
    assert [got.body for got in read(data, head=True).answers] == [b"", *[b"a"] * 9]


def test_frames() -> None:
    compressor = zlib.compressobj(wbits=-15)
    deflated = (compressor.compress(b"hello") + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    data = DEFLATED + bytes([0xC1, len(deflated)]) + deflated + b"\x01\x02ab\x8a\x00\x80\x01c"
    data += b"\x88\x05\x03\xe8bye"
    made = read(data, head=False)
    assert made.messages == [b"hello", b"abc"]
    assert made.closed and made.close_code == 1000
