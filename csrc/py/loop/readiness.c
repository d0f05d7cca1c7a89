/* SPDX-License-Identifier: MIT */
#include "loop/readiness.h"

#include "compat.h"

/* ---- waiting ---- */

PyObject *CamReadiness_New(LoopObject *loop, int fd, uint32_t side, PyObject *sock, bool drained) {
    PyTypeObject *type = (PyTypeObject *)loop->state->readiness_type;
    ReadinessObject *readiness = (ReadinessObject *)type->tp_alloc(type, 0);
    if (readiness == NULL) {
        return NULL;
    }
    readiness->loop = (LoopObject *)Py_NewRef(loop);
    readiness->fd = fd;
    readiness->side = side;
    readiness->blocking = true;
    if (CamWatch_Wait(loop, (PyObject *)readiness, fd, side, sock, drained) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        CamReadiness_Abandon(readiness);
        Py_DECREF(readiness);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return (PyObject *)readiness;
}

void CamReadiness_Abandon(ReadinessObject *readiness) {
    if (readiness->watched) {
        CamWatch_EndWait(readiness->loop, (PyObject *)readiness, readiness->fd, readiness->side);
    }
}

/* Queues the callbacks from the second on; all of them when `whole`. */
static int queue_callbacks(ReadinessObject *readiness, bool whole) {
    LoopObject *loop = readiness->loop;
    HandleObject *first = whole ? readiness->first : NULL;
    PyObject *more = readiness->more;
    readiness->more = NULL;
    int status = 0;
    if (first != NULL) {
        readiness->first = NULL;
        status = CamLoop_Enqueue(loop, NULL, (PyObject *)first);
        Py_DECREF(first);
    }
    for (Py_ssize_t i = 0; status == 0 && more != NULL && i < PyList_GET_SIZE(more); i++) {
        status = CamLoop_Enqueue(loop, NULL, PyList_GET_ITEM(more, i));
    }
    Py_XDECREF(more);
    return status;
}

int CamReadiness_Wake(LoopObject *loop, PyObject *self) {
    ReadinessObject *readiness = (ReadinessObject *)self;
    /* Cancelled, or displaced by another watcher, since the poller reported it. */
    if (!readiness->watched || readiness->state != CAM_READINESS_PENDING) {
        return 0;
    }
    CamWatch_EndWait(loop, self, readiness->fd, readiness->side);
    readiness->state = CAM_READINESS_READY;
    if (loop->debug) {
        return queue_callbacks(readiness, true); /* timed and reported as what they are: handles */
    }
    if (readiness->more != NULL && queue_callbacks(readiness, false) < 0) {
        return -1;
    }
    HandleObject *first = readiness->first;
    readiness->first = NULL;
    if (first == NULL) {
        return 0;
    }
    int status = CamHandle_Run(first);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(first);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

/* ---- what a Task asks of a future ---- */

static PyObject *readiness_get_loop(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return Py_NewRef(((ReadinessObject *)self)->loop);
}

PyDoc_STRVAR(add_done_callback_doc,
             "add_done_callback($self, fn, /, *, context=None)\n--\n\nAs asyncio.Future's; the "
             "first callback is run in the turn in which the descriptor became ready.");

static PyObject *readiness_add_done_callback(PyObject *self, PyObject *const *args,
                                             Py_ssize_t nargs, PyObject *kwnames) {
    ReadinessObject *readiness = (ReadinessObject *)self;
    LoopObject *loop = readiness->loop;
    PyObject *context;
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError,
                     "add_done_callback() takes exactly one positional argument (%zd given)",
                     nargs);
        return NULL;
    }
    if (CamLoop_ParseContext(loop->state, "add_done_callback", args, nargs, kwnames, &context) <
        0) {
        return NULL;
    }
    HandleObject *handle = CamHandle_New(loop, args[0], &self, 1, context);
    if (handle == NULL) {
        return NULL;
    }
    int status = 0;
    if (readiness->state != CAM_READINESS_PENDING) {
        status = CamLoop_CheckUsable(loop);
        if (status == 0) {
            status = CamLoop_Enqueue(loop, NULL, (PyObject *)handle);
        }
    } else if (readiness->first == NULL) {
        readiness->first = (HandleObject *)Py_NewRef(handle);
    } else {
        if (readiness->more == NULL) {
            readiness->more = PyList_New(0);
        }
        status = readiness->more ? PyList_Append(readiness->more, (PyObject *)handle) : -1;
    }
    Py_DECREF(handle);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static bool has_callback(PyObject *handle, PyObject *callback, int *status) {
    PyObject *own = ((HandleObject *)handle)->callback;
    if (own == NULL) {
        return false;
    }
    Py_INCREF(own);
    int equal = PyObject_RichCompareBool(own, callback, Py_EQ); /* may run user code */
    Py_DECREF(own);
    *status = equal < 0 ? -1 : *status;
    return equal > 0;
}

static PyObject *readiness_remove_done_callback(PyObject *self, PyObject *callback) {
    ReadinessObject *readiness = (ReadinessObject *)self;
    PyObject *all = PyList_New(0);
    if (all == NULL) {
        return NULL;
    }
    int status = 0;
    if (readiness->first != NULL) {
        status = PyList_Append(all, (PyObject *)readiness->first);
    }
    for (Py_ssize_t i = 0;
         status == 0 && readiness->more != NULL && i < PyList_GET_SIZE(readiness->more); i++) {
        status = PyList_Append(all, PyList_GET_ITEM(readiness->more, i));
    }
    PyObject *left = status == 0 ? PyList_New(0) : NULL;
    Py_ssize_t total = PyList_GET_SIZE(all);
    for (Py_ssize_t i = 0; left != NULL && status == 0 && i < total; i++) {
        PyObject *handle = PyList_GET_ITEM(all, i);
        if (!has_callback(handle, callback, &status) && status == 0) {
            status = PyList_Append(left, handle);
        }
    }
    if (left == NULL || status < 0) {
        Py_DECREF(all);
        Py_XDECREF(left);
        return NULL;
    }
    Py_ssize_t removed = total - PyList_GET_SIZE(left);
    if (removed > 0 && readiness->state == CAM_READINESS_PENDING) {
        /* Kept as a list: the order of what is left is the list's. */
        HandleObject *first = readiness->first;
        readiness->first = NULL;
        Py_XDECREF(first);
        Py_XSETREF(readiness->more, Py_NewRef(left));
    }
    Py_DECREF(all);
    Py_DECREF(left);
    return PyLong_FromSsize_t(removed);
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /, msg=None)\n--\n\n"
                         "Stop watching the descriptor and schedule the callbacks; False when it "
                         "is over already.");

