/* SPDX-License-Identifier: MIT */
/* The stream transport: its life, its methods and what other C code asks of it. */
#include "loop/stream_object.h"

#include "compat.h"
#include "stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <unistd.h>

enum {
    HIGH_WATER = 64 * 1024, /* asyncio's defaults (transports._FlowControlMixin) */
    LOW_WATER = HIGH_WATER / 4,
};

/* ---- calling the protocol ---- */

/* The stream's context, or a copy when it is entered already, entered. NULL with an exception. */
static PyObject *enter_context(StreamObject *stream) {
    PyObject *context = Py_NewRef(stream->context);
    if (PyContext_Enter(context) == 0) {
        return context;
    }
    PyErr_Clear();
    PyObject *copy = PyContext_Copy(context);
    Py_DECREF(context);
    if (copy != NULL && PyContext_Enter(copy) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

PyObject *cam_stream_call(StreamObject *stream, PyObject *name, PyObject *argument) {
    PyObject *context = enter_context(stream);
    if (context == NULL) {
        return NULL;
    }
    PyObject *protocol = Py_NewRef(stream->protocol);
    PyObject *stack[] = {NULL, protocol, argument};
    size_t count = argument ? 2 : 1;
    PyObject *result =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(result);
    }
    if (result == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(protocol);
        Py_DECREF(context);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_DECREF(protocol);
    Py_DECREF(context);
    return result;
}

void cam_stream_debug(StreamObject *stream, const char *text, PyObject *exception) {
    if (stream->loop == NULL || !stream->loop->debug) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *method = PyObject_GetAttrString(stream->state->asyncio_logger, "debug");
    PyObject *args = Py_BuildValue("(sOs)", "%r: %s", (PyObject *)stream, text);
    PyObject *keywords = exception ? Py_BuildValue("{sO}", "exc_info", exception) : NULL;
    PyObject *done = NULL;
    if (method != NULL && args != NULL && (keywords != NULL || exception == NULL)) {
        done = PyObject_Call(method, args, keywords);
    }
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)stream);
    }
    Py_XDECREF(done);
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(method);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int cam_stream_report(StreamObject *stream, const char *message) {
    PyObject *exception = PyErr_GetRaisedException();
    LoopObject *loop = stream->loop;
    PyObject *extra =
        Py_BuildValue("{OOOO}", stream->state->str_transport, (PyObject *)stream,
                      stream->state->str_protocol, stream->protocol ? stream->protocol : Py_None);
    PyErr_Clear(); /* without memory for the extra keys the report goes out without them */
    PyErr_SetRaisedException(exception);
    int status;
    if (loop == NULL) {
        PyErr_WriteUnraisable((PyObject *)stream);
        status = 0;
    } else {
        Py_INCREF(loop);
        status = CamLoop_ReportError(loop, message, extra);
        Py_DECREF(loop);
    }
    Py_XDECREF(extra);
    return status;
}

int cam_stream_fatal(StreamObject *stream, const char *message) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int status = 0;
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
    if (stream->io.interest == 0 && stream->loop != NULL) {
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
    cam_stream_drop(stream);
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
    if (stream->first == NULL) {
        return cam_stream_lose(stream);
    }
    return cam_stream_watch(stream, CAM_POLL_OUT);
}

static int stream_abort(StreamObject *stream) {
    /* asyncio would have tried to send in write(): so is what waits for the end of the turn. */
    cam_stream_flush((PyObject *)stream);
    return cam_stream_force_close(stream, NULL);
}

