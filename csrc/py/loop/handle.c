/* SPDX-License-Identifier: MIT */
#include "loop/handle.h"

#include "compat.h"
#include "loop/loop.h"

#include <structmember.h>

/* Handles that were freed and wait to be used again: making one costs no malloc then. Both types
 * share the layout, so they share the stock. */
enum { STOCK_SIZE = 1024 };

struct cam_handle_stock {
    size_t count;
    HandleObject *items[STOCK_SIZE];
};

void cam_handle_free_stock(cam_state *state) {
    cam_handle_stock *stock = state->handle_stock;
    state->handle_stock = NULL;
    if (stock != NULL) {
        while (stock->count > 0) {
            PyObject_Free(stock->items[--stock->count]);
        }
        PyMem_Free(stock);
    }
}

static HandleObject *handle_allocate(cam_state *state, PyTypeObject *type) {
    cam_handle_stock *stock = state->handle_stock;
    if (stock->count > 0) {
        PyObject *handle = (PyObject *)stock->items[--stock->count];
#ifdef Py_REF_DEBUG
        (void)PyObject_Init(handle, type); /* which counts it */
#else
        Py_SET_TYPE(handle, (PyTypeObject *)Py_NewRef(type));
        Py_SET_REFCNT(handle, 1);
#endif
        return (HandleObject *)handle;
    }
    return PyObject_New(HandleObject, type);
}

