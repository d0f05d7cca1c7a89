/* SPDX-License-Identifier: MIT */
#include "transport/pipe.h"

#include "compat.h"
#include "transport/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

PyObject *cam_pipe_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                       PyObject *Py_UNUSED(keywords)) {
    cam_state *state = CamState_OfType(type);
    if (state == NULL) {
        return NULL;
    }
    PipeObject *pipe = (PipeObject *)type->tp_alloc(type, 0);
    if (pipe != NULL) {
        pipe->state = state;
        pipe->finish = cam_pipe_finish;
        pipe->io.fd = pipe->shown_fd = -1;
    }
    return (PyObject *)pipe;
}

/* ---- telling the protocol ---- */

int cam_pipe_tell(PipeObject *pipe, PyObject *name, PyObject *argument, const char *message) {
    if (pipe->loop != NULL) {
        CamLoop_NoteCall(pipe->loop, pipe->protocol, name);
    }
    PyObject *result = CamNotify_Call(pipe->context, pipe->protocol, name, argument, NULL);
    if (result == NULL) {
        return CamNotify_Report(pipe->loop, (PyObject *)pipe, pipe->protocol, message);
    }
    Py_DECREF(result);
    return 0;
}

void cam_pipe_log(PipeObject *pipe, const char *level, const char *text, PyObject *exception) {
    if (pipe->loop != NULL && pipe->loop->debug) {
        CamNotify_Log(pipe->state, level, (PyObject *)pipe, text, exception);
    }
}

/* ---- beginning ---- */

/* The descriptor of a file object; -1 with an exception. */
static int descriptor_of(cam_state *state, PyObject *file) {
    PyObject *number = PyObject_CallMethodNoArgs(file, state->str_fileno);
    if (number == NULL) {
        return -1;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd < 0 || fd > INT_MAX) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the pipe is closed");
        }
        return -1;
    }
    return (int)fd;
}

static int raise_errno(void) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int cam_pipe_adopt(PipeObject *pipe, const CamPipeSetup *setup, const char *refusal, mode_t *mode) {
    cam_state *state = pipe->state;
    if (pipe->context != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is already initialized");
        return -1;
    }
    if (!CamLoop_Check(state, setup->loop)) {
        PyErr_Format(PyExc_TypeError, "loop must be a camshaft.EventLoop, not %.100s",
                     Py_TYPE(setup->loop)->tp_name);
        return -1;
    }
    if (CamLoop_CheckUsable((LoopObject *)setup->loop) < 0) {
        return -1;
    }
    int fd = descriptor_of(state, setup->file);
    if (fd < 0) {
        return -1;
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return raise_errno();
    }
    *mode = status.st_mode;
    if (!S_ISFIFO(*mode) && !S_ISSOCK(*mode) && !S_ISCHR(*mode)) {
        PyErr_SetString(PyExc_ValueError, refusal);
        return -1;
    }
    int on = 1;
    if (ioctl(fd, FIONBIO, &on) < 0) {
        return raise_errno();
    }
    Py_XSETREF(pipe->extra, PyDict_New());
    if (pipe->extra == NULL ||
        (setup->extra != Py_None && PyDict_Update(pipe->extra, setup->extra) < 0) ||
        PyDict_SetItem(pipe->extra, state->str_pipe, setup->file) < 0) {
        return -1;
    }
    pipe->context = PyContext_CopyCurrent();
    if (pipe->context == NULL) {
        return -1;
    }
    pipe->io.fd = pipe->shown_fd = fd;
    pipe->io.owner = (PyObject *)pipe;
    pipe->loop = (LoopObject *)Py_NewRef(setup->loop);
    pipe->file = Py_NewRef(setup->file);
    pipe->protocol = Py_NewRef(setup->protocol);
    return 0;
}

static int step_connection_made(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    PipeObject *pipe = (PipeObject *)owner;
    if (pipe->protocol == NULL) {
        return 0;
    }
    return cam_pipe_tell(pipe, pipe->state->str_connection_made, owner,
                         "Exception in callback protocol.connection_made()");
}

