/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo() of what needs no look-up: an address in its usual notation and a number for a port.
 *
 * libc's answer to such a question is a list whose shape (families, types, protocols) depends on
 * the hints alone. libc is asked for each shape once, by socket.getaddrinfo() with AI_NUMERICHOST
 * and AI_NUMERICSERV, which never blocks; after that only the socket address is put in. Whatever
 * is not certain to be answered so is left to asyncio's way, the executor: zones, short and octal
 * forms, families that do not fit, flags that look at the machine's interfaces, service names.
 * Belongs to the loop's thread.
 */
#include "compat.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Question {
    int version; /* AF_INET or AF_INET6: what the literal is */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } number;
    long port; /* -1: none was given */
    int family;
    int type;
    int proto;
} Question;

enum {
    /* Those that change nothing for a literal. */
    NEUTRAL_FLAGS = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
    LARGEST_PORT = 65535,
};

/* The C int of an exact int or an IntEnum's member; false for anything else. */
static bool read_int(PyObject *object, int *value) {
    if (!PyLong_Check(object)) {
        return false;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(object, &overflow);
    *value = (int)number;
    return !overflow && number >= 0 && number <= INT_MAX;
}

/* The characters of exactly a str (ASCII) or bytes without zeros inside; NULL for anything else. */
static const char *read_text(PyObject *object, Py_ssize_t *size) {
    const char *text = NULL;
    if (PyUnicode_CheckExact(object) && PyUnicode_IS_ASCII(object)) {
        text = (const char *)PyUnicode_1BYTE_DATA(object);
        *size = PyUnicode_GET_LENGTH(object);
    } else if (PyBytes_CheckExact(object)) {
        text = PyBytes_AS_STRING(object);
        *size = PyBytes_GET_SIZE(object);
    }
    return text != NULL && strlen(text) == (size_t)*size ? text : NULL;
}

static bool read_port(PyObject *object, long *port) {
    if (object == Py_None) {
        *port = -1;
        return true;
    }
    if (PyLong_CheckExact(object)) {
        int value = 0;
        bool valid = read_int(object, &value) && value <= LARGEST_PORT;
        *port = value;
        return valid;
    }
    Py_ssize_t size;
    const char *text = read_text(object, &size);
    if (text == NULL || size < 1 || size > 5 || strspn(text, "0123456789") != (size_t)size) {
        return false;
    }
    *port = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        *port = *port * 10 + (text[i] - '0');
    }
    return *port <= LARGEST_PORT;
}

static bool is_known_kind(int type, int proto) {
    return (type == 0 && proto == 0) ||
           (type == SOCK_STREAM && (proto == 0 || proto == IPPROTO_TCP)) ||
           (type == SOCK_DGRAM && (proto == 0 || proto == IPPROTO_UDP)) ||
           (type == 0 && (proto == IPPROTO_TCP || proto == IPPROTO_UDP));
}

/* Reads the six arguments; false when the answer is not for here. */
static bool read_question(PyObject *const *args, Question *question) {
    int flags;
    Py_ssize_t size;
    const char *host = read_text(args[0], &size);
    if (host == NULL || !read_port(args[1], &question->port) ||
        !read_int(args[2], &question->family) || !read_int(args[3], &question->type) ||
        !read_int(args[4], &question->proto) || !read_int(args[5], &flags) ||
        (flags & ~NEUTRAL_FLAGS) || !is_known_kind(question->type, question->proto)) {
        return false;
    }
    if (inet_pton(AF_INET, host, &question->number) == 1) {
        question->version = AF_INET;
    } else if (inet_pton(AF_INET6, host, &question->number) == 1) {
        question->version = AF_INET6;
    } else {
        return false;
    }
    return question->family == AF_UNSPEC || question->family == question->version;
}

/* (host, port) or (host, port, 0, 0). */
static PyObject *socket_address(const Question *question, PyObject *host) {
    PyObject *shown;
    if (question->version == AF_INET && PyUnicode_CheckExact(host)) {
        shown = Py_NewRef(host); /* inet_pton takes an IPv4 address in no form but inet_ntop's */
    } else {
        char text[INET6_ADDRSTRLEN];
        if (inet_ntop(question->version, &question->number, text, sizeof(text)) == NULL) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        shown = PyUnicode_FromString(text);
    }
    PyObject *port = PyLong_FromLong(question->port < 0 ? 0 : question->port);
    PyObject *zero = PyLong_FromLong(0);
    PyObject *address = NULL;
    if (shown != NULL && port != NULL && zero != NULL) {
        address = question->version == AF_INET ? PyTuple_Pack(2, shown, port)
                                               : PyTuple_Pack(4, shown, port, zero, zero);
    }
    Py_XDECREF(shown);
    Py_XDECREF(port);
    Py_XDECREF(zero);
    return address;
}

/* Which shape a question has: small, and different for all that may differ. */
static long shape_key(const Question *question) {
    long key = question->type * 256 + question->proto;
    key = key * 2 + (question->family != AF_UNSPEC);
    key = key * 2 + (question->version == AF_INET6);
    return key * 2 + (question->port >= 0);
}

/* Asks libc. A tuple of (family, type, proto, canonname); an empty one when it does not answer as
 * expected, and then never will be asked here again. NULL with an exception. */
