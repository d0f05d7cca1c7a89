# SPDX-License-Identifier: MIT
"""How TLS connections begin and end: handshakes that fail, time limits, closing, start_tls."""

import asyncio
import contextvars
import gc
import logging
import os
import socket
import ssl
import warnings
import weakref

import pytest

from tests.loop.support import LIMIT, Echo, Recorder, new_loop, ours_only, run, run_script, until
from tests.loop.tls_peer import Peer, open_tls, received, settle


def pair():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


class Eof(Recorder):
    def eof_received(self):
        super().eof_received()
        return True


# ---- beginning ----


# asyncio's texts for time limits that are none.
@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_limits_that_are_not_positive(loop, client_tls, name, value):
    async def main():
        left, right = pair()
        with pytest.raises(ValueError, match=f"^{name} should be a positive number, got {value}$"):
            await loop.create_connection(
                Recorder, sock=left, ssl=client_tls, server_hostname="localhost", **{name: value}
            )
        left.close()
        right.close()

    run(loop, main())


# The handshake's limit has asyncio's text, and the application hears nothing of the connection.
def test_the_text_of_a_handshake_that_takes_too_long(loop, client_tls):
    async def main():
        left, right = pair()
        made = []
        with pytest.raises(ConnectionAbortedError) as caught:
            await loop.create_connection(
                lambda: made.append(Recorder()) or made[0],
                sock=left,
                ssl=client_tls,
                server_hostname="localhost",
                ssl_handshake_timeout=0.01,
            )
        assert str(caught.value) == (
            "SSL handshake is taking longer than 0.01 seconds: aborting the connection"
        )
        await settle()
        assert made[0].calls == []
        right.close()

    run(loop, main())


# The peer's end within the handshake is a ConnectionResetError without a text.
def test_the_end_within_a_handshake(loop, client_tls):
    async def main():
        left, right = pair()
        task = asyncio.ensure_future(
            loop.create_connection(Recorder, sock=left, ssl=client_tls, server_hostname="localhost")
        )
        await loop.sock_recv(right, 1 << 16)
        right.close()
        with pytest.raises(ConnectionResetError) as caught:
            await task
        assert caught.value.args == ()

    run(loop, main())


# The peer is told why (an alert); asyncio just hangs up.
@ours_only
def test_the_alert_of_a_failed_handshake(loop, server_tls):
    async def main():
        left, right = pair()
        task = asyncio.ensure_future(
            loop.create_connection(
                Recorder,
                sock=left,
                ssl=ssl.create_default_context(),
                server_hostname="localhost",
            )
        )
        peer = Peer(server_tls, right, server_side=True)
        with pytest.raises(ssl.SSLError, match="alert unknown ca"):
            await peer.handshake()
            await peer.read(1)  # TLS 1.3's server is done before it hears of it
        with pytest.raises(ssl.SSLCertVerificationError):
            await task
        right.close()

    run(loop, main())


# Given up while it is made, the connection is closed and the application hears nothing.
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_given_up(loop, client_tls, turns):
    async def main():
        left, right = pair()
        made = []
        task = asyncio.ensure_future(
            loop.create_connection(
                lambda: made.append(Recorder()) or made[0],
                sock=left,
                ssl=client_tls,
                server_hostname="localhost",
            )
        )
        await settle(turns)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if turns > 0:
            while await loop.sock_recv(right, 1 << 16):
                pass  # a hello, then the end
        else:
            left.close()  # nobody has taken it over
        assert all(protocol.calls == [] for protocol in made)
        right.close()

    run(loop, main())


# Whoever awaits a handshake whose connection is closed under it gets an exception: asyncio gives
# out a transport that is dead.
@ours_only
def test_a_base_closed_within_the_handshake(loop, client_tls):
    async def main():
        left, right = pair()
        transport, _ = await loop.create_connection(Recorder, sock=left)
        task = asyncio.ensure_future(
            loop.start_tls(transport, Recorder(), client_tls, server_hostname="localhost")
        )
        await settle(3)
        transport.close()
        with pytest.raises(ConnectionAbortedError):
            await task
        right.close()

    run(loop, main())


