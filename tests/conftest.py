# SPDX-License-Identifier: MIT
"""What all tests share."""

from tests import interrupts

interrupts.restore()
