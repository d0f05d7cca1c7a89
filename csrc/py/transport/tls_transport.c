/* SPDX-License-Identifier: MIT */
/* The transport that an application holds of a TLS connection: asyncio's _SSLProtocolTransport. */
#include "transport/tls.h"

#include "compat.h"
#include "transport/limits.h"
#include "stream.h"
#include "tls_transport.h"

#include <stddef.h>
#include <structmember.h>

int cam_tls_transport_exec(PyObject *module, cam_state *state);

TlsTransportObject *cam_tls_transport_new(TlsObject *tls) {
    PyTypeObject *type = (PyTypeObject *)tls->state->tls_transport_type;
    TlsTransportObject *transport = (TlsTransportObject *)type->tp_alloc(type, 0);
    if (transport != NULL) {
        transport->tls = (TlsObject *)Py_NewRef(tls);
    }
    return transport;
}

static int transport_traverse(PyObject *self, visitproc visit, void *arg) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(transport->tls);
    Py_VISIT(transport->dict);
    return 0;
}

static int transport_clear(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    /* `tls` stays: methods rely on it, and its own clear breaks the circle. */
    Py_CLEAR(transport->dict);
    return 0;
}

/* A connection that nobody holds any more, nor the loop: it is closed with the one below. */
static void transport_finalize(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    if (transport->closed || transport->tls->base == NULL) {
        return;
    }
    transport->closed = true;
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_Clear();
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void transport_dealloc(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody keeps it after all */
    }
    PyObject_GC_UnTrack(self);
    if (transport->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    Py_CLEAR(transport->dict);
    Py_CLEAR(transport->tls);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

static TlsObject *tls_of(PyObject *self) {
    return ((TlsTransportObject *)self)->tls;
}

#define RETURN_STATUS(status)                                                                      \
    if ((status) < 0) {                                                                            \
        return NULL;                                                                               \
    }                                                                                              \
    Py_RETURN_NONE

/* False with RuntimeError in a forked child, whose parent the connection belongs to. */
static bool check_process(TlsObject *tls) {
    return tls->loop == NULL || !CamLoop_IsForeign(tls->loop) ||
           CamLoop_CheckUsable(tls->loop) == 0;
}

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send bytes, a bytearray or a memoryview; see asyncio.WriteTransport.write().\n\n"
             "Encrypted at the end of the loop's turn, together with what else the turn writes.");

static PyObject *transport_write(PyObject *self, PyObject *data) {
    TlsObject *tls = tls_of(self);
    bool is_bytes = PyBytes_CheckExact(data);
    if (!is_bytes && !PyBytes_Check(data) && !PyByteArray_Check(data) &&
        !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "data: expecting a bytes-like instance, got %.100s",
                            Py_TYPE(data)->tp_name);
    }
    if (!check_process(tls)) {
        return NULL;
    }
    int status = 0;
    if (is_bytes) {
        size_t size = (size_t)PyBytes_GET_SIZE(data);
        if (size > 0 && !cam_tls_is_write_lost(tls)) {
            status = cam_tls_queue(tls, data, NULL, size);
            if (status == 0) {
                status = cam_tls_written(tls, size);
            }
        }
        RETURN_STATUS(status);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    size_t size = (size_t)view.len;
    bool queued = size > 0 && !cam_tls_is_write_lost(tls);
    if (queued) {
        status = cam_tls_queue(tls, NULL, view.buf, size);
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    } else if (queued) {
        status = cam_tls_written(tls, size);
    }
    RETURN_STATUS(status);
}

/* Exports the buffers of a tuple's items. How many succeeded: all, or fewer with an exception. */
static Py_ssize_t export_items(PyObject *items, Py_buffer *views) {
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        if (!PyObject_CheckBuffer(item)) {
            PyErr_Format(PyExc_TypeError, "a bytes-like object is required, not '%.100s'",
                         Py_TYPE(item)->tp_name);
            return i;
        }
        if (PyObject_GetBuffer(item, &views[i], PyBUF_SIMPLE) < 0) {
            return i;
        }
    }
    return count;
}

