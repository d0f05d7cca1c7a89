/* SPDX-License-Identifier: MIT */
/*
 * Connector: a TCP connection to a numeric address in the making, which EventLoop.create_connection
 * asks for where nothing but an address was given.
 *
 * Owns the descriptor until open() hands it to a stream transport; close(), and its own end, close
 * what is left. While the kernel is at it the loop holds a reference to the connector, whose
 * `future` is done once it is connected or has failed. On the loop's thread.
 */
#include "compat.h"
#include "transport/stream_object.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct ConnectorObject {
    PyObject_HEAD
    cam_state *state;
    LoopObject *loop; /* strong; NULL once closed or opened */
    PyObject *future; /* strong or NULL: when there was something to wait for */
    PyObject *host;   /* strong: as it was given, for errors */
    CamIo io;
    CamAddress address;
} ConnectorObject;

static void connector_release(ConnectorObject *connector) {
    LoopObject *loop = connector->loop;
    PyObject *future = connector->future;
    int fd = connector->io.fd;
    if (loop != NULL) {
        CamLoop_UnwatchIo(loop, &connector->io);
    }
    connector->loop = NULL;
    connector->future = NULL;
    connector->io.fd = -1;
    if (fd >= 0) {
        close(fd);
    }
    Py_XDECREF(future);
    Py_XDECREF(loop);
}

/* The address as create_connection shows it in errors. */
static PyObject *shown_address(ConnectorObject *connector) {
    if (connector->address.any.sa_family == AF_INET) {
        return Py_BuildValue("(Oi)", connector->host, ntohs(connector->address.v4.sin_port));
    }
    return Py_BuildValue("(Oiii)", connector->host, ntohs(connector->address.v6.sin6_port), 0, 0);
}

/* Sets the OSError of sock_connect(). */
static void set_failure(ConnectorObject *connector, int error) {
    PyObject *address = shown_address(connector);
    PyObject *text = address ? PyUnicode_FromFormat("Connect call failed %R", address) : NULL;
    PyObject *exception = text ? PyObject_CallFunction(PyExc_OSError, "iO", error, text) : NULL;
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    Py_XDECREF(exception);
    Py_XDECREF(text);
    Py_XDECREF(address);
}

/* Ends the future with the exception that is set, or without one. 0, or -1 with an exception. */
static int end_future(ConnectorObject *connector) {
    cam_state *state = connector->state;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *future = Py_NewRef(connector->future);
    PyObject *done = PyObject_CallMethodNoArgs(future, state->str_done);
    int is_done = done ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    int status = is_done < 0 ? -1 : 0;
    if (is_done == 0) {
        PyObject *result = PyObject_CallMethodOneArg(
            future, exception ? state->str_set_exception : state->str_set_result,
            exception ? exception : Py_None);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
    Py_DECREF(future);
    Py_XDECREF(exception);
    return status;
}

static int connector_ready(LoopObject *loop, PyObject *owner) {
    ConnectorObject *connector = (ConnectorObject *)owner;
    if (connector->loop == NULL || connector->io.interest == 0) {
        return 0; /* closed since the poller reported it */
    }
    CamLoop_UnwatchIo(loop, &connector->io);
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(connector->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error != 0) {
        set_failure(connector, error);
    }
    return end_future(connector);
}

/* Begins to connect. 0 when connected already, 1 when that takes time, -1 with an exception. */
static int begin(ConnectorObject *connector) {
    const struct sockaddr *address = &connector->address.any;
    socklen_t length = connector->address.length;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    connector->io.fd = fd;
    if (connect(fd, address, length) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    /* On the same machine the other side has answered by now; asking again costs less than the
     * poller does. */
    if (connect(fd, address, length) == 0 || errno == EISCONN) {
        return 0;
    }
    if (errno != EALREADY && errno != EINPROGRESS && errno != EINTR) {
        set_failure(connector, errno);
        return -1;
    }
    return 1;
}

/* Reads a numeric host and a port. False, without an exception, for anything else. */
static bool read_address(CamAddress *address, PyObject *host, PyObject *port) {
    if (!PyUnicode_CheckExact(host) || !PyUnicode_IS_COMPACT_ASCII(host) ||
        !PyLong_CheckExact(port)) {
        return false;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(host);
    size_t size = (size_t)PyUnicode_GET_LENGTH(host);
    int overflow;
    long number = PyLong_AsLongAndOverflow(port, &overflow);
    if (size >= INET6_ADDRSTRLEN || strlen(text) != size || overflow || number < 0 ||
        number > UINT16_MAX) {
        return false;
    }
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)number);
        address->length = sizeof(address->v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)number);
        address->length = sizeof(address->v6);
        return true;
    }
    return false;
}

