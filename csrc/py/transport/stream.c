/* SPDX-License-Identifier: MIT */
/* The stream transport as Python and as other C code (stream.h) see it: type and methods. */
#include "transport/limits.h"
#include "transport/stream_object.h"

#include "compat.h"
#include "stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <unistd.h>

static PyObject *stream_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(keywords)) {
    cam_state *state = CamState_OfType(type);
    return state ? (PyObject *)cam_stream_allocate(type, state) : NULL;
}

/* An int attribute of a socket object; -1 with an exception. */
static int int_attribute(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) {
        return -1;
    }
    long number = PyLong_AsLong(value);
    Py_DECREF(value);
    return number == -1 && PyErr_Occurred() ? -1 : (int)number;
}

static int stream_init(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "sock", "protocol", "waiter", "extra", "server", NULL};
    StreamObject *stream = (StreamObject *)self;
    cam_state *state = stream->state;
    PyObject *loop, *socket, *protocol, *waiter = Py_None, *extra = Py_None, *server = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OOO:Stream", names, &loop, &socket,
                                     &protocol, &waiter, &extra, &server)) {
        return -1;
    }
    if (stream->context != NULL || stream->finished) {
        PyErr_SetString(PyExc_RuntimeError, "Stream is already initialized");
        return -1;
    }
    if (!CamLoop_Check(state, loop)) {
        PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                     Py_TYPE(loop)->tp_name);
        return -1;
    }
    PyObject *number = PyObject_CallMethodNoArgs(socket, state->str_fileno);
    if (number == NULL) {
        return -1;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd < 0 || fd > INT_MAX) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the socket is closed");
        }
        return -1;
    }
    int family = int_attribute(socket, state->str_family);
    int type = family == -1 ? -1 : int_attribute(socket, state->str_type);
    int proto = type == -1 ? -1 : int_attribute(socket, state->str_proto);
    if (proto == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_XSETREF(stream->extra, PyDict_New());
    if (stream->extra == NULL || (extra != Py_None && PyDict_Update(stream->extra, extra) < 0)) {
        return -1;
    }
    if (CamAddress_IsKnownFamily(family)) {
        CamAddress_OfNearEnd(&stream->near_end, (int)fd);
        CamAddress_OfFarEnd(&stream->far_end, (int)fd);
    } else if (cam_stream_ask_socket(stream, socket) < 0) {
        return -1;
    }
    cam_stream_set_nodelay((int)fd, family, type, proto);
    stream->io.fd = stream->shown_fd = (int)fd;
    if (cam_stream_hold_socket(state, socket) < 0) {
        stream->io.fd = -1;
        return -1;
    }
    stream->socket = Py_NewRef(socket);
    if (cam_stream_begin(stream, (LoopObject *)loop, protocol, waiter != Py_None ? waiter : NULL,
                         server != Py_None ? server : NULL, NULL) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        stream->io.fd = -1; /* still the caller's */
        cam_stream_let_go_socket(state, socket);
        Py_CLEAR(stream->socket);
        cam_stream_release(stream);
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return 0;
}

static int stream_traverse(PyObject *self, visitproc visit, void *arg) {
    StreamObject *stream = (StreamObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(stream->extra);
    Py_VISIT(stream->loop);
    Py_VISIT(stream->protocol);
    Py_VISIT(stream->context);
    Py_VISIT(stream->server);
    Py_VISIT(stream->socket);
    Py_VISIT(stream->reason);
    Py_VISIT(stream->empty_waiter);
    Py_VISIT(stream->sendfile_compatible);
    Py_VISIT(stream->dict);
    return 0;
}

static int stream_clear(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    Py_CLEAR(stream->empty_waiter);
    Py_CLEAR(stream->sendfile_compatible);
    Py_CLEAR(stream->extra);
    Py_CLEAR(stream->dict);
    cam_stream_release(stream); /* the finalizer has closed it before, unless it never ran */
    return 0;
}

/* An open transport that nobody holds: closed here, with a warning, as asyncio's __del__ does. */
static void stream_finalize(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->loop == NULL || stream->io.fd < 0) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_Clear();
    }
    cam_stream_release(stream);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void stream_dealloc(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody keeps it after all */
    }
    PyObject_GC_UnTrack(self);
    if (stream->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)stream_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

#define RETURN_STATUS(status)                                                                      \
    if ((status) < 0) {                                                                            \
        return NULL;                                                                               \
    }                                                                                              \
    Py_RETURN_NONE

/* True when data may be written; else false, with an exception or (write lost) without. */
static bool check_writable(StreamObject *stream, const char *method) {
    if (stream->eof_written) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()", method);
        return false;
    }
    if (stream->empty_waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError, "unable to %s; sendfile is in progress", method);
        return false;
    }
    if (stream->loop != NULL && CamLoop_IsForeign(stream->loop)) {
        return CamLoop_CheckUsable(stream->loop) == 0;
    }
    return true;
}

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send bytes, a bytearray or a memoryview; see asyncio.WriteTransport.write().\n\n"
             "Goes out at the end of the loop's turn, together with what else the turn writes.");