static PyObject *readiness_cancel(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"msg", NULL};
    ReadinessObject *readiness = (ReadinessObject *)self;
    PyObject *message = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:cancel", names, &message)) {
        return NULL;
    }
    if (readiness->state != CAM_READINESS_PENDING) {
        Py_RETURN_FALSE;
    }
    Py_INCREF(self);
    readiness->state = CAM_READINESS_CANCELLED;
    Py_XSETREF(readiness->message, message != Py_None ? Py_NewRef(message) : NULL);
    CamReadiness_Abandon(readiness);
    int status = 0;
    if (readiness->first != NULL || readiness->more != NULL) {
        status = CamLoop_CheckUsable(readiness->loop);
        if (status == 0) {
            status = queue_callbacks(readiness, true);
        }
    }
    Py_DECREF(self);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *raise_unless_ready(ReadinessObject *readiness) {
    cam_state *state = readiness->loop->state;
    if (readiness->state == CAM_READINESS_PENDING) {
        PyErr_SetString(state->invalid_state_error, "Result is not set.");
        return NULL;
    }
    if (readiness->state == CAM_READINESS_CANCELLED) {
        PyObject *error = readiness->message
                              ? PyObject_CallOneArg(state->cancelled_error, readiness->message)
                              : PyObject_CallNoArgs(state->cancelled_error);
        if (error != NULL) {
            PyErr_SetObject(state->cancelled_error, error);
            Py_DECREF(error);
        }
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *readiness_result(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return raise_unless_ready((ReadinessObject *)self);
}

static PyObject *readiness_done(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((ReadinessObject *)self)->state != CAM_READINESS_PENDING);
}

static PyObject *readiness_cancelled(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((ReadinessObject *)self)->state == CAM_READINESS_CANCELLED);
}

static PyObject *readiness_get_blocking(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((ReadinessObject *)self)->blocking);
}

static int readiness_set_blocking(PyObject *self, PyObject *value, void *Py_UNUSED(closure)) {
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete");
        return -1;
    }
    int blocking = PyObject_IsTrue(value);
    if (blocking < 0) {
        return -1;
    }
    ((ReadinessObject *)self)->blocking = blocking;
    return 0;
}

/* ---- the object ---- */

