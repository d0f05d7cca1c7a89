/* SPDX-License-Identifier: MIT */
/* The datagram transport as Python sees it: type and methods. */
#include "transport/datagram_object.h"

#include "compat.h"
#include "transport/limits.h"
#include "transport/notify.h"
#include "transport/stream_object.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

enum { MAX_SIZE = 256 * 1024 }; /* asyncio's _SelectorTransport.max_size */

static PyObject *datagram_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                              PyObject *Py_UNUSED(keywords)) {
    cam_state *state = CamState_OfType(type);
    DatagramObject *datagram = state ? (DatagramObject *)type->tp_alloc(type, 0) : NULL;
    if (datagram != NULL) {
        datagram->state = state;
        datagram->io.fd = datagram->shown_fd = -1;
        datagram->max_size = MAX_SIZE;
    }
    return (PyObject *)datagram;
}

/* ---- making one ---- */

/* socket.method(), None where it raises OSError. New reference; NULL with another exception. */
static PyObject *ask_name(PyObject *socket, const char *method) {
    PyObject *name = PyObject_CallMethod(socket, method, NULL);
    if (name == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return name;
}

/* Steals the value, which may be NULL with an exception. 0 or -1. */
static int set_extra(DatagramObject *datagram, PyObject *key, PyObject *value) {
    int status = value ? PyDict_SetItem(datagram->extra, key, value) : -1;
    Py_XDECREF(value);
    return status;
}

/* What get_extra_info() answers from. 0, or -1 with an exception. */
static int fill_extra(DatagramObject *datagram, PyObject *socket, PyObject *given) {
    cam_state *state = datagram->state;
    Py_XSETREF(datagram->extra, PyDict_New());
    if (datagram->extra == NULL ||
        (given != Py_None && PyDict_Update(datagram->extra, given) < 0) ||
        set_extra(datagram, state->str_socket,
                  PyObject_CallOneArg(state->transport_socket, socket)) < 0 ||
        set_extra(datagram, state->str_sockname, ask_name(socket, "getsockname")) < 0) {
        return -1;
    }
    int known = PyDict_Contains(datagram->extra, state->str_peername);
    if (known == 0 &&
        set_extra(datagram, state->str_peername, ask_name(socket, "getpeername")) < 0) {
        return -1;
    }
    if (known < 0) {
        return -1;
    }
    PyObject *peer = PyDict_GetItemWithError(datagram->extra, state->str_peername);
    int connected = peer ? PyObject_IsTrue(peer) : -1;
    datagram->connected = connected == 1;
    datagram->paired = peer != Py_None;
    return connected < 0 ? -1 : 0;
}

/* The descriptor and the family of a socket object. 0, or -1 with an exception. */
static int read_socket(DatagramObject *datagram, PyObject *socket) {
    cam_state *state = datagram->state;
    PyObject *number = PyObject_CallMethodNoArgs(socket, state->str_fileno);
    long fd = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    if (fd < 0 || fd > INT_MAX) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the socket is closed");
        }
        return -1;
    }
    datagram->shown_fd = (int)fd;
    /* A class of its own may send and receive in its own way (through a proxy, for one). */
    if ((PyObject *)Py_TYPE(socket) == state->socket_class) {
        PyObject *family = PyObject_GetAttr(socket, state->str_family);
        long value = family ? PyLong_AsLong(family) : -1;
        Py_XDECREF(family);
        if (value == -1 && PyErr_Occurred()) {
            return -1;
        }
        datagram->family = (int)value;
        datagram->plain = CamAddress_IsKnownFamily((int)value);
    }
    return 0;
}

static int datagram_init(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "sock", "protocol", "address", "waiter", "extra", NULL};
    DatagramObject *datagram = (DatagramObject *)self;
    cam_state *state = datagram->state;
    PyObject *loop, *socket, *protocol, *address = Py_None, *waiter = Py_None, *extra = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OOO:Datagram", names, &loop, &socket,
                                     &protocol, &address, &waiter, &extra)) {
        return -1;
    }
    if (datagram->context != NULL || datagram->finished) {
        PyErr_SetString(PyExc_RuntimeError, "Datagram is already initialized");
        return -1;
    }
    if (!CamLoop_Check(state, loop)) {
        PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                     Py_TYPE(loop)->tp_name);
        return -1;
    }
    int is_address = PyObject_IsTrue(address);
    if (is_address < 0 || CamLoop_CheckUsable((LoopObject *)loop) < 0 ||
        read_socket(datagram, socket) < 0 || fill_extra(datagram, socket, extra) < 0 ||
        cam_stream_hold_socket(state, socket) < 0) {
        return -1;
    }
    datagram->io.fd = datagram->shown_fd;
    Py_XSETREF(datagram->address, is_address ? Py_NewRef(address) : NULL);
    datagram->socket = Py_NewRef(socket);
    datagram->protocol = Py_NewRef(protocol);
    if (cam_datagram_begin(datagram, (LoopObject *)loop, waiter != Py_None ? waiter : NULL) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        if (datagram->loop != NULL) {
            CamLoop_UnwatchIo(datagram->loop, &datagram->io);
        }
        datagram->socket = NULL; /* still the caller's */
        cam_datagram_release(datagram);
        cam_stream_let_go_socket(state, socket);
        Py_DECREF(socket);
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return 0;
}

