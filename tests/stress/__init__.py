# SPDX-License-Identifier: MIT
"""Random use for a given time, by a printed seed: ``python -m tests.stress NAME [SECONDS [SEED]]``.

A short run of each is among the tests, a longer one under the sanitizers, and one of ten minutes
in the long job.
"""
