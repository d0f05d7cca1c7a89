/* SPDX-License-Identifier: MIT */
/* A connection on its way in: the protocol of its stream until there is another. */
#include "transport/entrance.h"

#include "compat.h"
#include "stream.h"
#include "transport/stream_object.h"
#include "transport/tls.h"

#include <stddef.h>
#include <string.h>

enum {
    TLS_HANDSHAKE = 22,        /* the type of a first record (RFC 8446, section 5.1) */
    IGNORED_LIMIT = 64 * 1024, /* bytes read after a refusal, for the peer to see it */
};

static const char plain_text[] = "HTTP/1.1 400 Bad Request\r\n"
                                 "content-type: text/plain; charset=utf-8\r\n"
                                 "content-length: 38\r\n"
                                 "connection: close\r\n"
                                 "\r\n"
                                 "This port speaks TLS: ask by https://\n";

/* Leaves the list and lets the stream go. */
static void leave(ArrivalObject *self) {
    self->phase = CAM_ARRIVAL_DONE;
    cam_entrance_remove(self->entrance, self);
    Py_CLEAR(self->stream);
}

void cam_arrival_drop(ArrivalObject *self, const char *level, const char *reason) {
    Py_INCREF(self);
    PyObject *stream = Py_XNewRef(self->stream);
    if (reason != NULL) {
        cam_entrance_log(self->entrance, level, stream, reason);
    }
    leave(self);
    if (stream != NULL && CamStream_Abort(stream) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(stream);
    Py_DECREF(self);
}

/* ---- the steps ---- */

/* Hands the stream, and what it has received, over to the protocol. 0, or -1. */
static int hand_over(ArrivalObject *self, PyObject *protocol, char *data, size_t size) {
    StreamObject *stream = (StreamObject *)Py_NewRef(self->stream);
    const CamProtocolTable *table = CamProtocol_TableOf(self->state, protocol);
    int status = cam_stream_set_protocol(stream, protocol);
    if (status == 0) {
        if (table != NULL) {
            status = table->connection_made(protocol, (PyObject *)stream);
        } else {
            PyObject *done =
                cam_stream_call(stream, self->state->str_connection_made, (PyObject *)stream);
            status = done ? 0 : -1;
            Py_XDECREF(done);
        }
    }
    if (status == 0 && !stream->closing) {
        status = cam_stream_feed(stream, data, size);
    }
    Py_DECREF(stream);
    return status;
}

static PyObject *make_protocol(ArrivalObject *self) {
    PyObject *factory = Py_NewRef(self->entrance->factory);
    PyObject *protocol = PyObject_CallNoArgs(factory);
    Py_DECREF(factory);
    return protocol;
}

/* The handshake has succeeded, or the connection is lost. */
static void settled(PyObject *owner) {
    leave((ArrivalObject *)owner);
}

/* Gives the stream to TLS. 0, or -1. */
static int begin_tls(ArrivalObject *self, char *data, size_t size) {
    PyObject *protocol = make_protocol(self);
    PyObject *tls = NULL;
    if (protocol != NULL) {
        PyObject *context = Py_NewRef(self->entrance->ssl_context);
        tls = cam_tls_accept(self->entrance->loop, protocol, context, (PyObject *)self, settled);
        PyObject *exception = tls ? NULL : PyErr_GetRaisedException();
        Py_DECREF(context);
        Py_DECREF(protocol);
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
    }
    if (tls == NULL) {
        return -1;
    }
    self->phase = CAM_ARRIVAL_HANDSHAKE;
    int status = hand_over(self, tls, data, size);
    Py_DECREF(tls);
    return status;
}

/* Nothing is in the way any more. 0, or -1. */
static int arrive(ArrivalObject *self, char *data, size_t size) {
    PyObject *protocol = make_protocol(self);
    if (protocol == NULL) {
        return -1;
    }
    Py_INCREF(self);
    int status = hand_over(self, protocol, data, size);
    leave(self);
    Py_DECREF(self);
    Py_DECREF(protocol);
    return status;
}

/* A letter is the beginning of a method, and of no record of TLS. */
static bool is_plain_text(char byte) {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* Answers, and reads on without looking: to close with unread input would reset the connection,
 * and with it the answer. 0, or -1. */
static int refuse_plain_text(ArrivalObject *self) {
    PyObject *stream = Py_NewRef(self->stream);
    self->phase = CAM_ARRIVAL_REFUSED;
    cam_entrance_log(self->entrance, "warning", stream, "A request in plain text on a TLS port");
    int status = 0;
    if (self->phase == CAM_ARRIVAL_REFUSED) {
        status = CamStream_Write(stream, plain_text, sizeof plain_text - 1);
    }
    if (status == 0 && self->phase == CAM_ARRIVAL_REFUSED) {
        PyObject *done = PyObject_CallMethod(stream, "write_eof", NULL);
        if (done == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
            PyErr_Clear(); /* it is gone */
        } else if (done == NULL) {
            status = -1;
        }
        Py_XDECREF(done);
    }
    Py_DECREF(stream);
    return status;
}

static int ignore(ArrivalObject *self, size_t size) {
    self->ignored += size;
    if (self->ignored > IGNORED_LIMIT) {
        cam_arrival_drop(self, NULL, NULL);
    }
    return 0;
}

/* The stream's addresses are from now on what the proxy has told. */
static void take_addresses(const cam_proxy_end *end, cam_proxy_family family, CamAddress *address) {
    memset(address, 0, sizeof *address);
    if (family == CAM_PROXY_UNIX) {
        address->local.sun_family = AF_UNIX;
        memcpy(address->local.sun_path, end->path, CAM_PROXY_PATH);
        address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      strnlen(end->path, CAM_PROXY_PATH));
    } else if (end->ip.size == 4) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(end->port);
        memcpy(&address->v4.sin_addr, end->ip.bytes, 4);
        address->length = sizeof address->v4;
    } else {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(end->port);
        memcpy(&address->v6.sin6_addr, end->ip.bytes, 16);
        address->length = sizeof address->v6;
    }
}

