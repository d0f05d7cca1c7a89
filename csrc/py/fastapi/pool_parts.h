/* SPDX-License-Identifier: MIT */
/* What the files of the pool share: its objects, and what is known of AnyIO. */
#ifndef CAM_FASTAPI_POOL_PARTS_H
#define CAM_FASTAPI_POOL_PARTS_H

#include "fastapi/pool.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct PoolObject PoolObject;
typedef struct WorkerObject WorkerObject;
typedef struct ThreadCallObject ThreadCallObject;

/* ---- AnyIO: pool_anyio.c ---- */

/* Attributes of what camshaft.fastapi.threads.find() returns, by the same names. */
#define CAM_POOL_FOUND(X)                                                                          \
    X(run_vars)        /* dict: {weak reference to a loop: {RunVar: value}} */                     \
    X(task_states)     /* dict: {weak reference to a task: TaskState} */                           \
    X(limiter_var)     /* the RunVar of the default limiter */                                     \
    X(limiter_type)    /* CapacityLimiter */                                                       \
    X(default_limiter) /* function: makes it where there is none */                                \
    X(cancel_scope)    /* CancelScope */                                                           \
    X(find_root_task)  /* function */                                                              \
    X(library_var)     /* sniffio's ContextVar, or None */                                         \
    X(thread_locals)   /* threading.local: current_token, current_cancel_scope */                  \
    X(new_token)       /* function(loop): an EventLoopToken */                                     \
    X(new_thread)      /* function(target): a threading.Thread like AnyIO's */                     \
    X(worker_thread)   /* class: AnyIO's own, for its MAX_IDLE_TIME */                             \
    X(to_thread)       /* dict: the names of anyio.to_thread */                                    \
    X(run_sync)        /* its run_sync, to see that nobody has replaced it */

/* Beside these: functions that are needed whatever AnyIO there is. */
#define CAM_POOL_OBJECTS(X)                                                                        \
    CAM_POOL_FOUND(X)                                                                              \
    X(run_by_anyio) /* async function(func, *args, **kwargs) */                                    \
    X(running_loop) /* asyncio._get_running_loop */                                                \
    X(current_task) /* asyncio.current_task */                                                     \
    X(new_context)  /* contextvars.Context */                                                      \
    X(kw_shield)                                                                                   \
    X(kw_context)                                                                                  \
    X(call_type)                                                                                   \
    X(pool_type)                                                                                   \
    X(token_wait_type)                                                                             \
    X(worker_type)

/* Attributes and methods, interned. */
#define CAM_POOL_STRINGS(X)                                                                        \
    X(_borrowers)                                                                                  \
    X(_wait_queue)                                                                                 \
    X(_total_tokens)                                                                               \
    X(_notify_next_waiter)                                                                         \
    X(acquire_on_behalf_of_nowait)                                                                 \
    X(release_on_behalf_of)                                                                        \
    X(cancel_scope)                                                                                \
    X(cancel_called)                                                                               \
    X(_parent_scope)                                                                               \
    X(shield)                                                                                      \
    X(__enter__)                                                                                   \
    X(__exit__)                                                                                    \
    X(__dict__)                                                                                    \
    X(run_sync)                                                                                    \
    X(start)                                                                                       \
    X(current_token)                                                                               \
    X(current_cancel_scope)                                                                        \
    X(call_soon_threadsafe)                                                                        \
    X(is_closed)                                                                                   \
    X(_deliver)                                                                                    \
    X(_reinforce)                                                                                  \
    X(_retire)                                                                                     \
    X(MAX_IDLE_TIME)

typedef enum CamPoolKnowledge {
    CAM_POOL_NOT_ASKED,
    CAM_POOL_KNOWN,
    CAM_POOL_UNKNOWN, /* this AnyIO is not known: it is called itself */
} CamPoolKnowledge;

typedef struct cam_pool_state {
    CamPoolKnowledge anyio;
    PoolObject *pools; /* strong, linked: those that take calls, one for each loop at most */
#define X(name) PyObject *name;
    CAM_POOL_OBJECTS(X)
#undef X
#define X(name) PyObject *str_##name;
    CAM_POOL_STRINGS(X)
#undef X
} cam_pool_state;

