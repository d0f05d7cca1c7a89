/* SPDX-License-Identifier: MIT */
/* What a stream transport knows of its connection: the socket object and the two addresses. */
#include "transport/stream_object.h"

#include "compat.h"

/* Keeps a socket object's close() from closing the descriptor under the transport: the number
 * could be another connection's the next moment. socket.makefile() uses the same count. An object
 * that is no socket.socket is taken as it is. 0, or -1 with an exception. */
int cam_stream_hold_socket(cam_state *state, PyObject *socket) {
    if (!PyObject_TypeCheck(socket, (PyTypeObject *)state->socket_class)) {
        return 0;
    }
    PyObject *count = PyObject_GetAttr(socket, state->str__io_refs);
    long number = count ? PyLong_AsLong(count) : -1;
    Py_XDECREF(count);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    PyObject *more = PyLong_FromLong(number + 1);
    int status = more ? PyObject_SetAttr(socket, state->str__io_refs, more) : -1;
    Py_XDECREF(more);
    return status;
}

void cam_stream_let_go_socket(cam_state *state, PyObject *socket) {
    if (PyObject_TypeCheck(socket, (PyTypeObject *)state->socket_class)) {
        CamNotify_Quietly(socket, state->str__decref_socketios, NULL);
    }
}

/* The addresses of a socket whose family only the socket module can show. */
int cam_stream_ask_socket(StreamObject *stream, PyObject *socket) {
    struct {
        const char *method;
        PyObject *key;
    } const asked[] = {
        {"getsockname", stream->state->str_sockname},
        {"getpeername", stream->state->str_peername},
    };
    for (int i = 0; i < 2; i++) {
        int known = PyDict_Contains(stream->extra, asked[i].key);
        if (known != 0) {
            if (known < 0) {
                return -1;
            }
            continue;
        }
        PyObject *address = PyObject_CallMethod(socket, asked[i].method, NULL);
        if (address == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_OSError)) {
                return -1;
            }
            PyErr_Clear();
            address = Py_NewRef(Py_None);
        }
        int status = PyDict_SetItem(stream->extra, asked[i].key, address);
        Py_DECREF(address);
        if (status < 0) {
            return -1;
        }
    }
    return 0;
}

int cam_stream_forget_addresses(StreamObject *stream) {
    stream->told_ends = true;
    PyObject *const keys[] = {stream->state->str_sockname, stream->state->str_peername};
    for (size_t i = 0; i < 2 && stream->extra != NULL; i++) {
        int known = PyDict_Contains(stream->extra, keys[i]);
        if (known < 0 || (known > 0 && PyDict_DelItem(stream->extra, keys[i]) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* The socket.socket that owns the descriptor, made for the first who asks. Borrowed; NULL with
 * an exception, or without when the transport is finished. */
PyObject *cam_stream_socket(StreamObject *stream) {
    if (stream->socket != NULL || stream->io.fd < 0) {
        return stream->socket;
    }
    bool known = stream->near_end.length && !stream->told_ends;
    int family = known ? stream->near_end.any.sa_family : -1;
    PyObject *keywords = Py_BuildValue("{Oi}", stream->state->str_fileno, stream->io.fd);
    PyObject *args = Py_BuildValue("(ii)", family, family == -1 ? -1 : SOCK_STREAM);
    PyObject *socket = NULL;
    if (args != NULL && keywords != NULL) {
        socket = PyObject_Call(stream->state->socket_class, args, keywords);
    }
    Py_XDECREF(args);
    Py_XDECREF(keywords);
    if (socket == NULL) {
        return NULL;
    }
    stream->socket = socket; /* from here on it is the owner */
    PyObject *done = PyObject_CallMethodOneArg(socket, stream->state->str_setblocking, Py_False);
    Py_XDECREF(done);
    return done ? socket : NULL;
}

/* The value of a key that is made when first asked for; NULL without an exception for others. */
static PyObject *lazy_extra(StreamObject *stream, PyObject *name) {
    cam_state *state = stream->state;
    if (PyUnicode_Compare(name, state->str_peername) == 0) {
        return CamAddress_ToPython(&stream->far_end);
    }
    if (PyUnicode_Compare(name, state->str_sockname) == 0) {
        return CamAddress_ToPython(&stream->near_end);
    }
    if (PyUnicode_Compare(name, state->str_socket) == 0) {
        PyObject *socket = cam_stream_socket(stream);
        return socket ? PyObject_CallOneArg(state->transport_socket, socket) : NULL;
    }
    return NULL;
}

PyObject *cam_stream_peek(StreamObject *stream, PyObject *name) {
    PyObject *value = stream->extra ? PyDict_GetItemWithError(stream->extra, name) : NULL;
    return value != NULL || PyErr_Occurred() ? Py_XNewRef(value) : lazy_extra(stream, name);
}

/* New reference; NULL with an exception, or without when there is no such key. */
PyObject *cam_stream_info(StreamObject *stream, PyObject *name) {
    if (stream->extra == NULL) {
        stream->extra = PyDict_New();
        if (stream->extra == NULL) {
            return NULL;
        }
    }
    PyObject *value = PyDict_GetItemWithError(stream->extra, name);
    if (value != NULL || PyErr_Occurred()) {
        return Py_XNewRef(value);
    }
    if (!PyUnicode_Check(name)) {
        return NULL;
    }
    value = lazy_extra(stream, name);
    if (value != NULL && PyDict_SetItem(stream->extra, name, value) < 0) {
        Py_CLEAR(value);
    }
    return value;
}
