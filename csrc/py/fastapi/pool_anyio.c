/* SPDX-License-Identifier: MIT */
/* AnyIO's limiter and cancel scopes, read and changed as its own code does. */
#include "fastapi/pool_parts.h"

#include "compat.h"

/* ---- finding it ---- */

static int find(cam_state *state) {
    cam_pool_state *pool = state->fastapi.pool;
    PyObject *module = PyImport_ImportModule("camshaft.fastapi.threads");
    if (module == NULL) {
        return -1;
    }
    PyObject *found = PyObject_CallMethod(module, "find", NULL);
    if (found != NULL && pool->run_by_anyio == NULL) {
        pool->run_by_anyio = PyObject_GetAttrString(module, "run_by_anyio");
    }
    Py_DECREF(module);
    if (found == NULL || pool->run_by_anyio == NULL) {
        Py_XDECREF(found);
        return -1;
    }
    if (found == Py_None) {
        pool->anyio = CAM_POOL_UNKNOWN;
        Py_DECREF(found);
        return 0;
    }
#define X(name)                                                                                    \
    Py_XSETREF(pool->name, PyObject_GetAttrString(found, #name));                                  \
    if (pool->name == NULL) {                                                                      \
        Py_DECREF(found);                                                                          \
        return -1;                                                                                 \
    }
    CAM_POOL_FOUND(X)
#undef X
    Py_DECREF(found);
    pool->anyio = CAM_POOL_KNOWN;
    return 0;
}

int CamPool_KnowsAnyio(cam_state *state) {
    cam_pool_state *pool = state->fastapi.pool;
    if (pool->anyio == CAM_POOL_NOT_ASKED && find(state) < 0) {
        return -1;
    }
    if (pool->anyio != CAM_POOL_KNOWN) {
        return 0;
    }
    PyObject *run_sync = PyDict_GetItemWithError(pool->to_thread, pool->str_run_sync);
    if (run_sync == NULL && PyErr_Occurred()) {
        return -1;
    }
    return run_sync == pool->run_sync;
}

/* table[weakref.ref(object)] of a WeakKeyDictionary's dict: borrowed, NULL if there is none or with
 * an exception. */
static PyObject *look_up(PyObject *table, PyObject *object) {
    if (PyDict_GET_SIZE(table) == 0) {
        return NULL;
    }
    PyObject *reference = PyWeakref_NewRef(object, NULL);
    if (reference == NULL) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(table, reference);
    Py_DECREF(reference);
    return value;
}

PyObject *CamPool_CurrentTask(cam_state *state, PyObject *loop) {
    if (state->drives_tasks) {
        return PyDict_GetItemWithError(state->current_tasks, loop);
    }
    PyObject *task = PyObject_CallOneArg(state->fastapi.pool->current_task, loop);
    Py_XDECREF(task); /* asyncio has another while it runs */
    return task == Py_None ? NULL : task;
}

/* ---- the limiter ---- */

PyObject *CamPool_Limiter(cam_state *state, PyObject *loop, bool *known) {
    cam_pool_state *pool = state->fastapi.pool;
    PyObject *limiter = NULL;
    PyObject *vars = look_up(pool->run_vars, loop);
    if (vars != NULL) {
        limiter = Py_XNewRef(PyDict_GetItemWithError(vars, pool->limiter_var));
    }
    if (limiter == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        limiter = PyObject_CallNoArgs(pool->default_limiter);
        if (limiter == NULL) {
            return NULL;
        }
    }
    *known = (PyObject *)Py_TYPE(limiter) == pool->limiter_type;
    return limiter;
}

/* What a limiter consists of, as new references. */
typedef struct Limiter {
    PyObject *borrowers; /* set */
    PyObject *queue;     /* OrderedDict */
    double total;
} Limiter;

static void close_limiter(Limiter *limiter) {
    Py_CLEAR(limiter->borrowers);
    Py_CLEAR(limiter->queue);
}

/* 0, or -1 with an exception. */
static int open_limiter(cam_state *state, PyObject *object, Limiter *limiter) {
    cam_pool_state *pool = state->fastapi.pool;
    limiter->borrowers = PyObject_GetAttr(object, pool->str__borrowers);
    limiter->queue = PyObject_GetAttr(object, pool->str__wait_queue);
    PyObject *total = PyObject_GetAttr(object, pool->str__total_tokens);
    bool whole = limiter->borrowers != NULL && limiter->queue != NULL && total != NULL;
    if (whole && (!PySet_CheckExact(limiter->borrowers) || !PyDict_Check(limiter->queue))) {
        PyErr_SetString(PyExc_TypeError, "AnyIO's CapacityLimiter is not made as it was");
        whole = false;
    }
    limiter->total = whole ? PyFloat_AsDouble(total) : 0;
    Py_XDECREF(total);
    if (!whole || PyErr_Occurred()) {
        close_limiter(limiter);
        return -1;
    }
    return 0;
}

/* Calls object.name(argument) for its effect, and for its errors. */
static int call_method(PyObject *object, PyObject *name, PyObject *argument) {
    PyObject *answer = argument ? PyObject_CallMethodOneArg(object, name, argument)
                                : PyObject_CallMethodNoArgs(object, name);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

int CamPool_Borrow(cam_state *state, PyObject *object, PyObject *task) {
    Limiter limiter;
    if (open_limiter(state, object, &limiter) < 0) {
        return -1;
    }
    int status = PySet_Contains(limiter.borrowers, task);
    if (status > 0) { /* an error, in AnyIO's words */
        status = call_method(object, state->fastapi.pool->str_acquire_on_behalf_of_nowait, task);
    } else if (status == 0 && PyDict_GET_SIZE(limiter.queue) == 0 &&
               (double)PySet_GET_SIZE(limiter.borrowers) < limiter.total) {
        status = PySet_Add(limiter.borrowers, task) < 0 ? -1 : 1;
    }
    close_limiter(&limiter);
    return status;
}

int CamPool_Return(cam_state *state, PyObject *object, PyObject *task) {
    Limiter limiter;
    if (open_limiter(state, object, &limiter) < 0) {
        return -1;
    }
    int status = PySet_Discard(limiter.borrowers, task);
    if (status == 0) {
        status = call_method(object, state->fastapi.pool->str_release_on_behalf_of, task);
    } else if (status > 0) {
        status = PyDict_GET_SIZE(limiter.queue) == 0
                     ? 0
                     : call_method(object, state->fastapi.pool->str__notify_next_waiter, NULL);
    }
    close_limiter(&limiter);
    return status;
}

/* ---- waiting for a token ---- */

TokenWaitObject *CamPool_Queue(cam_state *state, PyObject *object, PyObject *task,
                               PyObject *future) {
    PyTypeObject *type = (PyTypeObject *)state->fastapi.pool->token_wait_type;
    TokenWaitObject *wait = (TokenWaitObject *)type->tp_alloc(type, 0);
    if (wait == NULL) {
        return NULL;
    }
    wait->state = state;
    wait->future = Py_NewRef(future);
    Limiter limiter;
    if (open_limiter(state, object, &limiter) < 0) {
        Py_DECREF(wait);
        return NULL;
    }
    if (PyObject_SetItem(limiter.queue, task, (PyObject *)wait) < 0) {
        Py_CLEAR(wait);
    }
    close_limiter(&limiter);
    return wait;
}

int CamPool_Granted(cam_state *state, PyObject *object, PyObject *task, TokenWaitObject *wait) {
    if (!wait->granted) { /* stepped by somebody who did not wait */
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return -1;
    }
    Limiter limiter;
    if (open_limiter(state, object, &limiter) < 0) {
        return -1;
    }
    /* Until AnyIO 4.15 who has waited does this, since then who wakes. */
    int status = PySet_Add(limiter.borrowers, task);
    close_limiter(&limiter);
    return status;
}

int CamPool_Unqueue(cam_state *state, PyObject *object, PyObject *task, TokenWaitObject *wait) {
    Py_CLEAR(wait->future);
    Limiter limiter;
    if (open_limiter(state, object, &limiter) < 0) {
        return -1;
    }
    int status = 0;
    if (wait->granted) {
        status = PySet_Discard(limiter.borrowers, task) < 0
                     ? -1
                     : call_method(object, state->fastapi.pool->str__notify_next_waiter, NULL);
    } else if (PyDict_GetItemWithError(limiter.queue, task) == (PyObject *)wait) {
        status = PyObject_DelItem(limiter.queue, task);
    } else if (PyErr_Occurred()) {
        status = -1;
    }
    close_limiter(&limiter);
    return status;
}

static PyObject *token_wait_set(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    TokenWaitObject *wait = (TokenWaitObject *)op;
    wait->granted = true;
    PyObject *future = wait->future;
    wait->future = NULL;
    int status = future ? CamPool_Wake(wait->state, future) : 0;
    Py_XDECREF(future);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *token_wait_is_set(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(((TokenWaitObject *)op)->granted);
}

static int token_wait_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((TokenWaitObject *)op)->future);
    return 0;
}

static int token_wait_clear(PyObject *op) {
    Py_CLEAR(((TokenWaitObject *)op)->future);
    return 0;
}

static void token_wait_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)token_wait_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef token_wait_methods[] = {
    {"set", token_wait_set, METH_NOARGS, "As an asyncio.Event's."},
    {"is_set", token_wait_is_set, METH_NOARGS, "As an asyncio.Event's."},
    {NULL},
};

static PyType_Slot token_wait_slots[] = {
    {Py_tp_doc, (void *)"What waits in the queue of AnyIO's limiter."},
    {Py_tp_dealloc, token_wait_dealloc},
    {Py_tp_traverse, token_wait_traverse},
    {Py_tp_clear, token_wait_clear},
    {Py_tp_methods, token_wait_methods},
    {0, NULL},
};

static PyType_Spec token_wait_spec = {
    .name = "camshaft._core.TokenWait",
    .basicsize = sizeof(TokenWaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = token_wait_slots,
};

int cam_token_wait_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &token_wait_spec, NULL, 0,
                            &state->fastapi.pool->token_wait_type);
}

