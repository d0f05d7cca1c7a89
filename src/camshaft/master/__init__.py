# SPDX-License-Identifier: MIT
"""The master: the process that opens the listeners and has workers serve on them.

How it goes: `launch` makes a Plan of a configuration, with the listeners in it, and hands it to a
Master: in a process of its own kind that has imported next to nothing (`lean`), else in the
caller's. The Master starts Workers, whose processes run `child`, which is a Server with a line to
the master. What both sides write down of a worker is in a Table in shared memory.

Only `launch` and `child` may import the server, asyncio or ssl: an idle master is to be small.
"""
