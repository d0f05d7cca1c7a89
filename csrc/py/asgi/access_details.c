/* SPDX-License-Identifier: MIT */
#include "asgi/access_details.h"

#include "compat.h"
#include "asgi/cycle.h"
#include "asgi/scope.h"

int CamAccessDetails_Begin(CycleObject *cycle, PyObject *scope) {
    cam_access_details *details = PyMem_Calloc(1, sizeof *details);
    if (details == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    details->fields = Py_XNewRef(PyDict_GetItemWithError(scope, cycle->state->asgi.str_headers));
    details->began = CamMetrics_Now();
    cycle->details = details;
    return PyErr_Occurred() ? -1 : 0;
}

void CamAccessDetails_Answer(CycleObject *cycle, PyObject *headers) {
    /* What was gone through once may have nothing left. */
    bool stays = headers != NULL && (PyList_Check(headers) || PyTuple_Check(headers));
    Py_XSETREF(cycle->details->answer_fields, stays ? Py_NewRef(headers) : NULL);
}

static PyObject *call(CycleObject *cycle, const cam_access_details *details) {
    const cam_asgi_constants *c = &cycle->state->asgi;
    PyObject *function = Py_NewRef(cycle->server->log.function);
    PyObject *address = CamScope_ClientAddress(cycle->connection);
    PyObject *path = address ? CamScope_FullPath(cycle->path, cycle->query_string) : NULL;
    PyObject *result = NULL;
    if (path != NULL) {
        result = PyObject_CallFunction(function, "OOOOiOOKd", address, cycle->method, path,
                                       cycle->minor_version ? c->str_version_11 : c->str_version_10,
                                       cycle->status, details->fields ? details->fields : Py_None,
                                       details->answer_fields ? details->answer_fields : Py_None,
                                       (unsigned long long)details->sent,
                                       (double)(CamMetrics_Now() - details->began) / 1e9);
    }
    Py_XDECREF(path);
    Py_XDECREF(address);
    Py_DECREF(function);
    return result;
}

void CamAccessDetails_Log(CycleObject *cycle) {
    cam_access_details *details = cycle->details;
    cycle->details = NULL; /* one line, whatever runs meanwhile */
    PyObject *pending = PyErr_GetRaisedException();
    if (cycle->server->log.function != NULL && cycle->connection != NULL && cycle->method != NULL) {
        PyObject *result = call(cycle, details);
        if (result == NULL) {
            PyErr_WriteUnraisable((PyObject *)cycle->server);
        }
        Py_XDECREF(result);
    }
    CamAccessDetails_Free(details);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int CamAccessDetails_Traverse(cam_access_details *details, visitproc visit, void *arg) {
    if (details != NULL) {
        Py_VISIT(details->fields);
        Py_VISIT(details->answer_fields);
    }
    return 0;
}

void CamAccessDetails_Free(cam_access_details *details) {
    if (details != NULL) {
        Py_XDECREF(details->fields);
        Py_XDECREF(details->answer_fields);
        PyMem_Free(details);
    }
}
