/* SPDX-License-Identifier: MIT */
/*
 * The structs of asyncio.Future and asyncio.Task, as CPython's _asyncio lays them out.
 *
 * They are private to CPython, and given here for the versions whose layout is settled: 3.11 and
 * 3.12, and 3.13, none of which gets more than security fixes. Nothing relies on them before
 * cam_task_layout_check() has found every member where it is said to be, in objects of the running
 * Python that were filled through their public methods.
 *
 * References are strong and may be NULL.
 */
#ifndef CAM_LOOP_TASK_LAYOUT_H
#define CAM_LOOP_TASK_LAYOUT_H

#include "state.h"

typedef enum CamStockStatus {
    CAM_STOCK_PENDING,
    CAM_STOCK_CANCELLED,
    CAM_STOCK_FINISHED,
} CamStockStatus;

#if PY_VERSION_HEX >= 0x030D0000

#define CAM_STOCK_FUTURE                                                                           \
    PyObject_HEAD                                                                                  \
    PyObject *loop;                                                                                \
    PyObject *callback0; /* the first callback, and its context */                                 \
    PyObject *context0;                                                                            \
    PyObject *callbacks; /* list of (callback, context): the others */                             \
    PyObject *exception;                                                                           \
    PyObject *exception_traceback;                                                                 \
    PyObject *result;                                                                              \
    PyObject *source_traceback;                                                                    \
    PyObject *cancel_message;                                                                      \
    PyObject *cancelled_error;                                                                     \
    CamStockStatus status;                                                                         \
    unsigned log_traceback : 1;                                                                    \
    unsigned blocking : 1;

typedef struct CamStockTask {
    CAM_STOCK_FUTURE
    unsigned must_cancel : 1;
    unsigned log_destroy_pending : 1;
    int cancels_requested;
    PyObject *waits_for;
    PyObject *coro;
    PyObject *name;
    PyObject *context;
} CamStockTask;

#else

#define CAM_STOCK_FUTURE                                                                           \
    PyObject_HEAD                                                                                  \
    PyObject *loop;                                                                                \
    PyObject *callback0; /* the first callback, and its context */                                 \
    PyObject *context0;                                                                            \
    PyObject *callbacks; /* list of (callback, context): the others */                             \
    PyObject *exception;                                                                           \
    PyObject *exception_traceback;                                                                 \
    PyObject *result;                                                                              \
    PyObject *source_traceback;                                                                    \
    PyObject *cancel_message;                                                                      \
    CamStockStatus status;                                                                         \
    int log_traceback;                                                                             \
    int blocking;                                                                                  \
    PyObject *dict;                                                                                \
    PyObject *weakrefs;                                                                            \
    PyObject *cancelled_error;

typedef struct CamStockTask {
    CAM_STOCK_FUTURE
    PyObject *waits_for;
    PyObject *coro;
    PyObject *name;
    PyObject *context;
    int must_cancel;
    int log_destroy_pending;
    int cancels_requested;
} CamStockTask;

#endif

typedef struct CamStockFuture {
    CAM_STOCK_FUTURE
} CamStockFuture;

/* Whether the running Python's asyncio.Future and asyncio.Task (state->stock_*) are laid out like
 * that: 1 or 0, -1 with an exception when memory ran out. Makes a task and a future of each kind,
 * which nobody else sees and nothing runs. */
int cam_task_layout_check(cam_state *state);

#endif
