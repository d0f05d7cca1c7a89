/* SPDX-License-Identifier: MIT */
/*
 * Listener: accepts connections of one listening socket and makes their protocols and transports.
 *
 * The socket stays its creator's (asyncio.Server's), who stops the listener before closing it.
 * While it listens the loop holds a reference to it. Each connection gets a copy of the context
 * that the listener was made in; the protocol factory runs in it.
 */
#include "compat.h"
#include "transport/share.h"
#include "transport/stream_object.h"

#include <errno.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

enum { ACCEPTED_PER_EVENT = 128 }; /* at most, lest the connections there are starve */

/* Out of descriptors, a listener rests. It tries again as soon as a connection of its loop gives
 * its descriptor back, and else at growing intervals, as others may close theirs too: the longest
 * is short enough for nobody to notice and costs a dozen system calls a second. asyncio waits for
 * a whole second (constants.ACCEPT_RETRY_DELAY). In seconds. */
static const double FIRST_REST = 0.01;
static const double LONGEST_REST = 0.08;

/* What keeps happening is reported this often. In nanoseconds. */
static const int64_t REPORT_INTERVAL = INT64_C(10) * 1000000000;

typedef struct ListenerObject {
    PyObject_HEAD
    cam_state *state;
    LoopObject *loop;  /* strong; NULL once stopped, and with it those below */
    PyObject *socket;  /* strong: owns the descriptor */
    PyObject *factory; /* strong */
    PyObject *server;  /* strong or NULL */
    PyObject *context; /* strong */
    PyObject *share;   /* strong or NULL: a ShareObject, where other processes accept as well */
    PyObject *weakrefs;
    CamIo io;
    CamRest rest;
    double delay;         /* of its last rest, in seconds; 0 after a success */
    unsigned long ticket; /* number of its last rest: timers of earlier ones are void */
    int64_t reported;     /* when it last told that it has to rest; 0: never */
    int limit;            /* connections accepted per event */
} ListenerObject;

static void listener_release(ListenerObject *listener) {
    LoopObject *loop = listener->loop;
    PyObject *held[] = {listener->socket, listener->factory, listener->server, listener->context,
                        listener->share};
    if (loop != NULL) {
        CamLoop_EndRest(&listener->rest);
        CamLoop_UnwatchIo(loop, &listener->io);
    }
    listener->loop = NULL;
    listener->socket = NULL;
    listener->factory = NULL;
    listener->server = NULL;
    listener->context = NULL;
    listener->share = NULL;
    for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
        Py_XDECREF(held[i]);
    }
    Py_XDECREF(loop);
}

/* ---- accepting ---- */

/* The protocol and the transport of one connection, made in its context. Owns fd. 0, or -1 with
 * KeyboardInterrupt or SystemExit. */