/* Calls a method for its effect; exceptions are reported as unraisable. */
static void call_quietly(PyObject *object, PyObject *name, PyObject *argument) {
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *stack[] = {NULL, object, argument};
    size_t count = argument ? 2 : 1;
    PyObject *done =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (done == NULL) {
        PyErr_WriteUnraisable(object);
    }
    Py_XDECREF(done);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
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

/* Keeps a socket object's close() from closing the descriptor under the transport: the number
 * could be another connection's the next moment. socket.makefile() uses the same count. An object
 * that is no socket.socket is taken as it is. 0, or -1 with an exception. */
static int hold_socket(cam_state *state, PyObject *socket) {
    if (!PyObject_TypeCheck(socket, (PyTypeObject *)state->socket_class)) {
        return 0;
    }
    PyObject *count = PyObject_GetAttr(socket, state->str__io_refs);
    long number = count ? PyLong_AsLong(count) : -1;
    Py_XDECREF(count);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    PyObject *more = PyLong_FromLong(number + 1);
    int status = more ? PyObject_SetAttr(socket, state->str__io_refs, more) : -1;
    Py_XDECREF(more);
    return status;
}

static void let_go_socket(cam_state *state, PyObject *socket) {
    if (PyObject_TypeCheck(socket, (PyTypeObject *)state->socket_class)) {
        call_quietly(socket, state->str__decref_socketios, NULL);
    }
}

/* Closes the descriptor and drops all references but those that a finished transport answers
 * from (extra). Runs user code; keeps the exception that is set. */
static void stream_release(StreamObject *stream) {
    LoopObject *loop = stream->loop;
    int fd = stream->io.fd;
    if (loop != NULL) {
        CamLoop_UnwatchIo(loop, &stream->io);
    }
    cam_stream_drop(stream);
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
        call_quietly(socket, stream->state->str_close, NULL);
        let_go_socket(stream->state, socket); /* closes it really */
        Py_DECREF(socket);
    } else if (fd >= 0) {
        close(fd);
    }
    if (server != NULL) {
        call_quietly(server, stream->state->str__detach, server_argument(stream));
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
            call_quietly(waiter, stream->state->str_set_exception, exception);
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
    stream_release(stream);
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
    if (stream->closing || stream->paused || stream->at_eof || stream->loop == NULL) {
        return 0;
    }
    return cam_stream_watch(stream, stream->io.interest | CAM_POLL_IN);
}

static int step_wake_waiter(LoopObject *loop, PyObject *waiter) {
    PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, loop->state->str_cancelled);
    int is_cancelled = cancelled ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (is_cancelled != 0) {
        return is_cancelled < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(waiter, loop->state->str_set_result, Py_None);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int set_protocol(StreamObject *stream, PyObject *protocol) {
    const CamProtocolTable *native = CamProtocol_TableOf(stream->state, protocol);
    int buffered = 0;
    if (native == NULL) {
        buffered = PyObject_IsInstance(protocol, stream->state->buffered_protocol);
        if (buffered < 0) {
            return -1;
        }
    }
    stream->native = native;
    stream->buffered = buffered;
    Py_XSETREF(stream->protocol, Py_NewRef(protocol));
    return 0;
}

static void set_nodelay(int fd, int family, int type, int proto) {
    if ((family == AF_INET || family == AF_INET6) && type == SOCK_STREAM &&
        (proto == IPPROTO_TCP || proto == 0)) {
        int on = 1;
        /* Fails for what is no TCP after all, and then there is nothing to switch off. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
}

/* Completes an allocated stream whose io.fd, socket, extra and far_end are set: starts its life.
 * The caller still owns the descriptor when this fails. */
static int stream_begin(StreamObject *stream, LoopObject *loop, PyObject *protocol,
                        PyObject *waiter, PyObject *server, PyObject *context) {
    PyObject *self = (PyObject *)stream;
    if (CamLoop_CheckUsable(loop) < 0 || set_protocol(stream, protocol) < 0) {
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
    stream->high_water = HIGH_WATER;
    stream->low_water = LOW_WATER;
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
    if (CamLoop_Enqueue(loop, step_connection_made, self) < 0 ||
        CamLoop_Enqueue(loop, step_start_reading, self) < 0 ||
        (waiter != NULL && CamLoop_Enqueue(loop, step_wake_waiter, waiter) < 0)) {
        return -1;
    }
    return 0;
}

static StreamObject *stream_allocate(PyTypeObject *type, cam_state *state) {
    StreamObject *stream = (StreamObject *)type->tp_alloc(type, 0);
    if (stream != NULL) {
        stream->state = state;
        stream->io.fd = stream->shown_fd = -1;
    }
    return stream;
}

PyObject *CamStream_Accepted(LoopObject *loop, int fd, const CamAddress *far_end,
                             PyObject *protocol, PyObject *server, PyObject *context) {
    cam_state *state = loop->state;
    StreamObject *stream = stream_allocate((PyTypeObject *)state->stream_type, state);
    if (stream == NULL) {
        return NULL;
    }
    stream->io.fd = stream->shown_fd = fd;
    stream->far_end = *far_end;
    CamAddress_OfNearEnd(&stream->near_end, fd);
    int family = stream->near_end.length ? stream->near_end.any.sa_family : AF_UNSPEC;
    set_nodelay(fd, family, SOCK_STREAM, 0);
    if (stream_begin(stream, loop, protocol, NULL, server, context) < 0) {
        stream->io.fd = -1; /* still the caller's */
        PyObject *exception = PyErr_GetRaisedException();
        if (stream->loop != NULL) {
            stream_release(stream);
        }
        Py_DECREF(stream);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return (PyObject *)stream;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(keywords)) {
    cam_state *state = CamState_OfType(type);
    return state ? (PyObject *)stream_allocate(type, state) : NULL;
}

/* An int attribute of a socket object; -1 with an exception. */
static int int_attribute(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) {
        return -1;
    }
    long number = PyLong_AsLong(value);
    Py_DECREF(value);
    return number == -1 && PyErr_Occurred() ? -1 : (int)number;
}

/* The addresses of a socket whose family only the socket module can show. */
static int ask_socket(StreamObject *stream, PyObject *socket) {
    struct {
        const char *method;
        PyObject *key;
    } const asked[] = {
        {"getsockname", stream->state->str_sockname},
        {"getpeername", stream->state->str_peername},
    };
    for (int i = 0; i < 2; i++) {
        int known = PyDict_Contains(stream->extra, asked[i].key);
        if (known != 0) {
            if (known < 0) {
                return -1;
            }
            continue;
        }
        PyObject *address = PyObject_CallMethod(socket, asked[i].method, NULL);
        if (address == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_OSError)) {
                return -1;
            }
            PyErr_Clear();
            address = Py_NewRef(Py_None);
        }
        int status = PyDict_SetItem(stream->extra, asked[i].key, address);
        Py_DECREF(address);
        if (status < 0) {
            return -1;
        }
    }
    return 0;
}

static int stream_init(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "sock", "protocol", "waiter", "extra", "server", NULL};
    StreamObject *stream = (StreamObject *)self;
    cam_state *state = stream->state;
    PyObject *loop, *socket, *protocol, *waiter = Py_None, *extra = Py_None, *server = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OOO:Stream", names, &loop, &socket,
                                     &protocol, &waiter, &extra, &server)) {
        return -1;
    }
    if (stream->context != NULL || stream->finished) {
        PyErr_SetString(PyExc_RuntimeError, "Stream is already initialized");
        return -1;
    }
    if (!CamLoop_Check(state, loop)) {
        PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                     Py_TYPE(loop)->tp_name);
        return -1;
    }
    PyObject *number = PyObject_CallMethodNoArgs(socket, state->str_fileno);
    if (number == NULL) {
        return -1;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd < 0 || fd > INT_MAX) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the socket is closed");
        }
        return -1;
    }
    int family = int_attribute(socket, state->str_family);
    int type = family == -1 ? -1 : int_attribute(socket, state->str_type);
    int proto = type == -1 ? -1 : int_attribute(socket, state->str_proto);
    if (proto == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_XSETREF(stream->extra, PyDict_New());
    if (stream->extra == NULL || (extra != Py_None && PyDict_Update(stream->extra, extra) < 0)) {
        return -1;
    }
    if (CamAddress_IsKnownFamily(family)) {
        CamAddress_OfNearEnd(&stream->near_end, (int)fd);
        CamAddress_OfFarEnd(&stream->far_end, (int)fd);
    } else if (ask_socket(stream, socket) < 0) {
        return -1;
    }
    set_nodelay((int)fd, family, type, proto);
    stream->io.fd = stream->shown_fd = (int)fd;
    if (hold_socket(state, socket) < 0) {
        stream->io.fd = -1;
        return -1;
    }
    stream->socket = Py_NewRef(socket);
    if (stream_begin(stream, (LoopObject *)loop, protocol, waiter != Py_None ? waiter : NULL,
                     server != Py_None ? server : NULL, NULL) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        stream->io.fd = -1; /* still the caller's */
        let_go_socket(state, socket);
        Py_CLEAR(stream->socket);
        stream_release(stream);
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return 0;
}

static int stream_traverse(PyObject *self, visitproc visit, void *arg) {
    StreamObject *stream = (StreamObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(stream->extra);
    Py_VISIT(stream->loop);
    Py_VISIT(stream->protocol);
    Py_VISIT(stream->context);
    Py_VISIT(stream->server);
    Py_VISIT(stream->socket);
    Py_VISIT(stream->reason);
    Py_VISIT(stream->empty_waiter);
    Py_VISIT(stream->sendfile_compatible);
    return 0;
}

static int stream_clear(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    Py_CLEAR(stream->empty_waiter);
    Py_CLEAR(stream->sendfile_compatible);
    Py_CLEAR(stream->extra);
    stream_release(stream); /* the finalizer has closed it before, unless it never ran */
    return 0;
}

/* An open transport that nobody holds: closed here, with a warning, as asyncio's __del__ does. */
static void stream_finalize(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->loop == NULL || stream->io.fd < 0) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_Clear();
    }
    stream_release(stream);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void stream_dealloc(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody keeps it after all */
    }
    PyObject_GC_UnTrack(self);
    if (stream->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)stream_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

#define RETURN_STATUS(status)                                                                      \
    if ((status) < 0) {                                                                            \
        return NULL;                                                                               \
    }                                                                                              \
    Py_RETURN_NONE

/* True when data may be written; else false, with an exception or (write lost) without. */
static bool check_writable(StreamObject *stream, const char *method) {
    if (stream->eof_written) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()", method);
        return false;
    }
    if (stream->empty_waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError, "unable to %s; sendfile is in progress", method);
        return false;
    }
    return true;
}

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send bytes, a bytearray or a memoryview; see asyncio.WriteTransport.write().\n\n"
             "Goes out at the end of the loop's turn, together with what else the turn writes.");

