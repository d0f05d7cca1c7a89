/* SPDX-License-Identifier: MIT */
/* A worker: what a thread of the pool's runs. */
#include "fastapi/pool_parts.h"

#include "compat.h"

#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- those that rest ---- */

static void lie_down(PoolObject *pool, WorkerObject *worker) {
    worker->resting_since = now();
    worker->newer = NULL;
    worker->older = pool->newest;
    *(pool->newest ? &pool->newest->newer : &pool->oldest) = worker;
    pool->newest = worker;
}

static void get_up(PoolObject *pool, WorkerObject *worker) {
    *(worker->newer ? &worker->newer->older : &pool->newest) = worker->older;
    *(worker->older ? &worker->older->newer : &pool->oldest) = worker->newer;
    worker->newer = worker->older = NULL;
}

bool CamWorker_Wake(PoolObject *pool) {
    WorkerObject *worker = pool->newest;
    if (worker == NULL) {
        return false;
    }
    get_up(pool, worker);
    pool->seekers++;
    if (pool->ours != NULL && pool->ours->thread == PyThread_get_thread_ident()) {
        CamLoop_HandOver(pool->ours, worker->rest);
    } else {
        PyThread_release_lock(worker->rest);
    }
    return true;
}

static void dismiss(PoolObject *pool, WorkerObject *worker) {
    get_up(pool, worker);
    worker->leaving = true;
    PyThread_release_lock(worker->rest);
}

void CamWorker_Prune(PoolObject *pool) {
    cam_pool_state *state = pool->state->fastapi.pool;
    PyObject *longest = PyObject_GetAttr(state->worker_thread, state->str_MAX_IDLE_TIME);
    double rest = longest ? PyFloat_AsDouble(longest) : 0;
    Py_XDECREF(longest);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable((PyObject *)pool);
        return;
    }
    double limit = now() - rest;
    while (pool->oldest != NULL && pool->oldest->resting_since <= limit) {
        dismiss(pool, pool->oldest);
    }
}

void CamWorker_Dismiss(PoolObject *pool) {
    while (pool->oldest != NULL) {
        dismiss(pool, pool->oldest);
    }
}

/* ---- its life ---- */

/* This thread's dict of AnyIO's thread-locals, with the loop's token in it. New reference. */
static PyObject *claim_thread(PoolObject *pool) {
    cam_pool_state *state = pool->state->fastapi.pool;
    PyObject *names = PyObject_GetAttr(state->thread_locals, state->str___dict__);
    PyObject *token = names ? PyObject_CallOneArg(state->new_token, pool->loop) : NULL;
    if (token == NULL || PyDict_SetItem(names, state->str_current_token, token) < 0) {
        Py_CLEAR(names);
    }
    Py_XDECREF(token);
    return names;
}

static void release_thread(PoolObject *pool, PyObject *names) {
    if (PyDict_DelItem(names, pool->state->fastapi.pool->str_current_token) < 0) {
        PyErr_Clear();
    }
}

/* Works and rests until the pool retires or another thread says so. Entered as a seeker, and left
 * as none. */
static void work(WorkerObject *self, PoolObject *pool, PyObject *names) {
    unsigned forks = pool->forks;
    LoopObject *late = NULL; /* a loop that has been told of an end, and is yet to be woken */
    for (;;) {
        ThreadCallObject *call = CamCallQueue_Pop(&pool->waiting);
        if (call == NULL) {
            pool->seekers--;
            bool retired = pool->retired;
            if (!retired) {
                lie_down(pool, self);
            }
            Py_BEGIN_ALLOW_THREADS
            if (late != NULL) {
                CamLoop_WakeLate(late);
            }
            if (!retired) {
                PyThread_acquire_lock(self->rest, WAIT_LOCK);
            }
            Py_END_ALLOW_THREADS
            late = NULL;
            if (retired || self->leaving) {
                return;
            }
            continue;
        }
        pool->seekers--;
        if (late != NULL) {
            CamLoop_WakeLate(late);
            late = NULL;
        }
        CamPool_Relieve(pool);
        CamThreadCall_Work(call, names);
        /* From here on the next call is this thread's, so that who is told of this one finds a
         * thread for another. */
        pool->seekers++;
        if (!CamPool_Over(pool, call, &late)) {
            if (CamPool_Retire(pool) < 0) {
                PyErr_WriteUnraisable(pool->loop);
            }
            if (forks != CamPool_Forks()) {
                pool->seekers--;
                return; /* the only thread of a child, in which nothing is left to be done */
            }
        }
    }
}

/* The target of a thread. */
static PyObject *worker_call(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw)) {
    WorkerObject *self = (WorkerObject *)op;
    PoolObject *pool = self->pool;
    if (pool == NULL || self->begun) {
        Py_RETURN_NONE; /* given up before it began */
    }
    self->begun = true;
    Py_INCREF(pool);
    PyObject *names = claim_thread(pool);
    if (names != NULL) {
        work(self, pool, names);
        release_thread(pool, names);
        Py_DECREF(names);
    } else {
        pool->seekers--;
    }
    PyObject *exception = names ? NULL : PyErr_GetRaisedException();
    pool->workers--;
    if (exception != NULL) {
        CamPool_Relieve(pool);
    }
    Py_CLEAR(self->pool);
    Py_DECREF(pool);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_RETURN_NONE;
}

int CamWorker_Start(PoolObject *pool) {
    cam_pool_state *state = pool->state->fastapi.pool;
    PyTypeObject *type = (PyTypeObject *)state->worker_type;
    WorkerObject *self = (WorkerObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return -1;
    }
    self->rest = PyThread_allocate_lock();
    if (self->rest == NULL) {
        Py_DECREF(self);
        PyErr_NoMemory();
        return -1;
    }
    (void)PyThread_acquire_lock(self->rest, WAIT_LOCK);
    self->pool = (PoolObject *)Py_NewRef(pool);
    pool->workers++;
    pool->seekers++;
    PyObject *thread = PyObject_CallOneArg(state->new_thread, (PyObject *)self);
    PyObject *started = thread ? PyObject_CallMethodNoArgs(thread, state->str_start) : NULL;
    Py_XDECREF(thread);
    Py_XDECREF(started);
    if (started == NULL && !self->begun) {
        PyObject *exception = PyErr_GetRaisedException();
        pool->workers--;
        pool->seekers--;
        Py_CLEAR(self->pool); /* should the thread begin after all, it ends at once */
        PyErr_SetRaisedException(exception);
    }
    Py_DECREF(self);
    return started ? 0 : -1;
}

/* ---- the object ---- */

static int worker_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((WorkerObject *)op)->pool);
    return 0;
}

static void worker_dealloc(PyObject *op) {
    WorkerObject *self = (WorkerObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_CLEAR(self->pool);
    if (self->rest != NULL) {
        PyThread_free_lock(self->rest);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot worker_slots[] = {
    {Py_tp_doc, (void *)"What a worker thread runs."},
    {Py_tp_dealloc, worker_dealloc},
    {Py_tp_traverse, worker_traverse},
    {Py_tp_call, worker_call},
    {0, NULL},
};

static PyType_Spec worker_spec = {
    .name = "camshaft._core.ThreadWorker",
    .basicsize = sizeof(WorkerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = worker_slots,
};

int cam_worker_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &worker_spec, NULL, 0, &state->fastapi.pool->worker_type);
}
