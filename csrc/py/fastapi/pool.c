/* SPDX-License-Identifier: MIT */
/* The threads of one loop, and the calls that wait for them. */
#include "fastapi/pool_parts.h"

#include "compat.h"

#include <pthread.h>
#include <time.h>

static unsigned forks;

static void count_fork(void) {
    forks++;
}

static void watch_forks(void) {
    (void)pthread_atfork(NULL, NULL, count_fork);
}

unsigned CamPool_Forks(void) {
    return forks;
}

/* ---- queues ---- */

void CamCallQueue_Push(CamCallQueue *queue, ThreadCallObject *call) {
    call->next = NULL;
    if (queue->last != NULL) {
        queue->last->next = call;
    } else {
        queue->first = call;
    }
    queue->last = call;
}

ThreadCallObject *CamCallQueue_Pop(CamCallQueue *queue) {
    ThreadCallObject *call = queue->first;
    if (call != NULL) {
        queue->first = call->next;
        call->next = NULL;
        if (queue->first == NULL) {
            queue->last = NULL;
        }
    }
    return call;
}

/* Takes a call out of its place; false if it is no longer there. */
static bool withdraw(CamCallQueue *queue, ThreadCallObject *call) {
    ThreadCallObject *previous = NULL;
    for (ThreadCallObject *each = queue->first; each != NULL; each = each->next) {
        if (each == call) {
            *(previous ? &previous->next : &queue->first) = call->next;
            if (queue->last == call) {
                queue->last = previous;
            }
            call->next = NULL;
            Py_DECREF(call);
            return true;
        }
        previous = each;
    }
    return false;
}

static int visit_queue(CamCallQueue *queue, visitproc visit, void *arg) {
    for (ThreadCallObject *each = queue->first; each != NULL; each = each->next) {
        Py_VISIT(each);
    }
    return 0;
}

static void clear_queue(CamCallQueue *queue) {
    ThreadCallObject *call;
    while ((call = CamCallQueue_Pop(queue)) != NULL) {
        Py_DECREF(call);
    }
}

/* ---- asking the loop ---- */

/* What can be told without asking: a loop of camshaft's was closed, or the loop is the parent's. */
static bool is_seen_deaf(PoolObject *pool) {
    return pool->forks != CamPool_Forks() || (pool->ours != NULL && pool->ours->closed);
}

