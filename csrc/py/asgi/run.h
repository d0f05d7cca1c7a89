/* SPDX-License-Identifier: MIT */
/*
 * One call of the application, for a request (cycle.h) or a WebSocket (websocket.h).
 *
 * A run is the coroutine of an asyncio.Task: its first step calls the application with scope,
 * receive and send, the others are passed on to what that returned, and when that ends the kind of
 * the run sees to it that the peer gets an answer whatever the application did. It is made when
 * the server has something to ask the application, is owned by its task, and belongs to the
 * loop's thread.
 */
#ifndef CAM_ASGI_RUN_H
#define CAM_ASGI_RUN_H

#include "asgi/connection.h"

struct WaitObject;
struct RunObject;

typedef enum cam_run_stage {
    CAM_RUN_NEW,
    CAM_RUN_ACTIVE,
    CAM_RUN_ENDED,
} cam_run_stage;

/* What differs between requests and WebSockets. All of it may run user code. */
typedef struct cam_run_kind {
    /* receive(): the next event, if there is one: 1 with *event a new reference; 0 when one must
     * wait; -1 with an exception. */
    int (*receive)(struct RunObject *self, PyObject **event);
    /* send(): takes an event. 0, or -1 with an exception. */
    int (*send)(struct RunObject *self, PyObject *event);
    /* What is to be awaited after that instead of the peer: a new reference, or NULL without an
     * exception. May be NULL. */
    PyObject *(*take_waiter)(struct RunObject *self);
    /* A step has ended in waiting: sees to what shall not wait for ever. Never fails. May be NULL.
     */
    void (*suspended)(struct RunObject *self);
    /* send() has waited for the peer: 0, or -1 with what it raises. May be NULL. */
    int (*waited)(struct RunObject *self);
    /* The application has returned `value`, or raised `exception`. */
    void (*returned)(struct RunObject *self, PyObject *value);
    void (*failed)(struct RunObject *self, PyObject *exception);
} cam_run_kind;

/* The members that every kind of run begins with. */
#define CAM_RUN_HEAD                                                                               \
    PyObject_HEAD                                                                                  \
    cam_state *state;                                                                              \
    const cam_run_kind *kind;                                                                      \
    HttpServerObject *server;       /* strong */                                                   \
    HttpProtocolObject *connection; /* strong; NULL once there is nothing more to say to it */     \
    struct RunObject *next;         /* in server->running */                                       \
    struct RunObject *previous;                                                                    \
    PyObject *app;   /* what is called; borrowed of the server */                                  \
    PyObject *scope; /* until the application is called */                                         \
    PyObject *inner; /* the application's coroutine, while it runs */                              \
    PyObject *task;  /* while it runs, for HttpServer.cancel() */                                  \
    /* Each strong: a task that nothing else refers to must not vanish while it waits in           \
     * receive(), as it does not with an asyncio.Event. */                                         \
    struct WaitObject *waits;                                                                      \
    uint8_t stage; /* cam_run_stage */                                                             \
    bool listed;                                                                                   \
    bool running; /* a step is under way */

typedef struct RunObject {
    CAM_RUN_HEAD
} RunObject;

int cam_run_exec(PyObject *module, cam_state *state);

/* A run of the given type, which must be derived from state->asgi.run_type; not yet running.
 * Steals `scope`, which is NULL for one that will not run. NULL with an exception. */
RunObject *CamRun_New(PyObject *type, const cam_run_kind *kind, HttpProtocolObject *connection,
                      PyObject *scope);

/* Makes its task. Runs user code: a task factory's, and the application's if tasks are eager. */
int CamRun_Start(RunObject *self);

/* Wakes who waits in receive() or send(), to look again. Runs user code (call_soon). */
void CamRun_Wake(RunObject *self);

/* Unties it from its connection (which must have let go of it) and wakes who waits. */
void CamRun_Detach(RunObject *self);

/* The peer does not read as fast as the application sends. */
static inline bool CamRun_MustWaitToSend(const RunObject *self) {
    return self->connection != NULL && self->connection->writing_paused;
}

/* What the types of the kinds do beside their own members; CPython 3.11 inherits no am_send. */
PySendResult CamRun_Step(PyObject *op, PyObject *value, PyObject **result);
int CamRun_Traverse(PyObject *op, visitproc visit, void *arg);
int CamRun_Clear(PyObject *op);
/* The last of a tp_dealloc, which has untracked the object and cleared its own members. */
void CamRun_Free(PyObject *op);

#endif
