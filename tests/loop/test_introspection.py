# SPDX-License-Identifier: MIT
"""What CPython 3.14 shows of running tasks, from within and by ``python -m asyncio ps``."""

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from tests.loop.support import LIMIT, LOOP_NAME, run

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="call graphs of tasks came with Python 3.14"
)

# A parent that waits for two children, one of them deeper down; then says that it is so.
WAITING = """
    import asyncio, sys

    async def deepest():
        await asyncio.get_running_loop().create_future()

    async def child():
        await deepest()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(child(), name="first child")
            group.create_task(child(), name="second child")
            await asyncio.sleep(0)
            print("waiting", flush=True)

    if sys.argv[1] == "camshaft":
        import camshaft
        camshaft.run(main())
    else:
        asyncio.run(main())
"""


def test_a_call_graph_goes_through_our_tasks(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[Any] = []

    async def inner() -> None:
        seen.append(asyncio.capture_call_graph())  # type: ignore[attr-defined]

    async def outer() -> None:
        await asyncio.create_task(inner(), name="inner task")

    run(loop, outer())
    graph = seen[0]
    assert graph.future.get_name() == "inner task"
    assert [entry.frame.f_code.co_name for entry in graph.call_stack][:1] == ["inner"]
    (awaiter,) = graph.awaited_by
    assert "outer" in [entry.frame.f_code.co_name for entry in awaiter.call_stack]


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_tasks_are_seen_from_outside(command: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITING), LOOP_NAME],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            shown = subprocess.run(
                [sys.executable, "-m", "asyncio", command, str(process.pid)],
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
        finally:
            process.kill()
    if shown.returncode != 0 and "ermission" in shown.stderr:
        pytest.skip("this system lets no process read another's memory (ptrace)")
    assert shown.returncode == 0, shown.stderr
    for name in ("first child", "second child", "deepest", "main"):
        assert name in shown.stdout
