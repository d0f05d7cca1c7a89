/* SPDX-License-Identifier: MIT */
#include "fastapi/header_list.h"

static bool is_named(PyObject *field, PyObject *name) {
    PyObject *other = PyTuple_GET_ITEM(field, 0);
    return other == name || (PyBytes_GET_SIZE(other) == PyBytes_GET_SIZE(name) &&
                             memcmp(PyBytes_AS_STRING(other), PyBytes_AS_STRING(name),
                                    (size_t)PyBytes_GET_SIZE(name)) == 0);
}

bool CamHeaderList_IsPlain(PyObject *list) {
    if (!PyList_CheckExact(list)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (!CamHeaderList_IsField(PyList_GET_ITEM(list, i))) {
            return false;
        }
    }
    return true;
}

PyObject *CamHeaderList_Get(PyObject *list, PyObject *name) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *field = PyList_GET_ITEM(list, i);
        if (is_named(field, name)) {
            return PyTuple_GET_ITEM(field, 1);
        }
    }
    return NULL;
}

int CamHeaderList_Set(PyObject *list, PyObject *field) {
    PyObject *name = PyTuple_GET_ITEM(field, 0);
    Py_ssize_t first = -1;
    for (Py_ssize_t i = PyList_GET_SIZE(list) - 1; i >= 0; i--) {
        if (!is_named(PyList_GET_ITEM(list, i), name)) {
            continue;
        }
        if (first >= 0 && PyList_SetSlice(list, first, first + 1, NULL) < 0) {
            return -1;
        }
        first = i;
    }
    return first < 0 ? PyList_Append(list, field) : PyList_SetItem(list, first, Py_NewRef(field));
}

int CamHeaderList_SetValue(PyObject *list, PyObject *name, PyObject *value) {
    PyObject *field = value ? PyTuple_Pack(2, name, value) : NULL;
    int set = field ? CamHeaderList_Set(list, field) : -1;
    Py_XDECREF(field);
    Py_XDECREF(value);
    return set;
}

int CamHeaderList_AddVary(PyObject *list, PyObject *field) {
    PyObject *name = PyTuple_GET_ITEM(field, 0), *added = PyTuple_GET_ITEM(field, 1);
    Py_ssize_t size = PyBytes_GET_SIZE(added), count = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *other = PyList_GET_ITEM(list, i);
        if (is_named(other, name)) {
            size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(other, 1)) + 2;
            count++;
        }
    }
    if (count == 0) {
        return PyList_Append(list, field);
    }
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size);
    if (joined == NULL) {
        return -1;
    }
    char *to = PyBytes_AS_STRING(joined);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *other = PyList_GET_ITEM(list, i);
        if (is_named(other, name)) {
            PyObject *value = PyTuple_GET_ITEM(other, 1);
            memcpy(to, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
            to += PyBytes_GET_SIZE(value);
            *to++ = ',';
            *to++ = ' ';
        }
    }
    memcpy(to, PyBytes_AS_STRING(added), (size_t)PyBytes_GET_SIZE(added));
    return CamHeaderList_SetValue(list, name, joined);
}
