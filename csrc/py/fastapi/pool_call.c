/* SPDX-License-Identifier: MIT */
/*
 * One call, as what is awaited: the steps of AnyIO's run_sync_in_worker_thread() in its order.
 *
 * It yields where AnyIO does: at the checkpoint, where the limiter makes a task wait even if it has
 * tokens, and on a future. Only a cancel scope that nothing could cancel (a task that is in none)
 * is left out.
 */
#include "fastapi/pool_parts.h"

#include "compat.h"
#include "coroutine.h"
#include "loop/task_layout.h"

PyObject *CamPool_Run(cam_state *state, PyObject *func, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames) {
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    Py_ssize_t count = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyTypeObject *type = (PyTypeObject *)state->fastapi.pool->call_type;
    ThreadCallObject *self = (ThreadCallObject *)type->tp_alloc(type, count + 1);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->func = Py_NewRef(func);
    self->kwnames = Py_XNewRef(kwnames);
    self->nargs = nargs;
    for (Py_ssize_t i = 0; i < count; i++) {
        self->stack[i + 1] = Py_NewRef(args[i]);
    }
    return (PyObject *)self;
}

/* ---- in the worker's thread ---- */

bool CamPool_IsStock(cam_state *state, PyObject *future) {
    return state->drives_tasks && Py_TYPE(future) == (PyTypeObject *)state->stock_future;
}

