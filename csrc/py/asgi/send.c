/* SPDX-License-Identifier: MIT */
/*
 * The events that an application sends: their order, their keys, and the bytes they become.
 *
 * The head waits for the first body event, as the ASGI specification asks: so a whole small
 * answer is one write, it gets a Content-Length if it has none, and an application that fails in
 * between is still answered with 500. Once a peer is gone what is sent to it is dropped without a
 * word, which is why the scope's spec_version is 2.3: from 2.4 on send() would have to raise.
 */
#include "asgi/cycle.h"

#include "compat.h"
#include "asgi/response.h"
#include "asgi/scope.h"

enum {
    COPY_LIMIT = 16 * 1024, /* a body up to this goes into the output buffer */
    STATUS_MIN = 200,       /* a final status; what is below would need another one to follow */
    STATUS_MAX = 599,
};

/* event[key]: 1 with *value a new reference, 0 when it is not there, -1. */
static int lookup(PyObject *event, PyObject *key, PyObject **value) {
    if (PyDict_Check(event)) {
        *value = Py_XNewRef(PyDict_GetItemWithError(event, key));
        return *value ? 1 : PyErr_Occurred() ? -1 : 0;
    }
    *value = PyObject_GetItem(event, key);
    if (*value != NULL) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

static int lookup_required(PyObject *event, PyObject *key, PyObject **value) {
    int found = lookup(event, key, value);
    if (found == 0) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return found > 0 ? 0 : -1;
}

/* Whether the event's type is `wanted`: 1, 0 or -1. */
static int is_type(PyObject *type, PyObject *wanted) {
    if (type == wanted) {
        return 1;
    }
    return PyObject_RichCompareBool(type, wanted, Py_EQ);
}

/* The event's type must be `wanted`. 0, or -1 with RuntimeError. */
static int check_type(PyObject *type, PyObject *wanted) {
    int same = is_type(type, wanted);
    if (same == 0) {
        PyErr_Format(PyExc_RuntimeError, "Expected ASGI message '%U', but got '%S'.", wanted, type);
    }
    return same > 0 ? 0 : -1;
}

/* ---- http.response.start ---- */

static int send_start(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *value;
    if (lookup_required(event, c->str_status, &value) < 0) {
        return -1;
    }
    long status = PyLong_AsLong(value);
    Py_DECREF(value);
    if (status == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (status < STATUS_MIN || status > STATUS_MAX) {
        PyErr_Format(PyExc_RuntimeError, "Invalid HTTP status %ld: it must be from 200 to 599.",
                     status);
        return -1;
    }
    PyObject *headers = NULL;
    if (lookup(event, c->str_headers, &headers) < 0) {
        return -1;
    }
    if (headers == Py_None) {
        Py_CLEAR(headers);
    }
    /* An event that is no dict may have run anything. */
    int result = self->connection ? CamResponse_BuildHead(self, (int)status, headers) : 0;
    Py_XDECREF(headers);
    if (result == 0 && self->connection != NULL) {
        self->answer = CAM_ANSWER_HELD;
    }
    return result;
}

/* ---- http.response.body ---- */

static void log_access(CycleObject *self, HttpProtocolObject *connection) {
    HttpServerObject *server = self->server;
    if (server->access_log == NULL || self->method == NULL) {
        return;
    }
    PyObject *log = Py_NewRef(server->access_log);
    PyObject *address = CamScope_ClientAddress(connection);
    PyObject *path = address ? CamScope_FullPath(self->path, self->query_string) : NULL;
    PyObject *status = path ? PyLong_FromLong(self->status) : NULL;
    PyObject *result = NULL;
    if (status != NULL) {
        const cam_asgi_constants *c = &self->state->asgi;
        PyObject *stack[] = {NULL,
                             address,
                             self->method,
                             path,
                             self->minor_version ? c->str_version_11 : c->str_version_10,
                             status};
        result = PyObject_Vectorcall(log, stack + 1, 5 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (result == NULL) {
        PyErr_WriteUnraisable(log);
    }
    Py_XDECREF(result);
    Py_XDECREF(status);
    Py_XDECREF(path);
    Py_XDECREF(address);
    Py_DECREF(log);
}

/* Writes what is in the output buffer, then the body, then `tail`, in as few writes as can be. */
static int write_parts(HttpProtocolObject *connection, PyObject *bytes, const char *data,
                       size_t size, const char *tail, size_t tail_size) {
    cam_state *state = connection->state;
    cam_buffer *out = &connection->output;
    if (size <= COPY_LIMIT) {
        if (cam_buffer_append(out, data, size) < 0 || cam_buffer_append(out, tail, tail_size) < 0) {
            return -1;
        }
        size = tail_size = 0;
    }
    /* Taken off the connection while it is written: pause_writing() is somebody else's code. */
    cam_buffer head = *out;
    *out = (cam_buffer){0};
    int result = CamTransport_Write(state, connection->transport, head.ptr, head.len);
    if (out->ptr == NULL && connection->transport.object != NULL) {
        cam_buffer_reset(&head, CAM_OUTPUT_KEEP);
        *out = head;
    } else {
        cam_buffer_free(&head);
    }
    if (result == 0 && size > 0) {
        result = bytes ? CamTransport_WriteBytes(state, connection->transport, bytes)
                       : CamTransport_Write(state, connection->transport, data, size);
    }
    if (result == 0) {
        result = CamTransport_Write(state, connection->transport, tail, tail_size);
    }
    return result;
}

/* 0 when the body fits what Content-Length says, or -1 with RuntimeError. */
static int check_length(const CycleObject *self, size_t size, bool more_body) {
    if (self->without_body || !self->has_length) {
        return 0;
    }
    if (size > self->length_left) {
        PyErr_SetString(PyExc_RuntimeError, "Response content longer than Content-Length");
        return -1;
    }
    if (!more_body && size < self->length_left) {
        PyErr_SetString(PyExc_RuntimeError, "Response content shorter than Content-Length");
        return -1;
    }
    return 0;
}

/* The answer is complete: the connection is free for the next one. */
static int complete(CycleObject *self, HttpProtocolObject *connection) {
    self->answer = CAM_ANSWER_COMPLETE;
    self->server->request_count++;
    if (self->server->metrics != NULL) {
        CamMetrics_Answered(self->server->metrics, self->status, self->began);
    }
    if (connection->cycle == self) {
        connection->cycle = NULL;
        Py_DECREF(self); /* the caller has another reference */
    }
    CamRun_Detach((RunObject *)self);
    return CamHttpProtocol_Finished(connection, self->keep_alive);
}

static int send_bytes(CycleObject *self, PyObject *bytes, const char *data, size_t size,
                      bool more_body) {
    if (check_length(self, size, more_body) < 0) {
        return -1;
    }
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    cam_buffer *out = &connection->output;
    bool first = self->answer == CAM_ANSWER_HELD;
    int result = first ? CamResponse_EndHead(self, size, more_body) : 0;
    const char *tail = "";
    size_t tail_size = 0;
    if (self->without_body) {
        size = 0;
    } else if (self->chunked) {
        if (size > 0) {
            char line[24];
            int len = PyOS_snprintf(line, sizeof line, "%zx\r\n", size);
            result = result < 0 ? result : cam_buffer_append(out, line, (size_t)len);
            tail = more_body ? "\r\n" : "\r\n0\r\n\r\n";
        } else {
            tail = more_body ? "" : "0\r\n\r\n";
        }
        tail_size = strlen(tail);
    } else if (self->has_length) {
        self->length_left -= size;
    }
    if (result == 0) {
        self->answer = CAM_ANSWER_BEGUN;
        self->awaits_100 = false;
        result = write_parts(connection, bytes, data, size, tail, tail_size);
    }
    if (result < 0) {
        /* What is out cannot be taken back, and what is not will never come. */
        PyObject *error = PyErr_GetRaisedException();
        if (CamTransport_Abort(self->state, connection->transport) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
        PyErr_SetRaisedException(error);
    } else {
        if (first) {
            log_access(self, connection);
        }
        if (!more_body && self->connection != NULL) {
            result = complete(self, connection);
        }
    }
    Py_DECREF(connection);
    return result;
}

static int send_body(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *more = NULL;
    PyObject *body = NULL;
    if (lookup(event, c->str_more_body, &more) < 0) {
        return -1;
    }
    int more_body = more ? PyObject_IsTrue(more) : 0;
    Py_XDECREF(more);
    if (more_body < 0 || lookup(event, c->str_body, &body) < 0) {
        return -1;
    }
    int result = -1;
    if (self->connection == NULL) {
        result = 0; /* lost while the event was looked at */
    } else if (body == NULL) {
        result = send_bytes(self, NULL, "", 0, more_body);
    } else if (PyBytes_CheckExact(body)) {
        result = send_bytes(self, body, PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body),
                            more_body);
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) == 0) {
            result = self->connection == NULL
                         ? 0
                         : send_bytes(self, NULL, view.buf, (size_t)view.len, more_body);
            PyBuffer_Release(&view);
        }
    }
    Py_XDECREF(body);
    return result;
}

int CamCycle_Send(RunObject *run, PyObject *event) {
    CycleObject *self = (CycleObject *)run;
    const cam_asgi_constants *c = &self->state->asgi;
    if (self->connection == NULL && self->answer != CAM_ANSWER_COMPLETE) {
        return 0;
    }
    PyObject *type;
    if (lookup_required(event, c->str_type, &type) < 0) {
        return -1;
    }
    int result = -1;
    switch ((cam_answer)self->answer) {
    case CAM_ANSWER_NONE:
        result = check_type(type, c->str_response_start);
        if (result == 0 && self->connection != NULL) {
            result = send_start(self, event);
        }
        break;
    case CAM_ANSWER_HELD:
    case CAM_ANSWER_BEGUN:
        result = check_type(type, c->str_response_body);
        if (result == 0) {
            result = send_body(self, event);
        }
        break;
    case CAM_ANSWER_COMPLETE:
        PyErr_Format(PyExc_RuntimeError,
                     "Unexpected ASGI message '%S' sent, after response already completed.", type);
        break;
    }
    Py_DECREF(type);
    return result;
}
