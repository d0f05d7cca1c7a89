/* SPDX-License-Identifier: MIT */
/* The end of a WebSocket: close frames, pings that are not answered, a connection that is lost. */
#include "asgi/websocket.h"

#include "compat.h"
#include "asgi/cycle.h"
#include "asgi/timing.h"

/* Nanoseconds: how long the application may take to take what it was sent before the peer's end. */
static const int64_t ANSWER_TIMEOUT = 1000000000;

/* ---- the state at the end ---- */

int cam_websocket_note_end(WebSocketObject *self, unsigned code, const cam_slice *reason) {
    if (self->ended) {
        return 0;
    }
    if (reason != NULL) {
        self->close_reason = PyUnicode_DecodeUTF8(reason->ptr, (Py_ssize_t)reason->len, "replace");
        if (self->close_reason == NULL) {
            return -1;
        }
    }
    self->close_code = (uint16_t)code;
    self->ended = true;
    return 0;
}

void cam_websocket_detach(WebSocketObject *self) {
    HttpProtocolObject *connection = self->connection;
    if (connection == NULL) {
        return;
    }
    bool was_open = self->phase == CAM_WEBSOCKET_OPEN || self->phase == CAM_WEBSOCKET_CLOSING;
    self->phase = CAM_WEBSOCKET_CLOSED;
    Py_INCREF(self);
    if (connection->websocket == self) {
        connection->websocket = NULL;
        Py_DECREF(self);
        if (connection->timing == CAM_TIMING_WEBSOCKET) {
            connection->timing = CAM_TIMING_NONE;
        }
    }
    /* What only a connection needs. */
    Py_CLEAR(self->message);
    Py_CLEAR(self->pong);
    Py_CLEAR(self->answer);
    if (!self->ended) {
        self->close_code = CAM_WS_CLOSE_ABNORMAL;
        self->ended = true;
    }
    if (was_open && self->server->metrics != NULL) {
        self->server->metrics->websockets--;
    }
    if (was_open) {
        CamServer_Log(self->server, self->state->asgi.str_info, "connection closed", NULL);
    }
    CamRun_Detach((RunObject *)self);
    Py_DECREF(self);
}

/* Ends the connection after what has been written. */
static int close_transport(WebSocketObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    connection->phase = CAM_PHASE_CLOSED;
    cam_websocket_detach(self);
    int result = CamHttpProtocol_Close(connection);
    Py_DECREF(connection);
    return result;
}

/* The same for a peer that may still be sending. */
static int linger(WebSocketObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    connection->phase = CAM_PHASE_CLOSED;
    cam_websocket_detach(self);
    int result = CamHttpProtocol_Linger(connection);
    Py_DECREF(connection);
    return result;
}

/* ---- time limits ---- */

static int set_deadline(WebSocketObject *self, int64_t when) {
    HttpProtocolObject *connection = self->connection;
    self->deadline = when;
    if (connection->timing != CAM_TIMING_WEBSOCKET) {
        return CamTiming_Settle(connection);
    }
    connection->deadline = when;
    return CamSweep_File(self->server, connection, when);
}

static int wait_for_close(WebSocketObject *self) {
    return set_deadline(self, CamServer_Now() + self->server->options.ws_close_timeout);
}

/* ---- close frames ---- */

static int write_close(WebSocketObject *self, unsigned code, cam_slice reason) {
    char payload[CAM_WS_MAX_CONTROL];
    size_t size = cam_ws_close_write(payload, code, reason);
    return cam_websocket_write_control(self, CAM_WS_CLOSE, payload, size);
}

int cam_websocket_begin_close(WebSocketObject *self, unsigned code, cam_slice reason) {
    if (self->put_off != 0) {
        return cam_websocket_end_now(self);
    }
    if (cam_websocket_note_end(self, code, &reason) < 0) {
        return -1;
    }
    self->phase = CAM_WEBSOCKET_CLOSING;
    Py_CLEAR(self->message); /* what still comes is dropped */
    if (write_close(self, code, reason) < 0) {
        return -1;
    }
    if (self->connection == NULL) {
        return 0; /* lost while it was written */
    }
    if (wait_for_close(self) < 0) {
        return -1;
    }
    CamRun_Wake((RunObject *)self);
    /* Messages that nobody takes must not keep the peer's close frame from being read. */
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_XNewRef(self->connection);
    int result = connection ? CamInput_Resume(connection) : 0;
    Py_XDECREF(connection);
    return result;
}

