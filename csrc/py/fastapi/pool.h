/* SPDX-License-Identifier: MIT */
/*
 * Worker threads for functions that are not coroutines: what `await run_in_threadpool(func, ...)`
 * of Starlette, which is anyio.to_thread.run_sync(), does, at a fraction of its cost.
 *
 * What can be seen of it is AnyIO's: a call passes a checkpoint, takes a token of the running
 * loop's default limiter in its own task's name, is shielded from AnyIO's cancel scopes but not
 * from task.cancel(), runs in a copy of the task's context in a thread that ends with the loop's
 * root task or 10 seconds after its last call, and from_thread works there. What AnyIO keeps (its
 * limiter, its scopes, its thread-local names) is used as it is, so that both pools may be used
 * side by side. An AnyIO whose source is not known (camshaft/fastapi/threads.py) is called itself.
 *
 * Unlike AnyIO's, calls are not given to a thread each. They wait in one queue; a thread that ends
 * a call takes the next without letting go of the GIL, and only while none is about to look into
 * the queue is another woken, the one that rested last. A loop is told of many ends at once.
 *
 * Everything that threads share here (queues, counters, the calls) is guarded by the GIL alone: it
 * is only let go of where a thread rests, on a lock of its own, and where user code is called.
 */
#ifndef CAM_FASTAPI_POOL_H
#define CAM_FASTAPI_POOL_H

#include "state.h"

/* func(*args, **kwargs) in a worker thread, as something to await: an iterator with send(),
 * throw(), close() and am_send, which does nothing before its first step. The arguments are those
 * of a vectorcall. NULL with an exception (out of memory). Runs no user code; its steps do. */
PyObject *CamPool_Run(cam_state *state, PyObject *func, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames);

/* The innermost of AnyIO's cancel scopes that the current task is in: 1 with *scope new, or NULL
 * for none; 0 with NULL where that is not known, as of another AnyIO or without asyncio; -1 with an
 * exception. */
int CamPool_CurrentScope(cam_state *state, PyObject **scope);

/* The pool's part of the module: as cam_fastapi_exec() and what goes with it. */
int cam_pool_exec(PyObject *module, cam_state *state);
int cam_pool_traverse(cam_state *state, visitproc visit, void *arg);
void cam_pool_free(cam_state *state);

#endif
