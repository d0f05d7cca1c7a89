/* SPDX-License-Identifier: MIT */
#include "transport/notify.h"

#include "compat.h"

PyObject *CamNotify_Enter(PyObject *context) {
    Py_INCREF(context);
    if (PyContext_Enter(context) == 0) {
        return context;
    }
    PyErr_Clear();
    PyObject *copy = PyContext_Copy(context);
    Py_DECREF(context);
    if (copy != NULL && PyContext_Enter(copy) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

void CamNotify_Leave(PyObject *context) {
    PyObject *pending = PyErr_GetRaisedException();
    if (PyContext_Exit(context) < 0) {
        PyErr_WriteUnraisable(context);
    }
    Py_DECREF(context);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

PyObject *CamNotify_Call(PyObject *context, PyObject *object, PyObject *name, PyObject *first,
                         PyObject *second) {
    PyObject *entered = CamNotify_Enter(context);
    if (entered == NULL) {
        return NULL;
    }
    Py_INCREF(object);
    PyObject *stack[] = {NULL, object, first, second};
    size_t count = second ? 3 : first ? 2 : 1;
    PyObject *result =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (PyContext_Exit(entered) < 0) {
        Py_CLEAR(result);
    }
    if (result == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(object);
        Py_DECREF(entered);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_DECREF(object);
    Py_DECREF(entered);
    return result;
}

PyObject *CamNotify_CallHere(PyObject *object, PyObject *name, PyObject *argument) {
    PyObject *stack[] = {NULL, object, argument};
    size_t count = argument ? 2 : 1;
    Py_INCREF(object);
    PyObject *result =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    PyObject *exception = result ? NULL : PyErr_GetRaisedException();
    Py_DECREF(object);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return result;
}

void CamNotify_Quietly(PyObject *object, PyObject *name, PyObject *argument) {
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *stack[] = {NULL, object, argument};
    size_t count = argument ? 2 : 1;
    PyObject *done =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (done == NULL) {
        PyErr_WriteUnraisable(object);
    }
    Py_XDECREF(done);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int CamNotify_Report(LoopObject *loop, PyObject *transport, PyObject *protocol,
                     const char *message) {
    if (loop == NULL) {
        PyErr_WriteUnraisable(transport);
        return 0;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *extra = Py_BuildValue("{OOOO}", loop->state->str_transport, transport,
                                    loop->state->str_protocol, protocol ? protocol : Py_None);
    PyErr_Clear(); /* without memory for the extra keys the report goes out without them */
    PyErr_SetRaisedException(exception);
    Py_INCREF(loop);
    int status = CamLoop_ReportError(loop, message, extra);
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(extra);
    Py_DECREF(loop);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

void CamNotify_Log(cam_state *state, const char *level, PyObject *transport, const char *text,
                   PyObject *exception) {
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *method = PyObject_GetAttrString(state->asyncio_logger, level);
    PyObject *args = Py_BuildValue("(sOs)", exception ? "%r: %s" : "%r %s", transport, text);
    PyObject *keywords = exception ? Py_BuildValue("{sO}", "exc_info", exception) : NULL;
    PyObject *done = NULL;
    if (method != NULL && args != NULL && (keywords != NULL || exception == NULL)) {
        done = PyObject_Call(method, args, keywords);
    }
    if (done == NULL) {
        PyErr_WriteUnraisable(transport);
    }
    Py_XDECREF(done);
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(method);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int CamNotify_WakeWaiter(LoopObject *loop, PyObject *waiter) {
    PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, loop->state->str_cancelled);
    int is_cancelled = cancelled ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (is_cancelled != 0) {
        return is_cancelled < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(waiter, loop->state->str_set_result, Py_None);
    Py_XDECREF(done);
    return done ? 0 : -1;
}
