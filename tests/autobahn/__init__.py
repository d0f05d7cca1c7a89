# SPDX-License-Identifier: MIT
"""Autobahn's fuzzing client (PyPI: autobahntestsuite) against our WebSocket server."""
