/* SPDX-License-Identifier: MIT */
/*
 * The datagram transport's reading half: one recvmmsg of up to CAM_DATAGRAM_BATCH datagrams per
 * readiness, then the poller is asked again, so that no socket starves the others.
 *
 * asyncio takes one datagram a turn. That a protocol may do between any two of them what it likes
 * holds here too: when it pauses the transport, stops the loop or is interrupted, what else has
 * been received waits in the transport; when it closes the transport, that is dropped, as the
 * kernel would have dropped it.
 */
#include "transport/datagram_object.h"

#include "compat.h"
#include "transport/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BUFFER = CAM_DATAGRAM_BATCH * 64 * 1024,
    /* No IP datagram is longer than 65,535 bytes, which leaves room for CAM_DATAGRAM_BATCH of
     * them. A Unix one may have any length, up to asyncio's max_size (256 KiB). */
    IP_SLOT = 64 * 1024,
    ANY_SLOT = 256 * 1024,
};

/* A loop's buffers for recvmmsg, made at the first use and released as one block of memory with
 * the loop. Steps run one at a time, so one batch at a time is in here. Pages that no datagram
 * was long enough to reach are never touched, and cost nothing. */
struct CamDatagramBuffers {
    size_t slot; /* bytes per datagram that the headers are now set up for */
    unsigned count;
    struct mmsghdr headers[CAM_DATAGRAM_BATCH];
    struct iovec vectors[CAM_DATAGRAM_BATCH];
    CamAddress sources[CAM_DATAGRAM_BATCH];
    char bytes[BUFFER];
};

static const socklen_t SOURCE_ROOM = sizeof(CamAddress) - offsetof(CamAddress, any);

static void set_up(CamDatagramBuffers *buffers, size_t slot, size_t length) {
    buffers->slot = length;
    buffers->count = (unsigned)(BUFFER / slot);
    for (unsigned i = 0; i < buffers->count; i++) {
        buffers->vectors[i] = (struct iovec){buffers->bytes + i * slot, length};
        buffers->headers[i] = (struct mmsghdr){.msg_hdr = {
                                                   .msg_name = &buffers->sources[i].any,
                                                   .msg_namelen = SOURCE_ROOM,
                                                   .msg_iov = &buffers->vectors[i],
                                                   .msg_iovlen = 1,
                                               }};
    }
}

/* The loop's buffers, for this transport's datagrams; NULL with MemoryError. */
static CamDatagramBuffers *buffers_for(LoopObject *loop, DatagramObject *datagram) {
    CamDatagramBuffers *buffers = loop->datagram_buffers;
    size_t slot = datagram->family == AF_UNIX ? ANY_SLOT : IP_SLOT;
    size_t length = datagram->max_size < 0 ? 0 : (size_t)datagram->max_size;
    if (length > slot) {
        length = slot;
    }
    if (buffers == NULL) {
        buffers = PyMem_RawMalloc(sizeof(*buffers));
        if (buffers == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        loop->datagram_buffers = buffers;
        set_up(buffers, slot, length);
    } else if (buffers->slot != length || buffers->count != BUFFER / slot) {
        set_up(buffers, slot, length);
    }
    return buffers;
}

/* What the protocol is shown for a source. Most datagrams come from where the last one came from.
 * New reference; NULL with an exception. */
static PyObject *show_source(DatagramObject *datagram, const CamAddress *source) {
    if (source->length == datagram->recent.length && datagram->recent_object != NULL &&
        memcmp(&source->any, &datagram->recent.any, source->length) == 0) {
        return Py_NewRef(datagram->recent_object);
    }
    PyObject *object = CamAddress_ToPython(source);
    if (object != NULL) {
        datagram->recent.length = source->length;
        memcpy(&datagram->recent.any, &source->any, source->length);
        Py_XSETREF(datagram->recent_object, Py_NewRef(object));
    }
    return object;
}

/* ---- delivering ---- */

/* Gives one datagram to the protocol, in the context that is current. What the protocol raises
 * is reported and the transport goes on, as in asyncio. 0, or -1 with KeyboardInterrupt,
 * SystemExit or what the exception handler raised. */
static int deliver(DatagramObject *datagram, PyObject *data, PyObject *source) {
    PyObject *protocol = Py_NewRef(datagram->protocol);
    PyObject *stack[] = {NULL, protocol, data, source};
    CamLoop_NoteCall(datagram->loop, protocol, datagram->state->str_datagram_received);
    PyObject *result = PyObject_VectorcallMethod(datagram->state->str_datagram_received, stack + 1,
                                                 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    int status = 0;
    if (result == NULL) {
        status = CamNotify_Report(datagram->loop, (PyObject *)datagram, protocol,
                                  "Exception in callback protocol.datagram_received()");
    }
    PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(result);
    Py_DECREF(protocol);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return status;
}

/* True while one more datagram may follow in this turn. */
static bool may_go_on(DatagramObject *datagram) {
    return !datagram->closing && !datagram->paused && !datagram->loop->stopping;
}

void cam_datagram_drop_waiting(DatagramObject *datagram) {
    CamReceived *waiting = datagram->waiting;
    unsigned first = datagram->waiting_first;
    unsigned count = datagram->waiting_count;
    datagram->waiting = NULL;
    datagram->waiting_first = datagram->waiting_count = 0;
    for (unsigned i = first; i < first + count; i++) {
        Py_DECREF(waiting[i].data);
        Py_DECREF(waiting[i].source);
    }
    PyMem_Free(waiting);
}

/* Delivers what was kept, oldest first, until something keeps it back again. One in any case: a
 * loop that is stopped runs this turn to its end. */
static int deliver_waiting(DatagramObject *datagram) {
    PyObject *context = CamNotify_Enter(datagram->context);
    if (context == NULL) {
        return -1;
    }
    int status = 0;
    do {
        CamReceived next = datagram->waiting[datagram->waiting_first++];
        datagram->waiting_count--;
        status = deliver(datagram, next.data, next.source);
        PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
        Py_DECREF(next.data);
        Py_DECREF(next.source);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending);
        }
    } while (datagram->waiting_count > 0 && status == 0 && may_go_on(datagram));
    CamNotify_Leave(context);
    if (datagram->waiting_count == 0 || datagram->closing) {
        PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
        cam_datagram_drop_waiting(datagram);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending);
        }
    }
    return status;
}