/* Whether calls are carried out here: 1; 0 when AnyIO has to; -1 with an exception. Imports AnyIO
 * the first time. */
int CamPool_KnowsAnyio(cam_state *state);

/* The loop's default limiter, made if there is none; *known tells whether the functions below that
 * take a limiter may be used with it. New reference, or NULL with an exception. */
PyObject *CamPool_Limiter(cam_state *state, PyObject *loop, bool *known);

/* limiter.acquire_on_behalf_of_nowait(task): 1, 0 when none is free, -1 with an exception. */
int CamPool_Borrow(cam_state *state, PyObject *limiter, PyObject *task);

/* Stands for the asyncio.Event in the limiter's queue of those who wait. */
typedef struct TokenWaitObject {
    PyObject_HEAD
    cam_state *state;
    PyObject *future; /* strong; NULL once nobody waits */
    bool granted;
} TokenWaitObject;

/* Queues the task for a token, which `future`, done then, tells. New reference, or NULL with an
 * exception. */
TokenWaitObject *CamPool_Queue(cam_state *state, PyObject *limiter, PyObject *task,
                               PyObject *future);

/* The task has waited: 0 if it has the token now, or -1 with an exception. */
int CamPool_Granted(cam_state *state, PyObject *limiter, PyObject *task, TokenWaitObject *wait);

/* The task waits no more: whatever it was given goes to the next. 0, or -1 with an exception. */
int CamPool_Unqueue(cam_state *state, PyObject *limiter, PyObject *task, TokenWaitObject *wait);

int cam_token_wait_exec(PyObject *module, cam_state *state);

/* Whether asyncio.Future, no subclass, whose struct is known. */
bool CamPool_IsStock(cam_state *state, PyObject *future);

/* future.set_result(None), if it is not done yet; 0, or -1 with an exception. */
int CamPool_Wake(cam_state *state, PyObject *future);

/* limiter.release_on_behalf_of(task); 0, or -1 with an exception. Runs AnyIO's code if others
 * wait. */
int CamPool_Return(cam_state *state, PyObject *limiter, PyObject *task);

/* The task's innermost cancel scope: new reference in *scope, NULL for none. 0 or -1. */
int CamPool_ScopeOf(cam_state *state, PyObject *task, PyObject **scope);

/* Whether a cancellation of a scope from `scope` outwards reaches it: 1, 0, -1. */
int CamPool_IsCancelled(cam_state *state, PyObject *scope);

/* The running loop's current task: borrowed, NULL for none or with an exception. */
PyObject *CamPool_CurrentTask(cam_state *state, PyObject *loop);

/* ---- a call: pool_call.c ---- */

typedef enum CamCallStage {
    CAM_CALL_NEW,
    CAM_CALL_CHECKPOINT, /* has yielded once, as AnyIO's checkpoint() does */
    CAM_CALL_QUEUED,     /* waits for a token of the limiter */
    CAM_CALL_TOKEN,      /* has a token, and has yielded for that too */
    CAM_CALL_SUBMITTED,  /* waits for `future` */
    CAM_CALL_DELEGATED,  /* `inner` is AnyIO's coroutine */
    CAM_CALL_ENDED,
} CamCallStage;

struct ThreadCallObject {
    PyObject_VAR_HEAD /* of size 1 + positional and keyword arguments */
    cam_state *state;
    ThreadCallObject *next; /* in a queue of its pool, which holds a reference */
    CamCallStage stage;
    bool borrowed;         /* a token of the limiter's, in the task's name */
    Py_ssize_t nargs;      /* positional arguments */
    PyObject *func;        /* strong, as all that follows; NULL once ended */
    PyObject *kwnames;     /* or NULL */
    PyObject *loop;        /* or NULL before the first step */
    PyObject *task;        /* who awaits it, or NULL before the first step */
    PyObject *limiter;     /* or NULL */
    TokenWaitObject *wait; /* or NULL: in the limiter's queue */
    PyObject *shield;      /* or NULL: the cancel scope that was entered */
    PyObject *scope;       /* or NULL: what from_thread finds as its cancel scope */
    PyObject *context;     /* or NULL: to be run in */
    PyObject *future;      /* or NULL: done once over; cancelled with the task */
    PyObject *inner;       /* or NULL: a coroutine that the steps go to */
    PyObject *result;      /* or NULL: what came of it */
    PyObject *exception;   /* or NULL */
    PyObject *stack[1];    /* [0] is what a vectorcall may use meanwhile */
};

