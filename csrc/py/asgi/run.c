/* SPDX-License-Identifier: MIT */
#include "asgi/run.h"

#include "compat.h"
#include "coroutine.h"
#include "asgi/channel.h"
#include "asgi/host.h"
#include "asgi/wait.h"
#include "loop/task.h"

RunObject *CamRun_New(PyObject *type, const cam_run_kind *kind, HttpProtocolObject *connection,
                      PyObject *scope) {
    RunObject *self = (RunObject *)((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (self == NULL) {
        Py_XDECREF(scope);
        return NULL;
    }
    self->state = connection->state;
    self->kind = kind;
    self->server = (HttpServerObject *)Py_NewRef(connection->server);
    self->connection = (HttpProtocolObject *)Py_NewRef(connection);
    self->app = self->server->app;
    self->scope = scope;
    return self;
}

/* ---- its task ---- */

/* The task by create_task(), which may be anybody's. */
static PyObject *create_task(RunObject *self) {
    HttpServerObject *server = self->server;
    /* Entered, not given to create_task(): that would be a keyword, and task factories written
     * for asyncio may know none. The task copies the context that it is made in. */
    PyObject *context = Py_NewRef(server->context);
    if (PyContext_Enter(context) < 0) {
        /* Entered already: an application's eager task has brought us here. */
        PyErr_Clear();
        Py_SETREF(context, PyContext_Copy(context));
        if (context == NULL || PyContext_Enter(context) < 0) {
            Py_XDECREF(context);
            return NULL;
        }
    }
    PyObject *task = PyObject_CallMethodOneArg(server->loop, self->state->asgi.str_create_task,
                                               (PyObject *)self);
    PyObject *error = task ? NULL : PyErr_GetRaisedException();
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(task);
        if (error != NULL) {
            PyErr_Clear();
        }
    }
    Py_DECREF(context);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
    return task;
}

/* The task as our own loop makes it. */
static PyObject *drive_task(RunObject *self, LoopObject *loop) {
    PyObject *context = PyContext_Copy(self->server->context);
    if (context == NULL) {
        return NULL;
    }
    PyObject *task = CamLoop_CheckUsable(loop) < 0
                         ? NULL
                         : CamTask_New(loop, (PyObject *)self, NULL, context, true);
    Py_DECREF(context);
    return task;
}

int CamRun_Start(RunObject *self) {
    HttpServerObject *server = self->server;
    CamServer_AddRun(server, self);
    PyObject *task =
        CamLoop_Check(self->state, server->loop) && CamLoop_DrivesTasks((LoopObject *)server->loop)
            ? drive_task(self, (LoopObject *)server->loop)
            : create_task(self);
    if (task == NULL) {
        self->stage = CAM_RUN_ENDED;
        CamServer_RemoveRun(server, self);
        return -1;
    }
    if (self->stage == CAM_RUN_ENDED) {
        Py_DECREF(task);
    } else {
        Py_XSETREF(self->task, task);
        if (server->host != NULL) {
            CamHost_AddTask(server->host, task);
        }
    }
    return 0;
}

void CamRun_Detach(RunObject *self) {
    HttpProtocolObject *connection = self->connection;
    self->connection = NULL;
    CamRun_Wake(self);
    Py_XDECREF(connection);
}

void CamRun_Wake(RunObject *self) {
    if (self->waits == NULL) {
        return;
    }
    Py_INCREF(self);
    while (self->waits != NULL) {
        WaitObject *wait = (WaitObject *)Py_NewRef(self->waits);
        CamWait_Wake(wait);
        Py_DECREF(wait);
    }
    Py_DECREF(self);
}

/* ---- its coroutine ---- */

/* The coroutine has ended: lets go of what only it needed. */
static void end_run(RunObject *self) {
    self->stage = CAM_RUN_ENDED;
    CamServer_RemoveRun(self->server, self);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->scope);
    if (self->server->host != NULL && self->task != NULL) {
        CamHost_RemoveTask(self->server->host, self->task);
    }
    Py_CLEAR(self->task);
}

/* The application has raised what is set. Returns whether the task shall end with that too: it
 * must know that it was cancelled, and an interrupt is for the whole process. */
static bool failed(RunObject *self) {
    PyObject *exception = PyErr_GetRaisedException();
    self->kind->failed(self, exception);
    if (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt) ||
        PyErr_GivenExceptionMatches(exception, self->state->asgi.cancelled_error)) {
        PyErr_SetRaisedException(exception);
        return true;
    }
    Py_DECREF(exception);
    return false;
}