static int step_deliver_waiting(LoopObject *Py_UNUSED(loop), PyObject *owner);

/* Has what waits delivered in a later turn, unless resume_reading() will see to it. 0 or -1. */
static int deliver_later(DatagramObject *datagram) {
    if (datagram->waiting_count == 0 || datagram->closing || datagram->paused) {
        return 0;
    }
    return CamLoop_Enqueue(datagram->loop, step_deliver_waiting, (PyObject *)datagram);
}

static int finish_delivery(DatagramObject *datagram, int status) {
    PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (deliver_later(datagram) < 0) {
        if (pending == NULL) {
            return -1;
        }
        PyErr_Clear();
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return status;
}

static int step_deliver_waiting(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    DatagramObject *datagram = (DatagramObject *)owner;
    if (datagram->waiting_count == 0 || datagram->closing || datagram->paused) {
        return 0;
    }
    return finish_delivery(datagram, deliver_waiting(datagram));
}

/* ---- receiving ---- */

static int read_failed(DatagramObject *datagram) {
    return cam_datagram_fatal(datagram, "Fatal read error on datagram transport");
}

/* The kernel's or the socket's OSError, which is set, goes to protocol.error_received. */
static int report_error(DatagramObject *datagram) {
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *context = CamNotify_Enter(datagram->context);
    if (context == NULL) {
        Py_DECREF(exception);
        return -1;
    }
    PyErr_SetRaisedException(exception);
    int status = cam_datagram_error(datagram);
    if (status < 0) {
        status = CamNotify_Report(datagram->loop, (PyObject *)datagram, datagram->protocol,
                                  "Exception in callback protocol.error_received()");
    }
    CamNotify_Leave(context);
    return status;
}

/* Makes the objects of one received datagram; false with MemoryError. */
static bool show(DatagramObject *datagram, CamDatagramBuffers *buffers, unsigned i,
                 CamReceived *received) {
    received->source = show_source(datagram, &buffers->sources[i]);
    if (received->source == NULL) {
        return false;
    }
    received->data = PyBytes_FromStringAndSize(buffers->vectors[i].iov_base,
                                               (Py_ssize_t)buffers->headers[i].msg_len);
    if (received->data == NULL) {
        Py_DECREF(received->source);
        return false;
    }
    return true;
}

/* Keeps the datagrams from `i` on. 0, or -1 with MemoryError. */
static int keep(DatagramObject *datagram, CamDatagramBuffers *buffers, unsigned i, unsigned count) {
    datagram->waiting = PyMem_New(CamReceived, CAM_DATAGRAM_BATCH);
    if (datagram->waiting == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (; i < count; i++) {
        if (!show(datagram, buffers, i, &datagram->waiting[datagram->waiting_count])) {
            return -1;
        }
        datagram->waiting_count++;
    }
    return 0;
}

static int deliver_batch(DatagramObject *datagram, CamDatagramBuffers *buffers, unsigned count) {
    PyObject *context = CamNotify_Enter(datagram->context);
    if (context == NULL) {
        return read_failed(datagram);
    }
    int status = 0;
    bool shown = true;
    unsigned i = 0;
    do {
        CamReceived received;
        shown = show(datagram, buffers, i, &received);
        if (!shown) {
            break;
        }
        i++;
        status = deliver(datagram, received.data, received.source);
        PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
        Py_DECREF(received.data);
        Py_DECREF(received.source);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending);
        }
    } while (i < count && status == 0 && may_go_on(datagram));
    CamNotify_Leave(context);
    if (!shown) {
        return read_failed(datagram);
    }
    if (i == count || datagram->closing) {
        return status;
    }
    PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (keep(datagram, buffers, i, count) < 0 && read_failed(datagram) < 0) {
        PyErr_WriteUnraisable((PyObject *)datagram);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return finish_delivery(datagram, status);
}

static int read_batch(LoopObject *loop, DatagramObject *datagram) {
    CamDatagramBuffers *buffers = buffers_for(loop, datagram);
    if (buffers == NULL) {
        return read_failed(datagram);
    }
    int count = recvmmsg(datagram->io.fd, buffers->headers, buffers->count, MSG_DONTWAIT, NULL);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            return 0;
        }
        PyErr_SetFromErrno(PyExc_OSError);
        return report_error(datagram);
    }
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &buffers->headers[i].msg_hdr;
        /* The kernel reports the full length of what it had to cut. */
        buffers->sources[i].length =
            header->msg_namelen < SOURCE_ROOM ? header->msg_namelen : SOURCE_ROOM;
        header->msg_namelen = SOURCE_ROOM;
    }
    return count > 0 ? deliver_batch(datagram, buffers, (unsigned)count) : 0;
}