static int write_items(TlsObject *tls, PyObject *items) {
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    Py_buffer *views = PyMem_New(Py_buffer, count ? count : 1);
    if (views == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t held = export_items(items, views);
    int status = held == count ? 0 : -1;
    bool queued = status == 0 && !cam_tls_is_write_lost(tls);
    size_t size = 0;
    for (Py_ssize_t i = 0; queued && status == 0 && i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        status = cam_tls_queue(tls, PyBytes_CheckExact(item) ? item : NULL, views[i].buf,
                               (size_t)views[i].len);
        size += (size_t)views[i].len;
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    while (held > 0) {
        PyBuffer_Release(&views[--held]);
    }
    PyMem_Free(views);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return queued ? cam_tls_written(tls, size) : 0;
}

PyDoc_STRVAR(writelines_doc, "writelines($self, list_of_data, /)\n--\n\n"
                             "Send any buffers; see asyncio.WriteTransport.writelines().");

static PyObject *transport_writelines(PyObject *self, PyObject *list) {
    TlsObject *tls = tls_of(self);
    if (!check_process(tls)) {
        return NULL;
    }
    PyObject *items = PySequence_Tuple(list);
    if (items == NULL) {
        return NULL;
    }
    int status = write_items(tls, items);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(items);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    RETURN_STATUS(status);
}

static PyObject *transport_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

static PyObject *get_false(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_FALSE;
}

PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "Send what waits and close_notify, await the peer's, close; connection_lost(None)\n"
             "follows, or after ssl_shutdown_timeout seconds connection_lost(TimeoutError).");

static PyObject *transport_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(CamTls_Close(self));
}

static int force_close(PyObject *self, PyObject *reason) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    if (!check_process(transport->tls)) {
        return -1;
    }
    transport->closed = true;
    return cam_tls_abort(transport->tls, reason);
}

static PyObject *transport_force_close(PyObject *self, PyObject *reason) {
    RETURN_STATUS(force_close(self, reason != Py_None ? reason : NULL));
}

PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\n"
                        "Close at once, without close_notify; connection_lost(None) follows.");

static PyObject *transport_abort(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(force_close(self, NULL));
}

static PyObject *transport_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    int closing = CamTls_IsClosing(self);
    return closing < 0 ? NULL : PyBool_FromLong(closing);
}

static PyObject *transport_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(!tls_of(self)->app_paused);
}

static PyObject *transport_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    cam_tls_pause_reading(tls_of(self));
    Py_RETURN_NONE;
}

static PyObject *transport_resume_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_tls_resume_reading(tls_of(self)));
}

static PyObject *transport_set_protocol(PyObject *self, PyObject *protocol) {
    RETURN_STATUS(cam_tls_set_app(tls_of(self), protocol));
}

static PyObject *transport_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *app = tls_of(self)->app;
    return Py_NewRef(app ? app : Py_None);
}

PyDoc_STRVAR(set_write_doc,
             "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
             "Set the bytes from which on writing is paused, and up to which it is resumed.");

static PyObject *transport_set_write_limits(PyObject *self, PyObject *args, PyObject *keywords) {
    TlsObject *tls = tls_of(self);
    if (cam_limits_read(args, keywords, CAM_TLS_WRITE_HIGH, &tls->write_high, &tls->write_low) <
        0) {
        return NULL;
    }
    RETURN_STATUS(cam_tls_control_writing(tls));
}

static PyObject *transport_get_write_limits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    TlsObject *tls = tls_of(self);
    return Py_BuildValue("nn", (Py_ssize_t)tls->write_low, (Py_ssize_t)tls->write_high);
}

static PyObject *transport_get_write_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    Py_ssize_t size = cam_tls_write_size(tls_of(self));
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