static PyObject *stream_write(PyObject *self, PyObject *data) {
    StreamObject *stream = (StreamObject *)self;
    bool is_bytes = PyBytes_CheckExact(data);
    if (!is_bytes && !PyBytes_Check(data) && !PyByteArray_Check(data) &&
        !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.100s'",
                            Py_TYPE(data)->tp_name);
    }
    if (!check_writable(stream, "write")) {
        return NULL;
    }
    if (is_bytes) {
        if (PyBytes_GET_SIZE(data) > 0 && !cam_stream_is_write_lost(stream)) {
            RETURN_STATUS(cam_stream_send_bytes(stream, data));
        }
        Py_RETURN_NONE;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = 0;
    if (view.len > 0 && !cam_stream_is_write_lost(stream)) {
        status = cam_stream_send_copy(stream, view.buf, (size_t)view.len);
    }
    PyBuffer_Release(&view);
    RETURN_STATUS(status);
}

/* Queues the items of a tuple of buffers; all of them, or none and an exception. */
static int queue_items(StreamObject *stream, PyObject *items) {
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    Py_buffer *views = PyMem_New(Py_buffer, count ? count : 1);
    if (views == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t held = 0;
    int status = 0;
    while (held < count && status == 0) {
        PyObject *item = PyTuple_GET_ITEM(items, held);
        if (!PyObject_CheckBuffer(item)) {
            PyErr_Format(PyExc_TypeError, "a bytes-like object is required, not '%.100s'",
                         Py_TYPE(item)->tp_name);
            status = -1;
        } else if ((status = PyObject_GetBuffer(item, &views[held], PyBUF_SIMPLE)) == 0) {
            held++;
        }
    }
    if (status == 0 && !cam_stream_is_write_lost(stream)) {
        size_t size = 0;
        for (Py_ssize_t i = 0; i < count && status == 0; i++) {
            PyObject *item = PyTuple_GET_ITEM(items, i);
            status = cam_stream_queue(stream, PyBytes_CheckExact(item) ? item : NULL, views[i].buf,
                                      (size_t)views[i].len);
            size += (size_t)views[i].len;
        }
        if (status == 0) {
            status = cam_stream_queued(stream, size);
        }
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    while (held > 0) {
        PyBuffer_Release(&views[--held]);
    }
    PyMem_Free(views);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

PyDoc_STRVAR(writelines_doc,
             "writelines($self, list_of_data, /)\n--\n\n"
             "Send any buffers, which need no length; see asyncio.WriteTransport.writelines().");

static PyObject *stream_writelines(PyObject *self, PyObject *list) {
    StreamObject *stream = (StreamObject *)self;
    if (!check_writable(stream, "writelines")) {
        return NULL;
    }
    PyObject *items = PySequence_Tuple(list);
    if (items == NULL) {
        return NULL;
    }
    int status = PyTuple_GET_SIZE(items) > 0 ? queue_items(stream, items) : 0;
    Py_DECREF(items);
    RETURN_STATUS(status);
}

PyDoc_STRVAR(write_eof_doc, "write_eof($self, /)\n--\n\n"
                            "Shut down our half of the connection once all is sent.");

static PyObject *stream_write_eof(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->closing || stream->eof_written || stream->loop == NULL) {
        Py_RETURN_NONE;
    }
    stream->eof_written = true;
    cam_stream_flush(self);
    RETURN_STATUS(cam_stream_send_eof(stream));
}

static PyObject *stream_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Stop reading, send what waits, close; connection_lost(None) follows.");

static PyObject *stream_close_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(cam_stream_close((StreamObject *)self));
}

PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\n"
                        "Close without waiting for unsent bytes; connection_lost(None) follows.");

