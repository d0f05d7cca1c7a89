/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include "args.h"
#include "compat.h"
#include "loop/task.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

enum {
    FIRST_READY = 64,
    LARGEST_FROM_HEAP = 1024 * 1024,
    /* Cancelled timers are swept out once they are this many and half of the heap (asyncio's
     * _MIN_SCHEDULED_TIMER_HANDLES and _MIN_CANCELLED_TIMER_HANDLES_FRACTION). */
    MIN_TIMERS_TO_SWEEP = 100,
    /* Callbacks queued from which on other threads let the loop run, each time so many are more. */
    CROWD = 1024,
    CROWD_STEP = 256,
};

/* How many forks lie between the process that loaded the module and this one. */
static unsigned forks;

static void count_fork(void) {
    forks++;
}

static void watch_forks(void) {
    (void)pthread_atfork(NULL, NULL, count_fork);
}

bool CamLoop_IsForeign(LoopObject *loop) {
    return loop->forks != forks;
}

int64_t CamLoop_Now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds that are not before `when` seconds, also after both are made seconds again: a
 * callback that compares loop.time() with its deadline must never find itself early. */
static int64_t deadline_of(double when) {
    double nanoseconds = ceil(when * 1e9);
    if (!(nanoseconds < 9.2e18)) {
        return INT64_MAX; /* also NaN, which never comes */
    }
    if (nanoseconds < 0) {
        return 0;
    }
    int64_t deadline = (int64_t)nanoseconds;
    while ((double)deadline / 1e9 < when) {
        deadline++;
    }
    return deadline;
}

int CamLoop_CheckUsable(LoopObject *loop) {
    if (loop->closed) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    if (CamLoop_IsForeign(loop)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This event loop belongs to the process that forked this one; "
                        "make a new loop in the child");
        return -1;
    }
    return 0;
}

int CamLoop_Check(cam_state *state, PyObject *object) {
    return PyObject_TypeCheck(object, (PyTypeObject *)state->loop_type);
}

/* ---- the ready queue ---- */

int CamLoop_GrowReady(LoopObject *loop) {
    size_t capacity = loop->ready_capacity ? loop->ready_capacity * 2 : FIRST_READY;
    CamReady *ready = PyMem_New(CamReady, capacity);
    if (ready == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < loop->ready_count; i++) {
        ready[i] = loop->ready[(loop->ready_head + i) & (loop->ready_capacity - 1)];
    }
    PyMem_Free(loop->ready);
    loop->ready = ready;
    loop->ready_head = 0;
    loop->ready_capacity = capacity;
    return 0;
}

void CamLoop_FlushLater(LoopObject *loop, CamFlush *flush, size_t size) {
    loop->unflushed += size;
    if (!flush->queued) {
        flush->queued = true;
        flush->next = NULL;
        Py_INCREF(flush->owner);
        if (loop->flush_last != NULL) {
            loop->flush_last->next = flush;
        } else {
            loop->flush_first = flush;
        }
        loop->flush_last = flush;
    }
    if (loop->unflushed > CAM_FLUSH_BUDGET) {
        CamTurn_Flush(loop);
    } else if (loop->waiting) {
        loop->waiting = false;
        (void)cam_poll_wake(&loop->poll);
    }
}

void CamLoop_HandOver(LoopObject *loop, PyThread_type_lock lock) {
    CamLoop_EndHandOver(loop);
    loop->handover = lock;
    if (!loop->turning) {
        CamLoop_EndHandOver(loop);
    }
}

int CamLoop_EnqueueLate(LoopObject *loop, CamStep step, PyObject *owner, bool *late) {
    bool waiting = loop->waiting;
    loop->waiting = false;
    if (CamLoop_Enqueue(loop, step, owner) < 0) {
        loop->waiting = waiting;
        return -1;
    }
    if (waiting) {
        __atomic_fetch_add(&loop->wakers, 1, __ATOMIC_SEQ_CST);
    }
    *late = waiting;
    return 0;
}

void CamLoop_WakeLate(LoopObject *loop) {
    (void)cam_poll_wake(&loop->poll);
    __atomic_fetch_sub(&loop->wakers, 1, __ATOMIC_SEQ_CST);
}

enum { WAKES_TO_TRY = 32 };

/* Wakes a loop that waits. A thread that has one thing to say and then waits for the answer lets go
 * of the GIL first, so that the loop does not wake up to wait for that; one that has many to say
 * says them all first, and the loop wakes up once. Which of them it is the last wake-ups tell: did
 * anything else come before the loop ran? Where it lets go each time nothing can, so that now and
 * then it does not. */
