/* SPDX-License-Identifier: MIT */
#include "transport/entrance.h"

#include "compat.h"
#include "stream.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

static const int64_t SECOND = 1000000000;
static const int64_t REPORT_INTERVAL = INT64_C(10) * 1000000000; /* of what a flood would repeat */
static const int64_t LONGEST = INT64_C(1000000000) * 1000000000; /* some thirty years */

static const char too_many[] = "Too many connections that have not begun, the oldest is closed";

/* ---- those on their way ---- */

static int plan_expiry(EntranceObject *entrance, int64_t delay) {
    if (entrance->timer != NULL) {
        return 0;
    }
    cam_state *state = entrance->state;
    const int64_t least = SECOND / 100;
    PyObject *seconds = PyFloat_FromDouble((double)(delay > least ? delay : least) / 1e9);
    PyObject *expire = seconds ? PyObject_GetAttrString((PyObject *)entrance, "_expire") : NULL;
    PyObject *timer = expire
                          ? PyObject_CallMethodObjArgs((PyObject *)entrance->loop,
                                                       state->str_call_later, seconds, expire, NULL)
                          : NULL;
    Py_XDECREF(expire);
    Py_XDECREF(seconds);
    if (timer == NULL) {
        return -1;
    }
    Py_XSETREF(entrance->timer, timer);
    return 0;
}

int cam_entrance_add(EntranceObject *entrance, ArrivalObject *arrival) {
    int64_t now = CamLoop_Now();
    arrival->deadline = now + entrance->time_limit;
    arrival->newer = NULL;
    arrival->older = entrance->newest;
    if (entrance->newest != NULL) {
        entrance->newest->newer = arrival;
    } else {
        entrance->oldest = arrival;
    }
    entrance->newest = arrival;
    entrance->count++;
    arrival->listed = true;
    if (entrance->count > entrance->limit) {
        bool tell = entrance->reported == 0 || now - entrance->reported >= REPORT_INTERVAL;
        entrance->reported = tell ? now : entrance->reported;
        cam_arrival_drop(entrance->oldest, "warning", tell ? too_many : NULL);
    }
    return plan_expiry(entrance, entrance->time_limit);
}

void cam_entrance_remove(EntranceObject *entrance, ArrivalObject *arrival) {
    if (!arrival->listed) {
        return;
    }
    if (arrival->newer != NULL) {
        arrival->newer->older = arrival->older;
    } else {
        entrance->newest = arrival->older;
    }
    if (arrival->older != NULL) {
        arrival->older->newer = arrival->newer;
    } else {
        entrance->oldest = arrival->newer;
    }
    arrival->newer = arrival->older = NULL;
    arrival->listed = false;
    entrance->count--;
}

/* A listed proxy is to be heard of; what anybody can do is not to fill the log. */
static void drop_late(ArrivalObject *arrival) {
    switch (arrival->phase) {
    case CAM_ARRIVAL_PROXY:
        cam_arrival_drop(arrival, "warning",
                         "Connection closed, as its PROXY header did not come in time");
        break;
    case CAM_ARRIVAL_HANDSHAKE:
        cam_arrival_drop(arrival, "debug", "Connection closed, as its TLS handshake took too long");
        break;
    default:
        cam_arrival_drop(arrival, NULL, NULL); /* it has said nothing, or all is said to it */
        break;
    }
}

PyDoc_STRVAR(expire_doc, "_expire($self, /)\n--\n\nClose the connections whose time is over.");

