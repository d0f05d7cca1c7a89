# SPDX-License-Identifier: MIT
"""``run_in_executor``: asyncio's, with C between the executor's future and the loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from camshaft import _core

    class _Base(_core.Loop, asyncio.SelectorEventLoop):
        """What Executors is mixed into."""

        _default_executor: Executor | None

        def _check_callback(self, callback: Any, method: str) -> None: ...
        def _check_default_executor(self) -> None: ...

else:
    _Base = object

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Executors(_Base):
    """Functions run in other threads or processes."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """A future of func(*args) in an executor, the default one for None; as asyncio's.

        Raises RuntimeError when the loop, or its default executor, was shut down.
        """
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        if executor is None:
            executor = self._default_executor
            self._check_default_executor()
            if executor is None:
                executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
                self._default_executor = executor
        return self._wrap_future(executor.submit(func, *args))
