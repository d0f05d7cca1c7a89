/* SPDX-License-Identifier: MIT */
/*
 * ReadPipe: what comes out of a pipe, as asyncio's _UnixReadPipeTransport has it.
 *
 * The other end's close is the end of the transport: eof_received() and connection_lost(None) are
 * queued one behind the other. An exception out of data_received() is reported and closes nothing.
 */
#include "transport/pipe.h"

#include "compat.h"
#include "transport/inbox.h"
#include "transport/notify.h"
#include "transport/process_pipe.h"
#include "transport/reader.h"

#include <errno.h>
#include <stddef.h>
#include <structmember.h>
#include <sys/stat.h>

typedef struct ReadPipeObject {
    PipeObject pipe;
    CamInbox inbox;
    bool paused;
} ReadPipeObject;

static const char READ_FAILED[] = "Fatal read error on pipe transport";

static bool is_reading(ReadPipeObject *self) {
    return !self->paused && !self->pipe.closing;
}

/* An OSError's errno; 0 for other exceptions. */
static long error_number(PyObject *exception) {
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    long error = number && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    return error;
}

/* An exception out of the kernel: reports it (in debug mode alone when a terminal's other side is
 * gone) and closes with it. 0, or -1 with an exception. */
static int read_failed(PipeObject *pipe) {
    PyObject *exception = PyErr_GetRaisedException();
    int status = 0;
    if (error_number(exception) == EIO) {
        cam_pipe_log(pipe, "debug", READ_FAILED, exception);
    } else {
        PyErr_SetRaisedException(Py_NewRef(exception));
        status = CamNotify_Report(pipe->loop, (PyObject *)pipe, pipe->protocol, READ_FAILED);
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (cam_pipe_lose(pipe, exception) < 0) {
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

static int step_eof_received(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    PipeObject *pipe = (PipeObject *)owner;
    if (pipe->protocol == NULL) {
        return 0;
    }
    return cam_pipe_tell(pipe, pipe->state->str_eof_received, NULL,
                         "Exception in callback protocol.eof_received()");
}

static int received_end(LoopObject *loop, PipeObject *pipe) {
    cam_pipe_log(pipe, "info", "was closed by peer", NULL);
    if (pipe->lost || pipe->loop == NULL) { /* by whoever wrote the log */
        return 0;
    }
    pipe->closing = true;
    if (CamLoop_Enqueue(loop, step_eof_received, (PyObject *)pipe) < 0) {
        return -1;
    }
    return cam_pipe_lose(pipe, NULL);
}

/* The asyncio.StreamReader that C may feed with what is read; NULL without an exception when the
 * protocol has to be called. New reference. */
static PyObject *reader_of(PipeObject *pipe) {
    if (CamProcessPipe_Check(pipe->state, pipe->protocol)) {
        return CamProcessPipe_Reader(pipe->protocol);
    }
    return CamReader_IsProtocol(pipe->state, pipe->protocol)
               ? CamReader_Of(pipe->state, pipe->protocol)
               : NULL;
}

static int step_readable(LoopObject *loop, PyObject *owner) {
    ReadPipeObject *self = (ReadPipeObject *)owner;
    PipeObject *pipe = &self->pipe;
    static const char refused[] = "Exception in callback protocol.data_received()";
    /* Paused or closed since the poller reported it. */
    if (pipe->closing || !(pipe->io.interest & CAM_POLL_IN)) {
        return 0;
    }
    PyObject *reader = reader_of(pipe);
    PyObject *data = NULL;
    Py_ssize_t size;
    if (reader != NULL) {
        size = cam_inbox_feed(&self->inbox, loop, pipe->io.fd, reader, &data);
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(reader);
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
    } else {
        data = cam_inbox_bytes(&self->inbox, loop, pipe->io.fd, &size);
    }
    if (data != NULL) {
        int status = cam_pipe_tell(pipe, pipe->state->str_data_received, data, refused);
        PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
        CamSpare_Done(&loop->spare, data);
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
        return status;
    }
    switch (size) {
    case CAM_INBOX_END:
        return received_end(loop, pipe);
    case CAM_INBOX_FAILED:
        return read_failed(pipe);
    case CAM_INBOX_REFUSED:
        return CamNotify_Report(pipe->loop, owner, pipe->protocol, refused);
    default:
        return 0;
    }
}

/* What cannot be polled (/dev/null) ends with the error; asyncio's transport would never read. */
static int step_start(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    ReadPipeObject *self = (ReadPipeObject *)owner;
    if (self->pipe.loop == NULL || !is_reading(self)) {
        return 0;
    }
    return cam_pipe_watch(&self->pipe, CAM_POLL_IN) < 0 ? read_failed(&self->pipe) : 0;
}

static int read_pipe_init(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"loop", "pipe", "protocol", "waiter", "extra", NULL};
    PipeObject *pipe = (PipeObject *)self;
    CamPipeSetup setup = {.waiter = Py_None, .extra = Py_None};
    mode_t mode;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OO:ReadPipe", names, &setup.loop,
                                     &setup.file, &setup.protocol, &setup.waiter, &setup.extra) ||
        cam_pipe_adopt(pipe, &setup, "Pipe transport is for pipes/sockets only.", &mode) < 0) {
        return -1;
    }
    pipe->io.readable = step_readable;
    ((ReadPipeObject *)self)->inbox.is_pipe = S_ISFIFO(mode);
    return cam_pipe_begin(pipe, step_start, setup.waiter);
}

