/* SPDX-License-Identifier: MIT */
/*
 * Files as parts of a body: http.response.pathsend and http.response.zerocopysend.
 *
 * Our own stream transport takes a file as it takes bytes and sends it by sendfile(2) as the peer
 * reads; what is small is read at once. For TLS and for other loops' transports
 * camshaft.server.files reads the file in a thread and sends it in pieces; until the last one,
 * nothing else may be sent. Either way we have a descriptor of our own, so the application may
 * close its.
 *
 * sendfile(2) has no MSG_NOSIGNAL: to a peer that is gone it raises SIGPIPE, which CPython ignores
 * from its start on; where an application has taken that back, the process ends by it, as that of
 * any server in Python.
 */
#include "asgi/send.h"

#include "compat.h"
#include "asgi/channel.h"
#include "asgi/response.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes up to which a file is read at once. One that waits to be sent holds a descriptor: a peer
 * that asks for many small ones and reads none would use them up long before its bytes are too
 * many. */
enum { READ_LIMIT = 16 * 1024 };

/* The function that sends in pieces. Borrowed; NULL with an exception. */
static PyObject *get_pump(cam_state *state) {
    if (state->asgi.pump == NULL) {
        PyObject *module = PyImport_ImportModule("camshaft.server.files");
        PyObject *pump = module ? PyObject_GetAttrString(module, "pump") : NULL;
        Py_XDECREF(module);
        Py_XSETREF(state->asgi.pump, pump);
    }
    return state->asgi.pump;
}

/* Begins to send a part in pieces. Takes the descriptor over. 0 or -1. */
static int pump(CycleObject *self, cam_part *part, bool more_body) {
    PyObject *file = PyFile_FromFd(part->fd, NULL, "rb", 0, NULL, NULL, NULL, 1);
    if (file == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        close(part->fd);
        PyErr_SetRaisedException(error);
        return -1;
    }
    PyObject *function = get_pump(self->state);
    PyObject *send = function ? CamChannel_NewPiece(self) : NULL;
    PyObject *waiter = NULL;
    if (send != NULL) {
        waiter = PyObject_CallFunction(function, "OOOLKO", self->server->loop, send, file,
                                       (long long)part->offset, (unsigned long long)part->size,
                                       more_body ? Py_True : Py_False);
    }
    Py_XDECREF(send);
    Py_DECREF(file);
    if (waiter == NULL) {
        return -1;
    }
    Py_XSETREF(self->waiter, waiter);
    self->pumping = true;
    return 0;
}

/* What the part names of its file, as bytes; NULL with an exception. */
static PyObject *read_part(const cam_part *part) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)part->size);
    size_t size = 0;
    while (bytes != NULL && size < part->size) {
        ssize_t count = pread(part->fd, PyBytes_AS_STRING(bytes) + size, part->size - size,
                              part->offset + (off_t)size);
        if (count > 0) {
            size += (size_t)count;
        } else if (count == 0) {
            PyErr_SetString(PyExc_OSError, "the file has become shorter while it was read");
            Py_CLEAR(bytes);
        } else if (errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(bytes);
        }
    }
    return bytes;
}

/* Sends a part as bytes. Takes the descriptor over. 0 or -1. */
static int send_copy(CycleObject *self, cam_part *part, bool more_body) {
    PyObject *bytes = read_part(part);
    close(part->fd);
    if (bytes == NULL) {
        return -1;
    }
    cam_part copy = {
        .bytes = bytes, .data = PyBytes_AS_STRING(bytes), .size = part->size, .fd = -1};
    int result = CamSend_Part(self, &copy, more_body);
    Py_DECREF(bytes); /* exactly bytes: no user code */
    return result;
}

/* Takes the descriptor over. 0 or -1. */
static int send_file(CycleObject *self, cam_part *part, bool more_body) {
    if (self->connection == NULL || self->without_body || part->size == 0) {
        return CamSend_Part(self, part, more_body);
    }
    if (CamTransport_SendsFiles(self->connection->transport)) {
        return part->size <= READ_LIMIT ? send_copy(self, part, more_body)
                                        : CamSend_Part(self, part, more_body);
    }
    int result = -1;
    if (self->answer != CAM_ANSWER_HELD && self->answer != CAM_ANSWER_BEGUN) {
        PyErr_SetString(PyExc_RuntimeError,
                        "The response was completed while an ASGI message was read.");
    } else {
        result = CamSend_CheckLength(self, part->size, more_body);
    }
    if (result == 0 && self->answer == CAM_ANSWER_HELD && !self->has_length && !more_body &&
        !self->sends_trailers) {
        result = CamResponse_SetLength(self, part->size); /* which its pieces do not tell */
    }
    if (result == 0) {
        return pump(self, part, more_body);
    }
    close(part->fd);
    return result;
}