PyDoc_STRVAR(set_read_doc,
             "set_read_buffer_limits($self, /, high=None, low=None)\n--\n\n"
             "Set the undelivered bytes from which on the peer is not read, and up to which it\n"
             "is read again; asyncio has this on TLS transports alone.");

static PyObject *transport_set_read_limits(PyObject *self, PyObject *args, PyObject *keywords) {
    TlsObject *tls = tls_of(self);
    if (cam_limits_read(args, keywords, CAM_TLS_READ_HIGH, &tls->read_high, &tls->read_low) < 0) {
        return NULL;
    }
    if (tls->base == NULL) {
        Py_RETURN_NONE;
    }
    RETURN_STATUS(cam_tls_control_reading(tls));
}

static PyObject *transport_get_read_limits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    TlsObject *tls = tls_of(self);
    return Py_BuildValue("nn", (Py_ssize_t)tls->read_low, (Py_ssize_t)tls->read_high);
}

static PyObject *transport_get_read_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    TlsObject *tls = tls_of(self);
    Py_ssize_t size = tls->incoming ? cam_tls_pending(tls, tls->incoming) : 0;
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

/* ---- what is known of the connection ---- */

/* What TLS itself knows under a name: borrowed; NULL when it is nothing of TLS. */
static PyObject *own_info(TlsObject *tls, PyObject *name) {
    cam_state *state = tls->state;
    struct {
        PyObject *name;
        PyObject *value;
    } const known[] = {
        {state->str_sslcontext, tls->ssl_context},
        {state->str_ssl_object, tls->handshaken ? tls->ssl_object : NULL},
        {state->str_peercert, tls->peercert},
        {state->str_cipher, tls->cipher},
        {state->str_compression, tls->compression},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (PyUnicode_Compare(name, known[i].name) == 0) {
            return known[i].value;
        }
    }
    return NULL;
}

PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, name, default=None)\n--\n\n"
             "'sslcontext', after the handshake 'ssl_object', 'peercert', 'cipher' and\n"
             "'compression', and while the connection lives what the transport below knows.");

static PyObject *transport_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"name", "default", NULL};
    TlsObject *tls = tls_of(self);
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", names, &name,
                                     &fallback)) {
        return NULL;
    }
    PyObject *own = PyUnicode_Check(name) ? own_info(tls, name) : NULL;
    if (own != NULL || tls->base == NULL) {
        return Py_NewRef(own ? own : fallback);
    }
    PyObject *base = Py_NewRef(tls->base);
    PyObject *value =
        PyObject_CallMethodObjArgs(base, tls->state->str_get_extra_info, name, fallback, NULL);
    Py_DECREF(base);
    return value;
}

static PyObject *transport_repr(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    TlsObject *tls = transport->tls;
    const char *state = tls->base == NULL ? " closed" : transport->closed ? " closing" : "";
    if (tls->base == NULL) {
        return PyUnicode_FromFormat("<SSLTransport%s>", state);
    }
    return PyUnicode_FromFormat("<SSLTransport%s over %R>", state, tls->base);
}

static PyObject *get_loop(PyObject *self, void *Py_UNUSED(closure)) {
    LoopObject *loop = tls_of(self)->loop;
    return Py_NewRef(loop ? (PyObject *)loop : Py_None);
}

static PyObject *get_tls(PyObject *self, void *Py_UNUSED(closure)) {
    return Py_NewRef((PyObject *)tls_of(self));
}

static PyObject *get_closed(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((TlsTransportObject *)self)->closed);
}

static PyObject *get_write_paused(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(tls_of(self)->write_paused);
}

/* Asked by asyncio's own code alone; what a test sets instead goes into the dictionary. */
static PyObject *from_dict(PyObject *self, const char *name, PyObject *fallback) {
    PyObject *dict = ((TlsTransportObject *)self)->dict;
    PyObject *value = dict ? PyDict_GetItemString(dict, name) : NULL;
    return Py_NewRef(value ? value : fallback);
}