/* True when nobody can be told that a call is over. Safe with an exception set. */
static bool is_deaf(PoolObject *pool) {
    if (is_seen_deaf(pool) || pool->ours != NULL) {
        return is_seen_deaf(pool);
    }
    PyObject *exception = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    PyObject *answer =
        PyObject_CallMethodNoArgs(pool->loop, pool->state->fastapi.pool->str_is_closed);
    int closed = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (closed < 0) {
        PyErr_Clear();
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return closed > 0;
}

/* Has the loop call `step`, which is the method `name`, soon; from any thread. `late` is as of
 * CamPool_Over(), or NULL. 0, or -1 with an exception. */
static int ask_loop(PoolObject *pool, CamStep step, PyObject *name, LoopObject **late) {
    if (pool->ours != NULL && late != NULL) {
        bool wakes = false;
        int status = CamLoop_EnqueueLate(pool->ours, step, (PyObject *)pool, &wakes);
        *late = wakes ? pool->ours : NULL;
        return status;
    }
    if (pool->ours != NULL) {
        return CamLoop_Enqueue(pool->ours, step, (PyObject *)pool);
    }
    PyObject *method = PyObject_GetAttr((PyObject *)pool, name);
    PyObject *handle =
        method ? PyObject_CallMethodOneArg(
                     pool->loop, pool->state->fastapi.pool->str_call_soon_threadsafe, method)
               : NULL;
    Py_XDECREF(method);
    Py_XDECREF(handle);
    return handle ? 0 : -1;
}

/* ask_loop(), again and again while only memory is wanting: nobody else would tell the loop. False
 * when the loop was closed. */
static bool insist(PoolObject *pool, CamStep step, PyObject *name, LoopObject **late) {
    for (;;) {
        if (is_seen_deaf(pool)) {
            return false;
        }
        if (ask_loop(pool, step, name, late) == 0) {
            return true;
        }
        if (is_deaf(pool)) {
            PyErr_Clear();
            return false;
        }
        if (!PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_WriteUnraisable(pool->loop);
            pool->delivering = pool->reinforcing = false; /* the next one tries again */
            return true;
        }
        PyErr_Clear();
        const struct timespec moment = {0, 1000000};
        Py_BEGIN_ALLOW_THREADS(void)
        nanosleep(&moment, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* ---- what is over ---- */

/* Tells the futures of all calls that are over. 0, or -1 with an exception: the rest is told in a
 * turn to come. */
static int deliver(PoolObject *pool) {
    pool->delivering = false;
    ThreadCallObject *call;
    while ((call = CamCallQueue_Pop(&pool->over)) != NULL) {
        int status = CamThreadCall_Tell(call);
        PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
        Py_DECREF(call);
        if (exception != NULL) {
            if (pool->over.first != NULL && !pool->delivering) {
                (void)CamPool_Over(pool, CamCallQueue_Pop(&pool->over), NULL);
            }
            PyErr_SetRaisedException(exception);
            return -1;
        }
    }
    return 0;
}

/* A CamStep. */
static int deliver_step(LoopObject *Py_UNUSED(loop), PyObject *op) {
    return deliver((PoolObject *)op);
}

bool CamPool_Over(PoolObject *pool, ThreadCallObject *call, LoopObject **late) {
    CamCallQueue_Push(&pool->over, call);
    if (pool->delivering) {
        return true;
    }
    pool->delivering = true;
    return insist(pool, deliver_step, pool->state->fastapi.pool->str__deliver, late);
}

/* ---- where there are too few threads ---- */

/* On the loop's thread: a call waits, and all threads are in user code. When none can be started,
 * the call fails with that. 0, or -1 with what is no Exception (KeyboardInterrupt). */
static int reinforce(PoolObject *pool) {
    pool->reinforcing = false;
    while (pool->waiting.first != NULL && pool->seekers == 0 && !CamWorker_Wake(pool)) {
        if (CamWorker_Start(pool) == 0) {
            return 0;
        }
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyObject *exception = PyErr_GetRaisedException();
        ThreadCallObject *call = CamCallQueue_Pop(&pool->waiting);
        if (call == NULL) { /* taken after all */
            Py_DECREF(exception);
            return 0;
        }
        call->exception = exception;
        (void)CamPool_Over(pool, call, NULL);
    }
    return 0;
}

/* A CamStep. */
static int reinforce_step(LoopObject *Py_UNUSED(loop), PyObject *op) {
    return reinforce((PoolObject *)op);
}

void CamPool_Relieve(PoolObject *pool) {
    if (pool->waiting.first == NULL || pool->seekers > 0 || CamWorker_Wake(pool) ||
        pool->reinforcing) {
        return;
    }
    pool->reinforcing = true;
    (void)insist(pool, reinforce_step, pool->state->fastapi.pool->str__reinforce, NULL);
}

/* ---- the pool of a loop ---- */

int CamPool_Retire(PoolObject *pool) {
    pool->retired = true;
    Py_INCREF(pool);
    PoolObject **link = &pool->state->fastapi.pool->pools;
    while (*link != NULL && *link != pool) {
        link = &(*link)->next;
    }
    if (*link == pool) {
        *link = pool->next;
        pool->next = NULL;
        Py_DECREF(pool);
    }
    int status = 0;
    if (pool->forks == CamPool_Forks()) { /* else no thread is left to wake */
        status = reinforce(pool);
        CamWorker_Dismiss(pool);
    }
    Py_DECREF(pool);
    return status;
}

/* Retires pools that nobody has told about the end of their loop. 0, or -1 with an exception. */
static int sweep(cam_state *state) {
    int status = 0;
    PoolObject *pool = state->fastapi.pool->pools;
    Py_XINCREF(pool);
    while (pool != NULL) {
        PoolObject *next = (PoolObject *)Py_XNewRef(pool->next);
        if (status == 0 && is_deaf(pool)) {
            status = CamPool_Retire(pool);
        }
        Py_DECREF(pool);
        pool = next;
    }
    return status;
}

/* What AnyIO does for the first thread: it is to end with the task that the loop runs for. */
static int follow_root_task(cam_state *state, PoolObject *pool) {
    PyObject *task = PyObject_CallNoArgs(state->fastapi.pool->find_root_task);
    PyObject *context = task ? PyObject_CallNoArgs(state->fastapi.pool->new_context) : NULL;
    PyObject *method =
        context ? PyObject_GetAttr((PyObject *)pool, state->fastapi.pool->str__retire) : NULL;
    PyObject *answer = NULL;
    if (method != NULL) {
        PyObject *stack[] = {task, method, context};
        answer = PyObject_VectorcallMethod(state->str_add_done_callback, stack,
                                           2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                           state->fastapi.pool->kw_context);
    }
    Py_XDECREF(method);
    Py_XDECREF(context);
    Py_XDECREF(task);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

static PoolObject *new_pool(cam_state *state, PyObject *loop) {
    if (sweep(state) < 0) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)state->fastapi.pool->pool_type;
    PoolObject *pool = (PoolObject *)type->tp_alloc(type, 0);
    if (pool == NULL) {
        return NULL;
    }
    pool->state = state;
    pool->loop = Py_NewRef(loop);
    pool->ours = CamLoop_Check(state, loop) ? (LoopObject *)loop : NULL;
    pool->forks = CamPool_Forks();
    if (follow_root_task(state, pool) < 0) {
        Py_DECREF(pool);
        return NULL;
    }
    pool->next = state->fastapi.pool->pools;
    state->fastapi.pool->pools = (PoolObject *)Py_NewRef(pool);
    return pool;
}

/* New reference. */
static PoolObject *pool_of(cam_state *state, PyObject *loop) {
    for (PoolObject *pool = state->fastapi.pool->pools; pool != NULL; pool = pool->next) {
        if (pool->loop == loop && pool->forks == CamPool_Forks()) {
            return (PoolObject *)Py_NewRef(pool);
        }
    }
    return new_pool(state, loop);
}

int CamPool_Submit(cam_state *state, ThreadCallObject *call) {
    PoolObject *pool = pool_of(state, call->loop);
    if (pool == NULL) {
        return -1;
    }
    CamCallQueue_Push(&pool->waiting, (ThreadCallObject *)Py_NewRef(call));
    int status = 0;
    if (pool->seekers == 0) {
        if (!CamWorker_Wake(pool)) {
            status = CamWorker_Start(pool);
        } else if (pool->oldest != NULL) {
            CamWorker_Prune(pool);
        }
    }
    if (status < 0) {
        bool withdrawn = withdraw(&pool->waiting, call);
        if (!withdrawn && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* another thread, which came free meanwhile, has taken it */
            status = 0;
        }
    }
    Py_DECREF(pool);
    return status;
}

/* ---- as an object ---- */

static PyObject *pool_deliver(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    if (deliver((PoolObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *pool_reinforce(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    if (reinforce((PoolObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *pool_retire(PyObject *op, PyObject *Py_UNUSED(task)) {
    if (CamPool_Retire((PoolObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef pool_methods[] = {
    {"_deliver", pool_deliver, METH_NOARGS, "Tell the loop's futures what is over."},
    {"_reinforce", pool_reinforce, METH_NOARGS, "Start a thread if one is wanted."},
    {"_retire", pool_retire, METH_O, "Have the threads end; a callback of the root task's."},
    {NULL},
};

static int pool_traverse(PyObject *op, visitproc visit, void *arg) {
    PoolObject *pool = (PoolObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(pool->loop);
    int status = visit_queue(&pool->waiting, visit, arg);
    return status ? status : visit_queue(&pool->over, visit, arg);
}

static int pool_clear(PyObject *op) {
    PoolObject *pool = (PoolObject *)op;
    pool->ours = NULL;
    Py_CLEAR(pool->loop);
    clear_queue(&pool->waiting);
    clear_queue(&pool->over);
    return 0;
}

static void pool_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)pool_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, (void *)"The worker threads of a loop."},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_clear, pool_clear},
    {Py_tp_methods, pool_methods},
    {0, NULL},
};

static PyType_Spec pool_spec = {
    .name = "camshaft._core.ThreadPool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_slots,
};

/* ---- the module's part ---- */

static PyObject *retire_closed(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    if (sweep(PyModule_GetState(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_retire_closed", retire_closed, METH_NOARGS,
     "_retire_closed()\n--\n\n"
     "Have the worker threads end whose loop was closed before its root task ended."},
    {NULL},
};

static int import_name(const char *module_name, const char *name, PyObject **slot) {
    PyObject *module = PyImport_ImportModule(module_name);
    *slot = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return *slot ? 0 : -1;
}

int cam_pool_exec(PyObject *module, cam_state *state) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    cam_pool_state *pool = state->fastapi.pool = PyMem_Calloc(1, sizeof(cam_pool_state));
    if (pool == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#define X(text)                                                                                    \
    if ((pool->str_##text = PyUnicode_InternFromString(#text)) == NULL) {                          \
        return -1;                                                                                 \
    }
    CAM_POOL_STRINGS(X)
#undef X
    pool->kw_shield = PyTuple_Pack(1, pool->str_shield);
    pool->kw_context = PyTuple_Pack(1, state->str_context);
    if (pool->kw_shield == NULL || pool->kw_context == NULL ||
        import_name("asyncio.events", "_get_running_loop", &pool->running_loop) < 0 ||
        import_name("asyncio.tasks", "current_task", &pool->current_task) < 0 ||
        import_name("contextvars", "Context", &pool->new_context) < 0 ||
        PyModule_AddFunctions(module, functions) < 0 ||
        CamState_AddType(module, &pool_spec, NULL, 0, &pool->pool_type) < 0) {
        return -1;
    }
    return cam_thread_call_exec(module, state) < 0 ? -1 : cam_worker_exec(module, state);
}

int cam_pool_traverse(cam_state *state, visitproc visit, void *arg) {
    cam_pool_state *pool = state->fastapi.pool;
    if (pool == NULL) {
        return 0;
    }
#define X(name) Py_VISIT(pool->name);
    CAM_POOL_OBJECTS(X)
#undef X
    for (PoolObject *each = pool->pools; each != NULL; each = each->next) {
        Py_VISIT(each);
    }
    return 0;
}

void cam_pool_free(cam_state *state) {
    cam_pool_state *pool = state->fastapi.pool;
    if (pool == NULL) {
        return;
    }
#define X(name) Py_CLEAR(pool->name);
    CAM_POOL_OBJECTS(X)
#undef X
#define X(name) Py_CLEAR(pool->str_##name);
    CAM_POOL_STRINGS(X)
#undef X
    PyMem_Free(pool);
    state->fastapi.pool = NULL;
}
