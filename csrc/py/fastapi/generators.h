/* SPDX-License-Identifier: MIT */
/*
 * Dependencies with `yield`.
 *
 * Where FastAPI's request_response() is around a plan (`call->request` is set), its exit stacks
 * keep them. Else the call does: asynchronous generators that are left after the answer is sent,
 * the last one first. Stepping them, and leaving them while nothing goes wrong, is done here;
 * whatever else an exit stack has to know of (an exception thrown in, one that another swallows, a
 * generator that does not stop) is done by an AsyncExitStack, which camshaft.fastapi.generators
 * makes then.
 *
 * FastAPI has a cancel scope of AnyIO's around them, which shields their ends from scopes further
 * out. A task that is in none when the first begins has nothing to be shielded from: the scope
 * could not be told from none, and is left out. All of it is the task's that awaits the call.
 */
#ifndef CAM_FASTAPI_GENERATORS_H
#define CAM_FASTAPI_GENERATORS_H

#include "fastapi/call_parts.h"

/* Begins a node that is a generator: what is awaited gives its value. Runs user code. */
progress CamGenerators_Enter(CallObject *call, const cam_node *node);

/* That has raised, or was closed, with or without an exception: it is none to be left. FAILED,
 * maybe with another exception. */
progress CamGenerators_NotEntered(CallObject *call);

/* Whether there are generators that the call has to leave. */
bool CamGenerators_AreLeft(const CallObject *call);

/* The answer is sent, and there are some: leaves the next of them. Runs user code. GO_ON when it
 * has been left, WAIT or FAILED. */
progress CamGenerators_Leave(CallObject *call);

/* What was awaited for that has given something, or raised what is set: the generator has stopped
 * if that is StopAsyncIteration. Runs user code. As above. */
progress CamGenerators_NotStopped(CallObject *call);
progress CamGenerators_Stopped(CallObject *call);

/* Throws the exception that is set into all that are left. WAIT or FAILED. */
progress CamGenerators_Throw(CallObject *call);

/* The call is being closed, like a coroutine with the exception that is set or, without one,
 * GeneratorExit: the same, but nothing may be waited for. 0, or -1 with an exception. */
int CamGenerators_Close(CallObject *call);

/* Takes all that are left for who will leave them: (generators, scope), or None if there are none.
 * New reference, or NULL with an exception. */
PyObject *CamGenerators_Take(CallObject *call);

#endif