static PyObject *entrance_expire(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    EntranceObject *entrance = (EntranceObject *)op;
    Py_CLEAR(entrance->timer);
    int64_t now = CamLoop_Now();
    while (entrance->oldest != NULL && entrance->oldest->deadline <= now) {
        drop_late(entrance->oldest);
    }
    if (entrance->oldest != NULL && plan_expiry(entrance, entrance->oldest->deadline - now) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

void cam_entrance_log(EntranceObject *entrance, const char *level, PyObject *stream,
                      const char *message) {
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *logger = Py_NewRef(entrance->logger);
    PyObject *peer = stream ? PyObject_CallMethod(stream, "get_extra_info", "s", "peername") : NULL;
    PyObject *shown = NULL;
    if (peer != NULL && PyTuple_Check(peer) && PyTuple_GET_SIZE(peer) >= 2) {
        PyObject *host = PyTuple_GET_ITEM(peer, 0);
        bool v6 = PyTuple_GET_SIZE(peer) > 2;
        shown = PyUnicode_FromFormat(v6 ? "[%S]:%S" : "%S:%S", host, PyTuple_GET_ITEM(peer, 1));
    } else if (!PyErr_Occurred()) {
        shown = PyUnicode_FromString("a UNIX socket");
    }
    PyObject *done =
        shown ? PyObject_CallMethod(logger, level, "ssO", "%s: %s", message, shown) : NULL;
    if (done == NULL) {
        PyErr_WriteUnraisable(logger);
    }
    Py_XDECREF(done);
    Py_XDECREF(shown);
    Py_XDECREF(peer);
    Py_DECREF(logger);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* ---- the object ---- */

static PyObject *entrance_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf,
                                     PyObject *kwnames) {
    (void)args;
    if (PyVectorcall_NARGS(nargsf) != 0 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "a protocol factory takes no arguments");
        return NULL;
    }
    return cam_arrival_new((EntranceObject *)op);
}

static int truth_of(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return truth;
}

static int add_range(EntranceObject *self, PyObject *range) {
    const char *bytes;
    Py_ssize_t size;
    int bits;
    if (!PyTuple_Check(range)) {
        PyErr_SetString(PyExc_TypeError, "proxies: a range is (bytes, int)");
        return -1;
    }
    if (!PyArg_ParseTuple(range, "y#i", &bytes, &size, &bits)) {
        return -1;
    }
    cam_ip ip = {.size = (uint8_t)size};
    if ((size != 4 && size != 16) || bits < 0 || bits > size * 8) {
        PyErr_SetString(PyExc_ValueError, "proxies: no range of addresses");
        return -1;
    }
    memcpy(ip.bytes, bytes, (size_t)size);
    if (cam_peers_add(&self->proxies, &ip, (unsigned)bits) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Reads a TrustedHosts object. 0, or -1. */
static int set_proxies(EntranceObject *self, PyObject *hosts) {
    int all = truth_of(hosts, "always_trust");
    PyObject *literals = all < 0 ? NULL : PyObject_GetAttrString(hosts, "trusted_literals");
    PyObject *name = literals ? PyUnicode_FromString("unix:") : NULL;
    int local = name ? PySequence_Contains(literals, name) : -1;
    Py_XDECREF(name);
    Py_XDECREF(literals);
    PyObject *given = local < 0 ? NULL : PyObject_GetAttrString(hosts, "ranges");
    PyObject *ranges = given ? PySequence_Tuple(given) : NULL;
    Py_XDECREF(given);
    if (ranges == NULL) {
        return -1;
    }
    int status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_GET_SIZE(ranges); i++) {
        status = add_range(self, PyTuple_GET_ITEM(ranges, i));
    }
    Py_DECREF(ranges);
    self->proxies_all = all;
    self->proxies_local = local;
    return status;
}

static int set_time_limit(EntranceObject *self, double seconds) {
    if (!(seconds > 0)) {
        PyErr_SetString(PyExc_ValueError, "time_limit must be a positive number of seconds");
        return -1;
    }
    self->time_limit = seconds * 1e9 < (double)LONGEST ? (int64_t)(seconds * 1e9) : LONGEST;
    return 0;
}

static PyObject *entrance_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop",       "factory", "ssl_context", "proxies",
                            "time_limit", "limit",   "logger",      NULL};
    cam_state *state = CamState_OfType(type);
    PyObject *loop, *factory, *ssl_context = Py_None, *proxies = Py_None, *logger = Py_None;
    double time_limit = 15;
    Py_ssize_t limit = PY_SSIZE_T_MAX;
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, keywords, "OO|$OOdnO:Entrance", names, &loop, &factory,
                                     &ssl_context, &proxies, &time_limit, &limit, &logger)) {
        return NULL;
    }
    if (!CamLoop_Check(state, loop)) {
        return PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                            Py_TYPE(loop)->tp_name);
    }
    if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "limit must be at least 1");
        return NULL;
    }
    EntranceObject *self = (EntranceObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = entrance_vectorcall;
    self->state = state;
    self->loop = (LoopObject *)Py_NewRef(loop);
    self->factory = Py_NewRef(factory);
    self->ssl_context = ssl_context != Py_None ? Py_NewRef(ssl_context) : NULL;
    self->limit = (size_t)limit;
    if (logger != Py_None) {
        self->logger = Py_NewRef(logger);
    } else {
        PyObject *logging = PyImport_ImportModule("logging");
        self->logger =
            logging ? PyObject_CallMethod(logging, "getLogger", "s", "uvicorn.error") : NULL;
        Py_XDECREF(logging);
    }
    if (self->logger == NULL || set_time_limit(self, time_limit) < 0 ||
        (proxies != Py_None && set_proxies(self, proxies) < 0)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int entrance_traverse(PyObject *op, visitproc visit, void *arg) {
    EntranceObject *self = (EntranceObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->factory);
    Py_VISIT(self->ssl_context);
    Py_VISIT(self->logger);
    Py_VISIT(self->timer);
    return 0;
}

/* What arrivals that are still being torn down may use goes in dealloc. */
static int entrance_clear(PyObject *op) {
    EntranceObject *self = (EntranceObject *)op;
    Py_CLEAR(self->timer);
    Py_CLEAR(self->ssl_context);
    return 0;
}

static void entrance_dealloc(PyObject *op) {
    EntranceObject *self = (EntranceObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)entrance_clear(op);
    Py_CLEAR(self->factory);
    Py_CLEAR(self->logger);
    Py_CLEAR(self->loop);
    cam_peers_free(&self->proxies);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Close the connections that have not arrived, and those that still come.");

static PyObject *entrance_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    EntranceObject *self = (EntranceObject *)op;
    self->closed = true;
    while (self->oldest != NULL) {
        cam_arrival_drop(self->oldest, NULL, NULL);
    }
    PyObject *timer = self->timer;
    self->timer = NULL;
    PyObject *done = timer ? PyObject_CallMethodNoArgs(timer, self->state->str_cancel) : NULL;
    if (timer != NULL && done == NULL) {
        PyErr_WriteUnraisable(timer);
    }
    Py_XDECREF(done);
    Py_XDECREF(timer);
    Py_RETURN_NONE;
}

static PyObject *get_ssl_context(PyObject *op, void *Py_UNUSED(closure)) {
    PyObject *context = ((EntranceObject *)op)->ssl_context;
    return Py_NewRef(context ? context : Py_None);
}

static int set_ssl_context(PyObject *op, PyObject *value, void *Py_UNUSED(closure)) {
    EntranceObject *self = (EntranceObject *)op;
    if (value == NULL || value == Py_None || self->ssl_context == NULL) {
        PyErr_SetString(PyExc_ValueError, "an entrance has TLS from the beginning, or never");
        return -1;
    }
    Py_XSETREF(self->ssl_context, Py_NewRef(value));
    return 0;
}

static PyObject *get_arrivals(PyObject *op, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((EntranceObject *)op)->count);
}

static PyGetSetDef entrance_getset[] = {
    {"ssl_context", get_ssl_context, set_ssl_context,
     "The SSLContext of the connections to come; None without TLS.", NULL},
    {"arrivals", get_arrivals, NULL, "How many connections have come and not arrived.", NULL},
    {NULL},
};

static PyMethodDef entrance_methods[] = {
    {"close", entrance_close, METH_NOARGS, close_doc},
    {"_expire", entrance_expire, METH_NOARGS, expire_doc},
    {NULL},
};

static PyMemberDef entrance_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(EntranceObject, vectorcall), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(entrance_doc,
             "Entrance(loop, factory, *, ssl_context=None, proxies=None, time_limit=15.0,\n"
             "         limit=sys.maxsize, logger=None)\n--\n\n"
             "What the listeners of our own loop call for a protocol where TLS, or the header of\n"
             "the PROXY protocol, comes before it.\n\n"
             "`proxies`, a TrustedHosts, are the peers that begin with such a header. Those that\n"
             "have not arrived within `time_limit` seconds are dropped, and the oldest of them\n"
             "when there are more than `limit`. `logger` is uvicorn.error by default.");

static PyType_Slot entrance_slots[] = {
    {Py_tp_doc, (void *)entrance_doc}, {Py_tp_new, entrance_new},
    {Py_tp_dealloc, entrance_dealloc}, {Py_tp_traverse, entrance_traverse},
    {Py_tp_clear, entrance_clear},     {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, entrance_methods}, {Py_tp_members, entrance_members},
    {Py_tp_getset, entrance_getset},   {0, NULL},
};

static PyType_Spec entrance_spec = {
    .name = "camshaft._core.Entrance",
    .basicsize = sizeof(EntranceObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = entrance_slots,
};

int cam_entrance_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &entrance_spec, NULL, 1, &state->entrance_type);
}
