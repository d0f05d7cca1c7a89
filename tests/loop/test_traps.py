# SPDX-License-Identifier: MIT
"""The traps that event loops fall into, and what people reported of others: where each is tested.

TRAPS goes by the numbers of the design's list, worst first; REPORTED by the themes of uvloop's
tracker. The tables name tests of this directory and fail when one of them is gone. What no other
file tests has its test below.
"""

import ast
import asyncio
import functools
import gc
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.loop.support import (
    Echo,
    Recorder,
    new_loop,
    open_stream,
    ours_only,
    receive_exactly,
    run,
    run_script,
    run_turns,
    until,
)
from tests.loop.test_reported import current

TRAPS = {
    "1 ownership of descriptors": """
        ownership: no_byte_goes_astray
        watchers: removed_then_closed_then_reused, closed_then_removed_then_reused,
            closed_and_never_removed_then_reused,
            readiness_found_before_a_reuse_does_not_reach_the_new_watcher,
            a_transport_on_a_number_that_was_closed_and_never_removed
        transports: closing_the_socket_behind_the_transport_closes_nothing
        interpreters: a_descriptor_given_back_in_one_thread_is_used_in_another""",
    "2 exceptions and interrupts of callbacks": """
        scheduling: an_exception_is_reported_and_the_rest_runs,
            interrupts_leave_run_forever_and_the_rest_stays_queued,
            interrupts_from_timers_and_readers_leave_too
        streams: interrupts_in_the_protocol_leave_run_forever
        signals: an_interrupt_is_never_lost""",
    "3 order of a turn": """
        scheduling: descriptors_then_timers_join_behind_what_is_ready,
            a_callback_added_during_a_turn_waits_for_the_next, stop_ends_the_turn_it_is_called_in,
            stop_before_running_gives_one_turn""",
    "4 made, reading, waiter; lost once and never inside a call": """
        streams: made_then_reading_then_the_waiter, the_loss_is_never_reported_inside_the_call,
            data_then_end_then_loss""",
    "5 flow control": """
        streams: writing_flows_against_a_slow_reader, write_buffer_limits,
            limits_of_zero_pause_at_any_unsent_byte, resume_writing_may_write_again""",
    "6 writing after close": """
        streams: writing_after_close_warns_from_the_fifth_and_never_raises
        traps: writing_after_write_eof_raises""",
    "7 half-close and hang-up": """
        streams: a_protocol_may_keep_the_transport_open_at_eof, write_eof_waits_for_what_was_written
        watchers: the_end_of_the_peer_wakes_the_reader, a_broken_pipe_wakes_the_writer
        traps: a_hang_up_wakes_both_ways_and_does_not_spin""",
    "8 call_soon_threadsafe": """
        threads: calls_from_many_threads_all_run_in_each_threads_order, a_blocked_loop_is_woken,
            closing_while_threads_call, from_the_loops_own_thread
        interpreters: loops_of_two_threads_talk_by_threadsafe_calls""",
    "9 signals": """
        signals: the_wakeup_descriptor_that_was_there_is_put_back, a_full_pipe_forgets_no_signal,
            ten_thousand_signals_a_second, interrupt_while_waiting_leaves_run_forever,
            not_outside_the_main_thread,
            what_a_plain_handler_starts_just_before_the_wait_is_not_left_waiting""",
    "10 cancelled sock_* calls": """
        sockets: cancelled_then_closed_then_reused,
            a_cancelled_receive_takes_nothing_from_the_next,
            a_connection_is_not_lost_by_a_cancelled_accept
        servers: a_cancelled_connect_leaves_nothing""",
    "11 run_until_complete": """
        lifecycle: run_until_complete_returns_and_raises, stopped_before_the_future_completed,
            an_interrupted_task_of_its_own_is_not_reported,
            exceptions_never_retrieved_are_reported
        traps: run_until_complete_leaves_no_callback_behind""",
    "12 contexts": """
        scheduling: contexts_are_captured_when_scheduling,
            what_a_callback_sets_stays_in_the_given_context
        streams: protocol_calls_run_in_the_context_of_the_connection
        traps: a_protocol_is_called_while_its_context_is_entered""",
    "13 reentrancy": """
        streams: closing_inside_data_received, the_protocol_may_be_replaced_inside_data_received,
            pausing_inside_data_received
        traps: anything_may_be_done_in_any_call_of_a_protocol""",
    "14 garbage": """
        streams: a_dropped_transport_warns_and_closes_its_socket,
            nothing_keeps_a_finished_connection_alive
        lifecycle: a_dropped_loop_warns_and_is_closed
        debug: a_dropped_loop_warns_and_gives_its_descriptors_back
        scheduling: finished_handles_let_their_callback_go
        traps: a_server_holds_its_connections_weakly""",
    "15 ownership of buffers": """
        streams: a_buffer_may_change_after_write, the_order_of_mixed_writes
        drivers: a_view_is_not_read_after_its_owner_changed_it""",
    "16 servers": """
        servers: closing_wakes_serve_forever, wait_closed_waits_for_connections,
            closing_the_clients, a_listening_socket_closed_behind_our_back_does_not_spin
        exhaustion: 64_descriptors_and_100_clients,
            the_listener_rests_for_short_and_growing_times_and_reports_once,
            a_connection_that_ends_makes_room_for_the_next_at_once
        traps: wait_closed_in_both_orders""",
    "17 children": """
        processes: input_and_output, exit_status_and_shell, several_children_at_once
        reported: no_fork_hooks_for_a_program, children_while_a_thread_opens_files
        traps: a_child_starts_with_no_signal_blocked, a_parent_without_standard_streams,
            an_exit_before_the_pipes_are_read_loses_nothing""",
    "18 forks": """
        forks: in_the_child, a_child_of_multiprocessing_runs_a_loop_of_its_own
        lifecycle: a_forked_child_does_not_send_what_its_parent_wrote,
            a_child_forked_in_a_callback_leaves_the_loop""",
    "19 executors and asynchronous generators": """
        threads: shutdown_default_executor_twice
        lifecycle: async_generators_are_closed_at_shutdown
        traps: shutting_down_a_busy_executor_ends_in_time,
            a_generator_dropped_in_another_thread_is_closed_in_the_loop""",
    "20 timers": """
        timers: timers_are_never_early, equal_deadlines_keep_their_order,
            many_cancelled_timers_are_forgotten
        traps: the_wall_clock_may_jump, a_day_off_by_faketime""",
    "21 getaddrinfo": """
        servers: getaddrinfo_gives_what_the_system_gives
        traps: a_numeric_address_is_what_libc_says""",
    "22 happy eyeballs": """
        servers: local_addresses_and_happy_eyeballs, connecting_to_nobody
        traps: all_errors_are_told_when_asked_for""",
    "23 sockets": """
        sockets: blocking_sockets_are_refused_in_debug_mode
        servers: a_unix_server_and_its_client, a_stale_unix_socket_is_replaced_and_a_file_is_not,
            an_address_in_use, ipv6_addresses, several_addresses, arguments_that_contradict
        traps: unix_paths_may_be_bytes, only_its_own_socket_file_is_removed""",
    "24 debug mode": """
        debug: origin_tracking_is_put_back, slow_callbacks_are_named, slow_protocols_are_named,
            a_slow_task_is_named_with_the_place_it_was_made_at,
            calls_from_the_wrong_thread_are_refused, coroutines_are_no_callbacks,
            debug_mode_is_switched_while_the_loop_runs""",
}

