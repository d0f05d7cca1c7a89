# SPDX-License-Identifier: MIT
"""Starlette with one route."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    """13 bytes of text."""
    return PlainTextResponse("Hello, world!")


app = Starlette(routes=[Route("/", hello)])
