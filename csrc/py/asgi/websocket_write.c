/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket sends: each message is one frame, and its head and payload leave in one write.
 *
 * A large bytes object is not copied, nor is a large str in ASCII but over TLS, any other str once
 * (our own transports send at the end of the loop's turn whatever was written in pieces until then;
 * another loop's are given one object).
 */
#include "asgi/websocket.h"

#include "compat.h"
#include "asgi/disconnect.h"
#include "asgi/send.h"

enum {
    JOIN_LIMIT = 16 * 1024, /* payloads up to this are copied into the transport's own memory */
    SMALL_FRAME = 1024,     /* frames up to this are put together first, for one write */
};

/* ---- frames ---- */

/* Writes a payload that is too large to be copied. */
static int write_whole(cam_state *state, cam_transport transport, PyObject *object) {
    return PyBytes_Check(object) ? CamTransport_WriteBytes(state, transport, object)
                                 : CamTransport_WriteText(state, transport, object);
}

/* Writes head and payload from `data`; `object` is the bytes object or the ASCII str that it is all
 * of, or NULL. */
static int write_frame(WebSocketObject *self, unsigned first, PyObject *object, const char *data,
                       size_t size) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    cam_transport transport = connection->transport;
    char head[CAM_WS_MAX_HEAD];
    size_t head_size = cam_ws_write_head(head, CAM_WS_FIN | first, size, NULL);
    bool kept = object != NULL && (PyBytes_Check(object) || (PyUnicode_CheckExact(object) &&
                                                             CamTransport_KeepsText(transport)));
    bool joins = transport.kind == CAM_TRANSPORT_OTHER || (!kept && size > JOIN_LIMIT);
    int result;
    if (joins) {
        PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(head_size + size));
        result = -1;
        if (frame != NULL) {
            memcpy(PyBytes_AS_STRING(frame), head, head_size);
            memcpy(PyBytes_AS_STRING(frame) + head_size, data, size);
            result = CamTransport_WriteBytes(self->state, transport, frame);
            Py_DECREF(frame);
        }
    } else if (head_size + size <= SMALL_FRAME) {
        char frame[SMALL_FRAME];
        memcpy(frame, head, head_size);
        memcpy(frame + head_size, data, size);
        result = CamTransport_Write(self->state, transport, frame, head_size + size);
    } else {
        result = CamTransport_Write(self->state, transport, head, head_size);
        if (result == 0) {
            result = size > JOIN_LIMIT ? write_whole(self->state, transport, object)
                                       : CamTransport_Write(self->state, transport, data, size);
        }
    }
    if (result < 0) {
        /* Half of a frame may be out, and what is not will never come. */
        PyObject *error = PyErr_GetRaisedException();
        if (CamTransport_Abort(self->state, transport) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(connection);
    return result;
}

int cam_websocket_write_control(WebSocketObject *self, unsigned opcode, const char *payload,
                                size_t size) {
    if (self->connection == NULL) {
        return 0;
    }
    return write_frame(self, opcode, NULL, payload, size);
}

/* ---- messages ---- */

static int write_compressed(WebSocketObject *self, unsigned opcode, PyObject *bytes) {
    PyObject *payload = CamDeflate_Compress(self->state, self->codec, bytes);
    if (payload == NULL) {
        return -1;
    }
    int result = 0;
    if (self->phase == CAM_WEBSOCKET_OPEN) {
        result = write_frame(self, CAM_WS_RSV1 | opcode, payload, PyBytes_AS_STRING(payload),
                             (size_t)PyBytes_GET_SIZE(payload));
    }
    Py_DECREF(payload);
    return result;
}

/* `object` as for write_frame. */
static int write_message(WebSocketObject *self, unsigned opcode, PyObject *object, const char *data,
                         size_t size) {
    if (self->phase != CAM_WEBSOCKET_OPEN) {
        return 0; /* closed while the event was looked at */
    }
    if (self->codec == NULL || size < CAM_DEFLATE_MIN) {
        return write_frame(self, opcode, object, data, size);
    }
    PyObject *payload = object != NULL && PyBytes_Check(object)
                            ? Py_NewRef(object)
                            : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    int result = payload ? write_compressed(self, opcode, payload) : -1;
    Py_XDECREF(payload);
    return result;
}

static int write_text(WebSocketObject *self, PyObject *text) {
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "websocket.send: 'text' must be a str, not %.100s",
                     Py_TYPE(text)->tp_name);
        return -1;
    }
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        return write_message(self, CAM_WS_TEXT, text, PyUnicode_DATA(text),
                             (size_t)PyUnicode_GET_LENGTH(text));
    }
    /* Not PyUnicode_AsUTF8(), which would keep the copy with the str. */
    PyObject *bytes = PyUnicode_AsUTF8String(text);
    if (bytes == NULL) {
        return -1;
    }
    int result = write_message(self, CAM_WS_TEXT, bytes, PyBytes_AS_STRING(bytes),
                               (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return result;
}

static int write_binary(WebSocketObject *self, PyObject *data) {
    if (PyBytes_CheckExact(data)) {
        return write_message(self, CAM_WS_BINARY, data, PyBytes_AS_STRING(data),
                             (size_t)PyBytes_GET_SIZE(data));
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int result = write_message(self, CAM_WS_BINARY, NULL, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result;
}

/* websocket.send: of "bytes" and "text" the one that is not None, as in uvicorn bytes first. */
static int send_message(WebSocketObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *data = NULL;
    if (PyDict_CheckExact(event) && PyDict_GET_SIZE(event) == 2) { /* the type and one of them */
        PyObject *text = PyDict_GetItemWithError(event, c->str_text);
        if (text != NULL && PyUnicode_CheckExact(text)) {
            Py_INCREF(text);
            int sent = write_text(self, text);
            Py_DECREF(text);
            return sent;
        }
        if (text == NULL && PyErr_Occurred()) {
            return -1;
        }
    }
    if (CamSend_Lookup(event, c->str_bytes, &data) < 0) {
        return -1;
    }
    int result;
    if (data != NULL && data != Py_None) {
        result = write_binary(self, data);
        Py_DECREF(data);
        return result;
    }
    Py_XDECREF(data);
    if (CamSend_Lookup(event, c->str_text, &data) < 0) {
        return -1;
    }
    if (data == NULL || data == Py_None) {
        PyErr_SetString(PyExc_RuntimeError, "websocket.send needs 'bytes' or 'text'.");
        result = -1;
    } else {
        result = write_text(self, data);
    }
    Py_XDECREF(data);
    return result;
}

/* ---- websocket.close ---- */

static int read_code(PyObject *event, PyObject *key, unsigned *code) {
    PyObject *value = NULL;
    if (CamSend_Lookup(event, key, &value) < 0) {
        return -1;
    }
    long number = CAM_WS_CLOSE_NORMAL;
    if (value != NULL && value != Py_None) {
        number = PyLong_AsLong(value);
    }
    Py_XDECREF(value);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (number < 0 || !cam_ws_close_code_may_be_sent((unsigned)number)) {
        PyErr_Format(PyExc_RuntimeError,
                     "Invalid WebSocket close code %ld: it must be one that may be sent, 1000 to "
                     "1014 but 1004 to 1006, or 3000 to 4999.",
                     number);
        return -1;
    }
    *code = (unsigned)number;
    return 0;
}

static int send_close(WebSocketObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    unsigned code;
    PyObject *reason = NULL;
    if (read_code(event, c->str_code, &code) < 0 ||
        CamSend_Lookup(event, c->str_reason, &reason) < 0) {
        return -1;
    }
    cam_slice text = {"", 0};
    int result = 0;
    if (reason != NULL && reason != Py_None) {
        Py_ssize_t len;
        text.ptr = PyUnicode_Check(reason) ? PyUnicode_AsUTF8AndSize(reason, &len) : NULL;
        if (text.ptr == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_TypeError, "websocket.close: 'reason' must be a str, not %.100s",
                             Py_TYPE(reason)->tp_name);
            }
            result = -1;
        } else {
            text.len = (size_t)len;
        }
    }
    if (result == 0 && self->phase == CAM_WEBSOCKET_OPEN) {
        self->by_application = true;
        result = cam_websocket_begin_close(self, code, text);
    }
    Py_XDECREF(reason);
    return result;
}

/* ---- send() ---- */

int cam_websocket_waited(RunObject *run) {
    WebSocketObject *self = (WebSocketObject *)run;
    /* What is not known to be on its way has not been sent. */
    return self->phase == CAM_WEBSOCKET_CLOSED && !self->by_application
               ? CamDisconnect_Raise(self->state)
               : 0;
}

/* 1, 0 or -1. */
static int is_type(PyObject *type, PyObject *wanted) {
    return type == wanted ? 1 : PyObject_RichCompareBool(type, wanted, Py_EQ);
}

/* The type is none of those that may come now. */
static int unexpected(PyObject *type, const char *expected) {
    PyErr_Format(PyExc_RuntimeError, "Expected ASGI message %s but got '%S'.", expected, type);
    return -1;
}

static int answer_handshake(WebSocketObject *self, PyObject *event, PyObject *type) {
    const cam_asgi_constants *c = &self->state->asgi;
    int same = is_type(type, c->str_websocket_accept);
    if (same != 0) {
        return same < 0 ? -1 : cam_websocket_accept(self, event);
    }
    same = is_type(type, c->str_websocket_close);
    if (same != 0) {
        if (same > 0) {
            self->by_application = true;
        }
        return same < 0 ? -1 : cam_websocket_forbid(self);
    }
    same = is_type(type, c->str_websocket_response_start);
    if (same != 0) {
        return same < 0 ? -1 : cam_websocket_deny(self, event, type);
    }
    return unexpected(type, "'websocket.accept', 'websocket.close' or "
                            "'websocket.http.response.start'");
}

static int send_open(WebSocketObject *self, PyObject *event, PyObject *type) {
    const cam_asgi_constants *c = &self->state->asgi;
    int same = is_type(type, c->str_websocket_send);
    if (same != 0) {
        return same < 0 ? -1 : send_message(self, event);
    }
    same = is_type(type, c->str_websocket_close);
    if (same != 0) {
        return same < 0 ? -1 : send_close(self, event);
    }
    return unexpected(type, "'websocket.send' or 'websocket.close',");
}

int cam_websocket_send(RunObject *run, PyObject *event) {
    WebSocketObject *self = (WebSocketObject *)run;
    PyObject *type = NULL;
    int found = CamSend_Lookup(event, self->state->asgi.str_type, &type);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetObject(PyExc_KeyError, self->state->asgi.str_type);
        }
        return -1;
    }
    int result = -1;
    switch ((cam_websocket_phase)self->phase) {
    case CAM_WEBSOCKET_CONNECTING:
        result = answer_handshake(self, event, type);
        break;
    case CAM_WEBSOCKET_DENYING:
        result = cam_websocket_deny(self, event, type);
        break;
    case CAM_WEBSOCKET_OPEN: {
        /* A write that fails is reported in a later turn of the loop, which an application that
         * never has to wait would not let come. */
        int gone = CamTransport_IsClosing(self->state, self->connection->transport);
        if (gone == 0) {
            result = send_open(self, event, type);
        } else if (gone > 0) {
            (void)CamDisconnect_Raise(self->state);
        }
        break;
    }
    case CAM_WEBSOCKET_CLOSING:
    case CAM_WEBSOCKET_CLOSED:
        if (self->by_application) {
            PyErr_Format(PyExc_RuntimeError,
                         "Unexpected ASGI message '%S', after sending 'websocket.close'.", type);
        } else {
            (void)CamDisconnect_Raise(self->state);
        }
        break;
    }
    Py_DECREF(type);
    return result;
}