/* future.cancelled(): 1, 0, -1. */
static int is_cancelled(cam_state *state, PyObject *future) {
    if (CamPool_IsStock(state, future)) {
        return ((CamStockFuture *)future)->status == CAM_STOCK_CANCELLED;
    }
    PyObject *answer = PyObject_CallMethodNoArgs(future, state->str_cancelled);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

static PyObject *call_function(ThreadCallObject *call) {
    if (PyContext_Enter(call->context) < 0) {
        return NULL;
    }
    PyObject *result =
        PyObject_Vectorcall(call->func, call->stack + 1,
                            (size_t)call->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, call->kwnames);
    PyObject *exception = result ? NULL : PyErr_GetRaisedException();
    (void)PyContext_Exit(call->context);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return result;
}

void CamThreadCall_Work(ThreadCallObject *call, PyObject *names) {
    cam_pool_state *pool = call->state->fastapi.pool;
    int cancelled = is_cancelled(call->state, call->future);
    if (cancelled == 0) {
        PyObject *scope = call->scope ? call->scope : Py_None;
        PyObject *result = NULL;
        if (PyDict_SetItem(names, pool->str_current_cancel_scope, scope) == 0) {
            result = call_function(call);
            PyObject *exception = result ? NULL : PyErr_GetRaisedException();
            if (PyDict_DelItem(names, pool->str_current_cancel_scope) < 0) {
                PyErr_Clear(); /* the function has seen to that */
            }
            if (exception != NULL) {
                PyErr_SetRaisedException(exception);
            }
        }
        call->result = result;
        cancelled = result ? 0 : -1;
    }
    if (cancelled < 0) {
        call->exception = PyErr_GetRaisedException();
    }
    Py_CLEAR(call->context);
}

/* ---- on the loop's thread ---- */

int CamPool_Wake(cam_state *state, PyObject *future) {
    if (CamPool_IsStock(state, future)) {
        if (((CamStockFuture *)future)->status != CAM_STOCK_PENDING) {
            return 0;
        }
    } else {
        PyObject *answer = PyObject_CallMethodNoArgs(future, state->str_done);
        int done = answer ? PyObject_IsTrue(answer) : -1;
        Py_XDECREF(answer);
        if (done != 0) {
            return done < 0 ? -1 : 0;
        }
    }
    PyObject *answer = PyObject_CallMethodOneArg(future, state->str_set_result, Py_None);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

int CamThreadCall_Tell(ThreadCallObject *call) {
    if (call->future == NULL) { /* closed meanwhile */
        return 0;
    }
    PyObject *future = Py_NewRef(call->future);
    int status = CamPool_Wake(call->state, future);
    Py_DECREF(future);
    return status;
}

/* Calls a method of a cancel scope or the limiter's while `error` may be on its way: an error of
 * their own takes its place, as in a with statement. Steals and returns what is on its way. */
static PyObject *chain(PyObject *error, int status) {
    if (status == 0) {
        return error;
    }
    PyObject *newer = PyErr_GetRaisedException();
    if (error != NULL) {
        PyException_SetContext(newer, error);
    }
    return newer;
}

/* shield.__exit__(...); 0 or -1. Steals the shield. */
static int exit_shield(cam_state *state, PyObject *shield, PyObject *error) {
    PyObject *type = error ? (PyObject *)Py_TYPE(error) : Py_None;
    PyObject *traceback = error ? PyException_GetTraceback(error) : NULL;
    PyObject *answer =
        PyObject_CallMethodObjArgs(shield, state->fastapi.pool->str___exit__, type,
                                   error ? error : Py_None, traceback ? traceback : Py_None, NULL);
    Py_XDECREF(traceback);
    Py_XDECREF(answer);
    Py_DECREF(shield);
    return answer ? 0 : -1;
}

/* Leaves the shield and gives the token back, whatever comes of it; an exception that is set stays
 * set, or has another after it. Afterwards the call refers to nothing but its outcome. */
static void leave(ThreadCallObject *self) {
    cam_state *state = self->state;
    PyObject *error = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    self->stage = CAM_CALL_ENDED;
    PyObject *shield = self->shield;
    self->shield = NULL;
    if (shield != NULL) {
        error = chain(error, exit_shield(state, shield, error));
    }
    TokenWaitObject *wait = self->wait;
    self->wait = NULL;
    if (wait != NULL) {
        error = chain(error, CamPool_Unqueue(state, self->limiter, self->task, wait));
        Py_DECREF(wait);
    }
    if (self->borrowed) {
        self->borrowed = false;
        error = chain(error, CamPool_Return(state, self->limiter, self->task));
    }
    Py_CLEAR(self->limiter);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->task);
    Py_CLEAR(self->loop);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
}

/* Drops what was to be called; a worker that has not come to that yet holds none of it, so that
 * only who awaits does this, once the call is over. */
static void forget_function(ThreadCallObject *self) {
    Py_CLEAR(self->func);
    Py_CLEAR(self->kwnames);
    for (Py_ssize_t i = 1; i < Py_SIZE(self); i++) {
        Py_CLEAR(self->stack[i]);
    }
    Py_CLEAR(self->scope);
    Py_CLEAR(self->future);
}

/* RuntimeError("coroutine raised StopIteration") from the exception, which it steals. */
static PyObject *convert_stop(PyObject *stop) {
    PyObject *error =
        PyObject_CallFunction(PyExc_RuntimeError, "s", "coroutine raised StopIteration");
    if (error == NULL) {
        Py_DECREF(stop);
        return PyErr_GetRaisedException();
    }
    PyException_SetCause(error, stop);
    return error;
}

static PySendResult finish(ThreadCallObject *self, PyObject **result) {
    PyObject *value = self->result;
    PyObject *exception = self->exception;
    if (value == NULL && exception == NULL) { /* stepped by somebody who did not wait */
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        leave(self);
        return PYGEN_ERROR;
    }
    self->result = self->exception = NULL;
    if (exception != NULL) {
        if (PyErr_GivenExceptionMatches(exception, PyExc_StopIteration)) {
            exception = convert_stop(exception);
        }
        /* Not as one that was only fetched: this gives it the context of what is handled now. */
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
    leave(self);
    exception = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    forget_function(self);
    if (exception != NULL) {
        Py_XDECREF(value);
        PyErr_SetRaisedException(exception);
        return PYGEN_ERROR;
    }
    *result = value;
    return PYGEN_RETURN;
}

/* Has the task wait for one more turn. */
static PySendResult pass(ThreadCallObject *self, CamCallStage stage, PyObject **result) {
    self->stage = stage;
    *result = Py_NewRef(Py_None);
    return PYGEN_NEXT;
}

static PySendResult fail(ThreadCallObject *self) {
    leave(self);
    return PYGEN_ERROR;
}

/* The task is in a cancel scope: `scope`, a new reference, becomes the parent of a shield. */
static int enter_shield(ThreadCallObject *self, PyObject *scope) {
    cam_pool_state *pool = self->state->fastapi.pool;
    PyObject *stack[] = {NULL, Py_True};
    PyObject *shield = PyObject_Vectorcall(pool->cancel_scope, stack + 1,
                                           PY_VECTORCALL_ARGUMENTS_OFFSET, pool->kw_shield);
    PyObject *entered = shield ? PyObject_CallMethodNoArgs(shield, pool->str___enter__) : NULL;
    if (entered == NULL) {
        Py_XDECREF(shield);
        Py_DECREF(scope);
        return -1;
    }
    Py_DECREF(entered);
    self->shield = shield;
    Py_XSETREF(self->scope, scope);
    return 0;
}

/* Enters a shield if the task is in a cancel scope now. */
static int shield_task(ThreadCallObject *self) {
    PyObject *scope;
    if (CamPool_ScopeOf(self->state, self->task, &scope) < 0) {
        return -1;
    }
    return scope ? enter_shield(self, scope) : 0;
}

static PyObject *new_future(ThreadCallObject *self) {
    cam_state *state = self->state;
    if (CamLoop_Check(state, self->loop)) {
        return CamLoop_CreateFuture((LoopObject *)self->loop);
    }
    return PyObject_CallMethodNoArgs(self->loop, state->str_create_future);
}

/* In a copy of the task's context, in which sniffio finds no asynchronous library. */
static PyObject *new_context(cam_state *state) {
    PyObject *context = PyContext_CopyCurrent();
    PyObject *variable = state->fastapi.pool->library_var;
    if (context == NULL || variable == Py_None) {
        return context;
    }
    PyObject *token = NULL;
    if (PyContext_Enter(context) == 0) {
        token = PyContextVar_Set(variable, Py_None);
        PyObject *exception = token ? NULL : PyErr_GetRaisedException();
        (void)PyContext_Exit(context);
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
    }
    if (token == NULL) {
        Py_CLEAR(context);
    }
    Py_XDECREF(token);
    return context;
}

/* Has the task wait for the future. */
static PySendResult suspend(ThreadCallObject *self, CamCallStage stage, PyObject **result) {
    cam_state *state = self->state;
    self->stage = stage;
    PyObject *future = Py_NewRef(self->future);
    if (CamPool_IsStock(state, future)) {
        ((CamStockFuture *)future)->blocking = 1;
    } else if (PyObject_SetAttr(future, state->str__asyncio_future_blocking, Py_True) < 0) {
        Py_DECREF(future);
        return fail(self);
    }
    *result = future;
    return PYGEN_NEXT;
}

/* Has a token: gives the call to a thread and waits for it. */
static PySendResult submit(ThreadCallObject *self, PyObject **result) {
    cam_state *state = self->state;
    self->future = new_future(self);
    self->context = self->future ? new_context(state) : NULL;
    if (self->context == NULL || CamPool_Submit(state, self) < 0) {
        return fail(self);
    }
    return suspend(self, CAM_CALL_SUBMITTED, result);
}

/* There is no token: waits for one, as the last. */
static PySendResult queue_up(ThreadCallObject *self, PyObject **result) {
    self->future = new_future(self);
    if (self->future == NULL) {
        return fail(self);
    }
    self->wait = CamPool_Queue(self->state, self->limiter, self->task, self->future);
    return self->wait ? suspend(self, CAM_CALL_QUEUED, result) : fail(self);
}

/* Was woken: there is a token, and no further turn to wait for. */
static PySendResult leave_queue(ThreadCallObject *self, PyObject **result) {
    if (CamPool_Granted(self->state, self->limiter, self->task, self->wait) < 0) {
        return fail(self);
    }
    Py_CLEAR(self->wait);
    Py_CLEAR(self->future);
    self->borrowed = true;
    return shield_task(self) < 0 ? fail(self) : submit(self, result);
}

static PySendResult step_inner(ThreadCallObject *self, PyObject *value, PyObject **result);

static PySendResult delegate(ThreadCallObject *self, PyObject **result) {
    PyObject *run = self->state->fastapi.pool->run_by_anyio;
    Py_ssize_t count = Py_SIZE(self);
    PyObject **stack = PyMem_New(PyObject *, (size_t)count + 1);
    if (stack == NULL) {
        PyErr_NoMemory();
        return fail(self);
    }
    stack[0] = NULL;
    stack[1] = self->func;
    for (Py_ssize_t i = 1; i < count; i++) {
        stack[i + 1] = self->stack[i];
    }
    self->inner = PyObject_Vectorcall(
        run, stack + 1, (size_t)(self->nargs + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, self->kwnames);
    PyMem_Free(stack);
    if (self->inner == NULL) {
        return fail(self);
    }
    self->stage = CAM_CALL_DELEGATED;
    return step_inner(self, Py_None, result);
}

/* Past the checkpoint: is the task cancelled, and is there a token? */
static PySendResult acquire(ThreadCallObject *self, PyObject **result) {
    cam_state *state = self->state;
    PyObject *scope;
    if (CamPool_ScopeOf(state, self->task, &scope) < 0) {
        return fail(self);
    }
    int cancelled = scope ? CamPool_IsCancelled(state, scope) : 0;
    Py_XDECREF(scope);
    if (cancelled != 0) { /* the scope will throw CancelledError into one of the turns to come */
        return cancelled < 0 ? fail(self) : pass(self, CAM_CALL_CHECKPOINT, result);
    }
    bool known;
    PyObject *limiter = CamPool_Limiter(state, self->loop, &known);
    if (limiter == NULL) {
        return fail(self);
    }
    if (!known) {
        Py_DECREF(limiter);
        return delegate(self, result);
    }
    self->limiter = limiter;
    int borrowed = CamPool_Borrow(state, limiter, self->task);
    if (borrowed > 0) {
        self->borrowed = true;
        return shield_task(self) < 0 ? fail(self) : pass(self, CAM_CALL_TOKEN, result);
    }
    return borrowed == 0 ? queue_up(self, result) : fail(self);
}

static PySendResult step_inner(ThreadCallObject *self, PyObject *value, PyObject **result) {
    PyObject *inner = Py_NewRef(self->inner);
    PySendResult outcome = PyIter_Send(inner, value, result);
    Py_DECREF(inner);
    if (outcome != PYGEN_NEXT) {
        leave(self);
        if (outcome == PYGEN_RETURN) {
            forget_function(self);
        }
    }
    return outcome;
}

static PySendResult begin(ThreadCallObject *self, PyObject **result) {
    cam_state *state = self->state;
    int known = CamPool_KnowsAnyio(state);
    if (known < 0) {
        return fail(self);
    }
    if (!PyCallable_Check(self->func)) {
        PyErr_SetString(PyExc_TypeError, "the first argument must be callable");
        return fail(self);
    }
    if (known > 0) {
        self->loop = PyObject_CallNoArgs(state->fastapi.pool->running_loop);
        if (self->loop == NULL) {
            return fail(self);
        }
        PyObject *task = self->loop != Py_None ? CamPool_CurrentTask(state, self->loop) : NULL;
        if (task == NULL && PyErr_Occurred()) {
            return fail(self);
        }
        self->task = Py_XNewRef(task);
    }
    /* Without a task it is no asyncio that runs this, but trio perhaps. */
    return self->task == NULL ? delegate(self, result) : pass(self, CAM_CALL_CHECKPOINT, result);
}

static PySendResult call_step(PyObject *op, PyObject *value, PyObject **result) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    *result = NULL;
    switch (self->stage) {
    case CAM_CALL_NEW:
        return begin(self, result);
    case CAM_CALL_CHECKPOINT:
        return acquire(self, result);
    case CAM_CALL_TOKEN:
        return submit(self, result);
    case CAM_CALL_SUBMITTED:
        return finish(self, result);
    case CAM_CALL_QUEUED:
        return leave_queue(self, result);
    case CAM_CALL_DELEGATED:
        return step_inner(self, value, result);
    case CAM_CALL_ENDED:
        break;
    }
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited run_in_thread()");
    return PYGEN_ERROR;
}

/* ---- as a coroutine for Python code ---- */

static PyObject *call_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    Py_INCREF(op);
    PyObject *result = NULL;
    PySendResult outcome = PYGEN_ERROR;
    if (self->stage == CAM_CALL_ENDED) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited run_in_thread()");
    } else {
        outcome = CamCoroutine_Throw(self->inner, self->state->str_throw, args, nargs, &result);
        if (outcome != PYGEN_NEXT) {
            leave(self);
        }
    }
    PyObject *given = CamCoroutine_Result(outcome, result);
    Py_DECREF(op);
    return given;
}