# An exception of connection_made ends the connection, and whoever awaits it gets it.
def test_connection_made_that_raises(loop, server_tls, client_tls, reports):
    class Failing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError("on purpose")

    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_tls)
        with pytest.raises(ZeroDivisionError):
            await loop.create_connection(
                Failing,
                *server.sockets[0].getsockname(),
                ssl=client_tls,
                server_hostname="localhost",
            )
        server.close()

    run(loop, main())
    assert [report["message"] for report in reports if "transport" in report] == [
        "Fatal error: protocol.buffer_updated() call failed."
    ]
    reports.clear()


# A subclass's own methods of SSLObject are called.
def test_a_subclass_of_sslobject(loop, authority, server_tls):
    called = set()

    class Own(ssl.SSLObject):
        def do_handshake(self):
            called.add("do_handshake")
            return super().do_handshake()

        def read(self, len=1024, buffer=None):
            called.add("read")
            return super().read(len, buffer)

        def write(self, data):
            called.add("write")
            return super().write(data)

        def unwrap(self):
            called.add("unwrap")
            return super().unwrap()

    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.sslobject_class = Own

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_tls)
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=context, server_hostname="localhost"
        )
        assert type(transport.get_extra_info("ssl_object")) is Own
        for size in (1, 5000, 200_000):
            protocol.data.clear()
            transport.write(b"x" * size)
            transport.write(bytearray(b"y"))
            assert await received(protocol, size + 1) == b"x" * size + b"y"
        transport.close()
        assert await protocol.lost is None
        server.close()

    run(loop, main())
    assert called == {"do_handshake", "read", "write", "unwrap"}


# The context's callback may choose another context by the name that the client asks for.
def test_a_callback_for_server_names(loop, authority, client_tls):
    asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    better = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(better)

    def choose(sslobj, name, _):
        asked.append((type(sslobj), name))
        sslobj.context = better

    context.sni_callback = choose

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=context)
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
        )
        transport.close()
        await protocol.lost
        server.close()

    run(loop, main())
    assert asked == [(ssl.SSLObject, "localhost")]


# The same callback may end the connection over any transport, one that tells of its end at once and
# whose closing a second time lets the ssl module's objects go: ssl is still at work with them.
@ours_only
def test_a_callback_that_lets_go_of_the_connection():
    status, out, err = run_script("""
        import asyncio, ssl, trustme
        from camshaft import _core
        class Base(asyncio.Transport):
            lost = False
            def write(self, data): pass
            def is_closing(self): return self.lost
            def _force_close(self, reason):
                if not self.lost:
                    self.lost = True
                    protocol.connection_lost(reason)
        def leave(sslobj, name, context):
            del sslobj
            for method in (transport.abort, transport.close, transport.close):
                method()
            print(name)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(server)
        server.sni_callback = leave
        loop = new_loop()
        waiter = loop.create_future()
        protocol = _core.SSLProtocol(loop, asyncio.Protocol(), server, waiter, True)
        transport = protocol._app_transport
        protocol.connection_made(Base())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        protocol.data_received(outgoing.read())
        assert protocol._sslobj is None
        print(type(waiter.exception()).__name__)
        loop.close()
    """)
    assert (status, out, err) == (0, "localhost\nConnectionAbortedError\n", "")


# ---- ending ----


# close() sends what was written and close_notify, and ends when the peer's has come.
def test_close(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.write(b"last words")
        transport.close()
        assert transport.is_closing()
        transport.close()
        assert await peer.read_end() == b"last words"
        await settle()
        assert protocol.calls == ["made"]
        await peer.unwrap()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "eof", "lost"]
        assert await loop.sock_recv(peer.sock, 1) == b""

    run(loop, main())


# The peer's close_notify: eof_received, then connection_lost(None); the peer gets ours, and before
# it what data_received wrote last.
def test_the_peers_close(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, Echo)
        peer.tls.write(b"request")
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        await peer.flush()
        assert await peer.read_end() == b"request"
        await peer.unwrap()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "data", "eof", "lost"]
        assert transport.is_closing()

    run(loop, main())


# eof_received() that returns true changes nothing, and asyncio's warning says so.
def test_eof_received_that_returns_true(loop, server_tls, client_tls, caplog):
    async def main():
        _, protocol, peer = await open_tls(server_tls, client_tls, Eof)
        await peer.unwrap()
        assert await protocol.lost is None

    run(loop, main())
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "returning true from eof_received() has no effect when using ssl"
    ]


