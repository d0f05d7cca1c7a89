# SPDX-License-Identifier: MIT
"""HTTP parsers beside each other: camshaft.http and httptools."""
