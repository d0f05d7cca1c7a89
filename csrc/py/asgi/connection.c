/* SPDX-License-Identifier: MIT */
#include "asgi/connection.h"

#include "compat.h"
#include "stream.h"
#include "asgi/cycle.h"
#include "asgi/admission.h"
#include "asgi/host.h"
#include "asgi/response.h"
#include "asgi/timing.h"
#include "asgi/wait.h"
#include "asgi/websocket.h"

/* ---- flow of input ---- */

/* Bytes that were received and that nobody has taken. */
static size_t held(const HttpProtocolObject *self) {
    size_t size = self->input.len;
    if (self->cycle != NULL && self->phase != CAM_PHASE_HEAD) {
        size += self->cycle->body_len;
    }
    return size;
}

/* A head is under way: what is held is what there is of it, and bounded by its own limits. */
static bool takes_head(const HttpProtocolObject *self) {
    return self->phase == CAM_PHASE_HEAD && self->cycle == NULL && !self->writing_paused &&
           !self->resume_planned;
}

/* What comes goes to the application at once. */
static bool is_awaited(const CycleObject *cycle) {
    for (const WaitObject *wait = cycle->waits; wait != NULL; wait = wait->next) {
        if (wait->kind == CAM_WAIT_RECEIVE) {
            return cycle->body_len == 0;
        }
    }
    return false;
}

static size_t read_room(PyObject *op) {
    const HttpProtocolObject *self = (const HttpProtocolObject *)op;
    if (self->phase == CAM_PHASE_CLOSED ||
        (self->cycle != NULL && self->phase != CAM_PHASE_HEAD && is_awaited(self->cycle))) {
        return SIZE_MAX;
    }
    size_t size = takes_head(self) ? 0 : held(self);
    if (size == 0 && self->websocket != NULL && self->phase == CAM_PHASE_WEBSOCKET) {
        return CAM_INPUT_HIGH + CamWebSocket_Room(self->websocket);
    }
    return size < CAM_INPUT_HIGH - CAM_INPUT_LEAST ? CAM_INPUT_HIGH - size : CAM_INPUT_LEAST;
}

int CamHttpProtocol_Balance(HttpProtocolObject *self) {
    bool pause = held(self) > CAM_INPUT_HIGH - CAM_INPUT_LEAST;
    if (self->phase == CAM_PHASE_CLOSED || takes_head(self)) {
        pause = false;
    } else if (self->phase == CAM_PHASE_WEBSOCKET && self->websocket != NULL) {
        pause = pause || CamWebSocket_IsFull(self->websocket);
    }
    if (pause == self->reading_paused || self->eof) {
        return 0;
    }
    self->reading_paused = pause;
    int result = pause ? CamTransport_PauseReading(self->state, self->transport)
                       : CamTransport_ResumeReading(self->state, self->transport);
    /* Of a peer that is not read from nothing can be asked. */
    return result < 0 || self->feeding ? result : CamTiming_Settle(self);
}

static int plan_resume(HttpProtocolObject *self) {
    if (self->resume_planned) {
        return 0;
    }
    cam_state *state = self->state;
    PyObject *method = PyObject_GetAttr((PyObject *)self, state->asgi.str_resume);
    if (method == NULL) {
        return -1;
    }
    PyObject *call_soon = PyObject_GetAttr(self->server->loop, state->asgi.str_call_soon);
    bool planned = call_soon != NULL;
    PyObject *result = NULL;
    if (planned) {
        result = PyObject_CallOneArg(call_soon, method);
        Py_DECREF(call_soon);
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        /* A loop that can only make tasks, as uvicorn's tests have; it runs none from here. */
        PyErr_Clear();
        result = PyObject_CallNoArgs(method);
    }
    Py_DECREF(method);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    self->resume_planned = planned;
    return 0;
}

/* ---- ends ---- */

void CamHttpProtocol_DropCycle(HttpProtocolObject *self) {
    CycleObject *cycle = self->cycle;
    if (cycle != NULL) {
        self->cycle = NULL;
        if (cycle->details != NULL && CamCycle_HasBegun(cycle)) {
            CamAccessDetails_Log(cycle);
        }
        CamRun_Detach((RunObject *)cycle);
        Py_DECREF(cycle);
    }
}