static int into_dict(PyObject *self, const char *name, PyObject *value) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    if (transport->dict == NULL && (transport->dict = PyDict_New()) == NULL) {
        return -1;
    }
    return value ? PyDict_SetItemString(transport->dict, name, value)
                 : PyDict_DelItemString(transport->dict, name);
}

#define OVERRIDABLE(attribute, default_value)                                                      \
    static PyObject *get##attribute(PyObject *self, void *Py_UNUSED(closure)) {                    \
        return from_dict(self, #attribute, default_value);                                         \
    }                                                                                              \
    static int set##attribute(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {         \
        return into_dict(self, #attribute, value);                                                 \
    }

OVERRIDABLE(_start_tls_compatible, Py_True)
OVERRIDABLE(_sendfile_compatible, tls_of(self)->state->tls.fallback)

static PyGetSetDef transport_getset[] = {
    {"_loop", get_loop, NULL, NULL, NULL},
    {"_ssl_protocol", get_tls, NULL, NULL, NULL},
    {"_closed", get_closed, NULL, NULL, NULL},
    {"_protocol_paused", get_write_paused, NULL, NULL, NULL},
    {"_start_tls_compatible", get_start_tls_compatible, set_start_tls_compatible, NULL, NULL},
    {"_sendfile_compatible", get_sendfile_compatible, set_sendfile_compatible, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

PyDoc_STRVAR(backlog_doc, "_test__append_write_backlog($self, data, /)\n--\n\n"
                          "Queue bytes without sending them; CPython's tests of TLS call this.");

static PyObject *transport_append_backlog(PyObject *self, PyObject *data) {
    if (!PyBytes_CheckExact(data)) {
        return PyErr_Format(PyExc_TypeError, "data must be bytes, not %.100s",
                            Py_TYPE(data)->tp_name);
    }
    RETURN_STATUS(cam_tls_queue(tls_of(self), data, NULL, (size_t)PyBytes_GET_SIZE(data)));
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef transport_methods[] = {
    {"get_extra_info", KEYWORDS(transport_get_extra_info), METH_VARARGS | METH_KEYWORDS,
     get_extra_info_doc},
    {"write", transport_write, METH_O, write_doc},
    {"writelines", transport_writelines, METH_O, writelines_doc},
    {"write_eof", transport_write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\nNotImplementedError: TLS cannot close one direction."},
    {"can_write_eof", get_false, METH_NOARGS, "can_write_eof($self, /)\n--\n\nFalse."},
    {"close", transport_close, METH_NOARGS, close_doc},
    {"abort", transport_abort, METH_NOARGS, abort_doc},
    {"is_closing", transport_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it, or the transport below, is closing or closed."},
    {"is_reading", transport_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue unless paused."},
    {"pause_reading", transport_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nCall data_received no more, until resume_reading()."},
    {"resume_reading", transport_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nUndo pause_reading()."},
    {"set_protocol", transport_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", transport_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the connection is lost."},
    {"set_write_buffer_limits", KEYWORDS(transport_set_write_limits), METH_VARARGS | METH_KEYWORDS,
     set_write_doc},
    {"get_write_buffer_limits", transport_get_write_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_write_buffer_size", transport_get_write_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes not yet given to the transport below."},
    {"set_read_buffer_limits", KEYWORDS(transport_set_read_limits), METH_VARARGS | METH_KEYWORDS,
     set_read_doc},
    {"get_read_buffer_limits", transport_get_read_limits, METH_NOARGS,
     "get_read_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_read_buffer_size", transport_get_read_size, METH_NOARGS,
     "get_read_buffer_size($self, /)\n--\n\nReceived bytes that are not decrypted yet."},
    {"_force_close", transport_force_close, METH_O, NULL},
    {"_test__append_write_backlog", transport_append_backlog, METH_O, backlog_doc},
    {NULL},
};

static PyMemberDef transport_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TlsTransportObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(TlsTransportObject, dict), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(transport_doc, "The application's end of a TLS connection, an asyncio.Transport.");

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, (void *)transport_doc},   {Py_tp_dealloc, transport_dealloc},
    {Py_tp_finalize, transport_finalize}, {Py_tp_traverse, transport_traverse},
    {Py_tp_clear, transport_clear},       {Py_tp_repr, transport_repr},
    {Py_tp_methods, transport_methods},   {Py_tp_getset, transport_getset},
    {Py_tp_members, transport_members},   {0, NULL},
};

/* Not immutable: its base is a Python class, which 3.14 demands to be immutable too. */
static PyType_Spec transport_spec = {
    .name = "camshaft._core.SSLTransport",
    .basicsize = sizeof(TlsTransportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = transport_slots,
};

int cam_tls_transport_exec(PyObject *module, cam_state *state) {
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    PyObject *base = transports ? PyObject_GetAttrString(transports, "_FlowControlMixin") : NULL;
    Py_XDECREF(transports);
    if (base == NULL) {
        return -1;
    }
    /* That its slots are as many as we know, stream.c has checked. */
    int status = CamState_AddType(module, &transport_spec, base, 1, &state->tls_transport_type);
    Py_DECREF(base);
    return status;
}

/* ---- for other C code: tls_transport.h ---- */

int CamTls_Check(cam_state *state, PyObject *object) {
    return Py_IS_TYPE(object, (PyTypeObject *)state->tls_transport_type);
}

static int write_some(PyObject *self, PyObject *bytes, const char *data, size_t size) {
    TlsObject *tls = tls_of(self);
    if (size == 0 || (tls->phase != CAM_TLS_WRAPPED && tls->phase != CAM_TLS_HANDSHAKE)) {
        return 0;
    }
    if (!check_process(tls) || cam_tls_queue(tls, bytes, data, size) < 0) {
        return -1;
    }
    return cam_tls_written(tls, size);
}

int CamTls_Write(PyObject *self, const char *data, Py_ssize_t size) {
    return write_some(self, NULL, data, (size_t)size);
}

int CamTls_WriteBytes(PyObject *self, PyObject *bytes) {
    return write_some(self, PyBytes_CheckExact(bytes) ? bytes : NULL, PyBytes_AS_STRING(bytes),
                      (size_t)PyBytes_GET_SIZE(bytes));
}

int CamTls_Close(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    if (!check_process(transport->tls)) {
        return -1;
    }
    if (transport->closed) {
        cam_tls_dismiss(transport->tls);
    }
    transport->closed = true;
    return cam_tls_close(transport->tls);
}

int CamTls_Abort(PyObject *self) {
    return force_close(self, NULL);
}

int CamTls_IsClosing(PyObject *self) {
    TlsTransportObject *transport = (TlsTransportObject *)self;
    return transport->closed ? 1 : cam_tls_base_is_closing(transport->tls);
}

int CamTls_PauseReading(PyObject *self) {
    cam_tls_pause_reading(tls_of(self));
    return 0;
}

int CamTls_ResumeReading(PyObject *self) {
    return cam_tls_resume_reading(tls_of(self));
}

Py_ssize_t CamTls_WriteBufferSize(PyObject *self) {
    TlsObject *tls = tls_of(self);
    Py_ssize_t size = cam_tls_write_size(tls);
    if (size >= 0 && tls->base != NULL && tls->base_is_stream) {
        size += CamStream_WriteBufferSize(tls->base);
    }
    return size;
}

int CamTls_Descriptor(PyObject *self) {
    TlsObject *tls = tls_of(self);
    return tls->base != NULL && tls->base_is_stream ? CamStream_Descriptor(tls->base) : -1;
}
