/* SPDX-License-Identifier: MIT */
/* What older CPythons lack of the API that the rest of the code is written against. */
#ifndef CAM_PY_COMPAT_H
#define CAM_PY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030C0000

/* The exception that is set, with its traceback attached; NULL when none is. New reference. */
static inline PyObject *PyErr_GetRaisedException(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL && value != NULL) {
        (void)PyException_SetTraceback(value, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Steals the reference. */
static inline void PyErr_SetRaisedException(PyObject *exception) {
    if (exception == NULL) {
        PyErr_Clear();
        return;
    }
    PyObject *type = (PyObject *)Py_TYPE(exception);
    PyErr_Restore(Py_NewRef(type), exception, PyException_GetTraceback(exception));
}

#endif

/* What a weak reference refers to, or NULL; never fails for a weak reference. New reference. */
static inline PyObject *CamCompat_WeakrefTarget(PyObject *reference) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *target = NULL;
    (void)PyWeakref_GetRef(reference, &target);
    return target;
#else
    PyObject *target = PyWeakref_GET_OBJECT(reference);
    return target != Py_None && Py_REFCNT(target) > 0 ? Py_NewRef(target) : NULL;
#endif
}

#endif
