/* SPDX-License-Identifier: MIT */
/*
 * What TLS needs of Python's `ssl` module, and how its objects are called from C.
 *
 * TLS is the ssl module's: contexts, SSLObject and MemoryBIO are made by its public interface, and
 * nothing here knows OpenSSL. The methods of `_ssl._SSLSocket` and MemoryBIO, which are written in
 * C, are called as C functions with the arguments that their descriptors announce; what a subclass
 * of ssl.SSLObject overrides is called as a method.
 *
 * Filled when the first TLS connection is made: importing ssl takes time and memory. Embedded in
 * the module's state; the pool belongs to a loop and its thread.
 */
#ifndef CAM_TRANSPORT_TLS_LIBRARY_H
#define CAM_TRANSPORT_TLS_LIBRARY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>

/* A method of a type in C. All zero when there is none. */
typedef struct cam_tls_method {
    PyObject *descriptor; /* strong */
    PyCFunction function; /* borrowed from it */
    int flags;            /* METH_* */
} cam_tls_method;

typedef struct cam_tls_library {
    PyObject *context_class;     /* ssl.SSLContext */
    PyObject *object_class;      /* ssl.SSLObject */
    PyObject *socket_class;      /* _ssl._SSLSocket */
    PyObject *bio_class;         /* ssl.MemoryBIO */
    PyObject *error;             /* ssl.SSLError */
    PyObject *want_read;         /* ssl.SSLWantReadError */
    PyObject *syscall_error;     /* ssl.SSLSyscallError */
    PyObject *certificate_error; /* ssl.CertificateError */
    PyObject *cancelled_error;   /* asyncio.CancelledError */
    PyObject *default_context;   /* asyncio.sslproto._create_transport_context */
    PyObject *fallback;          /* asyncio.constants._SendfileMode.FALLBACK */
    PyObject *bio_pending;       /* MemoryBIO.pending, a getset descriptor */
    cam_tls_method read;
    cam_tls_method write;
    cam_tls_method do_handshake;
    cam_tls_method shutdown;
    cam_tls_method bio_read;
    cam_tls_method bio_write;
    bool loaded;
} cam_tls_library;

/* What the TLS connections of one loop share. */
typedef struct CamTlsPool {
    PyObject *window; /* strong: a buffer object, pointed at what the next call reads or writes */
    PyObject *read_args; /* strong: (0, window), which asks for as much as the window holds */
    char *buffer;        /* CAM_TLS_BUFFER bytes */
    unsigned users;      /* of borrowed buffers, this one and others */
    bool busy;           /* somebody up the stack is using the buffer */
    bool orphaned;       /* the loop was closed meanwhile: the last user frees the pool */
} CamTlsPool;

/* Four records. */
enum { CAM_TLS_BUFFER = 64 * 1024 };

#endif
