# SPDX-License-Identifier: MIT
"""Reference leaks: ``python -m tests.leaks`` on a debug interpreter, which counts references.

Each scenario is repeated in blocks after a warm-up; what remains from block to block is a leak.
"""
