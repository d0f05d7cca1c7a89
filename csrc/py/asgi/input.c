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
#include "asgi/admission.h"
#include "asgi/cycle.h"
#include "asgi/host.h"
#include "asgi/scope.h"
#include "asgi/timing.h"
#include "asgi/websocket.h"

enum {
    HEADER_CAPACITY = 128, /* with more than these, memory is taken for each head */
    HEADER_BYTES = 4,      /* of the shortest header line, "a:" and its end */
};

static int refuse(HttpProtocolObject *self, int error) {
    return CamHttpProtocol_Refuse(self, cam_h1_error_status(error), cam_h1_error_text(error));
}

static uint32_t clip(size_t size) {
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* The connection begins as TLS does: with the record type of a handshake (RFC 8446, section 5.1).
 * Whoever sends that would not understand an answer in HTTP. */
static int refuse_tls(HttpProtocolObject *self) {
    self->phase = CAM_PHASE_CLOSED;
    CamServer_Log(self->server, self->state->asgi.str_warning,
                  "A TLS handshake on a port without TLS: the connection is closed.", NULL);
    return CamHttpProtocol_Linger(self);
}

/* Begins the request whose head has been parsed: what follows it is its body. */
static int begin(HttpProtocolObject *self, const cam_h1_request *request) {
    const cam_server_options *options = &self->server->options;
    self->scan = (cam_h1_scan){0};
    self->requests += self->requests < UINT32_MAX;
    if (request->content_length > 0 && (uint64_t)request->content_length > options->body_bytes) {
        return refuse(self, CAM_H1_E_BODY_LENGTH);
    }
    if (request->flags & CAM_H1_CHUNKED) {
        const cam_chunked_limits limits = {
            .max_extension_bytes = clip(options->extension_bytes),
            .max_trailer_bytes = clip(options->trailer_bytes),
        };
        self->phase = CAM_PHASE_CHUNKED;
        self->body_left = options->body_bytes;
        cam_chunked_init(&self->chunked, &limits);
    } else if (request->content_length > 0) {
        self->phase = CAM_PHASE_LENGTH;
        self->body_left = (uint64_t)request->content_length;
    }
    /* With a host that speaks WebSocket itself, it has been asked and has said no. */
    if (request->flags & CAM_H1_UPGRADE && (self->owner == NULL || options->websocket)) {
        int taken = options->websocket ? CamWebSocket_Begin(self, request) : 0;
        if (taken != 0) {
            return taken < 0 ? -1 : 0;
        }
        CamServer_Log(self->server, self->state->asgi.str_warning, "Unsupported upgrade request.",
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
    if (self->requests >= options->connection_requests) {
        cycle->keep_alive = false;
    }
    if (result == 0) {
        /* What the server itself shows, its metrics, is wanted most when it is full. */
        bool full = CamAdmission_IsFull(self->server) && cycle->app == self->server->app;
        result = full ? CamAdmission_Decline(cycle) : CamRun_Start((RunObject *)cycle);
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
    const cam_h1_limits *limits = &self->server->options.head;
    cam_h1_header headers[HEADER_CAPACITY];
    cam_h1_request request;
    request.headers = headers;
    request.header_capacity = HEADER_CAPACITY;
    if (limits->max_headers > HEADER_CAPACITY) {
        size_t most = limits->max_head_bytes / HEADER_BYTES;
        request.header_capacity = limits->max_headers < most ? limits->max_headers : most;
        request.headers = PyMem_New(cam_h1_header, request.header_capacity);
        if (request.headers == NULL) {
            (void)PyErr_NoMemory();
            return -1;
        }
    }
    Py_ssize_t taken = 0;
    int result = cam_h1_parse_request(&request, data, size, &self->scan, limits,
                                      self->kept && self->kept->headers ? &self->kept->memo : NULL);
    if (result < 0) {
        bool tls = self->requests == 0 && !self->secure && data[0] == 22;
        taken = tls ? refuse_tls(self) : refuse(self, result);
    } else if (result != CAM_H1_MORE) {
        int handed = 0;
        if (request.flags & CAM_H1_UPGRADE && self->owner != NULL &&
            !self->server->options.websocket && cam_h1_has_no_body(&request)) {
            handed = CamHost_Upgrade(self, data, size);
        }
        if (handed != 0) {
            taken = handed < 0 ? -1 : (Py_ssize_t)size; /* the rest is in the other's hands */
        } else {
            self->ahead = (size_t)result < size && cam_h1_has_no_body(&request);
            taken = begin(self, &request) < 0 ? -1 : result;
        }
    }
    if (request.headers != headers) {
        PyMem_Free(request.headers);
    }
    return taken;
}

/* Data of the body: to the request, or away. */
static int give(HttpProtocolObject *self, const char *data, size_t size) {
    if (self->cycle != NULL) {
        return size ? CamCycle_AddBody(self->cycle, data, size) : 0;
    }
    if (size > self->drain_left) {
        return CamHttpProtocol_Linger(self);
    }
    self->drain_left -= (uint32_t)size;
    return 0;
}

static void end_body(HttpProtocolObject *self) {
    self->phase = CAM_PHASE_HEAD;
    self->scan = (cam_h1_scan){0};
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
    if (written > self->body_left) {
        result = CAM_H1_E_BODY_LENGTH; /* whatever comes behind what is too much */
    }
    if (result < 0 && self->cycle == NULL) {
        /* The request is answered: what we said now would be taken for the next one's answer. */
        CamServer_Log(self->server, self->state->asgi.str_warning, "Invalid HTTP request received.",
                      NULL);
        return CamHttpProtocol_Linger(self);
    }
    if (result < 0) {
        return refuse(self, result);
    }
    if (result == CAM_CHUNKED_DONE && self->cycle != NULL) {
        self->cycle->more_body = false;
    }
    self->body_left -= written;
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
        case CAM_PHASE_WEBSOCKET:
            taken = CamWebSocket_Feed(self->websocket, data + at, size - at);
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