/* Ends a call whose outcome nobody wants any more. 0, or -1 with an exception. */
static int end(ThreadCallObject *self) {
    PyObject *answer = Py_None;
    if (self->inner != NULL) {
        answer = PyObject_CallMethodNoArgs(self->inner, self->state->str_close);
        Py_XDECREF(answer);
    }
    leave(self);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *call_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    Py_INCREF(op);
    int status = self->stage == CAM_CALL_ENDED ? 0 : end(self);
    Py_DECREF(op);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the object ---- */

static int call_traverse(PyObject *op, visitproc visit, void *arg) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->func);
    Py_VISIT(self->kwnames);
    Py_VISIT(self->loop);
    Py_VISIT(self->task);
    Py_VISIT(self->limiter);
    Py_VISIT(self->wait);
    Py_VISIT(self->shield);
    Py_VISIT(self->scope);
    Py_VISIT(self->context);
    Py_VISIT(self->future);
    Py_VISIT(self->inner);
    Py_VISIT(self->result);
    Py_VISIT(self->exception);
    for (Py_ssize_t i = 1; i < Py_SIZE(self); i++) {
        Py_VISIT(self->stack[i]);
    }
    return 0;
}

static int call_clear(PyObject *op) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    self->stage = CAM_CALL_ENDED;
    forget_function(self);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->task);
    Py_CLEAR(self->limiter);
    Py_CLEAR(self->wait);
    Py_CLEAR(self->shield);
    Py_CLEAR(self->context);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->result);
    Py_CLEAR(self->exception);
    return 0;
}

