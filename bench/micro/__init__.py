# SPDX-License-Identifier: MIT
"""The core by itself, without Python."""
