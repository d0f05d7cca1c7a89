# SPDX-License-Identifier: MIT
"""What a plan in C leaves to Python: everything that is rare, and all of FastAPI's own accounts.

Called by csrc/py/fastapi alone. Nothing here decides what a request is answered with: it calls
FastAPI and Starlette with what the plan has at hand.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

from fastapi import routing
from fastapi._compat.v2 import _regenerate_error_with_loc, get_missing_field_error
from fastapi.background import BackgroundTasks
from fastapi.dependencies import utils
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.security import SecurityScopes
from fastapi.utils import is_body_allowed_for_status_code
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.datastructures import FormData, Headers, QueryParams
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from camshaft import _core
from camshaft.fastapi.generators import Entered, respond_within, swallowed
from camshaft.fastapi.plan import Answer, Injected, Plan, Source

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def through_handler(router: Any, table: Any, index: int, plan: Plan) -> ASGIApp:
    """The plan of entry `index` inside FastAPI's request_response(), with its exit stacks.

    Its limits for bodies are around that, in FastAPI's and Starlette's own objects.
    """

    async def handler(request: Request) -> Response:
        response: Response = await router.handle(table, index, request)
        return response

    app = routing.request_response(handler)
    limited: Any = getattr(routing, "wrap_app_with_body_limit", None)  # not in all releases
    for limit in reversed(plan.body_limits):
        app = limited(app, limit)
    return app


def before_middleware(router: Any, table: Any, index: int) -> Callable[..., Awaitable[None]]:
    """The plan of entry `index` before a middleware stack that is FastAPI's own.

    The Request and the exit stacks are there that request_response() and the middleware would have
    made. What is raised is for all exception handlers, by way of the whole application.
    """

    async def application(scope: Scope, receive: Receive, send: Send, app: Any) -> None:
        started = False

        async def sender(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        handlers = app.middleware_stack
        while type(handlers) is not ExceptionMiddleware:
            handlers = handlers.app
        scope["app"] = app
        scope["starlette.exception_handlers"] = (
            handlers._exception_handlers,
            handlers._status_handlers,
        )
        request = Request(scope, receive, sender)
        async with AsyncExitStack() as outermost:
            scope["fastapi_middleware_astack"] = outermost
            try:
                sent = False
                async with AsyncExitStack() as outer:
                    scope["fastapi_inner_astack"] = outer
                    async with AsyncExitStack() as inner:
                        scope["fastapi_function_astack"] = inner
                        response = await router.handle(table, index, request)
                    # Not bound if a dependency has swallowed what was raised: then that is told.
                    await response(scope, receive, sender)
                    sent = True
                if not sent:
                    raise await swallowed()
            except Exception as exception:
                failure = Failure(exception, None, started, request, outermost)
                await fail_inside(failure, scope, receive, send, app)

    return application


@dataclasses.dataclass(slots=True)
class Body:
    """What a plan has read of a request's body: whoever asks for it again gets the same."""

    bytes: bytes
    json: Any  # what it says, if `decoded`
    decoded: bool


@dataclasses.dataclass(slots=True)
class Failure:
    """What was raised after user code had begun, and how far the request was."""

    exception: Exception
    body: Body | None  # None: it was not read
    started: bool  # the head of the response is out
    request: Request | None = None  # what the endpoint was given, if it was made
    # What is to be left, files of forms to be closed, before the handler for 500 is called.
    outermost: AsyncExitStack | None = None


def _request(body: Body | None, scope: Scope, receive: Receive, send: Send) -> Request:
    """Return the Request of an exception handler, with the body that was read."""
    request = Request(scope, receive, send)
    if body is not None:
        request._body = body.bytes
        request._stream_consumed = True
        if body.decoded:
            request._json = body.json
    return request


