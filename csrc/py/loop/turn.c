/* SPDX-License-Identifier: MIT */
/* One turn of the loop; the order is asyncio's (BaseEventLoop._run_once). */
#include "base/alloc.h"
#include "compat.h"
#include "loop/loop.h"

#include <errno.h>

enum {
    EVENTS_PER_WAIT = 256,
    /* With no descriptor watched but the wake-up, the poller is asked only this often while
     * callbacks wait: nothing but call_soon_threadsafe could arrive, and that needs no poller. */
    UNPOLLED_TURNS = 16,
    /* Memory is given back to the system once three quarters of so many connections are gone. */
    STREAMS_TO_TRIM = 1024,
};

/* How long a wait for a descriptor registered earlier goes on before it is registered anew. */
static const int64_t DOUBTED_WAIT = INT64_C(100) * 1000000;

/* After so many polls, and so many more for each descriptor in doubt, it is registered anew though
 * the loop never rests: that costs a system call for 64 polls at most. */
enum { DOUBTED_POLLS = 1024, DOUBTED_POLLS_EACH = 64 };

static const int64_t LONGEST_WAIT = INT64_C(24) * 3600 * 1000000000;

void CamTurn_Flush(LoopObject *loop) {
    loop->unflushed = 0;
    while (loop->flush_first != NULL) {
        CamFlush *flush = loop->flush_first;
        loop->flush_first = flush->next;
        if (loop->flush_first == NULL) {
            loop->flush_last = NULL;
        }
        flush->next = NULL;
        flush->queued = false;
        PyObject *owner = flush->owner;
        flush->flush(owner);
        Py_DECREF(owner);
    }
}

/* Drops cancelled timers that have surfaced, so that none of them wakes the loop. */
static void drop_cancelled(LoopObject *loop) {
    const cam_heap_entry *top;
    while ((top = cam_heap_peek(&loop->timers)) != NULL && ((HandleObject *)top->item)->cancelled) {
        HandleObject *timer = cam_heap_pop(&loop->timers);
        timer->scheduled = false;
        loop->cancelled_timers--;
        Py_DECREF(timer);
    }
}

/* How long the poller may block, in nanoseconds: 0 not at all, negative for ever. */
static int64_t wait_limit(LoopObject *loop) {
    if (loop->ready_count > 0 || loop->stopping) {
        return 0;
    }
    const cam_heap_entry *top = cam_heap_peek(&loop->timers);
    if (top == NULL) {
        return -1;
    }
    int64_t left = top->when - CamLoop_Now();
    if (left <= 0) {
        return 0;
    }
    return left < LONGEST_WAIT ? left : LONGEST_WAIT;
}

/* The table by descriptor and the C library keep what a wave of connections took. About to wait,
 * there is time to look: at each quartering, as it is the last ones that may hold the table's end.
 */
static void give_memory_back(LoopObject *loop) {
    if (loop->streams > loop->streams_peak / 4 || loop->streams_peak == 0) {
        return;
    }
    bool many = loop->streams_peak >= STREAMS_TO_TRIM;
    loop->streams_peak = loop->streams;
    if (CamWatch_Shrink(loop) || many) {
        cam_alloc_trim();
    }
}

/* True when what waits on an earlier registration is to be verified: the poller was silent, or did
 * not fall silent for long. */
static bool is_verification_due(LoopObject *loop, bool silent) {
    if (loop->doubted == 0) {
        loop->doubted_polls = 0;
        return false;
    }
    loop->doubted_polls++;
    if (!silent &&
        loop->doubted_polls < DOUBTED_POLLS + DOUBTED_POLLS_EACH * (unsigned)loop->doubted) {
        return false;
    }
    loop->doubted_polls = 0;
    return true;
}