REPORTED = {
    "descriptors reused or closed twice: 645, 738, 740, 763, 766, 100, 262, 414": """
        ownership: no_byte_goes_astray
        reported: a_pipes_descriptor_is_closed_once_and_by_its_file,
            a_socket_closed_before_the_loop_turns, children_while_a_thread_opens_files""",
    "RuntimeError on write after close: 506, 685": """
        streams: writing_after_close_warns_from_the_fifth_and_never_raises""",
    "crashes in debug mode: 730, 611, 715, 716, 756": """
        reported: asynchronous_generators_dropped_in_debug_mode
        debug: everything_works_in_debug_mode""",
    "create_task's keywords: 754, 746, 718": """
        tasks: eager_start, unknown_keywords_are_refused, a_task_factory
        api: every_method_takes_what_asyncios_takes""",
    "TLS that leaks or lingers: 158, 565, 626, aiohttp 6762": """
        reported: closing_tls_does_not_wait_longer_for_the_peer_than_it_may,
            a_finished_connection_is_forgotten
        resets: at_every_byte_of_a_tls_connection""",
    "memory held: 548, 252, 239": """
        reported: a_finished_connection_is_forgotten
        streams: nothing_keeps_a_finished_connection_alive""",
    "sendfile: 228, 549": """
        processes: sendfile, resume_reading_during_sendfile
        transports: sendfile_between_writes""",
    "sock_sendto and sock_recvfrom: 561, 655": "sockets: datagrams",
    "the server's newer methods: 683": """
        servers: closing_the_clients, wait_closed_waits_for_connections""",
    "late or grouped writes: 631, 619": """
        streams: a_write_leaves_without_waiting_for_anything_else,
            what_is_written_before_the_loop_stops_is_sent""",
    "timers early or coarse: 359, 739, 755, 233, 482, 29": """
        timers: timers_are_never_early, zero_and_negative_delays_have_a_time_too
        reported: the_clock_goes_on_while_the_loop_is_blocked""",
    "happy eyeballs: 406": """
        servers: local_addresses_and_happy_eyeballs
        traps: all_errors_are_told_when_asked_for""",
    "datagrams and their addresses: 214, 120, 319, 338, 276, 196, 403, 85": """
        reported: both_addresses_of_a_datagram_endpoint, datagrams_that_cannot_be_sent,
            unix_datagrams""",
    "children: 118, 749": """
        reported: no_fork_hooks_for_a_program
        traps: a_child_starts_with_no_signal_blocked""",
    "KeyboardInterrupt lost: 295, 335": """
        signals: an_interrupt_is_never_lost, interrupting_camshaft_run""",
    "what blocks the loop: 656, 103": """
        debug: slow_callbacks_are_named, slow_protocols_are_named""",
    "names and the pool: 43": "reported: numeric_addresses_need_no_thread",
    "the transport's socket: 467, 560": """
        reported: the_socket_of_a_transport_is_a_socket, the_peers_name_is_known_though_it_has_left
        transports: an_accepted_connections_socket_object""",
    "attributes that cannot be replaced": "reported: attributes_of_transports_may_be_replaced",
}


