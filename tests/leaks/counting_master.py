# SPDX-License-Identifier: MIT
"""A master that tells its counts: ``python -m tests.leaks.counting_master DESCRIPTOR SETTINGS``.

DESCRIPTOR is of a stream socket: for each byte that comes, the counts go back. SETTINGS is the JSON
of what is given to camshaft.serve(). It is no master as the command's, which takes the place of its
process, but the same code: the counting is a thread beside it.
"""

import gc
import json
import os
import socket
import struct
import sys
import threading
from typing import Any

import camshaft

COUNTS = struct.Struct("3q")
"""References, blocks of memory and descriptors."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Starts and ends."""
    assert scope["type"] == "lifespan"
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def count(line: socket.socket) -> None:
    while line.recv(1):
        gc.collect()
        gc.collect()
        references = sys.gettotalrefcount()  # type: ignore[attr-defined]
        descriptors = len(os.listdir("/proc/self/fd"))
        line.sendall(COUNTS.pack(references, sys.getallocatedblocks(), descriptors))


if __name__ == "__main__":
    threading.Thread(target=count, args=(socket.socket(fileno=int(sys.argv[1])),)).start()
    try:
        camshaft.serve("tests.leaks.counting_master:app", **json.loads(sys.argv[2]))
    finally:
        # Nobody waits for the thread.
        os._exit(0)
