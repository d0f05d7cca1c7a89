/* SPDX-License-Identifier: MIT */
#include "loop/notify.h"

#include "compat.h"

/* The context, or a copy when it is entered already, entered. NULL with an exception. */
static PyObject *enter(PyObject *context) {
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

PyObject *CamNotify_Call(PyObject *context, PyObject *object, PyObject *name, PyObject *first,
                         PyObject *second) {
    PyObject *entered = enter(context);
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