@functools.cache
def names_in(stem):
    """The names of the tests in a file of this directory."""
    path = pathlib.Path(__file__).with_name(f"test_{stem}.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("name", [*TRAPS, *REPORTED])
def test_the_tables_name_tests_that_exist(name):
    stem = None
    count = 0
    for word in {**TRAPS, **REPORTED}[name].replace(",", " ").split():
        if word.endswith(":"):
            stem = word[:-1]
        else:
            assert f"test_{word}" in names_in(stem), f"{stem}: {word}"
            count += 1
    assert count


def test_every_trap_has_its_row():
    assert [int(name.split()[0]) for name in TRAPS] == list(range(1, 25))


# ---- 6, 7 ----


def test_writing_after_write_eof_raises(loop):
    async def main():
        transport, protocol, peer = await open_stream()
        transport.write(b"all")
        transport.write_eof()
        transport.write_eof()  # again: nothing
        for write in (transport.write, lambda data: transport.writelines([data])):
            with pytest.raises(RuntimeError):
                write(b"more")
        assert await receive_exactly(peer, 10) == b"all"
        peer.close()
        await protocol.lost

    run(loop, main())


@ours_only
@pytest.mark.parametrize("paused", [True, False])
def test_a_hang_up_wakes_both_ways_and_does_not_spin(loop, paused):
    """The poller reports a hang-up also to those who did not ask for anything."""

    async def main():
        transport, protocol, peer = await open_stream(buffer=4096)
        transport.write(bytes(500_000))
        if paused:
            transport.pause_reading()
        peer.close()
        await protocol.lost

        transport, protocol, peer = await open_stream()
        transport.pause_reading()
        peer.close()
        before = os.times()
        await asyncio.sleep(0.2)
        after = os.times()
        # A loop that spins would have used all of it.
        assert after.user + after.system - before.user - before.system < 0.15
        transport.resume_reading()
        await protocol.lost

    run(loop, main())


# ---- 11 ----


def test_run_until_complete_leaves_no_callback_behind(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        loop.run_until_complete(future)
    stopped = []
    future.set_result(None)
    loop.call_soon(lambda: loop.call_soon(lambda: stopped.append("a second turn")))
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert stopped == ["a second turn"]


# ---- 12, 13 ----


def test_a_protocol_is_called_while_its_context_is_entered(loop):
    """pause_writing and resume_writing come inside write(), which may run in the same context."""

    async def main():
        calls = []

        class Pausing(Recorder):
            def data_received(self, data):
                # In the connection's context; this pauses the protocol from within.
                self.transport.write(bytes(1_000_000))
                calls.append("written")

            def pause_writing(self):
                calls.append("pause")
                loop.call_soon(self.transport.abort)

        transport, protocol, peer = await open_stream(Pausing, buffer=4096)
        transport.set_write_buffer_limits(1000)
        peer.send(b"go")
        await protocol.lost
        assert calls == ["pause", "written"]
        peer.close()

    run(loop, main())


ACTIONS = {
    "close": lambda p: p.transport.close(),
    "abort": lambda p: p.transport.abort(),
    "pause and close": lambda p: (p.transport.pause_reading(), p.transport.close()),
    "write and close": lambda p: (p.transport.write(b"x" * 300_000), p.transport.close()),
    "write_eof": lambda p: p.transport.can_write_eof() and p.transport.write_eof(),
    "swap": lambda p: p.transport.set_protocol(p.other),
    "swap and abort": lambda p: (p.transport.set_protocol(p.other), p.transport.abort()),
    "drop everything": lambda p: (p.__dict__.clear(), gc.collect()),
    "raise": lambda p: 1 / 0,
}


class Other(asyncio.Protocol):
    pass


class BufferedOther(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        return bytearray(10)

    def buffer_updated(self, nbytes):
        pass


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "method",
    ["connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"],
)
@pytest.mark.parametrize("other", [Other, BufferedOther])
def test_anything_may_be_done_in_any_call_of_a_protocol(loop, reports, method, action, other):
    """It does not crash, the loop goes on, and every descriptor comes back."""
    before = len(os.listdir("/proc/self/fd"))

    async def main():
        class Acting(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                self.other = other()
                transport.set_write_buffer_limits(1000)
                act(self, "connection_made")

            def __getattribute__(self, name):
                if name == method and name != "connection_made":
                    return lambda *_: act(self, name)
                return super().__getattribute__(name)

        done = []

        def act(protocol, name):
            if name == method and not done:
                done.append(name)
                ACTIONS[action](protocol)

        ours, peer = socket.socketpair()
        for end in (ours, peer):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport, _ = await loop.create_connection(Acting, sock=ours)
        try:
            peer.send(b"data")
            await asyncio.sleep(0.001)
            transport.write(bytes(200_000))
            for _ in range(30):
                await asyncio.sleep(0)
                try:
                    peer.recv(1 << 20)
                except BlockingIOError:
                    pass
            peer.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.001)
        except (OSError, RuntimeError):
            pass  # closed already, or its end written
        transport.abort()
        peer.close()
        del transport
        # The loop goes on.
        transport, protocol, peer = await open_stream(Echo)
        peer.send(b"still")
        assert await receive_exactly(peer, 5) == b"still"
        transport.close()
        await protocol.lost
        peer.close()

    run(loop, main())
    run_turns(loop, 3)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    if action == "raise":
        assert all(isinstance(r["exception"], ZeroDivisionError) for r in reports)
    else:
        assert all("never" not in str(r) for r in reports)
    reports.clear()


# ---- 14, 16 ----


@pytest.mark.skipif(sys.version_info < (3, 13), reason="servers know their clients from 3.13")
def test_a_server_holds_its_connections_weakly(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await until(lambda: len(server._clients) == 1)
        writer.close()
        await writer.wait_closed()
        await until(lambda: gc.collect() is not None and not len(server._clients))
        server.close()
        await server.wait_closed()

    run(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 12, 1), reason="wait_closed waits from 3.12.1")
@pytest.mark.parametrize("first", ["the server", "the client"])
def test_wait_closed_in_both_orders(loop, first):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await reader.readexactly(1)
        waiting = asyncio.ensure_future(server.wait_closed())
        if first == "the server":
            server.close()
            await asyncio.sleep(0.002)
            assert not waiting.done()
            writer.close()
        else:
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.002)
            assert not waiting.done()
            server.close()
        await waiting
        if sys.version_info >= (3, 13):
            server.close_clients()
            server.abort_clients()

    run(loop, main())


# ---- 17 ----


def test_a_child_starts_with_no_signal_blocked(loop):
    async def main():
        code = (
            "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "
            "signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)"
        )
        loop.add_signal_handler(signal.SIGUSR1, int)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        loop.remove_signal_handler(signal.SIGUSR1)
        # SIGPIPE is ignored by every Python; that the mask is empty is what counts.
        assert out.split(b" ")[0] == b"[]"

    with current(loop):
        run(loop, main())


def test_a_parent_without_standard_streams():
    """The child's pipes get the numbers 0 to 2 in the parent, which must not be mixed up."""
    status, out, err = run_script(
        """
        import asyncio, os, subprocess
        kept = os.dup(1)
        for number in (0, 1, 2):
            os.close(number)

        async def main():
            for _ in range(3):
                process = await asyncio.create_subprocess_exec(
                    "sh", "-c", "cat; echo to the other >&2",
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                out, err = await process.communicate(b"through")
                os.write(kept, b"%r %r %d\\n" % (out, err, process.returncode))

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        """
    )
    assert (status, out) == (0, "b'through' b'to the other\\n' 0\n" * 3), err


def test_an_exit_before_the_pipes_are_read_loses_nothing(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "printf %065000d 0", stdout=subprocess.PIPE
        )
        assert await process.wait() == 0
        assert len(await process.stdout.read()) == 65000

    with current(loop):
        run(loop, main())


# ---- 19, 20 ----


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the timeout came with 3.12")
def test_shutting_down_a_busy_executor_ends_in_time(loop):
    release = threading.Event()

    async def main():
        busy = loop.run_in_executor(None, release.wait)
        with pytest.warns(RuntimeWarning, match="executor"):
            await loop.shutdown_default_executor(timeout=0.01)
        with pytest.raises(RuntimeError, match="shutdown"):
            loop.run_in_executor(None, int)
        release.set()
        await busy

    try:
        run(loop, main())
    finally:
        release.set()


def test_a_generator_dropped_in_another_thread_is_closed_in_the_loop(loop):
    closed = []

    async def generator():
        try:
            yield 1
        finally:
            closed.append(threading.get_ident())

    async def main():
        held = [generator()]
        await anext(held[0])
        await asyncio.to_thread(held.clear)
        await asyncio.to_thread(gc.collect)
        await until(lambda: closed)
        assert closed == [threading.get_ident()]

    run(loop, main())


def clock_jumping():
    """The command that runs another with its wall clock jumping, or None."""
    for path in os.get_exec_path():
        if os.access(os.path.join(path, "faketime"), os.X_OK):
            return os.path.join(path, "faketime")
    return None


@ours_only
def test_the_wall_clock_may_jump():
    """Timers go by CLOCK_MONOTONIC, whatever time.time() says."""
    status, out, err = run_script(
        """
        import asyncio, time
        loop = new_loop()
        true_time = time.time

        async def main():
            for jump in (86_400, -86_400):
                begin = time.monotonic()
                asyncio.get_running_loop().call_later(0.01, setattr, time, "time",
                                                      lambda: true_time() + jump)
                await asyncio.sleep(0.03)
                took = time.monotonic() - begin
                assert took >= 0.03, took
                assert abs(loop.time() - time.monotonic()) < 1
            print("in time")

        loop.run_until_complete(asyncio.wait_for(main(), 20))
        loop.close()
        """
    )
    assert (status, out) == (0, "in time\n"), err


@ours_only
@pytest.mark.skipif(clock_jumping() is None, reason="faketime is not installed")
@pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="faketime hangs when a sanitizer is preloaded as well"
)
@pytest.mark.parametrize("offset", ["+1d", "-1d"])
def test_a_day_off_by_faketime(offset):
    """With CLOCK_REALTIME a day off and CLOCK_MONOTONIC left alone."""
    code = (
        "import asyncio, camshaft, time\n"
        "async def main():\n"
        "    begin = time.monotonic()\n"
        "    await asyncio.sleep(0.02)\n"
        "    assert time.monotonic() - begin >= 0.02\n"
        "    return abs(time.time() - __import__('os').stat('/proc/self').st_ctime) > 80_000\n"
        "print(camshaft.run(main()))\n"
    )
    done = subprocess.run(
        [clock_jumping(), "--exclude-monotonic", "-f", offset, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ, NO_FAKE_STAT="1"),
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


# ---- 21, 22, 23 ----


@pytest.mark.parametrize(
    "host, port",
    [
        ("127.1", 80),
        ("0x7f.1", 80),
        ("127.0.0.1", "80"),
        ("127.0.0.1", None),
        ("::1", 80),
        ("::ffff:127.0.0.1", 80),
        ("fe80::1%lo", 80),
        (b"127.0.0.1", 80),
        ("127.0.0.1 ", 80),
        ("", 80),
        (None, 80),
        ("1.2.3", "http"),
    ],
)
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"type": socket.SOCK_STREAM},
        {"type": socket.SOCK_DGRAM, "family": socket.AF_INET},
        {"family": socket.AF_INET6, "type": socket.SOCK_STREAM},
        {"proto": socket.IPPROTO_UDP},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_CANONNAME},
        {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV},
    ],
)
def test_a_numeric_address_is_what_libc_says(loop, host, port, keywords):
    def outcome(function):
        try:
            return function()
        except OSError as error:
            return type(error), error.args
        except Exception as error:
            return type(error)

    expected = outcome(lambda: socket.getaddrinfo(host, port, **keywords))
    got = outcome(lambda: run(loop, loop.getaddrinfo(host, port, **keywords)))
    assert got == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all_errors came with 3.12")
