# SPDX-License-Identifier: MIT
"""`--reload`: the server starts again when files change, and its listener stays open."""