static PyObject *readiness_repr(PyObject *self) {
    static const char *const states[] = {"pending", "ready", "cancelled"};
    ReadinessObject *readiness = (ReadinessObject *)self;
    return PyUnicode_FromFormat("<Readiness %s fd=%d %s>", states[readiness->state], readiness->fd,
                                readiness->side == CAM_POLL_IN ? "reading" : "writing");
}

/* A handle, with what it holds if nobody else has it. */
static int visit_handle(PyObject *handle, visitproc visit, void *arg) {
    Py_VISIT(handle);
    return Py_REFCNT(handle) == 1 ? CamHandle_Visit((HandleObject *)handle, visit, arg) : 0;
}

static int readiness_traverse(PyObject *self, visitproc visit, void *arg) {
    ReadinessObject *readiness = (ReadinessObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(readiness->loop);
    Py_VISIT(readiness->message);
    Py_VISIT(readiness->more);
    int status = readiness->first ? visit_handle((PyObject *)readiness->first, visit, arg) : 0;
    /* The list itself visits the handles, but those have no tp_traverse. */
    Py_ssize_t count = readiness->more ? PyList_GET_SIZE(readiness->more) : 0;
    for (Py_ssize_t i = 0; status == 0 && i < count; i++) {
        PyObject *handle = PyList_GET_ITEM(readiness->more, i);
        if (Py_REFCNT(handle) == 1) {
            status = CamHandle_Visit((HandleObject *)handle, visit, arg);
        }
    }
    return status;
}

static int readiness_clear(PyObject *self) {
    ReadinessObject *readiness = (ReadinessObject *)self;
    HandleObject *first = readiness->first;
    readiness->first = NULL;
    if (first != NULL) {
        CamHandle_Finish(first);
        Py_DECREF(first);
    }
    Py_CLEAR(readiness->more);
    Py_CLEAR(readiness->message);
    return 0;
}

static void readiness_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)readiness_clear(self); /* not watched: the loop would hold a reference */
    Py_CLEAR(((ReadinessObject *)self)->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef readiness_methods[] = {
    {"get_loop", readiness_get_loop, METH_NOARGS, "get_loop($self, /)\n--\n\nThe event loop."},
    {"add_done_callback", FAST(readiness_add_done_callback), METH_FASTCALL | METH_KEYWORDS,
     add_done_callback_doc},
    {"remove_done_callback", readiness_remove_done_callback, METH_O,
     "remove_done_callback($self, fn, /)\n--\n\nAs asyncio.Future's."},
    {"cancel", FAST(readiness_cancel), METH_VARARGS | METH_KEYWORDS, cancel_doc},
    {"result", readiness_result, METH_NOARGS,
     "result($self, /)\n--\n\nNone; CancelledError or InvalidStateError as asyncio.Future's."},
    {"exception", readiness_result, METH_NOARGS,
     "exception($self, /)\n--\n\nNone; CancelledError or InvalidStateError as asyncio.Future's."},
    {"done", readiness_done, METH_NOARGS, "done($self, /)\n--\n\nTrue once ready or cancelled."},
    {"cancelled", readiness_cancelled, METH_NOARGS,
     "cancelled($self, /)\n--\n\nTrue once cancelled."},
    {NULL},
};

static PyGetSetDef readiness_getset[] = {
    {"_asyncio_future_blocking", readiness_get_blocking, readiness_set_blocking, NULL, NULL},
    {NULL},
};

static PyType_Slot readiness_slots[] = {
    {Py_tp_doc, (void *)"What a sock_* call awaits: a descriptor's readiness."},
    {Py_tp_dealloc, readiness_dealloc},
    {Py_tp_traverse, readiness_traverse},
    {Py_tp_clear, readiness_clear},
    {Py_tp_repr, readiness_repr},
    {Py_tp_methods, readiness_methods},
    {Py_tp_getset, readiness_getset},
    {0, NULL},
};

static PyType_Spec readiness_spec = {
    .name = "camshaft._core.Readiness",
    .basicsize = sizeof(ReadinessObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = readiness_slots,
};

int cam_readiness_exec(PyObject *module, cam_state *state) {
    PyObject *exceptions = PyImport_ImportModule("asyncio.exceptions");
    if (exceptions == NULL) {
        return -1;
    }
    state->cancelled_error = PyObject_GetAttrString(exceptions, "CancelledError");
    state->invalid_state_error = PyObject_GetAttrString(exceptions, "InvalidStateError");
    Py_DECREF(exceptions);
    if (state->cancelled_error == NULL || state->invalid_state_error == NULL) {
        return -1;
    }
    return CamState_AddType(module, &readiness_spec, NULL, 0, &state->readiness_type);
}