static PyObject *stream_abort_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(stream_abort((StreamObject *)self));
}

static PyObject *stream_force_close_method(PyObject *self, PyObject *reason) {
    RETURN_STATUS(cam_stream_force_close((StreamObject *)self, reason != Py_None ? reason : NULL));
}

static PyObject *stream_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((StreamObject *)self)->closing);
}

static PyObject *stream_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    return PyBool_FromLong(!stream->paused && !stream->closing);
}

static int pause_reading(StreamObject *stream) {
    if (stream->closing || stream->paused || stream->loop == NULL) {
        return 0;
    }
    stream->paused = true;
    if (cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_IN) < 0) {
        return -1;
    }
    cam_stream_debug(stream, "pauses reading", NULL);
    return 0;
}

static int resume_reading(StreamObject *stream) {
    if (stream->closing || !stream->paused || stream->loop == NULL) {
        return 0;
    }
    stream->paused = false;
    /* After the end there is nothing to read but the same end again. */
    if (!stream->at_eof && cam_stream_watch(stream, stream->io.interest | CAM_POLL_IN) < 0) {
        return -1;
    }
    cam_stream_debug(stream, "resumes reading", NULL);
    return 0;
}

static PyObject *stream_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(pause_reading((StreamObject *)self));
}

static PyObject *stream_resume_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    RETURN_STATUS(resume_reading((StreamObject *)self));
}

