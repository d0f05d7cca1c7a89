/* SPDX-License-Identifier: MIT */
/*
 * The events that an application sends: their order, their keys, and the bytes they become.
 *
 * The head waits for the first body event, as the ASGI specification lets it: so a whole small
 * answer is one write, it gets a Content-Length if it has none, and an application that fails in
 * between is still answered with 500. If that takes long the head is sent by itself (timing.h).
 */
#include "asgi/send.h"

#include "compat.h"
#include "asgi/disconnect.h"
#include "asgi/host.h"
#include "asgi/response.h"

#include <unistd.h>

enum {
    COPY_LIMIT = 16 * 1024, /* a body up to this goes into the output buffer */
    STATUS_MIN = 200,       /* a final status; what is below would need another one to follow */
    STATUS_MAX = 599,       /* RFC 9110 section 15: what is above is no status */
};

/* ---- looking into events ---- */

int CamSend_Lookup(PyObject *event, PyObject *key, PyObject **value) {
    if (PyDict_Check(event)) {
        *value = Py_XNewRef(PyDict_GetItemWithError(event, key));
        return *value ? 1 : PyErr_Occurred() ? -1 : 0;
    }
    *value = NULL;
    if (!PyMapping_Check(event) || PySequence_Check(event)) {
        PyErr_Format(PyExc_TypeError, "send() takes an event, which is a dict, not %.100s",
                     Py_TYPE(event)->tp_name);
        return -1;
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

int CamSend_Flag(PyObject *event, PyObject *key) {
    PyObject *value;
    if (CamSend_Lookup(event, key, &value) < 0) {
        return -1;
    }
    int truth = value ? PyObject_IsTrue(value) : 0;
    Py_XDECREF(value);
    return truth;
}

/* 1, 0 or -1. */
static int is_type(PyObject *type, PyObject *wanted) {
    return type == wanted ? 1 : PyObject_RichCompareBool(type, wanted, Py_EQ);
}

static int wrong_type(PyObject *type, PyObject *wanted) {
    PyErr_Format(PyExc_RuntimeError, "Expected ASGI message '%U', but got '%S'.", wanted, type);
    return -1;
}

/* ---- http.response.start ---- */

/* The status of an event, or -1 with an exception. */
static int status_of(PyObject *event, PyObject *key) {
    PyObject *value;
    int found = CamSend_Lookup(event, key, &value);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetString(PyExc_KeyError, "http.response.start has no 'status'");
        }
        return -1;
    }
    int status = -1;
    if (!PyLong_Check(value) || PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError, "an HTTP status is an int, not %.100s",
                     Py_TYPE(value)->tp_name);
    } else {
        int overflow;
        long number = PyLong_AsLongAndOverflow(value, &overflow);
        if (number >= STATUS_MIN && number <= STATUS_MAX) {
            status = (int)number;
        } else {
            PyErr_Format(PyExc_RuntimeError, "Invalid HTTP status %S: it must be from 200 to 599.",
                         value);
        }
    }
    Py_DECREF(value);
    return status;
}

static int send_start(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    int status = status_of(event, c->str_status);
    int trailers = status < 0 ? -1 : CamSend_Flag(event, c->str_trailers);
    PyObject *headers = NULL;
    if (trailers < 0 || CamSend_Lookup(event, c->str_headers, &headers) < 0) {
        return -1;
    }
    if (headers == Py_None) {
        Py_CLEAR(headers);
    }
    int result = self->connection ? CamResponse_BuildHead(self, status, headers) : 0;
    if (self->details != NULL) {
        CamAccessDetails_Answer(self, headers);
    }
    Py_XDECREF(headers);
    if (result == 0 && self->connection != NULL) {
        self->answer = CAM_ANSWER_HELD;
        self->trailers = trailers;
        /* RFC 9110 section 6.5.1 leaves it to us, ASGI only to those who ask for them; and they
         * need the chunked coding (RFC 9112 section 7.1.2). */
        self->sends_trailers = trailers && self->connection->te_trailers && self->minor_version &&
                               !self->has_length && !self->without_body;
    }
    return result;
}

/* ---- http.response.body ---- */