@pytest.mark.parametrize("delay", [None, 0.01])
def test_all_errors_are_told_when_asked_for(loop, delay):
    async def main():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with pytest.raises(ExceptionGroup) as caught:
                await loop.create_connection(
                    Recorder, "127.0.0.1", port, all_errors=True, happy_eyeballs_delay=delay
                )
            assert all(isinstance(e, ConnectionRefusedError) for e in caught.value.exceptions)
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(
                    Recorder, "127.0.0.1", port, happy_eyeballs_delay=delay
                )

    run(loop, main())


@pytest.mark.parametrize("kind", [str, bytes, pathlib.Path])
def test_unix_paths_may_be_bytes(loop, tmp_path, kind):
    name = tmp_path / "socket"
    path = os.fsencode(name) if kind is bytes else kind(name)

    async def main():
        server = await loop.create_unix_server(Echo, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        transport.write(b"x")
        await until(lambda: protocol.data == b"x")
        transport.close()
        await protocol.lost
        server.close()

    run(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="cleanup_socket came with 3.13")
def test_only_its_own_socket_file_is_removed(loop, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        server = await loop.create_unix_server(Echo, path)
        server.close()
        assert not os.path.exists(path)
        server = await loop.create_unix_server(Echo, path)
        os.unlink(path)
        another = socket.socket(socket.AF_UNIX)
        another.bind(path)
        server.close()
        assert os.path.exists(path)
        another.close()
        os.unlink(path)
        server = await loop.create_unix_server(Echo, path, cleanup_socket=False)
        server.close()
        assert os.path.exists(path)

    run(loop, main())


def test_a_loop_that_was_never_run_closes():
    loop = new_loop()
    loop.call_soon(print)
    loop.call_later(1, print)
    loop.close()
    loop.close()
