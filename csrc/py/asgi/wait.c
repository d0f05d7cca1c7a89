/* SPDX-License-Identifier: MIT */
#include "asgi/wait.h"

#include "compat.h"
#include "coroutine.h"
#include "loop/task.h"

/* At the end: who has waited longest is woken first, as with an asyncio.Queue. There is hardly ever
 * more than one. */
static void link_wait(WaitObject *self) {
    WaitObject **link = &self->run->waits;
    self->previous = NULL;
    while (*link != NULL) {
        self->previous = *link;
        link = &(*link)->next;
    }
    self->next = NULL;
    *link = (WaitObject *)Py_NewRef(self);
    self->linked = true;
}

/* The caller has a reference of its own. */
static void unlink_wait(WaitObject *self) {
    if (!self->linked) {
        return;
    }
    if (self->next != NULL) {
        self->next->previous = self->previous;
    }
    if (self->previous != NULL) {
        self->previous->next = self->next;
    } else {
        self->run->waits = self->next;
    }
    self->next = self->previous = NULL;
    self->linked = false;
    Py_DECREF(self);
}

static void end_wait(WaitObject *self) {
    unlink_wait(self);
    Py_CLEAR(self->future);
    Py_CLEAR(self->run);
}

void CamWait_Forget(WaitObject *self) {
    Py_INCREF(self);
    end_wait(self);
    Py_DECREF(self);
}

void CamWait_Wake(WaitObject *self) {
    cam_state *state = self->run->state;
    PyObject *future = Py_XNewRef(self->future);
    unlink_wait(self);
    if (future == NULL) {
        return;
    }
    if (CamTask_Resolve(state, future) < 0) {
        PyErr_WriteUnraisable(future);
    }
    Py_DECREF(future);
}

static PyObject *create_future(cam_state *state, PyObject *loop) {
    if (CamLoop_Check(state, loop) && ((LoopObject *)loop)->plain) {
        return CamLoop_CreateFuture((LoopObject *)loop);
    }
    return PyObject_CallMethodNoArgs(loop, state->str_create_future);
}

/* Suspends on a new future, which *result becomes. */
static PySendResult suspend(WaitObject *self, RunObject *run, PyObject **result) {
    cam_state *state = run->state;
    PyObject *future = create_future(state, run->server->loop);
    if (future == NULL || CamTask_MarkAwaited(state, future) < 0) {
        Py_XDECREF(future);
        end_wait(self);
        return PYGEN_ERROR;
    }
    if (self->run == NULL) { /* closed by what ran */
        Py_DECREF(future);
        PyErr_SetString(PyExc_RuntimeError, "receive() or send() was closed while awaited");
        return PYGEN_ERROR;
    }
    Py_XSETREF(self->future, Py_NewRef(future));
    if (!self->linked) {
        link_wait(self);
    }
    *result = future;
    return PYGEN_NEXT;
}

static PySendResult wait_step(PyObject *op, PyObject *Py_UNUSED(value), PyObject **result) {
    WaitObject *self = (WaitObject *)op;
    *result = NULL;
    if (self->run == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited receive() or send()");
        return PYGEN_ERROR;
    }
    PySendResult outcome = PYGEN_ERROR;
    Py_INCREF(self);
    unlink_wait(self);
    Py_CLEAR(self->future);
    RunObject *run = (RunObject *)Py_NewRef(self->run);
    if (self->kind == CAM_WAIT_SEND) {
        if (CamRun_MustWaitToSend(run)) {
            outcome = suspend(self, run, result);
        } else {
            if (run->kind->waited == NULL || run->kind->waited(run) == 0) {
                *result = Py_NewRef(Py_None);
                outcome = PYGEN_RETURN;
            }
            end_wait(self);
        }
    } else {
        int ready = run->kind->receive(run, result);
        if (ready == 0) {
            outcome = suspend(self, run, result);
        } else {
            outcome = ready > 0 ? PYGEN_RETURN : PYGEN_ERROR;
            end_wait(self);
        }
    }
    Py_DECREF(run);
    Py_DECREF(self);
    return outcome;
}

/* ---- a wait that is over before it begins ---- */

static PySendResult done_step(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(value),
                              PyObject **result) {
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

/* ---- both as coroutines for Python code ---- */

static PyObject *wait_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    Py_INCREF(op);
    end_wait((WaitObject *)op);
    CamCoroutine_Raise(args, nargs);
    Py_DECREF(op);
    return NULL;
}

static PyObject *wait_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    CamWait_Forget((WaitObject *)op);
    Py_RETURN_NONE;
}

static PyObject *done_throw(PyObject *Py_UNUSED(op), PyObject *const *args, Py_ssize_t nargs) {
    CamCoroutine_Raise(args, nargs);
    return NULL;
}

static PyObject *done_close(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(ignored)) {
    Py_RETURN_NONE;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef wait_methods[] = {
    {"send", CamCoroutine_Send, METH_O, "As a coroutine's."},
    {"throw", FAST(wait_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", wait_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyMethodDef done_methods[] = {
    {"send", CamCoroutine_Send, METH_O, "As a coroutine's."},
    {"throw", FAST(done_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", done_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

/* ---- the objects ---- */

PyObject *CamWait_New(RunObject *run, cam_wait_kind kind) {
    PyTypeObject *type = (PyTypeObject *)run->state->asgi.wait_type;
    WaitObject *self = (WaitObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->run = (RunObject *)Py_NewRef(run);
        self->kind = kind;
    }
    return (PyObject *)self;
}

static int wait_traverse(PyObject *op, visitproc visit, void *arg) {
    WaitObject *self = (WaitObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->run);
    Py_VISIT(self->future);
    return 0;
}

static int wait_clear(PyObject *op) {
    CamWait_Forget((WaitObject *)op);
    return 0;
}

static void wait_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    end_wait((WaitObject *)op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot wait_slots[] = {
    {Py_tp_doc, (void *)"What receive() and send() return."},
    {Py_tp_dealloc, wait_dealloc},
    {Py_tp_traverse, wait_traverse},
    {Py_tp_clear, wait_clear},
    {Py_tp_methods, wait_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, CamCoroutine_Next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, wait_step},
    {0, NULL},
};

static PyType_Spec wait_spec = {
    .name = "camshaft._core.Wait",
    .basicsize = sizeof(WaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wait_slots,
};

static PyType_Slot done_slots[] = {
    {Py_tp_doc, (void *)"What send() returns when the event is already on its way."},
    {Py_tp_methods, done_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, CamCoroutine_Next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, done_step},
    {0, NULL},
};

static PyType_Spec done_spec = {
    .name = "camshaft._core.Done",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = done_slots,
};

int cam_wait_exec(PyObject *module, cam_state *state) {
    if (CamState_AddType(module, &wait_spec, NULL, 0, &state->asgi.wait_type) < 0 ||
        CamState_AddType(module, &done_spec, NULL, 0, &state->asgi.done_type) < 0) {
        return -1;
    }
    PyTypeObject *type = (PyTypeObject *)state->asgi.done_type;
    state->asgi.done = type->tp_alloc(type, 0);
    return state->asgi.done ? 0 : -1;
}
