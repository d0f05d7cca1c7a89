# SPDX-License-Identifier: MIT
"""Scenarios of forms, and of bodies that are limited, which plans read.

As in tests/leaks/middleware.py none is refused with 422. Nor is a form cut off within a file, which
Starlette does not close then.
"""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request, UploadFile

from camshaft.fastapi.mount import install
from tests.leaks.scenario import Table, http_scope, plain

SCENARIOS: Table = {}

FILE = b'--b\r\ncontent-disposition: form-data; name="%s"; filename="f"\r\n\r\n%s\r\n'
END = b"--b--\r\n"
MULTIPART = (b"content-type", b"multipart/form-data; boundary=b")
URLENCODED = (b"content-type", b"application/x-www-form-urlencoded")
JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


def application() -> Any:
    app = FastAPI(openapi_url=None, form_limits={"max_fields": 2})

    async def named(name: Annotated[str, Form()] = "") -> str:
        return name

    @app.post("/form")
    async def form(a: Annotated[list[int], Form()], name: Annotated[str, Depends(named)]) -> Any:
        return [a, name]

    @app.post("/upload")
    def upload(upload: UploadFile) -> Any:
        return upload.file.read(1)

    @app.post("/limited", max_body_size=10)
    async def limited(body: list[int]) -> Any:
        return body

    @app.post("/limited-request", max_body_size=10)
    async def limited_request(request: Request) -> Any:
        return len(await request.body())

    @app.post("/limited-form", max_body_size=10)
    async def limited_form(a: Annotated[int, Form()]) -> Any:
        return a

    return install(app).entrance()


async def ask(
    app: Any, path: str, *fields: tuple[bytes, bytes], body: bytes, cut: int = 0, ends: bool = True
) -> None:
    events = [
        {"type": "http.request", "body": body[:cut], "more_body": True},
        {"type": "http.request", "body": body[cut:], "more_body": not ends},
    ]

    async def receive() -> Any:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        pass

    await app(http_scope("POST", path, *fields), receive, send)


async def requests(app: Any) -> None:
    await ask(app, "/form", URLENCODED, body=b"a=1&name=x", cut=3)
    await ask(app, "/form", URLENCODED, body=b"a=1&a=2&a=3")  # too many
    await ask(app, "/form", URLENCODED, body=b"a=1", ends=False)
    for content in (b"x", b"x" * (1 << 20) + b"y"):
        await ask(app, "/upload", MULTIPART, body=FILE % (b"upload", content) + END, cut=50)
    bad = FILE % (b"upload", b"x") + b"--b\r\nb\xe4d: 1\r\n\r\nx"
    await ask(app, "/upload", MULTIPART, body=bad, cut=70)
    await ask(app, "/upload", MULTIPART, body=FILE % (b"upload", b"x"), ends=False)
    for body in (b"[1, 2]", b"[1, 2, 3, 4, 5]"):
        length = (b"content-length", b"%d" % len(body))
        for path in ("/limited", "/limited-request"):
            await ask(app, path, JSON, length, body=body)
            await ask(app, path, JSON, CHUNKED, body=body, cut=4)
    for body in (b"a=5", b"a=5&b=12345678"):
        await ask(app, "/limited-form", URLENCODED, CHUNKED, body=body)


async def cancelled(app: Any) -> None:
    """In the middle of a file."""
    waiting = asyncio.get_running_loop().create_future()
    first = {"type": "http.request", "body": FILE[:-8] % b"upload", "more_body": True}
    events: list[Any] = [first]

    async def receive() -> Any:
        if not events:
            waiting.set_result(None)
            await asyncio.get_running_loop().create_future()
        return events.pop(0)

    async def send(event: Any) -> None:
        pass

    scope = http_scope("POST", "/upload", MULTIPART)
    task = asyncio.ensure_future(app(scope, receive, send))
    await waiting
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


APP = application()


@plain(SCENARIOS)
def forms_and_limits(loop: Any) -> None:
    loop.run_until_complete(asyncio.wait_for(requests(APP), 60))


@plain(SCENARIOS)
def a_cancelled_upload(loop: Any) -> None:
    loop.run_until_complete(asyncio.wait_for(cancelled(APP), 60))
