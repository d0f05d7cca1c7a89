# SPDX-License-Identifier: MIT
"""What goes wrong while measuring."""


class BenchError(Exception):
    """A measurement could not be made; the text is one line that says what to do."""