static int poll_descriptors(LoopObject *loop) {
    cam_poll_event events[EVENTS_PER_WAIT];
    int64_t limit = wait_limit(loop);
    if (limit != 0) {
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        /* A signal's handler may have scheduled or written something. */
        limit = loop->flush_first != NULL ? 0 : wait_limit(loop);
    }
    int count;
    if (limit == 0) {
        CamLoop_EndHandOver(loop);
        if (loop->watch_count == 0 && ++loop->unpolled < UNPOLLED_TURNS) {
            return 0;
        }
        /* A wait has just brought something, and what came of it is queued: a task that read, as a
         * rule. It may go on before the poller is asked again, so that a message costs one wait. */
        if (loop->waited && loop->ready_count > 0) {
            loop->waited = false;
            return 0;
        }
        loop->unpolled = 0;
        count = cam_poll_wait(&loop->poll, 0, events, EVENTS_PER_WAIT);
    } else {
        loop->unpolled = 0;
        give_memory_back(loop);
        if (loop->doubted > 0 && (limit < 0 || limit > DOUBTED_WAIT)) {
            limit = DOUBTED_WAIT;
        }
        loop->waiting = true;
        PyThread_type_lock handover = loop->handover;
        loop->handover = NULL;
        Py_BEGIN_ALLOW_THREADS
        if (handover != NULL) {
            PyThread_release_lock(handover);
        }
        count = cam_poll_wait(&loop->poll, limit, events, EVENTS_PER_WAIT);
        Py_END_ALLOW_THREADS
        loop->waiting = false;
        loop->waited = count > 0;
    }
    if (count < 0) {
        if (count == -EINTR) {
            return PyErr_CheckSignals();
        }
        errno = -count;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (is_verification_due(loop, count == 0 && limit != 0)) {
        CamWatch_Verify(loop);
    }
    for (int i = 0; i < count; i++) {
        if (CamWatch_Dispatch(loop, &events[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int queue_due_timers(LoopObject *loop) {
    const cam_heap_entry *top = cam_heap_peek(&loop->timers);
    if (top == NULL) {
        return 0;
    }
    int64_t now = CamLoop_Now();
    while ((top = cam_heap_peek(&loop->timers)) != NULL && top->when <= now) {
        HandleObject *timer = top->item;
        if (!timer->cancelled && CamLoop_Enqueue(loop, NULL, (PyObject *)timer) < 0) {
            return -1;
        }
        cam_heap_pop(&loop->timers);
        timer->scheduled = false;
        if (timer->cancelled) {
            loop->cancelled_timers--;
        }
        Py_DECREF(timer);
    }
    return 0;
}

/* Debug mode: a step, timed; one that was slow is reported by loop._report_slow_step, with what it
 * has called. As with callbacks, one that raises is reported for that instead. */
static int run_timed(LoopObject *loop, const CamReady *entry) {
    int64_t started = CamLoop_Now();
    loop->timing = true;
    int status = entry->step(loop, entry->owner);
    loop->timing = false;
    double took = (double)(CamLoop_Now() - started) / 1e9;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *called = loop->called;
    PyObject *method = loop->called_method;
    loop->called = loop->called_method = NULL;
    if (exception == NULL && took >= loop->slow_callback_duration) {
        PyObject *seconds = PyFloat_FromDouble(took);
        PyObject *reported = NULL;
        if (seconds != NULL) {
            reported = PyObject_CallMethodObjArgs(
                (PyObject *)loop, loop->state->str__report_slow_step, entry->owner,
                called ? called : Py_None, method ? method : Py_None, seconds, NULL);
            Py_DECREF(seconds);
        }
        Py_XDECREF(reported);
        if (reported == NULL) {
            exception = PyErr_GetRaisedException();
            status = -1;
        }
    }
    Py_XDECREF(called);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

static int run_ready(LoopObject *loop) {
    /* Only what waits now: what these callbacks schedule runs in the next turn. */
    for (size_t left = loop->ready_count; left > 0 && loop->ready_count > 0; left--) {
        CamReady entry = loop->ready[loop->ready_head];
        loop->ready_head = (loop->ready_head + 1) & (loop->ready_capacity - 1);
        loop->ready_count--;
        int status;
        if (entry.step == NULL) {
            status = CamHandle_Run((HandleObject *)entry.owner);
        } else {
            status = loop->debug ? run_timed(loop, &entry) : entry.step(loop, entry.owner);
            if (status < 0) {
                status = CamLoop_ReportError(loop, "Exception in callback", NULL);
            }
        }
        if (status < 0) {
            PyObject *exception = PyErr_GetRaisedException();
            Py_DECREF(entry.owner);
            PyErr_SetRaisedException(exception);
            return -1;
        }
        Py_DECREF(entry.owner);
        if (left > 1) { /* what comes next may take its time, or wait for that thread */
            CamLoop_EndHandOver(loop);
        }
    }
    return 0;
}

PyObject *CamTurn_Run(LoopObject *loop) {
    if (CamLoop_CheckUsable(loop) < 0) {
        return NULL;
    }
    if (loop->turning) {
        PyErr_SetString(PyExc_RuntimeError, "This event loop is already running");
        return NULL;
    }
    loop->turning = true;
    loop->waited = false;
    int status;
    do {
        /* A callback may have forked: the child must not go on to wait on its parent's poller. */
        status = CamLoop_CheckUsable(loop);
        if (status < 0) {
            break;
        }
        CamTurn_Flush(loop);
        drop_cancelled(loop);
        status = poll_descriptors(loop);
        if (status == 0) {
            status = queue_due_timers(loop);
        }
        if (status == 0) {
            status = run_ready(loop);
        }
    } while (status == 0 && !loop->stopping);
    loop->turning = false;
    CamLoop_EndHandOver(loop);
    CamLoop_ForgetFutures(loop);
    /* Also when an exception leaves the loop: asyncio would have sent it by now. What a forked
     * child finds here is its parent's to send. */
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (!CamLoop_IsForeign(loop)) {
        CamTurn_Flush(loop);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_RETURN_NONE;
}