/* ---- the object ---- */

static int datagram_traverse(PyObject *self, visitproc visit, void *arg) {
    DatagramObject *datagram = (DatagramObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(datagram->loop);
    Py_VISIT(datagram->protocol);
    Py_VISIT(datagram->context);
    Py_VISIT(datagram->socket);
    Py_VISIT(datagram->address);
    Py_VISIT(datagram->reason);
    Py_VISIT(datagram->extra);
    Py_VISIT(datagram->dict);
    Py_VISIT(datagram->recent_object);
    for (CamUnsent *unsent = datagram->first; unsent != NULL; unsent = unsent->next) {
        Py_VISIT(unsent->destination);
    }
    for (unsigned i = 0; i < datagram->waiting_count; i++) {
        Py_VISIT(datagram->waiting[datagram->waiting_first + i].data);
        Py_VISIT(datagram->waiting[datagram->waiting_first + i].source);
    }
    return 0;
}

static int datagram_clear(PyObject *self) {
    DatagramObject *datagram = (DatagramObject *)self;
    Py_CLEAR(datagram->extra);
    Py_CLEAR(datagram->dict);
    cam_datagram_release(datagram); /* the finalizer has closed it before, unless it never ran */
    return 0;
}

/* An open transport that nobody holds: closed here, with a warning, as asyncio's __del__ does. */
static void datagram_finalize(PyObject *self) {
    DatagramObject *datagram = (DatagramObject *)self;
    if (datagram->loop == NULL || datagram->io.fd < 0) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_Clear();
    }
    cam_datagram_release(datagram);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void datagram_dealloc(PyObject *self) {
    DatagramObject *datagram = (DatagramObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody keeps it after all */
    }
    PyObject_GC_UnTrack(self);
    if (datagram->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)datagram_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *datagram_repr(PyObject *self) {
    DatagramObject *datagram = (DatagramObject *)self;
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name ? name + 1 : Py_TYPE(self)->tp_name;
    const char *life = datagram->io.fd < 0 ? " closed" : datagram->closing ? " closing" : "";
    if (datagram->loop == NULL || datagram->loop->closed) {
        return PyUnicode_FromFormat("<%s%s fd=%d>", name, life, datagram->shown_fd);
    }
    return PyUnicode_FromFormat(
        "<%s%s fd=%d read=%s write=<%s, bufsize=%zu>>", name, life, datagram->shown_fd,
        datagram->io.interest & CAM_POLL_IN ? "polling" : "idle",
        datagram->io.interest & CAM_POLL_OUT ? "polling" : "idle", datagram->unsent);
}

/* ---- methods ---- */

#define RETURN_STATUS(status)                                                                      \
    if ((status) < 0) {                                                                            \
        return NULL;                                                                               \
    }                                                                                              \
    Py_RETURN_NONE

/* Reads sendto()'s arguments, both of which may be given by name. 0, or -1 with TypeError. */
static int read_sendto(cam_state *state, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                       PyObject **data, PyObject **destination) {
    PyObject *found[2] = {nargs > 0 ? args[0] : NULL, nargs > 1 ? args[1] : NULL};
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs > 2) {
        PyErr_Format(PyExc_TypeError,
                     "sendto() takes from 1 to 2 positional arguments but %zd were given", nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        int slot = PyUnicode_Compare(key, state->str_data) == 0   ? 0
                   : PyUnicode_Compare(key, state->str_addr) == 0 ? 1
                                                                  : -1;
        if (slot < 0 || found[slot] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         slot < 0 ? "sendto() got an unexpected keyword argument '%U'"
                                  : "sendto() got multiple values for argument '%U'",
                         key);
            return -1;
        }
        found[slot] = args[nargs + i];
    }
    if (found[0] == NULL) {
        PyErr_SetString(PyExc_TypeError, "sendto() missing 1 required positional argument: 'data'");
        return -1;
    }
    *data = found[0];
    *destination = found[1] ? found[1] : Py_None;
    return 0;
}

PyDoc_STRVAR(sendto_doc,
             "sendto($self, data, addr=None)\n--\n\n"
             "Send one datagram of bytes, a bytearray or a memoryview.\n\n"
             "addr is as for socket.sendto(), or None for the remote_addr that the endpoint was\n"
             "made with. Tried at once; what the kernel does not take waits. An OSError goes to\n"
             "protocol.error_received(). See asyncio.DatagramTransport.sendto().");

static PyObject *datagram_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    DatagramObject *datagram = (DatagramObject *)self;
    PyObject *data, *destination;
    if (read_sendto(datagram->state, args, nargs, kwnames, &data, &destination) < 0) {
        return NULL;
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));
        if (name != NULL) {
            PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not %R",
                         name);
            Py_DECREF(name);
        }
        return NULL;
    }
    RETURN_STATUS(cam_datagram_send(datagram, data, destination));
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Stop reading, send what waits, close; connection_lost(None) follows.");

