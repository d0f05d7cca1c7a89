# SPDX-License-Identifier: MIT
"""Memory that connections take, and that it is given back to the system once they are gone."""

import os
import sys

import pytest

from tests.loop.support import ours_only, run_script


@ours_only
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer's allocator keeps what was freed, to know it again",
)
@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(sys, "getallocatedblocks"),
    reason="reads /proc/self/smaps_rollup, and only glibc is told to give memory back",
)
def test_a_wave_of_connections_leaves_little_memory_behind() -> None:
    status, out, err = run_script(
        """
        import asyncio, gc, resource, socket

        WAVE = 4000
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        count = min(WAVE, (hard - 50) // 2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 50, hard))

        def resident():
            with open("/proc/self/smaps_rollup") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Rss"))

        async def wave(count):
            loop = asyncio.get_running_loop()
            pairs = [socket.socketpair() for _ in range(count)]
            streams = []
            for ours, _ in pairs:
                streams.append((await loop.create_connection(asyncio.Protocol, sock=ours))[0])
            await asyncio.sleep(0.01)
            most = resident()
            for transport in streams:
                transport.abort()
            for _, peer in pairs:
                peer.close()
            del streams, pairs
            await asyncio.sleep(0.01)
            gc.collect()
            await asyncio.sleep(0.01)
            return most

        loop = new_loop()
        loop.run_until_complete(wave(100))
        base = resident()
        most = loop.run_until_complete(wave(count))
        print(count, base, most, resident())
        """
    )
    assert status == 0, err
    count, base, most, left = (int(word) for word in out.split())
    if count < 2000:
        pytest.skip(f"only {count} connections fit the limit of open files")
    # Arenas of small blocks go back only when they are wholly free, so some half is left. Without
    # trimming all of it is.
    assert most - base > count / 2
    assert left - base < (most - base) * 3 / 4