static int admit(ListenerObject *listener, int fd, const CamAddress *far_end) {
    LoopObject *loop = (LoopObject *)Py_NewRef(listener->loop);
    PyObject *server = Py_XNewRef(listener->server);
    PyObject *factory = Py_NewRef(listener->factory);
    PyObject *context = PyContext_Copy(listener->context);
    PyObject *protocol = NULL;
    PyObject *transport = NULL;
    if (context != NULL && PyContext_Enter(context) == 0) {
        CamLoop_NoteCall(loop, factory, NULL);
        protocol = PyObject_CallNoArgs(factory);
        if (protocol != NULL) {
            /* What is written in C runs nothing in it: the connection need not have one of its
             * own, until cam_stream_set_protocol() gives it a protocol that does. */
            bool native = CamProtocol_TableOf(listener->state, protocol) != NULL;
            transport = CamStream_OfDescriptor(loop, fd, far_end, protocol, NULL, server,
                                               native ? listener->context : context);
        }
        if (PyContext_Exit(context) < 0) {
            PyErr_Clear(); /* we are in the context, so this cannot happen */
        }
    }
    int status = 0;
    if (transport == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        close(fd);
        PyObject *extra =
            protocol ? Py_BuildValue("{OO}", listener->state->str_protocol, protocol) : NULL;
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
        status =
            CamLoop_ReportError(loop, "Error on transport creation for incoming connection", extra);
        Py_XDECREF(extra);
    }
    PyObject *left = PyErr_GetRaisedException();
    Py_XDECREF(transport); /* the loop has it queued */
    Py_XDECREF(protocol);
    Py_XDECREF(context);
    Py_DECREF(factory);
    Py_XDECREF(server);
    Py_DECREF(loop);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

/* Tells the exception handler, as asyncio does, that accept() found no descriptor or memory: an
 * OSError is set. 0, or -1 with KeyboardInterrupt or SystemExit. */
static int report_want(ListenerObject *listener) {
    int64_t now = CamLoop_Now();
    if (listener->reported != 0 && now - listener->reported < REPORT_INTERVAL) {
        PyErr_Clear();
        return 0;
    }
    listener->reported = now;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *wrapped = PyObject_CallOneArg(listener->state->transport_socket, listener->socket);
    PyObject *extra = wrapped ? Py_BuildValue("{ON}", listener->state->str_socket, wrapped) : NULL;
    PyErr_Clear();
    PyErr_SetRaisedException(exception);
    int status =
        CamLoop_ReportError(listener->loop, "socket.accept() out of system resource", extra);
    Py_XDECREF(extra);
    return status;
}

static int watch(ListenerObject *listener) {
    return CamLoop_WatchIo(listener->loop, &listener->io,
                           CAM_POLL_IN | (listener->share ? CAM_POLL_EXCLUSIVE : 0));
}

/* Listens again. 0, or -1 with an exception. */
static int end_rest(ListenerObject *listener) {
    CamLoop_EndRest(&listener->rest);
    if (listener->loop == NULL || listener->io.interest != 0) {
        return 0;
    }
    if (listener->share != NULL) {
        CamShare_Returns((ShareObject *)listener->share);
    }
    return watch(listener);
}

/* Listens again in so many seconds, having stopped. 0, or -1 with an exception. */
static int listen_later(ListenerObject *listener, LoopObject *loop, double seconds) {
    listener->ticket++;
    PyObject *retry = PyObject_GetAttrString((PyObject *)listener, "_retry");
    PyObject *timer = retry ? PyObject_CallMethod((PyObject *)loop, "call_later", "dOk", seconds,
                                                  retry, listener->ticket)
                            : NULL;
    Py_XDECREF(retry);
    if (timer == NULL) { /* rather busy than deaf */
        PyObject *exception = PyErr_GetRaisedException();
        if (end_rest(listener) < 0) {
            PyErr_Clear();
        }
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(timer);
    return 0;
}

/* Leaves what comes to the other processes, for a moment. 0, or -1 with an exception. */
static int step_back(ListenerObject *listener) {
    LoopObject *loop = (LoopObject *)Py_NewRef(listener->loop);
    CamShare_Rests((ShareObject *)listener->share);
    CamLoop_UnwatchIo(loop, &listener->io);
    int status = listen_later(listener, loop, CAM_SHARE_REST);
    Py_DECREF(loop);
    return status;
}

/* Out of descriptors or memory: the kernel would report the socket as ready without end, so it is
 * left alone for a while. An OSError is set. */
static int rest(ListenerObject *listener) {
    LoopObject *loop = (LoopObject *)Py_NewRef(listener->loop);
    CamLoop_UnwatchIo(loop, &listener->io);
    int status = report_want(listener);
    if (status == 0 && listener->loop != NULL) { /* the handler may have stopped us */
        listener->delay = listener->delay == 0 ? FIRST_REST : listener->delay * 2;
        if (listener->delay > LONGEST_REST) {
            listener->delay = LONGEST_REST;
        }
        CamLoop_Rest(loop, &listener->rest);
        status = listen_later(listener, loop, listener->delay);
    }
    Py_DECREF(loop);
    return status;
}

/* The kernel wakes the processes that wait in their order: this one is the last of them from now
 * on. 0, or -1 with an exception. */
static int stand_last(ListenerObject *listener) {
    LoopObject *loop = (LoopObject *)Py_NewRef(listener->loop);
    CamLoop_UnwatchIo(loop, &listener->io);
    int status = watch(listener);
    Py_DECREF(loop);
    return status;
}

static int listener_wake(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    return end_rest((ListenerObject *)owner);
}

static int listener_readable(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    ListenerObject *listener = (ListenerObject *)owner;
    uint64_t count = 0;
    uint64_t least = UINT64_MAX;
    uint64_t most = UINT64_MAX;
    if (listener->share != NULL &&
        CamShare_Look((ShareObject *)listener->share, &count, &least, &most) < 0) {
        return -1;
    }
    for (int left = listener->limit; left > 0 && listener->io.interest != 0; left--) {
        CamAddress far_end;
        int fd = CamAddress_Accept(&far_end, listener->io.fd);
        if (fd >= 0) {
            listener->delay = 0;
            if (admit(listener, fd, &far_end) < 0) {
                return -1;
            }
            /* Whoever is woken takes one: nobody else was. */
            if (++count >= most && listener->io.interest != 0) {
                return step_back(listener);
            }
            continue;
        }
        switch (-fd) {
        case EAGAIN:
        case EINTR:
        case ECONNABORTED:
            return count > least ? stand_last(listener) : 0;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            errno = -fd;
            PyErr_SetFromErrno(PyExc_OSError);
            return rest(listener);
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
            /* No longer a listening socket: closed or shut down behind our back. */
            CamLoop_UnwatchIo(listener->loop, &listener->io);
            break;
        default:
            break;
        }
        errno = -fd;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* ---- the object ---- */

static PyObject *listener_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "sock", "protocol_factory", "server", "backlog", "share", NULL};
    cam_state *state = CamState_OfType(type);
    PyObject *loop, *socket, *factory, *server = Py_None;
    PyObject *share = Py_None;
    int backlog = 100;
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OiO:Listener", names, &loop, &socket,
                                     &factory, &server, &backlog, &share)) {
        return NULL;
    }
    if (share != Py_None && !Py_IS_TYPE(share, (PyTypeObject *)state->share_type)) {
        return PyErr_Format(PyExc_TypeError, "share must be a Share or None, not %.100s",
                            Py_TYPE(share)->tp_name);
    }
    if (!CamLoop_Check(state, loop)) {
        return PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                            Py_TYPE(loop)->tp_name);
    }
    if (CamLoop_CheckUsable((LoopObject *)loop) < 0) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(socket);
    if (fd < 0) {
        return NULL;
    }
    ListenerObject *listener = (ListenerObject *)type->tp_alloc(type, 0);
    if (listener == NULL) {
        return NULL;
    }
    listener->state = state;
    listener->loop = (LoopObject *)Py_NewRef(loop);
    listener->socket = Py_NewRef(socket);
    listener->factory = Py_NewRef(factory);
    listener->server = server != Py_None ? Py_NewRef(server) : NULL;
    listener->share = share != Py_None ? Py_NewRef(share) : NULL;
    listener->limit = backlog < 1 ? 1 : backlog < ACCEPTED_PER_EVENT ? backlog : ACCEPTED_PER_EVENT;
    listener->io.fd = fd;
    listener->io.owner = (PyObject *)listener;
    listener->io.readable = listener_readable;
    listener->io.writable = listener_readable; /* never asked for */
    listener->rest.owner = (PyObject *)listener;
    listener->rest.wake = listener_wake;
    listener->context = PyContext_CopyCurrent();
    if (listener->context == NULL || watch(listener) < 0) {
        Py_DECREF(listener);
        return NULL;
    }
    return (PyObject *)listener;
}