static void wake_waiting(LoopObject *loop) {
    loop->single_wakes = loop->gathered ? 0 : loop->single_wakes + 1;
    loop->gathered = false;
    if (loop->single_wakes % WAKES_TO_TRY == 0) {
        (void)cam_poll_wake(&loop->poll);
        return;
    }
    __atomic_fetch_add(&loop->wakers, 1, __ATOMIC_SEQ_CST);
    Py_BEGIN_ALLOW_THREADS(void)
    CamLoop_WakeLate(loop);
    Py_END_ALLOW_THREADS
}

int CamLoop_EnqueueShared(LoopObject *loop, CamStep step, PyObject *owner) {
    bool waiting = loop->waiting;
    loop->waiting = false;
    if (CamLoop_Enqueue(loop, step, owner) < 0) {
        loop->waiting = waiting;
        return -1;
    }
    if (waiting) {
        wake_waiting(loop);
    } else if (loop->thread != PyThread_get_thread_ident()) {
        loop->gathered = true;
    }
    return 0;
}

/* Closes the poller, once nobody writes to its wake-up any more: those who do need no GIL for that.
 * In a forked child they are the parent's threads. */
static void close_poller(LoopObject *loop) {
    while (__atomic_load_n(&loop->wakers, __ATOMIC_SEQ_CST) > 0 && !CamLoop_IsForeign(loop)) {
        sched_yield();
    }
    cam_poll_fini(&loop->poll);
}

void CamLoop_Rest(LoopObject *loop, CamRest *rest) {
    if (rest->link == NULL) {
        rest->next = loop->resting;
        if (rest->next != NULL) {
            rest->next->link = &rest->next;
        }
        rest->link = &loop->resting;
        loop->resting = rest;
    }
}

void CamLoop_EndRest(CamRest *rest) {
    if (rest->link != NULL) {
        *rest->link = rest->next;
        if (rest->next != NULL) {
            rest->next->link = rest->link;
        }
        rest->link = NULL;
        rest->next = NULL;
    }
}

void CamLoop_WakeResting(LoopObject *loop) {
    while (loop->resting != NULL) {
        CamRest *rest = loop->resting;
        CamLoop_EndRest(rest);
        /* Without memory for it now, it wakes up by itself later. */
        if (!loop->closed && CamLoop_Enqueue(loop, rest->wake, rest->owner) < 0) {
            PyErr_Clear();
        }
    }
}

static char *make_buffer(char **buffer) {
    if (*buffer == NULL) {
        *buffer = PyMem_Malloc(CAM_READ_BUFFER);
        if (*buffer == NULL) {
            PyErr_NoMemory();
        }
        /* glibc maps blocks from 128 KiB on one by one, until the first such block is freed: those
         * up to its size come from the heap from then on (mallopt(3), M_MMAP_THRESHOLD). A buffer
         * that grows and shrinks, as a StreamReader's does, would stay mapped for ever and have
         * all its pages made anew with every message. */
        PyMem_RawFree(PyMem_RawMalloc((size_t)LARGEST_FROM_HEAP));
    }
    return *buffer;
}

char *CamLoop_ReadBuffer(LoopObject *loop) {
    return make_buffer(&loop->read_buffer);
}

char *CamLoop_CallBuffer(LoopObject *loop) {
    return make_buffer(&loop->call_buffer);
}

int CamLoop_ReportError(LoopObject *loop, const char *message, PyObject *extra) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    cam_state *state = loop->state;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *context = extra ? PyDict_Copy(extra) : PyDict_New();
    PyObject *text = PyUnicode_FromString(message);
    PyObject *result = NULL;
    if (context != NULL && text != NULL && PyDict_SetItem(context, state->str_message, text) == 0 &&
        PyDict_SetItem(context, state->str_exception, exception) == 0) {
        result =
            PyObject_CallMethodOneArg((PyObject *)loop, state->str_call_exception_handler, context);
    }
    Py_XDECREF(context);
    Py_XDECREF(text);
    Py_DECREF(exception);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

/* ---- scheduling ---- */

/* Debug mode's checks of asyncio: a callable, and the right thread. */
static int check_debug(LoopObject *loop, PyObject *callback, const char *name, bool any_thread) {
    cam_state *state = loop->state;
    if (!any_thread && loop->thread != 0 && loop->thread != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Non-thread-safe operation invoked on an event loop other than the "
                        "current one");
        return -1;
    }
    PyObject *text = PyUnicode_FromString(name);
    if (text == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodObjArgs((PyObject *)loop, state->str__check_callback,
                                                  callback, text, NULL);
    Py_DECREF(text);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

int CamLoop_ParseContext(cam_state *state, const char *name, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames, PyObject **context) {
    *context = NULL;
    Py_ssize_t count = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (key != state->str_context && PyUnicode_Compare(key, state->str_context) != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", name,
                         key);
            return -1;
        }
        *context = args[nargs + i];
    }
    return 0;
}