/* ---- cancel scopes ---- */

int CamPool_ScopeOf(cam_state *state, PyObject *task, PyObject **scope) {
    cam_pool_state *pool = state->fastapi.pool;
    *scope = NULL;
    PyObject *known = look_up(pool->task_states, task);
    if (known == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(known);
    PyObject *found = PyObject_GetAttr(known, pool->str_cancel_scope);
    Py_DECREF(known);
    if (found == NULL) {
        return -1;
    }
    if (found == Py_None) {
        Py_DECREF(found);
        return 0;
    }
    *scope = found;
    return 0;
}

int CamPool_CurrentScope(cam_state *state, PyObject **scope) {
    *scope = NULL;
    int known = CamPool_KnowsAnyio(state);
    if (known <= 0) {
        return known;
    }
    PyObject *loop = PyObject_CallNoArgs(state->fastapi.pool->running_loop);
    PyObject *task = loop && loop != Py_None ? CamPool_CurrentTask(state, loop) : NULL;
    Py_XINCREF(task);
    Py_XDECREF(loop);
    if (task == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int status = CamPool_ScopeOf(state, task, scope);
    Py_DECREF(task);
    return status < 0 ? -1 : 1;
}

/* Truth of an attribute: 1, 0, -1. */
static int ask(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return truth;
}

int CamPool_IsCancelled(cam_state *state, PyObject *scope) {
    cam_pool_state *pool = state->fastapi.pool;
    int cancelled = 0;
    Py_INCREF(scope);
    while (scope != Py_None) {
        cancelled = ask(scope, pool->str_cancel_called);
        int shielded = cancelled == 0 ? ask(scope, pool->str_shield) : 0;
        cancelled = shielded < 0 ? -1 : cancelled;
        if (cancelled != 0 || shielded != 0) {
            break;
        }
        PyObject *parent = PyObject_GetAttr(scope, pool->str__parent_scope);
        Py_DECREF(scope);
        if (parent == NULL) {
            return -1;
        }
        scope = parent;
    }
    Py_DECREF(scope);
    return cancelled;
}