/* Takes the bytes of the header off the data. 1 when it is complete, 0, or -1 with an exception. */
static int read_proxy(ArrivalObject *self, char **data, size_t *size) {
    size_t used;
    int status = cam_proxy_feed(&self->proxy, *data, *size, &used);
    if (status < 0) {
        char reason[128];
        PyOS_snprintf(reason, sizeof reason, "Connection closed, as %s", cam_proxy_error(status));
        cam_arrival_drop(self, "warning", reason);
        return 0;
    }
    *data += used;
    *size -= used;
    if (status == CAM_PROXY_MORE) {
        return 0;
    }
    StreamObject *stream = (StreamObject *)self->stream;
    if (self->proxy.family != CAM_PROXY_NONE) {
        take_addresses(&self->proxy.source, self->proxy.family, &stream->far_end);
        take_addresses(&self->proxy.target, self->proxy.family, &stream->near_end);
        if (cam_stream_forget_addresses(stream) < 0) {
            return -1;
        }
    }
    return 1;
}

/* ---- what the stream calls ---- */

static int receive(ArrivalObject *self, char *data, size_t size) {
    if (self->phase == CAM_ARRIVAL_PROXY) {
        int done = read_proxy(self, &data, &size);
        if (done <= 0) {
            return done;
        }
        self->phase = CAM_ARRIVAL_HELLO;
    }
    switch (self->phase) {
    case CAM_ARRIVAL_HELLO:
        if (self->entrance->ssl_context == NULL) {
            return arrive(self, data, size);
        }
        if (size == 0) {
            return 0;
        }
        return is_plain_text(data[0]) ? refuse_plain_text(self) : begin_tls(self, data, size);
    case CAM_ARRIVAL_REFUSED:
        return ignore(self, size);
    default:
        return 0;
    }
}

static int data_received(PyObject *op, char *data, Py_ssize_t size) {
    Py_INCREF(op);
    int status = receive((ArrivalObject *)op, data, (size_t)size);
    Py_DECREF(op);
    return status;
}

