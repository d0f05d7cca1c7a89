/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a connection: heads that become requests, bodies that go to them, and requests
 * sent ahead (pipelined), which wait here until the one before them is answered.
 *
 * The bytes are parsed where they are, in the transport's buffer; only what cannot be used yet
 * is copied to HttpProtocolObject.input.
 */
#include "asgi/connection.h"

#include "compat.h"
#include "asgi/cycle.h"
#include "asgi/host.h"
#include "asgi/scope.h"
#include "asgi/timing.h"

enum { HEADER_CAPACITY = 128 };

static int refuse(HttpProtocolObject *self, int error) {
    return CamHttpProtocol_Refuse(self, cam_h1_error_status(error), cam_h1_error_text(error));
}

/* Begins the request whose head has been parsed: what follows it is its body. */
static int begin(HttpProtocolObject *self, const cam_h1_request *request) {
    self->scan = (cam_h1_scan){0};
    self->served = true;
    if (request->flags & CAM_H1_CHUNKED) {
        self->phase = CAM_PHASE_CHUNKED;
        cam_chunked_init(&self->chunked, NULL);
    } else if (request->content_length > 0) {
        self->phase = CAM_PHASE_LENGTH;
        self->body_left = (uint64_t)request->content_length;
    }
    if (request->flags & CAM_H1_UPGRADE && self->owner == NULL) {
        CamServer_Log(self->server, self->state->asgi.str_warning,
                      "Unsupported upgrade request: answered as plain HTTP, "
                      "because WebSocket and HTTP/2 are not supported yet.",
                      NULL);
    }
    CycleObject *cycle = CamCycle_New(self, request);
    if (cycle == NULL) {
        return -1;
    }
    if (self->transport.object == NULL || self->phase == CAM_PHASE_CLOSED) {
        Py_DECREF(cycle); /* closed by what ran meanwhile */
        return 0;
    }
    self->cycle = (CycleObject *)Py_NewRef(cycle);
    int result = CamTiming_Set(self, CAM_TIMING_NONE);
    if (result == 0) {
        result = CamRun_Start((RunObject *)cycle);
    }
    if (result < 0 && self->cycle == cycle) {
        PyObject *error = PyErr_GetRaisedException();
        CamHttpProtocol_DropCycle(self);
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(cycle);
    return result;
}

/* The bytes of a head at the start of data: how many it has, 0 if it is incomplete or refused,
 * or -1. */
static Py_ssize_t take_head(HttpProtocolObject *self, const char *data, size_t size) {
    cam_h1_header headers[HEADER_CAPACITY];
    cam_h1_request request;
    request.headers = headers;
    request.header_capacity = HEADER_CAPACITY;
    int result = cam_h1_parse_request(&request, data, size, &self->scan, &cam_h1_default_limits,
                                      self->memo_headers ? &self->memo : NULL);
    if (result == CAM_H1_MORE) {
        return 0;
    }
    if (result < 0) {
        return refuse(self, result);
    }
    if (request.flags & CAM_H1_UPGRADE && self->owner != NULL && cam_h1_has_no_body(&request)) {
        int taken = CamHost_Upgrade(self, data, size);
        if (taken != 0) {
            return taken < 0 ? -1 : (Py_ssize_t)size; /* the rest is in the other's hands */
        }
    }
    return begin(self, &request) < 0 ? -1 : result;
}

/* Data of the body: to the request, or away. */
static int give(HttpProtocolObject *self, const char *data, size_t size) {
    if (self->cycle != NULL) {
        return size ? CamCycle_AddBody(self->cycle, data, size) : 0;
    }
    if (size > self->drain_left) {
        return CamHttpProtocol_Linger(self);
    }
    self->drain_left -= size;
    return 0;
}

static void end_body(HttpProtocolObject *self) {
    self->phase = CAM_PHASE_HEAD;
    if (self->cycle != NULL) {
        CamCycle_EndBody(self->cycle);
    }
}

static Py_ssize_t take_length(HttpProtocolObject *self, const char *data, size_t size) {
    size_t part = self->body_left < size ? (size_t)self->body_left : size;
    self->body_left -= part;
    bool last = self->body_left == 0;
    if (last && self->cycle != NULL) {
        self->cycle->more_body = false; /* so that one event tells both */
    }
    if (give(self, data, part) < 0) {
        return -1;
    }
    if (last && self->phase == CAM_PHASE_LENGTH) {
        end_body(self);
    }
    return (Py_ssize_t)part;
}

static Py_ssize_t take_chunked(HttpProtocolObject *self, char *data, size_t size) {
    size_t consumed, written;
    int result = cam_chunked_gather(&self->chunked, data, size, &consumed, &written);
    if (result < 0) {
        return refuse(self, result);
    }
    if (result == CAM_CHUNKED_DONE && self->cycle != NULL) {
        self->cycle->more_body = false;
    }
    /* An unread body costs what it takes on the wire: endless empty chunks are no way out. */
    if (give(self, data, self->cycle ? written : consumed) < 0) {
        return -1;
    }
    if (result == CAM_CHUNKED_DONE && self->phase == CAM_PHASE_CHUNKED) {
        end_body(self);
    }
    return (Py_ssize_t)consumed;
}

/* Takes as many bytes as can be used now; how many, or -1. */
static Py_ssize_t feed(HttpProtocolObject *self, char *data, size_t size) {
    size_t at = 0;
    self->feeding = true;
    while (at < size) {
        Py_ssize_t taken = 0;
        switch ((cam_phase)self->phase) {
        case CAM_PHASE_HEAD:
            if (self->cycle == NULL && !self->writing_paused) {
                taken = take_head(self, data + at, size - at);
            }
            break;
        case CAM_PHASE_LENGTH:
            taken = take_length(self, data + at, size - at);
            break;
        case CAM_PHASE_CHUNKED:
            taken = take_chunked(self, data + at, size - at);
            break;
        case CAM_PHASE_CLOSED:
            taken = (Py_ssize_t)(size - at);
            break;
        }
        if (taken < 0) {
            self->feeding = false;
            return -1;
        }
        if (taken == 0 && self->phase != CAM_PHASE_CLOSED) {
            break;
        }
        at += (size_t)taken;
    }
    self->feeding = false;
    return (Py_ssize_t)at;
}

int CamInput_Receive(HttpProtocolObject *self, char *data, size_t size) {
    if (self->feeding || self->input.len > 0) {
        if (cam_buffer_append(&self->input, data, size) < 0) {
            return -1;
        }
        return self->feeding ? 0 : CamInput_Resume(self);
    }
    Py_ssize_t taken = feed(self, data, size);
    if (taken < 0) {
        return -1;
    }
    if (self->phase == CAM_PHASE_CLOSED) {
        cam_buffer_free(&self->input);
        return 0;
    }
    if ((size_t)taken < size) {
        /* Anything there now was received while the rest of this was being looked at. */
        cam_buffer later = self->input;
        self->input = (cam_buffer){0};
        int result = cam_buffer_append(&self->input, data + taken, size - (size_t)taken);
        if (result == 0) {
            result = cam_buffer_append(&self->input, later.ptr, later.len);
        }
        cam_buffer_free(&later);
        if (result < 0) {
            return -1;
        }
    }
    return CamHttpProtocol_Balance(self);
}

int CamInput_Resume(HttpProtocolObject *self) {
    if (self->feeding) {
        return 0;
    }
    /* The bytes are ours alone while user code may run. */
    cam_buffer held = self->input;
    self->input = (cam_buffer){0};
    Py_ssize_t taken = feed(self, held.ptr, held.len);
    if (taken < 0 || self->phase == CAM_PHASE_CLOSED) {
        cam_buffer_free(&held);
        cam_buffer_free(&self->input);
        return taken < 0 ? -1 : 0;
    }
    int result = 0;
    held.len -= (size_t)taken;
    if (held.len > 0) {
        memmove(held.ptr, held.ptr + taken, held.len);
        result = cam_buffer_append(&held, self->input.ptr, self->input.len);
        cam_buffer_free(&self->input);
        self->input = held;
    } else {
        cam_buffer_free(&held);
    }
    return result < 0 ? -1 : CamHttpProtocol_Balance(self);
}
