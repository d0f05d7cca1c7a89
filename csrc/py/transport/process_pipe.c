/* SPDX-License-Identifier: MIT */
#include "transport/process_pipe.h"

#include "transport/pipe.h"
#include "transport/reader.h"

#include <stddef.h>
#include <structmember.h>

typedef struct ProcessPipeObject {
    PyObject_HEAD
    cam_state *state;
    PyObject *process;   /* strong; the transport; NULL once disconnected */
    PyObject *protocol;  /* strong or NULL: the process's, once it may be called */
    PyObject *transport; /* strong or NULL: the pipe's */
    PyObject *fd;        /* strong: the child's descriptor, an int */
    char disconnected;
} ProcessPipeObject;

static PyObject *process_pipe_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"process", "fd", NULL};
    PyObject *process, *fd;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO!:ProcessPipe", names, &process,
                                     &PyLong_Type, &fd)) {
        return NULL;
    }
    cam_state *state = CamState_OfType(type);
    ProcessPipeObject *self = state ? (ProcessPipeObject *)type->tp_alloc(type, 0) : NULL;
    if (self != NULL) {
        self->state = state;
        self->process = Py_NewRef(process);
        self->fd = Py_NewRef(fd);
    }
    return (PyObject *)self;
}

static int process_pipe_traverse(PyObject *object, visitproc visit, void *arg) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->process);
    Py_VISIT(self->protocol);
    Py_VISIT(self->transport);
    return 0;
}

static int process_pipe_clear(PyObject *object) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    Py_CLEAR(self->process);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->transport);
    return 0;
}

static void process_pipe_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)process_pipe_clear(object);
    Py_CLEAR(((ProcessPipeObject *)object)->fd);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- the protocol's methods ---- */

static PyObject *process_pipe_connection_made(PyObject *object, PyObject *transport) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    Py_XSETREF(self->transport, Py_NewRef(transport));
    Py_RETURN_NONE;
}

/* object.name(fd, argument) */
static PyObject *call_with_fd(ProcessPipeObject *self, PyObject *object, PyObject *name,
                              PyObject *argument) {
    Py_INCREF(object); /* either may be let go by what is called */
    PyObject *fd = Py_NewRef(self->fd);
    PyObject *pipe = self->transport;
    if (pipe != NULL && Py_IS_TYPE(pipe, (PyTypeObject *)self->state->read_pipe_type) &&
        ((PipeObject *)pipe)->loop != NULL) {
        CamLoop_NoteCall(((PipeObject *)pipe)->loop, object, name);
    }
    PyObject *stack[] = {NULL, object, fd, argument};
    PyObject *result =
        PyObject_VectorcallMethod(name, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(fd);
    Py_DECREF(object);
    return result;
}

static PyObject *process_pipe_data_received(PyObject *object, PyObject *data) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    cam_state *state = self->state;
    if (self->protocol != NULL) {
        return call_with_fd(self, self->protocol, state->str_pipe_data_received, data);
    }
    if (self->process != NULL) {
        return call_with_fd(self, self->process, state->str__pipe_data_received, data);
    }
    Py_RETURN_NONE;
}

static PyObject *process_pipe_eof_received(PyObject *Py_UNUSED(object),
                                           PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_NONE; /* connection_lost() tells it */
}

static PyObject *process_pipe_connection_lost(PyObject *object, PyObject *exception) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    self->disconnected = 1;
    Py_CLEAR(self->protocol);
    PyObject *process = self->process;
    if (process == NULL) {
        Py_RETURN_NONE;
    }
    self->process = NULL;
    PyObject *result =
        call_with_fd(self, process, self->state->str__pipe_connection_lost, exception);
    Py_DECREF(process);
    return result;
}

static PyObject *call_protocol(PyObject *object, PyObject *name) {
    PyObject *protocol = ((ProcessPipeObject *)object)->protocol;
    if (protocol == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(protocol);
    PyObject *result = PyObject_CallMethodNoArgs(protocol, name);
    Py_DECREF(protocol);
    return result;
}

static PyObject *process_pipe_pause_writing(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    return call_protocol(object, ((ProcessPipeObject *)object)->state->str_pause_writing);
}

static PyObject *process_pipe_resume_writing(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    return call_protocol(object, ((ProcessPipeObject *)object)->state->str_resume_writing);
}

static PyObject *process_pipe_attach(PyObject *object, PyObject *protocol) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    if (!self->disconnected) {
        Py_XSETREF(self->protocol, Py_NewRef(protocol));
    }
    Py_RETURN_NONE;
}

static PyObject *process_pipe_repr(PyObject *object) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    return PyUnicode_FromFormat("<ProcessPipe fd=%S pipe=%R>", self->fd,
                                self->transport ? self->transport : Py_None);
}

/* ---- for pipe_read.c ---- */

int CamProcessPipe_Check(cam_state *state, PyObject *object) {
    return Py_TYPE(object) == (PyTypeObject *)state->process_pipe_type;
}

PyObject *CamProcessPipe_Reader(PyObject *object) {
    ProcessPipeObject *self = (ProcessPipeObject *)object;
    return self->protocol ? CamReader_OfProcess(self->state, self->protocol, self->fd) : NULL;
}

/* ---- the type ---- */

static PyMethodDef process_pipe_methods[] = {
    {"attach", process_pipe_attach, METH_O,
     "attach($self, protocol, /)\n--\n\nCall this protocol of the process from now on."},
    {"connection_made", process_pipe_connection_made, METH_O, NULL},
    {"data_received", process_pipe_data_received, METH_O, NULL},
    {"eof_received", process_pipe_eof_received, METH_NOARGS, NULL},
    {"connection_lost", process_pipe_connection_lost, METH_O, NULL},
    {"pause_writing", process_pipe_pause_writing, METH_NOARGS, NULL},
    {"resume_writing", process_pipe_resume_writing, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef process_pipe_members[] = {
    {"pipe", T_OBJECT, offsetof(ProcessPipeObject, transport), READONLY,
     "The pipe's transport; None before it is made."},
    {"disconnected", T_BOOL, offsetof(ProcessPipeObject, disconnected), READONLY,
     "True once connection_lost() was called."},
    {NULL},
};

PyDoc_STRVAR(process_pipe_doc, "ProcessPipe(process, fd)\n--\n\n"
                               "The protocol of one pipe of a child process: tells the process's "
                               "protocol.");

static PyType_Slot process_pipe_slots[] = {
    {Py_tp_doc, (void *)process_pipe_doc},
    {Py_tp_new, process_pipe_new},
    {Py_tp_dealloc, process_pipe_dealloc},
    {Py_tp_traverse, process_pipe_traverse},
    {Py_tp_clear, process_pipe_clear},
    {Py_tp_repr, process_pipe_repr},
    {Py_tp_methods, process_pipe_methods},
    {Py_tp_members, process_pipe_members},
    {0, NULL},
};

static PyType_Spec process_pipe_spec = {
    .name = "camshaft._core.ProcessPipe",
    .basicsize = sizeof(ProcessPipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = process_pipe_slots,
};

int cam_process_pipe_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &process_pipe_spec, NULL, 1, &state->process_pipe_type);
}
