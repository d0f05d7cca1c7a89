# SPDX-License-Identifier: MIT
"""The event loop's contract: what asyncio promises, kept exactly.

CAMSHAFT_TEST_LOOP=asyncio runs the same tests on the standard library's loop, which shows that
they ask for asyncio's behaviour and not for an accident of ours.
"""