static PyObject *stream_set_protocol(PyObject *self, PyObject *protocol) {
    RETURN_STATUS(set_protocol((StreamObject *)self, protocol));
}

static PyObject *stream_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *protocol = ((StreamObject *)self)->protocol;
    return Py_NewRef(protocol ? protocol : Py_None);
}

PyDoc_STRVAR(set_limits_doc,
             "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
             "Set the unsent bytes above which writing is paused, and up to which it is resumed.");

static PyObject *stream_set_limits(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"high", "low", NULL};
    StreamObject *stream = (StreamObject *)self;
    PyObject *high_object = Py_None, *low_object = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:set_write_buffer_limits", names,
                                     &high_object, &low_object)) {
        return NULL;
    }
    /* Cut to what fits: more than can be held is as good as no limit. */
    Py_ssize_t low = low_object != Py_None ? PyNumber_AsSsize_t(low_object, NULL) : 0;
    if (low == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t high;
    if (high_object != Py_None) {
        high = PyNumber_AsSsize_t(high_object, NULL);
        if (high == -1 && PyErr_Occurred()) {
            return NULL;
        }
    } else if (low_object == Py_None) {
        high = HIGH_WATER;
    } else {
        high = low > PY_SSIZE_T_MAX / 4 ? PY_SSIZE_T_MAX : 4 * low;
    }
    if (low_object == Py_None) {
        low = high / 4;
    }
    if (high < low || low < 0) {
        return PyErr_Format(PyExc_ValueError, "high (%zd) must be >= low (%zd) must be >= 0", high,
                            low);
    }
    stream->high_water = (size_t)high;
    stream->low_water = (size_t)low;
    if (stream->loop != NULL) {
        RETURN_STATUS(cam_stream_maybe_pause(stream));
    }
    Py_RETURN_NONE;
}

static PyObject *stream_get_limits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    return Py_BuildValue("nn", (Py_ssize_t)stream->low_water, (Py_ssize_t)stream->high_water);
}

static PyObject *stream_get_buffer_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromSize_t(((StreamObject *)self)->unsent);
}

