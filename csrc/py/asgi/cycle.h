/* SPDX-License-Identifier: MIT */
/*
 * One request and its answer.
 *
 * A cycle is also the coroutine of the request's asyncio.Task: its first step calls the
 * application, the others are passed on to what that returned, and the last one sees to it that
 * the request is answered whatever the application did. It is tied to its connection until the
 * answer is complete or the connection is lost; after that receive() gives http.disconnect, and
 * the application may go on by itself, as background tasks do.
 */
#ifndef CAM_ASGI_CYCLE_H
#define CAM_ASGI_CYCLE_H

#include "asgi/connection.h"

struct WaitObject;

/* How far the answer has come. */
typedef enum cam_answer {
    CAM_ANSWER_NONE,
    CAM_ANSWER_HELD,  /* http.response.start was sent: the head is in connection->output */
    CAM_ANSWER_BEGUN, /* the head is written */
    CAM_ANSWER_COMPLETE,
} cam_answer;

typedef enum cam_run {
    CAM_RUN_NEW,
    CAM_RUN_ACTIVE,
    CAM_RUN_ENDED,
} cam_run;

typedef struct CycleObject {
    PyObject_HEAD
    cam_state *state;
    HttpServerObject *server;       /* strong */
    HttpProtocolObject *connection; /* strong; NULL once complete or disconnected */
    struct CycleObject *next;       /* in server->running */
    struct CycleObject *previous;
    PyObject *scope; /* until the application is called */
    PyObject *inner; /* the application's coroutine, while it runs */
    PyObject *task;  /* while it runs, for HttpServer.cancel() */
    /* Each strong: a task that nothing else refers to must not vanish while it waits in receive(),
     * as it does not with an asyncio.Event. */
    struct WaitObject *waits;

    PyObject *body;  /* bytes object of ours alone, or NULL: received, not yet taken */
    size_t body_len; /* of it; the object may be longer */

    PyObject *method; /* for the access log: NULL without one */
    PyObject *path;
    PyObject *query_string;

    uint64_t length_left; /* of the answer, if has_length */
    uint64_t length_sent; /* of this body event */
    int status;
    uint8_t answer; /* cam_answer */
    uint8_t run;    /* cam_run */
    bool listed;
    bool running; /* a step is under way */
    bool minor_version;
    bool is_head;
    bool more_body;  /* of the request */
    bool body_told;  /* the application has been told the end of it */
    bool awaits_100; /* the peer waits for "100 Continue" */
    bool peer_gone;  /* the peer has ended its direction */
    bool keep_alive;
    bool has_length;   /* the answer has a Content-Length */
    bool without_body; /* the answer must not have a body */
    bool chunked;
    bool says_close; /* the application's own Connection header has "close" */
} CycleObject;

int cam_cycle_exec(PyObject *module, cam_state *state);

/* The cycle of a request, not yet running. NULL with an exception. May run user code. */
CycleObject *CamCycle_New(HttpProtocolObject *connection, const cam_h1_request *request);

/* Makes its task. Runs user code: a task factory's, and the application's if tasks are eager. */
int CamCycle_Start(CycleObject *self);

/* More of the request's body. CamCycle_AddBody copies. */
int CamCycle_AddBody(CycleObject *self, const char *data, size_t size);
void CamCycle_EndBody(CycleObject *self);

/* Unties it from its connection (which must have let go of it) and wakes who waits. */
void CamCycle_Detach(CycleObject *self);

/* Wakes who waits in receive() or send(), to look again. Runs user code (call_soon). */
void CamCycle_Wake(CycleObject *self);

/* Part of the answer has been written. */
static inline bool CamCycle_HasBegun(const CycleObject *self) {
    return self->answer >= CAM_ANSWER_BEGUN;
}

/* receive(): the next event, if there is one: 1 with *event a new reference; 0 when one must
 * wait; -1 with an exception. */
int CamCycle_Receive(CycleObject *self, PyObject **event);

/* send(): takes an event. 0, or -1 with an exception. Runs user code. */
int CamCycle_Send(CycleObject *self, PyObject *event);

/* The peer does not read as fast as the application sends. */
static inline bool CamCycle_MustWaitToSend(const CycleObject *self) {
    return self->connection != NULL && self->connection->writing_paused;
}

#endif
