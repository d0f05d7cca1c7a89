# SPDX-License-Identifier: MIT
"""The signals between a master and its workers."""

import signal

DUMP: int = signal.SIGRTMIN + 1 if hasattr(signal, "SIGRTMIN") else signal.SIGXCPU
"""Has a worker write down the Python stack of each of its threads. No application has use for it.
"""

HELD_BACK = frozenset(
    (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
)
"""What must not end a worker before it has handlers of its own, where somebody signals the whole
group of processes: a terminal does.
"""
