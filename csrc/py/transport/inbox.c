/* SPDX-License-Identifier: MIT */
#include "transport/inbox.h"

#include "compat.h"
#include "transport/reader.h"

#include <errno.h>
#include <unistd.h>

enum {
    BULK_THRESHOLD = 4 * 1024,
    BULK_FIRST = 64 * 1024,
    BULK_LARGEST = 256 * 1024,
};

Py_ssize_t cam_inbox_read(int fd, void *buffer, size_t size) {
    Py_ssize_t count = read(fd, buffer, size);
    if (count >= 0) {
        return count;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return CAM_INBOX_NOTHING;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return CAM_INBOX_FAILED;
}

/* So much was received: how much is the next read prepared for? */
static void adapt(CamInbox *inbox, Py_ssize_t size) {
    if (size <= BULK_THRESHOLD) {
        inbox->bulk_size = 0;
    } else if (inbox->bulk_size == 0) {
        inbox->bulk_size = BULK_FIRST;
    } else if ((size_t)size == inbox->bulk_size && inbox->bulk_size < BULK_LARGEST &&
               !inbox->is_pipe) {
        inbox->bulk_size *= 2;
    }
}

static PyObject *read_bulk(CamInbox *inbox, int fd, Py_ssize_t *size) {
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)inbox->bulk_size);
    if (data == NULL) {
        *size = CAM_INBOX_FAILED;
        return NULL;
    }
    *size = cam_inbox_read(fd, PyBytes_AS_STRING(data), inbox->bulk_size);
    if (*size <= 0) {
        Py_DECREF(data);
        return NULL;
    }
    if ((size_t)*size < inbox->bulk_size && _PyBytes_Resize(&data, *size) < 0) {
        *size = CAM_INBOX_FAILED;
        return NULL;
    }
    adapt(inbox, *size);
    return data;
}

PyObject *cam_inbox_bytes(CamInbox *inbox, LoopObject *loop, int fd, Py_ssize_t *size) {
    if (inbox->bulk_size > 0) {
        return read_bulk(inbox, fd, size);
    }
    char *buffer = CamLoop_ReadBuffer(loop);
    if (buffer == NULL) {
        *size = CAM_INBOX_FAILED;
        return NULL;
    }
    *size = cam_inbox_read(fd, buffer, CAM_READ_BUFFER);
    if (*size <= 0) {
        return NULL;
    }
    adapt(inbox, *size);
    PyObject *data = CamSpare_Bytes(&loop->spare, buffer, *size);
    if (data == NULL) {
        *size = CAM_INBOX_FAILED;
    }
    return data;
}

/* Receives straight into the reader's buffer, which has that much room behind its bytes. */
static Py_ssize_t feed_bulk(CamInbox *inbox, LoopObject *loop, int fd, PyObject *reader,
                            char *buffer, Py_ssize_t room) {
    Py_ssize_t size = cam_inbox_read(fd, buffer, (size_t)room);
    PyObject *exception = size == CAM_INBOX_FAILED ? PyErr_GetRaisedException() : NULL;
    int status = CamReader_Filled(loop->state, reader, room, size > 0 ? size : 0);
    if (exception != NULL) {
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
    }
    if (size > 0) {
        adapt(inbox, size);
    }
    return size > 0 && status < 0 ? CAM_INBOX_REFUSED : size;
}

Py_ssize_t cam_inbox_feed(CamInbox *inbox, LoopObject *loop, int fd, PyObject *reader,
                          PyObject **left) {
    cam_state *state = loop->state;
    *left = NULL;
    Py_ssize_t room = (Py_ssize_t)inbox->bulk_size;
    char *buffer = room > 0 ? CamReader_Room(state, reader, room) : NULL;
    if (buffer != NULL) {
        return feed_bulk(inbox, loop, fd, reader, buffer, room);
    }
    buffer = CamLoop_ReadBuffer(loop);
    Py_ssize_t size = buffer ? cam_inbox_read(fd, buffer, CAM_READ_BUFFER) : CAM_INBOX_FAILED;
    if (size <= 0) {
        return size;
    }
    adapt(inbox, size);
    int status = CamReader_Feed(state, reader, buffer, size);
    if (status == 0) {
        *left = CamSpare_Bytes(&loop->spare, buffer, size);
        return *left ? size : CAM_INBOX_FAILED;
    }
    return status < 0 ? CAM_INBOX_REFUSED : size;
}
