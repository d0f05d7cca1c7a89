/* SPDX-License-Identifier: MIT */
/*
 * `_core.HttpProtocol`: one connection.
 *
 * Bytes come in (input.c), become requests one after the other, each with a cycle (cycle.h) that
 * the application talks to; the answer to a request is complete before the next one is begun.
 * Served by our own stream transport through its table of C functions, and by any other asyncio
 * transport through the Python methods of the same names.
 *
 * What a peer can make a connection hold: the head under way (bounded by the parser), one read
 * and CAM_INPUT_HIGH bytes of requests to come, as much of an unread body, and of the answers
 * what the transport's high-water mark allows and one message more.
 */
#ifndef CAM_ASGI_CONNECTION_H
#define CAM_ASGI_CONNECTION_H

#include "protocol.h"
#include "asgi/buffer.h"
#include "asgi/server.h"
#include "asgi/transport.h"
#include "http/chunked.h"
#include "http/h1.h"

struct CycleObject;

enum {
    CAM_INPUT_HIGH = 64 * 1024,  /* bytes held above which reading is paused */
    CAM_DRAIN_LIMIT = 64 * 1024, /* of a body nobody reads, to keep the connection */
    CAM_OUTPUT_KEEP = 4 * 1024,  /* memory kept by an idle connection's output buffer */
    CAM_MEMO_LIMIT = 4 * 1024,   /* bytes of a header block that is remembered */
};

/* What the next byte received belongs to. */
typedef enum cam_phase {
    CAM_PHASE_HEAD,
    CAM_PHASE_LENGTH,  /* a body of known length */
    CAM_PHASE_CHUNKED, /* a body in chunks */
    CAM_PHASE_CLOSED,  /* nothing: it is dropped */
} cam_phase;

/* What the connection is waiting for, with a time limit. */
typedef enum cam_timing {
    CAM_TIMING_NONE,
    CAM_TIMING_NEW,    /* the first byte */
    CAM_TIMING_HEAD,   /* the rest of a head */
    CAM_TIMING_BODY,   /* more of a body that the application may want */
    CAM_TIMING_WRITE,  /* that the peer reads */
    CAM_TIMING_IDLE,   /* the next request */
    CAM_TIMING_DRAIN,  /* the rest of a body that nobody reads */
    CAM_TIMING_LINGER, /* the peer's end of the connection, after ours */
} cam_timing;

typedef struct HttpProtocolObject {
    CamProtocolObject base;
    cam_state *state;
    HttpServerObject *server; /* strong */
    PyObject *owner; /* strong or NULL: who stands for it with the server's host (host.h) */
    struct HttpProtocolObject *next; /* in a slot of server->sweep */
    struct HttpProtocolObject *previous;
    cam_transport transport;
    PyObject *scope_template;   /* dict or NULL until the first request */
    PyObject *client_address;   /* str for the access log, or NULL until it is needed */
    PyObject *forwarded_client; /* tuple or NULL: the last scope's client, told by a proxy */
    struct CycleObject *cycle;  /* strong or NULL: the request that is being answered */

    cam_buffer input; /* received and not used yet */
    cam_h1_scan scan; /* of the head that input begins with */
    cam_chunked chunked;
    uint64_t body_left;  /* CAM_PHASE_LENGTH */
    uint64_t drain_left; /* of the body that nobody reads any more */

    cam_buffer output; /* the head of a response, until its first body event */

    cam_h1_memo memo; /* block: PyMem, owned */
    size_t memo_capacity;
    PyObject *memo_headers; /* list or NULL: what was made of memo.block */

    int64_t deadline; /* CamServer_Now(), unless timing is CAM_TIMING_NONE */
    union {
        int64_t linger_end;    /* the last deadline there can be, in CAM_TIMING_LINGER */
        size_t unacknowledged; /* bytes the peer had to read at the last look, in _WRITE; 0: none */
    };
    uint8_t timing;      /* cam_timing */
    uint8_t phase;       /* cam_phase */
    uint8_t slot;        /* of server->sweep, if listed */
    bool listed;         /* in server->sweep */
    uint8_t trusted;     /* cam_trusted: the peer, as a proxy */
    bool memo_forwarded; /* the memo has X-Forwarded-For or X-Forwarded-Proto */
    bool secure;
    bool te_trailers;    /* the last request said "TE: trailers" */
    bool served;         /* a request has been begun */
    bool feeding;        /* input.c is at work, and will see what changes */
    bool resume_planned; /* a call of _resume is on its way */
    bool holding;        /* the transport sends later: another answer may come at once */
    bool reading_paused;
    bool writing_paused;
    bool eof; /* the peer sends no more */
} HttpProtocolObject;

int cam_http_protocol_exec(PyObject *module, cam_state *state);

/* A new protocol of the server, not yet connected. */
PyObject *CamHttpProtocol_New(HttpServerObject *server);

/* input.c: takes bytes of the peer, which may be changed. Runs user code. */
int CamInput_Receive(HttpProtocolObject *self, char *data, size_t size);
/* The same for what is in self->input. */
int CamInput_Resume(HttpProtocolObject *self);

/* The answer to self's request is complete (self->cycle is NULL again): goes on with the next
 * one, or closes. Runs user code. */
int CamHttpProtocol_Finished(HttpProtocolObject *self, bool keep_alive);

/* Answers what is not a request with an error, `reason` being its one line of text, and closes.
 * The application, if it is at work on it, sees a disconnect. Runs user code. */
int CamHttpProtocol_Refuse(HttpProtocolObject *self, int status, const char *reason);

/* Sends what is written, then closes, giving the peer the time to read it even if it is still
 * sending: to close with unread input would reset the connection. Runs user code. */
int CamHttpProtocol_Linger(HttpProtocolObject *self);

/* Tears the request off the connection: the application sees a disconnect. */
void CamHttpProtocol_DropCycle(HttpProtocolObject *self);

/* Pauses or resumes reading as the bytes held demand. */
int CamHttpProtocol_Balance(HttpProtocolObject *self);

/* Between pipelined requests: what was answered is sent with the next answer, if that comes without
 * a wait. CamHttpProtocol_Release() sends what there is at the end of the turn. */
void CamHttpProtocol_Release(HttpProtocolObject *self);

/* Nothing has been asked of us that is not answered. */
bool CamHttpProtocol_IsIdle(const HttpProtocolObject *self);

#endif
