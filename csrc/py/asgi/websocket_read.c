/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket receives: frames, which become messages, which wait for receive().
 *
 * A message that is all there is made into its object straight from the transport's buffer. One
 * that comes in pieces is gathered in an object that becomes the message itself: bytes, or for
 * text, as long as all of it is ASCII, str. Other text is gathered in bytes, and decoded at its
 * end.
 */
#include "asgi/websocket.h"

#include "compat.h"

enum {
    MESSAGE_MIN = 64,         /* bytes of the first room for a message in pieces */
    MESSAGE_AHEAD = 64 << 10, /* of room made for bytes that were announced and may not come */
    QUEUE_MIN = 4,
    MESSAGE_COST = 64, /* about the bytes of a message beside what it says */
};

/* ---- the queue ---- */

/* What the messages that wait cost: a peer may send many that say nothing. */
static size_t waiting(const WebSocketObject *self) {
    return self->queue_bytes + self->queue_count * MESSAGE_COST;
}

bool CamWebSocket_IsFull(const WebSocketObject *self) {
    if (self->phase != CAM_WEBSOCKET_OPEN || self->queue_count == 0) {
        return false;
    }
    return self->queue_count >= self->server->options.ws_max_queue ||
           waiting(self) + self->message_len > CAM_WEBSOCKET_QUEUE;
}

/* Adds a message; steals its reference (also on error). */
static int push(WebSocketObject *self, PyObject *message, size_t size) {
    if (self->queue_count == self->queue_capacity) {
        size_t capacity = self->queue_capacity ? self->queue_capacity * 2 : QUEUE_MIN;
        cam_websocket_message *queue = PyMem_New(cam_websocket_message, capacity);
        if (queue == NULL) {
            Py_DECREF(message);
            PyErr_NoMemory();
            return -1;
        }
        for (size_t i = 0; i < self->queue_count; i++) {
            queue[i] = self->queue[(self->queue_first + i) % self->queue_capacity];
        }
        PyMem_Free(self->queue);
        self->queue = queue;
        self->queue_capacity = capacity;
        self->queue_first = 0;
    }
    self->queue[(self->queue_first + self->queue_count) % self->queue_capacity] =
        (cam_websocket_message){message, size};
    self->queue_count++;
    self->queue_bytes += size;
    return 0;
}

static PyObject *pop(WebSocketObject *self) {
    cam_websocket_message message = self->queue[self->queue_first];
    self->queue_first = (self->queue_first + 1) % self->queue_capacity;
    self->queue_count--;
    self->queue_bytes -= message.size;
    if (self->queue_count == 0 && self->queue_capacity > QUEUE_MIN) {
        PyMem_Free(self->queue);
        self->queue = NULL;
        self->queue_capacity = 0;
        self->queue_first = 0;
    }
    return message.object;
}

/* ---- frames ---- */

/* What is gathered is bytes or str. */

static char *room_of(PyObject *message) {
    return PyBytes_Check(message) ? PyBytes_AS_STRING(message) : PyUnicode_DATA(message);
}

static size_t capacity_of(PyObject *message) {
    return (size_t)(PyBytes_Check(message) ? PyBytes_GET_SIZE(message)
                                           : PyUnicode_GET_LENGTH(message));
}

/* On error NULL becomes the message. */
static int resize(PyObject **message, size_t size) {
    if (PyBytes_Check(*message)) {
        return _PyBytes_Resize(message, (Py_ssize_t)size);
    }
    if (PyUnicode_Resize(message, (Py_ssize_t)size) < 0) {
        Py_CLEAR(*message);
        return -1;
    }
    return 0;
}

/* Makes room for a piece, with what will follow it in its frame in mind; at first in a str if
 * `ascii`. */
static int reserve(WebSocketObject *self, size_t size, uint64_t rest, bool ascii) {
    size_t needed = self->message_len + size;
    size_t capacity = self->message ? capacity_of(self->message) : 0;
    if (self->message != NULL && capacity >= needed) {
        return 0;
    }
    size_t ahead = needed > MESSAGE_AHEAD ? needed : MESSAGE_AHEAD;
    size_t wanted = needed + (rest < ahead ? (size_t)rest : ahead);
    if (wanted < capacity + capacity / 2) {
        wanted = capacity + capacity / 2;
    }
    if (wanted < MESSAGE_MIN) {
        wanted = MESSAGE_MIN;
    }
    if (self->message == NULL) {
        self->message = ascii ? PyUnicode_New((Py_ssize_t)wanted, 127)
                              : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)wanted);
        return self->message ? 0 : -1;
    }
    if (resize(&self->message, wanted) < 0) {
        self->message_len = 0;
        return -1;
    }
    return 0;
}

/* A text that was ASCII so far is not any more: it is gathered in bytes from here on. */
static int leave_ascii(WebSocketObject *self) {
    PyObject *text = self->message;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, PyUnicode_GET_LENGTH(text));
    if (bytes == NULL) {
        return -1;
    }
    memcpy(PyBytes_AS_STRING(bytes), PyUnicode_DATA(text), self->message_len);
    Py_SETREF(self->message, bytes);
    return 0;
}

