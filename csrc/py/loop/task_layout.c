/* SPDX-License-Identifier: MIT */
#include "loop/task_layout.h"

#include "compat.h"

#include <stdbool.h>

/* What the objects are filled with. All are strong references, NULL until made. */
typedef struct Probe {
    PyObject *loop; /* has just what the constructors call */
    PyObject *coro;
    PyObject *context;
    PyObject *name;
    PyObject *message;
    PyObject *callback;
    PyObject *error;
} Probe;

/* module.name(*args, **kwargs); steals args and kwargs, either of which may be NULL after a failure
 * to make it. */
static PyObject *call_in(const char *module, const char *name, PyObject *args, PyObject *kwargs) {
    PyObject *result = NULL;
    PyObject *owner = args && kwargs ? PyImport_ImportModule(module) : NULL;
    PyObject *callable = owner ? PyObject_GetAttrString(owner, name) : NULL;
    if (callable != NULL) {
        result = PyObject_Call(callable, args, kwargs);
    }
    Py_XDECREF(callable);
    Py_XDECREF(owner);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

static PyObject *make_loop(void) {
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *partial = functools ? PyObject_GetAttrString(functools, "partial") : NULL;
    Py_XDECREF(functools);
    if (partial == NULL) {
        return NULL;
    }
    /* bool() is False; partial(step, context=...) takes what call_soon() is given, and drops it. */
    PyObject *loop = call_in(
        "types", "SimpleNamespace", PyTuple_New(0),
        Py_BuildValue("{sOsO}", "get_debug", (PyObject *)&PyBool_Type, "call_soon", partial));
    Py_DECREF(partial);
    return loop;
}

static int probe_make(Probe *probe) {
    PyObject *nothing = PyTuple_New(0);
    probe->loop = make_loop();
    /* Any coroutine; it is closed unstarted. */
    probe->coro = call_in("asyncio", "sleep", Py_BuildValue("(i)", 0), PyDict_New());
    probe->context = PyContext_New();
    probe->name = PyUnicode_FromString("layout");
    probe->message = PyUnicode_FromString("message");
    probe->callback = Py_NewRef((PyObject *)&PyDict_Type);
    probe->error = nothing ? PyObject_Call(PyExc_ValueError, nothing, NULL) : NULL;
    Py_XDECREF(nothing);
    return probe->loop && probe->coro && probe->context && probe->name && probe->message &&
                   probe->error
               ? 0
               : -1;
}

static void probe_drop(Probe *probe) {
    if (probe->coro != NULL) {
        PyObject *closed = PyObject_CallMethod(probe->coro, "close", NULL);
        if (closed == NULL) {
            PyErr_Clear();
        }
        Py_XDECREF(closed);
    }
    Py_XDECREF(probe->loop);
    Py_XDECREF(probe->coro);
    Py_XDECREF(probe->context);
    Py_XDECREF(probe->name);
    Py_XDECREF(probe->message);
    Py_XDECREF(probe->callback);
    Py_XDECREF(probe->error);
}

/* object.method(argument), the result dropped; 0 or -1. */
static int call(PyObject *object, const char *method, PyObject *argument) {
    PyObject *result = PyObject_CallMethod(object, method, "O", argument);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* future.add_done_callback(callback, context=context) */
static int add_callback(PyObject *future, const Probe *probe) {
    PyObject *method = PyObject_GetAttrString(future, "add_done_callback");
    PyObject *args = PyTuple_Pack(1, probe->callback);
    PyObject *kwargs = Py_BuildValue("{sO}", "context", probe->context);
    PyObject *result = method && args && kwargs ? PyObject_Call(method, args, kwargs) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* What a new future holds, whichever of the two it is. */
static bool is_fresh(const CamStockFuture *future, const Probe *probe) {
    return future->loop == probe->loop && future->callback0 == NULL && future->context0 == NULL &&
           future->callbacks == NULL && future->exception == NULL &&
           future->exception_traceback == NULL && future->result == NULL &&
           future->source_traceback == NULL && future->cancel_message == NULL &&
           future->cancelled_error == NULL && future->status == CAM_STOCK_PENDING &&
           future->log_traceback == 0 && future->blocking == 0;
}

/* Callbacks, one of each place, the mark of being awaited, and a result. */
static int check_callbacks(cam_state *state, PyObject *object, const Probe *probe) {
    CamStockFuture *future = (CamStockFuture *)object;
    for (int i = 0; i < 2; i++) {
        if (add_callback(object, probe) < 0) {
            return -1;
        }
    }
    if (PyObject_SetAttr(object, state->str__asyncio_future_blocking, Py_True) < 0) {
        return -1;
    }
    if (future->callback0 != probe->callback || future->context0 != probe->context ||
        future->callbacks == NULL || !PyList_CheckExact(future->callbacks) ||
        PyList_GET_SIZE(future->callbacks) != 1 || future->blocking != 1 ||
        future->log_traceback != 0) {
        return 0;
    }
    if (call(object, "remove_done_callback", probe->callback) < 0 ||
        call(object, "set_result", probe->name) < 0) {
        return -1;
    }
    return future->result == probe->name && future->status == CAM_STOCK_FINISHED;
}

/* The message, and the error that is given to the first who asks. */
static int check_cancellation(cam_state *state, PyObject *object, const Probe *probe) {
    CamStockFuture *future = (CamStockFuture *)object;
    if (call(object, "cancel", probe->message) < 0) {
        return -1;
    }
    if (future->cancel_message != probe->message || future->status != CAM_STOCK_CANCELLED ||
        future->cancelled_error != NULL) {
        return 0;
    }
    future->cancelled_error = Py_NewRef(probe->error);
    PyObject *error = PyObject_CallMethodNoArgs(object, state->str__make_cancelled_error);
    if (error == NULL) {
        return -1;
    }
    Py_DECREF(error);
    return error == probe->error && future->cancelled_error == NULL;
}

static int check_future(cam_state *state, const Probe *probe) {
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{sO}", "loop", probe->loop);
    PyObject *objects[3] = {
        NULL}; /* to be given callbacks and a result, an error, a cancellation */
    int good = args && kwargs ? 1 : -1;
    for (int i = 0; good > 0 && i < 3; i++) {
        objects[i] = PyObject_Call(state->stock_future, args, kwargs);
        good = objects[i] ? is_fresh((CamStockFuture *)objects[i], probe) : -1;
    }
    if (good > 0) {
        good = check_callbacks(state, objects[0], probe);
    }
    if (good > 0) {
        CamStockFuture *future = (CamStockFuture *)objects[1];
        good = call(objects[1], "set_exception", probe->error) < 0
                   ? -1
                   : future->exception == probe->error && future->log_traceback == 1 &&
                         future->blocking == 0;
        /* Nobody is to be told of it. */
        if (PyObject_SetAttrString(objects[1], "_log_traceback", Py_False) < 0) {
            good = -1;
        }
    }
    if (good > 0) {
        good = check_cancellation(state, objects[2], probe);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(objects[i]);
    }
    return good;
}

static int check_task(cam_state *state, const Probe *probe) {
    PyObject *args = PyTuple_Pack(1, probe->coro);
    PyObject *kwargs = Py_BuildValue("{sOsOsO}", "loop", probe->loop, "name", probe->name,
                                     "context", probe->context);
    PyObject *object = args && kwargs ? PyObject_Call(state->stock_task, args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    if (object == NULL) {
        return -1;
    }
    CamStockTask *task = (CamStockTask *)object;
    int good = is_fresh((CamStockFuture *)object, probe) && task->coro == probe->coro &&
               task->name == probe->name && task->context == probe->context &&
               task->waits_for == NULL && task->must_cancel == 0 && task->cancels_requested == 0 &&
               task->log_destroy_pending == 1;
    if (PyObject_SetAttrString(object, "_log_destroy_pending", Py_False) < 0 ||
        call(object, "cancel", probe->name) < 0) {
        good = -1;
    }
    if (good > 0 && call(object, "cancel", probe->message) < 0) {
        good = -1;
    }
    if (good > 0) {
        good = task->log_destroy_pending == 0 && task->must_cancel == 1 &&
               task->cancels_requested == 2 && task->cancel_message == probe->message &&
               task->blocking == 0 && task->log_traceback == 0;
    }
    Py_DECREF(object);
    return good;
}

int cam_task_layout_check(cam_state *state) {
    PyTypeObject *future = (PyTypeObject *)state->stock_future;
    PyTypeObject *task = (PyTypeObject *)state->stock_task;
    if (future->tp_basicsize != sizeof(CamStockFuture) ||
        task->tp_basicsize != sizeof(CamStockTask) || task->tp_itemsize != 0) {
        return 0;
    }
#if PY_VERSION_HEX < 0x030D0000
    if (task->tp_dictoffset != offsetof(CamStockTask, dict) ||
        task->tp_weaklistoffset != offsetof(CamStockTask, weakrefs)) {
        return 0;
    }
#endif
    Probe probe = {NULL};
    int good = probe_make(&probe);
    if (good == 0) {
        good = check_future(state, &probe);
    }
    if (good > 0) {
        good = check_task(state, &probe);
    }
    PyObject *error = good < 0 ? PyErr_GetRaisedException() : NULL;
    probe_drop(&probe);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
    return good;
}
