/* SPDX-License-Identifier: MIT */
#include "asgi/host.h"

#include "http/chars.h"

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
    Py_XDECREF(host->date);
    Py_XDECREF(host->server);
    Py_XDECREF(host->others);
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

/* Adds "name: value\r\n" to the lines it belongs to, of Date, Server and others. 0, or -1 with an
 * exception for what is none. */
static int add_line(cam_buffer lines[3], PyObject *item) {
    PyObject *name, *value;
    PyObject *pair = PySequence_Tuple(item);
    if (pair == NULL) {
        return -1;
    }
    int result = -1;
    if (!PyArg_ParseTuple(pair, "SS;default_headers must be pairs of bytes", &name, &value)) {
        goto done;
    }
    const char *text = PyBytes_AS_STRING(name);
    size_t len = (size_t)PyBytes_GET_SIZE(name);
    size_t value_len = (size_t)PyBytes_GET_SIZE(value);
    if (len == 0 || cam_char_span(text, len, CAM_CHAR_TOKEN) != len ||
        cam_char_span(PyBytes_AS_STRING(value), value_len, CAM_CHAR_FIELD) != value_len) {
        PyErr_Format(PyExc_ValueError, "default_headers: %R is not a valid header", pair);
        goto done;
    }
    cam_buffer *line = &lines[2];
    if (len == 4 && cam_char_equal(text, "date", 4)) {
        line = &lines[0];
    } else if (len == 6 && cam_char_equal(text, "server", 6)) {
        line = &lines[1];
    }
    if (cam_buffer_reserve(line, len + value_len + 4) == 0) {
        for (size_t i = 0; i < len; i++) {
            line->ptr[line->len++] = (char)cam_char_lower[(uint8_t)text[i]];
        }
        cam_buffer_put(line, ": ", 2);
        cam_buffer_put(line, PyBytes_AS_STRING(value), value_len);
        cam_buffer_put(line, "\r\n", 2);
        result = 0;
    }
done:
    Py_DECREF(pair);
    return result;
}

static int make_lines(cam_host *host, PyObject *headers) {
    PyObject *sequence = PySequence_Tuple(headers);
    if (sequence == NULL) {
        return -1;
    }
    cam_buffer lines[3] = {{0}};
    PyObject *made[3] = {NULL};
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(sequence); i++) {
        result = add_line(lines, PyTuple_GET_ITEM(sequence, i));
    }
    for (int i = 0; i < 3; i++) {
        if (result == 0) {
            made[i] = PyBytes_FromStringAndSize(lines[i].ptr, (Py_ssize_t)lines[i].len);
            result = made[i] ? 0 : -1;
        }
        cam_buffer_free(&lines[i]);
    }
    if (result == 0) {
        Py_XSETREF(host->date, Py_NewRef(made[0]));
        Py_XSETREF(host->server, Py_NewRef(made[1]));
        Py_XSETREF(host->others, Py_NewRef(made[2]));
    }
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(made[i]);
    }
    Py_DECREF(sequence);
    return result;
}

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
    if (make_lines(host, headers) < 0) {
        Py_DECREF(headers);
        return -1;
    }
    Py_XSETREF(host->headers, headers);
    return 0;
}

static int put(cam_buffer *out, PyObject *lines) {
    return cam_buffer_append(out, PyBytes_AS_STRING(lines), (size_t)PyBytes_GET_SIZE(lines));
}

int CamHost_PutHeaders(const cam_host *host, cam_buffer *out, bool date, bool server) {
    if (host->headers == NULL) {
        return 0;
    }
    if ((!date && put(out, host->date) < 0) || (!server && put(out, host->server) < 0)) {
        return -1;
    }
    return put(out, host->others);
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