static PyObject *stream_make_waiter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    StreamObject *stream = (StreamObject *)self;
    if (stream->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    if (stream->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is closed");
        return NULL;
    }
    cam_stream_flush(self);
    PyObject *waiter =
        PyObject_CallMethodNoArgs((PyObject *)stream->loop, stream->state->str_create_future);
    if (waiter == NULL) {
        return NULL;
    }
    Py_XSETREF(stream->empty_waiter, Py_NewRef(waiter));
    if (stream->first == NULL) {
        cam_stream_lend(stream);
        PyObject *done = PyObject_CallMethodOneArg(waiter, stream->state->str_set_result, Py_None);
        if (done == NULL) {
            Py_DECREF(waiter);
            return NULL;
        }
        Py_DECREF(done);
    }
    return waiter;
}

static PyObject *stream_reset_waiter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    Py_CLEAR(((StreamObject *)self)->empty_waiter);
    Py_RETURN_NONE;
}

/* ---- what is known of the connection ---- */

/* The socket.socket that owns the descriptor, made for the first who asks. Borrowed; NULL with
 * an exception, or without when the transport is finished. */
static PyObject *own_socket(StreamObject *stream) {
    if (stream->socket != NULL || stream->io.fd < 0) {
        return stream->socket;
    }
    int family = stream->near_end.length ? stream->near_end.any.sa_family : -1;
    PyObject *keywords = Py_BuildValue("{si}", "fileno", stream->io.fd);
    PyObject *args = Py_BuildValue("(ii)", family, family == -1 ? -1 : SOCK_STREAM);
    PyObject *socket = NULL;
    if (args != NULL && keywords != NULL) {
        socket = PyObject_Call(stream->state->socket_class, args, keywords);
    }
    Py_XDECREF(args);
    Py_XDECREF(keywords);
    if (socket == NULL) {
        return NULL;
    }
    stream->socket = socket; /* from here on it is the owner */
    PyObject *done = PyObject_CallMethod(socket, "setblocking", "i", 0);
    Py_XDECREF(done);
    return done ? socket : NULL;
}

/* The value of a key that is made when first asked for; NULL without an exception for others. */
static PyObject *lazy_extra(StreamObject *stream, PyObject *name) {
    cam_state *state = stream->state;
    if (PyUnicode_Compare(name, state->str_peername) == 0) {
        return CamAddress_ToPython(&stream->far_end);
    }
    if (PyUnicode_Compare(name, state->str_sockname) == 0) {
        return CamAddress_ToPython(&stream->near_end);
    }
    if (PyUnicode_Compare(name, state->str_socket) == 0) {
        PyObject *socket = own_socket(stream);
        return socket ? PyObject_CallOneArg(state->transport_socket, socket) : NULL;
    }
    return NULL;
}

/* New reference; NULL with an exception, or without when there is no such key. */
static PyObject *find_extra(StreamObject *stream, PyObject *name) {
    if (stream->extra == NULL) {
        stream->extra = PyDict_New();
        if (stream->extra == NULL) {
            return NULL;
        }
    }
    PyObject *value = PyDict_GetItemWithError(stream->extra, name);
    if (value != NULL || PyErr_Occurred()) {
        return Py_XNewRef(value);
    }
    if (!PyUnicode_Check(name)) {
        return NULL;
    }
    value = lazy_extra(stream, name);
    if (value != NULL && PyDict_SetItem(stream->extra, name, value) < 0) {
        Py_CLEAR(value);
    }
    return value;
}

PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, name, default=None)\n--\n\n"
             "'socket', 'sockname' or 'peername'; see asyncio.BaseTransport.get_extra_info().");

static PyObject *stream_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"name", "default", NULL};
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", names, &name,
                                     &fallback)) {
        return NULL;
    }
    PyObject *value = find_extra((StreamObject *)self, name);
    if (value == NULL && !PyErr_Occurred()) {
        return Py_NewRef(fallback);
    }
    return value;
}

static PyObject *stream_get_extra(PyObject *self, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    PyObject *names[] = {stream->state->str_socket, stream->state->str_sockname,
                         stream->state->str_peername};
    for (int i = 0; i < 3; i++) {
        PyObject *value = find_extra(stream, names[i]);
        if (value == NULL && PyErr_Occurred()) {
            return NULL;
        }
        Py_XDECREF(value);
    }
    return Py_NewRef(stream->extra);
}

