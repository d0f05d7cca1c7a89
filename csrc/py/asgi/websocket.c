/* SPDX-License-Identifier: MIT */
#include "asgi/websocket.h"

#include "compat.h"
#include "asgi/cycle.h"

/* ---- what the application's end means ---- */

static void report(WebSocketObject *self, const char *message, PyObject *exception) {
    CamServer_Log(self->server, self->state->asgi.str_error, message, exception);
}

/* The application has ended: whatever it has left open is ended too. */
static void make_good(WebSocketObject *self, unsigned code) {
    int result = 0;
    switch ((cam_websocket_phase)self->phase) {
    case CAM_WEBSOCKET_CONNECTING:
    case CAM_WEBSOCKET_DENYING:
        result = cam_websocket_fail(self, 500);
        break;
    case CAM_WEBSOCKET_OPEN:
        result = cam_websocket_begin_close(self, code, (cam_slice){"", 0});
        break;
    case CAM_WEBSOCKET_CLOSING:
    case CAM_WEBSOCKET_CLOSED:
        break;
    }
    if (result < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
}

static void returned(RunObject *run, PyObject *value) {
    WebSocketObject *self = (WebSocketObject *)run;
    if (self->phase == CAM_WEBSOCKET_CONNECTING) {
        if (!self->ended) {
            report(self, "ASGI callable returned without completing handshake.", NULL);
        }
    } else if (self->phase == CAM_WEBSOCKET_DENYING) {
        report(self, "ASGI callable returned without completing response.", NULL);
    } else if (value != Py_None) {
        PyObject *text =
            PyUnicode_FromFormat("ASGI callable should return None, but returned '%S'.", value);
        const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
        if (utf8 == NULL) {
            PyErr_Clear();
            utf8 = "ASGI callable should return None.";
        }
        report(self, utf8, NULL);
        Py_XDECREF(text);
    }
    make_good(self, value == Py_None ? CAM_WS_CLOSE_NORMAL : CAM_WS_CLOSE_INTERNAL_ERROR);
}

/* Whether it says only that the client has left, which is no fault of the application's: what
 * send() raises then, or what a framework makes of that (Starlette's WebSocketDisconnect). */
static bool is_told(WebSocketObject *self, PyObject *exception) {
    PyObject *ours = self->state->asgi.client_disconnected;
    PyObject *context = PyException_GetContext(exception);
    bool told = PyErr_GivenExceptionMatches(exception, ours) ||
                (context != NULL && PyErr_GivenExceptionMatches(context, ours) &&
                 strcmp(Py_TYPE(exception)->tp_name, "WebSocketDisconnect") == 0);
    Py_XDECREF(context);
    return told;
}

static void failed(RunObject *run, PyObject *exception) {
    WebSocketObject *self = (WebSocketObject *)run;
    if (!is_told(self, exception)) {
        report(self, "Exception in ASGI application\n", exception);
    }
    make_good(self, CAM_WS_CLOSE_INTERNAL_ERROR);
}

static const cam_run_kind websocket_kind = {
    .receive = cam_websocket_receive,
    .send = cam_websocket_send,
    .waited = cam_websocket_waited,
    .returned = returned,
    .failed = failed,
};

/* ---- the object ---- */

WebSocketObject *CamWebSocket_New(HttpProtocolObject *connection, PyObject *scope) {
    const cam_asgi_constants *c = &connection->state->asgi;
    PyObject *path = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_path));
    PyObject *query_string = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_query_string));
    WebSocketObject *self =
        (WebSocketObject *)CamRun_New(c->websocket_type, &websocket_kind, connection, scope);
    if (self == NULL) {
        Py_XDECREF(path);
        Py_XDECREF(query_string);
        return NULL;
    }
    self->path = path;
    self->query_string = query_string;
    return self;
}

static int websocket_traverse(PyObject *op, visitproc visit, void *arg) {
    WebSocketObject *self = (WebSocketObject *)op;
    Py_VISIT(self->answer);
    int status = CamDeflate_Traverse(self->codec, visit, arg);
    return status ? status : CamRun_Traverse(op, visit, arg);
}

static int websocket_clear(PyObject *op) {
    WebSocketObject *self = (WebSocketObject *)op;
    Py_CLEAR(self->answer);
    return CamRun_Clear(op);
}

static void websocket_dealloc(PyObject *op) {
    WebSocketObject *self = (WebSocketObject *)op;
    PyObject_GC_UnTrack(op);
    for (size_t i = 0; i < self->queue_count; i++) {
        Py_DECREF(self->queue[(self->queue_first + i) % self->queue_capacity].object);
    }
    PyMem_Free(self->queue);
    CamDeflate_Free(self->codec);
    Py_CLEAR(self->answer);
    Py_CLEAR(self->close_reason);
    Py_CLEAR(self->path);
    Py_CLEAR(self->query_string);
    Py_CLEAR(self->message);
    Py_CLEAR(self->pong);
    CamRun_Free(op);
}

static PyType_Slot websocket_slots[] = {
    {Py_tp_doc, (void *)"The coroutine of one WebSocket: runs the application."},
    {Py_tp_dealloc, websocket_dealloc},
    {Py_tp_traverse, websocket_traverse},
    {Py_tp_clear, websocket_clear},
    {Py_am_send, CamRun_Step},
    {0, NULL},
};

static PyType_Spec websocket_spec = {
    .name = "camshaft._core.WebSocketCycle",
    .basicsize = sizeof(WebSocketObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = websocket_slots,
};

/* zlib is optional in CPython: without it messages are not compressed. */
static int load_zlib(cam_asgi_constants *c) {
    PyObject *zlib = PyImport_ImportModule("zlib");
    if (zlib == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    c->zlib_error = PyObject_GetAttrString(zlib, "error");
    c->zlib_sync_flush = PyObject_GetAttrString(zlib, "Z_SYNC_FLUSH");
    c->zlib_decompressobj = PyObject_GetAttrString(zlib, "decompressobj");
    c->zlib_compressobj = PyObject_GetAttrString(zlib, "compressobj");
    Py_DECREF(zlib);
    return c->zlib_error && c->zlib_sync_flush && c->zlib_decompressobj && c->zlib_compressobj ? 0
                                                                                               : -1;
}

int cam_websocket_exec(PyObject *module, cam_state *state) {
    if (load_zlib(&state->asgi) < 0) {
        return -1;
    }
    return CamState_AddType(module, &websocket_spec, state->asgi.run_type, 0,
                            &state->asgi.websocket_type);
}