static PyObject *stream_write(PyObject *self, PyObject *data) {
    StreamObject *stream = (StreamObject *)self;
    bool is_bytes = PyBytes_CheckExact(data);
    if (!is_bytes && !PyBytes_Check(data) && !PyByteArray_Check(data) &&
        !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.100s'",
                            Py_TYPE(data)->tp_name);
    }
    if (!check_writable(stream, "write")) {
        return NULL;
    }
    if (is_bytes) {
        if (PyBytes_GET_SIZE(data) > 0 && !cam_stream_is_write_lost(stream)) {
            RETURN_STATUS(cam_stream_send_kept(stream, data, PyBytes_AS_STRING(data),
                                               (size_t)PyBytes_GET_SIZE(data)));
        }
        Py_RETURN_NONE;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = 0;
    if (view.len > 0 && !cam_stream_is_write_lost(stream)) {
        status = cam_stream_send_copy(stream, view.buf, (size_t)view.len);
    }
    PyBuffer_Release(&view);
    RETURN_STATUS(status);
}

/* Queues the items of a tuple of buffers; all of them, or none and an exception. */
static int queue_items(StreamObject *stream, PyObject *items) {
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    Py_buffer *views = PyMem_New(Py_buffer, count ? count : 1);
    if (views == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t held = 0;
    int status = 0;
    while (held < count && status == 0) {
        PyObject *item = PyTuple_GET_ITEM(items, held);
        if (!PyObject_CheckBuffer(item)) {
            PyErr_Format(PyExc_TypeError, "a bytes-like object is required, not '%.100s'",
                         Py_TYPE(item)->tp_name);
            status = -1;
        } else if ((status = PyObject_GetBuffer(item, &views[held], PyBUF_SIMPLE)) == 0) {
            held++;
        }
    }
    if (status == 0 && !cam_stream_is_write_lost(stream)) {
        size_t size = 0;
        for (Py_ssize_t i = 0; i < count && status == 0; i++) {
            PyObject *item = PyTuple_GET_ITEM(items, i);
            status = cam_stream_queue(stream, PyBytes_CheckExact(item) ? item : NULL, views[i].buf,
                                      (size_t)views[i].len);
            size += (size_t)views[i].len;
        }
        if (status == 0) {
            status = cam_stream_queued(stream, size);
        }
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    while (held > 0) {
        PyBuffer_Release(&views[--held]);
    }
    PyMem_Free(views);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

PyDoc_STRVAR(writelines_doc,
             "writelines($self, list_of_data, /)\n--\n\n"
             "Send any buffers, which need no length; see asyncio.WriteTransport.writelines().");

static PyObject *stream_writelines(PyObject *self, PyObject *list) {
    StreamObject *stream = (StreamObject *)self;
    if (!check_writable(stream, "writelines")) {
        return NULL;
    }
    PyObject *items = PySequence_Tuple(list);
    if (items == NULL) {
        return NULL;
    }
    int status = PyTuple_GET_SIZE(items) > 0 ? queue_items(stream, items) : 0;
    Py_DECREF(items);
    RETURN_STATUS(status);
}

PyDoc_STRVAR(write_eof_doc, "write_eof($self, /)\n--\n\n"
                            "Shut down our half of the connection once all is sent.");

static PyObject *stream_write_eof(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->closing || stream->eof_written || stream->loop == NULL) {
        Py_RETURN_NONE;
    }
    /* shutdown() would end a forked child's parent's connection, too. */
    if (CamLoop_IsForeign(stream->loop) && CamLoop_CheckUsable(stream->loop) < 0) {
        return NULL;
    }
    stream->eof_written = true;
    cam_stream_flush(self);
    RETURN_STATUS(cam_stream_send_eof(stream));
}

static PyObject *stream_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Stop reading, send what waits, close; connection_lost(None) follows.");

static PyObject *stream_close_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_stream_close((StreamObject *)self));
}

PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\n"
                        "Close without waiting for unsent bytes; connection_lost(None) follows.");

