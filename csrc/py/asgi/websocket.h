/* SPDX-License-Identifier: MIT */
/*
 * One WebSocket (RFC 6455) and the run of the application that it has: from the handshake, which
 * the application accepts or answers with an HTTP response, to the close frames.
 *
 *   websocket_open.c     the handshake: scope, 101, or another answer
 *   websocket_read.c     frames that become messages, and receive()
 *   websocket_write.c    send(): messages that become frames
 *   websocket_end.c      close frames in both directions, time limits, shutdown
 *   websocket.c          the object, and what the application's end means
 *
 * While connection->websocket points to it the connection's bytes are its frames; it lets go of the
 * connection (CAM_WEBSOCKET_CLOSED) when nothing more is read or sent, and lives on until the
 * application has returned. What a peer can make it hold: messages that wait, of together no more
 * than CAM_WEBSOCKET_QUEUE bytes and one message, the message under way, of no more than
 * ws_max_size bytes (a str may take four times that), one read of bytes not decoded yet, the
 * payload of one ping, and in the output what HTTP may have.
 */
#ifndef CAM_ASGI_WEBSOCKET_H
#define CAM_ASGI_WEBSOCKET_H

#include "asgi/run.h"
#include "asgi/websocket_deflate.h"
#include "ws/frame.h"
#include "ws/handshake.h"
#include "ws/utf8.h"

enum {
    CAM_WEBSOCKET_QUEUE = 256 * 1024, /* bytes of waiting messages above which no more are read */
};

typedef enum cam_websocket_phase {
    CAM_WEBSOCKET_CONNECTING, /* the application has not answered the handshake */
    CAM_WEBSOCKET_DENYING,    /* it is being answered with an HTTP response */
    CAM_WEBSOCKET_OPEN,
    CAM_WEBSOCKET_CLOSING, /* our close frame is sent, the peer's has not come */
    CAM_WEBSOCKET_CLOSED,  /* detached from its connection */
} cam_websocket_phase;

/* A message that waits. */
typedef struct cam_websocket_message {
    PyObject *object; /* bytes or str, strong */
    size_t size;      /* bytes that it had on the wire, inflated */
} cam_websocket_message;

struct CycleObject;

typedef struct WebSocketObject {
    CAM_RUN_HEAD
    uint8_t phase;       /* cam_websocket_phase */
    bool connect_told;   /* the application has been told of the handshake */
    bool ended;          /* close_code is set: receive() ends with websocket.disconnect */
    bool by_application; /* it was the application that closed or denied */
    bool ping_pending;   /* a ping has not been answered */
    bool heard;          /* bytes have come since the last look at the time limit */
    int16_t put_off;     /* an end that waits: see cam_websocket_end_by_peer */
    uint16_t close_code;
    uint32_t ping_number;   /* the payload of the last ping */
    int64_t ping_time;      /* when it was sent, CamServer_Now(); at first that of the handshake */
    int64_t deadline;       /* of the next ping, its pong, or the close frame; 0 for none */
    PyObject *close_reason; /* str, or NULL when there was no close frame to give one */

    PyObject *path; /* for the log: NULL once the handshake is answered */
    PyObject *query_string;
    char accept[CAM_WS_ACCEPT]; /* Sec-WebSocket-Accept */
    struct CycleObject *answer; /* strong or NULL: the HTTP response, in CAM_WEBSOCKET_DENYING */

    cam_websocket_codec *codec; /* PyMem, owned; NULL when messages are not compressed */

    cam_ws_decoder decoder;
    cam_utf8 utf8;     /* of the text under way */
    PyObject *message; /* bytes object of ours alone, or NULL: the message under way */
    size_t message_len;

    cam_websocket_message *queue; /* ring; PyMem, owned */
    size_t queue_capacity;
    size_t queue_first;
    size_t queue_count;
    size_t queue_bytes; /* the sum of their sizes */

    PyObject *pong; /* bytes or NULL: of a ping to be answered when the peer reads again */
} WebSocketObject;

int cam_websocket_exec(PyObject *module, cam_state *state);

/* websocket.c: a new one, not yet running. Steals `scope`. NULL with an exception. */
WebSocketObject *CamWebSocket_New(HttpProtocolObject *connection, PyObject *scope);

/* ---- for the connection ---- */

/*
 * A request that asks for an upgrade: 1 if that is to WebSocket, and then it has been answered or
 * its application begun, 0 if it is not, or -1. The request's slices are good only before. Runs
 * user code.
 */
