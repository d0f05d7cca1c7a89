# SPDX-License-Identifier: MIT
"""The same bytes for our parser, llhttp and h11, and a settled reason for every difference."""