static PyObject *stream_abort_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_stream_abort((StreamObject *)self));
}

static PyObject *stream_force_close_method(PyObject *self, PyObject *reason) {
    RETURN_STATUS(cam_stream_force_close((StreamObject *)self, reason != Py_None ? reason : NULL));
}

static PyObject *stream_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((StreamObject *)self)->closing);
}

static PyObject *stream_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    return PyBool_FromLong(!stream->paused && !stream->closing);
}

static PyObject *stream_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_stream_pause_reading((StreamObject *)self));
}

static PyObject *stream_resume_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_stream_resume_reading((StreamObject *)self));
}

static PyObject *stream_set_protocol(PyObject *self, PyObject *protocol) {
    RETURN_STATUS(cam_stream_set_protocol((StreamObject *)self, protocol));
}

static PyObject *stream_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *protocol = ((StreamObject *)self)->protocol;
    return Py_NewRef(protocol ? protocol : Py_None);
}

PyDoc_STRVAR(set_limits_doc,
             "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
             "Set the unsent bytes above which writing is paused, and up to which it is resumed.");

static PyObject *stream_set_limits(PyObject *self, PyObject *args, PyObject *keywords) {
    StreamObject *stream = (StreamObject *)self;
    if (cam_limits_read(args, keywords, CAM_HIGH_WATER, &stream->high_water, &stream->low_water) <
        0) {
        return NULL;
    }
    if (stream->loop != NULL) {
        RETURN_STATUS(cam_stream_maybe_pause(stream));
    }
    Py_RETURN_NONE;
}

static PyObject *stream_get_limits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    return Py_BuildValue("nn", (Py_ssize_t)stream->low_water, (Py_ssize_t)stream->high_water);
}

static PyObject *stream_get_buffer_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromSize_t(((StreamObject *)self)->outbox.size);
}

static PyObject *stream_make_waiter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    if (stream->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is closed");
        return NULL;
    }
    cam_stream_flush(self);
    PyObject *waiter =
        PyObject_CallMethodNoArgs((PyObject *)stream->loop, stream->state->str_create_future);
    if (waiter == NULL) {
        return NULL;
    }
    Py_XSETREF(stream->empty_waiter, Py_NewRef(waiter));
    if (stream->outbox.first == NULL) {
        cam_stream_lend(stream);
        PyObject *done = PyObject_CallMethodOneArg(waiter, stream->state->str_set_result, Py_None);
        if (done == NULL) {
            Py_DECREF(waiter);
            return NULL;
        }
        Py_DECREF(done);
    }
    return waiter;
}

static PyObject *stream_reset_waiter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    Py_CLEAR(stream->empty_waiter);
    /* resume_reading() may have been called meanwhile. */
    RETURN_STATUS(cam_stream_read_on(stream));
}

/* ---- what is known of the connection ---- */

PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, name, default=None)\n--\n\n"
             "'socket', 'sockname' or 'peername'; see asyncio.BaseTransport.get_extra_info().");

static PyObject *stream_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"name", "default", NULL};
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", names, &name,
                                     &fallback)) {
        return NULL;
    }
    PyObject *value = cam_stream_info((StreamObject *)self, name);
    if (value == NULL && !PyErr_Occurred()) {
        return Py_NewRef(fallback);
    }
    return value;
}

static PyObject *stream_get_extra(PyObject *self, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    PyObject *names[] = {stream->state->str_socket, stream->state->str_sockname,
                         stream->state->str_peername};
    for (int i = 0; i < 3; i++) {
        PyObject *value = cam_stream_info(stream, names[i]);
        if (value == NULL && PyErr_Occurred()) {
            return NULL;
        }
        Py_XDECREF(value);
    }
    return Py_NewRef(stream->extra);
}

static PyObject *stream_repr(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name ? name + 1 : Py_TYPE(self)->tp_name;
    if (stream->loop == NULL || stream->loop->closed) {
        return PyUnicode_FromFormat("<%s%s fd=%d>", name,
                                    stream->io.fd < 0 ? " closed"
                                    : stream->closing ? " closing"
                                                      : "",
                                    stream->shown_fd);
    }
    return PyUnicode_FromFormat(
        "<%s%s fd=%d read=%s write=<%s, bufsize=%zu>>", name, stream->closing ? " closing" : "",
        stream->shown_fd, stream->io.interest & CAM_POLL_IN && !stream->paused ? "polling" : "idle",
        stream->io.interest & CAM_POLL_OUT ? "polling" : "idle", stream->outbox.size);
}

