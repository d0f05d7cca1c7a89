/* SPDX-License-Identifier: MIT */
/*
 * WritePipe: what goes into a pipe, as asyncio's _UnixWritePipeTransport has it.
 *
 * write() sends at once, for others may write to the same FIFO, and to a character device each
 * write may be a record. Only where nobody else can have the other end's reader (`gather`: the
 * standard input of a child) the writes of one turn go out together at its end, as a stream's do.
 * What the kernel does not take waits for the pipe to become writable ("blocked": CAM_POLL_OUT is
 * watched). pause_writing is decided after an attempt to send.
 *
 * The poller says that a pipe's or a socket's write end can be read when its reader is gone.
 */
#include "transport/pipe.h"

#include "compat.h"
#include "transport/limits.h"
#include "transport/notify.h"
#include "transport/outbox.h"

#include <errno.h>
#include <pythread.h>
#include <stddef.h>
#include <structmember.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITES_BEFORE_WARNING = 5 }; /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */

typedef struct WritePipeObject {
    PipeObject pipe;
    CamOutbox outbox;
    CamFlush flush;
    size_t high_water;
    size_t low_water;
    unsigned dropped;  /* writes since it was closed or broken */
    int reason_errno;  /* connection_lost's OSError, when pipe.reason is NULL and this is not 0 */
    bool gathers;      /* the writes of a turn */
    bool watches_peer; /* a closed reader shows */
    bool protocol_paused; /* pause_writing() was called last */
} WritePipeObject;

static bool is_blocked(WritePipeObject *self) {
    return (self->pipe.io.interest & CAM_POLL_OUT) != 0;
}

/* ---- ending ---- */

/* The OSError that sending gave is made only now: it may have come where no user code may run. */
static int finish(LoopObject *loop, PyObject *owner) {
    WritePipeObject *self = (WritePipeObject *)owner;
    PipeObject *pipe = &self->pipe;
    if (self->reason_errno != 0 && pipe->reason == NULL && !pipe->finished) {
        errno = self->reason_errno;
        PyErr_SetFromErrno(PyExc_OSError);
        pipe->reason = PyErr_GetRaisedException();
        cam_pipe_log(pipe, "debug", "Fatal write error on pipe transport", pipe->reason);
    }
    return cam_pipe_finish(loop, owner);
}

/* Drops what is unsent and queues connection_lost(reason). 0, or -1 with an exception. */
static int force_close(WritePipeObject *self, PyObject *reason) {
    PipeObject *pipe = &self->pipe;
    if (pipe->lost || pipe->loop == NULL) {
        return 0;
    }
    cam_outbox_clear(&self->outbox);
    return cam_pipe_lose(pipe, reason);
}