async def fail(failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the application's exception handlers answer, or raise it, as in request_response().

    The handler's Request has the body that was read. Once the response has begun none may answer
    any more, and what is sent here only tells the middleware so (its events must not reach the
    peer).
    """
    request = failure.request or _request(failure.body, scope, receive, send)
    if failure.outermost is not None:
        scope["fastapi_middleware_astack"].push_async_exit(failure.outermost.pop_all())

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if failure.started:
            # Starlette's wrappers note that a response has begun by the event passing.
            await send({"type": "http.response.start", "status": 500, "headers": []})
        # Its traceback has frames that know the failure: together they would live until the
        # collector comes, and the endpoint's variables with them.
        exception = failure.exception
        del failure.exception
        try:
            raise exception
        finally:
            del exception

    await wrap_app_handling_exceptions(application, request)(scope, receive, send)


async def _nothing(message: Message) -> None:
    pass


async def fail_here(failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
    """Do what fail() does inside middleware, which has seen the response begin if it has."""
    await fail(failure, scope, receive, _nothing if failure.started else send)


async def fail_inside(
    failure: Failure, scope: Scope, receive: Receive, send: Send, app: ASGIApp
) -> None:
    """Let the whole application answer an exception, with the middleware that was passed over.

    The router finds the key in the scope, and raises the exception where the endpoint would have.
    """
    scope["camshaft.failure"] = failure
    await app(scope, receive, _nothing if failure.started else send)


async def respond(
    response: Any,
    body: Body | None,
    entered: Entered,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Let a Response send itself, and its background tasks run, under the exception handlers.

    Then the generators are left that have been entered.
    """
    request = _request(body, scope, receive, send)
    application = respond_within(response, entered)
    await wrap_app_handling_exceptions(application, request)(scope, receive, send)


async def respond_before(
    response: Any,
    body: Body | None,
    entered: Entered,
    scope: Scope,
    receive: Receive,
    send: Send,
    app: ASGIApp,
) -> None:
    """Let a Response send itself before a middleware stack that is FastAPI's own.

    What it raises is for all exception handlers. One with a way of its own to be called may look
    for anything in the scope: it is called where FastAPI does.
    """
    if type(response).__call__.__module__ != "starlette.responses":
        await respond_inside(response, body, entered, scope, receive, send, app)
        return
    started = False

    async def sender(message: Message) -> None:
        nonlocal started
        started = started or message["type"] == "http.response.start"
        await send(message)

    try:
        await respond_within(response, entered)(scope, receive, sender)
    except Exception as exception:
        failure = Failure(exception, body, started)
        await fail_inside(failure, scope, receive, send, app)


async def respond_inside(
    response: Any,
    body: Body | None,
    entered: Entered,
    scope: Scope,
    receive: Receive,
    send: Send,
    app: ASGIApp,
) -> None:
    """Do what respond() does inside the middleware, which was passed over.

    For what the middleware's stand-in does not know: streams, files, whatever Response it is.
    """
    scope["camshaft.failure"] = (response, body, entered)
    await app(scope, receive, send)


async def respond_json_inside(
    status: int,
    content: bytes,
    body: Body | None,
    entered: Entered,
    scope: Scope,
    receive: Receive,
    send: Send,
    app: ASGIApp,
) -> None:
    """Let the middleware, which was passed over, see to an answer that was made natively."""
    response = Response(content, status_code=status, media_type="application/json")
    await respond_inside(response, body, entered, scope, receive, send, app)


async def send_answer(
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    scope: Scope,
    receive: Receive,
    send: Send,
    app: Any,
) -> None:
    """Send an answer of the middleware, which no Response was made for.

    An exception in that is the outermost middleware's to see, which calls the handler for 500.
    """
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    try:
        await send(start)
        await send({"type": "http.response.body", "body": body})
    except Exception as exception:
        error = exception

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal error
            await send(start)  # the response has begun: there is no other
            try:
                raise error
            finally:
                del error  # its traceback has this frame

        scope["app"] = app
        outermost: ServerErrorMiddleware = app.middleware_stack
        middleware = ServerErrorMiddleware(application, outermost.handler, outermost.debug)
        await middleware(scope, receive, _nothing)


def replay(events: list[Message], receive: Receive) -> Receive:
    """A receive() that gives what was received once more, then what comes."""
    queue = events[::-1]

    async def replayed() -> Message:
        if not queue:
            return await receive()
        event = queue.pop()
        if isinstance(event, BaseException):
            raise event
        return event

    return replayed


async def read_form(plan: Plan, request: Request) -> FormData:
    """Read a form as get_request_handler() does; its files are closed behind the middleware."""
    files = request.scope["fastapi_middleware_astack"]
    limits: Any = {}
    if (resolve := getattr(routing, "_resolve_form_limits", None)) is not None:
        limits = resolve(request.scope.get("fastapi", {}), plan.form_limits)
    form = await request.form(**limits)
    files.push_async_callback(form.close)
    return form


def solve_form(plan: Plan, dependant: Any, form: FormData) -> Awaitable[Any]:
    """What a dependency reads from a form: FastAPI's values by name, and its errors."""
    return utils.request_body_to_args(
        body_fields=dependant.body_params,
        received_body=form,
        embed_body_fields=plan.embed_body_fields,
    )


def read_again(plan: Plan, request: Request, exception: Exception) -> Awaitable[Response]:
    """Let FastAPI's handler read a body in vain, as it was read before.

    What has been received of it is gone: the handler is told what came of that.
    """
    name = "form" if plan.reads_form else "body"

    async def read(**limits: Any) -> None:
        nonlocal exception
        vars(request).pop(name)
        try:
            raise exception
        finally:
            del exception  # its traceback has this frame

    setattr(request, name, read)
    answering: Awaitable[Response] = plan.handler(request)
    return answering


def received(scope: Scope, request: Request | None, source: int) -> Any:
    """Starlette's mapping of a source of parameters."""
    if source == Source.QUERY:
        return QueryParams(scope["query_string"]) if request is None else request.query_params
    if source == Source.HEADER:
        return Headers(scope=scope) if request is None else request.headers
    return (Request(scope) if request is None else request).cookies


def field_errors(exception: Any, location: tuple[Any, ...]) -> list[Any]:
    """What ModelField.validate() makes of pydantic's ValidationError."""
    return _regenerate_error_with_loc(
        errors=exception.errors(include_url=False), loc_prefix=location
    )


def _endpoint_context(plan: Plan, scope: Scope) -> Any:
    dependant = plan.nodes[-1].dependant
    context = routing._extract_endpoint_context(dependant.call)
    if dependant.path:
        mount_path = scope.get("root_path", "").rstrip("/")
        context["path"] = f"{scope['method']} {mount_path}{dependant.path}"
    return context


def invalid_request(plan: Plan, scope: Scope, errors: list[Any], body: Any) -> Exception:
    """FastAPI's exception for fields that did not pass."""
    return RequestValidationError(errors, body=body, endpoint_ctx=_endpoint_context(plan, scope))


def invalid_response(exception: Any, plan: Plan, scope: Scope, content: Any) -> Exception:
    """FastAPI's exception for a content that its model refuses; errors may be made already."""
    errors = exception if isinstance(exception, list) else field_errors(exception, ("response",))
    return ResponseValidationError(
        errors=errors, body=content, endpoint_ctx=_endpoint_context(plan, scope)
    )


def validate_in_thread(field: Any, content: Any) -> Awaitable[Any]:
    """The validation of what a `def` endpoint returned, where FastAPI does it."""
    return _core.run_in_thread(field.validate, content, {}, loc=("response",))


def inject(kind: int, scopes: tuple[str, ...]) -> Any:
    """What a call asks for beside the request."""
    if kind == Injected.BACKGROUND_TASKS:
        return BackgroundTasks()
    if kind == Injected.SECURITY_SCOPES:
        return SecurityScopes(scopes=list(scopes))
    response = Response()
    del response.headers["content-length"]
    response.status_code = None  # type: ignore[assignment]
    return response


def build(answer: Answer, content: Any, background: Any, injected: Response | None) -> Response:
    """The Response of a content, as get_request_handler() makes it."""
    if injected is None:
        injected = inject(Injected.RESPONSE, ())
    solved = types.SimpleNamespace(background_tasks=background, response=injected)
    arguments = routing._build_response_args(status_code=answer.status_code, solved_result=solved)
    response: Response
    if answer.dump_json:
        response = Response(content=content, media_type="application/json", **arguments)
    else:
        response = answer.response_class(content, **arguments)
    if not is_body_allowed_for_status_code(response.status_code):
        response.body = b""
    response.headers.raw.extend(injected.headers.raw)
    return response


missing_error: Callable[..., Any] = get_missing_field_error
#: What json.loads() ends in, for a text of which nothing else needs to be found out first.
scan_once: Callable[..., Any] = JSONDecoder().scan_once  # type: ignore[attr-defined]