int CamHttpProtocol_Close(HttpProtocolObject *self) {
    if (self->reading_paused && self->transport.kind == CAM_TRANSPORT_OTHER) {
        self->reading_paused = false;
        Py_INCREF(self);
        int result = CamTransport_ResumeReading(self->state, self->transport);
        if (result == 0) {
            result = CamTransport_Close(self->state, self->transport);
        }
        Py_DECREF(self);
        return result;
    }
    return CamTransport_Close(self->state, self->transport);
}

int CamHttpProtocol_Linger(HttpProtocolObject *self) {
    self->phase = CAM_PHASE_CLOSED;
    CamHttpProtocol_Release(self);
    if (!self->feeding) {
        cam_buffer_free(&self->input);
    }
    cam_buffer_free(&self->output);
    if (self->eof) {
        return CamHttpProtocol_Close(self);
    }
    int half = CamTransport_WriteEof(self->state, self->transport);
    if (half < 0) {
        return -1;
    }
    if (half == 0) {
        return CamHttpProtocol_Close(self);
    }
    if (CamHttpProtocol_Balance(self) < 0) {
        return -1;
    }
    return CamTiming_Set(self, CAM_TIMING_LINGER);
}

/* What is no request is told in uvicorn's words, and what is refused for another reason with that;
 * refused connections once a second, for there may be very many. */
static void log_refusal(HttpServerObject *server, int status, const char *reason) {
    char text[160] = "Invalid HTTP request received.";
    if (status != 400 && status != 501 && status != 505) {
        (void)PyOS_snprintf(text, sizeof text, "Request refused with %d: %s.", status, reason);
    }
    if (status == 503) {
        const int64_t second = 1000000000;
        int64_t now = CamServer_Now();
        if (now - server->refusal_logged < second) {
            return;
        }
        server->refusal_logged = now;
    }
    CamServer_Log(server, server->state->asgi.str_warning, text, NULL);
}

int CamHttpProtocol_Refuse(HttpProtocolObject *self, int status, const char *reason) {
    Py_INCREF(self);
    bool begun = self->cycle != NULL && CamCycle_HasBegun(self->cycle);
    self->phase = CAM_PHASE_CLOSED;
    CamHttpProtocol_DropCycle(self);
    log_refusal(self->server, status, reason);
    int result;
    if (begun) {
        /* Half of an answer is out: nothing that can be added would be understood. */
        result = CamTransport_Abort(self->state, self->transport);
    } else if (CamTransport_IsClosing(self->state, self->transport) != 0) {
        result = PyErr_Occurred() ? -1 : 0;
    } else {
        self->output.len = 0;
        result = CamResponse_WriteError(self, status, reason);
        if (result == 0) {
            result = CamHttpProtocol_Linger(self);
        }
    }
    Py_DECREF(self);
    return result;
}

static void hold(HttpProtocolObject *self) {
    if (self->resume_planned && !self->holding && self->transport.kind == CAM_TRANSPORT_STREAM) {
        self->holding = true;
        CamStream_Hold(self->transport.object);
    }
}

int CamHttpProtocol_Finished(HttpProtocolObject *self, bool keep_alive) {
    if (self->transport.object == NULL || self->phase == CAM_PHASE_CLOSED) {
        return 0;
    }
    bool unread = self->phase != CAM_PHASE_HEAD;
    const uint32_t most = CAM_DRAIN_LIMIT;
    if (!keep_alive || (self->eof && unread) || CamServer_IsClosed(self->server) ||
        (self->phase == CAM_PHASE_LENGTH && self->body_left > most)) {
        if (unread || self->input.len > 0) {
            return CamHttpProtocol_Linger(self);
        }
        self->phase = CAM_PHASE_CLOSED;
        return CamHttpProtocol_Close(self);
    }
    self->drain_left = most;
    cam_buffer_reset(&self->output, CAM_OUTPUT_KEEP);
    if (self->feeding) {
        return 0;
    }
    if (self->input.len > 0) {
        /* Not from here: this is inside of the request's task, and its depth of calls. */
        if (!self->writing_paused && plan_resume(self) < 0) {
            return -1;
        }
        hold(self);
    } else {
        CamHttpProtocol_Release(self);
        if (self->eof) {
            return CamHttpProtocol_Close(self);
        }
    }
    return CamHttpProtocol_Balance(self) < 0 ? -1 : CamTiming_Settle(self);
}

void CamHttpProtocol_Release(HttpProtocolObject *self) {
    if (self->holding) {
        self->holding = false;
        if (self->transport.object != NULL) {
            CamStream_Release(self->transport.object);
        }
    }
}

