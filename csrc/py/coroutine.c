/* SPDX-License-Identifier: MIT */
#include "coroutine.h"

#include "compat.h"

/* Whether a generator may be awaited: types.coroutine() has marked its code. */
static bool is_awaitable_generator(PyObject *object) {
    if (!PyGen_CheckExact(object)) {
        return false;
    }
    PyObject *code = PyObject_GetAttrString(object, "gi_code");
    bool marked = code != NULL && PyCode_Check(code) &&
                  (((PyCodeObject *)code)->co_flags & CO_ITERABLE_COROUTINE) != 0;
    Py_XDECREF(code);
    PyErr_Clear();
    return marked;
}

PyObject *CamCoroutine_Iterator(PyObject *awaitable) {
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
    } else if (is_awaitable_generator(awaitable)) {
        return awaitable;
    } else {
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                     Py_TYPE(awaitable)->tp_name);
    }
    Py_DECREF(awaitable);
    return inner;
}

int CamCoroutine_CheckStep(bool running, bool ended) {
    if (running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return -1;
    }
    if (ended) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return -1;
    }
    return 0;
}

PyObject *CamCoroutine_Result(PySendResult outcome, PyObject *result) {
    if (outcome != PYGEN_RETURN) {
        return outcome == PYGEN_NEXT ? result : NULL;
    }
    if (result == Py_None) {
        PyErr_SetNone(PyExc_StopIteration);
        Py_DECREF(result);
        return NULL;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

PyObject *CamCoroutine_Send(PyObject *op, PyObject *value) {
    PyObject *result;
    Py_INCREF(op);
    PySendResult outcome = Py_TYPE(op)->tp_as_async->am_send(op, value, &result);
    PyObject *given = CamCoroutine_Result(outcome, result);
    Py_DECREF(op);
    return given;
}

PyObject *CamCoroutine_Next(PyObject *op) {
    return CamCoroutine_Send(op, Py_None);
}

void CamCoroutine_Raise(PyObject *const *args, Py_ssize_t nargs) {
    if (nargs < 1 || nargs > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes from 1 to 3 arguments");
        return;
    }
    PyObject *type = args[0];
    PyObject *value = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    if (PyExceptionInstance_Check(type)) {
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    } else if (PyExceptionClass_Check(type)) {
        PyErr_SetObject(type, value);
    } else {
        PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
    }
}

PySendResult CamCoroutine_Throw(PyObject *inner, PyObject *name, PyObject *const *args,
                                Py_ssize_t nargs, PyObject **result) {
    PyObject *throw = NULL;
    *result = NULL;
    if (inner != NULL) {
        throw = PyObject_GetAttr(inner, name);
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
