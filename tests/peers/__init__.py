# SPDX-License-Identifier: MIT
"""Other projects' own test-suites, run on our loop: ``python -m tests.peers``.

CPython's asyncio tests, uvloop's, asyncpg's, aiosqlite's, anyio's. Nothing of them
is copied here: CPython's are those of the running Python, so that each version is asked its
own; the others come as source distributions at the pinned version. Each test runs in a process of
its own (isolate.py, isolate_pytest.py), and what it should come to is what asyncio's own loop comes
to in the same run, but for the exceptions in expected/, each with its reason.
"""
