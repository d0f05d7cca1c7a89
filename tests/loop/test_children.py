# SPDX-License-Identifier: MIT
"""Child processes seen from near: who is told what and when, who reaps, what stays open."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

import pytest

from tests.loop.support import new_loop, ours_only, run, run_script, until

SLEEP = ("/bin/sleep", "60")


@pytest.fixture
def current(loop):
    """The loop as the current one, which child watchers of 3.11 look for."""
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)


def children() -> set[int]:
    """This process's children, dead or alive, that nobody has waited for."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            parent = file.read().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(name))
    return found


@pytest.fixture(autouse=True)
def no_children():
    """No test leaves a child behind, dead or alive, or a descriptor.

    Other tests of this process may have: multiprocessing's resource tracker lives as long as it.
    """
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    others = children()
    yield
    gc.collect()
    subprocess._cleanup()
    assert children() <= others
    assert len(os.listdir("/proc/self/fd")) <= len(before)


class Calls(asyncio.SubprocessProtocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.data = {1: b"", 2: b""}
        self.transport: Any = None
        self.exited = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def pipe_data_received(self, fd, data):
        assert self.calls[0] == "made"
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append((fd, exc))

    def process_exited(self):
        self.calls.append("exited")
        self.exited.set_result(self.transport.get_returncode())

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.done.set_result(exc)

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


def test_what_a_protocol_is_told(current):
    async def main():
        transport, protocol = await current.subprocess_shell(
            Calls, "cat; echo error >&2; exit 3", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert protocol.calls == ["made"]
        assert protocol.transport is transport
        assert transport.get_protocol() is protocol
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_pid() == transport.get_extra_info("subprocess").pid
        assert transport.get_returncode() is None
        assert transport.get_pipe_transport(3) is None
        assert not transport.is_closing()
        text = repr(transport)
        for part in (f"pid={transport.get_pid()}", "running", "stdin=", "stdout=", "stderr="):
            assert part in text
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"one ")
        stdin.write(b"two")
        await until(lambda: protocol.data[1] == b"one two")
        stdin.close()
        assert await protocol.done is None
        assert protocol.data == {1: b"one two", 2: b"error\n"}
        assert protocol.calls[0] == "made"
        assert protocol.calls[-1] == "lost"
        assert sorted(map(str, protocol.calls[1:-1])) == sorted(
            ["exited", "(0, None)", "(1, None)", "(2, None)"]
        )
        assert transport.get_returncode() == 3
        assert "returncode=3" in repr(transport)
        for send in (transport.kill, transport.terminate, lambda: transport.send_signal(2)):
            with pytest.raises(ProcessLookupError):
                send()
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert "closed" in repr(transport)

    run(current, main())


def test_the_child_ends_before_its_pipes(current):
    """connection_lost() comes once a grandchild lets go of the output, too."""

    async def main():
        reading, writing = os.pipe()
        transport, protocol = await current.subprocess_shell(
            Calls,
            f"cat /proc/self/fd/{reading} & exit 5",
            stdin=None,
            stderr=None,
            pass_fds=(reading,),
        )
        os.close(reading)
        assert await protocol.exited == 5
        await asyncio.sleep(0.01)
        assert protocol.calls == ["made", "exited"]
        os.write(writing, b"late")
        os.close(writing)
        await protocol.done
        assert protocol.data[1] == b"late"
        assert protocol.calls == ["made", "exited", (1, None), "lost"]
        transport.close()

    run(current, main())


def test_pipes_that_end_before_the_child(current):
    async def main():
        transport, protocol = await current.subprocess_exec(
            Calls, "/bin/sh", "-c", "exec >&- 2>&-; read line; exit 4"
        )
        await until(lambda: len(protocol.calls) == 3)
        assert sorted(protocol.calls[1:]) == [(1, None), (2, None)]
        transport.get_pipe_transport(0).write(b"go\n")
        await protocol.done
        assert protocol.calls[-1] == "lost"
        assert transport.get_returncode() == 4
        transport.close()

    run(current, main())


def test_another_protocol_for_a_child(current):
    async def main():
        transport, protocol = await current.subprocess_exec(Calls, "/bin/cat", stderr=None)
        other = Calls()
        other.calls.append("made")
        other.transport = transport
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"x" * 1_000_000)
        assert "pause" in other.calls
        await until(lambda: len(other.data[1]) == 1_000_000)
        assert "resume" in other.calls
        stdin.close()
        await other.done
        assert protocol.calls == ["made"]
        transport.close()

    run(current, main())


