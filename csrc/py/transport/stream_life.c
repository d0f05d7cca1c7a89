/* SPDX-License-Identifier: MIT */
/* The stream transport's life, from its first step to connection_lost, and its errors. */
#include "transport/limits.h"
#include "transport/reader.h"
#include "transport/stream_object.h"

#include "compat.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* ---- calling the protocol ---- */

PyObject *cam_stream_call(StreamObject *stream, PyObject *name, PyObject *argument) {
    if (stream->loop != NULL) {
        CamLoop_NoteCall(stream->loop, stream->protocol, name);
    }
    return CamNotify_Call(stream->context, stream->protocol, name, argument, NULL);
}

void cam_stream_debug(StreamObject *stream, const char *text, PyObject *exception) {
    if (stream->loop != NULL && stream->loop->debug) {
        CamNotify_Log(stream->state, "debug", (PyObject *)stream, text, exception);
    }
}

int cam_stream_report(StreamObject *stream, const char *message) {
    return CamNotify_Report(stream->loop, (PyObject *)stream, stream->protocol, message);
}

/* Before the end: asyncio would have tried to send in write(). So is what waits for the end of the
 * turn, or is held for longer. */
static void send_what_waits(StreamObject *stream) {
    stream->held = false;
    cam_stream_flush((PyObject *)stream);
}

int cam_stream_fatal(StreamObject *stream, const char *message) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int status = 0;
    send_what_waits(stream);
    if (PyObject_TypeCheck(exception, (PyTypeObject *)PyExc_OSError)) {
        cam_stream_debug(stream, message, exception);
    } else {
        PyErr_SetRaisedException(Py_NewRef(exception));
        status = cam_stream_report(stream, message);
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (cam_stream_force_close(stream, exception) < 0) {
        if (left == NULL) {
            status = -1;
        } else {
            PyErr_Clear();
        }
    }
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    Py_DECREF(exception);
    return status;
}

/* ---- life ---- */

int cam_stream_watch(StreamObject *stream, uint32_t interest) {
    if (interest == stream->io.interest) {
        return 0;
    }
    return CamLoop_WatchIo(stream->loop, &stream->io, interest);
}

void cam_stream_lend(StreamObject *stream) {
    /* What is paused need not be watched for reading; see CamStream_PauseReadingLazily. */
    uint32_t interest = stream->io.interest;
    if (stream->paused) {
        interest &= ~(uint32_t)CAM_POLL_IN;
    }
    if (interest == 0 && stream->loop != NULL) {
        CamLoop_UnwatchIo(stream->loop, &stream->io);
    }
}

int cam_stream_lose(StreamObject *stream) {
    stream->closing = true;
    stream->lost = 1;
    CamLoop_UnwatchIo(stream->loop, &stream->io);
    if (CamLoop_CheckUsable(stream->loop) < 0) {
        return -1;
    }
    return CamLoop_Enqueue(stream->loop, cam_stream_finish, (PyObject *)stream);
}

int cam_stream_force_close(StreamObject *stream, PyObject *reason) {
    if (stream->lost || stream->loop == NULL) {
        return 0;
    }
    cam_outbox_clear(&stream->outbox);
    Py_XSETREF(stream->reason, Py_XNewRef(reason));
    return cam_stream_lose(stream);
}

int cam_stream_close(StreamObject *stream) {
    if (stream->closing || stream->loop == NULL) {
        return 0;
    }
    stream->closing = true;
    cam_stream_flush((PyObject *)stream);
    if (stream->lost) {
        return 0; /* sending failed */
    }
    if (stream->outbox.first == NULL) {
        return cam_stream_lose(stream);
    }
    return cam_stream_watch(stream, CAM_POLL_OUT);
}

int cam_stream_abort(StreamObject *stream) {
    send_what_waits(stream);
    return cam_stream_force_close(stream, NULL);
}

/* asyncio.Server counts its transports; from 3.13 on it also knows which they are. */
static PyObject *server_argument(StreamObject *stream) {
#if PY_VERSION_HEX >= 0x030D0000
    return (PyObject *)stream;
#else
    (void)stream;
    return NULL;
#endif
}

/* Closes the descriptor and drops all references but those that a finished transport answers
 * from (extra). Runs user code; keeps the exception that is set. */