int cam_websocket_take_close(WebSocketObject *self, cam_slice payload) {
    cam_ws_close close;
    int error = cam_ws_close_read(&close, payload.ptr, payload.len);
    if (self->phase == CAM_WEBSOCKET_CLOSING) {
        return close_transport(self); /* the answer to ours: both have said it */
    }
    if (error < 0) {
        return cam_websocket_end_by_peer(self, error);
    }
    if (cam_websocket_note_end(self, close.code, &close.reason) < 0) {
        return -1;
    }
    return cam_websocket_end_by_peer(self, CAM_WEBSOCKET_PEER_CLOSE);
}

int cam_websocket_break_off(WebSocketObject *self, unsigned code, const char *reason) {
    cam_slice text = {reason, strlen(reason)};
    if (self->phase == CAM_WEBSOCKET_OPEN) {
        if (cam_websocket_note_end(self, code, &text) < 0 || write_close(self, code, text) < 0) {
            return -1;
        }
    }
    return self->connection ? linger(self) : 0;
}

/* Says close to a peer that has said it. */
static int answer_close(WebSocketObject *self) {
    Py_ssize_t size = 0;
    const char *reason = "";
    if (self->close_reason != NULL) {
        reason = PyUnicode_AsUTF8AndSize(self->close_reason, &size);
        if (reason == NULL) {
            return -1;
        }
    }
    if (write_close(self, self->close_code, (cam_slice){reason, (size_t)size}) < 0) {
        return -1;
    }
    /* RFC 6455 section 7.1.1: it is for the server to close the connection first. */
    return self->connection ? close_transport(self) : 0;
}

int cam_websocket_end_now(WebSocketObject *self) {
    int how = self->put_off;
    self->put_off = 0;
    if (self->connection == NULL) {
        return 0;
    }
    if (how == CAM_WEBSOCKET_PEER_CLOSE) {
        return answer_close(self);
    }
    return cam_websocket_break_off(self, (unsigned)cam_ws_error_code(how), cam_ws_error_text(how));
}

int cam_websocket_end_by_peer(WebSocketObject *self, int how) {
    self->put_off = (int16_t)how;
    if (self->phase != CAM_WEBSOCKET_OPEN || self->queue_count == 0) {
        return cam_websocket_end_now(self);
    }
    if (how < 0) {
        cam_slice text = {cam_ws_error_text(how), strlen(cam_ws_error_text(how))};
        if (cam_websocket_note_end(self, (unsigned)cam_ws_error_code(how), &text) < 0) {
            return -1;
        }
    }
    Py_CLEAR(self->message); /* it will never be whole */
    self->message_len = 0;
    return set_deadline(self, CamServer_Now() + ANSWER_TIMEOUT);
}

/* ---- pings ---- */

int cam_websocket_time_ping(WebSocketObject *self) {
    const cam_server_options *options = &self->server->options;
    if (options->ws_ping_interval <= 0 || options->ws_ping_interval >= CAM_FOREVER) {
        return 0;
    }
    bool waits = self->ping_pending && options->ws_ping_timeout < CAM_FOREVER;
    /* From the last ping on, so that the time its pong took does not add to the interval. */
    return set_deadline(self, self->ping_time +
                                  (waits ? options->ws_ping_timeout : options->ws_ping_interval));
}

static int send_ping(WebSocketObject *self) {
    self->ping_time = CamServer_Now();
    /* Not to be guessed from the last: a pong proves that the ping was read. */
    self->ping_number = self->ping_number * 1664525U + (uint32_t)(self->ping_time >> 20) +
                        (uint32_t)((uintptr_t)self >> 4);
    char payload[sizeof self->ping_number];
    memcpy(payload, &self->ping_number, sizeof payload);
    self->ping_pending = true;
    self->heard = false;
    if (cam_websocket_write_control(self, CAM_WS_PING, payload, sizeof payload) < 0) {
        return -1;
    }
    return self->connection ? cam_websocket_time_ping(self) : 0;
}