# A peer that does not answer close_notify is left after the shutdown's time limit.
@pytest.mark.parametrize("reading", [True, False])
def test_the_shutdowns_time_limit(loop, server_tls, client_tls, reading):
    async def main():
        transport, protocol, peer = await open_tls(
            server_tls, client_tls, buffer=4096, ssl_shutdown_timeout=0.05
        )
        if not reading:
            transport.write(bytes(1_000_000))
        transport.close()
        reason = await protocol.lost
        assert isinstance(reason, TimeoutError)
        assert str(reason) == "SSL shutdown timed out"
        peer.sock.close()

    run(loop, main())


# Both close_notify through, sending the rest has the same limit: CPython's rule from 3.14 on.
@ours_only
def test_the_limit_of_sending_the_rest(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(
            server_tls, client_tls, buffer=4096, ssl_shutdown_timeout=0.05
        )
        transport.write(bytes(1_000_000))
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        await peer.flush()
        assert isinstance(await protocol.lost, TimeoutError)
        peer.sock.close()

    run(loop, main())


# What the peer had sent before it heard of our close is dropped; asyncio ends with an SSLError.
@ours_only
def test_data_after_close(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.close()
        await peer.send(peer.seal(b"x" * 10_000, b"y"))
        await settle()
        assert await peer.read_end() == b""
        await peer.unwrap()
        assert await protocol.lost is None
        assert protocol.data == b""

    run(loop, main())


# ... within a bound: a peer that goes on sending does not keep the connection.
@ours_only
def test_much_data_after_close(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.close()
        sending = asyncio.ensure_future(peer.send(peer.seal(bytes(3_000_000))))
        reason = await protocol.lost
        assert isinstance(reason, ssl.SSLError)
        assert reason.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
        with pytest.raises(ConnectionError):
            await sending

    run(loop, main())


# Closed by data_received with more of the same wake-up to come, or while paused: all the same.
@ours_only
@pytest.mark.parametrize("paused", [False, True])
def test_close_with_data_waiting(loop, server_tls, client_tls, paused):
    class Closing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, Closing)
        if paused:
            transport.pause_reading()
        # More than the read buffer's limit: the peer is not read until it is dropped.
        sending = asyncio.ensure_future(peer.send(peer.seal(bytes(400_000))))
        if paused:
            await until(lambda: transport.get_read_buffer_size() > 256 * 1024)
            assert protocol.data == b""
            transport.close()
        else:
            await until(lambda: protocol.data)
        await sending
        await peer.read_end()
        await peer.unwrap()
        assert await protocol.lost is None

    run(loop, main())


# Closed a second time, the connection's contexts go with it, not with the garbage collector.
def test_a_second_close_lets_go(loop, authority, server_tls):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    reference = weakref.ref(context)

    async def main(context):
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_tls)
        transport, protocol = await loop.create_connection(
            Recorder,
            *server.sockets[0].getsockname(),
            ssl=context,
            server_hostname="localhost",
        )
        transport.own = protocol  # which has the transport: a circle
        transport.close()
        transport.close()
        await protocol.lost
        server.close()

    gc.disable()
    try:
        run(loop, main(context))
        del context
        assert reference() is None
    finally:
        gc.enable()


# abort() is immediate: no close_notify, no waiting for the peer.
def test_abort(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        transport.write(bytes(1_000_000))
        transport.abort()
        assert transport.is_closing()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.calls[-1] == "lost"
        assert "eof" not in protocol.calls
        peer.sock.close()

    run(loop, main())


# What the turn wrote before abort() is sent as far as the socket takes it: asyncio's write() sends.
def test_abort_behind_a_write(loop, server_tls, client_tls):
    async def main():
        transport, _, peer = await open_tls(server_tls, client_tls)
        transport.write(b"last words")
        transport.abort()
        assert await peer.read(10) == b"last words"
        await peer.receive()
        assert peer.ended

    run(loop, main())


# Writing to a closed connection is counted, warned of from the fifth on, and never raises.
def test_writes_to_a_closed_connection(loop, server_tls, client_tls, caplog):
    async def main():
        transport, protocol, _ = await open_tls(server_tls, client_tls)
        transport.abort()
        await protocol.lost
        for _ in range(4):
            transport.write(b"x")
        assert caplog.records == []
        transport.write(b"x")
        transport.writelines([b"x"])
        assert transport.get_write_buffer_size() == 0

    run(loop, main())
    assert [record.getMessage() for record in caplog.records] == ["SSL connection is closed"] * 2


# After the peer's end, what a paused application has not read yet waits for it.
def test_the_end_while_paused(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.pause_reading()
        await peer.send(peer.seal(b"unread"))
        peer.sock.close()
        await settle()
        assert protocol.calls == ["made"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"unread"

    run(loop, main())


# ... unless it closes: asyncio then keeps the connection for ever.
@ours_only
def test_close_after_the_end_while_paused(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.pause_reading()
        await peer.send(peer.seal(b"unread"))
        peer.sock.close()
        await settle()
        transport.close()
        assert await protocol.lost is None
        assert protocol.data == b""

    run(loop, main())


# A server that closes its connections closes TLS ones.
@pytest.mark.skipif(not hasattr(asyncio.Server, "close_clients"), reason="CPython 3.13 and later")
def test_a_server_that_closes_its_clients(loop, server_tls, client_tls):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_tls)
        _, protocol = await loop.create_connection(
            Recorder,
            *server.sockets[0].getsockname(),
            ssl=client_tls,
            server_hostname="localhost",
        )
        server.close()
        server.close_clients()
        await protocol.lost
        await server.wait_closed()

    run(loop, main())


# ---- errors of the application ----


@pytest.mark.parametrize(
    "method,message",
    [
        ("data_received", "Fatal error on SSL protocol"),
        ("eof_received", "Error calling eof_received()"),
    ],
)
def test_callbacks_that_raise(loop, server_tls, client_tls, reports, method, message):
    def fail(*args):
        raise error

    error = ZeroDivisionError("on purpose")

    async def main():
        _, protocol, peer = await open_tls(server_tls, client_tls)
        setattr(protocol, method, fail)
        peer.tls.write(b"data")
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        await peer.flush()
        assert await protocol.lost is error
        peer.sock.close()

    run(loop, main())
    assert [report["message"] for report in reports] == [message]
    assert reports[0]["exception"] is error
    assert {"transport", "protocol"} <= reports[0].keys()
    reports.clear()


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises(loop, server_tls, client_tls, reports, method):
    def fail(*args):
        raise ZeroDivisionError("on purpose")

    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls, buffer=4096)
        setattr(protocol, method, fail)
        # Two, as asyncio counts what the transport below has not taken, and that took the first.
        transport.write(bytes(1_000_000))
        transport.write(bytes(1_000_000))
        assert len(await peer.read(2_000_000)) == 2_000_000
        transport.abort()
        await protocol.lost

    run(loop, main())
    assert [report["message"] for report in reports] == [f"protocol.{method}() failed"]
    reports.clear()


def test_connection_lost_that_raises(loop, server_tls, client_tls, reports):
    class Failing(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError("on purpose")

    async def main():
        transport, protocol, _ = await open_tls(server_tls, client_tls, Failing)
        transport.abort()
        await protocol.lost
        await settle()

    run(loop, main())
    assert len(reports) == 1
    assert "connection_lost" in reports[0]["message"]
    reports.clear()


# KeyboardInterrupt and SystemExit leave run_forever(), from whatever callback.
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_exceptions_that_leave_the_loop(loop, server_tls, client_tls, error, method):
    def fail(*args):
        raise error

    async def main():
        _, protocol, peer = await open_tls(server_tls, client_tls)
        setattr(protocol, method, fail)
        peer.tls.write(b"data")
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        await peer.flush()
        await asyncio.sleep(30)

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


# ---- start_tls ----


def test_what_start_tls_refuses(loop, client_tls):
    async def main():
        left, right = pair()
        transport, _ = await loop.create_connection(Recorder, sock=left)
        with pytest.raises(TypeError, match="sslcontext is expected to be an instance"):
            await loop.start_tls(transport, Recorder(), None)
        with pytest.raises(TypeError, match="is not supported by start_tls"):
            await loop.start_tls(object(), Recorder(), client_tls)
        with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number"):
            await loop.start_tls(transport, Recorder(), client_tls, ssl_handshake_timeout=0)
        right.close()
        transport.abort()

    run(loop, main())


# TLS over a connection that is lost already ends with the handshake's time limit; asyncio's
# start_tls() waits for ever.
@ours_only
def test_start_tls_over_a_lost_connection(loop, client_tls):
    async def main():
        left, right = pair()
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        transport.abort()
        await protocol.lost
        await settle()
        with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer"):
            async with asyncio.timeout(LIMIT):
                await loop.start_tls(
                    transport,
                    Recorder(),
                    client_tls,
                    server_hostname="localhost",
                    ssl_handshake_timeout=0.01,
                )
        right.close()

    run(loop, main())


# The transport is in its owner's hands before data that came with the handshake's end.
@ours_only
def test_data_that_comes_with_the_handshake(loop, server_tls, client_tls):
    async def main():
        left, right = pair()
        transport, _ = await loop.create_connection(Recorder, sock=left)
        protocol = Recorder()
        order = []
        protocol.data_received = lambda data: order.append(data)

        async def upgrade():
            secure = await loop.start_tls(transport, protocol, server_tls, server_side=True)
            order.append("transport")
            return secure

        task = asyncio.ensure_future(upgrade())
        peer = Peer(client_tls, right, server_side=False)
        while True:
            try:
                peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                await peer.flush()
                await peer.receive()
            else:
                break
        peer.tls.write(b"early")
        await peer.flush()
        secure = await task
        await until(lambda: len(order) == 2)
        assert order == ["transport", b"early"]
        secure.abort()
        right.close()

    run(loop, main())


# What a server's StreamReader had received when TLS began is TLS's: CPython's rule from 3.14 on.
@ours_only
def test_a_reader_that_has_the_clients_hello(loop, server_tls, client_tls):
    lines = []

    async def serve(reader, writer):
        lines.append(await reader.readline())
        await settle()  # by now the hello is in the reader
        await writer.start_tls(server_tls)
        lines.append(await reader.readline())
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        peer = Peer(client_tls, sock, server_side=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await peer.send(b"STARTTLS\n" + peer.outgoing.read())
        await peer.handshake()
        peer.tls.write(b"secret\n")
        await peer.flush()
        assert await peer.read_end() == b""
        assert lines == [b"STARTTLS\n", b"secret\n"]
        sock.close()
        server.close()

    run(loop, main())


# TLS within TLS, both sides, closed from within; CPython 3.11's asyncio hangs in it.
@ours_only
def test_tls_within_tls(loop, server_tls, client_tls):
    served = []

    class Outer(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"S":
                self.transport.write(b"Y")
                self.task = loop.create_task(self.upgrade())

        async def upgrade(self):
            inner = Echo()
            inner.transport = await loop.start_tls(
                self.transport, inner, server_tls, server_side=True
            )
            served.append(inner)

    async def main():
        server = await loop.create_server(Outer, "127.0.0.1", 0, ssl=server_tls)
        outer, plain = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_tls, server_hostname="localhost"
        )
        outer.write(b"S")
        await received(plain, 1)
        protocol = Recorder()
        inner = await loop.start_tls(outer, protocol, client_tls, server_hostname="localhost")
        data = os.urandom(300_000)
        inner.write(data)
        assert await received(protocol, len(data)) == data
        assert inner.get_extra_info("peername") == outer.get_extra_info("peername")
        inner.close()
        assert await protocol.lost is None
        assert await served[0].lost is None
        server.close()

    run(loop, main())


# ---- the rest ----


# Callbacks run in the context in which the connection was begun.
def test_contexts(loop, server_tls, client_tls):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Seeing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(("made", variable.get()))

        def data_received(self, data):
            super().data_received(data)
            seen.append(("data", variable.get()))

        def eof_received(self):
            seen.append(("eof", variable.get()))

        def connection_lost(self, exc):
            super().connection_lost(exc)
            seen.append(("lost", variable.get()))

    async def main():
        variable.set("ours")
        _, protocol, peer = await open_tls(server_tls, client_tls, Seeing)
        variable.set("changed")
        await peer.send(peer.seal(b"data"))
        await received(protocol, 4)
        await peer.unwrap()
        await protocol.lost

    run(loop, main())
    assert seen == [(what, "ours") for what in ("made", "data", "eof", "lost")]


# Debug mode logs the handshake as asyncio does.
def test_the_debug_log(loop, server_tls, client_tls, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 60

    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        peer.sock.close()
        await protocol.lost
        assert transport.is_closing()

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(loop, main())
    texts = [
        record.getMessage() for record in caplog.records if "SSLProtocol" in record.getMessage()
    ]
    assert any(text.endswith(" starts SSL handshake") for text in texts)
    assert any(": SSL handshake took " in text and text.endswith(" ms") for text in texts)
    assert any(text.endswith(" received EOF") for text in texts)


# A connection that nobody holds and that waits for nothing is closed with warnings.
def test_a_transport_that_is_dropped(loop, server_tls, client_tls):
    async def main():
        transport, protocol, peer = await open_tls(server_tls, client_tls)
        transport.set_read_buffer_limits(high=1)
        transport.pause_reading()
        await peer.send(peer.seal(b"x"))
        await settle()  # now the stream below is paused, too
        transport.set_protocol(asyncio.Protocol())
        del transport, protocol
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()
            await settle()
        texts = [str(warning.message) for warning in caught]
        assert any(text.startswith("unclosed transport <") and "SSL" in text for text in texts)
        await peer.receive()
        assert peer.ended

    run(loop, main())


# A loop closed over open connections lets go of them.
def test_a_loop_closed_over_connections():
    status, _, err = run_script("""
        import asyncio, gc, ssl, trustme, warnings
        from tests.loop.tls_peer import open_tls
        warnings.simplefilter("ignore", ResourceWarning)
        authority = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        loop = new_loop()
        transport, protocol, peer = loop.run_until_complete(open_tls(server, client))
        transport.write(b"unsent")
        loop.close()
        transport.write(b"too late")
        transport.get_extra_info("cipher"), repr(transport), transport.is_closing()
        peer.sock.close()
        del transport, protocol
        gc.collect()
    """)
    assert (status, err) == (0, "")


# What waits to be delivered is delivered by close(), also while the loop does not run: the protocol
# may close the loop, whose buffer it is being given the data from.
def test_a_loop_closed_within_data_received():
    status, out, err = run_script("""
        import asyncio, ssl, trustme, warnings
        from tests.loop.support import Recorder, until
        from tests.loop.tls_peer import open_tls
        warnings.simplefilter("ignore", ResourceWarning)
        class Closer(Recorder):
            def data_received(self, data):
                loop.close()
                print(data == b"x" * 2000, loop.is_closed())
        authority = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        loop = new_loop()
        async def main():
            global transport, peer
            transport, _, peer = await open_tls(server, client, Closer)
            transport.pause_reading()
            await peer.send(peer.seal(b"x" * 2000))
            await until(lambda: transport.get_read_buffer_size() > 2000)
            transport.resume_reading()
            loop.stop() # before it has been read on
        task = loop.create_task(main())
        task.add_done_callback(lambda task: loop.stop())
        loop.run_forever()
        try:
            transport.close()
        except RuntimeError as error: # asyncio, too, cannot queue the rest
            assert str(error) == "Event loop is closed"
        peer.sock.close()
    """)
    assert (status, out, err) == (0, "True True\n", "")


# A forked child must not use the parent's keys: its writes would repeat their sequence numbers.
@ours_only
def test_a_forked_child():
    status, out, err = run_script("""
        import asyncio, os, ssl, trustme, warnings
        from tests.loop.tls_peer import open_tls
        warnings.simplefilter("ignore")
        authority = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)

        async def main():
            transport, protocol, peer = await open_tls(server, client)
            transport.write(b"parent's")
            child = os.fork()
            if child == 0:
                for call in (lambda: transport.write(b"x"), transport.close, transport.abort):
                    try:
                        call()
                    except RuntimeError as error:
                        assert "forked" in str(error)
                    else:
                        os._exit(1)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(await peer.read(8))
            transport.abort()
            await protocol.lost

        new_loop().run_until_complete(main())
    """)
    assert (status, out, err) == (0, '0\nb"parent\'s"\n', "")


@ours_only
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_dropped_while_a_connection_shuts_down_is_collected(server_tls, client_tls):
    """The shutdown's timer is held by the loop and by the connection."""

    async def main():
        running = asyncio.get_running_loop()
        server = await running.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await running.create_connection(
            asyncio.Protocol, "127.0.0.1", port, ssl=client_tls, server_hostname="localhost"
        )
        transport.close()
        server.close()

    dropped = new_loop()
    dropped.run_until_complete(main())
    gone = weakref.ref(dropped)
    del dropped
    gc.collect()
    gc.collect()
    assert gone() is None