/* Whether the peer of the stream is to begin with a PROXY header. */
static bool is_proxy(const EntranceObject *entrance, const StreamObject *stream) {
    const CamAddress *peer = &stream->far_end;
    cam_ip ip = {.size = 0};
    if (entrance->proxies_all) {
        return true;
    }
    switch (peer->length ? peer->any.sa_family : AF_UNSPEC) {
    case AF_INET:
        ip.size = 4;
        memcpy(ip.bytes, &peer->v4.sin_addr, 4);
        break;
    case AF_INET6:
        ip.size = 16;
        memcpy(ip.bytes, &peer->v6.sin6_addr, 16);
        break;
    case AF_UNIX:
        return entrance->proxies_local;
    default:
        return false;
    }
    return cam_peers_contain(&entrance->proxies, &ip);
}

static int connection_made(PyObject *op, PyObject *stream) {
    ArrivalObject *self = (ArrivalObject *)op;
    EntranceObject *entrance = self->entrance;
    if (self->phase != CAM_ARRIVAL_NEW || !CamStream_Check(self->state, stream)) {
        PyErr_SetString(PyExc_TypeError, "an Arrival is the protocol of one stream of our own");
        return -1;
    }
    if (entrance->closed) {
        self->phase = CAM_ARRIVAL_DONE;
        return CamStream_Close(stream);
    }
    self->stream = Py_NewRef(stream);
    self->phase =
        is_proxy(entrance, (StreamObject *)stream) ? CAM_ARRIVAL_PROXY : CAM_ARRIVAL_HELLO;
    if (self->phase == CAM_ARRIVAL_HELLO && entrance->ssl_context == NULL) {
        return arrive(self, NULL, 0);
    }
    return cam_entrance_add(entrance, self);
}

static int eof_received(PyObject *op) {
    ArrivalObject *self = (ArrivalObject *)op;
    if (self->phase == CAM_ARRIVAL_PROXY && self->proxy.used > 0) {
        cam_entrance_log(self->entrance, "warning", self->stream,
                         "Connection closed, as it ended within its PROXY header");
    }
    return 0;
}

static int connection_lost(PyObject *op, PyObject *Py_UNUSED(reason)) {
    leave((ArrivalObject *)op);
    return 0;
}

static int nothing(PyObject *Py_UNUSED(op)) {
    return 0;
}

static const CamProtocolTable table = {
    .connection_made = connection_made,
    .data_received = data_received,
    .eof_received = eof_received,
    .connection_lost = connection_lost,
    .pause_writing = nothing,
    .resume_writing = nothing,
};

/* ---- the object ---- */

PyObject *cam_arrival_new(EntranceObject *entrance) {
    PyTypeObject *type = (PyTypeObject *)entrance->state->arrival_type;
    ArrivalObject *self = (ArrivalObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->native.table = &table;
        self->state = entrance->state;
        self->entrance = (EntranceObject *)Py_NewRef(entrance);
    }
    return (PyObject *)self;
}

static int arrival_traverse(PyObject *op, visitproc visit, void *arg) {
    ArrivalObject *self = (ArrivalObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->entrance);
    Py_VISIT(self->stream);
    return 0;
}

static int arrival_clear(PyObject *op) {
    Py_CLEAR(((ArrivalObject *)op)->stream);
    return 0;
}

static void arrival_dealloc(PyObject *op) {
    ArrivalObject *self = (ArrivalObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    cam_entrance_remove(self->entrance, self);
    (void)arrival_clear(op);
    Py_CLEAR(self->entrance);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(arrival_doc, "A connection on its way through an Entrance, which makes it.");

static PyType_Slot arrival_slots[] = {
    {Py_tp_doc, (void *)arrival_doc},
    {Py_tp_dealloc, arrival_dealloc},
    {Py_tp_traverse, arrival_traverse},
    {Py_tp_clear, arrival_clear},
    {0, NULL},
};

static PyType_Spec arrival_spec = {
    .name = "camshaft._core.Arrival",
    .basicsize = sizeof(ArrivalObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = arrival_slots,
};

int cam_arrival_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &arrival_spec, state->protocol_type, 1, &state->arrival_type);
}
