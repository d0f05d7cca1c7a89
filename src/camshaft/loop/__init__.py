# SPDX-License-Identifier: MIT
"""The event loop's Python half."""