static PyObject *datagram_close_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_datagram_close((DatagramObject *)self));
}

PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\n"
                        "Close without sending what waits; connection_lost(None) follows.");

static PyObject *datagram_abort(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_datagram_force_close((DatagramObject *)self, NULL));
}

static PyObject *datagram_force_close(PyObject *self, PyObject *reason) {
    RETURN_STATUS(
        cam_datagram_force_close((DatagramObject *)self, reason != Py_None ? reason : NULL));
}

static PyObject *datagram_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((DatagramObject *)self)->closing);
}

static PyObject *datagram_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    DatagramObject *datagram = (DatagramObject *)self;
    return PyBool_FromLong(!datagram->paused && !datagram->closing);
}

static PyObject *datagram_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_datagram_pause_reading((DatagramObject *)self));
}

static PyObject *datagram_resume_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_datagram_resume_reading((DatagramObject *)self));
}

static PyObject *datagram_set_protocol(PyObject *self, PyObject *protocol) {
    DatagramObject *datagram = (DatagramObject *)self;
    if (datagram->loop != NULL) {
        Py_XSETREF(datagram->protocol, Py_NewRef(protocol));
    }
    Py_RETURN_NONE;
}

static PyObject *datagram_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *protocol = ((DatagramObject *)self)->protocol;
    return Py_NewRef(protocol ? protocol : Py_None);
}

PyDoc_STRVAR(set_limits_doc,
             "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
             "Set the unsent bytes above which writing is paused, and up to which it is resumed.");

static PyObject *datagram_set_limits(PyObject *self, PyObject *args, PyObject *keywords) {
    DatagramObject *datagram = (DatagramObject *)self;
    if (cam_limits_read(args, keywords, CAM_HIGH_WATER, &datagram->high_water,
                        &datagram->low_water) < 0) {
        return NULL;
    }
    RETURN_STATUS(cam_datagram_maybe_pause(datagram));
}

static PyObject *datagram_get_limits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    DatagramObject *datagram = (DatagramObject *)self;
    return Py_BuildValue("nn", (Py_ssize_t)datagram->low_water, (Py_ssize_t)datagram->high_water);
}

static PyObject *datagram_get_buffer_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromSize_t(((DatagramObject *)self)->unsent);
}

PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, name, default=None)\n--\n\n"
             "'socket', 'sockname' or 'peername'; see asyncio.BaseTransport.get_extra_info().");

static PyObject *datagram_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"name", "default", NULL};
    DatagramObject *datagram = (DatagramObject *)self;
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", names, &name,
                                     &fallback)) {
        return NULL;
    }
    PyObject *value = datagram->extra ? PyDict_GetItemWithError(datagram->extra, name) : NULL;
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value ? value : fallback);
}

/* ---- attributes, of the names that asyncio's transport has them by ---- */

static PyObject *datagram_get_protocol_paused(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((DatagramObject *)self)->protocol_paused);
}

static PyObject *datagram_get_high_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((DatagramObject *)self)->high_water);
}

static PyObject *datagram_get_low_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((DatagramObject *)self)->low_water);
}

static PyGetSetDef datagram_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"_high_water", datagram_get_high_water, NULL, NULL, NULL},
    {"_low_water", datagram_get_low_water, NULL, NULL, NULL},
    {"_protocol_paused", datagram_get_protocol_paused, NULL, NULL, NULL},
    {NULL},
};