/* The size of a regular file, or -1 with an exception. */
static long long size_of(int fd, PyObject *name) {
    struct stat info;
    if (fstat(fd, &info) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!S_ISREG(info.st_mode)) {
        PyErr_Format(PyExc_ValueError, "only a regular file can be sent, which %R is not", name);
        return -1;
    }
    return info.st_size;
}

/* ---- http.response.pathsend ---- */

/* The file, opened for reading, or -1 with an exception. The GIL is not held while the file system
 * is asked. */
static int open_path(PyObject *path) {
    PyObject *bytes;
    if (!PyUnicode_FSConverter(path, &bytes)) {
        return -1;
    }
    const char *name = PyBytes_AS_STRING(bytes);
    int fd;
    Py_BEGIN_ALLOW_THREADS
    /* Not blocking: a FIFO without a writer would hold the loop for ever. */
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    Py_END_ALLOW_THREADS
    if (fd < 0) {
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    Py_DECREF(bytes);
    return fd;
}

int CamSend_Path(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *path;
    int found = CamSend_Lookup(event, c->str_path, &path);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetString(PyExc_KeyError, "http.response.pathsend has no 'path'");
        }
        return -1;
    }
    cam_part part = {.data = "", .fd = -1};
    if (self->answer == CAM_ANSWER_BEGUN && !self->head_alone) {
        PyErr_SetString(PyExc_RuntimeError,
                        "http.response.pathsend is the whole body: nothing may come before it.");
    } else {
        part.fd = open_path(path);
    }
    long long size = part.fd < 0 ? -1 : size_of(part.fd, path);
    Py_DECREF(path);
    if (size < 0) {
        if (part.fd >= 0) {
            close(part.fd);
        }
        return -1;
    }
    part.size = (size_t)size;
    /* A file that has grown since its length was told is sent as far as was said. */
    if (self->has_length && !self->without_body && part.size > self->length_left) {
        part.size = (size_t)self->length_left;
    }
    return send_file(self, &part, false);
}

/* ---- http.response.zerocopysend ---- */

/* event[key] as a number of at least 0, `otherwise` if there is none; -1 with an exception. */
static long long number_of(PyObject *event, PyObject *key, long long otherwise) {
    PyObject *value;
    if (CamSend_Lookup(event, key, &value) < 0) {
        return -1;
    }
    if (value == NULL || value == Py_None) {
        Py_XDECREF(value);
        return otherwise;
    }
    long long number = PyLong_AsLongLong(value);
    if (number < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "http.response.zerocopysend: %U cannot be negative", key);
    }
    Py_DECREF(value);
    return number < 0 ? -1 : number;
}

/* Fills in a part with what an event names of the descriptor `fd`, which is not ours. 0 or -1. */
static int choose(CycleObject *self, PyObject *event, PyObject *file, int fd, cam_part *part) {
    const cam_asgi_constants *c = &self->state->asgi;
    const long long none = LLONG_MAX;
    long long offset = number_of(event, c->str_offset, none);
    long long count = offset < 0 ? -1 : number_of(event, c->str_count, none);
    long long size = count < 0 ? -1 : size_of(fd, file);
    if (size < 0) {
        return -1;
    }
    bool from_here = offset == none;
    if (from_here && (offset = lseek(fd, 0, SEEK_CUR)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    long long rest = offset < size ? size - offset : 0;
    if (count == none) {
        count = rest;
    } else if (count > rest) {
        PyErr_Format(PyExc_ValueError,
                     "http.response.zerocopysend: the file has %lld bytes from %lld on, not %lld",
                     rest, offset, count);
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY) {
        errno = flags < 0 ? errno : EBADF; /* what reading it would say, once the head is out */
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    /* The position is the next event's, as if it had been read. */
    if (from_here && lseek(fd, (off_t)(offset + count), SEEK_SET) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    part->offset = (off_t)offset;
    part->size = (size_t)count;
    part->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (part->fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

int CamSend_File(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *file;
    int found = CamSend_Lookup(event, c->str_file, &file);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetString(PyExc_KeyError, "http.response.zerocopysend has no 'file'");
        }
        return -1;
    }
    cam_part part = {.data = "", .fd = -1};
    int more_body = CamSend_Flag(event, c->str_more_body);
    int fd = more_body < 0 ? -1 : PyObject_AsFileDescriptor(file);
    int result = fd < 0 ? -1 : choose(self, event, file, fd, &part);
    Py_DECREF(file);
    return result < 0 ? -1 : send_file(self, &part, more_body);
}
