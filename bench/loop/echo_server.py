# SPDX-License-Identifier: MIT
"""A protocol that sends back what it gets: `python -m bench.loop.echo_server LOOP`.

Prints its port and serves until its standard input ends. Ends with 77 if the loop is not there; the
reason is on standard error.
"""

import asyncio
import resource
import sys
from typing import cast

from bench.loop.contenders import make


class Echo(asyncio.Protocol):
    """Writes every piece as it came. As small as a protocol can be, for the memory rows."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


async def serve() -> None:
    """Listen on a free port of the loopback until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(0, ended.set)
    await ended.wait()
    loop.remove_reader(0)
    server.close()


if __name__ == "__main__":
    try:
        contender = make(sys.argv[1])
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    contender.run_until_complete(serve())
    contender.close()