static void forget_head(HttpProtocolObject *self) {
    cam_kept_head *kept = self->kept;
    if (kept != NULL) {
        self->kept = NULL;
        Py_XDECREF(kept->headers);
        PyMem_Free(kept);
    }
}

/* It keeps nothing any more, or is lost. */
static void cool(HttpProtocolObject *self) {
    if (self->warm) {
        self->warm = false;
        self->server->warm[self->warm_place] = NULL;
    }
}

void CamHttpProtocol_Warm(HttpProtocolObject *self) {
    HttpServerObject *server = self->server;
    if (self->warm) {
        return;
    }
    self->warm_place = server->warm_next++;
    HttpProtocolObject *first = server->warm[self->warm_place];
    self->warm = true;
    server->warm[self->warm_place] = self;
    if (first != NULL) {
        first->warm = false; /* if it is at work it comes again when it is idle */
        Py_INCREF(first);
        CamHttpProtocol_Shed(first);
        Py_DECREF(first);
    }
}

void CamHttpProtocol_Shed(HttpProtocolObject *self) {
    bool handshake = self->websocket && self->websocket->phase == CAM_WEBSOCKET_CONNECTING;
    if (self->cycle != NULL || self->feeding || handshake) {
        return; /* whose line in the log names the client */
    }
    cool(self);
    forget_head(self);
    cam_buffer_free(&self->output);
    Py_CLEAR(self->client_address);
    Py_CLEAR(self->scope_template);
}

bool CamHttpProtocol_HasMore(const HttpProtocolObject *self) {
    bool more = self->phase == CAM_PHASE_HEAD && (self->ahead || self->input.len > 0);
    return more && !CamServer_IsClosed(self->server);
}

bool CamHttpProtocol_IsIdle(const HttpProtocolObject *self) {
    return self->cycle == NULL && self->websocket == NULL && !self->resume_planned;
}

/* ---- what a transport calls ---- */

static int connection_made(PyObject *op, PyObject *transport) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    PyObject *former = self->transport.object;
    self->transport = CamTransport_Of(self->state, Py_NewRef(transport));
    Py_XDECREF(former);
    CamSweep_Add(self->server, self);
    if (self->owner != NULL) {
        CamHost_AddConnection(self->server->host, self->owner);
    }
    if (self->transport.kind != CAM_TRANSPORT_STREAM) {
        PyObject *ssl =
            CamTransport_ExtraInfo(self->state, self->transport, self->state->asgi.str_sslcontext);
        if (ssl == NULL) {
            return -1;
        }
        self->secure = ssl != Py_None;
        Py_DECREF(ssl);
    }
    if (CamServer_IsClosed(self->server)) {
        self->phase = CAM_PHASE_CLOSED;
        return CamHttpProtocol_Close(self);
    }
    if (self->server->on_full != NULL) {
        CamAdmission_Look(self->server);
    }
    int admitted = CamAdmission_Enter(self);
    return admitted > 0 ? CamTiming_Settle(self) : admitted;
}

static int data_received(PyObject *op, char *data, Py_ssize_t size) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    CamTiming_Received(self, (size_t)size);
    if (self->transport.object == NULL || self->phase == CAM_PHASE_CLOSED) {
        return 0;
    }
    Py_INCREF(self);
    int result = CamInput_Receive(self, data, (size_t)size);
    if (result == 0) {
        result = CamTiming_Settle(self);
    }
    Py_DECREF(self);
    return result;
}

static int eof_received(PyObject *op) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    self->eof = true;
    if (self->websocket != NULL) {
        return CamWebSocket_Eof(self->websocket);
    }
    /* The answer to what was asked is still written, for a peer that only ended its own
     * direction. The application is told now, because most peers have closed both. */
    bool answering = self->cycle != NULL || self->resume_planned ||
                     (self->input.len > 0 && self->writing_paused);
    if (self->cycle != NULL) {
        CycleObject *cycle = (CycleObject *)Py_NewRef(self->cycle);
        cycle->peer_gone = true;
        cycle->keep_alive = cycle->keep_alive && self->input.len > 0;
        CamRun_Wake((RunObject *)cycle);
        Py_DECREF(cycle);
    }
    return answering && !self->secure && self->phase != CAM_PHASE_CLOSED;
}

