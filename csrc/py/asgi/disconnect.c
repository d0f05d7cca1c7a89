/* SPDX-License-Identifier: MIT */
#include "asgi/disconnect.h"

#include <string.h>

enum { DEPTH = 16 }; /* of causes and groups that are looked through */

int CamDisconnect_Check(CycleObject *cycle) {
    if (cycle->connection == NULL) {
        return cycle->answer != CAM_ANSWER_COMPLETE;
    }
    /* What fails while it is written is reported in a later turn of the loop, which an application
     * that never has to wait would not let come. */
    return cycle->answer >= CAM_ANSWER_BEGUN
               ? CamTransport_IsClosing(cycle->state, cycle->connection->transport)
               : 0;
}

int CamDisconnect_Raise(cam_state *state) {
    PyErr_SetString(state->asgi.client_disconnected,
                    "the client has disconnected: nothing can be sent to it any more");
    return -1;
}

static bool is_ours(cam_state *state, PyObject *exception) {
    return PyErr_GivenExceptionMatches(exception, state->asgi.client_disconnected) != 0;
}

/* Starlette raises it where it reads or streams, `from` nothing. */
static bool is_framework_s(CycleObject *cycle, PyObject *exception) {
    if (strcmp(Py_TYPE(exception)->tp_name, "ClientDisconnect") != 0) {
        return false;
    }
    if (!cycle->peer_gone) {
        int gone = CamDisconnect_Check(cycle);
        if (gone <= 0) {
            PyErr_Clear();
            return false;
        }
    }
    /* Behind it may hide an OSError of the application's own, as its StreamingResponse takes every
     * one for ours. */
    PyObject *context = PyException_GetContext(exception);
    bool told = context == NULL || !PyErr_GivenExceptionMatches(context, PyExc_OSError) ||
                is_ours(cycle->state, context);
    Py_XDECREF(context);
    return told;
}

static bool is_told(CycleObject *cycle, PyObject *exception, int depth) {
    if (depth == 0) {
        return false;
    }
    if (is_ours(cycle->state, exception) || is_framework_s(cycle, exception)) {
        return true;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_BaseExceptionGroup)) {
        PyObject *members = PyObject_GetAttrString(exception, "exceptions");
        bool told = members != NULL && PyTuple_Check(members) && PyTuple_GET_SIZE(members) > 0;
        for (Py_ssize_t i = 0; told && i < PyTuple_GET_SIZE(members); i++) {
            told = is_told(cycle, PyTuple_GET_ITEM(members, i), depth - 1);
        }
        Py_XDECREF(members);
        PyErr_Clear();
        return told;
    }
    PyObject *cause = PyException_GetCause(exception);
    bool told = cause != NULL && is_told(cycle, cause, depth - 1);
    Py_XDECREF(cause);
    return told;
}

bool CamDisconnect_IsTold(CycleObject *cycle, PyObject *exception) {
    return is_told(cycle, exception, DEPTH);
}

int cam_disconnect_exec(PyObject *module, cam_state *state) {
    state->asgi.client_disconnected = PyErr_NewExceptionWithDoc(
        "camshaft.ClientDisconnected",
        "Raised by an ASGI application's send() once the client has left.\n\n"
        "An application need not catch it: that a client has left is no error, and the server\n"
        "does not log it as one.",
        PyExc_OSError, NULL);
    if (state->asgi.client_disconnected == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "ClientDisconnected", state->asgi.client_disconnected);
}
