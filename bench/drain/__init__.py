# SPDX-License-Identifier: MIT
"""What is lost when workers are reloaded, killed and stopped under load."""