static PyObject *stream_repr(PyObject *self) {
    StreamObject *stream = (StreamObject *)self;
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name ? name + 1 : Py_TYPE(self)->tp_name;
    if (stream->loop == NULL || stream->loop->closed) {
        return PyUnicode_FromFormat("<%s%s fd=%d>", name,
                                    stream->io.fd < 0 ? " closed"
                                    : stream->closing ? " closing"
                                                      : "",
                                    stream->shown_fd);
    }
    return PyUnicode_FromFormat(
        "<%s%s fd=%d read=%s write=<%s, bufsize=%zu>>", name, stream->closing ? " closing" : "",
        stream->shown_fd, stream->io.interest & CAM_POLL_IN ? "polling" : "idle",
        stream->io.interest & CAM_POLL_OUT ? "polling" : "idle", stream->unsent);
}

static PyObject *stream_get_loop(PyObject *self, void *Py_UNUSED(closure)) {
    LoopObject *loop = ((StreamObject *)self)->loop;
    return Py_NewRef(loop ? (PyObject *)loop : Py_None);
}

static PyObject *stream_get_protocol_attribute(PyObject *self, void *Py_UNUSED(closure)) {
    return stream_get_protocol(self, NULL);
}

static PyObject *stream_get_server(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *server = ((StreamObject *)self)->server;
    return Py_NewRef(server ? server : Py_None);
}

static PyObject *stream_get_sock(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *socket = own_socket((StreamObject *)self);
    if (socket == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return Py_XNewRef(socket);
}

static PyObject *stream_get_sock_fd(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLong(((StreamObject *)self)->shown_fd);
}

static PyObject *stream_get_high_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((StreamObject *)self)->high_water);
}

static PyObject *stream_get_low_water(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((StreamObject *)self)->low_water);
}

static PyObject *stream_get_protocol_paused(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((StreamObject *)self)->protocol_paused);
}

static PyObject *stream_get_sendfile(PyObject *self, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    return Py_NewRef(stream->sendfile_compatible ? stream->sendfile_compatible
                                                 : stream->state->sendfile_mode);
}

static int stream_set_sendfile(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    StreamObject *stream = (StreamObject *)self;
    Py_XSETREF(stream->sendfile_compatible, Py_XNewRef(value));
    return 0;
}

static PyObject *get_true(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure)) {
    Py_RETURN_TRUE;
}