/* T_OBJECT: None where there is none. */
static PyMemberDef datagram_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(DatagramObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(DatagramObject, dict), READONLY, NULL},
    {"max_size", T_PYSSIZET, offsetof(DatagramObject, max_size), 0,
     "Bytes of a datagram that are received at most; what is longer is cut."},
    {"_address", T_OBJECT, offsetof(DatagramObject, address), READONLY, NULL},
    {"_extra", T_OBJECT, offsetof(DatagramObject, extra), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(DatagramObject, loop), READONLY, NULL},
    {"_protocol", T_OBJECT, offsetof(DatagramObject, protocol), READONLY, NULL},
    {"_sock", T_OBJECT, offsetof(DatagramObject, socket), READONLY, NULL},
    {"_sock_fd", T_INT, offsetof(DatagramObject, shown_fd), READONLY, NULL},
    {NULL},
};

#define FUNCTION(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef datagram_methods[] = {
    {"get_extra_info", FUNCTION(datagram_get_extra_info), METH_VARARGS | METH_KEYWORDS,
     get_extra_info_doc},
    {"sendto", FUNCTION(datagram_sendto), METH_FASTCALL | METH_KEYWORDS, sendto_doc},
    {"close", datagram_close_method, METH_NOARGS, close_doc},
    {"abort", datagram_abort, METH_NOARGS, abort_doc},
    {"is_closing", datagram_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it is closing or closed."},
    {"is_reading", datagram_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while neither paused nor closing."},
    {"pause_reading", datagram_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nCall datagram_received no more, until resume_reading()."},
    {"resume_reading", datagram_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nUndo pause_reading()."},
    {"set_protocol", datagram_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", datagram_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the transport is finished."},
    {"set_write_buffer_limits", FUNCTION(datagram_set_limits), METH_VARARGS | METH_KEYWORDS,
     set_limits_doc},
    {"get_write_buffer_limits", datagram_get_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_write_buffer_size", datagram_get_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes not yet given to the kernel; from Python 3.13\n"
     "on with 8 more for each datagram."},
    {"_force_close", datagram_force_close, METH_O, NULL},
    {NULL},
};

PyDoc_STRVAR(datagram_doc,
             "Datagram(loop, sock, protocol, address=None, waiter=None, extra=None)\n--\n\n"
             "The transport of a datagram socket, an asyncio.DatagramTransport.\n\n"
             "Owns sock, which must not block. Behaves as asyncio's selector transport, but that\n"
             "several datagrams may be received in one turn of the loop.");

static PyType_Slot datagram_slots[] = {
    {Py_tp_doc, (void *)datagram_doc},   {Py_tp_new, datagram_new},
    {Py_tp_init, datagram_init},         {Py_tp_dealloc, datagram_dealloc},
    {Py_tp_finalize, datagram_finalize}, {Py_tp_traverse, datagram_traverse},
    {Py_tp_clear, datagram_clear},       {Py_tp_repr, datagram_repr},
    {Py_tp_methods, datagram_methods},   {Py_tp_getset, datagram_getset},
    {Py_tp_members, datagram_members},   {0, NULL},
};

/* Not immutable: its bases are Python classes, which 3.14 demands to be immutable too. */
static PyType_Spec datagram_spec = {
    .name = "camshaft._core.Datagram",
    .basicsize = sizeof(DatagramObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = datagram_slots,
};

int cam_datagram_exec(PyObject *module, cam_state *state) {
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    PyObject *mixin = transports ? PyObject_GetAttrString(transports, "_FlowControlMixin") : NULL;
    PyObject *kind = mixin ? PyObject_GetAttrString(transports, "DatagramTransport") : NULL;
    PyObject *bases = kind ? PyTuple_Pack(2, mixin, kind) : NULL;
    int status = -1;
    if (bases != NULL &&
        ((PyTypeObject *)mixin)->tp_basicsize > (Py_ssize_t)offsetof(DatagramObject, state)) {
        PyErr_SetString(PyExc_ImportError,
                        "asyncio.transports._FlowControlMixin has more slots than this version of "
                        "camshaft knows; install a newer camshaft");
    } else if (bases != NULL) {
        status = CamState_AddType(module, &datagram_spec, bases, 1, &state->datagram_type);
    }
    Py_XDECREF(bases);
    Py_XDECREF(kind);
    Py_XDECREF(mixin);
    Py_XDECREF(transports);
    return status;
}
