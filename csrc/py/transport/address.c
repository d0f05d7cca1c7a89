/* SPDX-License-Identifier: MIT */
#include "transport/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { LARGEST_FLOW = 0xFFFFF }; /* 20 bits: RFC 8200, section 3 */

typedef int (*Query)(int fd, struct sockaddr *address, socklen_t *length);

static void ask(Query query, CamAddress *address, int fd) {
    socklen_t room = sizeof(*address) - offsetof(CamAddress, any);
    socklen_t length = room;
    if (query(fd, &address->any, &length) < 0) {
        length = 0;
    }
    /* The kernel reports the full length of what it had to cut. */
    address->length = length < room ? length : room;
}

void CamAddress_OfNearEnd(CamAddress *address, int fd) {
    ask(getsockname, address, fd);
}

void CamAddress_OfFarEnd(CamAddress *address, int fd) {
    ask(getpeername, address, fd);
}

int CamAddress_Accept(CamAddress *far_end, int fd) {
    socklen_t room = sizeof(*far_end) - offsetof(CamAddress, any);
    socklen_t length = room;
    int accepted = accept4(fd, &far_end->any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    far_end->length = length < room ? length : room;
    return accepted >= 0 ? accepted : -errno;
}

bool CamAddress_IsKnownFamily(int family) {
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* A decimal number below 1,000; returns where the text goes on. */
static char *write_octet(char *text, unsigned octet) {
    if (octet >= 100) {
        *text++ = (char)('0' + octet / 100);
    }
    if (octet >= 10) {
        *text++ = (char)('0' + octet / 10 % 10);
    }
    *text++ = (char)('0' + octet % 10);
    return text;
}

/* As inet_ntop writes it, which goes by way of printf: too slow for each datagram. */
static PyObject *host_of_v4(const struct in_addr *number) {
    const unsigned char *octets = (const unsigned char *)number;
    char host[INET_ADDRSTRLEN];
    char *end = host;
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            *end++ = '.';
        }
        end = write_octet(end, octets[i]);
    }
    PyObject *text = PyUnicode_New(end - host, 127);
    if (text != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(text), host, (size_t)(end - host));
    }
    return text;
}

static PyObject *host_of_v6(const struct in6_addr *number) {
    char host[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, number, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyUnicode_FromString(host);
}

/* A tuple of the host, which is stolen and may be NULL with an exception, and of numbers. */
static PyObject *tuple_of(PyObject *host, const unsigned long *numbers, Py_ssize_t count) {
    PyObject *tuple = host ? PyTuple_New(1 + count) : NULL;
    if (tuple == NULL) {
        Py_XDECREF(host);
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, host);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLong(numbers[i]);
        if (number == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, 1 + i, number);
    }
    return tuple;
}

static PyObject *local_name(const CamAddress *address) {
    const char *path = address->local.sun_path;
    Py_ssize_t size =
        (Py_ssize_t)address->length - (Py_ssize_t)offsetof(struct sockaddr_un, sun_path);
    if (size <= 0) {
        return PyUnicode_FromString("");
    }
    if (path[0] == '\0') {
        return PyBytes_FromStringAndSize(path, size); /* Linux's abstract namespace, unix(7) */
    }
    return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, (size_t)size));
}

PyObject *CamAddress_ToPython(const CamAddress *address) {
    if (address->length == 0) {
        Py_RETURN_NONE;
    }
    switch (address->any.sa_family) {
    case AF_INET: {
        unsigned long port = ntohs(address->v4.sin_port);
        return tuple_of(host_of_v4(&address->v4.sin_addr), &port, 1);
    }
    case AF_INET6: {
        unsigned long numbers[] = {ntohs(address->v6.sin6_port), ntohl(address->v6.sin6_flowinfo),
                                   address->v6.sin6_scope_id};
        return tuple_of(host_of_v6(&address->v6.sin6_addr), numbers, 3);
    }
    case AF_UNIX:
        return local_name(address);
    default:
        Py_RETURN_NONE;
    }
}

/* An int of exactly that type between 0 and `most`; false for anything else. */
static bool read_number(PyObject *object, unsigned long most, unsigned long *number) {
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    *number = PyLong_AsUnsignedLong(object);
    if (*number == (unsigned long)-1 && PyErr_Occurred()) {
        PyErr_Clear(); /* negative, or too large for the type */
        return false;
    }
    return *number <= most;
}

/* inet_pton, which is also what the socket module tries first. A scope after '%' is not read. */
static bool read_host(PyObject *object, int family, void *number) {
    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_COMPACT_ASCII(object)) {
        return false;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(object);
    return strlen(text) == (size_t)PyUnicode_GET_LENGTH(object) &&
           inet_pton(family, text, number) == 1;
}

static bool read_v4(CamAddress *address, PyObject *tuple) {
    unsigned long port;
    if (PyTuple_GET_SIZE(tuple) != 2 ||
        !read_host(PyTuple_GET_ITEM(tuple, 0), AF_INET, &address->v4.sin_addr) ||
        !read_number(PyTuple_GET_ITEM(tuple, 1), UINT16_MAX, &port)) {
        return false;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    memset(address->v4.sin_zero, 0, sizeof(address->v4.sin_zero));
    address->length = sizeof(address->v4);
    return true;
}

static bool read_v6(CamAddress *address, PyObject *tuple) {
    Py_ssize_t size = PyTuple_GET_SIZE(tuple);
    unsigned long port, flow = 0, scope = 0;
    if (size < 2 || size > 4 ||
        !read_host(PyTuple_GET_ITEM(tuple, 0), AF_INET6, &address->v6.sin6_addr) ||
        !read_number(PyTuple_GET_ITEM(tuple, 1), UINT16_MAX, &port) ||
        (size > 2 && !read_number(PyTuple_GET_ITEM(tuple, 2), LARGEST_FLOW, &flow)) ||
        (size > 3 && !read_number(PyTuple_GET_ITEM(tuple, 3), UINT32_MAX, &scope))) {
        return false;
    }
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons((uint16_t)port);
    address->v6.sin6_flowinfo = htonl((uint32_t)flow);
    address->v6.sin6_scope_id = (uint32_t)scope;
    address->length = sizeof(address->v6);
    return true;
}

static bool read_local(CamAddress *address, PyObject *object) {
    const char *path;
    size_t size;
    if (PyBytes_CheckExact(object)) {
        path = PyBytes_AS_STRING(object);
        size = (size_t)PyBytes_GET_SIZE(object);
    } else if (PyUnicode_CheckExact(object) && PyUnicode_IS_COMPACT_ASCII(object)) {
        path = (const char *)PyUnicode_1BYTE_DATA(object); /* in any encoding of file names */
        size = (size_t)PyUnicode_GET_LENGTH(object);
    } else {
        return false;
    }
    bool is_abstract = size == 0 || path[0] == '\0';
    if (size + (is_abstract ? 0 : 1) > sizeof(address->local.sun_path)) {
        return false;
    }
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, size);
    if (!is_abstract) {
        address->local.sun_path[size] = '\0';
    }
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

bool CamAddress_FromPython(CamAddress *address, int family, PyObject *object) {
    switch (family) {
    case AF_INET:
        return PyTuple_CheckExact(object) && read_v4(address, object);
    case AF_INET6:
        return PyTuple_CheckExact(object) && read_v6(address, object);
    case AF_UNIX:
        return read_local(address, object);
    default:
        return false;
    }
}
