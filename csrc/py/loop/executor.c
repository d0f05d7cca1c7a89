/* SPDX-License-Identifier: MIT */
/*
 * Bridge: from a concurrent.futures.Future, done in any thread, to an asyncio future of the loop.
 *
 * What asyncio's wrap_future() makes of closures, for futures of exactly that class. One object is
 * the callback of both: called with the source it has the loop copy the outcome, in a step; called
 * with the destination it passes a cancellation on. The GIL guards it. Once the outcome is copied
 * it refers to nothing any more; a source keeps its callbacks.
 */
#include "compat.h"
#include "loop/loop.h"

typedef struct BridgeObject {
    PyObject_HEAD
    LoopObject *loop;      /* strong; NULL once copied */
    PyObject *source;      /* strong or NULL, as loop */
    PyObject *destination; /* strong or NULL, as loop */
} BridgeObject;

static int bridge_clear(PyObject *self) {
    BridgeObject *bridge = (BridgeObject *)self;
    LoopObject *loop = bridge->loop;
    bridge->loop = NULL;
    Py_CLEAR(bridge->source);
    Py_CLEAR(bridge->destination);
    Py_XDECREF(loop);
    return 0;
}

/* Calls future.name(argument) for its effect; argument may be NULL. */
static int tell(PyObject *future, PyObject *name, PyObject *argument) {
    PyObject *done = argument ? PyObject_CallMethodOneArg(future, name, argument)
                              : PyObject_CallMethodNoArgs(future, name);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* 1, 0, or -1 with an exception. */
static int ask(PyObject *future, PyObject *name) {
    PyObject *answer = PyObject_CallMethodNoArgs(future, name);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

/* The outcome of a source that is done, which is final: no lock is needed to read it. */
static int copy_outcome(cam_state *state, PyObject *source, PyObject *destination) {
    int cancelled = ask(destination, state->str_cancelled);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *status = PyObject_GetAttr(source, state->str__state);
    int finished = status ? PyObject_RichCompareBool(status, state->str_FINISHED, Py_EQ) : -1;
    Py_XDECREF(status);
    if (finished <= 0) {
        return finished < 0 ? -1 : tell(destination, state->str_cancel, NULL);
    }
    PyObject *exception = PyObject_GetAttr(source, state->str__exception);
    if (exception == NULL) {
        return -1;
    }
    int told;
    if (exception != Py_None) {
        PyObject *converted = PyObject_CallOneArg(state->convert_exception, exception);
        told = converted ? tell(destination, state->str_set_exception, converted) : -1;
        Py_XDECREF(converted);
    } else {
        PyObject *result = PyObject_GetAttr(source, state->str__result);
        told = result ? tell(destination, state->str_set_result, result) : -1;
        Py_XDECREF(result);
    }
    Py_DECREF(exception);
    return told;
}

/* A CamStep. */
static int bridge_step(LoopObject *loop, PyObject *self) {
    BridgeObject *bridge = (BridgeObject *)self;
    if (bridge->loop == NULL) {
        return 0;
    }
    PyObject *source = Py_NewRef(bridge->source);
    PyObject *destination = Py_NewRef(bridge->destination);
    int status = copy_outcome(loop->state, source, destination);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    bridge_clear(self);
    Py_DECREF(source);
    Py_DECREF(destination);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

static PyObject *bridge_call(PyObject *self, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    BridgeObject *bridge = (BridgeObject *)self;
    PyObject *future = PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : NULL;
    LoopObject *loop = bridge->loop;
    if (loop == NULL || future == NULL) {
        Py_RETURN_NONE;
    }
    if (future == bridge->source) {
        /* In whatever thread has done it. A closed loop's futures stay as they are. */
        if (!loop->closed && !CamLoop_IsForeign(loop) &&
            CamLoop_Enqueue(loop, bridge_step, self) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    PyObject *source = Py_NewRef(bridge->source);
    int cancelled = ask(future, loop->state->str_cancelled);
    int status = cancelled > 0 ? tell(source, loop->state->str_cancel, NULL) : cancelled;
    Py_DECREF(source);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int bridge_traverse(PyObject *self, visitproc visit, void *arg) {
    BridgeObject *bridge = (BridgeObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(bridge->loop);
    Py_VISIT(bridge->source);
    Py_VISIT(bridge->destination);
    return 0;
}

static void bridge_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)bridge_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot bridge_slots[] = {
    {Py_tp_doc, (void *)"Carries the outcome of an executor's future to one of the loop."},
    {Py_tp_dealloc, bridge_dealloc},
    {Py_tp_traverse, bridge_traverse},
    {Py_tp_clear, bridge_clear},
    {Py_tp_call, bridge_call},
    {0, NULL},
};

static PyType_Spec bridge_spec = {
    .name = "camshaft._core.Bridge",
    .basicsize = sizeof(BridgeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bridge_slots,
};

PyDoc_STRVAR(wrap_future_doc,
             "_wrap_future($self, future, /)\n--\n\n"
             "asyncio.wrap_future(future, loop=self) for what an executor's submit() returned.");

static PyObject *loop_wrap_future(PyObject *self, PyObject *source) {
    LoopObject *loop = (LoopObject *)self;
    cam_state *state = loop->state;
    if ((PyObject *)Py_TYPE(source) != state->concurrent_future) {
        PyObject *stack[] = {NULL, source, self};
        return PyObject_Vectorcall(state->wrap_future, stack + 1,
                                   1 | PY_VECTORCALL_ARGUMENTS_OFFSET, state->kw_loop);
    }
    PyObject *destination = PyObject_CallMethodNoArgs(self, state->str_create_future);
    if (destination == NULL) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)state->bridge_type;
    BridgeObject *bridge = (BridgeObject *)type->tp_alloc(type, 0);
    if (bridge == NULL) {
        Py_DECREF(destination);
        return NULL;
    }
    bridge->loop = (LoopObject *)Py_NewRef(loop);
    bridge->source = Py_NewRef(source);
    bridge->destination = Py_NewRef(destination);
    if (tell(destination, state->str_add_done_callback, (PyObject *)bridge) < 0 ||
        tell(source, state->str_add_done_callback, (PyObject *)bridge) < 0) {
        Py_CLEAR(destination);
    }
    Py_DECREF(bridge);
    return destination;
}

PyMethodDef cam_executor_methods[] = {
    {"_wrap_future", loop_wrap_future, METH_O, wrap_future_doc},
    {NULL},
};

/* True when instances have what copy_outcome reads. */
static bool is_as_known(cam_state *state, PyObject *type) {
    PyObject *future = PyObject_CallNoArgs(type);
    PyObject *names[] = {state->str__state, state->str__exception, state->str__result};
    bool known = future != NULL;
    for (size_t i = 0; known && i < sizeof(names) / sizeof(names[0]); i++) {
        PyObject *value = PyObject_GetAttr(future, names[i]);
        known = value != NULL;
        Py_XDECREF(value);
    }
    PyErr_Clear();
    Py_XDECREF(future);
    return known;
}

int cam_executor_exec(PyObject *module, cam_state *state) {
    PyObject *futures = PyImport_ImportModule("asyncio.futures");
    if (futures == NULL) {
        return -1;
    }
    state->wrap_future = PyObject_GetAttrString(futures, "wrap_future");
    state->convert_exception = PyObject_GetAttrString(futures, "_convert_future_exc");
    Py_DECREF(futures);
    PyObject *concurrent = PyImport_ImportModule("concurrent.futures");
    PyObject *type = concurrent ? PyObject_GetAttrString(concurrent, "Future") : NULL;
    Py_XDECREF(concurrent);
    if (state->wrap_future == NULL || state->convert_exception == NULL || type == NULL) {
        Py_XDECREF(type);
        return -1;
    }
    /* Else never equal to a type, and asyncio's own function is called for all. */
    state->concurrent_future = is_as_known(state, type) ? type : Py_NewRef(Py_None);
    if (state->concurrent_future != type) {
        Py_DECREF(type);
    }
    return CamState_AddType(module, &bridge_spec, NULL, 0, &state->bridge_type);
}
