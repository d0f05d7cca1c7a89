/* SPDX-License-Identifier: MIT */
#include "args.h"

/* The position of a name in kwnames, or -1. */
static Py_ssize_t find_keyword(PyObject *kwnames, const char *name) {
    Py_ssize_t count = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), name) == 0) {
            return i;
        }
    }
    return -1;
}

PyObject *CamArgs_ByName(CamFastMethod method, const char *name, const char *const *parameters,
                         PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames) {
    Py_ssize_t count = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    PyObject **stack = PyMem_New(PyObject *, (size_t)(nargs + count + 1));
    PyObject *others = PyList_New(0);
    PyObject *names = NULL;
    PyObject *result = NULL;
    if (stack == NULL || others == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    Py_ssize_t placed = 0;
    for (; placed < nargs; placed++) {
        stack[placed] = args[placed];
    }
    for (; parameters[placed] != NULL; placed++) {
        Py_ssize_t keyword = find_keyword(kwnames, parameters[placed]);
        if (keyword < 0) {
            PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: '%s'", name,
                         parameters[placed]);
            goto done;
        }
        stack[placed] = args[nargs + keyword];
    }
    Py_ssize_t left = placed;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        int taken = 0;
        for (Py_ssize_t j = nargs; j < placed && !taken; j++) {
            taken = PyUnicode_CompareWithASCIIString(key, parameters[j]) == 0;
        }
        if (!taken) {
            stack[left++] = args[nargs + i];
            if (PyList_Append(others, key) < 0) {
                goto done;
            }
        }
    }
    names = PyList_AsTuple(others);
    if (names != NULL) {
        result = method(self, stack, placed, left > placed ? names : NULL);
    }
done:
    Py_XDECREF(names);
    Py_XDECREF(others);
    PyMem_Free(stack);
    return result;
}