int cam_pipe_begin(PipeObject *pipe, CamStep start, PyObject *waiter) {
    LoopObject *loop = pipe->loop;
    PyObject *self = (PyObject *)pipe;
    if (CamLoop_Enqueue(loop, step_connection_made, self) < 0 ||
        CamLoop_Enqueue(loop, start, self) < 0 ||
        (waiter != Py_None && CamLoop_Enqueue(loop, CamNotify_WakeWaiter, waiter) < 0)) {
        Py_CLEAR(pipe->file); /* still the caller's */
        pipe->closing = true;
        Py_CLEAR(pipe->protocol);
        Py_CLEAR(pipe->loop);
        return -1;
    }
    return 0;
}

/* ---- watching ---- */

static int claim(PipeObject *pipe) {
    if (CamLoop_IsWatched(pipe->loop, pipe->io.fd)) {
        int fd = fcntl(pipe->io.fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            return raise_errno();
        }
        pipe->io.fd = fd;
        pipe->duplicated = true;
    }
    pipe->claimed = true;
    return 0;
}

int cam_pipe_watch(PipeObject *pipe, uint32_t interest) {
    if (interest == pipe->io.interest) {
        return 0;
    }
    if (!pipe->claimed && claim(pipe) < 0) {
        return -1;
    }
    return CamLoop_WatchIo(pipe->loop, &pipe->io, interest);
}

/* ---- ending ---- */

/* Closes the file and drops all references but those that a finished transport answers from.
 * Runs user code; keeps the exception that is set. */
static void release(PipeObject *pipe) {
    LoopObject *loop = pipe->loop;
    if (loop != NULL) {
        CamLoop_UnwatchIo(loop, &pipe->io);
    }
    if (pipe->duplicated) {
        close(pipe->io.fd);
        pipe->duplicated = false;
    }
    pipe->io.fd = -1;
    pipe->closing = true;
    pipe->finished = true;
    PyObject *file = pipe->file;
    PyObject *protocol = pipe->protocol;
    PyObject *context = pipe->context;
    PyObject *reason = pipe->reason;
    pipe->loop = NULL;
    pipe->file = NULL;
    pipe->protocol = NULL;
    pipe->context = NULL;
    pipe->reason = NULL;
    PyObject *pending = PyErr_GetRaisedException();
    if (file != NULL) {
        CamNotify_Quietly(file, pipe->state->str_close, NULL);
        Py_DECREF(file);
    }
    if (loop != NULL) {
        CamLoop_DescriptorFreed(loop);
    }
    Py_XDECREF(protocol);
    Py_XDECREF(context);
    Py_XDECREF(reason);
    Py_XDECREF(loop);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int cam_pipe_lose(PipeObject *pipe, PyObject *reason) {
    if (pipe->lost || pipe->loop == NULL) {
        return 0;
    }
    pipe->closing = true;
    pipe->lost = true;
    Py_XSETREF(pipe->reason, Py_XNewRef(reason));
    CamLoop_UnwatchIo(pipe->loop, &pipe->io);
    if (CamLoop_CheckUsable(pipe->loop) < 0) {
        return -1;
    }
    return CamLoop_Enqueue(pipe->loop, pipe->finish, (PyObject *)pipe);
}

int cam_pipe_finish(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    PipeObject *pipe = (PipeObject *)owner;
    if (pipe->finished || pipe->loop == NULL) {
        return 0;
    }
    pipe->finished = true;
    pipe->closing = pipe->lost = true;
    PyObject *reason = pipe->reason ? Py_NewRef(pipe->reason) : Py_NewRef(Py_None);
    int status = cam_pipe_tell(pipe, pipe->state->str_connection_lost, reason,
                               "Exception in callback protocol.connection_lost()");
    release(pipe);
    PyObject *pending = PyErr_GetRaisedException();
    Py_DECREF(reason);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
    return status;
}

/* ---- what the types have in common ---- */

int cam_pipe_traverse(PipeObject *pipe, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(pipe));
    Py_VISIT(pipe->loop);
    Py_VISIT(pipe->protocol);
    Py_VISIT(pipe->context);
    Py_VISIT(pipe->file);
    Py_VISIT(pipe->extra);
    Py_VISIT(pipe->reason);
    Py_VISIT(pipe->dict);
    return 0;
}

