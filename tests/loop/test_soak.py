# SPDX-License-Identifier: MIT
"""Many connections doing everything at once, by a fixed seed: what arrives is what was sent."""

import asyncio
import random

from tests.loop.support import Recorder, run


class Erratic(Recorder):
    """An echo that pauses, resumes, answers in pieces and late, and obeys flow control."""

    def __init__(self, chance):
        super().__init__()
        self.chance = chance
        self.waiting = bytearray()
        self.blocked = False

    def data_received(self, data):
        self.waiting += data
        if self.chance.random() < 0.2:
            self.transport.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_later(self.chance.random() * 0.002, self.transport.resume_reading)
        self.answer()

    def answer(self):
        while self.waiting and not self.blocked:
            size = self.chance.choice((1, 10, 1000, 5000, 70_000))
            piece = bytes(self.waiting[:size])
            del self.waiting[:size]
            kind = self.chance.randrange(4)
            if kind == 0:
                self.transport.write(piece)
            elif kind == 1:
                self.transport.write(bytearray(piece))
            elif kind == 2:
                self.transport.write(memoryview(piece))
            else:
                half = len(piece) // 2
                self.transport.writelines([piece[:half], piece[half:]])

    def pause_writing(self):
        self.blocked = True

    def resume_writing(self):
        self.blocked = False
        self.answer()


async def client(address, chance):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Recorder, *address)
    transport.set_write_buffer_limits(high=chance.choice((0, 1000, 65536)))
    sent = bytearray()
    for _ in range(chance.randrange(1, 12)):
        piece = chance.randbytes(chance.choice((1, 100, 4096, 30_000)))
        sent += piece
        transport.write(piece)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if chance.random() < 0.03:
            transport.abort()
            break
    else:
        while len(protocol.data) < len(sent):
            await asyncio.sleep(0.001)
        assert protocol.data == sent
        transport.close()
    await protocol.lost
    assert sent.startswith(protocol.data)
    assert protocol.calls.count("lost") == 1


def test_everything_at_once(loop):
    chance = random.Random(20261124)

    async def main():
        server = await loop.create_server(lambda: Erratic(chance), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def several():
            for _ in range(8):
                await client(address, random.Random(chance.random()))

        await asyncio.gather(*(several() for _ in range(25)))
        server.close()

    run(loop, main())