/* The message that has been gathered, without the room that is left. */
static PyObject *take_gathered(WebSocketObject *self) {
    PyObject *message = self->message;
    size_t len = self->message_len;
    self->message = NULL;
    self->message_len = 0;
    if (len < capacity_of(message)) {
        (void)resize(&message, len); /* NULL on error */
    }
    return message;
}

static int deliver(WebSocketObject *self, PyObject *message, size_t size) {
    if (push(self, message, size) < 0) {
        return -1;
    }
    CamRun_Wake((RunObject *)self);
    return 0;
}

/* A whole text. Python's decoder refuses what RFC 3629 does; it is slower than a look whether all
 * is ASCII, and a copy. Of one character there is a str already. */
static int deliver_text(WebSocketObject *self, const char *data, size_t size) {
    PyObject *text;
    if (size > 1 && cam_utf8_ascii(data, size) == size) {
        text = PyUnicode_New((Py_ssize_t)size, 127);
        if (text != NULL) {
            memcpy(PyUnicode_DATA(text), data, size);
        }
    } else {
        text = PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, NULL);
    }
    if (text != NULL) {
        return deliver(self, text, size);
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        return -1;
    }
    PyErr_Clear();
    return cam_websocket_end_by_peer(self, CAM_WS_E_UTF8);
}

/* Takes payload as it is to be received. `owner` is NULL or the bytes object that it is all of. */
static int take_payload(WebSocketObject *self, const cam_ws_piece *piece, PyObject *owner,
                        const char *data, size_t size, uint64_t rest) {
    bool text = piece->opcode == CAM_WS_TEXT;
    if (piece->begins && piece->ends) {
        if (text) {
            return deliver_text(self, data, size);
        }
        PyObject *message =
            owner ? Py_NewRef(owner) : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
        return message ? deliver(self, message, size) : -1;
    }
    if (piece->begins) {
        self->utf8 = (cam_utf8){0};
    }
    bool ascii = text && (self->message == NULL || PyUnicode_Check(self->message));
    if (ascii && cam_utf8_ascii(data, size) < size) {
        ascii = false;
        if (self->message != NULL && leave_ascii(self) < 0) {
            return -1;
        }
    }
    if (text && !ascii && !cam_utf8_feed(&self->utf8, data, size)) {
        return cam_websocket_end_by_peer(self, CAM_WS_E_UTF8);
    }
    if (reserve(self, size, rest, ascii) < 0) {
        return -1;
    }
    memcpy(room_of(self->message) + self->message_len, data, size);
    self->message_len += size;
    if (!piece->ends) {
        return 0;
    }
    if (text && !cam_utf8_complete(&self->utf8)) {
        return cam_websocket_end_by_peer(self, CAM_WS_E_UTF8);
    }
    PyObject *gathered = take_gathered(self);
    if (gathered == NULL) {
        return -1;
    }
    size = capacity_of(gathered);
    if (!text || PyUnicode_Check(gathered)) {
        return deliver(self, gathered, size);
    }
    int result = deliver_text(self, PyBytes_AS_STRING(gathered), size);
    Py_DECREF(gathered);
    return result;
}

static int take_compressed(WebSocketObject *self, const cam_ws_piece *piece) {
    if (piece->payload.len == 0 && !piece->ends && !piece->begins) {
        return 0;
    }
    size_t limit = self->server->options.ws_max_size - self->message_len;
    PyObject *data = CamDeflate_Inflate(self->state, self->codec, piece->payload.ptr,
                                        piece->payload.len, piece->begins, piece->ends, limit);
    if (data == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear();
        return cam_websocket_end_by_peer(self, CAM_WS_E_INFLATE);
    }
    int result = 0;
    size_t size = (size_t)PyBytes_GET_SIZE(data);
    if (size > limit) {
        result = cam_websocket_end_by_peer(self, CAM_WS_E_MESSAGE_LENGTH);
    } else if (self->phase == CAM_WEBSOCKET_OPEN) {
        result = take_payload(self, piece, data, PyBytes_AS_STRING(data), size, 0);
    }
    Py_DECREF(data);
    return result;
}

static int take_data(WebSocketObject *self, const cam_ws_piece *piece) {
    if (self->phase != CAM_WEBSOCKET_OPEN) {
        return 0; /* between our close frame and the peer's: nobody will receive it */
    }
    if (piece->compressed) {
        return take_compressed(self, piece);
    }
    return take_payload(self, piece, NULL, piece->payload.ptr, piece->payload.len, piece->rest);
}

static int take_ping(WebSocketObject *self, cam_slice payload) {
    if (self->phase != CAM_WEBSOCKET_OPEN) {
        return 0;
    }
    if (!self->connection->writing_paused) {
        return cam_websocket_write_control(self, CAM_WS_PONG, payload.ptr, payload.len);
    }
    /* The peer does not read: only the last of its pings need be answered (RFC 6455 section
     * 5.5.3), and no more than that is kept. */
    PyObject *pong = PyBytes_FromStringAndSize(payload.ptr, (Py_ssize_t)payload.len);
    if (pong == NULL) {
        return -1;
    }
    Py_XSETREF(self->pong, pong);
    return 0;
}