static void handle_dealloc(PyObject *self) {
    HandleObject *handle = (HandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (handle->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (handle->loop != NULL || handle->callback != NULL) { /* never run, never cancelled */
        CamHandle_Finish(handle);
    }
    Py_CLEAR(handle->source_traceback);
    Py_CLEAR(handle->repr);
    if (handle->finished != NULL) {
        PyThread_free_lock(handle->finished);
    }
    cam_handle_stock *stock = handle->state->handle_stock;
    if (stock != NULL && stock->count < STOCK_SIZE) {
        stock->items[stock->count++] = handle;
    } else {
        PyObject_Free(self);
    }
    Py_DECREF(type);
}

static int record_origin(HandleObject *handle, cam_state *state) {
    PyObject *frame = (PyObject *)PyEval_GetFrame(); /* borrowed */
    handle->source_traceback = PyObject_CallOneArg(state->extract_stack, frame ? frame : Py_None);
    return handle->source_traceback ? 0 : -1;
}

static inline HandleObject *handle_make(LoopObject *loop, PyTypeObject *type, PyObject *callback,
                                        PyObject *const *args, Py_ssize_t nargs,
                                        PyObject *context) {
    cam_state *state = loop->state;
    if (context == NULL || context == Py_None) {
        context = PyContext_CopyCurrent();
        if (context == NULL) {
            return NULL;
        }
    } else {
        if (!PyContext_CheckExact(context)) {
            PyErr_Format(PyExc_TypeError, "context must be a contextvars.Context, not %.100s",
                         Py_TYPE(context)->tp_name);
            return NULL;
        }
        Py_INCREF(context);
    }
    PyObject *packed = NULL;
    if (nargs > CAM_HANDLE_INLINE) {
        packed = PyTuple_New(nargs);
        if (packed == NULL) {
            Py_DECREF(context);
            return NULL;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(packed, i, Py_NewRef(args[i]));
        }
    }
    HandleObject *handle = handle_allocate(state, type);
    if (handle == NULL) {
        Py_DECREF(context);
        Py_XDECREF(packed);
        return NULL;
    }
    handle->state = state;
    handle->weakrefs = NULL;
    handle->loop = (LoopObject *)Py_NewRef(loop);
    handle->callback = Py_NewRef(callback);
    handle->context = context;
    if (packed != NULL) {
        handle->stack[1] = packed;
        handle->nargs = -1;
    } else {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            handle->stack[1 + i] = Py_NewRef(args[i]);
        }
        handle->nargs = (int32_t)nargs;
    }
    handle->source_traceback = NULL;
    handle->repr = NULL;
    handle->cancelled = false;
    handle->repeats = false;
    handle->is_timer = false;
    handle->scheduled = false;
    handle->shared = false;
    handle->when = 0;
    handle->runner = 0;
    handle->finished = NULL;
    if (loop->debug && record_origin(handle, state) < 0) {
        Py_DECREF(handle);
        return NULL;
    }
    return handle;
}

HandleObject *CamHandle_New(LoopObject *loop, PyObject *callback, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *context) {
    return handle_make(loop, (PyTypeObject *)loop->state->handle_type, callback, args, nargs,
                       context);
}

HandleObject *CamTimer_New(LoopObject *loop, double when, PyObject *callback, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *context) {
    HandleObject *handle =
        handle_make(loop, (PyTypeObject *)loop->state->timer_type, callback, args, nargs, context);
    if (handle != NULL) {
        handle->is_timer = true;
        handle->when = when;
    }
    return handle;
}

/* A call under way, whose references are its own: the callback may cancel its handle. The arguments
 * stay where they are in the handle, which forgets them but does not overwrite them meanwhile. */
typedef struct Call {
    PyObject *callback;
    PyObject *context;
    PyObject **stack;
    int32_t nargs;
} Call;

static inline int32_t stored_args(const HandleObject *handle) {
    return handle->nargs < 0 ? 1 : handle->nargs;
}

static inline void call_release(Call *call) {
    int32_t stored = call->nargs < 0 ? 1 : call->nargs;
    for (int32_t i = 1; i <= stored; i++) {
        Py_DECREF(call->stack[i]);
    }
    Py_DECREF(call->callback);
    Py_DECREF(call->context);
}

/* Takes the references over from the handle. */
static inline Call call_move(HandleObject *handle) {
    Call call = {handle->callback, handle->context, handle->stack, handle->nargs};
    handle->callback = NULL;
    handle->context = NULL;
    handle->nargs = 0;
    return call;
}

/* Takes references of its own. */
static Call call_copy(HandleObject *handle) {
    Call call = {Py_NewRef(handle->callback), Py_NewRef(handle->context), handle->stack,
                 handle->nargs};
    int32_t stored = stored_args(handle);
    for (int32_t i = 1; i <= stored; i++) {
        Py_INCREF(handle->stack[i]);
    }
    return call;
}

static inline PyObject *call_perform(Call *call) {
    if (PyContext_Enter(call->context) < 0) {
        return NULL;
    }
    PyObject *result;
    if (call->nargs < 0) {
        result = PyObject_Call(call->callback, call->stack[1], NULL);
    } else {
        size_t nargs = (size_t)call->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET;
        /* A function in Python is called as PyObject_Vectorcall would, less the check of what came
         * back, which is for callables in C. */
        result = PyFunction_Check(call->callback)
                     ? ((PyFunctionObject *)call->callback)
                           ->vectorcall(call->callback, call->stack + 1, nargs, NULL)
                     : PyObject_Vectorcall(call->callback, call->stack + 1, nargs, NULL);
    }
    if (PyContext_Exit(call->context) < 0) {
        Py_CLEAR(result);
    }
    /* CPython loses the exception of a frame that it found no memory to show in a traceback. */
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_SystemError, "a callback failed without setting an exception");
    }
    return result;
}

static PyObject *call_args(const Call *call) {
    if (call->nargs < 0) {
        return Py_NewRef(call->stack[1]);
    }
    PyObject *args = PyTuple_New(call->nargs);
    for (int32_t i = 0; args != NULL && i < call->nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(call->stack[1 + i]));
    }
    return args;
}