def test_an_exception_from_the_protocol(current, reports):
    class Fails(Calls):
        def pipe_data_received(self, fd, data):
            super().pipe_data_received(fd, data)
            raise ZeroDivisionError

    async def main():
        transport, protocol = await current.subprocess_shell(Fails, "echo x", stderr=None)
        await protocol.done
        assert protocol.data[1] == b"x\n"
        transport.close()

    run(current, main())
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    reports.clear()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_from_the_protocol(current, kind):
    class Interrupted(Calls):
        def pipe_data_received(self, fd, data):
            super().pipe_data_received(fd, data)
            raise kind

    async def main():
        transport, protocol = await current.subprocess_shell(Interrupted, "echo x", stderr=None)
        await protocol.done
        transport.close()
        return protocol.data[1]

    task = current.create_task(main())
    with pytest.raises(kind):
        current.run_until_complete(task)
    assert run(current, asyncio.wait_for(task, 30)) == b"x\n"


# ---- arguments


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"universal_newlines": True}, "universal_newlines must be False"),
        ({"bufsize": 1}, "bufsize must be 0"),
        ({"text": True}, "text must be False"),
        ({"encoding": "utf-8"}, "encoding must be None"),
        ({"errors": "strict"}, "errors must be None"),
    ],
)
def test_what_is_refused(current, keywords, text):
    async def main():
        for create in (asyncio.create_subprocess_exec, asyncio.create_subprocess_shell):
            with pytest.raises(ValueError, match=text):
                await create("/bin/true", **keywords)
        with pytest.raises(ValueError, match="shell must be False"):
            await asyncio.create_subprocess_exec("/bin/true", shell=True)
        with pytest.raises(ValueError, match="shell must be True"):
            await asyncio.create_subprocess_shell("true", shell=False)
        with pytest.raises(ValueError, match="cmd must be a string"):
            await asyncio.create_subprocess_shell(["true"])

    run(current, main())


def test_a_child_that_cannot_be_started(current, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("text")

    def fail():
        raise ZeroDivisionError

    async def main():
        for program, keywords, kind, name in (
            ("/nowhere/program", {}, FileNotFoundError, "/nowhere/program"),
            ("/bin/true", {"cwd": "/nowhere"}, FileNotFoundError, "/nowhere"),
            (str(plain), {}, PermissionError, str(plain)),
        ):
            with pytest.raises(kind) as caught:
                await asyncio.create_subprocess_exec(
                    program, stdin=PIPE, stdout=PIPE, stderr=PIPE, **keywords
                )
            assert caught.value.filename == name
        with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, preexec_fn=fail)
        with pytest.raises(TypeError):
            await asyncio.create_subprocess_exec("/bin/true", unknown=1)

    run(current, main())


def test_what_a_child_is_given(current, tmp_path):
    async def output(*args, **keywords):
        process = await asyncio.create_subprocess_exec(*args, stdout=PIPE, **keywords)
        out, _ = await process.communicate()
        return out.decode().strip()

    async def main():
        sh = "/bin/sh", "-c"
        assert await output(*sh, "pwd", cwd=tmp_path) == str(tmp_path.resolve())
        assert await output(*sh, "echo $NAME", env={"NAME": "value"}) == "value"
        assert await output(*sh, "umask", umask=0o077) == "0077"
        script = "import os; print(os.getpid() == os.getsid(0), os.getpgrp() == os.getpid())"
        python = sys.executable, "-c", script
        assert await output(*python) == "False False"
        assert await output(*python, start_new_session=True) == "True True"
        assert await output(*python, process_group=0) == "False True"
        assert await output(*sh, "echo out; echo err >&2", stderr=STDOUT) == "out\nerr"
        assert await output("/bin/cat", stdin=DEVNULL) == ""
        reading, writing = os.pipe()
        os.write(writing, b"passed on")
        os.close(writing)
        assert await output(*sh, f"cat /proc/self/fd/{reading}", pass_fds=(reading,)) == "passed on"
        os.close(reading)
        # Nothing else is inherited.
        listing = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
        assert await output(sys.executable, "-c", listing, stdin=DEVNULL) == "[0, 1, 2]"

    run(current, main())