void cam_stream_release(StreamObject *stream) {
    LoopObject *loop = stream->loop;
    int fd = stream->io.fd;
    if (loop != NULL) {
        CamLoop_UnwatchIo(loop, &stream->io);
        loop->streams--;
    }
    cam_outbox_clear(&stream->outbox);
    stream->io.fd = -1;
    stream->closing = true;
    stream->finished = true;
    PyObject *socket = stream->socket;
    PyObject *protocol = stream->protocol;
    PyObject *context = stream->context;
    PyObject *server = stream->server;
    PyObject *reason = stream->reason;
    stream->loop = NULL;
    stream->socket = NULL;
    stream->protocol = NULL;
    stream->native = NULL;
    stream->context = NULL;
    stream->server = NULL;
    stream->reason = NULL;
    PyObject *pending = PyErr_GetRaisedException();
    if (socket != NULL) {
        CamNotify_Quietly(socket, stream->state->str_close, NULL);
        cam_stream_let_go_socket(stream->state, socket); /* closes it really */
        Py_DECREF(socket);
    } else if (fd >= 0) {
        close(fd);
    }
    if (loop != NULL) {
        CamLoop_DescriptorFreed(loop);
    }
    if (server != NULL) {
        CamNotify_Quietly(server, stream->state->str__detach, server_argument(stream));
        Py_DECREF(server);
    }
    Py_XDECREF(protocol);
    Py_XDECREF(context);
    Py_XDECREF(reason);
    Py_XDECREF(loop);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* The exception for connection_lost, made from errno if need be; None when there is none. */
static PyObject *take_reason(StreamObject *stream) {
    PyObject *reason = stream->reason;
    stream->reason = NULL;
    if (reason != NULL) {
        return reason;
    }
    if (stream->reason_errno == 0) {
        return Py_NewRef(Py_None);
    }
    errno = stream->reason_errno;
    PyErr_SetFromErrno(PyExc_OSError);
    reason = PyErr_GetRaisedException();
    cam_stream_debug(stream, "Fatal write error on socket transport", reason);
    return reason;
}

/* loop.sendfile waits for the buffer to drain; it never will. */
static void fail_waiter(StreamObject *stream, PyObject *reason) {
    PyObject *waiter = stream->empty_waiter;
    if (waiter == NULL) {
        return;
    }
    stream->empty_waiter = NULL;
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *done = PyObject_CallMethodNoArgs(waiter, stream->state->str_done);
    int is_done = done ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    if (is_done < 0) {
        PyErr_WriteUnraisable(waiter);
    } else if (!is_done) {
        PyObject *exception =
            reason != Py_None
                ? Py_NewRef(reason)
                : PyObject_CallFunction(PyExc_ConnectionError, "s", "Connection is closed by peer");
        if (exception != NULL) {
            CamNotify_Quietly(waiter, stream->state->str_set_exception, exception);
            Py_DECREF(exception);
        } else {
            PyErr_WriteUnraisable(waiter);
        }
    }
    Py_DECREF(waiter);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int cam_stream_finish(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    if (stream->finished) {
        return 0;
    }
    stream->finished = true;
    if (!stream->lost) {
        stream->lost = 1;
    }
    PyObject *reason = take_reason(stream);
    int status = 0;
    if (stream->native != NULL) {
        PyObject *protocol = Py_NewRef(stream->protocol);
        status = stream->native->connection_lost(protocol, reason);
        Py_DECREF(protocol);
    } else if (stream->protocol != NULL) {
        PyObject *result = cam_stream_call(stream, stream->state->str_connection_lost, reason);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
    if (status < 0) {
        status = cam_stream_report(stream, "Exception in callback protocol.connection_lost()");
    }
    fail_waiter(stream, reason);
    cam_stream_release(stream);
    PyObject *pending = PyErr_GetRaisedException();
    Py_DECREF(reason);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return status;
}

static int step_connection_made(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    if (stream->protocol == NULL) {
        return 0;
    }
    if (stream->native != NULL) {
        PyObject *protocol = Py_NewRef(stream->protocol);
        int status = stream->native->connection_made(protocol, owner);
        if (status < 0) { /* it cannot be trusted with data */
            status = cam_stream_fatal(stream, "Fatal error: protocol.connection_made() failed.");
        }
        Py_DECREF(protocol);
        return status;
    }
    PyObject *result = cam_stream_call(stream, stream->state->str_connection_made, owner);
    if (result == NULL) {
        return cam_stream_report(stream, "Exception in callback protocol.connection_made()");
    }
    Py_DECREF(result);
    return 0;
}

static int step_start_reading(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    return cam_stream_read_on(stream);
}

/* Whether it is read into a buffer of its own: an asyncio.BufferedProtocol or, as uvloop has it,
 * any that could not be called otherwise. 1 or 0, or -1 with an exception. May run user code. */
static int is_buffered(cam_state *state, PyObject *protocol) {
    int buffered = PyObject_IsInstance(protocol, state->buffered_protocol);
    if (buffered == 0 && !PyObject_HasAttr(protocol, state->str_data_received)) {
        buffered = PyObject_HasAttr(protocol, state->str_get_buffer) &&
                   PyObject_HasAttr(protocol, state->str_buffer_updated);
    }
    return buffered;
}

int cam_stream_set_protocol(StreamObject *stream, PyObject *protocol) {
    const CamProtocolTable *native = CamProtocol_TableOf(stream->state, protocol);
    int buffered = native == NULL ? is_buffered(stream->state, protocol) : 0;
    if (buffered < 0) {
        return -1;
    }
    if (stream->native != NULL && native == NULL && stream->context != NULL) {
        /* It may be the listener's; what is set in a connection's is not seen by others. */
        PyObject *context = PyContext_Copy(stream->context);
        if (context == NULL) {
            return -1;
        }
        Py_SETREF(stream->context, context);
    }
    stream->native = native;
    stream->buffered = buffered;
    stream->fed = CamReader_IsProtocol(stream->state, protocol);
    Py_XSETREF(stream->protocol, Py_NewRef(protocol));
    return 0;
}

void cam_stream_set_nodelay(int fd, int family, int type, int proto) {
    if ((family == AF_INET || family == AF_INET6) && type == SOCK_STREAM &&
        (proto == IPPROTO_TCP || proto == 0)) {
        int on = 1;
        /* Fails for what is no TCP after all, and then there is nothing to switch off. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
}

/* Completes an allocated stream whose io.fd, socket, extra and far_end are set: starts its life.
 * The caller still owns the descriptor when this fails. */
int cam_stream_begin(StreamObject *stream, LoopObject *loop, PyObject *protocol, PyObject *waiter,
                     PyObject *server, PyObject *context) {
    PyObject *self = (PyObject *)stream;
    if (CamLoop_CheckUsable(loop) < 0 || cam_stream_set_protocol(stream, protocol) < 0) {
        return -1;
    }
    stream->context = context ? Py_NewRef(context) : PyContext_CopyCurrent();
    if (stream->context == NULL) {
        return -1;
    }
    stream->io.owner = self;
    stream->io.readable = cam_stream_readable;
    stream->io.writable = cam_stream_writable;
    stream->flush.owner = self;
    stream->flush.flush = cam_stream_flush;
    stream->high_water = CAM_HIGH_WATER;
    stream->low_water = CAM_HIGH_WATER / 4;
    if (server != NULL) {
        PyObject *stack[] = {NULL, server, server_argument(stream)};
        size_t count = stack[2] ? 2 : 1;
        PyObject *attached = PyObject_VectorcallMethod(
            stream->state->str__attach, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        if (attached == NULL) {
            return -1;
        }
        Py_DECREF(attached);
        stream->server = Py_NewRef(server);
    }
    stream->loop = (LoopObject *)Py_NewRef(loop);
    if (++loop->streams > loop->streams_peak) {
        loop->streams_peak = loop->streams;
    }
    if (CamLoop_Enqueue(loop, step_connection_made, self) < 0 ||
        CamLoop_Enqueue(loop, step_start_reading, self) < 0 ||
        (waiter != NULL && CamLoop_Enqueue(loop, CamNotify_WakeWaiter, waiter) < 0)) {
        return -1;
    }
    return 0;
}

StreamObject *cam_stream_allocate(PyTypeObject *type, cam_state *state) {
    StreamObject *stream = (StreamObject *)type->tp_alloc(type, 0);
    if (stream != NULL) {
        stream->state = state;
        stream->io.fd = stream->shown_fd = -1;
    }
    return stream;
}

PyObject *CamStream_OfDescriptor(LoopObject *loop, int fd, const CamAddress *far_end,
                                 PyObject *protocol, PyObject *waiter, PyObject *server,
                                 PyObject *context) {
    cam_state *state = loop->state;
    StreamObject *stream = cam_stream_allocate((PyTypeObject *)state->stream_type, state);
    if (stream == NULL) {
        return NULL;
    }
    stream->io.fd = stream->shown_fd = fd;
    stream->far_end = *far_end;
    CamAddress_OfNearEnd(&stream->near_end, fd);
    int family = stream->near_end.length ? stream->near_end.any.sa_family : AF_UNSPEC;
    cam_stream_set_nodelay(fd, family, SOCK_STREAM, 0);
    if (cam_stream_begin(stream, loop, protocol, waiter, server, context) < 0) {
        stream->io.fd = -1; /* still the caller's */
        PyObject *exception = PyErr_GetRaisedException();
        if (stream->loop != NULL) {
            cam_stream_release(stream);
        }
        Py_DECREF(stream);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return (PyObject *)stream;
}