/* The pong did not come in time. */
static int ping_timeout(WebSocketObject *self) {
    HttpProtocolObject *connection = self->connection;
    /* Unless it cannot have been read: because we do not read, or because it is queued behind the
     * rest of a long message that is coming in. */
    bool excused = connection->reading_paused || (self->heard && cam_ws_in_message(&self->decoder));
    if (excused) {
        self->ping_time = CamServer_Now();
        self->heard = false;
        return cam_websocket_time_ping(self);
    }
    if (self->server->options.trace) {
        cam_websocket_trace(self, "%sWebSocket keepalive ping timeout");
        if (self->connection == NULL) {
            return 0;
        }
    }
    int unsent = CamTransport_HasUnsent(self->state, connection->transport);
    if (unsent < 0) {
        return -1;
    }
    if (unsent > 0 && self->connection != NULL) {
        /* It does not read either: a close frame would not reach it. */
        cam_slice reason = {"keepalive ping timeout", 22};
        Py_INCREF(connection);
        int result = cam_websocket_note_end(self, CAM_WS_CLOSE_INTERNAL_ERROR, &reason);
        connection->phase = CAM_PHASE_CLOSED;
        cam_websocket_detach(self);
        if (result == 0) {
            result = CamTransport_Abort(connection->state, connection->transport);
        }
        Py_DECREF(connection);
        return result;
    }
    return self->connection ? cam_websocket_break_off(self, CAM_WS_CLOSE_INTERNAL_ERROR,
                                                      "keepalive ping timeout")
                            : 0;
}

int CamWebSocket_Expire(WebSocketObject *self) {
    HttpProtocolObject *connection = self->connection;
    if (self->phase == CAM_WEBSOCKET_OPEN && self->put_off != 0) {
        return cam_websocket_end_now(self);
    }
    if (self->phase == CAM_WEBSOCKET_OPEN) {
        bool waits = self->ping_pending && self->server->options.ws_ping_timeout < CAM_FOREVER;
        return waits ? ping_timeout(self) : send_ping(self);
    }
    if (self->phase != CAM_WEBSOCKET_CLOSING) {
        return 0;
    }
    int unsent = CamTransport_HasUnsent(self->state, connection->transport);
    if (unsent < 0 || self->connection == NULL) {
        return unsent < 0 ? -1 : 0;
    }
    if (unsent > 0) {
        /* The peer reads slowly what comes before the close frame: as with HTTP, it may. */
        return wait_for_close(self);
    }
    return close_transport(self);
}

/* ---- what happens to the connection ---- */

int CamWebSocket_Eof(WebSocketObject *self) {
    if (self->phase == CAM_WEBSOCKET_DENYING) {
        return !self->connection->secure; /* it may still read the answer */
    }
    /* Without a close frame: RFC 6455 section 7.1.5. */
    self->connection->phase = CAM_PHASE_CLOSED;
    cam_websocket_detach(self);
    return 0;
}

int CamWebSocket_ResumeWriting(WebSocketObject *self) {
    Py_INCREF(self);
    int result = 0;
    PyObject *pong = self->pong;
    self->pong = NULL;
    if (pong != NULL && self->phase == CAM_WEBSOCKET_OPEN) {
        result = cam_websocket_write_control(self, CAM_WS_PONG, PyBytes_AS_STRING(pong),
                                             (size_t)PyBytes_GET_SIZE(pong));
    }
    Py_XDECREF(pong);
    CamRun_Wake((RunObject *)self);
    Py_DECREF(self);
    return result;
}

void CamWebSocket_Lost(WebSocketObject *self) {
    cam_websocket_detach(self);
}

int CamWebSocket_Shutdown(WebSocketObject *self, unsigned code) {
    int result = 0;
    Py_INCREF(self);
    switch ((cam_websocket_phase)self->phase) {
    case CAM_WEBSOCKET_CONNECTING:
        result = cam_websocket_fail(self, 503);
        break;
    case CAM_WEBSOCKET_OPEN:
        result = cam_websocket_note_end(self, code, NULL);
        if (result == 0) {
            result = write_close(self, code, (cam_slice){"", 0});
        }
        if (result == 0 && self->connection != NULL) {
            result = linger(self);
        }
        break;
    case CAM_WEBSOCKET_CLOSING:
        result = close_transport(self);
        break;
    case CAM_WEBSOCKET_DENYING: /* the answer ends the connection */
    case CAM_WEBSOCKET_CLOSED:
        break;
    }
    Py_DECREF(self);
    return result;
}