/* Runs no user code; keeps the exception that is set. */
static void send_failed(WritePipeObject *self, int error) {
    self->reason_errno = error;
    self->dropped++;
    PyObject *exception = PyErr_GetRaisedException();
    if (force_close(self, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

/* ---- sending ---- */

/* Sends until all is sent or the kernel takes no more. 0, or a positive errno. No user code. */
static int send_queue(WritePipeObject *self) {
    while (self->outbox.first != NULL) {
        struct iovec vectors[CAM_OUTBOX_VECTORS];
        size_t size;
        int used = cam_outbox_vectors(&self->outbox, vectors, &size);
        ssize_t count = used == 1 ? write(self->pipe.io.fd, vectors[0].iov_base, size)
                                  : writev(self->pipe.io.fd, vectors, used);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        }
        cam_outbox_consume(&self->outbox, (size_t)count);
        if ((size_t)count < size) {
            return 0;
        }
    }
    return 0;
}

/* Waits for room. Errors close the transport. */
static void block(WritePipeObject *self) {
    PyObject *exception = PyErr_GetRaisedException();
    if (cam_pipe_watch(&self->pipe, self->pipe.io.interest | CAM_POLL_OUT) < 0) {
        PyErr_Clear();
        send_failed(self, ENOMEM);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

/* Sends what waits and watches for room when not all was taken. Errors close the transport. */
static void flush(WritePipeObject *self) {
    if (CamLoop_IsForeign(self->pipe.loop)) {
        return; /* a forked child's copy: its parent sends it */
    }
    int error = send_queue(self);
    if (error != 0) {
        send_failed(self, error);
    } else if (self->outbox.first != NULL && !is_blocked(self)) {
        block(self);
    }
}

static void flush_now(PyObject *owner) {
    WritePipeObject *self = (WritePipeObject *)owner;
    if (self->pipe.loop != NULL && !self->pipe.lost && !is_blocked(self)) {
        flush(self);
    }
}

static int tell_protocol(WritePipeObject *self, bool pause) {
    PipeObject *pipe = &self->pipe;
    self->protocol_paused = pause;
    return pause ? cam_pipe_tell(pipe, pipe->state->str_pause_writing, NULL,
                                 "protocol.pause_writing() failed")
                 : cam_pipe_tell(pipe, pipe->state->str_resume_writing, NULL,
                                 "protocol.resume_writing() failed");
}

static int maybe_pause(WritePipeObject *self) {
    if (self->outbox.size <= self->high_water || self->pipe.lost || self->pipe.loop == NULL) {
        return 0;
    }
    if (!is_blocked(self)) {
        flush(self);
    }
    if (self->outbox.size <= self->high_water || self->protocol_paused ||
        self->pipe.protocol == NULL) {
        return 0;
    }
    return tell_protocol(self, true);
}

/* Queues a buffer (`bytes`, exactly that type, or when it is NULL a copy of data). 0 or -1. */
static int queue(WritePipeObject *self, PyObject *bytes, const char *data, size_t size) {
    return bytes ? cam_outbox_add_bytes(&self->outbox, bytes)
                 : cam_outbox_add_copy(&self->outbox, data, size);
}

/* Tries to send before anything is queued. 0, or -1 with MemoryError. */
static int send_at_once(WritePipeObject *self, PyObject *bytes, const char *data, size_t size) {
    ssize_t count = write(self->pipe.io.fd, data, size);
    if (count < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            send_failed(self, errno);
            return 0;
        }
        count = 0;
    }
    if ((size_t)count == size) {
        return 0;
    }
    if (bytes != NULL) {
        if (cam_outbox_add_bytes(&self->outbox, bytes) < 0) {
            return -1;
        }
        cam_outbox_consume(&self->outbox, (size_t)count);
    } else if (cam_outbox_add_copy(&self->outbox, data + count, size - (size_t)count) < 0) {
        return -1;
    }
    block(self);
    return 0;
}

static int send_data(WritePipeObject *self, PyObject *bytes, const char *data, size_t size) {
    LoopObject *loop = self->pipe.loop;
    bool later = self->gathers && loop->thread == PyThread_get_thread_ident();
    if (self->outbox.first == NULL && !later) {
        if (send_at_once(self, bytes, data, size) < 0) {
            return -1;
        }
    } else {
        if (queue(self, bytes, data, size) < 0) {
            return -1;
        }
        if (!is_blocked(self)) {
            if (later && self->outbox.size <= CAM_FLUSH_BUDGET) {
                CamLoop_FlushLater(loop, &self->flush, size);
            } else {
                flush(self);
            }
        }
    }
    return maybe_pause(self);
}

/* ---- steps ---- */

/* Nothing is ever read here: the reader is gone (or a socket's peer has sent something, which
 * asyncio takes for the same). */
static int step_peer_closed(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    WritePipeObject *self = (WritePipeObject *)owner;
    PipeObject *pipe = &self->pipe;
    if (pipe->lost || !(pipe->io.interest & CAM_POLL_IN)) {
        return 0;
    }
    cam_pipe_log(pipe, "info", "was closed by peer", NULL);
    if (self->outbox.first == NULL) {
        return force_close(self, NULL);
    }
    PyObject *broken = PyObject_CallNoArgs(PyExc_BrokenPipeError);
    if (broken == NULL) {
        return -1;
    }
    int status = force_close(self, broken);
    Py_DECREF(broken);
    return status;
}

static int step_writable(LoopObject *loop, PyObject *owner) {
    WritePipeObject *self = (WritePipeObject *)owner;
    PipeObject *pipe = &self->pipe;
    if (pipe->lost || !is_blocked(self)) {
        return 0;
    }
    int error = send_queue(self);
    if (error != 0) {
        send_failed(self, error);
        return 0;
    }
    if (self->outbox.first == NULL &&
        cam_pipe_watch(pipe, pipe->io.interest & ~(uint32_t)CAM_POLL_OUT) < 0) {
        return -1;
    }
    if (self->protocol_paused && self->outbox.size <= self->low_water &&
        tell_protocol(self, false) < 0) { /* may write again, or close */
        return -1;
    }
    if (pipe->lost || pipe->loop == NULL) {
        return 0;
    }
    if (self->outbox.first != NULL && !is_blocked(self)) {
        flush(self); /* resume_writing() wrote */
    }
    if (self->outbox.first != NULL || pipe->lost || !pipe->closing) {
        return 0;
    }
    pipe->lost = true;
    return finish(loop, owner);
}

static int step_start(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    WritePipeObject *self = (WritePipeObject *)owner;
    PipeObject *pipe = &self->pipe;
    if (pipe->loop == NULL || pipe->closing || !self->watches_peer) {
        return 0;
    }
    return cam_pipe_watch(pipe, pipe->io.interest | CAM_POLL_IN);
}

/* ---- the type ---- */

static int write_pipe_init(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "pipe", "protocol", "waiter", "extra", "gather", NULL};
    WritePipeObject *self = (WritePipeObject *)object;
    CamPipeSetup setup = {.waiter = Py_None, .extra = Py_None};
    int gather = 0;
    mode_t mode;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OO$p:WritePipe", names, &setup.loop,
                                     &setup.file, &setup.protocol, &setup.waiter, &setup.extra,
                                     &gather) ||
        cam_pipe_adopt(&self->pipe, &setup,
                       "Pipe transport is only for pipes, sockets and character devices",
                       &mode) < 0) {
        return -1;
    }
    self->pipe.finish = finish;
    self->pipe.io.readable = step_peer_closed;
    self->pipe.io.writable = step_writable;
    self->flush.owner = object;
    self->flush.flush = flush_now;
    self->high_water = CAM_HIGH_WATER;
    self->low_water = CAM_HIGH_WATER / 4;
    self->gathers = gather;
    self->watches_peer = !S_ISCHR(mode);
    return cam_pipe_begin(&self->pipe, step_start, setup.waiter);
}

