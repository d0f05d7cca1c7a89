/* SPDX-License-Identifier: MIT */
#include "asgi/cycle.h"

#include "compat.h"
#include "coroutine.h"
#include "asgi/channel.h"
#include "asgi/response.h"
#include "asgi/scope.h"
#include "asgi/wait.h"
#include "loop/task.h"

/* ---- the life of a request ---- */

CycleObject *CamCycle_New(HttpProtocolObject *connection, const cam_h1_request *request) {
    cam_state *state = connection->state;
    const cam_asgi_constants *c = &state->asgi;
    PyObject *scope = CamScope_New(connection, request);
    if (scope == NULL) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)c->cycle_type;
    CycleObject *self = (CycleObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(scope);
        return NULL;
    }
    self->state = state;
    self->server = (HttpServerObject *)Py_NewRef(connection->server);
    self->connection = (HttpProtocolObject *)Py_NewRef(connection);
    self->scope = scope;
    self->minor_version = request->minor_version == 1;
    self->is_head = request->method.len == 4 && memcmp(request->method.ptr, "HEAD", 4) == 0;
    self->more_body = !cam_h1_has_no_body(request);
    self->awaits_100 = (request->flags & CAM_H1_EXPECT_CONTINUE) != 0;
    self->keep_alive = (request->flags & CAM_H1_KEEP_ALIVE) != 0;
    self->peer_gone = connection->eof; /* sent before the end, begun only now */
    if (self->server->access_log != NULL) {
        self->method = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_method));
        self->path = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_path));
        self->query_string = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_query_string));
    }
    return self;
}

/* The task by create_task(), which may be anybody's. */
static PyObject *create_task(CycleObject *self) {
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
static PyObject *drive_task(CycleObject *self, LoopObject *loop) {
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

int CamCycle_Start(CycleObject *self) {
    HttpServerObject *server = self->server;
    CamServer_AddCycle(server, self);
    PyObject *task =
        CamLoop_Check(self->state, server->loop) && CamLoop_DrivesTasks((LoopObject *)server->loop)
            ? drive_task(self, (LoopObject *)server->loop)
            : create_task(self);
    if (task == NULL) {
        self->run = CAM_RUN_ENDED;
        CamServer_RemoveCycle(server, self);
        return -1;
    }
    if (self->run == CAM_RUN_ENDED) {
        Py_DECREF(task);
    } else {
        Py_XSETREF(self->task, task);
    }
    return 0;
}

void CamCycle_Detach(CycleObject *self) {
    HttpProtocolObject *connection = self->connection;
    self->connection = NULL;
    CamCycle_Wake(self);
    Py_XDECREF(connection);
}

void CamCycle_Wake(CycleObject *self) {
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
static void end_run(CycleObject *self) {
    self->run = CAM_RUN_ENDED;
    CamServer_RemoveCycle(self->server, self);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->task);
}

/* The application did not do its part: 500 if that can still be said, else the connection ends in
 * a way that a half-sent answer is not taken for a whole one. */
static void make_good(CycleObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_XNewRef(self->connection);
    if (connection == NULL) {
        return;
    }
    int result;
    if (self->answer < CAM_ANSWER_BEGUN) {
        result = CamResponse_WriteFailure(self);
    } else if (self->chunked || self->has_length) {
        result = CamTransport_Close(self->state, connection->transport);
    } else {
        result = CamTransport_Abort(self->state, connection->transport);
    }
    if (result < 0) {
        PyErr_WriteUnraisable((PyObject *)connection);
    }
    Py_DECREF(connection);
}

/* The application has returned `value`. */
static void returned(CycleObject *self, PyObject *value) {
    PyObject *error = self->state->asgi.str_error;
    if (value != Py_None) {
        PyObject *text =
            PyUnicode_FromFormat("ASGI callable should return None, but returned '%S'.", value);
        const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
        if (utf8 == NULL) {
            PyErr_Clear();
            utf8 = "ASGI callable should return None.";
        }
        CamServer_Log(self->server, error, utf8, NULL);
        Py_XDECREF(text);
        make_good(self);
    } else if (self->connection == NULL) {
        return; /* all is said, or nobody listens */
    } else if (self->peer_gone) {
        /* Very likely the application has heard of it and given up. */
        if (CamTransport_Close(self->state, self->connection->transport) < 0) {
            PyErr_WriteUnraisable(self->server->app);
        }
    } else if (self->answer == CAM_ANSWER_NONE) {
        CamServer_Log(self->server, error, "ASGI callable returned without starting response.",
                      NULL);
        make_good(self);
    } else {
        CamServer_Log(self->server, error, "ASGI callable returned without completing response.",
                      NULL);
        make_good(self);
    }
}

/* The application has raised what is set. Returns whether the task shall end with that too: it
 * must know that it was cancelled, and an interrupt is for the whole process. */
static bool failed(CycleObject *self) {
    PyObject *exception = PyErr_GetRaisedException();
    CamServer_Log(self->server, self->state->asgi.str_error, "Exception in ASGI application\n",
                  exception);
    make_good(self);
    if (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt) ||
        PyErr_GivenExceptionMatches(exception, self->state->asgi.cancelled_error)) {
        PyErr_SetRaisedException(exception);
        return true;
    }
    Py_DECREF(exception);
    return false;
}

/* Calls the application: what is to be stepped, or NULL with an exception. */
static PyObject *call_application(CycleObject *self) {
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
        PyObject_Vectorcall(self->server->app, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(scope);
    Py_DECREF(receive);
    Py_DECREF(send);
    if (awaitable == NULL || PyCoro_CheckExact(awaitable)) {
        return awaitable;
    }
    PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
    PyObject *inner = NULL;
    if (methods != NULL && methods->am_await != NULL) {
        inner = methods->am_await(awaitable);
        if (inner != NULL && !PyIter_Check(inner)) {
            PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'",
                         Py_TYPE(inner)->tp_name);
            Py_CLEAR(inner);
        }
    } else {
        PyErr_Format(PyExc_TypeError, "the ASGI application must return an awaitable, not '%.100s'",
                     Py_TYPE(awaitable)->tp_name);
    }
    Py_DECREF(awaitable);
    return inner;
}

/* 0 when a step may be made now, else -1 with an exception, as a coroutine's. */
static int check_step(const CycleObject *self) {
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return -1;
    }
    if (self->run == CAM_RUN_ENDED) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return -1;
    }
    return 0;
}