static int listener_traverse(PyObject *self, visitproc visit, void *arg) {
    ListenerObject *listener = (ListenerObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(listener->loop);
    Py_VISIT(listener->socket);
    Py_VISIT(listener->factory);
    Py_VISIT(listener->server);
    Py_VISIT(listener->context);
    Py_VISIT(listener->share);
    return 0;
}

static int listener_clear(PyObject *self) {
    listener_release((ListenerObject *)self);
    return 0;
}

static void listener_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((ListenerObject *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    listener_release((ListenerObject *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(retry_doc, "_retry($self, ticket, /)\n--\n\n"
                        "End the rest that was given this number, if it is the one under way.");

static PyObject *listener_retry(PyObject *self, PyObject *ticket) {
    ListenerObject *listener = (ListenerObject *)self;
    unsigned long number = PyLong_AsUnsignedLong(ticket);
    if (number == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    if (number == listener->ticket && end_rest(listener) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stop_doc, "stop($self, /)\n--\n\n"
                       "Accept no more, for good. The socket is left open, its owner's.");

static PyObject *listener_stop(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    listener_release((ListenerObject *)self);
    Py_RETURN_NONE;
}

static PyObject *listener_repr(PyObject *self) {
    ListenerObject *listener = (ListenerObject *)self;
    return PyUnicode_FromFormat("<Listener fd=%d%s>", listener->io.fd,
                                listener->loop == NULL ? " stopped" : "");
}

static PyMethodDef listener_methods[] = {
    {"_retry", listener_retry, METH_O, retry_doc},
    {"stop", listener_stop, METH_NOARGS, stop_doc},
    {NULL},
};

static PyMemberDef listener_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ListenerObject, weakrefs), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(listener_doc,
             "Listener(loop, sock, protocol_factory, server=None, backlog=100, share=None)\n"
             "--\n\n"
             "Accepts the connections of a listening, non-blocking socket from now on.\n\n"
             "Each gets protocol_factory() and a Stream, attached to server. sock stays the\n"
             "caller's, who calls stop() before closing it. share is a Share where other\n"
             "processes accept from it as well.");

static PyType_Slot listener_slots[] = {
    {Py_tp_doc, (void *)listener_doc},
    {Py_tp_new, listener_new},
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_traverse, listener_traverse},
    {Py_tp_clear, listener_clear},
    {Py_tp_repr, listener_repr},
    {Py_tp_methods, listener_methods},
    {Py_tp_members, listener_members},
    {0, NULL},
};

static PyType_Spec listener_spec = {
    .name = "camshaft._core.Listener",
    .basicsize = sizeof(ListenerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = listener_slots,
};

int cam_listener_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &listener_spec, NULL, 1, &state->listener_type);
}