/* An exception is set. Hands it to loop._report_callback_error; -1 when it must leave the loop. */
static int call_report(HandleObject *handle, LoopObject *loop, const Call *call) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    /* The report shows the handle: give it its callback back until that is done. */
    bool lent = handle->callback == NULL;
    if (lent) {
        handle->loop = (LoopObject *)Py_NewRef(loop);
        handle->callback = Py_NewRef(call->callback);
        handle->context = Py_NewRef(call->context);
        handle->nargs = call->nargs;
        int32_t stored = stored_args(handle);
        for (int32_t i = 1; i <= stored; i++) {
            Py_INCREF(handle->stack[i]);
        }
    }
    PyObject *args = call_args(call);
    PyObject *result = NULL;
    if (args != NULL) {
        result =
            PyObject_CallMethodObjArgs((PyObject *)loop, handle->state->str__report_callback_error,
                                       exception, call->callback, args, handle, NULL);
        Py_DECREF(args);
    }
    Py_DECREF(exception);
    exception = result == NULL ? PyErr_GetRaisedException() : NULL;
    if (lent) {
        CamHandle_Finish(handle);
    }
    if (result == NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

void CamHandle_Share(HandleObject *handle) {
    handle->shared = handle->state->asyncio_shared_handle != handle->state->asyncio_handle;
}

/* Waits until no other thread runs the handle, which the caller holds. Gives up the GIL: other
 * code runs. 0, or -1 with an exception. */
static int wait_finished(HandleObject *handle) {
    if (handle->runner == 0 || handle->runner == PyThread_get_thread_ident()) {
        return 0;
    }
    if (handle->finished == NULL) {
        handle->finished = PyThread_allocate_lock();
        if (handle->finished == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        (void)PyThread_acquire_lock(handle->finished, NOWAIT_LOCK); /* new: nobody has it */
    }
    for (;;) {
        PyLockStatus status;
        Py_BEGIN_ALLOW_THREADS;
        status = PyThread_acquire_lock_timed(handle->finished, -1, 1);
        Py_END_ALLOW_THREADS;
        if (status == PY_LOCK_ACQUIRED) {
            PyThread_release_lock(handle->finished); /* for the next who waits */
            return 0;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

static int run(HandleObject *handle);

int CamHandle_Run(HandleObject *handle) {
    if (handle->callback == NULL) {
        return 0; /* cancelled, or finished with its loop */
    }
    if (!handle->shared) {
        return run(handle);
    }
    handle->runner = PyThread_get_thread_ident();
    int status = run(handle);
    handle->runner = 0;
    if (handle->finished != NULL) {
        PyThread_release_lock(handle->finished);
    }
    return status;
}

static int run(HandleObject *handle) {
    LoopObject *loop = handle->loop;
    Call call;
    bool debug = loop->debug;
    if (handle->repeats || debug) {
        Py_INCREF(loop);
        call = call_copy(handle);
    } else {
        call = call_move(handle);
        handle->loop = NULL; /* the reference is ours now */
    }
    int status = 0;
    int64_t started = debug ? CamLoop_Now() : 0;
    PyObject *result = call_perform(&call);
    if (result != NULL) {
        Py_DECREF(result);
    } else {
        status = call_report(handle, loop, &call);
    }
    if (debug && status == 0) {
        double took = (double)(CamLoop_Now() - started) / 1e9;
        if (took >= loop->slow_callback_duration) {
            PyObject *seconds = PyFloat_FromDouble(took);
            PyObject *reported = NULL;
            if (seconds != NULL) {
                reported = PyObject_CallMethodObjArgs(
                    (PyObject *)loop, handle->state->str__report_slow, handle, seconds, NULL);
                Py_DECREF(seconds);
            }
            if (reported == NULL) {
                status = -1;
            }
            Py_XDECREF(reported);
        }
    }
    if (debug && !handle->repeats) {
        if (status < 0) {
            PyObject *exception = PyErr_GetRaisedException();
            CamHandle_Finish(handle);
            PyErr_SetRaisedException(exception);
        } else {
            CamHandle_Finish(handle);
        }
    }
    if (status < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        call_release(&call);
        Py_DECREF(loop);
        PyErr_SetRaisedException(exception);
        return -1;
    }
    call_release(&call);
    Py_DECREF(loop);
    return 0;
}

void CamHandle_Finish(HandleObject *handle) {
    /* Detach everything first: each decref below may come back to this handle. */
    PyObject *callback = handle->callback;
    PyObject *context = handle->context;
    PyObject *args[CAM_HANDLE_INLINE];
    int32_t stored = stored_args(handle);
    for (int32_t i = 0; i < stored; i++) {
        args[i] = handle->stack[1 + i];
    }
    LoopObject *loop = handle->loop;
    handle->callback = NULL;
    handle->context = NULL;
    handle->nargs = 0;
    handle->loop = NULL;
    for (int32_t i = 0; i < stored; i++) {
        Py_DECREF(args[i]);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(loop);
}

int CamHandle_Cancel(HandleObject *handle) {
    if (handle->cancelled) {
        return 0;
    }
    handle->cancelled = true;
    if (handle->scheduled && handle->loop != NULL) {
        handle->loop->cancelled_timers++;
    }
    PyObject *exception = NULL;
    if (handle->loop != NULL && handle->loop->debug) {
        PyObject *text = PyObject_Repr((PyObject *)handle);
        if (text != NULL) {
            Py_XSETREF(handle->repr, text);
        } else {
            exception = PyErr_GetRaisedException(); /* of a callback; cancelled all the same */
        }
    }
    CamHandle_Finish(handle);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return 0;
}

int CamHandle_Visit(HandleObject *handle, visitproc visit, void *arg) {
    Py_VISIT(handle->loop);
    Py_VISIT(handle->callback);
    Py_VISIT(handle->context);
    int32_t stored = stored_args(handle);
    for (int32_t i = 0; i < stored; i++) {
        Py_VISIT(handle->stack[1 + i]);
    }
    return 0;
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\nKeep the callback from being run.");

static PyObject *handle_cancel(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    Py_INCREF(self); /* the last other reference may be among what is dropped */
    int status = wait_finished((HandleObject *)self);
    if (status == 0) {
        status = CamHandle_Cancel((HandleObject *)self);
    }
    Py_DECREF(self);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\nTrue once cancel() was called.");

static PyObject *handle_cancelled(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    if (wait_finished((HandleObject *)self) < 0) {
        return NULL;
    }
    return PyBool_FromLong(((HandleObject *)self)->cancelled);
}

PyDoc_STRVAR(get_context_doc,
             "get_context($self, /)\n--\n\n"
             "The contextvars.Context of the callback; None once the handle is finished.");

static PyObject *handle_get_context(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    HandleObject *handle = (HandleObject *)self;
    return Py_NewRef(handle->context ? handle->context : Py_None);
}

PyDoc_STRVAR(run_doc, "_run($self, /)\n--\n\nRun the callback now, as the loop would.");

static PyObject *handle_run(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    Py_INCREF(self);
    int status = CamHandle_Run((HandleObject *)self);
    Py_DECREF(self);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *handle_args(HandleObject *handle) {
    if (handle->callback == NULL) {
        return Py_NewRef(Py_None);
    }
    if (handle->nargs < 0) {
        return Py_NewRef(handle->stack[1]);
    }
    PyObject *args = PyTuple_New(handle->nargs);
    for (int32_t i = 0; args != NULL && i < handle->nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(handle->stack[1 + i]));
    }
    return args;
}

static PyObject *handle_get_args(PyObject *self, void *Py_UNUSED(closure)) {
    return handle_args((HandleObject *)self);
}

static PyObject *handle_get_callback(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *callback = ((HandleObject *)self)->callback;
    return Py_NewRef(callback ? callback : Py_None);
}

static PyObject *handle_get_source_traceback(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *stack = ((HandleObject *)self)->source_traceback;
    return Py_NewRef(stack ? stack : Py_None);
}

static PyObject *handle_get_cancelled(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((HandleObject *)self)->cancelled);
}

/* "created at FILE:LINE" of the frame that made the handle; NULL without an exception if none. */
static PyObject *describe_origin(HandleObject *handle) {
    if (handle->source_traceback == NULL) {
        return NULL;
    }
    Py_ssize_t depth = PyObject_Size(handle->source_traceback);
    if (depth <= 0) {
        return NULL;
    }
    PyObject *frame = PySequence_GetItem(handle->source_traceback, depth - 1);
    PyObject *file = frame ? PyObject_GetAttrString(frame, "filename") : NULL;
    PyObject *line = file ? PyObject_GetAttrString(frame, "lineno") : NULL;
    PyObject *text = line ? PyUnicode_FromFormat(" created at %S:%S", file, line) : NULL;
    Py_XDECREF(frame);
    Py_XDECREF(file);
    Py_XDECREF(line);
    return text;
}

static PyObject *handle_repr(PyObject *self) {
    HandleObject *handle = (HandleObject *)self;
    if (handle->repr != NULL) {
        return Py_NewRef(handle->repr);
    }
    const char *name = handle->is_timer ? "TimerHandle"
                       : handle->shared ? "_ThreadSafeHandle"
                                        : "Handle";
    PyObject *when = handle->is_timer ? PyFloat_FromDouble(handle->when) : NULL;
    if (handle->is_timer && when == NULL) {
        return NULL;
    }
    PyObject *source = NULL;
    if (handle->callback != NULL) {
        PyObject *args = handle_args(handle);
        if (args == NULL) {
            Py_XDECREF(when);
            return NULL;
        }
        source = PyObject_CallFunctionObjArgs(handle->state->format_callback, handle->callback,
                                              args, NULL);
        Py_DECREF(args);
        if (source == NULL) {
            Py_XDECREF(when);
            return NULL;
        }
    }
    PyObject *origin = describe_origin(handle);
    PyObject *text = NULL;
    if (!PyErr_Occurred()) {
        PyObject *when_text = when ? PyObject_Repr(when) : PyUnicode_FromString("");
        if (when_text != NULL) {
            text = PyUnicode_FromFormat("<%s%s%s%U%s%V%V>", name,
                                        handle->cancelled ? " cancelled" : "", when ? " when=" : "",
                                        when_text, source ? " " : "", source, "", origin, "");
            Py_DECREF(when_text);
        }
    }
    Py_XDECREF(when);
    Py_XDECREF(source);
    Py_XDECREF(origin);
    return text;
}

PyDoc_STRVAR(when_doc, "when($self, /)\n--\n\n"
                       "The deadline in seconds on the loop's clock, EventLoop.time().");

static PyObject *timer_when(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyFloat_FromDouble(((HandleObject *)self)->when);
}

static PyObject *timer_richcompare(PyObject *self, PyObject *other, int operation) {
    HandleObject *a = (HandleObject *)self;
    if (!PyObject_TypeCheck(other, (PyTypeObject *)a->state->timer_type)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    HandleObject *b = (HandleObject *)other;
    if (operation == Py_EQ || operation == Py_NE) {
        /* A finished timer has no callback left to compare: it equals itself alone. */
        bool equal =
            self == other || (a->when == b->when && a->callback != NULL &&
                              a->callback == b->callback && a->nargs == b->nargs && a->nargs == 0);
        return PyBool_FromLong(operation == Py_EQ ? equal : !equal);
    }
    Py_RETURN_RICHCOMPARE(a->when, b->when, operation);
}

static Py_hash_t timer_hash(PyObject *self) {
    PyObject *when = PyFloat_FromDouble(((HandleObject *)self)->when);
    Py_hash_t hash = when ? PyObject_Hash(when) : -1;
    Py_XDECREF(when);
    return hash;
}

#define HANDLE_METHODS                                                                             \
    {"cancel", handle_cancel, METH_NOARGS, cancel_doc},                                            \
        {"cancelled", handle_cancelled, METH_NOARGS, cancelled_doc},                               \
        {"get_context", handle_get_context, METH_NOARGS, get_context_doc}, {                       \
        "_run", handle_run, METH_NOARGS, run_doc                                                   \
    }

static PyMethodDef handle_methods[] = {HANDLE_METHODS, {NULL}};

static PyMethodDef timer_methods[] = {
    HANDLE_METHODS,
    {"when", timer_when, METH_NOARGS, when_doc},
    {NULL},
};

static PyObject *handle_get_loop(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *loop = (PyObject *)((HandleObject *)self)->loop;
    return Py_NewRef(loop ? loop : Py_None);
}

static PyObject *handle_get_context_member(PyObject *self, void *Py_UNUSED(closure)) {
    return handle_get_context(self, NULL);
}

/* isinstance() asks for this when the type does not derive from the one named: asyncio's classes
 * are full of slots and tracked by the collector, which would cost every callback. */
static PyObject *handle_get_class(PyObject *self, void *Py_UNUSED(closure)) {
    HandleObject *handle = (HandleObject *)self;
    return Py_NewRef(handle->is_timer ? handle->state->asyncio_timer_handle
                     : handle->shared ? handle->state->asyncio_shared_handle
                                      : handle->state->asyncio_handle);
}

static PyObject *timer_get_when(PyObject *self, void *Py_UNUSED(closure)) {
    return PyFloat_FromDouble(((HandleObject *)self)->when);
}

static PyObject *timer_get_scheduled(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((HandleObject *)self)->scheduled);
}

static PyGetSetDef handle_getset[] = {
    {"__class__", handle_get_class, NULL, "asyncio.Handle, for isinstance().", NULL},
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"_callback", handle_get_callback, NULL, NULL, NULL},
    {"_cancelled", handle_get_cancelled, NULL, NULL, NULL},
    {"_context", handle_get_context_member, NULL, NULL, NULL},
    {"_loop", handle_get_loop, NULL, NULL, NULL},
    {"_source_traceback", handle_get_source_traceback, NULL, NULL, NULL},
    {NULL},
};

static PyGetSetDef timer_getset[] = {
    {"__class__", handle_get_class, NULL, "asyncio.TimerHandle, for isinstance().", NULL},
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"_callback", handle_get_callback, NULL, NULL, NULL},
    {"_cancelled", handle_get_cancelled, NULL, NULL, NULL},
    {"_context", handle_get_context_member, NULL, NULL, NULL},
    {"_loop", handle_get_loop, NULL, NULL, NULL},
    {"_source_traceback", handle_get_source_traceback, NULL, NULL, NULL},
    {"_when", timer_get_when, NULL, NULL, NULL},
    {"_scheduled", timer_get_scheduled, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef handle_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(handle_doc, "A callback that the loop will run; asyncio.Handle's methods.");
PyDoc_STRVAR(timer_doc,
             "A callback that the loop will run at a time; asyncio.TimerHandle's methods.");

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, (void *)handle_doc},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_repr, handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_getset},
    {Py_tp_members, handle_members},
    {0, NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, (void *)timer_doc},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_repr, handle_repr},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {Py_tp_members, handle_members},
    {Py_tp_hash, timer_hash},
    {Py_tp_richcompare, timer_richcompare},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "camshaft._core.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = handle_slots,
};

static PyType_Spec timer_spec = {
    .name = "camshaft._core.TimerHandle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = timer_slots,
};

int cam_handle_exec(PyObject *module, cam_state *state) {
    state->handle_stock = PyMem_Calloc(1, sizeof(cam_handle_stock));
    if (state->handle_stock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (CamState_AddType(module, &handle_spec, NULL, 1, &state->handle_type) < 0 ||
        CamState_AddType(module, &timer_spec, NULL, 1, &state->timer_type) < 0) {
        return -1;
    }
    PyObject *events = PyImport_ImportModule("asyncio.events");
    if (events == NULL) {
        return -1;
    }
    state->asyncio_handle = PyObject_GetAttrString(events, "Handle");
    state->asyncio_timer_handle = PyObject_GetAttrString(events, "TimerHandle");
    state->asyncio_shared_handle = PyObject_HasAttrString(events, "_ThreadSafeHandle")
                                       ? PyObject_GetAttrString(events, "_ThreadSafeHandle")
                                       : Py_XNewRef(state->asyncio_handle);
    Py_DECREF(events);
    if (state->asyncio_handle == NULL || state->asyncio_timer_handle == NULL ||
        state->asyncio_shared_handle == NULL) {
        return -1;
    }
    PyObject *helpers = PyImport_ImportModule("asyncio.format_helpers");
    if (helpers == NULL) {
        return -1;
    }
    state->extract_stack = PyObject_GetAttrString(helpers, "extract_stack");
    state->format_callback = PyObject_GetAttrString(helpers, "_format_callback_source");
    Py_DECREF(helpers);
    return state->extract_stack && state->format_callback ? 0 : -1;
}