/* Writes what is in the output buffer, then the part, then `tail`, in as few writes as can be. */
static int write_parts(HttpProtocolObject *connection, cam_part *part, const char *tail,
                       size_t tail_size) {
    cam_state *state = connection->state;
    cam_buffer *out = &connection->output;
    bool apart = part->fd >= 0 || part->size > COPY_LIMIT;
    if (!apart) {
        if (cam_buffer_append(out, part->data, part->size) < 0 ||
            cam_buffer_append(out, tail, tail_size) < 0) {
            return -1;
        }
        tail_size = 0;
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
    if (result == 0 && part->fd >= 0) {
        int fd = part->fd;
        part->fd = -1;
        result = CamTransport_WriteFile(state, connection->transport, fd, part->offset, part->size);
    } else if (result == 0 && apart) {
        result = part->bytes
                     ? CamTransport_WriteBytes(state, connection->transport, part->bytes)
                     : CamTransport_Write(state, connection->transport, part->data, part->size);
    }
    if (result == 0) {
        result = CamTransport_Write(state, connection->transport, tail, tail_size);
    }
    return result;
}

int CamSend_CheckLength(const CycleObject *self, uint64_t size, bool more_body) {
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

int CamSend_Complete(CycleObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    self->answer = CAM_ANSWER_COMPLETE;
    if (self->details != NULL) {
        CamAccessDetails_Log(self);
    }
    CamServer_CountRequest(self->server);
    if (self->server->host != NULL) {
        CamHost_CountRequest(self->server->host);
    }
    if (self->server->metrics != NULL) {
        CamMetrics_Answered(self->server->metrics, self->status, self->began);
    }
    if (connection->cycle == self) {
        connection->cycle = NULL;
        Py_DECREF(self); /* the caller has another reference */
    }
    CamRun_Detach((RunObject *)self);
    int result = CamHttpProtocol_Finished(connection, self->keep_alive);
    Py_DECREF(connection);
    return result;
}

int CamSend_Fail(CycleObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_XNewRef(self->connection);
    if (connection != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        if (CamTransport_Abort(self->state, connection->transport) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
        PyErr_SetRaisedException(error);
        Py_DECREF(connection);
    }
    return -1;
}

/* What a part is framed by: puts what is before it into the output buffer, and returns what comes
 * after it; NULL with an exception. */
static const char *frame(CycleObject *self, cam_part *part, bool more_body) {
    if (self->without_body) {
        part->size = 0;
        return "";
    }
    if (!self->chunked) {
        if (self->has_length) {
            self->length_left -= part->size;
        }
        return "";
    }
    /* The last chunk waits for trailers, if there will be any. */
    bool ends = !more_body && !self->sends_trailers;
    if (part->size == 0) {
        return ends ? "0\r\n\r\n" : ""; /* an empty chunk would be the last one */
    }
    char line[24];
    int len = PyOS_snprintf(line, sizeof line, "%zx\r\n", part->size);
    if (cam_buffer_append(&self->connection->output, line, (size_t)len) < 0) {
        return NULL;
    }
    return ends ? "\r\n0\r\n\r\n" : "\r\n";
}

static int send_part(CycleObject *self, cam_part *part, bool more_body) {
    /* Looked at again: what was done to see the event may have run anything. */
    if (self->connection == NULL) {
        return 0;
    }
    if (self->answer != CAM_ANSWER_HELD && self->answer != CAM_ANSWER_BEGUN) {
        PyErr_SetString(PyExc_RuntimeError,
                        "The response was completed while an ASGI message was read.");
        return -1;
    }
    if (CamSend_CheckLength(self, part->size, more_body) < 0) {
        return -1;
    }
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    bool first = self->answer == CAM_ANSWER_HELD;
    int result = first ? CamResponse_EndHead(self, part->size, more_body) : 0;
    const char *tail = result == 0 ? frame(self, part, more_body) : NULL;
    if (tail != NULL) {
        if (part->fd >= 0 && part->size == 0) {
            close(part->fd);
            part->fd = -1;
        }
        self->answer = CAM_ANSWER_BEGUN;
        self->head_alone = false;
        self->awaits_100 = false;
        if (self->details != NULL) {
            self->details->sent += part->size;
        }
        result = write_parts(connection, part, tail, strlen(tail));
    } else {
        result = -1;
    }
    if (result < 0) {
        result = CamSend_Fail(self);
    } else {
        if (first) {
            CamAccessLog_Add(self);
        }
        if (!more_body && self->connection != NULL) {
            if (self->trailers) {
                self->answer = CAM_ANSWER_TRAILERS;
            } else {
                result = CamSend_Complete(self);
            }
        }
    }
    Py_DECREF(connection);
    return result;
}

int CamSend_Part(CycleObject *self, cam_part *part, bool more_body) {
    int result = send_part(self, part, more_body);
    if (part->fd >= 0) {
        close(part->fd);
        part->fd = -1;
    }
    return result;
}

int CamSend_Head(CycleObject *self) {
    if (self->answer != CAM_ANSWER_HELD || self->pumping) {
        return 0;
    }
    cam_part nothing = {.data = "", .fd = -1};
    int result = CamSend_Part(self, &nothing, true);
    self->head_alone = result == 0;
    return result;
}

static int send_body(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *body = NULL;
    int more_body = CamSend_Flag(event, c->str_more_body);
    if (more_body < 0 || CamSend_Lookup(event, c->str_body, &body) < 0) {
        return -1;
    }
    cam_part part = {.data = "", .fd = -1};
    int result = -1;
    if (body == NULL) {
        result = CamSend_Part(self, &part, more_body);
    } else if (PyBytes_CheckExact(body)) {
        part.bytes = body;
        part.data = PyBytes_AS_STRING(body);
        part.size = (size_t)PyBytes_GET_SIZE(body);
        result = CamSend_Part(self, &part, more_body);
    } else if (!PyObject_CheckBuffer(body)) {
        PyErr_Format(PyExc_TypeError,
                     "a response's body is bytes, bytearray or memoryview, not %.100s",
                     Py_TYPE(body)->tp_name);
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) == 0) {
            part.data = view.buf;
            part.size = (size_t)view.len;
            result = CamSend_Part(self, &part, more_body);
            PyBuffer_Release(&view);
        }
    }
    Py_XDECREF(body);
    return result;
}

/* ---- the order ---- */

static int send_first(CycleObject *self, PyObject *type, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    int same = is_type(type, c->str_response_start);
    if (same > 0) {
        return self->connection ? send_start(self, event) : 0;
    }
    /* Before the head is known is where early hints are of most use, though ASGI allows them only
     * after it. */
    same = same < 0 ? -1 : is_type(type, c->str_early_hint);
    if (same > 0) {
        return CamSend_EarlyHint(self, event);
    }
    return same < 0 ? -1 : wrong_type(type, c->str_response_start);
}

static int send_later(CycleObject *self, PyObject *type, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    int same = is_type(type, c->str_response_body);
    if (same != 0) {
        return same < 0 ? -1 : send_body(self, event);
    }
    if ((same = is_type(type, c->str_zerocopysend)) != 0) {
        return same < 0 ? -1 : CamSend_File(self, event);
    }
    if ((same = is_type(type, c->str_pathsend)) != 0) {
        return same < 0 ? -1 : CamSend_Path(self, event);
    }
    if ((same = is_type(type, c->str_early_hint)) != 0) {
        return same < 0 ? -1 : CamSend_EarlyHint(self, event);
    }
    return wrong_type(type, c->str_response_body);
}

/* Takes an event whose type is known. */
static int take(CycleObject *self, PyObject *type, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    int same;
    switch ((cam_answer)self->answer) {
    case CAM_ANSWER_NONE:
        return send_first(self, type, event);
    case CAM_ANSWER_HELD:
    case CAM_ANSWER_BEGUN:
        if (self->pumping) {
            PyErr_Format(PyExc_RuntimeError, "Unexpected ASGI message '%S' while a file is sent.",
                         type);
            return -1;
        }
        return send_later(self, type, event);
    case CAM_ANSWER_TRAILERS:
        same = is_type(type, c->str_response_trailers);
        if (same > 0) {
            return CamSend_Trailers(self, event);
        }
        return same < 0 ? -1 : wrong_type(type, c->str_response_trailers);
    case CAM_ANSWER_COMPLETE:
        PyErr_Format(PyExc_RuntimeError,
                     "Unexpected ASGI message '%S' sent, after response already completed.", type);
        return -1;
    }
    return -1;
}

/* 0 when there is somebody to send to; 1 when what is sent is to be dropped; -1 with an exception.
 */
static int check_connected(CycleObject *self) {
    int gone = CamDisconnect_Check(self);
    return gone > 0 && self->server->options.send_raises ? CamDisconnect_Raise(self->state) : gone;
}

int CamCycle_SendPiece(CycleObject *self, PyObject *piece, bool more_body, bool last) {
    int gone = check_connected(self);
    if (gone != 0) {
        return gone < 0 ? -1 : 0;
    }
    cam_part part = {.bytes = piece,
                     .data = PyBytes_AS_STRING(piece),
                     .size = (size_t)PyBytes_GET_SIZE(piece),
                     .fd = -1};
    if (last) {
        self->pumping = false;
    }
    return CamSend_Part(self, &part, more_body || !last);
}

int CamCycle_SendWhole(CycleObject *self, int status, PyObject *headers, PyObject *body) {
    int gone = check_connected(self);
    if (gone != 0) {
        return gone < 0 ? -1 : 0;
    }
    if (self->answer != CAM_ANSWER_NONE || status < STATUS_MIN || status > STATUS_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "A whole response can only be sent first.");
        return -1;
    }
    if (CamResponse_BuildHead(self, status, headers) < 0) {
        return -1;
    }
    if (self->connection == NULL) {
        return 0;
    }
    if (self->details != NULL) {
        CamAccessDetails_Answer(self, headers);
    }
    self->answer = CAM_ANSWER_HELD;
    cam_part part = {.bytes = body,
                     .data = PyBytes_AS_STRING(body),
                     .size = (size_t)PyBytes_GET_SIZE(body),
                     .fd = -1};
    return CamSend_Part(self, &part, false);
}

int CamCycle_Send(RunObject *run, PyObject *event) {
    CycleObject *self = (CycleObject *)run;
    int gone = check_connected(self);
    if (gone != 0) {
        return gone < 0 ? -1 : 0;
    }
    PyObject *type;
    int found = CamSend_Lookup(event, self->state->asgi.str_type, &type);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetString(PyExc_KeyError, "the event given to send() has no 'type'");
        }
        return -1;
    }
    int result = take(self, type, event);
    Py_DECREF(type);
    return result;
}