static int take_pong(WebSocketObject *self, cam_slice payload) {
    if (self->phase != CAM_WEBSOCKET_OPEN || !self->ping_pending ||
        payload.len != sizeof self->ping_number ||
        memcmp(payload.ptr, &self->ping_number, sizeof self->ping_number) != 0) {
        return 0; /* unasked for, or late: RFC 6455 section 5.5.3 */
    }
    self->ping_pending = false;
    return cam_websocket_time_ping(self);
}

static int take_control(WebSocketObject *self, const cam_ws_piece *piece) {
    switch (piece->opcode) {
    case CAM_WS_PING:
        return take_ping(self, piece->payload);
    case CAM_WS_PONG:
        return take_pong(self, piece->payload);
    default:
        return cam_websocket_take_close(self, piece->payload);
    }
}

Py_ssize_t CamWebSocket_Feed(WebSocketObject *self, char *data, size_t size) {
    if (self->phase < CAM_WEBSOCKET_OPEN) {
        return 0; /* a peer that does not wait for the answer to its handshake */
    }
    if (self->put_off != 0) {
        return (Py_ssize_t)size; /* it means nothing */
    }
    Py_INCREF(self);
    self->heard = true;
    size_t at = 0;
    int result = 0;
    while (result == 0 && at < size && self->phase != CAM_WEBSOCKET_CLOSED && self->put_off == 0 &&
           !CamWebSocket_IsFull(self)) {
        cam_ws_piece piece;
        size_t consumed;
        int found = cam_ws_decode(&self->decoder, data + at, size - at, &consumed, &piece);
        at += consumed;
        if (found == CAM_WS_DATA) {
            result = take_data(self, &piece);
        } else if (found == CAM_WS_CONTROL) {
            result = take_control(self, &piece);
        } else if (found < 0) {
            result = cam_websocket_end_by_peer(self, found);
        }
    }
    if (self->phase == CAM_WEBSOCKET_CLOSED || self->put_off != 0) {
        at = size;
    }
    Py_DECREF(self);
    return result < 0 ? -1 : (Py_ssize_t)at;
}

/* ---- receive() ---- */

/* {"type": type, key: value}; steals value, which may be NULL for an error. */
static PyObject *new_event(const cam_asgi_constants *c, PyObject *type, PyObject *key,
                           PyObject *value) {
    PyObject *event = value ? PyDict_New() : NULL;
    if (event != NULL &&
        (PyDict_SetItem(event, c->str_type, type) < 0 || PyDict_SetItem(event, key, value) < 0)) {
        Py_CLEAR(event);
    }
    Py_XDECREF(value);
    return event;
}

static PyObject *connect_event(const cam_asgi_constants *c) {
    PyObject *event = PyDict_New();
    if (event != NULL && PyDict_SetItem(event, c->str_type, c->str_websocket_connect) < 0) {
        Py_CLEAR(event);
    }
    return event;
}

/* The code of an end that is known is a code of the WebSocket protocol, 1005 and 1006 included. */
static PyObject *disconnect_event(const WebSocketObject *self) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *event =
        new_event(c, c->str_websocket_disconnect, c->str_code, PyLong_FromLong(self->close_code));
    if (event != NULL && self->close_reason != NULL &&
        PyDict_SetItem(event, c->str_reason, self->close_reason) < 0) {
        Py_CLEAR(event);
    }
    return event;
}

/* Some messages have been taken: decodes what was held back, and reads on. */
static int read_on(WebSocketObject *self) {
    HttpProtocolObject *connection = self->connection;
    if (connection == NULL || connection->feeding ||
        (connection->input.len == 0 && !connection->reading_paused)) {
        return 0;
    }
    /* Not after each message: what is held back would be moved each time. */
    if (self->queue_count > self->server->options.ws_max_queue / 2 ||
        waiting(self) > CAM_WEBSOCKET_QUEUE / 2) {
        return 0;
    }
    Py_INCREF(connection);
    int result = CamInput_Resume(connection);
    if (result < 0) {
        /* As a transport does with what data_received() raises: the event must not be lost. */
        PyErr_WriteUnraisable((PyObject *)connection);
        result = CamTransport_Abort(connection->state, connection->transport);
    }
    Py_DECREF(connection);
    return result;
}

int cam_websocket_receive(RunObject *run, PyObject **event) {
    WebSocketObject *self = (WebSocketObject *)run;
    const cam_asgi_constants *c = &self->state->asgi;
    if (!self->connect_told) {
        self->connect_told = true;
        *event = connect_event(c);
    } else if (self->queue_count > 0) {
        PyObject *message = pop(self);
        *event = new_event(c, c->str_websocket_receive,
                           PyBytes_CheckExact(message) ? c->str_bytes : c->str_text, message);
        if (*event != NULL && read_on(self) < 0) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    } else if (self->ended) {
        if (self->put_off != 0 && cam_websocket_end_now(self) < 0) {
            return -1;
        }
        *event = disconnect_event(self);
    } else {
        return 0;
    }
    return *event ? 1 : -1;
}