void cam_pipe_clear(PipeObject *pipe) {
    Py_CLEAR(pipe->extra);
    Py_CLEAR(pipe->dict);
    release(pipe); /* the finalizer has closed it before, unless it never ran */
}

/* An open transport that nobody holds: closed here, with a warning, as asyncio's __del__ does. */
void cam_pipe_finalize(PyObject *self) {
    PipeObject *pipe = (PipeObject *)self;
    if (pipe->file == NULL) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_Clear();
    }
    release(pipe);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

void cam_pipe_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody keeps it after all */
    }
    PyObject_GC_UnTrack(self);
    if (((PipeObject *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)type->tp_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject *cam_pipe_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"name", "default", NULL};
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", names, &name,
                                     &fallback)) {
        return NULL;
    }
    PyObject *extra = ((PipeObject *)self)->extra;
    PyObject *value = extra ? PyDict_GetItemWithError(extra, name) : NULL;
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value ? value : fallback);
}

PyObject *cam_pipe_set_protocol(PyObject *self, PyObject *protocol) {
    PipeObject *pipe = (PipeObject *)self;
    if (pipe->loop != NULL) { /* a finished transport has no more to tell */
        Py_XSETREF(pipe->protocol, Py_NewRef(protocol));
    }
    Py_RETURN_NONE;
}

PyObject *cam_pipe_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *protocol = ((PipeObject *)self)->protocol;
    return Py_NewRef(protocol ? protocol : Py_None);
}

PyObject *cam_pipe_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((PipeObject *)self)->closing);
}

PyObject *cam_pipe_describe(PipeObject *pipe, uint32_t interest) {
    const char *name = strrchr(Py_TYPE(pipe)->tp_name, '.');
    name = name ? name + 1 : Py_TYPE(pipe)->tp_name;
    const char *life = pipe->file == NULL ? " closed" : pipe->closing ? " closing" : "";
    const char *watched = "closed";
    if (pipe->file != NULL) {
        watched = pipe->loop == NULL || pipe->loop->closed ? "open"
                  : pipe->io.interest & interest           ? "polling"
                                                           : "idle";
    }
    return PyUnicode_FromFormat("<%s%s fd=%d %s", name, life, pipe->shown_fd, watched);
}

static PyObject *get_extra(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *extra = ((PipeObject *)self)->extra;
    return Py_NewRef(extra ? extra : Py_None);
}

static PyObject *get_loop(PyObject *self, void *Py_UNUSED(closure)) {
    LoopObject *loop = ((PipeObject *)self)->loop;
    return Py_NewRef(loop ? (PyObject *)loop : Py_None);
}

static PyObject *get_protocol(PyObject *self, void *Py_UNUSED(closure)) {
    return cam_pipe_get_protocol(self, NULL);
}

static PyObject *get_fileno(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLong(((PipeObject *)self)->shown_fd);
}

static PyObject *get_file(PyObject *self, void *Py_UNUSED(closure)) {
    PyObject *file = ((PipeObject *)self)->file;
    return Py_NewRef(file ? file : Py_None);
}

/* None takes the file away from the transport, which does not close it then. */
static int set_file(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    PipeObject *pipe = (PipeObject *)self;
    Py_XSETREF(pipe->file, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

PyGetSetDef cam_pipe_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"_extra", get_extra, NULL, NULL, NULL},
    {"_fileno", get_fileno, NULL, NULL, NULL},
    {"_loop", get_loop, NULL, NULL, NULL},
    {"_pipe", get_file, set_file, NULL, NULL},
    {"_protocol", get_protocol, NULL, NULL, NULL},
    {NULL},
};

PyObject *cam_pipe_base(const char *name) {
    PyObject *module = PyImport_ImportModule("asyncio.transports");
    PyObject *base = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    if (base != NULL &&
        ((PyTypeObject *)base)->tp_basicsize > (Py_ssize_t)offsetof(PipeObject, state)) {
        PyErr_Format(PyExc_ImportError,
                     "asyncio.transports.%s has more slots than this version of camshaft knows; "
                     "install a newer camshaft",
                     name);
        Py_CLEAR(base);
    }
    return base;
}
