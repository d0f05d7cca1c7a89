# SPDX-License-Identifier: MIT
"""Instructions and system calls per operation: counts, which a busy machine does not change."""