def test_no_hooks_of_fork_are_run():
    """Popen needs none without preexec_fn; uvloop runs them (its #749)."""
    status, out, err = run_script(
        """
        import asyncio, os
        os.register_at_fork(before=lambda: print("before"), after_in_parent=lambda: print("after"))

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/true")
            print(await process.wait())

        loop = new_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert (status, out, err) == (0, "0\n", "")


def test_a_parent_without_standard_descriptors():
    status, _out, _err = run_script(
        """
        import asyncio, os
        for fd in (0, 1, 2):
            os.close(fd)

        async def main():
            P = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_shell(
                "cat; echo err >&2; exit 6", stdin=P, stdout=P, stderr=P
            )
            out, err = await process.communicate(b"in")
            assert (out, err) == (b"in", b"err\\n"), (out, err)
            return process.returncode

        loop = new_loop()
        asyncio.set_event_loop(loop)
        status = loop.run_until_complete(main())
        loop.close()
        os._exit(status)
        """
    )
    assert status == 6


# ---- who reaps


def test_handlers_of_sigchld_are_the_applications(current):
    seen = []

    async def main():
        current.add_signal_handler(signal.SIGCHLD, seen.append, 1)
        try:
            process = await asyncio.create_subprocess_shell("exit 9")
            assert await process.wait() == 9
            await until(lambda: seen)
        finally:
            assert current.remove_signal_handler(signal.SIGCHLD)

    run(current, main())


@ours_only
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 has no child watchers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_policys_watcher_is_not_made_or_asked(current):
    policy = asyncio.get_event_loop_policy()
    policy._watcher = None

    async def main():
        process = await asyncio.create_subprocess_shell("exit 1")
        assert await process.wait() == 1

    run(current, main())
    assert policy._watcher is None
    watcher = asyncio.get_child_watcher()
    assert isinstance(watcher, asyncio.ThreadedChildWatcher | asyncio.PidfdChildWatcher)
    run(current, main())
    assert asyncio.get_child_watcher() is watcher


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 has no child watchers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_applications_watcher_is_asked(current):
    """Such a one may reap all children, as asyncio's FastChildWatcher does."""

    class Watcher(asyncio.ThreadedChildWatcher):
        asked: list[int] = []

        def add_child_handler(self, pid, callback, *args):
            self.asked.append(pid)
            super().add_child_handler(pid, callback, *args)

    async def main():
        process = await asyncio.create_subprocess_shell("exit 1")
        assert await process.wait() == 1
        assert Watcher.asked == [process.pid]

    asyncio.set_child_watcher(Watcher())
    try:
        run(current, main())
    finally:
        asyncio.set_child_watcher(None)


@ours_only
def test_a_kernel_without_pidfds(current, monkeypatch):
    def refuse(pid, flags=0):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)

    async def main():
        for command, status in (("exit 2", 2), ("exec sleep 60", -15)):
            process = await asyncio.create_subprocess_shell(command, stdout=PIPE)
            if status < 0:
                process.terminate()
            assert await process.wait() == status
            await process.stdout.read()

    run(current, main())
    # The threads end with their children.
    while any("waitpid" in thread.name for thread in threading.enumerate()):
        pass