static int connection_lost(PyObject *op, PyObject *reason) {
    (void)reason;
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    Py_INCREF(self);
    self->phase = CAM_PHASE_CLOSED;
    self->timing = CAM_TIMING_NONE;
    self->writing_paused = false;
    CamSweep_Remove(self->server, self);
    CamAdmission_Leave(self);
    cool(self);
    CamHttpProtocol_DropCycle(self);
    if (self->websocket != NULL) {
        CamWebSocket_Lost(self->websocket);
    }
    if (!self->feeding) {
        cam_buffer_free(&self->input);
    }
    cam_buffer_free(&self->output);
    Py_CLEAR(self->transport.object);
    if (self->owner != NULL) {
        CamHost_RemoveConnection(self->server->host, self->owner);
        Py_CLEAR(self->owner);
    }
    if (self->server->on_full != NULL) {
        CamAdmission_Look(self->server);
    }
    Py_DECREF(self);
    return 0;
}

static int pause_writing(PyObject *op) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    self->writing_paused = true;
    return CamTiming_Settle(self);
}

static int resume_writing(PyObject *op) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    self->writing_paused = false;
    if (CamTiming_Set(self, CAM_TIMING_NONE) < 0) {
        return -1;
    }
    if (self->phase == CAM_PHASE_CLOSED) {
        /* It has read what it was slow to, and can be expected to end the connection too. */
        return CamTiming_Set(self, CAM_TIMING_LINGER);
    }
    if (self->cycle != NULL) {
        CycleObject *cycle = (CycleObject *)Py_NewRef(self->cycle);
        CamRun_Wake((RunObject *)cycle);
        Py_DECREF(cycle);
    }
    if (self->websocket != NULL && CamWebSocket_ResumeWriting(self->websocket) < 0) {
        return -1;
    }
    if (self->cycle == NULL && self->input.len > 0 && !self->feeding &&
        self->phase != CAM_PHASE_CLOSED && plan_resume(self) < 0) {
        return -1;
    }
    return CamTiming_Settle(self);
}

static const CamProtocolTable table = {
    .connection_made = connection_made,
    .data_received = data_received,
    .eof_received = eof_received,
    .connection_lost = connection_lost,
    .read_room = read_room,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
};

/* ---- the Python methods of the same names, for other transports ---- */

static PyObject *none_or_error(int result) {
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *method_connection_made(PyObject *op, PyObject *transport) {
    return none_or_error(connection_made(op, transport));
}

static PyObject *method_data_received(PyObject *op, PyObject *data) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int result = 0;
    CamTiming_Received(self, (size_t)view.len);
    if (self->transport.object != NULL && self->phase != CAM_PHASE_CLOSED && view.len > 0) {
        /* Parsing may write into the bytes, and these are somebody else's. */
        Py_INCREF(self);
        result = cam_buffer_append(&self->input, view.buf, (size_t)view.len);
        if (result == 0) {
            result = CamInput_Resume(self);
        }
        if (result == 0) {
            result = CamTiming_Settle(self);
        }
        Py_DECREF(self);
    }
    PyBuffer_Release(&view);
    return none_or_error(result);
}

static PyObject *method_eof_received(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(eof_received(op));
}

static PyObject *method_connection_lost(PyObject *op, PyObject *reason) {
    return none_or_error(connection_lost(op, reason));
}

static PyObject *method_pause_writing(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    return none_or_error(pause_writing(op));
}

static PyObject *method_resume_writing(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    return none_or_error(resume_writing(op));
}

PyDoc_STRVAR(resume_doc, "_resume($self, /)\n--\n\nBegin the next of the pipelined requests.");

static PyObject *method_resume(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    self->resume_planned = false;
    if (self->transport.object == NULL || self->phase == CAM_PHASE_CLOSED) {
        Py_RETURN_NONE;
    }
    bool between = self->cycle == NULL && self->websocket == NULL;
    int result = between && CamServer_IsClosed(self->server) ? CamHttpProtocol_Linger(self)
                                                             : CamInput_Resume(self);
    if (self->cycle == NULL) {
        CamHttpProtocol_Release(self);
    }
    if (result == 0 && self->eof && self->cycle == NULL && !self->writing_paused) {
        /* What is left can become no request any more. */
        self->phase = CAM_PHASE_CLOSED;
        result = CamHttpProtocol_Close(self);
    }
    if (result == 0) {
        result = CamTiming_Settle(self);
    }
    if (result < 0) {
        /* As a transport does with what data_received() raises. */
        PyErr_WriteUnraisable(op);
        result = CamTransport_Abort(self->state, self->transport);
    }
    return none_or_error(result);
}