static PyObject *read_pipe_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(is_reading((ReadPipeObject *)self));
}

static PyObject *read_pipe_pause_reading(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    ReadPipeObject *self = (ReadPipeObject *)object;
    if (self->pipe.loop != NULL && is_reading(self)) {
        self->paused = true;
        if (cam_pipe_watch(&self->pipe, 0) < 0) {
            return NULL;
        }
        cam_pipe_log(&self->pipe, "debug", "pauses reading", NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *read_pipe_resume_reading(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    ReadPipeObject *self = (ReadPipeObject *)object;
    if (self->pipe.loop != NULL && self->paused && !self->pipe.closing) {
        if (cam_pipe_watch(&self->pipe, CAM_POLL_IN) < 0) {
            return NULL;
        }
        self->paused = false;
        cam_pipe_log(&self->pipe, "debug", "resumes reading", NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *read_pipe_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PipeObject *pipe = (PipeObject *)self;
    if (!pipe->closing && cam_pipe_lose(pipe, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *read_pipe_repr(PyObject *self) {
    PyObject *text = cam_pipe_describe((PipeObject *)self, CAM_POLL_IN);
    PyObject *repr = text ? PyUnicode_FromFormat("%U>", text) : NULL;
    Py_XDECREF(text);
    return repr;
}

static int read_pipe_traverse(PyObject *self, visitproc visit, void *arg) {
    return cam_pipe_traverse((PipeObject *)self, visit, arg);
}

static int read_pipe_clear(PyObject *self) {
    cam_pipe_clear((PipeObject *)self);
    return 0;
}

static PyMemberDef read_pipe_members[] = {
    CAM_PIPE_MEMBERS,
    {NULL},
};

static PyMethodDef read_pipe_methods[] = {
    {"get_extra_info", (PyCFunction)(void (*)(void))cam_pipe_get_extra_info,
     METH_VARARGS | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n'pipe': the file object."},
    {"close", read_pipe_close, METH_NOARGS,
     "close($self, /)\n--\n\nRead no more; connection_lost(None) follows."},
    {"is_closing", cam_pipe_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once it is closing or closed."},
    {"is_reading", read_pipe_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while neither paused nor closing."},
    {"pause_reading", read_pipe_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nCall data_received no more, until resume_reading()."},
    {"resume_reading", read_pipe_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nUndo pause_reading()."},
    {"set_protocol", cam_pipe_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\nCall this protocol from now on."},
    {"get_protocol", cam_pipe_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol; None once the transport is finished."},
    {NULL},
};

PyDoc_STRVAR(read_pipe_doc,
             "ReadPipe(loop, pipe, protocol, waiter=None, extra=None)\n--\n\n"
             "The transport of loop.connect_read_pipe(), an asyncio.ReadTransport.\n\n"
             "Owns the file object `pipe` of a pipe, FIFO, socket or character device and closes "
             "it.\nValueError for other files, whose owner the caller remains.");

static PyType_Slot read_pipe_slots[] = {
    {Py_tp_doc, (void *)read_pipe_doc},  {Py_tp_new, cam_pipe_new},
    {Py_tp_init, read_pipe_init},        {Py_tp_dealloc, cam_pipe_dealloc},
    {Py_tp_finalize, cam_pipe_finalize}, {Py_tp_traverse, read_pipe_traverse},
    {Py_tp_clear, read_pipe_clear},      {Py_tp_repr, read_pipe_repr},
    {Py_tp_methods, read_pipe_methods},  {Py_tp_getset, cam_pipe_getset},
    {Py_tp_members, read_pipe_members},  {0, NULL},
};

static PyType_Spec read_pipe_spec = {
    .name = "camshaft._core.ReadPipe",
    .basicsize = sizeof(ReadPipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = read_pipe_slots,
};

int cam_read_pipe_exec(PyObject *module, cam_state *state) {
    PyObject *base = cam_pipe_base("ReadTransport");
    int status =
        base ? CamState_AddType(module, &read_pipe_spec, base, 1, &state->read_pipe_type) : -1;
    Py_XDECREF(base);
    return status;
}
