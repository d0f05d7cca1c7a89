/* SPDX-License-Identifier: MIT */
/*
 * Driving asyncio's tasks: what create_task() makes where no task factory is set.
 *
 * They are real asyncio.Tasks, with all of CPython's methods. Only what runs for each of them and
 * for each of their steps is done here instead of in _asyncio: a task is filled in directly, enters
 * asyncio's set of tasks without Python code, and its steps are entries of the ready queue instead
 * of a callable in a handle. That rests on the layout of CPython's structs (loop/task_layout.h);
 * where that or asyncio is not as expected, state->drives_tasks is false and create_task() calls
 * asyncio.Task. It also does so for a loop in debug mode, or one that was asked to (fast_tasks).
 *
 * A task that is driven may be used in every way that others may. Its steps leave the ready queue
 * for handles as soon as anybody could tell the difference: when its loop goes over to debug mode,
 * or call_soon() of the loop is replaced.
 *
 * A task belongs to its loop's thread.
 */
#ifndef CAM_LOOP_TASK_H
#define CAM_LOOP_TASK_H

#include "loop/loop.h"
#include "loop/task_layout.h"

#include <stdbool.h>

/* Tasks of this loop are made here where an asyncio.Task is asked for. */
static inline bool CamTask_Drives(const LoopObject *loop) {
    return loop->fast_tasks && loop->plain && !loop->debug && loop->state->drives_tasks;
}

/* loop/loop.c: create_task(coro) comes to CamTask_New(), so that it may be left out: there is no
 * task factory, and neither the method nor asyncio.Task was replaced. */
bool CamLoop_DrivesTasks(LoopObject *loop);

/* A new asyncio.Task of the loop, which must be usable and for which CamTask_Drives() holds. `name`
 * may be NULL; context NULL means a copy of the current one; `checked` tells that coro is known to
 * be a coroutine. NULL with an exception. Runs user code (asyncio.iscoroutine, str of the name). */
PyObject *CamTask_New(LoopObject *loop, PyObject *coro, PyObject *name, PyObject *context,
                      bool checked);

/* ---- loop/task_step.c ---- */

int cam_task_step_exec(PyObject *module, cam_state *state);
void cam_task_free_stock(cam_state *state);

/*
 * For C code that suspends a task on a future of its own: what a coroutine does with one that it
 * awaits (_asyncio_future_blocking), and set_result(None) unless it is done. For any future, of any
 * loop; at little cost for an asyncio.Future where tasks are driven. 0, or -1. May run user code.
 */
int CamTask_MarkAwaited(cam_state *state, PyObject *future);
int CamTask_Resolve(cam_state *state, PyObject *future);

/* Queues a step that throws `error` (NULL: sends None) into the coroutine. 0, or -1. */
int CamTask_StepSoon(cam_state *state, CamStockTask *task, PyObject *error);

#endif
