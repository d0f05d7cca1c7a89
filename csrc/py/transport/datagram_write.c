/* SPDX-License-Identifier: MIT */
/*
 * The datagram transport's writing half: sendto() tries to send at once, as in asyncio; what the
 * kernel does not take waits for the socket to become writable and then goes out by sendmmsg.
 */
#include "transport/datagram_object.h"

#include "compat.h"
#include "transport/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SEND_BATCH = 32,
    WRITES_BEFORE_WARNING = 5, /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */
#if PY_VERSION_HEX >= 0x030D0000
    HEADER_SIZE = 8, /* asyncio counts the header of UDP from 3.13 on, and sends empty datagrams */
    SENDS_EMPTY = 1,
#else
    HEADER_SIZE = 0,
    SENDS_EMPTY = 0,
#endif
};

/* What became of an attempt to send. */
typedef enum Outcome {
    SENT,
    BLOCKED,
    FAILED, /* with an exception set */
} Outcome;

static const char FATAL[] = "Fatal write error on datagram transport";

/* ---- the queue ---- */

static size_t cost_of(const CamUnsent *unsent) {
    return (size_t)PyBytes_GET_SIZE(unsent->data) + HEADER_SIZE;
}

/* Takes the first one out of the queue. */
static CamUnsent *take_first(DatagramObject *datagram) {
    CamUnsent *unsent = datagram->first;
    datagram->first = unsent->next;
    if (datagram->first == NULL) {
        datagram->last = NULL;
    }
    datagram->unsent -= cost_of(unsent);
    return unsent;
}

/* Runs user code: the destination may be anything that was given to sendto(). */
static void free_unsent(CamUnsent *unsent) {
    Py_DECREF(unsent->data);
    Py_XDECREF(unsent->destination);
    PyMem_Free(unsent);
}

void cam_datagram_drop_unsent(DatagramObject *datagram) {
    while (datagram->first != NULL) {
        free_unsent(take_first(datagram));
    }
}

/* Steals `data`, a bytes object. `destination` NULL: the peer; `name` NULL: only the socket module
 * can read it. 0, or -1 with MemoryError. */
static int queue(DatagramObject *datagram, PyObject *data, PyObject *destination,
                 const CamAddress *name) {
    socklen_t length = name ? name->length : 0;
    CamUnsent *unsent = PyMem_Malloc(offsetof(CamUnsent, name) + length);
    if (unsent == NULL) {
        Py_DECREF(data);
        PyErr_NoMemory();
        return -1;
    }
    unsent->next = NULL;
    unsent->data = data;
    unsent->destination = Py_XNewRef(destination);
    unsent->length = length;
    if (length > 0) {
        memcpy(unsent->name, &name->any, length);
    }
    if (datagram->last != NULL) {
        datagram->last->next = unsent;
    } else {
        datagram->first = unsent;
    }
    datagram->last = unsent;
    datagram->unsent += cost_of(unsent);
    return 0;
}

/* ---- sending one ---- */

/* By the socket object's own send() or sendto(). `destination` NULL: the peer. */
static Outcome send_by_socket(DatagramObject *datagram, PyObject *data, PyObject *destination) {
    cam_state *state = datagram->state;
    if (datagram->socket == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is closed");
        return FAILED;
    }
    PyObject *socket = Py_NewRef(datagram->socket);
    PyObject *stack[] = {NULL, socket, data, destination};
    size_t count = destination ? 3 : 2;
    PyObject *done =
        PyObject_VectorcallMethod(destination ? state->str_sendto : state->str_send, stack + 1,
                                  count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    PyObject *exception = done ? NULL : PyErr_GetRaisedException();
    Py_DECREF(socket);
    Py_XDECREF(done);
    if (exception == NULL) {
        return SENT;
    }
    PyErr_SetRaisedException(exception);
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
        PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return BLOCKED;
    }
    return FAILED;
}

static Outcome send_plain(DatagramObject *datagram, const char *data, size_t size,
                          const CamAddress *name) {
    for (;;) {
        ssize_t count = name->length != 0 ? sendto(datagram->io.fd, data, size, MSG_NOSIGNAL,
                                                   &name->any, name->length)
                                          : send(datagram->io.fd, data, size, MSG_NOSIGNAL);
        if (count >= 0) {
            return SENT;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return BLOCKED;
        }
        if (errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            return FAILED;
        }
    }
}