static PyObject *ask_shape(cam_state *state, PyObject *const *args, PyObject *address) {
    PyObject *flags = PyLong_FromLong(AI_NUMERICHOST | AI_NUMERICSERV);
    if (flags == NULL) {
        return NULL;
    }
    PyObject *stack[] = {NULL, args[0], args[1], args[2], args[3], args[4], flags};
    PyObject *found = PyObject_Vectorcall(state->socket_getaddrinfo, stack + 1,
                                          6 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(flags);
    if (found == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) { /* gaierror is one */
            return NULL;
        }
        PyErr_Clear();
        return PyTuple_New(0);
    }
    Py_ssize_t count = PyList_CheckExact(found) ? PyList_GET_SIZE(found) : 0;
    PyObject *shape = PyTuple_New(count);
    for (Py_ssize_t i = 0; shape != NULL && i < count; i++) {
        PyObject *item = PyList_GET_ITEM(found, i);
        int same = 0;
        if (PyTuple_CheckExact(item) && PyTuple_GET_SIZE(item) == 5) {
            same = PyObject_RichCompareBool(PyTuple_GET_ITEM(item, 4), address, Py_EQ);
        }
        PyObject *part = same > 0 ? PyTuple_GetSlice(item, 0, 4) : NULL;
        if (part == NULL) {
            Py_CLEAR(shape);
            shape = same == 0 ? PyTuple_New(0) : NULL;
            break;
        }
        PyTuple_SET_ITEM(shape, i, part);
    }
    Py_DECREF(found);
    return shape;
}

/* The answer's shape. New reference; NULL with an exception. */
static PyObject *shape_of(cam_state *state, const Question *question, PyObject *const *args,
                          PyObject *address) {
    PyObject *key = PyLong_FromLong(shape_key(question));
    if (key == NULL) {
        return NULL;
    }
    PyObject *shape = PyDict_GetItemWithError(state->address_shapes, key);
    if (shape != NULL) {
        Py_INCREF(shape);
        /* What socket.getaddrinfo() tells an audit hook; runs user code. */
        if (PySys_Audit("socket.getaddrinfo", "OOiii", args[0], args[1], question->family,
                        question->type, question->proto) < 0) {
            Py_CLEAR(shape);
        }
    } else if (!PyErr_Occurred()) {
        shape = ask_shape(state, args, address);
        if (shape != NULL && PyDict_SetItem(state->address_shapes, key, shape) < 0) {
            Py_CLEAR(shape);
        }
    }
    Py_DECREF(key);
    return shape;
}

/* True when nobody has put another function in the place of socket.getaddrinfo (tests do); -1 with
 * an exception. */
static int is_unpatched(cam_state *state) {
    PyObject *function = PyObject_GetAttr(state->socket_module, state->str_getaddrinfo);
    if (function == NULL) {
        return -1;
    }
    Py_DECREF(function);
    return function == state->socket_getaddrinfo;
}

PyDoc_STRVAR(numeric_addresses_doc,
             "_numeric_addresses($self, host, port, family, type, proto, flags, /)\n--\n\n"
             "What socket.getaddrinfo() answers, if it can be told without a look-up; else None.");

static PyObject *loop_numeric_addresses(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    cam_state *state = ((LoopObject *)self)->state;
    if (nargs != 6) {
        PyErr_SetString(PyExc_TypeError, "_numeric_addresses() takes 6 arguments");
        return NULL;
    }
    if (CamLoop_CheckUsable((LoopObject *)self) < 0) {
        return NULL;
    }
    Question question;
    if (!read_question(args, &question)) {
        Py_RETURN_NONE;
    }
    int unpatched = is_unpatched(state);
    if (unpatched <= 0) {
        return unpatched < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *address = socket_address(&question, args[0]);
    PyObject *shape = address ? shape_of(state, &question, args, address) : NULL;
    Py_ssize_t count = shape ? PyTuple_GET_SIZE(shape) : 0;
    PyObject *answer = NULL;
    if (shape != NULL) {
        answer = count > 0 ? PyList_New(count) : Py_NewRef(Py_None);
    }
    for (Py_ssize_t i = 0; answer != NULL && i < count; i++) {
        PyObject *item = PyTuple_New(5);
        if (item == NULL) {
            Py_CLEAR(answer);
            break;
        }
        for (Py_ssize_t j = 0; j < 4; j++) {
            PyTuple_SET_ITEM(item, j, Py_NewRef(PyTuple_GET_ITEM(PyTuple_GET_ITEM(shape, i), j)));
        }
        PyTuple_SET_ITEM(item, 4, Py_NewRef(address));
        PyList_SET_ITEM(answer, i, item);
    }
    Py_XDECREF(shape);
    Py_XDECREF(address);
    return answer;
}

PyMethodDef cam_lookup_methods[] = {
    {"_numeric_addresses", (PyCFunction)(void (*)(void))loop_numeric_addresses, METH_FASTCALL,
     numeric_addresses_doc},
    {NULL},
};

int cam_lookup_exec(cam_state *state) {
    state->socket_module = PyImport_ImportModule("socket");
    state->socket_getaddrinfo = state->socket_module
                                    ? PyObject_GetAttr(state->socket_module, state->str_getaddrinfo)
                                    : NULL;
    state->address_shapes = PyDict_New();
    return state->socket_getaddrinfo && state->address_shapes ? 0 : -1;
}
