/* SPDX-License-Identifier: MIT */
/* The events that an application receives: the body of its request, and that the peer is gone. */
#include "asgi/cycle.h"

#include "compat.h"
#include "asgi/timing.h"

enum { BODY_MIN = 1024 };

int CamCycle_AddBody(CycleObject *self, const char *data, size_t size) {
    if (self->body == NULL) {
        /* Not from `data`: of a single byte that would be an object that others have as well. */
        self->body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        if (self->body == NULL) {
            return -1;
        }
        memcpy(PyBytes_AS_STRING(self->body), data, size);
        self->body_len = size;
    } else {
        size_t capacity = (size_t)PyBytes_GET_SIZE(self->body);
        if (capacity - self->body_len < size) {
            size_t wanted = capacity < BODY_MIN ? BODY_MIN : capacity * 2;
            if (wanted - self->body_len < size) {
                wanted = self->body_len + size;
            }
            if (_PyBytes_Resize(&self->body, (Py_ssize_t)wanted) < 0) {
                self->body_len = 0;
                return -1;
            }
        }
        memcpy(PyBytes_AS_STRING(self->body) + self->body_len, data, size);
        self->body_len += size;
    }
    self->awaits_100 = false; /* it goes on without having been told to */
    CamRun_Wake((RunObject *)self);
    return 0;
}

void CamCycle_EndBody(CycleObject *self) {
    self->more_body = false;
    self->awaits_100 = false;
    CamRun_Wake((RunObject *)self);
}

/* {"type": type} with two more keys if body is not NULL, whose reference it steals. */
static PyObject *new_event(const cam_asgi_constants *c, PyObject *type, PyObject *body,
                           bool more_body) {
    PyObject *event = PyDict_New();
    if (event == NULL || PyDict_SetItem(event, c->str_type, type) < 0 ||
        (body != NULL &&
         (PyDict_SetItem(event, c->str_body, body) < 0 ||
          PyDict_SetItem(event, c->str_more_body, more_body ? Py_True : Py_False) < 0))) {
        Py_CLEAR(event);
    }
    Py_XDECREF(body);
    return event;
}

/* What has been received of the body, which is the application's from now on. */
static PyObject *take_body(CycleObject *self) {
    if (self->body == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (self->body_len < (size_t)PyBytes_GET_SIZE(self->body) &&
        _PyBytes_Resize(&self->body, (Py_ssize_t)self->body_len) < 0) {
        self->body_len = 0;
        return NULL;
    }
    PyObject *body = self->body;
    self->body = NULL;
    self->body_len = 0;
    return body;
}

int CamCycle_Receive(RunObject *run, PyObject **event) {
    CycleObject *self = (CycleObject *)run;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const cam_asgi_constants *c = &self->state->asgi;
    HttpProtocolObject *connection = self->connection;
    if (connection != NULL && self->awaits_100 && self->answer < CAM_ANSWER_BEGUN) {
        self->awaits_100 = false;
        if (CamTransport_Write(self->state, connection->transport, go_on, sizeof go_on - 1) < 0) {
            return -1;
        }
        connection = self->connection;
        if (connection != NULL && CamTiming_Settle(connection) < 0) { /* it may send now */
            return -1;
        }
        connection = self->connection;
    }
    if (connection != NULL && (self->body_len > 0 || (!self->more_body && !self->body_told))) {
        bool more_body = self->more_body;
        PyObject *body = take_body(self);
        if (body == NULL) {
            return -1;
        }
        self->body_told = !more_body;
        *event = new_event(c, c->str_http_request, body, more_body);
        if (*event == NULL) {
            return -1;
        }
        Py_INCREF(connection);
        if (CamHttpProtocol_Balance(connection) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection); /* the event must not be lost */
        }
        Py_DECREF(connection);
        return 1;
    }
    if (connection == NULL || self->peer_gone || self->server->disconnecting) {
        *event = new_event(c, c->str_http_disconnect, NULL, false);
        return *event ? 1 : -1;
    }
    return 0;
}
