/* SPDX-License-Identifier: MIT */
/* The TLS protocol as Python and the stream below see it: type, methods, table. */
#include "transport/tls.h"

#include "compat.h"

#include <stddef.h>
#include <structmember.h>

int cam_tls_window_exec(PyObject *module, cam_state *state);
int cam_tls_transport_exec(PyObject *module, cam_state *state);

/* Seconds: asyncio.constants.SSL_HANDSHAKE_TIMEOUT and SSL_SHUTDOWN_TIMEOUT. */
static const double HANDSHAKE_TIMEOUT = 60;
static const double SHUTDOWN_TIMEOUT = 30;

static const CamProtocolTable table = {
    .connection_made = cam_tls_connection_made,
    .data_received = cam_tls_data_received,
    .eof_received = cam_tls_eof_received,
    .connection_lost = cam_tls_connection_lost,
    .pause_writing = cam_tls_pause_writing,
    .resume_writing = cam_tls_resume_writing,
};

static PyObject *tls_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                         PyObject *Py_UNUSED(keywords)) {
    cam_state *state = CamState_OfType(type);
    if (state == NULL) {
        return NULL;
    }
    TlsObject *tls = (TlsObject *)type->tp_alloc(type, 0);
    if (tls != NULL) {
        tls->native.table = &table;
        tls->state = state;
        tls->flush.owner = (PyObject *)tls;
        tls->flush.flush = cam_tls_flush;
        tls->write_high = CAM_TLS_WRITE_HIGH;
        tls->write_low = CAM_TLS_WRITE_HIGH / 4;
        tls->read_high = CAM_TLS_READ_HIGH;
        tls->read_low = CAM_TLS_READ_HIGH / 4;
    }
    return (PyObject *)tls;
}

/* A time limit as asyncio checks it; `fallback` seconds for None. New reference. */
static PyObject *read_timeout(PyObject *value, const char *name, double fallback) {
    if (value == Py_None) {
        return PyFloat_FromDouble(fallback);
    }
    PyObject *zero = PyLong_FromLong(0);
    int wrong = zero ? PyObject_RichCompareBool(value, zero, Py_LE) : -1;
    Py_XDECREF(zero);
    if (wrong > 0) {
        return PyErr_Format(PyExc_ValueError, "%s should be a positive number, got %S", name,
                            value);
    }
    return wrong < 0 ? NULL : Py_NewRef(value);
}

static int tls_init(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop",
                            "app_protocol",
                            "sslcontext",
                            "waiter",
                            "server_side",
                            "server_hostname",
                            "call_connection_made",
                            "ssl_handshake_timeout",
                            "ssl_shutdown_timeout",
                            NULL};
    TlsObject *tls = (TlsObject *)self;
    cam_state *state = tls->state;
    PyObject *loop, *app, *ssl_context, *waiter, *hostname = Py_None;
    PyObject *handshake_timeout = Py_None, *shutdown_timeout = Py_None;
    int server_side = 0, call_made = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOO|pOpOO:SSLProtocol", names, &loop, &app,
                                     &ssl_context, &waiter, &server_side, &hostname, &call_made,
                                     &handshake_timeout, &shutdown_timeout)) {
        return -1;
    }
    if (tls->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "SSLProtocol is already initialized");
        return -1;
    }
    if (!CamLoop_Check(state, loop)) {
        PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                     Py_TYPE(loop)->tp_name);
        return -1;
    }
    if (cam_tls_load(state) < 0) {
        return -1;
    }
    tls->loop = (LoopObject *)Py_NewRef(loop);
    tls->handshake_timeout =
        read_timeout(handshake_timeout, "ssl_handshake_timeout", HANDSHAKE_TIMEOUT);
    if (tls->handshake_timeout == NULL) {
        return -1;
    }
    tls->shutdown_timeout =
        read_timeout(shutdown_timeout, "ssl_shutdown_timeout", SHUTDOWN_TIMEOUT);
    if (tls->shutdown_timeout == NULL) {
        return -1;
    }
    int given = PyObject_IsTrue(ssl_context);
    if (given < 0) {
        return -1;
    }
    tls->ssl_context = given ? Py_NewRef(ssl_context)
                             : PyObject_CallFunction(state->tls.default_context, "OO",
                                                     server_side ? Py_True : Py_False, hostname);
    tls->context = PyContext_CopyCurrent();
    tls->transport = cam_tls_transport_new(tls);
    if (tls->ssl_context == NULL || tls->context == NULL || tls->transport == NULL) {
        return -1;
    }
    tls->waiter = waiter != Py_None ? Py_NewRef(waiter) : NULL;
    tls->told = call_made ? CAM_TLS_TOLD_NOTHING : CAM_TLS_TOLD_MADE;
    int named = PyObject_IsTrue(hostname);
    if (named < 0 || cam_tls_set_app(tls, app) < 0) {
        return -1;
    }
    return cam_tls_wrap(tls, server_side, named && !server_side ? hostname : Py_None);
}