/* Let go of while suspended: gives the token back. */
static void call_finalize(PyObject *op) {
    ThreadCallObject *self = (ThreadCallObject *)op;
    if (self->shield == NULL && !self->borrowed && self->wait == NULL && self->inner == NULL) {
        return;
    }
    PyObject *exception = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    if (end(self) < 0) {
        PyErr_WriteUnraisable(op);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

static void call_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;
    }
    PyObject_GC_UnTrack(op);
    (void)call_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef call_methods[] = {
    {"send", CamCoroutine_Send, METH_O, "As a coroutine's."},
    {"throw", FAST(call_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", call_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, (void *)"What run_in_thread() returns."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_finalize, call_finalize},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_methods, call_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, CamCoroutine_Next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, call_step},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "camshaft._core.ThreadCall",
    .basicsize = offsetof(ThreadCallObject, stack),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

PyDoc_STRVAR(run_in_thread_doc,
             "run_in_thread(func, /, *args, **kwargs)\n--\n\n"
             "Await func(*args, **kwargs), run in a worker thread.\n\n"
             "In all that can be seen starlette.concurrency.run_in_threadpool(): it takes a token "
             "of AnyIO's\ndefault limiter, and its threads are like AnyIO's.");

static PyObject *run_in_thread(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "run_in_thread() takes a function");
        return NULL;
    }
    return CamPool_Run(PyModule_GetState(module), args[0], args + 1, (size_t)nargs - 1, kwnames);
}

static PyMethodDef functions[] = {
    {"run_in_thread", FAST(run_in_thread), METH_FASTCALL | METH_KEYWORDS, run_in_thread_doc},
    {NULL},
};

int cam_thread_call_exec(PyObject *module, cam_state *state) {
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    if (cam_token_wait_exec(module, state) < 0) {
        return -1;
    }
    return CamState_AddType(module, &call_spec, NULL, 0, &state->fastapi.pool->call_type);
}
