# SPDX-License-Identifier: MIT
"""Files as response bodies, where the transport cannot send them itself.

That is over TLS, and on other loops. What calls this is csrc/py/asgi/send_file.c.
"""

import asyncio
import errno
import io
import os
from collections.abc import Awaitable, Callable

# Bytes read at a time. Also what is held of a file for a peer that does not read.
PIECE = 256 * 1024

Send = Callable[[bytes, bool, bool], Awaitable[None]]


async def pump(
    loop: asyncio.AbstractEventLoop,
    send: Send,
    file: io.FileIO,
    offset: int,
    count: int,
    more_body: bool,
) -> None:
    """Send `count` bytes of a file from `offset` on, as parts of a body; then close the file.

    It is read in the loop's default executor, so that a slow disk holds up nobody else. `send` is
    called with a piece, `more_body` and whether it is the last piece, and waits for the peer.
    Raises OSError if the file cannot be read, or is shorter by then.
    """
    reading: asyncio.Future[bytes] | None = None
    try:
        while True:
            reading = loop.run_in_executor(None, os.pread, file.fileno(), min(PIECE, count), offset)
            # A thread cannot be cancelled, and must not read what is another file by then.
            data = await asyncio.shield(reading)
            if not data:
                raise OSError(errno.EIO, "the file has become shorter while it was sent")
            offset += len(data)
            count -= len(data)
            await send(data, more_body, count == 0)
            if count == 0:
                return
    finally:
        if reading is None or reading.done():
            file.close()
        else:

            def close(reading: asyncio.Future[bytes]) -> None:
                if not reading.cancelled():
                    reading.exception()  # which nobody waits for any more
                file.close()

            reading.add_done_callback(close)