/* One datagram by the socket object's own recvfrom(). */
static int read_by_socket(DatagramObject *datagram) {
    PyObject *size = PyLong_FromSsize_t(datagram->max_size);
    PyObject *pair =
        size ? CamNotify_CallHere(datagram->socket, datagram->state->str_recvfrom, size) : NULL;
    Py_XDECREF(size);
    if (pair == NULL) {
        if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
            PyErr_ExceptionMatches(PyExc_InterruptedError)) {
            PyErr_Clear();
            return 0;
        }
        return PyErr_ExceptionMatches(PyExc_OSError) ? report_error(datagram)
                                                     : read_failed(datagram);
    }
    PyObject *data, *source;
    if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "OO", &data, &source)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "recvfrom() must return a pair");
        }
        Py_DECREF(pair);
        return read_failed(datagram);
    }
    int status = 0;
    PyObject *context = datagram->lost ? NULL : CamNotify_Enter(datagram->context);
    if (context != NULL) {
        status = deliver(datagram, data, source);
        CamNotify_Leave(context);
    } else if (!datagram->lost) {
        status = read_failed(datagram);
    }
    PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(pair);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return status;
}

int cam_datagram_readable(LoopObject *loop, PyObject *owner) {
    DatagramObject *datagram = (DatagramObject *)owner;
    /* Paused or closed since the poller reported it. */
    if (datagram->lost || !(datagram->io.interest & CAM_POLL_IN)) {
        return 0;
    }
    if (datagram->waiting_count > 0) {
        return step_deliver_waiting(loop, owner); /* those came first */
    }
    return datagram->plain ? read_batch(loop, datagram) : read_by_socket(datagram);
}

/* ---- flow control ---- */

int cam_datagram_pause_reading(DatagramObject *datagram) {
    if (datagram->closing || datagram->paused || datagram->loop == NULL) {
        return 0;
    }
    datagram->paused = true;
    if (cam_datagram_watch(datagram, datagram->io.interest & ~(uint32_t)CAM_POLL_IN) < 0) {
        return -1;
    }
    cam_datagram_debug(datagram, "pauses reading", NULL);
    return 0;
}

int cam_datagram_read_on(DatagramObject *datagram) {
    if (datagram->closing || datagram->paused || datagram->loop == NULL) {
        return 0;
    }
    return cam_datagram_watch(datagram, datagram->io.interest | CAM_POLL_IN);
}

int cam_datagram_resume_reading(DatagramObject *datagram) {
    if (datagram->closing || !datagram->paused || datagram->loop == NULL) {
        return 0;
    }
    datagram->paused = false;
    if (cam_datagram_read_on(datagram) < 0 || deliver_later(datagram) < 0) {
        return -1;
    }
    cam_datagram_debug(datagram, "resumes reading", NULL);
    return 0;
}
