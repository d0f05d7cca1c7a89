/* SPDX-License-Identifier: MIT */
/*
 * One request and its answer: a run (run.h) of the application.
 *
 * It is tied to its connection until the answer is complete or the connection is lost; after that
 * receive() gives http.disconnect, and the application may go on by itself, as background tasks
 * do. The request is answered whatever the application did.
 */
#ifndef CAM_ASGI_CYCLE_H
#define CAM_ASGI_CYCLE_H

#include "asgi/access_details.h"
#include "asgi/run.h"

/* How far the answer has come. */
typedef enum cam_answer {
    CAM_ANSWER_NONE,
    CAM_ANSWER_HELD,     /* http.response.start was sent: the head is in connection->output */
    CAM_ANSWER_BEGUN,    /* the head is written */
    CAM_ANSWER_TRAILERS, /* the body is written; http.response.trailers was announced */
    CAM_ANSWER_COMPLETE,
} cam_answer;

typedef struct CycleObject {
    CAM_RUN_HEAD

    PyObject *body;  /* bytes object of ours alone, or NULL: received, not yet taken */
    size_t body_len; /* of it; the object may be longer */

    PyObject *method; /* for the access log: NULL without one */
    PyObject *path;
    PyObject *query_string;
    cam_access_details *details; /* PyMem, owned; NULL unless they are logged, and afterwards */

    PyObject *waiter; /* what sends a file, until send() has returned it */

    uint64_t length_left; /* of the answer, if has_length */
    uint64_t length_sent; /* of this body event */
    int64_t began;        /* CamMetrics_Now(), when the server counts */
    int64_t slowness;     /* nanoseconds of its peer's credit that are used up: timing.h */
    int status;
    uint8_t answer; /* cam_answer */
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
    bool head_alone;     /* the head is written, and nothing of the body was sent yet */
    bool says_close;     /* the application's own Connection header has "close" */
    bool trailers;       /* the application will send http.response.trailers */
    bool sends_trailers; /* and the peer takes them */
    bool trailers_begun; /* the last chunk is written, trailer fields may follow */
    bool pumping;        /* a file is on its way in pieces, and nothing else may be sent */
} CycleObject;

int cam_cycle_exec(PyObject *module, cam_state *state);

/* The cycle of a request, not yet running. NULL with an exception. May run user code. */
CycleObject *CamCycle_New(HttpProtocolObject *connection, const cam_h1_request *request);

/* A cycle that only answers, and is not run: the HTTP response to a handshake that became no
 * WebSocket. The answer ends the connection. NULL with an exception. */
CycleObject *CamCycle_NewAnswer(HttpProtocolObject *connection);

/* More of the request's body. CamCycle_AddBody copies. */
int CamCycle_AddBody(CycleObject *self, const char *data, size_t size);
void CamCycle_EndBody(CycleObject *self);

/* Part of the answer has been written. */
static inline bool CamCycle_HasBegun(const CycleObject *self) {
    return self->answer >= CAM_ANSWER_BEGUN;
}

/* cam_run_kind.receive and .send of a cycle. */
int CamCycle_Receive(RunObject *run, PyObject **event);
int CamCycle_Send(RunObject *run, PyObject *event);

/* Sends a whole answer, as the two events of it would: `headers` is an iterable of pairs of bytes,
 * `body` a bytes object. 0, or -1 with an exception. Runs user code. */
int CamCycle_SendWhole(CycleObject *self, int status, PyObject *headers, PyObject *body);

/* A piece of the file that is under way (`pumping`), a bytes object; `last` is the last of it. */
int CamCycle_SendPiece(CycleObject *self, PyObject *piece, bool more_body, bool last);

#endif