/* Calls the application: what is to be stepped, or NULL with an exception. */
static PyObject *call_application(RunObject *self) {
    PyObject *receive = CamChannel_NewReceive(self);
    PyObject *send = receive ? CamChannel_NewSend(self) : NULL;
    if (send == NULL) {
        Py_XDECREF(receive);
        return NULL;
    }
    PyObject *scope = self->scope;
    self->scope = NULL;
    PyObject *stack[] = {NULL, scope, receive, send};
    PyObject *awaitable =
        PyObject_Vectorcall(self->app, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(scope);
    Py_DECREF(receive);
    Py_DECREF(send);
    PyAsyncMethods *methods = awaitable ? Py_TYPE(awaitable)->tp_as_async : NULL;
    if (awaitable != NULL && (methods == NULL || methods->am_await == NULL)) {
        PyErr_Format(PyExc_TypeError, "the ASGI application must return an awaitable, not '%.100s'",
                     Py_TYPE(awaitable)->tp_name);
        Py_CLEAR(awaitable);
    }
    return CamCoroutine_Iterator(awaitable);
}

/* What a step of the application came to, as a step of ours. *result is the yielded or returned
 * value, and becomes None when the application has ended in any way. */
static PySendResult conclude(RunObject *self, PySendResult outcome, PyObject **result) {
    if (outcome == PYGEN_NEXT) {
        if (self->kind->suspended != NULL) {
            self->kind->suspended(self);
        }
        return PYGEN_NEXT;
    }
    bool raise = false;
    if (outcome == PYGEN_RETURN) {
        self->kind->returned(self, *result);
        Py_CLEAR(*result);
    } else {
        raise = failed(self);
    }
    PyObject *error = raise ? PyErr_GetRaisedException() : NULL;
    end_run(self);
    if (raise) {
        PyErr_SetRaisedException(error);
        *result = NULL;
        return PYGEN_ERROR;
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

PySendResult CamRun_Step(PyObject *op, PyObject *value, PyObject **result) {
    RunObject *self = (RunObject *)op;
    *result = NULL;
    if (CamCoroutine_CheckStep(self->running, self->stage == CAM_RUN_ENDED) < 0) {
        return PYGEN_ERROR;
    }
    Py_INCREF(self);
    self->running = true;
    PySendResult outcome = PYGEN_ERROR;
    bool first = self->stage == CAM_RUN_NEW;
    if (first) {
        self->stage = CAM_RUN_ACTIVE;
        self->inner = call_application(self);
    }
    if (self->inner != NULL) {
        PyObject *inner = Py_NewRef(self->inner);
        outcome = PyIter_Send(inner, value, result);
        Py_DECREF(inner);
    }
    outcome = conclude(self, outcome, result);
    if (first && self->connection != NULL) {
        CamHttpProtocol_Release(self->connection); /* it waits: others' answers shall not */
    }
    self->running = false;
    Py_DECREF(self);
    return outcome;
}

static PyObject *run_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    RunObject *self = (RunObject *)op;
    if (CamCoroutine_CheckStep(self->running, self->stage == CAM_RUN_ENDED) < 0) {
        return NULL;
    }
    Py_INCREF(self);
    self->running = true;
    self->stage = CAM_RUN_ACTIVE;
    PyObject *result = NULL;
    PySendResult outcome =
        CamCoroutine_Throw(self->inner, self->state->asgi.str_throw, args, nargs, &result);
    outcome = conclude(self, outcome, &result);
    self->running = false;
    Py_DECREF(self);
    return CamCoroutine_Result(outcome, result);
}

static PyObject *run_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    RunObject *self = (RunObject *)op;
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    if (self->stage == CAM_RUN_ENDED) {
        Py_RETURN_NONE;
    }
    PyObject *inner = Py_XNewRef(self->inner);
    PyObject *result = Py_NewRef(Py_None);
    if (inner != NULL) {
        Py_SETREF(result, PyObject_CallMethodNoArgs(inner, self->state->asgi.str_close));
        Py_DECREF(inner);
    }
    end_run(self);
    return result;
}

/* What inspect, Task.get_stack() and debuggers ask a coroutine for is the application's. Before
 * it runs and afterwards there is none, and the answers are those of a coroutine at rest. */
static PyObject *run_getattro(PyObject *op, PyObject *name) {
    PyObject *value = PyObject_GenericGetAttr(op, name);
    if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return value;
    }
    PyObject *inner = Py_XNewRef(((RunObject *)op)->inner);
    if (inner != NULL) {
        PyErr_Clear();
        value = PyObject_GetAttr(inner, name);
        Py_DECREF(inner);
    } else if (PyUnicode_CompareWithASCIIString(name, "cr_running") == 0 ||
               PyUnicode_CompareWithASCIIString(name, "cr_suspended") == 0) {
        PyErr_Clear();
        value = Py_NewRef(Py_False);
    } else if (PyUnicode_CompareWithASCIIString(name, "cr_frame") == 0 ||
               PyUnicode_CompareWithASCIIString(name, "cr_await") == 0) {
        PyErr_Clear();
        value = Py_NewRef(Py_None);
    }
    return value;
}

/* ---- the object ---- */

int CamRun_Traverse(PyObject *op, visitproc visit, void *arg) {
    RunObject *self = (RunObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->server);
    Py_VISIT(self->connection);
    Py_VISIT(self->scope);
    Py_VISIT(self->inner);
    Py_VISIT(self->task);
    for (WaitObject *wait = self->waits; wait != NULL; wait = wait->next) {
        Py_VISIT(wait);
    }
    return 0;
}

int CamRun_Clear(PyObject *op) {
    RunObject *self = (RunObject *)op;
    self->stage = CAM_RUN_ENDED; /* it cannot go on with nothing */
    while (self->waits != NULL) {
        CamWait_Forget(self->waits);
    }
    Py_CLEAR(self->scope);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->task);
    Py_CLEAR(self->connection);
    return 0;
}

void CamRun_Free(PyObject *op) {
    RunObject *self = (RunObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    CamServer_RemoveRun(self->server, self);
    (void)CamRun_Clear(op);
    Py_CLEAR(self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

static void run_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    CamRun_Free(op);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef run_methods[] = {
    {"send", CamCoroutine_Send, METH_O, "As a coroutine's."},
    {"throw", FAST(run_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", run_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyType_Slot run_slots[] = {
    {Py_tp_doc, (void *)"The coroutine of one call of the application."},
    {Py_tp_dealloc, run_dealloc},
    {Py_tp_traverse, CamRun_Traverse},
    {Py_tp_clear, CamRun_Clear},
    {Py_tp_methods, run_methods},
    {Py_tp_getattro, run_getattro},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, CamCoroutine_Next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, CamRun_Step},
    {0, NULL},
};

static PyType_Spec run_spec = {
    .name = "camshaft._core.Run",
    .basicsize = sizeof(RunObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = run_slots,
};

int cam_run_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &run_spec, NULL, 0, &state->asgi.run_type);
}