PyDoc_STRVAR(connect_doc,
             "_connect($self, host, port, /)\n--\n\n"
             "Begin to connect to a numeric address: a Connector, or None when it is none.\n\n"
             "OSError as sock_connect() raises it. In debug mode always None.");

static PyObject *loop_connect(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    LoopObject *loop = (LoopObject *)self;
    CamAddress address;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "_connect() takes a host and a port");
    }
    if (loop->debug || !read_address(&address, args[0], args[1])) {
        Py_RETURN_NONE;
    }
    if (CamLoop_CheckUsable(loop) < 0 ||
        PySys_Audit("socket.connect", "O(OO)", Py_None, args[0], args[1]) < 0) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)loop->state->connector_type;
    ConnectorObject *connector = (ConnectorObject *)type->tp_alloc(type, 0);
    if (connector == NULL) {
        return NULL;
    }
    connector->state = loop->state;
    connector->loop = (LoopObject *)Py_NewRef(loop);
    connector->host = Py_NewRef(args[0]);
    connector->address = address;
    connector->io.fd = -1;
    connector->io.owner = (PyObject *)connector;
    connector->io.readable = connector_ready; /* never asked for */
    connector->io.writable = connector_ready;
    int status = begin(connector);
    if (status == 1) {
        connector->future = CamLoop_CreateFuture(loop);
        if (connector->future == NULL || CamLoop_WatchIo(loop, &connector->io, CAM_POLL_OUT) < 0) {
            status = -1;
        }
    }
    if (status < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(connector);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return (PyObject *)connector;
}

PyMethodDef cam_connect_methods[] = {
    {"_connect", (PyCFunction)(void (*)(void))loop_connect, METH_FASTCALL, connect_doc},
    {NULL},
};

PyDoc_STRVAR(open_doc, "open($self, protocol, waiter, /)\n--\n\n"
                       "The Stream of the connection, which owns the descriptor from now on.");

static PyObject *connector_open(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    ConnectorObject *connector = (ConnectorObject *)self;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "open() takes a protocol and a waiter");
    }
    if (connector->loop == NULL || connector->io.interest != 0) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is not there, or no longer");
        return NULL;
    }
    LoopObject *loop = (LoopObject *)Py_NewRef(connector->loop);
    int fd = connector->io.fd;
    connector->io.fd = -1;
    CamAddress far_end;
    CamAddress_OfFarEnd(&far_end, fd);
    PyObject *transport = CamStream_OfDescriptor(loop, fd, &far_end, args[0], args[1], NULL, NULL);
    PyObject *exception = NULL;
    if (transport == NULL) {
        exception = PyErr_GetRaisedException();
        close(fd);
    }
    connector_release(connector);
    Py_DECREF(loop);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return transport;
}

static PyObject *connector_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    connector_release((ConnectorObject *)self);
    Py_RETURN_NONE;
}

static PyObject *connector_get_future(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *future = ((ConnectorObject *)self)->future;
    return Py_NewRef(future ? future : Py_None);
}

static int connector_traverse(PyObject *self, visitproc visit, void *arg) {
    ConnectorObject *connector = (ConnectorObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(connector->loop);
    Py_VISIT(connector->future);
    return 0;
}

static int connector_clear(PyObject *self) {
    connector_release((ConnectorObject *)self);
    return 0;
}

static void connector_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    connector_release((ConnectorObject *)self);
    Py_CLEAR(((ConnectorObject *)self)->host);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef connector_methods[] = {
    {"open", (PyCFunction)(void (*)(void))connector_open, METH_FASTCALL, open_doc},
    {"close", connector_close, METH_NOARGS,
     "close($self, /)\n--\n\nGive the connection up, unless open() has taken it; may be repeated."},
    {NULL},
};

static PyGetSetDef connector_getset[] = {
    {"future", connector_get_future, NULL,
     "The asyncio.Future that ends when the connection is there; None when it is already.", NULL},
    {NULL},
};

PyDoc_STRVAR(connector_type_doc, "A TCP connection to a numeric address in the making.");

static PyType_Slot connector_slots[] = {
    {Py_tp_doc, (void *)connector_type_doc},
    {Py_tp_dealloc, connector_dealloc},
    {Py_tp_traverse, connector_traverse},
    {Py_tp_clear, connector_clear},
    {Py_tp_methods, connector_methods},
    {Py_tp_getset, connector_getset},
    {0, NULL},
};

static PyType_Spec connector_spec = {
    .name = "camshaft._core.Connector",
    .basicsize = sizeof(ConnectorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = connector_slots,
};

int cam_connect_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &connector_spec, NULL, 1, &state->connector_type);
}