@pytest.mark.parametrize("how", ["elsewhere", "popen"])
@ours_only
def test_a_child_that_somebody_else_reaped(current, caplog, how):
    async def main():
        process = await asyncio.create_subprocess_shell("exit 3")
        if how == "popen":
            assert process._transport.get_extra_info("subprocess").wait() == 3
            assert await process.wait() == 3
        else:
            os.waitpid(process.pid, 0)
            process.kill()  # reaches nobody
            assert await process.wait() == 255

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(current, main())
    expected = ["exit status already read:  will report returncode 255"] if how != "popen" else []
    assert len(caplog.records) == len(expected)
    for record, text in zip(caplog.records, expected, strict=True):
        assert record.getMessage().endswith(text)


def test_a_child_that_is_stopped_and_continued(current):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        waiting = asyncio.create_task(process.wait())
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert process.returncode is None
        process.stdin.write(b"text")
        process.send_signal(signal.SIGCONT)
        assert await process.stdout.readexactly(4) == b"text"
        process.stdin.close()
        assert await waiting == 0

    run(current, main())


@ours_only
def test_a_signal_to_a_child_that_has_ended(current):
    async def main():
        process = await asyncio.create_subprocess_shell("exit 1")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.kill()  # nobody has told us yet
        assert await process.wait() == 1

    run(current, main())


def test_200_children_at_once(current):
    async def one(number):
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f"read x; exit {number}", stdin=PIPE
        )
        started.append(process)
        process.stdin.write(b"\n")
        return await process.wait()

    started = []

    async def main():
        assert await asyncio.gather(*map(one, range(200))) == list(range(200))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        run(current, main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len({process.pid for process in started}) == 200


def test_children_of_loops_in_threads_at_once():
    results = []

    def work(number):
        async def main():
            process = await asyncio.create_subprocess_shell(
                f"cat; exit {number}", stdin=PIPE, stdout=PIPE
            )
            out, _ = await process.communicate(b"text")
            return out, process.returncode

        own = new_loop()
        try:
            results.append(own.run_until_complete(asyncio.wait_for(main(), 30)))
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(b"text", number) for number in range(4)]


# ---- ending early


def test_close_kills(current):
    async def main():
        transport, protocol = await current.subprocess_exec(Calls, *SLEEP)
        transport.close()
        transport.close()
        assert await transport._wait() == -signal.SIGKILL
        await protocol.done
        assert protocol.calls[-1] == "lost"
        assert sorted(map(str, protocol.calls[1:-1])) == sorted(
            ["exited", "(0, None)", "(1, None)", "(2, None)"]
        )

    run(current, main())


@ours_only
def test_a_dropped_transport_kills(current):
    async def main():
        transport, _ = await current.subprocess_exec(
            asyncio.SubprocessProtocol, *SLEEP, stdin=None, stdout=None, stderr=None
        )
        return transport.get_pid()

    pid = run(current, main())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        current.close()
        gc.collect()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    texts = [str(warning.message) for warning in caught]
    assert any(text.startswith("unclosed transport <") and "running" in text for text in texts)


def test_a_cancelled_start_leaves_no_child(current):
    async def main():
        for turns in range(3):
            task = asyncio.create_task(
                asyncio.create_subprocess_exec(*SLEEP, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            )
            for _ in range(turns + 1):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                process = task.result()
                process.kill()
                await process.communicate()

    run(current, main())


@pytest.mark.skipif(
    sys.version_info < (3, 11, 4),
    reason="subprocess.Popen leaves a pipe open there, when there is no room for the next",
)
def test_too_many_descriptors(current):
    """Whatever the start of a child fails at, nothing of it stays open and no child is left."""

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/true")  # what is imported once
        await process.wait()
        open_before = os.listdir("/proc/self/fd")
        highest = max(map(int, open_before))
        outcomes = []
        for room in range(14):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            fillers = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 12, hard))
            try:
                while True:
                    fillers.append(os.dup(0))
            except OSError:
                pass
            for _ in range(min(room, len(fillers))):
                os.close(fillers.pop())
            before = len(fillers)
            try:
                process = await asyncio.create_subprocess_exec(
                    "/bin/cat", stdin=PIPE, stdout=PIPE, stderr=PIPE
                )
            except OSError as error:
                outcomes.append(error.errno)
            else:
                out, _ = await process.communicate(b"text")
                assert out == b"text"
                outcomes.append(0)
            finally:
                for fd in fillers:
                    os.close(fd)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert before >= 0
            await asyncio.sleep(0)
            assert len(os.listdir("/proc/self/fd")) == len(open_before)
        assert outcomes[0] == 24
        assert 0 in outcomes

    run(current, main())