PyDoc_STRVAR(shutdown_doc, "shutdown($self, /)\n--\n\n"
                           "Close now if idle, else once the answer under way is complete; a\n"
                           "WebSocket with 1012.");

static PyObject *method_shutdown(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    if (self->websocket != NULL) {
        return none_or_error(CamWebSocket_Shutdown(self->websocket, CAM_WS_CLOSE_SERVICE_RESTART));
    }
    if (self->cycle != NULL) {
        self->cycle->keep_alive = false;
        Py_RETURN_NONE;
    }
    self->phase = CAM_PHASE_CLOSED;
    return none_or_error(CamHttpProtocol_Close(self));
}

static PyObject *get_upgraded(PyObject *op, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((HttpProtocolObject *)op)->upgraded);
}

static PyGetSetDef protocol_getset[] = {
    {"upgraded", get_upgraded, NULL, "Whether it has become a WebSocket.", NULL},
    {NULL},
};

static PyMethodDef protocol_methods[] = {
    {"connection_made", method_connection_made, METH_O,
     "connection_made($self, transport, /)\n--\n\nAs asyncio.Protocol."},
    {"data_received", method_data_received, METH_O,
     "data_received($self, data, /)\n--\n\nAs asyncio.Protocol."},
    {"eof_received", method_eof_received, METH_NOARGS,
     "eof_received($self, /)\n--\n\nAs asyncio.Protocol."},
    {"connection_lost", method_connection_lost, METH_O,
     "connection_lost($self, exc, /)\n--\n\nAs asyncio.Protocol."},
    {"pause_writing", method_pause_writing, METH_NOARGS,
     "pause_writing($self, /)\n--\n\nAs asyncio.Protocol."},
    {"resume_writing", method_resume_writing, METH_NOARGS,
     "resume_writing($self, /)\n--\n\nAs asyncio.Protocol."},
    {"shutdown", method_shutdown, METH_NOARGS, shutdown_doc},
    {"_resume", method_resume, METH_NOARGS, resume_doc},
    {NULL},
};

/* ---- the object ---- */

PyObject *CamHttpProtocol_New(HttpServerObject *server) {
    PyTypeObject *type = (PyTypeObject *)server->state->asgi.protocol_type;
    HttpProtocolObject *self = (HttpProtocolObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->base.table = &table;
    self->state = server->state;
    self->server = (HttpServerObject *)Py_NewRef(server);
    return (PyObject *)self;
}

static int protocol_traverse(PyObject *op, visitproc visit, void *arg) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->server);
    Py_VISIT(self->owner);
    Py_VISIT(self->transport.object);
    Py_VISIT(self->scope_template);
    Py_VISIT(self->cycle);
    Py_VISIT(self->websocket);
    Py_VISIT(self->kept ? self->kept->headers : NULL);
    Py_VISIT(self->forwarded_client);
    return 0;
}

static int protocol_clear(PyObject *op) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    Py_CLEAR(self->transport.object);
    Py_CLEAR(self->cycle); /* which nothing is told any more: its loop may be closed */
    Py_CLEAR(self->websocket);
    Py_CLEAR(self->scope_template);
    forget_head(self);
    Py_CLEAR(self->forwarded_client);
    return 0;
}

static void protocol_dealloc(PyObject *op) {
    HttpProtocolObject *self = (HttpProtocolObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    cool(self); /* first: to let go of the others may run user code, which must not find it */
    Py_CLEAR(self->owner);
    (void)protocol_clear(op);
    Py_CLEAR(self->client_address);
    CamAdmission_Leave(self);
    cam_buffer_free(&self->input);
    cam_buffer_free(&self->output);
    Py_CLEAR(self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(protocol_doc,
             "One connection of an HttpServer, which makes it; an asyncio protocol on any loop.");

static PyType_Slot protocol_slots[] = {
    {Py_tp_doc, (void *)protocol_doc},
    {Py_tp_dealloc, protocol_dealloc},
    {Py_tp_traverse, protocol_traverse},
    {Py_tp_clear, protocol_clear},
    {Py_tp_methods, protocol_methods},
    {Py_tp_getset, protocol_getset},
    {0, NULL},
};

static PyType_Spec protocol_spec = {
    .name = "camshaft._core.HttpProtocol",
    .basicsize = sizeof(HttpProtocolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = protocol_slots,
};

int cam_http_protocol_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &protocol_spec, state->protocol_type, 1,
                            &state->asgi.protocol_type);
}
