# SPDX-License-Identifier: MIT
"""Serving an unmodified FastAPI application by call plans.

At start-up every route of the application is described (`describe`), and what is understood whole
becomes a plan (`plan`) that `_core.FastAPIRouter` carries out in C: the same validators,
dependencies, endpoint and serialisers, called with the same arguments in the same order. Whatever a
plan does not understand, a route, a request or a state, takes FastAPI's own way.
"""
