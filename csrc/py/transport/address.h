/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: as the kernel gives them, and as Python's socket module shows them.
 *
 * Kept as the kernel's bytes and made into Python objects only when somebody asks, since most
 * connections are never asked. No user code runs here.
 */
#ifndef CAM_TRANSPORT_ADDRESS_H
#define CAM_TRANSPORT_ADDRESS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct CamAddress {
    socklen_t length; /* 0: not known */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
} CamAddress;

/* Fills in the near or the far end's address of a socket; its length is 0 when there is none. */
void CamAddress_OfNearEnd(CamAddress *address, int fd);
void CamAddress_OfFarEnd(CamAddress *address, int fd);

/* accept4 for a new non-blocking descriptor that programs run later do not inherit: the
 * descriptor and the far end's address, or negative errno. */
int CamAddress_Accept(CamAddress *far_end, int fd);

/* True when CamAddress_ToPython knows the family. */
bool CamAddress_IsKnownFamily(int family);

/* Reads the plain form of what socket.sendto() takes for an address: numeric host and port (flow
 * and scope, for IPv6) in a tuple, a Unix path as str or bytes. True when it was read. False, with
 * no exception, for anything else: names to be resolved, other types, what is out of range. For
 * those the socket module is asked, whose errors are the ones to be seen. */
bool CamAddress_FromPython(CamAddress *address, int family, PyObject *object);

/* What socket.getsockname() would return for it: (host, port), (host, port, flow, scope), a path
 * or an abstract name's bytes; None when the length is 0. New reference; NULL with an exception. */
PyObject *CamAddress_ToPython(const CamAddress *address);

#endif
