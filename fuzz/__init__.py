# SPDX-License-Identifier: MIT
"""Fuzzing: libFuzzer targets (run), other parsers for comparison (differential), and connections
to a whole server (connection)."""