/* Calls the function in the thread that calls this; `names` is this thread's dict of AnyIO's
 * thread-locals. Runs user code; never fails. */
void CamThreadCall_Work(ThreadCallObject *call, PyObject *names);

/* Tells the future of a call that it is over, on the loop's thread. 0, or -1 with an exception. */
int CamThreadCall_Tell(ThreadCallObject *call);

int cam_thread_call_exec(PyObject *module, cam_state *state);

/* ---- a pool: pool.c ---- */

typedef struct CamCallQueue {
    ThreadCallObject *first; /* strong */
    ThreadCallObject *last;
} CamCallQueue;

/* Adds a call at the end, of which it takes a reference of the caller's. */
void CamCallQueue_Push(CamCallQueue *queue, ThreadCallObject *call);

/* The first call, now the caller's; NULL for none. */
ThreadCallObject *CamCallQueue_Pop(CamCallQueue *queue);

struct PoolObject {
    PyObject_HEAD
    cam_state *state;
    PoolObject *next;     /* in state->fastapi.pool->pools */
    PyObject *loop;       /* strong */
    LoopObject *ours;     /* the same if it is a loop of camshaft's, else NULL */
    CamCallQueue waiting; /* for a thread */
    CamCallQueue over;    /* their loop is yet to be told */
    WorkerObject *newest; /* resting workers, from the one that rested last */
    WorkerObject *oldest;
    size_t workers;   /* threads that have not ended, resting ones included */
    size_t seekers;   /* threads that are going to look into `waiting` before they rest or run
                       * user code: while there is one, none has to be woken */
    unsigned forks;   /* forks this process had behind it when it was made */
    bool delivering;  /* the loop was asked to deliver what is over */
    bool reinforcing; /* the loop was asked to start a thread if one is wanted */
    bool retired;     /* threads end once nothing waits */
};

/* How many forks lie between the process that loaded the module and this one. */
unsigned CamPool_Forks(void);

/* Gives a call to the pool of its loop, which is made if there is none. 0, or -1 with an
 * exception: then it will not be run. Runs user code (threads are started). */
int CamPool_Submit(cam_state *state, ThreadCallObject *call);

/* A call has ended, which is given away. False when nobody can be told any more. If *late is a loop
 * afterwards, CamLoop_WakeLate() is still to be called with it; NULL: from the loop's own thread.
 */
bool CamPool_Over(PoolObject *pool, ThreadCallObject *call, LoopObject **late);

/* Sees to it that a thread will look into the queue, if calls wait there; from any thread. */
void CamPool_Relieve(PoolObject *pool);

/* Takes no more calls: its threads end once nothing waits. Starts a thread if one is wanted for
 * that, and then runs user code. 0, or -1 with an exception. */
int CamPool_Retire(PoolObject *pool);

/* ---- a worker: pool_worker.c ---- */

struct WorkerObject {
    PyObject_HEAD
    PoolObject *pool;    /* strong; NULL once ended */
    WorkerObject *newer; /* among those that rest */
    WorkerObject *older;
    PyThread_type_lock rest; /* held, but for the moment in which somebody wakes the worker */
    double resting_since;    /* seconds, CLOCK_MONOTONIC */
    bool begun;
    bool leaving; /* woken to end; it is no seeker */
};

/* Starts a thread, as a seeker. 0, or -1 with an exception. Runs user code. */
int CamWorker_Start(PoolObject *pool);

/* Wakes the worker that rested last, as a seeker; false if none rests. */
bool CamWorker_Wake(PoolObject *pool);

/* Has workers end that have rested for as long as AnyIO's are left to, 10 seconds. */
void CamWorker_Prune(PoolObject *pool);

/* Has all workers end that rest. */
void CamWorker_Dismiss(PoolObject *pool);

int cam_worker_exec(PyObject *module, cam_state *state);

#endif
