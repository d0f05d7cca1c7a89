# SPDX-License-Identifier: MIT
"""Servers under wrk: requests per second, CPU per request, wake-ups of an idle server."""
