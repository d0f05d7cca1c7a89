# SPDX-License-Identifier: MIT
"""What idle connections and waiting timers hold."""