@ours_only
def test_a_pipe_that_cannot_be_connected(current, monkeypatch):
    """The child is killed, reaped, and all of its pipes are closed."""

    async def refuse(*arguments):
        raise ZeroDivisionError

    async def main():
        monkeypatch.setattr(current, "connect_read_pipe", refuse)
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_subprocess_exec(*SLEEP, stdin=PIPE, stdout=PIPE, stderr=PIPE)

    run(current, main())


def test_replaced_connect_methods_are_called(current, monkeypatch):
    made = []
    connect = current.connect_read_pipe

    async def slowly(factory, pipe):
        transport, protocol = await connect(factory, pipe)
        made.append(transport)
        for _ in range(20):
            await asyncio.sleep(0.001)  # data comes before connection_made()
        return transport, protocol

    async def main():
        monkeypatch.setattr(current, "connect_read_pipe", slowly)
        transport, protocol = await current.subprocess_shell(
            Calls, "echo one; sleep 0.01; echo two; echo error >&2; exit 1", stdin=None
        )
        await protocol.done
        assert protocol.data == {1: b"one\ntwo\n", 2: b"error\n"}
        assert protocol.calls[0] == "made"
        assert protocol.calls[-1] == "lost"
        assert len(made) == 2
        transport.close()

    run(current, main())


# ---- asyncio's Process


def test_streams_of_a_child(current):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/cat", stdin=PIPE, stdout=PIPE, limit=1000
        )
        for size in (1, 999, 5000, 70_000, 300_000):
            data = bytes([size % 251]) * size
            process.stdin.write(data)
            reading = asyncio.create_task(process.stdout.readexactly(size))
            await process.stdin.drain()
            assert await reading == data
        process.stdin.writelines([b"li", b"ne\n", b"rest"])
        assert await process.stdout.readline() == b"line\n"
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b"rest"
        assert await process.wait() == 0
        assert process.stdout.at_eof()

    run(current, main())


def test_a_reader_that_is_slow_pauses_its_pipe(current):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "head -c 3000000 /dev/zero", stdout=PIPE, limit=1000
        )
        transport = process._transport.get_pipe_transport(1)
        await until(lambda: not transport.is_reading())
        assert len(process.stdout._buffer) < 600_000
        assert len(await process.stdout.read()) == 3_000_000
        assert await process.wait() == 0

    run(current, main())


def test_a_child_that_does_not_read(current):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, stdout=PIPE)
        out, _ = await process.communicate(b"x" * 5_000_000)
        assert out == b""
        assert process.returncode == 0
        process = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE)
        await process.wait()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100):
                process.stdin.write(b"x" * 100_000)
                await process.stdin.drain()

    run(current, main())


def test_waiting_for_a_child_many_times(current):
    async def main():
        process = await asyncio.create_subprocess_shell("read x; exit 8", stdin=PIPE)
        waiting = [asyncio.create_task(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        process.stdin.write(b"\n")
        assert await waiting[0] == 8
        assert await waiting[2] == 8
        assert waiting[1].cancelled()
        assert await process.wait() == 8

    run(current, main())


def test_what_debug_mode_logs_of_a_child(current, caplog):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        await process.communicate(b"x")
        transport, _ = await current.subprocess_exec(asyncio.SubprocessProtocol, *SLEEP)
        transport.close()
        await transport._wait()

    current.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(current, main())
    said = [record.getMessage() for record in caplog.records]
    for text in (
        "process '/bin/cat' created: pid ",
        "Write pipe ",
        "Read pipe ",
        " exited with return code 0",
        "Close running child process: kill <",
        "execute program '/bin/cat'",
    ):
        assert any(text in line for line in said), text