/* What a step of the application came to, as a step of ours. *result is the yielded or returned
 * value, and becomes None when the application has ended in any way. */
static PySendResult conclude(CycleObject *self, PySendResult outcome, PyObject **result) {
    if (outcome == PYGEN_NEXT) {
        return PYGEN_NEXT;
    }
    bool raise = false;
    if (outcome == PYGEN_RETURN) {
        returned(self, *result);
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

static PySendResult cycle_step(PyObject *op, PyObject *value, PyObject **result) {
    CycleObject *self = (CycleObject *)op;
    *result = NULL;
    if (check_step(self) < 0) {
        return PYGEN_ERROR;
    }
    Py_INCREF(self);
    self->running = true;
    PySendResult outcome = PYGEN_ERROR;
    if (self->run == CAM_RUN_NEW) {
        self->run = CAM_RUN_ACTIVE;
        self->inner = call_application(self);
    }
    if (self->inner != NULL) {
        PyObject *inner = Py_NewRef(self->inner);
        outcome = PyIter_Send(inner, value, result);
        Py_DECREF(inner);
    }
    outcome = conclude(self, outcome, result);
    self->running = false;
    Py_DECREF(self);
    return outcome;
}

static PyObject *cycle_send(PyObject *op, PyObject *value) {
    PyObject *result;
    PySendResult outcome = cycle_step(op, value, &result);
    if (outcome != PYGEN_RETURN) {
        return outcome == PYGEN_NEXT ? result : NULL;
    }
    Py_DECREF(result); /* None */
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *cycle_next(PyObject *op) {
    return cycle_send(op, Py_None);
}

/* Throws into the application, or ends the request if it has not begun. Sets *result. */
static PySendResult throw_inside(CycleObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject **result) {
    PyObject *throw = NULL;
    if (self->inner != NULL) {
        throw = PyObject_GetAttr(self->inner, self->state->asgi.str_throw);
        if (throw == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear(); /* an iterator need not have it */
        }
    }
    if (throw == NULL) {
        if (!PyErr_Occurred()) {
            CamCoroutine_Raise(args, nargs);
        }
        return PYGEN_ERROR;
    }
    *result = PyObject_Vectorcall(throw, args, (size_t)nargs, NULL);
    Py_DECREF(throw);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyObject *stop = PyErr_GetRaisedException();
    *result = Py_NewRef(((PyStopIterationObject *)stop)->value);
    Py_DECREF(stop);
    return PYGEN_RETURN;
}

static PyObject *cycle_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    CycleObject *self = (CycleObject *)op;
    if (check_step(self) < 0) {
        return NULL;
    }
    Py_INCREF(self);
    self->running = true;
    self->run = CAM_RUN_ACTIVE;
    PyObject *result = NULL;
    PySendResult outcome = conclude(self, throw_inside(self, args, nargs, &result), &result);
    self->running = false;
    Py_DECREF(self);
    if (outcome != PYGEN_RETURN) {
        return outcome == PYGEN_NEXT ? result : NULL;
    }
    Py_DECREF(result); /* None */
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *cycle_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    CycleObject *self = (CycleObject *)op;
    if (self->run == CAM_RUN_ENDED) {
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
static PyObject *cycle_getattro(PyObject *op, PyObject *name) {
    PyObject *value = PyObject_GenericGetAttr(op, name);
    if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return value;
    }
    PyObject *inner = Py_XNewRef(((CycleObject *)op)->inner);
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

static int cycle_traverse(PyObject *op, visitproc visit, void *arg) {
    CycleObject *self = (CycleObject *)op;
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

static int cycle_clear(PyObject *op) {
    CycleObject *self = (CycleObject *)op;
    while (self->waits != NULL) {
        CamWait_Forget(self->waits);
    }
    Py_CLEAR(self->scope);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->task);
    Py_CLEAR(self->connection);
    return 0;
}

static void cycle_dealloc(PyObject *op) {
    CycleObject *self = (CycleObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    CamServer_RemoveCycle(self->server, self);
    (void)cycle_clear(op);
    Py_CLEAR(self->body);
    Py_CLEAR(self->method);
    Py_CLEAR(self->path);
    Py_CLEAR(self->query_string);
    Py_CLEAR(self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef cycle_methods[] = {
    {"send", cycle_send, METH_O, "As a coroutine's."},
    {"throw", FAST(cycle_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", cycle_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyType_Slot cycle_slots[] = {
    {Py_tp_doc, (void *)"The coroutine of one request: runs the application."},
    {Py_tp_dealloc, cycle_dealloc},
    {Py_tp_traverse, cycle_traverse},
    {Py_tp_clear, cycle_clear},
    {Py_tp_methods, cycle_methods},
    {Py_tp_getattro, cycle_getattro},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, cycle_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, cycle_step},
    {0, NULL},
};

static PyType_Spec cycle_spec = {
    .name = "camshaft._core.RequestCycle",
    .basicsize = sizeof(CycleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cycle_slots,
};

int cam_cycle_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &cycle_spec, NULL, 0, &state->asgi.cycle_type);
}