/* Counts a write that comes too late and warns from the fifth on. */
static void drop_write(WritePipeObject *self) {
    if (self->dropped >= WRITES_BEFORE_WARNING) {
        PyObject *done =
            PyObject_CallMethod(self->pipe.state->asyncio_logger, "warning", "s",
                                "pipe closed by peer or os.write(pipe, data) raised exception.");
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
        Py_XDECREF(done);
    }
    self->dropped++;
}

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send bytes, a bytearray or a memoryview; see asyncio.WriteTransport.write().");

static PyObject *write_pipe_write(PyObject *object, PyObject *data) {
    WritePipeObject *self = (WritePipeObject *)object;
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.100s'",
                            Py_TYPE(data)->tp_name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = 0;
    if (view.len > 0) {
        if (self->pipe.closing || self->pipe.loop == NULL) {
            drop_write(self);
        } else if (CamLoop_IsForeign(self->pipe.loop)) {
            status = CamLoop_CheckUsable(self->pipe.loop);
        } else {
            status =
                send_data(self, PyBytes_CheckExact(data) ? data : NULL, view.buf, (size_t)view.len);
        }
    }
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Closing is writing the end: all that there is to close is the one direction. */
static int write_end(WritePipeObject *self) {
    PipeObject *pipe = &self->pipe;
    if (pipe->closing || pipe->loop == NULL) {
        return 0;
    }
    pipe->closing = true;
    flush_now((PyObject *)self);
    if (pipe->lost || self->outbox.first != NULL) {
        return 0; /* sending failed, or goes on */
    }
    return cam_pipe_lose(pipe, NULL);
}

static PyObject *write_pipe_write_eof(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    if (write_end((WritePipeObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *write_pipe_abort(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    flush_now(self); /* asyncio would have tried to send in write() */
    if (force_close((WritePipeObject *)self, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *write_pipe_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_TRUE;
}

static PyObject *write_pipe_set_limits(PyObject *object, PyObject *args, PyObject *keywords) {
    WritePipeObject *self = (WritePipeObject *)object;
    if (cam_limits_read(args, keywords, CAM_HIGH_WATER, &self->high_water, &self->low_water) < 0 ||
        maybe_pause(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *write_pipe_get_limits(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    WritePipeObject *self = (WritePipeObject *)object;
    return Py_BuildValue("nn", (Py_ssize_t)self->low_water, (Py_ssize_t)self->high_water);
}

static PyObject *write_pipe_get_size(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromSize_t(((WritePipeObject *)self)->outbox.size);
}

static PyObject *write_pipe_repr(PyObject *object) {
    WritePipeObject *self = (WritePipeObject *)object;
    PipeObject *pipe = &self->pipe;
    PyObject *text = cam_pipe_describe(pipe, CAM_POLL_OUT);
    if (text == NULL) {
        return NULL;
    }
    PyObject *repr = pipe->file != NULL && pipe->loop != NULL && !pipe->loop->closed
                         ? PyUnicode_FromFormat("%U bufsize=%zu>", text, self->outbox.size)
                         : PyUnicode_FromFormat("%U>", text);
    Py_DECREF(text);
    return repr;
}

static int write_pipe_traverse(PyObject *self, visitproc visit, void *arg) {
    return cam_pipe_traverse((PipeObject *)self, visit, arg);
}

static int write_pipe_clear(PyObject *object) {
    WritePipeObject *self = (WritePipeObject *)object;
    cam_outbox_clear(&self->outbox);
    cam_pipe_clear(&self->pipe);
    return 0;
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef write_pipe_methods[] = {
    {"get_extra_info", KEYWORDS(cam_pipe_get_extra_info), METH_VARARGS | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n'pipe': the file object."},
    {"write", write_pipe_write, METH_O, write_doc},
    {"write_eof", write_pipe_write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\nClose once all is sent."},
    {"can_write_eof", write_pipe_can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\nTrue."},
    {"close", write_pipe_write_eof, METH_NOARGS,
     "close($self, /)\n--\n\nSend what waits, close; connection_lost(None) follows."},
    {"abort", write_pipe_abort, METH_NOARGS,
     "abort($self, /)\n--\n\n"
     "Close without waiting for unsent bytes; connection_lost(None) follows."},
    {"is_closing", cam_pipe_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it is closing or closed."},
    {"set_protocol", cam_pipe_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", cam_pipe_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the transport is finished."},
    {"set_write_buffer_limits", KEYWORDS(write_pipe_set_limits), METH_VARARGS | METH_KEYWORDS,
     "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
     "Set the unsent bytes above which writing is paused, and up to which it is resumed."},
    {"get_write_buffer_limits", write_pipe_get_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\nThe pair (low, high), in bytes."},
    {"get_write_buffer_size", write_pipe_get_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes not yet given to the kernel."},
    {NULL},
};

static PyMemberDef write_pipe_members[] = {
    CAM_PIPE_MEMBERS,
    {"_high_water", T_PYSSIZET, offsetof(WritePipeObject, high_water), READONLY, NULL},
    {"_low_water", T_PYSSIZET, offsetof(WritePipeObject, low_water), READONLY, NULL},
    {"_protocol_paused", T_BOOL, offsetof(WritePipeObject, protocol_paused), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(write_pipe_doc,
             "WritePipe(loop, pipe, protocol, waiter=None, extra=None, *, gather=False)\n--\n\n"
             "The transport of loop.connect_write_pipe(), an asyncio.WriteTransport.\n\n"
             "Owns the file object `pipe` of a pipe, FIFO, socket or character device and closes "
             "it.\nValueError for other files, whose owner the caller remains. With gather the "
             "writes of one turn\nof the loop go out together at its end.");

static PyType_Slot write_pipe_slots[] = {
    {Py_tp_doc, (void *)write_pipe_doc}, {Py_tp_new, cam_pipe_new},
    {Py_tp_init, write_pipe_init},       {Py_tp_dealloc, cam_pipe_dealloc},
    {Py_tp_finalize, cam_pipe_finalize}, {Py_tp_traverse, write_pipe_traverse},
    {Py_tp_clear, write_pipe_clear},     {Py_tp_repr, write_pipe_repr},
    {Py_tp_methods, write_pipe_methods}, {Py_tp_getset, cam_pipe_getset},
    {Py_tp_members, write_pipe_members}, {0, NULL},
};

static PyType_Spec write_pipe_spec = {
    .name = "camshaft._core.WritePipe",
    .basicsize = sizeof(WritePipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = write_pipe_slots,
};

int cam_write_pipe_exec(PyObject *module, cam_state *state) {
    PyObject *base = cam_pipe_base("_FlowControlMixin");
    int status =
        base ? CamState_AddType(module, &write_pipe_spec, base, 1, &state->write_pipe_type) : -1;
    Py_XDECREF(base);
    return status;
}
