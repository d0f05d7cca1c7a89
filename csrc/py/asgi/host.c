/* SPDX-License-Identifier: MIT */
#include "asgi/host.h"

/* ---- connections, tasks, requests ---- */

cam_host *CamHost_New(PyObject *state) {
    cam_host *host = PyMem_Calloc(1, sizeof *host);
    if (host == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    host->state = Py_NewRef(state);
    host->connections = PyObject_GetAttrString(state, "connections");
    host->tasks = host->connections ? PyObject_GetAttrString(state, "tasks") : NULL;
    if (host->tasks == NULL) {
        CamHost_Free(host);
        return NULL;
    }
    if (!PySet_Check(host->connections) || !PySet_Check(host->tasks)) {
        PyErr_SetString(PyExc_TypeError, "host.connections and host.tasks must be sets");
        CamHost_Free(host);
        return NULL;
    }
    return host;
}

void CamHost_Free(cam_host *host) {
    if (host == NULL) {
        return;
    }
    Py_XDECREF(host->state);
    Py_XDECREF(host->connections);
    Py_XDECREF(host->tasks);
    Py_XDECREF(host->headers);
    CamFixedFields_Clear(&host->fixed);
    PyMem_Free(host);
}

int CamHost_Traverse(cam_host *host, visitproc visit, void *arg) {
    Py_VISIT(host->state);
    Py_VISIT(host->connections);
    Py_VISIT(host->tasks);
    Py_VISIT(host->headers);
    return 0;
}

/* With an exception set aside, which a destructor may run under. */
static void change(PyObject *set, PyObject *member, bool add) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if ((add ? PySet_Add(set, member) : PySet_Discard(set, member)) < 0) {
        PyErr_WriteUnraisable(set);
    }
    PyErr_Restore(type, value, traceback);
}

void CamHost_AddConnection(cam_host *host, PyObject *owner) {
    change(host->connections, owner, true);
}

void CamHost_RemoveConnection(cam_host *host, PyObject *owner) {
    change(host->connections, owner, false);
}

void CamHost_AddTask(cam_host *host, PyObject *task) {
    change(host->tasks, task, true);
}

void CamHost_RemoveTask(cam_host *host, PyObject *task) {
    change(host->tasks, task, false);
}

void CamHost_CountRequest(cam_host *host) {
    PyObject *total = PyObject_GetAttrString(host->state, "total_requests");
    PyObject *one = total ? PyLong_FromLong(1) : NULL;
    PyObject *sum = one ? PyNumber_Add(total, one) : NULL;
    if (sum == NULL || PyObject_SetAttrString(host->state, "total_requests", sum) < 0) {
        PyErr_WriteUnraisable(host->state);
    }
    Py_XDECREF(total);
    Py_XDECREF(one);
    Py_XDECREF(sum);
}

/* ---- what every response begins with ---- */

int CamHost_RefreshHeaders(cam_host *host) {
    PyObject *headers = PyObject_GetAttrString(host->state, "default_headers");
    if (headers == NULL) {
        return -1;
    }
    /* uvicorn puts a new list there once a second, and changes none. */
    if (headers == host->headers) {
        Py_DECREF(headers);
        return 0;
    }
    /* uvicorn lets them be anything that is a header. */
    if (CamFixedFields_Set(&host->fixed, headers, "default_headers", true) < 0) {
        Py_DECREF(headers);
        return -1;
    }
    Py_XSETREF(host->headers, headers);
    return 0;
}

static int put(cam_buffer *out, PyObject *lines) {
    return lines ? cam_buffer_append(out, PyBytes_AS_STRING(lines), (size_t)PyBytes_GET_SIZE(lines))
                 : 0;
}

int CamHost_PutHeaders(const cam_host *host, cam_buffer *out, bool date, bool server) {
    if (host->headers == NULL) {
        return 0;
    }
    if ((!date && put(out, host->fixed.date) < 0) ||
        (!server && put(out, host->fixed.server) < 0)) {
        return -1;
    }
    return put(out, host->fixed.others);
}

/* ---- another protocol ---- */

int CamHost_Upgrade(HttpProtocolObject *connection, const char *data, size_t size) {
    /* The transport is to be as any other: it sends, and reads. */
    CamHttpProtocol_Release(connection);
    if (connection->reading_paused) {
        connection->reading_paused = false;
        if (CamTransport_ResumeReading(connection->state, connection->transport) < 0) {
            return -1;
        }
    }
    PyObject *owner = Py_NewRef(connection->owner);
    PyObject *taken = PyObject_CallMethod(owner, "_upgrade", "y#", data, (Py_ssize_t)size);
    Py_DECREF(owner);
    int truth = taken ? PyObject_IsTrue(taken) : -1;
    Py_XDECREF(taken);
    if (truth <= 0) {
        return truth;
    }
    connection->phase = CAM_PHASE_CLOSED;
    connection->timing = CAM_TIMING_NONE;
    if (connection->owner != NULL) {
        CamHost_RemoveConnection(connection->server->host, connection->owner);
        Py_CLEAR(connection->owner);
    }
    Py_CLEAR(connection->transport.object);
    CamSweep_Remove(connection->server, connection); /* the caller has a reference */
    return 1;
}