/* How the kernel takes a destination; NULL when only the socket module can read it. Most answers
 * go to where the last datagram came from. `room` is for the result. */
static const CamAddress *name_of(DatagramObject *datagram, PyObject *destination,
                                 CamAddress *room) {
    if (destination == datagram->recent_object && datagram->recent.length != 0) {
        return &datagram->recent;
    }
    return CamAddress_FromPython(room, datagram->family, destination) ? room : NULL;
}

/* ---- sendto() ---- */

static int tell_protocol(DatagramObject *datagram, bool pause) {
    cam_state *state = datagram->state;
    datagram->protocol_paused = pause;
    /* Pausing runs in the context of whoever wrote, as in asyncio. */
    PyObject *result = pause
                           ? CamNotify_CallHere(datagram->protocol, state->str_pause_writing, NULL)
                           : CamNotify_Call(datagram->context, datagram->protocol,
                                            state->str_resume_writing, NULL, NULL);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    return CamNotify_Report(datagram->loop, (PyObject *)datagram, datagram->protocol,
                            pause ? "protocol.pause_writing() failed"
                                  : "protocol.resume_writing() failed");
}

int cam_datagram_maybe_pause(DatagramObject *datagram) {
    if (datagram->unsent <= datagram->high_water || datagram->protocol_paused ||
        datagram->protocol == NULL) {
        return 0;
    }
    return tell_protocol(datagram, true);
}

/* Counts a datagram that is sent after the transport was lost; warns from the fifth on. */
static void count_lost(DatagramObject *datagram) {
    if (datagram->lost >= WRITES_BEFORE_WARNING) {
        PyObject *done = PyObject_CallMethod(datagram->state->asyncio_logger, "warning", "s",
                                             "socket.send() raised exception.");
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)datagram);
        }
        Py_XDECREF(done);
    }
    datagram->lost++;
}

/* Handles FAILED of sendto(): 0, or -1 with what is to be raised. */
static int send_failed(DatagramObject *datagram) {
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        return cam_datagram_error(datagram);
    }
    return cam_datagram_fatal(datagram, FATAL);
}

/* The queue is empty: tries at once. `destination` NULL: the peer; `name` NULL: by the socket
 * object. */
