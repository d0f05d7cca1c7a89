/* SPDX-License-Identifier: MIT */
/*
 * `_core.HttpProtocol`: one connection.
 *
 * Bytes come in (input.c), become requests one after the other, each with a cycle (cycle.h) that
 * the application talks to; the answer to a request is complete before the next one is begun.
 * Served by our own stream transport through its table of C functions, and by any other asyncio
 * transport through the Python methods of the same names.
 *
 * What a peer can make a connection hold: the head under way (bounded by the parser),
 * CAM_INPUT_HIGH bytes of requests to come, as much of an unread body, and of the answers what the
 * transport's high-water mark allows and one message more. On transports whose reads are not
 * bounded by us (TLS, another loop's) one read comes on top.
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
struct WebSocketObject;

enum {
    CAM_INPUT_HIGH = 64 * 1024,  /* bytes held of a body or of requests to come */
    CAM_INPUT_LEAST = 4 * 1024,  /* with room for fewer, reading is paused */
    CAM_DRAIN_LIMIT = 64 * 1024, /* of a body nobody reads, to keep the connection */
    CAM_OUTPUT_KEEP = 4 * 1024,  /* memory kept by an idle connection's output buffer */
    CAM_MEMO_LIMIT = 4 * 1024,   /* bytes of a header block that is remembered */
};

/* What the next byte received belongs to. */
typedef enum cam_phase {
    CAM_PHASE_HEAD,
    CAM_PHASE_LENGTH,    /* a body of known length */
    CAM_PHASE_CHUNKED,   /* a body in chunks */
    CAM_PHASE_WEBSOCKET, /* the frames of self->websocket */
    CAM_PHASE_CLOSED,    /* nothing: it is dropped */
} cam_phase;

/* What the connection is waiting for, with a time limit. */
typedef enum cam_timing {
    CAM_TIMING_NONE,
    CAM_TIMING_NEW,       /* the first byte */
    CAM_TIMING_HEAD,      /* the rest of a head */
    CAM_TIMING_BODY,      /* more of a body that the application may want */
    CAM_TIMING_HELD,      /* that the application goes on after the head of its answer */
    CAM_TIMING_WRITE,     /* that the peer reads */
    CAM_TIMING_IDLE,      /* the next request */
    CAM_TIMING_DRAIN,     /* the rest of a body that nobody reads */
    CAM_TIMING_WEBSOCKET, /* what self->websocket says */
    CAM_TIMING_LINGER,    /* the peer's end of the connection, after ours */
} cam_timing;

/* A header block that was read, and what was made of it: the next request mostly sends the same. */
typedef struct cam_kept_head {
    cam_h1_memo memo;  /* its block is `bytes` */
    PyObject *headers; /* list, or NULL: nothing is kept now */
    size_t capacity;   /* of `bytes` */
    bool forwarded;    /* the block has a header that a proxy tells by */
    bool te_trailers;  /* and "TE: trailers" */
    char bytes[];
} cam_kept_head;

typedef struct HttpProtocolObject {
    CamProtocolObject base;
    cam_state *state;
    HttpServerObject *server; /* strong */
    PyObject *owner; /* strong or NULL: who stands for it with the server's host (host.h) */
    struct HttpProtocolObject *next; /* in a slot of server->sweep */
    struct HttpProtocolObject *previous;
    cam_transport transport;
    PyObject *scope_template;          /* dict or NULL until the first request */
    PyObject *client_address;          /* str for the access log, or NULL until it is needed */
    PyObject *forwarded_client;        /* tuple or NULL: the last scope's client, told by a proxy */
    PyObject *address;                 /* bytes or NULL: what it counts as in server->addresses */
    struct CycleObject *cycle;         /* strong or NULL: the request that is being answered */
    struct WebSocketObject *websocket; /* strong or NULL: what the connection has become */

    cam_buffer input; /* received and not used yet */
    union {
        cam_h1_scan scan;    /* CAM_PHASE_HEAD: of the head that input begins with */
        cam_chunked chunked; /* CAM_PHASE_CHUNKED */
    };
    uint64_t body_left; /* CAM_PHASE_LENGTH */

    cam_buffer output; /* the head of a response, until its first body event */

    cam_kept_head *kept; /* PyMem, owned, or NULL */

    int64_t deadline; /* CamServer_Now(), unless timing is CAM_TIMING_NONE */
    union {
        int64_t linger_end;    /* the last deadline there can be, in CAM_TIMING_LINGER */
        size_t unacknowledged; /* bytes the peer had to read at the last look, in _WRITE; 0: none */
    };
    uint32_t drain_left; /* of the body that nobody reads any more */
    uint32_t requests;   /* that were begun, up to the greatest number there is */
    uint8_t timing;      /* cam_timing */
    uint8_t phase;       /* cam_phase */
    uint8_t slot;        /* of server->sweep, if listed */
    uint8_t warm_place;  /* in server->warm, if warm */
    uint8_t trusted;     /* cam_trusted: the peer, as a proxy */
    bool warm : 1;
    bool listed : 1; /* in server->sweep */
    bool secure : 1;
    bool te_trailers : 1;    /* the last request said "TE: trailers" */
    bool feeding : 1;        /* input.c is at work, and will see what changes */
    bool ahead : 1;          /* bytes of a next request came with the head of this one */
    bool resume_planned : 1; /* a call of _resume is on its way */
    bool holding : 1;        /* the transport sends later: another answer may come at once */
    bool upgraded : 1;       /* it has become a WebSocket */
    bool reading_paused : 1;
    bool writing_paused : 1;
    bool eof : 1; /* the peer sends no more */
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

/* Sends what is written, then closes. Reading is not paused any more, for asyncio's TLS does not
 * close while it is, if the peer has ended the connection before. Runs user code. */
int CamHttpProtocol_Close(HttpProtocolObject *self);

/* Sends what is written, then closes, giving the peer the time to read it even if it is still
 * sending: to close with unread input would reset the connection. Runs user code. */
int CamHttpProtocol_Linger(HttpProtocolObject *self);

/* Tears the request off the connection: the application sees a disconnect. */
void CamHttpProtocol_DropCycle(HttpProtocolObject *self);

/* Lets go of what an idle connection keeps to answer the next request faster. Runs user code (a
 * proxy's client may be anything). */
void CamHttpProtocol_Shed(HttpProtocolObject *self);

/* Notes that the connection keeps something while it is idle. Only so many may, lest all of a
 * thousand do who come at once: the one that was first to does no longer. Runs user code as Shed.
 */
void CamHttpProtocol_Warm(HttpProtocolObject *self);

/* There is something to shed. */
static inline bool CamHttpProtocol_IsFat(const HttpProtocolObject *self) {
    return self->scope_template != NULL || self->kept != NULL || self->output.ptr != NULL;
}

/* Pauses or resumes reading as the bytes held demand. */
int CamHttpProtocol_Balance(HttpProtocolObject *self);

/* Between pipelined requests: what was answered is sent with the next answer, if that comes without
 * a wait. CamHttpProtocol_Release() sends what there is at the end of the turn. */
void CamHttpProtocol_Release(HttpProtocolObject *self);

/* More has been asked of us, behind the request under way, and is answered yet. */
bool CamHttpProtocol_HasMore(const HttpProtocolObject *self);

/* Nothing has been asked of us that is not answered. */
bool CamHttpProtocol_IsIdle(const HttpProtocolObject *self);

#endif
