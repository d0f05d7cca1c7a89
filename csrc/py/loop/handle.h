/* SPDX-License-Identifier: MIT */
/*
 * Handle and TimerHandle: a callback with its arguments and context, to be run by the loop.
 *
 * Up to CAM_HANDLE_INLINE arguments are kept in the handle. Handles are not tracked by the
 * garbage collector: that costs more than the callback. In exchange the loop visits the handles
 * that it alone holds (CamHandle_Visit), and a handle forgets its callback once it has run, was
 * cancelled or its loop was closed, so that no finished handle keeps a cycle alive.
 */
#ifndef CAM_LOOP_HANDLE_H
#define CAM_LOOP_HANDLE_H

#include "state.h"

#include <stdbool.h>
#include <stdint.h>

enum { CAM_HANDLE_INLINE = 3 };

struct LoopObject;

typedef struct HandleObject {
    PyObject_HEAD
    cam_state *state;
    struct LoopObject *loop;                /* strong; NULL once finished */
    PyObject *callback;                     /* strong; NULL once finished */
    PyObject *context;                      /* strong */
    PyObject *stack[CAM_HANDLE_INLINE + 1]; /* [0] is what a vectorcall may use meanwhile; from [1]
                                             * on the arguments, or in [1] their tuple */
    PyObject *source_traceback;             /* strong or NULL: debug mode only */
    PyObject *repr; /* strong or NULL: text kept by cancel() in debug mode */
    PyObject *weakrefs;
    int32_t nargs; /* -1: stack[1] is a tuple */
    bool cancelled;
    bool repeats; /* a watcher's handle: survives being run */
    bool is_timer;
    bool scheduled;       /* a timer that lies in its loop's heap */
    bool shared;          /* from call_soon_threadsafe(), where asyncio (3.14) has cancel() wait */
    double when;          /* timers: seconds on the loop's clock */
    unsigned long runner; /* shared: ident of the thread that runs it now; 0: none */
    PyThread_type_lock finished; /* shared: made, and held, by the first who waits for that */
} HandleObject;

/* A new handle, borrowing nothing: callback, args and context are increfed; context NULL means a
 * copy of the current one. In debug mode it records where it was made. */
HandleObject *CamHandle_New(struct LoopObject *loop, PyObject *callback, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *context);
HandleObject *CamTimer_New(struct LoopObject *loop, double when, PyObject *callback,
                           PyObject *const *args, Py_ssize_t nargs, PyObject *context);

/* Says that another thread may hold it: from Python 3.14 on, cancel() and cancelled() then wait for
 * a run that is under way in another thread. */
void CamHandle_Share(HandleObject *handle);

/* Runs the callback in its context; the caller holds a reference. Runs user code. Exceptions go to
 * the loop's exception handler; -1 only for KeyboardInterrupt and SystemExit (and failures of the
 * handler itself). */
int CamHandle_Run(HandleObject *handle);

/* Forgets callback, arguments and loop. May run user code (deallocations). */
void CamHandle_Finish(HandleObject *handle);

/* Cancels as Handle.cancel() does. */
int CamHandle_Cancel(HandleObject *handle);

/* tp_traverse on behalf of a handle that only the caller holds (refcount 1). */
int CamHandle_Visit(HandleObject *handle, visitproc visit, void *arg);

#endif