static PyObject *stream_get_loop(PyObject *self, void *Py_UNUSED(closure)) {
    LoopObject *loop = ((StreamObject *)self)->loop;
    return Py_NewRef(loop ? (PyObject *)loop : Py_None);
}

static PyObject *stream_get_protocol_attribute(PyObject *self, void *Py_UNUSED(closure)) {
    return stream_get_protocol(self, NULL);
}

static PyObject *stream_get_server(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *server = ((StreamObject *)self)->server;
    return Py_NewRef(server ? server : Py_None);
}

static PyObject *stream_get_sock(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *socket = cam_stream_socket((StreamObject *)self);
    if (socket == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return Py_XNewRef(socket);
}

static PyObject *stream_get_sock_fd(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLong(((StreamObject *)self)->shown_fd);
}

static PyObject *stream_get_high_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((StreamObject *)self)->high_water);
}

static PyObject *stream_get_low_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((StreamObject *)self)->low_water);
}

static PyObject *stream_get_closing(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((StreamObject *)self)->closing);
}

static PyObject *stream_get_paused(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((StreamObject *)self)->paused);
}

static PyObject *stream_get_protocol_paused(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((StreamObject *)self)->protocol_paused);
}

static PyObject *stream_get_sendfile(PyObject *self, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    return Py_NewRef(stream->sendfile_compatible ? stream->sendfile_compatible
                                                 : stream->state->sendfile_mode);
}

static int stream_set_sendfile(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    Py_XSETREF(stream->sendfile_compatible, Py_XNewRef(value));
    return 0;
}

static PyObject *get_true(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure)) {
    Py_RETURN_TRUE;
}