static inline PyObject *schedule_soon(LoopObject *loop, const char *name, bool any_thread,
                                      PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *context;
    if (CamLoop_CheckUsable(loop) < 0 ||
        CamLoop_ParseContext(loop->state, name, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    if (loop->debug && check_debug(loop, args[0], name, any_thread) < 0) {
        return NULL;
    }
    HandleObject *handle = CamHandle_New(loop, args[0], args + 1, nargs - 1, context);
    if (handle != NULL && any_thread) {
        CamHandle_Share(handle);
    }
    if (handle != NULL && (any_thread ? CamLoop_EnqueueShared(loop, NULL, (PyObject *)handle)
                                      : CamLoop_Enqueue(loop, NULL, (PyObject *)handle)) < 0) {
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

static const char *const soon_parameters[] = {"callback", NULL};

PyDoc_STRVAR(call_soon_doc, "call_soon($self, callback, *args, context=None)\n--\n\n"
                            "Run callback(*args) in the loop's next turn, in the order of calls.");

static PyObject *loop_call_soon(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames) {
    if (nargs < 1) {
        return CamArgs_ByName(loop_call_soon, "call_soon", soon_parameters, self, args, nargs,
                              kwnames);
    }
    return schedule_soon((LoopObject *)self, "call_soon", false, args, nargs, kwnames);
}

/* Another thread has queued much: lets go of the GIL for a moment, so that the loop, awake by now,
 * can run it. A thread that goes on until the interpreter takes the GIL from it (5 ms) queues ten
 * thousand callbacks, which are out of the processor's cache when their turn comes. asyncio lets go
 * of the GIL for each of them, in its wake-up. */
static void let_loop_run(LoopObject *loop) {
    if (loop->thread != 0 && loop->thread != PyThread_get_thread_ident()) {
        Py_BEGIN_ALLOW_THREADS(void)
        sched_yield();
        Py_END_ALLOW_THREADS
    }
}

PyDoc_STRVAR(call_soon_threadsafe_doc,
             "call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n"
             "call_soon() from any thread. RuntimeError when the loop is closed.");

static PyObject *loop_call_soon_threadsafe(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                           PyObject *kwnames) {
    if (nargs < 1) {
        return CamArgs_ByName(loop_call_soon_threadsafe, "call_soon_threadsafe", soon_parameters,
                              self, args, nargs, kwnames);
    }
    LoopObject *loop = (LoopObject *)self;
    PyObject *handle = schedule_soon(loop, "call_soon_threadsafe", true, args, nargs, kwnames);
    if (handle != NULL && loop->ready_count >= CROWD && loop->ready_count % CROWD_STEP == 0) {
        let_loop_run(loop);
    }
    return handle;
}

/* Timers that were swept out of the heap, with the heap's references. */
typedef struct Swept {
    HandleObject **timers;
    size_t count;
} Swept;

static int keep_timer(void *item, void *context) {
    HandleObject *timer = item;
    Swept *swept = context;
    if (!timer->cancelled) {
        return 1;
    }
    timer->scheduled = false;
    swept->timers[swept->count++] = timer;
    return 0;
}

/* Takes the cancelled timers out of the heap. Without memory they stay until they are due. Runs
 * user code: weak references to timers may have callbacks, which may well schedule more. */
static void sweep_timers(LoopObject *loop) {
    Swept swept = {PyMem_New(HandleObject *, loop->timers.count), 0};
    if (swept.timers == NULL) {
        return;
    }
    loop->cancelled_timers = 0;
    cam_heap_filter(&loop->timers, keep_timer, &swept);
    while (swept.count > 0) {
        Py_DECREF(swept.timers[--swept.count]);
    }
    PyMem_Free(swept.timers);
}

static PyObject *schedule_at(LoopObject *loop, const char *name, double when, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *context;
    if (CamLoop_CheckUsable(loop) < 0 ||
        CamLoop_ParseContext(loop->state, name, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    if (loop->debug && check_debug(loop, args[1], name, false) < 0) {
        return NULL;
    }
    if (loop->timers.count > MIN_TIMERS_TO_SWEEP &&
        loop->cancelled_timers > loop->timers.count / 2) {
        sweep_timers(loop);
    }
    HandleObject *timer = CamTimer_New(loop, when, args[1], args + 2, nargs - 2, context);
    if (timer == NULL) {
        return NULL;
    }
    if (cam_heap_push(&loop->timers, deadline_of(when), timer) < 0) {
        Py_DECREF(timer);
        return PyErr_NoMemory();
    }
    timer->scheduled = true;
    Py_INCREF(timer);
    if (loop->waiting) {
        loop->waiting = false; /* from another thread: not allowed, but not lost either */
        (void)cam_poll_wake(&loop->poll);
    }
    return (PyObject *)timer;
}

/* The number at args[0]; -1 with an exception for None or what is no number. */
static int read_seconds(const char *what, PyObject *const *args, double *seconds) {
    if (args[0] == Py_None) {
        PyErr_Format(PyExc_TypeError, "%s must not be None", what);
        return -1;
    }
    *seconds = PyFloat_AsDouble(args[0]);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

PyDoc_STRVAR(call_later_doc, "call_later($self, delay, callback, *args, context=None)\n--\n\n"
                             "Run callback(*args) after delay seconds; returns a TimerHandle.");

static PyObject *loop_call_later(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    static const char *const parameters[] = {"delay", "callback", NULL};
    if (nargs < 2) {
        return CamArgs_ByName(loop_call_later, "call_later", parameters, self, args, nargs,
                              kwnames);
    }
    double delay;
    if (read_seconds("delay", args, &delay) < 0) {
        return NULL;
    }
    double when = (double)CamLoop_Now() / 1e9 + delay;
    return schedule_at((LoopObject *)self, "call_later", when, args, nargs, kwnames);
}

PyDoc_STRVAR(call_at_doc, "call_at($self, when, callback, *args, context=None)\n--\n\n"
                          "Run callback(*args) at when, in seconds on the clock of time().");

static PyObject *loop_call_at(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames) {
    static const char *const parameters[] = {"when", "callback", NULL};
    if (nargs < 2) {
        return CamArgs_ByName(loop_call_at, "call_at", parameters, self, args, nargs, kwnames);
    }
    double when;
    if (read_seconds("when", args, &when) < 0) {
        return NULL;
    }
    return schedule_at((LoopObject *)self, "call_at", when, args, nargs, kwnames);
}

PyDoc_STRVAR(time_doc, "time($self, /)\n--\n\n"
                       "The loop's clock in seconds (CLOCK_MONOTONIC, nanosecond resolution).");

static PyObject *loop_time(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    return PyFloat_FromDouble((double)CamLoop_Now() / 1e9);
}

/* ---- futures and tasks ---- */

PyDoc_STRVAR(create_future_doc,
             "create_future($self, /)\n--\n\nA new asyncio.Future attached to this loop.");

/* Whether the name in a module of asyncio still means what it did at import: tests and tools put
 * another class in its place, and asyncio looks at each call. */
static inline bool is_stock(PyObject *names, PyObject *name, PyObject *stock) {
    PyObject *now = PyDict_GetItemWithError(names, name); /* borrowed */
    if (now == NULL) {
        PyErr_Clear();
    }
    return now == stock;
}

/* asyncio.Future(loop=loop), but that the call's keywords need no dict of their own: the state has
 * one, which holds the loop for as long as it turns. What the constructor calls after it has read
 * them (get_debug) may well come here again. */
PyObject *CamLoop_CreateFuture(LoopObject *loop) {
    cam_state *state = loop->state;
    if (!is_stock(state->futures_names, state->str_Future, state->asyncio_future)) {
        PyObject *replaced = PyDict_GetItemWithError(state->futures_names, state->str_Future);
        if (replaced == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_AttributeError, "module 'asyncio.futures' has no Future");
            }
            return NULL;
        }
        Py_INCREF(replaced);
        PyObject *stack[] = {NULL, (PyObject *)loop};
        PyObject *made = PyObject_Vectorcall(replaced, stack + 1, PY_VECTORCALL_ARGUMENTS_OFFSET,
                                             state->kw_loop);
        Py_DECREF(replaced);
        return made;
    }
    PyTypeObject *type = (PyTypeObject *)state->asyncio_future;
    if (CamTask_Drives(loop)) {
        /* As the constructor leaves it: but for the loop, everything is 0. */
        CamStockFuture *made = (CamStockFuture *)type->tp_alloc(type, 0);
        if (made != NULL) {
            made->loop = Py_NewRef(loop);
        }
        return (PyObject *)made;
    }
    /* First, as it may run the garbage collector, in which another loop may make futures. */
    PyObject *future = type->tp_new(type, state->no_arguments, NULL);
    if (future == NULL) {
        return NULL;
    }
    int status = 0;
    if (state->future_loop != (PyObject *)loop) {
        status = PyDict_SetItem(state->future_keywords, state->str_loop, (PyObject *)loop);
        if (status == 0) {
            state->future_loop = (PyObject *)loop;
        }
    }
    if (status < 0 || type->tp_init(future, state->no_arguments, state->future_keywords) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_CLEAR(future);
        PyErr_SetRaisedException(exception);
    }
    if (!loop->turning) {
        CamLoop_ForgetFutures(loop);
    }
    return future;
}

void CamLoop_ForgetFutures(LoopObject *loop) {
    cam_state *state = loop->state;
    if (state->future_loop != (PyObject *)loop) {
        return;
    }
    state->future_loop = NULL;
    PyObject *exception = PyErr_GetRaisedException();
    if (PyDict_SetItem(state->future_keywords, state->str_loop, Py_None) < 0) {
        PyErr_Clear(); /* cannot be: the key is there, so no memory is needed */
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

static PyObject *loop_create_future(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return CamLoop_CreateFuture((LoopObject *)self);
}

bool CamLoop_DrivesTasks(LoopObject *loop) {
    cam_state *state = loop->state;
    return CamTask_Drives(loop) && loop->task_factory == NULL &&
           is_stock(state->tasks_names, state->str_Task, state->asyncio_task);
}

PyDoc_STRVAR(create_task_doc,
             "create_task($self, coro, *, name=None, context=None, **kwargs)\n--\n\n"
             "An asyncio.Task (or what the task factory makes) that runs coro on this loop.\n\n"
             "Other keywords are those of the running Python's asyncio.");

static PyObject *loop_create_task(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames) {
    LoopObject *loop = (LoopObject *)self;
    cam_state *state = loop->state;
    Py_ssize_t count = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    PyObject *name = NULL;
    PyObject *context = NULL;
    bool plain = nargs == 1 && loop->task_factory == NULL &&
                 is_stock(state->tasks_names, state->str_Task, state->asyncio_task);
    for (Py_ssize_t i = 0; plain && i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_Compare(key, state->str_name) == 0) {
            name = args[nargs + i];
        } else if (PyUnicode_Compare(key, state->str_context) == 0) {
            context = args[nargs + i];
        } else {
            plain = false;
        }
    }
    if (!plain) {
        PyObject *method = PyObject_GetAttr(self, state->str__create_task_by_factory);
        if (method == NULL) {
            return NULL;
        }
        PyObject *task = PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
        Py_DECREF(method);
        return task;
    }
    if (CamLoop_CheckUsable(loop) < 0) {
        return NULL;
    }
    bool named = name != NULL && name != Py_None;
    bool placed = context != NULL && context != Py_None;
    if (CamTask_Drives(loop)) {
        return CamTask_New(loop, args[0], named ? name : NULL, placed ? context : NULL, false);
    }
    PyObject *stack[5] = {NULL, args[0], self, NULL, NULL};
    PyObject *names = state->kw_loop;
    if (named && placed) {
        stack[3] = name;
        stack[4] = context;
        names = state->kw_loop_name_context;
    } else if (named) {
        stack[3] = name;
        names = state->kw_loop_name;
    } else if (placed) {
        stack[3] = context;
        names = state->kw_loop_context;
    }
    return PyObject_Vectorcall(state->asyncio_task, stack + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               names);
}

/* ---- lifecycle ---- */

PyDoc_STRVAR(stop_doc, "stop($self, /)\n--\n\nEnd run_forever() after the turn under way.");

static PyObject *loop_stop(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    ((LoopObject *)self)->stopping = true;
    Py_RETURN_NONE;
}

static PyObject *loop_is_running(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((LoopObject *)self)->thread != 0);
}

static PyObject *loop_is_closed(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((LoopObject *)self)->closed);
}

static PyObject *loop_get_debug(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((LoopObject *)self)->debug);
}

PyDoc_STRVAR(check_closed_doc,
             "_check_closed($self, /)\n--\n\n"
             "RuntimeError when the loop is closed, or belongs to the process that forked this.\n\n"
             "asyncio's own methods call it too.");

static PyObject *loop_check_closed(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    if (CamLoop_CheckUsable((LoopObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_backend_id_doc, "_get_backend_id($self, /)\n--\n\n"
                                 "The poller's descriptor, -1 once closed; a name of uvloop's.");

static PyObject *loop_get_backend_id(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromLong(((LoopObject *)self)->poll.fd);
}

PyDoc_STRVAR(run_doc, "_run($self, /)\n--\n\nRun turns until stop(); no set-up, no clean-up.");

static PyObject *loop_run(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    Py_INCREF(self);
    PyObject *result = CamTurn_Run((LoopObject *)self);
    Py_DECREF(self);
    return result;
}

/* Drops everything that waits. Runs user code (deallocations), which may schedule no more: the
 * loop counts as closed by then, or is being freed. */
static void loop_drop_all(LoopObject *loop) {
    while (loop->ready_count > 0) {
        CamReady entry = loop->ready[loop->ready_head];
        loop->ready_head = (loop->ready_head + 1) & (loop->ready_capacity - 1);
        loop->ready_count--;
        if (entry.step == NULL) {
            CamHandle_Finish((HandleObject *)entry.owner);
        }
        Py_DECREF(entry.owner);
    }
    while (loop->timers.count > 0) {
        HandleObject *timer = cam_heap_pop(&loop->timers);
        timer->scheduled = false;
        CamHandle_Finish(timer);
        Py_DECREF(timer);
    }
    loop->cancelled_timers = 0;
    while (loop->flush_first != NULL) {
        CamFlush *flush = loop->flush_first;
        loop->flush_first = flush->next;
        if (loop->flush_first == NULL) {
            loop->flush_last = NULL;
        }
        flush->next = NULL;
        flush->queued = false;
        Py_DECREF(flush->owner);
    }
    CamWatch_Clear(loop);
}

static void loop_free_memory(LoopObject *loop) {
    PyMem_Free(loop->ready);
    loop->ready = NULL;
    loop->ready_capacity = loop->ready_head = loop->ready_count = 0;
    cam_heap_fini(&loop->timers);
    CamSpare_Clear(&loop->spare);
    PyMem_Free(loop->read_buffer);
    loop->read_buffer = NULL;
    PyMem_Free(loop->call_buffer);
    loop->call_buffer = NULL;
    PyMem_RawFree(loop->datagram_buffers);
    loop->datagram_buffers = NULL;
    CamTls_FreePool(loop);
}

PyDoc_STRVAR(close_doc, "_close($self, /)\n--\n\nDrop what waits and give back the descriptors.");

static PyObject *loop_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    LoopObject *loop = (LoopObject *)self;
    if (loop->turning) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    loop->closed = true;
    loop_drop_all(loop);
    close_poller(loop);
    loop_free_memory(loop);
    Py_RETURN_NONE;
}

/* Whether the class has the method written here; -1 with an exception. */
static int has_method(PyTypeObject *type, PyObject *name, PyCFunction function) {
    PyObject *method = PyObject_GetAttr((PyObject *)type, name);
    if (method == NULL) {
        return -1;
    }
    int same = Py_IS_TYPE(method, &PyMethodDescr_Type) &&
               ((PyMethodDescrObject *)method)->d_method->ml_meth == function;
    Py_DECREF(method);
    return same;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static int is_plain_type(cam_state *state, PyTypeObject *type) {
    int plain = has_method(type, state->str_call_soon, FAST(loop_call_soon));
    if (plain > 0) {
        plain = has_method(type, state->str_create_task, FAST(loop_create_task));
    }
    return plain > 0 ? has_method(type, state->str_create_future, loop_create_future) : plain;
}

/* Notices when a method is replaced that C code would leave out: tests and tracers do that. */
static int loop_setattro(PyObject *self, PyObject *name, PyObject *value) {
    LoopObject *loop = (LoopObject *)self;
    cam_state *state = loop->state;
    if (PyObject_GenericSetAttr(self, name, value) < 0) {
        return -1;
    }
    if (PyUnicode_Compare(name, state->str_call_soon) == 0 ||
        PyUnicode_Compare(name, state->str_create_task) == 0 ||
        PyUnicode_Compare(name, state->str_create_future) == 0) {
        int plain = value == NULL ? is_plain_type(state, Py_TYPE(self)) : 0;
        if (plain < 0) {
            return -1;
        }
        loop->plain = plain;
    }
    return 0;
}

static PyObject *loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(kwargs)) {
    cam_state *state = CamState_OfType(type);
    if (state == NULL) {
        return NULL;
    }
    LoopObject *loop = (LoopObject *)type->tp_alloc(type, 0);
    if (loop == NULL) {
        return NULL;
    }
    loop->state = state;
    int plain = is_plain_type(state, type);
    if (plain < 0) {
        loop->poll = (cam_poll){-1, -1};
        Py_DECREF(loop);
        return NULL;
    }
    loop->plain = plain;
    loop->fast_tasks = true;
    loop->forks = forks;
    loop->slow_callback_duration = 0.1;
    cam_heap_init(&loop->timers);
    int error = cam_poll_init(&loop->poll);
    if (error < 0) {
        loop->poll = (cam_poll){-1, -1};
        Py_DECREF(loop);
        errno = -error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return (PyObject *)loop;
}

static int loop_traverse(PyObject *self, visitproc visit, void *arg) {
    LoopObject *loop = (LoopObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(loop->task_factory);
    Py_VISIT(loop->called);
    for (size_t i = 0; i < loop->ready_count; i++) {
        CamReady *entry = &loop->ready[(loop->ready_head + i) & (loop->ready_capacity - 1)];
        Py_VISIT(entry->owner);
        if (entry->step == NULL && Py_REFCNT(entry->owner) == 1) {
            int status = CamHandle_Visit((HandleObject *)entry->owner, visit, arg);
            if (status) {
                return status;
            }
        }
    }
    for (size_t i = 0; i < loop->timers.count; i++) {
        HandleObject *timer = loop->timers.entries[i].item;
        Py_VISIT(timer);
        if (Py_REFCNT(timer) == 1) {
            int status = CamHandle_Visit(timer, visit, arg);
            if (status) {
                return status;
            }
        }
    }
    for (CamFlush *flush = loop->flush_first; flush != NULL; flush = flush->next) {
        Py_VISIT(flush->owner);
    }
    return CamWatch_Traverse(loop, visit, arg);
}

static int loop_clear(PyObject *self) {
    LoopObject *loop = (LoopObject *)self;
    loop->closed = true;
    loop_drop_all(loop);
    Py_CLEAR(loop->task_factory);
    Py_CLEAR(loop->called);
    return 0;
}

static void loop_dealloc(PyObject *self) {
    LoopObject *loop = (LoopObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    loop_clear(self);
    close_poller(loop);
    loop_free_memory(loop);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- what asyncio's Python half reads and writes ---- */

static PyObject *bool_of(bool value) {
    return PyBool_FromLong(value);
}

static int set_bool(PyObject *value, bool *target) {
    int truth = value ? PyObject_IsTrue(value) : -1;
    if (truth < 0) {
        if (value == NULL) {
            PyErr_SetString(PyExc_AttributeError, "cannot delete");
        }
        return -1;
    }
    *target = truth;
    return 0;
}

#define BOOL_GETSET(field)                                                                         \
    static PyObject *loop_get_##field(PyObject *self, void *Py_UNUSED(closure)) {                  \
        return bool_of(((LoopObject *)self)->field);                                               \
    }                                                                                              \
    static int loop_set_##field(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {       \
        return set_bool(value, &((LoopObject *)self)->field);                                      \
    }

BOOL_GETSET(closed)
BOOL_GETSET(stopping)

static PyObject *loop_get_fast_tasks(PyObject *self, void *Py_UNUSED(closure)) {
    LoopObject *loop = (LoopObject *)self;
    return bool_of(loop->fast_tasks && loop->state->drives_tasks);
}

static int loop_set_fast_tasks(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    return set_bool(value, &((LoopObject *)self)->fast_tasks);
}

static PyObject *loop_get_debug_flag(PyObject *self, void *Py_UNUSED(closure)) {
    return bool_of(((LoopObject *)self)->debug);
}

static int loop_set_debug_flag(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    return set_bool(value, &((LoopObject *)self)->debug);
}

static PyObject *loop_get_thread(PyObject *self, void *Py_UNUSED(closure)) {
    unsigned long thread = ((LoopObject *)self)->thread;
    return thread ? PyLong_FromUnsignedLong(thread) : Py_NewRef(Py_None);
}

static int loop_set_thread(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    unsigned long thread = 0;
    if (value != NULL && value != Py_None) {
        thread = PyLong_AsUnsignedLong(value);
        if (thread == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
    }
    ((LoopObject *)self)->thread = thread;
    return 0;
}

static PyObject *loop_get_slow(PyObject *self, void *Py_UNUSED(closure)) {
    return PyFloat_FromDouble(((LoopObject *)self)->slow_callback_duration);
}

static int loop_set_slow(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    double seconds = value ? PyFloat_AsDouble(value) : 0.1;
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    ((LoopObject *)self)->slow_callback_duration = seconds;
    return 0;
}

static PyObject *loop_get_factory(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *factory = ((LoopObject *)self)->task_factory;
    return Py_NewRef(factory ? factory : Py_None);
}

static int loop_set_factory(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    LoopObject *loop = (LoopObject *)self;
    Py_XSETREF(loop->task_factory, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

PyDoc_STRVAR(fast_tasks_doc,
             "True if create_task() makes tasks that the loop itself drives.\n\n"
             "False leaves all of it to asyncio, for tasks made afterwards. It stays\n"
             "False on a Python whose tasks are not as they are known here.");

static PyGetSetDef loop_getset[] = {
    {"_closed", loop_get_closed, loop_set_closed, NULL, NULL},
    {"_stopping", loop_get_stopping, loop_set_stopping, NULL, NULL},
    {"_debug", loop_get_debug_flag, loop_set_debug_flag, NULL, NULL},
    {"_thread_id", loop_get_thread, loop_set_thread, NULL, NULL},
    {"_task_factory", loop_get_factory, loop_set_factory, NULL, NULL},
    {"slow_callback_duration", loop_get_slow, loop_set_slow,
     "Seconds after which debug mode reports a callback as slow.", NULL},
    {"fast_tasks", loop_get_fast_tasks, loop_set_fast_tasks, fast_tasks_doc, NULL},
    {NULL},
};

PyDoc_STRVAR(adopt_methods_doc,
             "_adopt_methods($type, /)\n--\n\n"
             "Give the class methods of its own in place of those it inherits from here.\n\n"
             "CPython calls a C method in its fastest way only on objects of the very class that\n"
             "has it (PRECALL_NO_KW_METHOD_DESCRIPTOR_FAST_WITH_KEYWORDS); a subclass written in\n"
             "Python would never get that.");

static PyObject *loop_adopt_methods(PyObject *cls, PyObject *ignored);

static PyMethodDef loop_methods[] = {
    {"call_soon", FAST(loop_call_soon), METH_FASTCALL | METH_KEYWORDS, call_soon_doc},
    {"call_soon_threadsafe", FAST(loop_call_soon_threadsafe), METH_FASTCALL | METH_KEYWORDS,
     call_soon_threadsafe_doc},
    {"call_later", FAST(loop_call_later), METH_FASTCALL | METH_KEYWORDS, call_later_doc},
    {"call_at", FAST(loop_call_at), METH_FASTCALL | METH_KEYWORDS, call_at_doc},
    {"time", loop_time, METH_NOARGS, time_doc},
    {"create_future", loop_create_future, METH_NOARGS, create_future_doc},
    {"create_task", FAST(loop_create_task), METH_FASTCALL | METH_KEYWORDS, create_task_doc},
    {"stop", loop_stop, METH_NOARGS, stop_doc},
    {"is_running", loop_is_running, METH_NOARGS,
     "is_running($self, /)\n--\n\nTrue while run_forever() runs."},
    {"is_closed", loop_is_closed, METH_NOARGS,
     "is_closed($self, /)\n--\n\nTrue once close() was called."},
    {"get_debug", loop_get_debug, METH_NOARGS,
     "get_debug($self, /)\n--\n\nTrue in asyncio's debug mode."},
    {"_check_closed", loop_check_closed, METH_NOARGS, check_closed_doc},
    {"_get_backend_id", loop_get_backend_id, METH_NOARGS, get_backend_id_doc},
    {"_run", loop_run, METH_NOARGS, run_doc},
    {"_close", loop_close, METH_NOARGS, close_doc},
    {"_adopt_methods", loop_adopt_methods, METH_CLASS | METH_NOARGS, adopt_methods_doc},
    {NULL},
};

/* Gives a type the methods of a table, or only those without an underscore. */
static int add_methods(PyObject *type, PyMethodDef *methods, bool all) {
    for (PyMethodDef *method = methods; method->ml_name != NULL; method++) {
        if (!all && method->ml_name[0] == '_') {
            continue;
        }
        PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)type, method);
        if (descriptor == NULL || PyObject_SetAttrString(type, method->ml_name, descriptor) < 0) {
            Py_XDECREF(descriptor);
            return -1;
        }
        Py_DECREF(descriptor);
    }
    return 0;
}

static PyObject *loop_adopt_methods(PyObject *cls, PyObject *Py_UNUSED(ignored)) {
    if (add_methods(cls, loop_methods, false) < 0 ||
        add_methods(cls, cam_sock_methods, false) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(loop_doc, "The C half of camshaft.EventLoop: scheduling, watching, turns.");

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, (void *)loop_doc},   {Py_tp_new, loop_new},           {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse}, {Py_tp_clear, loop_clear},       {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},     {Py_tp_setattro, loop_setattro}, {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "camshaft._core.Loop",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_slots,
};

static PyObject *interned_names(PyObject *first, PyObject *second, PyObject *third) {
    return third    ? PyTuple_Pack(3, first, second, third)
           : second ? PyTuple_Pack(2, first, second)
                    : PyTuple_Pack(1, first);
}

/* The names of a module (*names) and what one of them means now (*object). 0, or -1. */
static int look_into(const char *module_name, PyObject *name, PyObject **names, PyObject **object) {
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return -1;
    }
    *names = Py_XNewRef(PyModule_GetDict(module));
    *object = PyObject_GetAttr(module, name);
    Py_DECREF(module);
    return *names && *object ? 0 : -1;
}

int cam_loop_exec(PyObject *module, cam_state *state) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    if (CamState_AddType(module, &loop_spec, NULL, 1, &state->loop_type) < 0 ||
        add_methods(state->loop_type, cam_watch_methods, true) < 0 ||
        add_methods(state->loop_type, cam_connect_methods, true) < 0 ||
        add_methods(state->loop_type, cam_sock_methods, true) < 0 ||
        add_methods(state->loop_type, cam_executor_methods, true) < 0 ||
        add_methods(state->loop_type, cam_lookup_methods, true) < 0) {
        return -1;
    }
    if (look_into("asyncio.futures", state->str_Future, &state->futures_names,
                  &state->asyncio_future) < 0 ||
        look_into("asyncio.tasks", state->str_Task, &state->tasks_names, &state->asyncio_task) <
            0) {
        return -1;
    }
    state->no_arguments = PyTuple_New(0);
    state->future_keywords = Py_BuildValue("{OO}", state->str_loop, Py_None);
    state->kw_loop = interned_names(state->str_loop, NULL, NULL);
    state->kw_loop_name = interned_names(state->str_loop, state->str_name, NULL);
    state->kw_loop_context = interned_names(state->str_loop, state->str_context, NULL);
    state->kw_loop_name_context =
        interned_names(state->str_loop, state->str_name, state->str_context);
    return state->no_arguments && state->future_keywords && state->kw_loop && state->kw_loop_name &&
                   state->kw_loop_context && state->kw_loop_name_context
               ? 0
               : -1;
}
