# SPDX-License-Identifier: MIT
"""A pytest plugin that puts camshaft.http:Protocol in the place of uvicorn's HttpToolsProtocol.

For uvicorn's own tests of its protocols, with uvicorn itself installed: what they say of the class
made with httptools they then say of ours. ``-p camshaft_protocols`` finds it staged under that
name.
"""

from typing import Any

import uvicorn.protocols.http.httptools_impl as httptools_impl

import camshaft.http


class Protocol(camshaft.http.Protocol):
    """With what the tests look at besides the interface that uvicorn's server uses."""

    scope: Any = None

    def __init__(self, config: Any, **arguments: Any) -> None:
        if not config.loaded:
            config.load()
        app = config.loaded_app

        async def watched(scope: Any, receive: Any, send: Any) -> Any:
            self.scope = scope
            return await app(scope, receive, send)

        config.loaded_app = watched
        super().__init__(config, **arguments)


httptools_impl.HttpToolsProtocol = Protocol
