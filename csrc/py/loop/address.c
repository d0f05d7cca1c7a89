/* SPDX-License-Identifier: MIT */
#include "loop/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

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

static PyObject *host_of(int family, const void *number) {
    char host[INET6_ADDRSTRLEN];
    if (inet_ntop(family, number, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyUnicode_FromString(host);
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
        PyObject *host = host_of(AF_INET, &address->v4.sin_addr);
        return host ? Py_BuildValue("Ni", host, (int)ntohs(address->v4.sin_port)) : NULL;
    }
    case AF_INET6: {
        PyObject *host = host_of(AF_INET6, &address->v6.sin6_addr);
        return host ? Py_BuildValue("NiII", host, (int)ntohs(address->v6.sin6_port),
                                    (unsigned)ntohl(address->v6.sin6_flowinfo),
                                    (unsigned)address->v6.sin6_scope_id)
                    : NULL;
    }
    case AF_UNIX:
        return local_name(address);
    default:
        Py_RETURN_NONE;
    }
}