static PyGetSetDef stream_getset[] = {
    {"_extra", stream_get_extra, NULL, NULL, NULL},
    {"_high_water", stream_get_high_water, NULL, NULL, NULL},
    {"_low_water", stream_get_low_water, NULL, NULL, NULL},
    {"_loop", stream_get_loop, NULL, NULL, NULL},
    {"_protocol", stream_get_protocol_attribute, NULL, NULL, NULL},
    {"_server", stream_get_server, NULL, NULL, NULL},
    {"_sock", stream_get_sock, NULL, NULL, NULL},
    {"_sock_fd", stream_get_sock_fd, NULL, NULL, NULL},
    {"_protocol_paused", stream_get_protocol_paused, NULL, NULL, NULL},
    {"_sendfile_compatible", stream_get_sendfile, stream_set_sendfile, NULL, NULL},
    {"_start_tls_compatible", get_true, NULL, NULL, NULL},
    {NULL},
};

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef stream_methods[] = {
    {"get_extra_info", KEYWORDS(stream_get_extra_info), METH_VARARGS | METH_KEYWORDS,
     get_extra_info_doc},
    {"write", stream_write, METH_O, write_doc},
    {"writelines", stream_writelines, METH_O, writelines_doc},
    {"write_eof", stream_write_eof, METH_NOARGS, write_eof_doc},
    {"can_write_eof", stream_can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\nTrue: a stream socket can be closed by halves."},
    {"close", stream_close_method, METH_NOARGS, close_doc},
    {"abort", stream_abort_method, METH_NOARGS, abort_doc},
    {"is_closing", stream_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it is closing or closed."},
    {"is_reading", stream_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while neither paused nor closing."},
    {"pause_reading", stream_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nCall data_received no more, until resume_reading()."},
    {"resume_reading", stream_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nUndo pause_reading()."},
    {"set_protocol", stream_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", stream_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the transport is finished."},
    {"set_write_buffer_limits", KEYWORDS(stream_set_limits), METH_VARARGS | METH_KEYWORDS,
     set_limits_doc},
    {"get_write_buffer_limits", stream_get_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_write_buffer_size", stream_get_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes not yet given to the kernel."},
    {"_force_close", stream_force_close_method, METH_O, NULL},
    {"_make_empty_waiter", stream_make_waiter, METH_NOARGS, NULL},
    {"_reset_empty_waiter", stream_reset_waiter, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef stream_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StreamObject, weakrefs), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(stream_doc,
             "Stream(loop, sock, protocol, waiter=None, extra=None, server=None)\n--\n\n"
             "The transport of a connected TCP or Unix stream socket, an asyncio.Transport.\n\n"
             "Owns sock, which must not block. Behaves as asyncio's selector transport, but "
             "that the\nwrites of one turn of the loop go out together at its end.");

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)stream_doc},   {Py_tp_new, stream_new},
    {Py_tp_init, stream_init},         {Py_tp_dealloc, stream_dealloc},
    {Py_tp_finalize, stream_finalize}, {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},       {Py_tp_repr, stream_repr},
    {Py_tp_methods, stream_methods},   {Py_tp_getset, stream_getset},
    {Py_tp_members, stream_members},   {0, NULL},
};

/* Not immutable: its base is a Python class, which 3.14 demands to be immutable too. */
static PyType_Spec stream_spec = {
    .name = "camshaft._core.Stream",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = stream_slots,
};

/* A module's attribute; NULL with an exception. */
static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return object;
}

int cam_stream_exec(PyObject *module, cam_state *state) {
    state->asyncio_logger = import_from("asyncio.log", "logger");
    state->buffered_protocol = import_from("asyncio", "BufferedProtocol");
    state->transport_socket = import_from("asyncio.trsock", "TransportSocket");
    state->socket_class = import_from("socket", "socket");
    PyObject *modes = import_from("asyncio.constants", "_SendfileMode");
    state->sendfile_mode = modes ? PyObject_GetAttrString(modes, "TRY_NATIVE") : NULL;
    Py_XDECREF(modes);
    PyObject *base = import_from("asyncio.transports", "_FlowControlMixin");
    if (state->asyncio_logger == NULL || state->buffered_protocol == NULL ||
        state->transport_socket == NULL || state->socket_class == NULL ||
        state->sendfile_mode == NULL || base == NULL) {
        Py_XDECREF(base);
        return -1;
    }
    int status = -1;
    if (((PyTypeObject *)base)->tp_basicsize > (Py_ssize_t)offsetof(StreamObject, state)) {
        PyErr_SetString(PyExc_ImportError,
                        "asyncio.transports._FlowControlMixin has more slots than this version of "
                        "camshaft knows; install a newer camshaft");
    } else {
        status = CamState_AddType(module, &stream_spec, base, 1, &state->stream_type);
    }
    Py_DECREF(base);
    return status;
}

/* ---- for other C code: stream.h ---- */

int CamStream_Check(cam_state *state, PyObject *object) {
    return PyObject_TypeCheck(object, (PyTypeObject *)state->stream_type);
}

int CamStream_Write(PyObject *self, const char *data, Py_ssize_t size) {
    StreamObject *stream = (StreamObject *)self;
    if (size <= 0 || stream->lost || stream->loop == NULL || stream->eof_written) {
        return 0;
    }
    return cam_stream_send_copy(stream, data, (size_t)size);
}

int CamStream_WriteBytes(PyObject *self, PyObject *bytes) {
    StreamObject *stream = (StreamObject *)self;
    if (!PyBytes_CheckExact(bytes)) {
        return CamStream_Write(self, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    }
    if (stream->lost || stream->loop == NULL || stream->eof_written) {
        return 0;
    }
    return cam_stream_send_bytes(stream, bytes);
}

int CamStream_Close(PyObject *self) {
    return cam_stream_close((StreamObject *)self);
}

int CamStream_Abort(PyObject *self) {
    return stream_abort((StreamObject *)self);
}

int CamStream_IsClosing(PyObject *self) {
    return ((StreamObject *)self)->closing;
}

int CamStream_PauseReading(PyObject *self) {
    return pause_reading((StreamObject *)self);
}

int CamStream_ResumeReading(PyObject *self) {
    return resume_reading((StreamObject *)self);
}

Py_ssize_t CamStream_WriteBufferSize(PyObject *self) {
    return (Py_ssize_t)((StreamObject *)self)->unsent;
}