static Outcome send_now(DatagramObject *datagram, PyObject *data, PyObject *destination,
                        const CamAddress *name) {
    if (name == NULL) {
        return send_by_socket(datagram, data, destination);
    }
    if (PyBytes_CheckExact(data)) {
        return send_plain(datagram, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return FAILED;
    }
    Outcome outcome = send_plain(datagram, view.buf, (size_t)view.len, name);
    PyObject *exception = outcome == FAILED ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return outcome;
}

/* False for empty data on the Pythons whose asyncio does not send it; -1 with an exception. */
static int is_to_be_sent(PyObject *data) {
    return SENDS_EMPTY ? 1 : PyObject_IsTrue(data);
}

int cam_datagram_send(DatagramObject *datagram, PyObject *data, PyObject *destination) {
    int wanted = is_to_be_sent(data);
    if (wanted <= 0) {
        return wanted;
    }
    PyObject *only = datagram->address;
    if (only != NULL) {
        int same = destination == Py_None || destination == only
                       ? 1
                       : PyObject_RichCompareBool(destination, only, Py_EQ);
        if (same < 0) {
            return -1;
        }
        if (!same) {
            PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %S", only);
            return -1;
        }
        destination = only;
    }
    if (datagram->loop == NULL || (datagram->lost && only != NULL)) {
        count_lost(datagram);
        return 0;
    }
    if (CamLoop_IsForeign(datagram->loop)) {
        return CamLoop_CheckUsable(datagram->loop);
    }
    /* asyncio gives a peer without an address no chance: its sendto() fails there without one. */
    if (datagram->connected || (datagram->paired && destination == Py_None)) {
        destination = NULL;
    }
    CamAddress room = {.length = 0};
    const CamAddress *name = NULL;
    if (datagram->plain) {
        name = destination ? name_of(datagram, destination, &room) : &room;
    }
    Py_XINCREF(destination); /* `only` goes when the transport is finished meanwhile */
    int status = 0;
    Outcome outcome = BLOCKED;
    if (datagram->first == NULL) {
        outcome = send_now(datagram, data, destination, name);
        if (outcome == BLOCKED && datagram->loop != NULL && !datagram->lost) {
            status = cam_datagram_watch(datagram, datagram->io.interest | CAM_POLL_OUT);
        } else if (outcome == FAILED) {
            status = send_failed(datagram);
        }
    }
    if (outcome == BLOCKED && status == 0 && datagram->loop != NULL && !datagram->lost) {
        PyObject *copy = PyBytes_FromObject(data);
        status = copy ? queue(datagram, copy, destination, name) : -1;
        if (status == 0) {
            status = cam_datagram_maybe_pause(datagram);
        }
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(destination);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

/* ---- sending what waits ---- */

static bool is_plain(const CamUnsent *unsent) {
    return unsent->destination == NULL || unsent->length != 0;
}

/* Sends as many of the first ones as one system call takes. */
static Outcome send_batch(DatagramObject *datagram) {
    struct mmsghdr headers[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    unsigned used = 0;
    for (CamUnsent *unsent = datagram->first;
         unsent != NULL && used < SEND_BATCH && is_plain(unsent); unsent = unsent->next) {
        vectors[used] =
            (struct iovec){PyBytes_AS_STRING(unsent->data), (size_t)PyBytes_GET_SIZE(unsent->data)};
        headers[used] = (struct mmsghdr){.msg_hdr = {
                                             .msg_name = unsent->length ? unsent->name : NULL,
                                             .msg_namelen = unsent->length,
                                             .msg_iov = &vectors[used],
                                             .msg_iovlen = 1,
                                         }};
        used++;
    }
    int count;
    do {
        count = sendmmsg(datagram->io.fd, headers, used, MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return BLOCKED;
        }
        PyErr_SetFromErrno(PyExc_OSError);
        return FAILED;
    }
    PyObject *destinations[SEND_BATCH];
    for (int i = 0; i < count; i++) {
        CamUnsent *unsent = take_first(datagram);
        destinations[i] = unsent->destination;
        unsent->destination = NULL;
        free_unsent(unsent);
    }
    /* Only now, as they may run user code. */
    for (int i = 0; i < count; i++) {
        Py_XDECREF(destinations[i]);
    }
    return SENT;
}

/* Sends the first one through the socket object. The queue may be another afterwards. */
static Outcome send_first_by_socket(DatagramObject *datagram) {
    CamUnsent *unsent = take_first(datagram);
    Outcome outcome = send_by_socket(datagram, unsent->data, unsent->destination);
    PyObject *exception = outcome == FAILED ? PyErr_GetRaisedException() : NULL;
    if (outcome == BLOCKED && datagram->loop != NULL && !datagram->lost) {
        unsent->next = datagram->first;
        datagram->first = unsent;
        if (datagram->last == NULL) {
            datagram->last = unsent;
        }
        datagram->unsent += cost_of(unsent);
    } else {
        free_unsent(unsent);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return outcome;
}

/* The first one cannot be sent, for an OSError: it is dropped and the protocol told. */
static int drop_failed(DatagramObject *datagram, bool taken) {
    PyObject *exception = PyErr_GetRaisedException();
    if (!taken) {
        free_unsent(take_first(datagram));
    }
    PyObject *context = datagram->loop ? CamNotify_Enter(datagram->context) : NULL;
    if (context == NULL) {
        Py_DECREF(exception);
        return datagram->loop ? -1 : 0;
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

int cam_datagram_writable(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    DatagramObject *datagram = (DatagramObject *)owner;
    if (datagram->lost || !(datagram->io.interest & CAM_POLL_OUT)) {
        return 0;
    }
    Outcome outcome = SENT;
    while (outcome == SENT && datagram->first != NULL && !datagram->lost) {
        bool batch = datagram->plain && is_plain(datagram->first);
        outcome = batch ? send_batch(datagram) : send_first_by_socket(datagram);
        if (outcome == FAILED) {
            /* The next ones follow when the poller has been asked again. */
            return PyErr_ExceptionMatches(PyExc_OSError) ? drop_failed(datagram, !batch)
                                                         : cam_datagram_fatal(datagram, FATAL);
        }
    }
    if (datagram->protocol_paused && datagram->unsent <= datagram->low_water &&
        datagram->protocol != NULL && tell_protocol(datagram, false) < 0) {
        return -1; /* may have sent more, or closed */
    }
    if (datagram->lost || datagram->loop == NULL || datagram->first != NULL) {
        return 0;
    }
    if (datagram->closing) {
        return cam_datagram_finish(datagram->loop, owner);
    }
    return cam_datagram_watch(datagram, datagram->io.interest & ~(uint32_t)CAM_POLL_OUT);
}
