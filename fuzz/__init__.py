# SPDX-License-Identifier: MIT
"""Fuzzing: libFuzzer targets (run), and other parsers for comparison (differential)."""