static PyGetSetDef stream_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"_closing", stream_get_closing, NULL, NULL, NULL},
    {"_extra", stream_get_extra, NULL, NULL, NULL},
    {"_high_water", stream_get_high_water, NULL, NULL, NULL},
    {"_low_water", stream_get_low_water, NULL, NULL, NULL},
    {"_loop", stream_get_loop, NULL, NULL, NULL},
    {"_paused", stream_get_paused, NULL, NULL, NULL},
    {"_protocol", stream_get_protocol_attribute, NULL, NULL, NULL},
    {"_server", stream_get_server, NULL, NULL, NULL},
    {"_sock", stream_get_sock, NULL, NULL, NULL},
    {"_sock_fd", stream_get_sock_fd, NULL, NULL, NULL},
    {"_protocol_paused", stream_get_protocol_paused, NULL, NULL, NULL},
    {"_sendfile_compatible", stream_get_sendfile, stream_set_sendfile, NULL, NULL},
    {"_start_tls_compatible", get_true, NULL, NULL, NULL},
    {NULL},
};

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef stream_methods[] = {
    {"get_extra_info", KEYWORDS(stream_get_extra_info), METH_VARARGS | METH_KEYWORDS,
     get_extra_info_doc},
    {"write", stream_write, METH_O, write_doc},
    {"writelines", stream_writelines, METH_O, writelines_doc},
    {"write_eof", stream_write_eof, METH_NOARGS, write_eof_doc},
    {"can_write_eof", stream_can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\nTrue: a stream socket can be closed by halves."},
    {"close", stream_close_method, METH_NOARGS, close_doc},
    {"abort", stream_abort_method, METH_NOARGS, abort_doc},
    {"is_closing", stream_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it is closing or closed."},
    {"is_reading", stream_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while neither paused nor closing."},
    {"pause_reading", stream_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nCall data_received no more, until resume_reading()."},
    {"resume_reading", stream_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nUndo pause_reading()."},
    {"set_protocol", stream_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", stream_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the transport is finished."},
    {"set_write_buffer_limits", KEYWORDS(stream_set_limits), METH_VARARGS | METH_KEYWORDS,
     set_limits_doc},
    {"get_write_buffer_limits", stream_get_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_write_buffer_size", stream_get_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes not yet given to the kernel."},
    {"_force_close", stream_force_close_method, METH_O, NULL},
    {"_make_empty_waiter", stream_make_waiter, METH_NOARGS, NULL},
    {"_reset_empty_waiter", stream_reset_waiter, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef stream_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StreamObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(StreamObject, dict), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(stream_doc,
             "Stream(loop, sock, protocol, waiter=None, extra=None, server=None)\n--\n\n"
             "The transport of a connected TCP or Unix stream socket, an asyncio.Transport.\n\n"
             "Owns sock, which must not block. Behaves as asyncio's selector transport, but "
             "that the\nwrites of one turn of the loop go out together at its end.");

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)stream_doc},   {Py_tp_new, stream_new},
    {Py_tp_init, stream_init},         {Py_tp_dealloc, stream_dealloc},
    {Py_tp_finalize, stream_finalize}, {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},       {Py_tp_repr, stream_repr},
    {Py_tp_methods, stream_methods},   {Py_tp_getset, stream_getset},
    {Py_tp_members, stream_members},   {0, NULL},
};

/* Not immutable: its base is a Python class, which 3.14 demands to be immutable too. */
static PyType_Spec stream_spec = {
    .name = "camshaft._core.Stream",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = stream_slots,
};

/* A module's attribute; NULL with an exception. */
static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return object;
}

int cam_stream_exec(PyObject *module, cam_state *state) {
    state->asyncio_logger = import_from("asyncio.log", "logger");
    state->buffered_protocol = import_from("asyncio", "BufferedProtocol");
    state->transport_socket = import_from("asyncio.trsock", "TransportSocket");
    state->socket_class = import_from("socket", "socket");
    PyObject *modes = import_from("asyncio.constants", "_SendfileMode");
    state->sendfile_mode = modes ? PyObject_GetAttrString(modes, "TRY_NATIVE") : NULL;
    Py_XDECREF(modes);
    PyObject *base = import_from("asyncio.transports", "_FlowControlMixin");
    if (state->asyncio_logger == NULL || state->buffered_protocol == NULL ||
        state->transport_socket == NULL || state->socket_class == NULL ||
        state->sendfile_mode == NULL || base == NULL) {
        Py_XDECREF(base);
        return -1;
    }
    int status = -1;
    if (((PyTypeObject *)base)->tp_basicsize > (Py_ssize_t)offsetof(StreamObject, state)) {
        PyErr_SetString(PyExc_ImportError,
                        "asyncio.transports._FlowControlMixin has more slots than this version of "
                        "camshaft knows; install a newer camshaft");
    } else {
        status = CamState_AddType(module, &stream_spec, base, 1, &state->stream_type);
    }
    Py_DECREF(base);
    return status;
}

/* ---- for other C code: stream.h ---- */

int CamStream_Check(cam_state *state, PyObject *object) {
    return PyObject_TypeCheck(object, (PyTypeObject *)state->stream_type);
}

int CamStream_Write(PyObject *self, const char *data, Py_ssize_t size) {
    StreamObject *stream = (StreamObject *)self;
    if (size <= 0 || stream->lost || stream->loop == NULL || stream->eof_written) {
        return 0;
    }
    return cam_stream_send_copy(stream, data, (size_t)size);
}

int CamStream_WriteBytes(PyObject *self, PyObject *bytes) {
    StreamObject *stream = (StreamObject *)self;
    if (!PyBytes_CheckExact(bytes)) {
        return CamStream_Write(self, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    }
    if (stream->lost || stream->loop == NULL || stream->eof_written) {
        return 0;
    }
    return cam_stream_send_kept(stream, bytes, PyBytes_AS_STRING(bytes),
                                (size_t)PyBytes_GET_SIZE(bytes));
}

int CamStream_WriteText(PyObject *self, PyObject *text) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->lost || stream->loop == NULL || stream->eof_written) {
        return 0;
    }
    return cam_stream_send_kept(stream, text, PyUnicode_DATA(text),
                                (size_t)PyUnicode_GET_LENGTH(text));
}

int CamStream_WriteFile(PyObject *self, int fd, off_t offset, size_t size) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->lost || stream->loop == NULL || stream->eof_written) {
        close(fd);
        return 0;
    }
    return cam_stream_write_file(stream, fd, offset, size);
}

int CamStream_Close(PyObject *self) {
    return cam_stream_close((StreamObject *)self);
}

int CamStream_Abort(PyObject *self) {
    return cam_stream_abort((StreamObject *)self);
}

int CamStream_IsClosing(PyObject *self) {
    return ((StreamObject *)self)->closing;
}

int CamStream_PauseReading(PyObject *self) {
    return cam_stream_pause_reading((StreamObject *)self);
}

int CamStream_ResumeReading(PyObject *self) {
    return cam_stream_resume_reading((StreamObject *)self);
}

Py_ssize_t CamStream_WriteBufferSize(PyObject *self) {
    return (Py_ssize_t)((StreamObject *)self)->outbox.size;
}

PyObject *CamStream_Info(PyObject *self, PyObject *name) {
    PyObject *value = cam_stream_peek((StreamObject *)self, name);
    return value == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : value;
}

int CamStream_Descriptor(PyObject *self) {
    return ((StreamObject *)self)->io.fd;
}