int CamWebSocket_Begin(HttpProtocolObject *connection, const cam_h1_request *request);

/* Takes as many bytes of frames as can be used now; how many, or -1. Runs user code. */
Py_ssize_t CamWebSocket_Feed(WebSocketObject *self, char *data, size_t size);

/* Bytes of the next read that will not be held as input: what is left of the frame under way, which
 * goes into its message, and a head. So a frame of 64 KiB comes in one read. */
static inline size_t CamWebSocket_Room(const WebSocketObject *self) {
    const size_t most = CAM_WEBSOCKET_QUEUE;
    return CAM_WS_MAX_HEAD + (self->decoder.left < most ? (size_t)self->decoder.left : most);
}

/* No more frames are to be decoded until the application has received some. */
bool CamWebSocket_IsFull(const WebSocketObject *self);

/* The peer has ended its direction without a close frame. As eof_received of a protocol. */
int CamWebSocket_Eof(WebSocketObject *self);

/* The peer reads again. Runs user code. */
int CamWebSocket_ResumeWriting(WebSocketObject *self);

/* The connection is lost (or being cleared: nothing may be told any more). */
void CamWebSocket_Lost(WebSocketObject *self);

/* Its deadline has passed: a ping is due, or a pong or the peer's close frame did not come. Runs
 * user code. */
int CamWebSocket_Expire(WebSocketObject *self);

/* Ends it because the server does, with the given close code. Runs user code. */
int CamWebSocket_Shutdown(WebSocketObject *self, unsigned code);

/* ---- among the files above ---- */

/* websocket_open.c: the application's answers to the handshake. All may run user code. */
int cam_websocket_accept(WebSocketObject *self, PyObject *event);
int cam_websocket_forbid(WebSocketObject *self); /* 403 */
int cam_websocket_fail(WebSocketObject *self, int status);
int cam_websocket_deny(WebSocketObject *self, PyObject *event, PyObject *type);
/* logger.info with the client and the path: `status` or, if that is 0, "[accepted]". */
void cam_websocket_log(WebSocketObject *self, int status);
/* logger.log at uvicorn's level "trace"; `format` has one %s, for "client - ". Only with the option
 * of that name. */
void cam_websocket_trace(WebSocketObject *self, const char *format);

/* websocket_read.c: receive() of a run. */
int cam_websocket_receive(RunObject *run, PyObject **event);

/* websocket_write.c: send() of a run, and the end of its wait; and a control frame, which is
 * dropped when that cannot be written any more. */
int cam_websocket_send(RunObject *run, PyObject *event);
int cam_websocket_waited(RunObject *run);
int cam_websocket_write_control(WebSocketObject *self, unsigned opcode, const char *payload,
                                size_t size);

/* websocket_end.c. */

/* Notes how it ended, for websocket.disconnect, unless that is known already; `reason` may be
 * NULL. 0, or -1 with MemoryError. */
int cam_websocket_note_end(WebSocketObject *self, unsigned code, const cam_slice *reason);

/* Sends a close frame and waits for the peer's. */
int cam_websocket_begin_close(WebSocketObject *self, unsigned code, cam_slice reason);

/* Deals with the peer's close frame. */
int cam_websocket_take_close(WebSocketObject *self, cam_slice payload);

/* "Fail the WebSocket connection" (RFC 6455 section 7.1.7): a close frame, then the end, whatever
 * the peer says. */
int cam_websocket_break_off(WebSocketObject *self, unsigned code, const char *reason);

/*
 * Ends it because the peer does: how is CAM_WEBSOCKET_PEER_CLOSE, which close_code and close_reason
 * are noted for, or what it has done wrong (CAM_WS_E_*).
 *
 * Messages that came whole before that are the application's still, and answers to them the peer's
 * (RFC 6455 section 5.5.1 lets a close frame wait for what is being sent). While there are some it
 * is put off until the application has taken them and asks for more, or ends, but not for longer
 * than a second: it may be one that never receives. Nothing more is read meanwhile.
 */
enum { CAM_WEBSOCKET_PEER_CLOSE = 1 };
int cam_websocket_end_by_peer(WebSocketObject *self, int how);

/* What was put off, now. */
int cam_websocket_end_now(WebSocketObject *self);

/* Lets go of the connection, which is closed or about to be, and wakes the application. */
void cam_websocket_detach(WebSocketObject *self);

/* Starts counting to the next ping, or to its pong. */
int cam_websocket_time_ping(WebSocketObject *self);

#endif
