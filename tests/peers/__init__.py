# SPDX-License-Identifier: MIT
"""CPython's own asyncio tests, run on our loop and on asyncio's, and compared.

``python -m tests.peers`` on a Python that has the package ``test.test_asyncio``. Nothing of it is
copied here: the tests are those of the running Python, so that each version is asked its own.
"""
