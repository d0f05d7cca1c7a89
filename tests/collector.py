# SPDX-License-Identifier: MIT
"""A pytest plugin: the garbage collector looks at all objects of a test at every allocation.

What a type's tp_traverse visits must be whole whenever an object is allocated anywhere. By itself
the collector comes so rarely that it hardly ever meets a field that is not, and then the
interpreter crashes in somebody else's code. A debug interpreter says which object it was.

    python -X dev -m pytest -p tests.collector tests/asgi
"""

import gc

#: Tests between two times when everything alive is left out of what is looked at: objects of the
#: last few tests stay in, so that they are seen after their test as well.
_EVERY = 20

_tests = 0


def pytest_runtest_setup() -> None:
    global _tests
    if _tests % _EVERY == 0:
        gc.collect()
        gc.freeze()
        gc.collect()  # the next full collection comes when there is a quarter more than now
    _tests += 1
    gc.set_threshold(1, 1, 1)