PyObject *cam_tls_accept(LoopObject *loop, PyObject *app, PyObject *ssl_context, PyObject *watcher,
                         void (*settled)(PyObject *watcher)) {
    cam_state *state = loop->state;
    if (cam_tls_load(state) < 0) {
        return NULL;
    }
    TlsObject *tls = (TlsObject *)tls_new((PyTypeObject *)state->tls_type, NULL, NULL);
    if (tls == NULL) {
        return NULL;
    }
    tls->loop = (LoopObject *)Py_NewRef(loop);
    tls->ssl_context = Py_NewRef(ssl_context);
    tls->shutdown_timeout = read_timeout(Py_None, "ssl_shutdown_timeout", SHUTDOWN_TIMEOUT);
    tls->context = PyContext_CopyCurrent();
    tls->transport = cam_tls_transport_new(tls);
    if (tls->shutdown_timeout == NULL || tls->context == NULL || tls->transport == NULL ||
        cam_tls_set_app(tls, app) < 0 || cam_tls_wrap(tls, 1, Py_None) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(tls);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    tls->watcher = Py_NewRef(watcher);
    tls->settled = settled;
    return (PyObject *)tls;
}

/* The collector does not know handles. One that only the loop and this connection hold is looked
 * through here, as the loop looks through those that it alone holds: the two would otherwise keep
 * each other alive by way of the callback. */
static int visit_timer(TlsObject *tls, PyObject *timer, visitproc visit, void *arg) {
    if (timer == NULL || !Py_IS_TYPE(timer, (PyTypeObject *)tls->state->timer_type) ||
        !((HandleObject *)timer)->scheduled || Py_REFCNT(timer) != 2) {
        return 0;
    }
    return CamHandle_Visit((HandleObject *)timer, visit, arg);
}

static int tls_traverse(PyObject *self, visitproc visit, void *arg) {
    TlsObject *tls = (TlsObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(tls->loop);
    Py_VISIT(tls->base);
    Py_VISIT(tls->transport);
    Py_VISIT(tls->app);
    Py_VISIT(tls->context);
    Py_VISIT(tls->waiter);
    Py_VISIT(tls->ssl_context);
    Py_VISIT(tls->ssl_object);
    Py_VISIT(tls->ssl_socket);
    Py_VISIT(tls->incoming);
    Py_VISIT(tls->outgoing);
    Py_VISIT(tls->peercert);
    Py_VISIT(tls->cipher);
    Py_VISIT(tls->compression);
    Py_VISIT(tls->handshake_timeout);
    Py_VISIT(tls->shutdown_timeout);
    Py_VISIT(tls->handshake_timer);
    Py_VISIT(tls->shutdown_timer);
    Py_VISIT(tls->watcher);
    Py_VISIT(tls->lost_app);
    Py_VISIT(tls->lost_reason);
    int status = visit_timer(tls, tls->handshake_timer, visit, arg);
    return status ? status : visit_timer(tls, tls->shutdown_timer, visit, arg);
}

static int tls_clear(PyObject *self) {
    cam_tls_release((TlsObject *)self);
    return 0;
}

static void tls_dealloc(PyObject *self) {
    TlsObject *tls = (TlsObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (tls->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    cam_tls_release(tls);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods: what a transport below calls that is not ours ---- */

static bool check_usable(TlsObject *tls) {
    if (tls->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "SSLProtocol is not initialized");
        return false;
    }
    return true;
}

static PyObject *none_or_null(int status) {
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *tls_connection_made(PyObject *self, PyObject *base) {
    return check_usable((TlsObject *)self) ? none_or_null(cam_tls_connection_made(self, base))
                                           : NULL;
}

static PyObject *tls_data_received(PyObject *self, PyObject *data) {
    Py_buffer view;
    if (!check_usable((TlsObject *)self) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = view.len > 0 ? cam_tls_data_received(self, view.buf, view.len) : 0;
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return none_or_null(status);
}

static PyObject *tls_eof_received(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    if (!check_usable((TlsObject *)self)) {
        return NULL;
    }
    int keep_open = cam_tls_eof_received(self);
    return keep_open < 0 ? NULL : PyBool_FromLong(keep_open);
}

static PyObject *tls_connection_lost(PyObject *self, PyObject *reason) {
    return check_usable((TlsObject *)self) ? none_or_null(cam_tls_connection_lost(self, reason))
                                           : NULL;
}

static PyObject *tls_pause_writing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return none_or_null(cam_tls_pause_writing(self));
}

static PyObject *tls_resume_writing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return check_usable((TlsObject *)self) ? none_or_null(cam_tls_resume_writing(self)) : NULL;
}

/* ---- methods: ours ---- */

static PyObject *tls_check_handshake(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    cam_tls_handshake_expired((TlsObject *)self);
    Py_RETURN_NONE;
}

static PyObject *tls_check_shutdown(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    cam_tls_shutdown_expired((TlsObject *)self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(feed_doc, "_feed($self, data, /)\n--\n\n"
                       "Take what the peer had sent before this protocol was set.");

static PyObject *tls_feed(PyObject *self, PyObject *data) {
    Py_buffer view;
    if (!check_usable((TlsObject *)self) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = cam_tls_feed((TlsObject *)self, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return none_or_null(status);
}

static PyObject *tls_repr(PyObject *self) {
    static const char *const phases[] = {"unwrapped", "handshake", "open", "flushing", "shutdown"};
    TlsObject *tls = (TlsObject *)self;
    if (tls->base == NULL) {
        return PyUnicode_FromFormat("<SSLProtocol %s>", phases[tls->phase]);
    }
    return PyUnicode_FromFormat("<SSLProtocol %s over %R>", phases[tls->phase], tls->base);
}

static PyObject *get_object(PyObject *object) {
    return Py_NewRef(object ? object : Py_None);
}

#define GETTER(name, member)                                                                       \
    static PyObject *name(PyObject *self, void *Py_UNUSED(closure)) {                              \
        return get_object((PyObject *)((TlsObject *)self)->member);                                \
    }

GETTER(get_app_transport, transport)
GETTER(get_app_protocol, app)
GETTER(get_base, base)
GETTER(get_loop, loop)
GETTER(get_ssl_object, ssl_object)
GETTER(get_ssl_context, ssl_context)

static PyGetSetDef tls_getset[] = {
    {"_app_transport", get_app_transport, NULL, NULL, NULL},
    {"_app_protocol", get_app_protocol, NULL, NULL, NULL},
    {"_transport", get_base, NULL, NULL, NULL},
    {"_loop", get_loop, NULL, NULL, NULL},
    {"_sslobj", get_ssl_object, NULL, NULL, NULL},
    {"_sslcontext", get_ssl_context, NULL, NULL, NULL},
    {NULL},
};

static PyMethodDef tls_methods[] = {
    {"connection_made", tls_connection_made, METH_O,
     "connection_made($self, transport, /)\n--\n\nStart the handshake over this transport."},
    {"data_received", tls_data_received, METH_O,
     "data_received($self, data, /)\n--\n\nTake encrypted bytes."},
    {"eof_received", tls_eof_received, METH_NOARGS,
     "eof_received($self, /)\n--\n\nThe peer has ended its direction; True to keep ours open."},
    {"connection_lost", tls_connection_lost, METH_O,
     "connection_lost($self, exc, /)\n--\n\nThe transport below is closed."},
    {"pause_writing", tls_pause_writing, METH_NOARGS,
     "pause_writing($self, /)\n--\n\nThe transport below is full."},
    {"resume_writing", tls_resume_writing, METH_NOARGS,
     "resume_writing($self, /)\n--\n\nThe transport below takes bytes again."},
    {"_check_handshake_timeout", tls_check_handshake, METH_NOARGS, NULL},
    {"_check_shutdown_timeout", tls_check_shutdown, METH_NOARGS, NULL},
    {"_feed", tls_feed, METH_O, feed_doc},
    {NULL},
};

static PyMemberDef tls_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TlsObject, weakrefs), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(tls_doc,
             "SSLProtocol(loop, app_protocol, sslcontext, waiter, server_side=False,\n"
             "            server_hostname=None, call_connection_made=True,\n"
             "            ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n"
             "TLS between a stream transport and app_protocol, as asyncio.sslproto.SSLProtocol.\n\n"
             "The time limits are in seconds, 60 and 30 for None; ValueError when not positive.\n"
             "The application's transport is the attribute _app_transport.");

static PyType_Slot tls_slots[] = {
    {Py_tp_doc, (void *)tls_doc},
    {Py_tp_new, tls_new},
    {Py_tp_init, tls_init},
    {Py_tp_dealloc, tls_dealloc},
    {Py_tp_traverse, tls_traverse},
    {Py_tp_clear, tls_clear},
    {Py_tp_repr, tls_repr},
    {Py_tp_methods, tls_methods},
    {Py_tp_getset, tls_getset},
    {Py_tp_members, tls_members},
    {0, NULL},
};

static PyType_Spec tls_spec = {
    .name = "camshaft._core.SSLProtocol",
    .basicsize = sizeof(TlsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tls_slots,
};

int cam_tls_exec(PyObject *module, cam_state *state) {
    if (cam_tls_window_exec(module, state) < 0 || cam_tls_transport_exec(module, state) < 0) {
        return -1;
    }
    return CamState_AddType(module, &tls_spec, state->protocol_type, 1, &state->tls_type);
}
